"""An epoch in which every class occurs equally often, the same in every process and after an interruption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from .masking import IGNORED


class BalancedSampler(Sampler[int]):
    """As many examples an epoch as there are, each class equally often, in an order of the seed and the epoch.

    labels (N,): a class index for each example; those without (IGNORED) keep their own share of the epoch.
    epoch: a tensor that holds the number of the epoch, which whoever trains sets; see `SeededExamples`.

    A class is gone through from end to end before one of its examples comes again, so they differ by one draw at most.
    What comes out is the place of an example plus N for every time that it has come before in this epoch, so that the
    examples can augment it anew; `LabelledExamples` does.
    """

    def __init__(self, labels: Sequence[int], seed: int, epoch: Tensor):
        self.labels, self.seed, self.epoch = np.asarray(labels), seed, epoch

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, int(self.epoch)])
        unknown = np.flatnonzero(self.labels == IGNORED)
        classes = [
            np.flatnonzero(self.labels == label) for label in np.unique(self.labels) if label != IGNORED
        ]
        drawn = [
            unknown,
            *map(self._drawn, classes, self._shares(len(classes), len(unknown), rng), [rng] * len(classes)),
        ]
        yield from rng.permutation(np.concatenate(drawn)).tolist()

    def _shares(self, classes: int, unknown: int, rng: np.random.Generator) -> list[int]:
        """How many examples each class gets; classes that get one more than others are drawn."""
        whole, rest = divmod(len(self) - unknown, max(classes, 1))
        return (whole + (rng.permutation(classes) < rest)).tolist()

    def _drawn(self, places: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """`count` draws from these places, going through them as often as is needed."""
        times = -(-count // len(places))
        rounds = [rng.permutation(places) + time * len(self) for time in range(times)]
        return np.concatenate([np.empty(0, dtype=int), *rounds])[:count]
