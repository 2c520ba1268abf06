"""Sources of pairs, or classes of images, that are drawn as often as they are meant to count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from .masking import IGNORED


class MixedOrder(Sampler[int]):
    """The order of an epoch in which every source has its share of the draws.

    sources: for every source, the places of its examples among those of training, which all of them together are.
    weights: how often the sources are drawn, relative to each other. epoch: (1,) int64 that holds the epoch's number,
    as `SeededExamples.epoch`. An epoch has as many draws as there are examples.

    Every source goes through its own examples, shuffled anew each time, again and again; an epoch takes on where the
    one before ended. So no example of a large source waits longer than its share makes it wait, and those of a small
    one come several times in an epoch. Each time but the first in an epoch is told by the number that is drawn, place +
    n × examples for the n-th repetition, so that it can be augmented anew. All follows from the seed and the epoch's
    number.
    """

    def __init__(self, sources: Sequence[Sequence[int]], weights: Sequence[float], seed: int, epoch: Tensor):
        self.sources = [np.asarray(places) for places in sources]
        self.count = sum(map(len, sources))
        self.draws = shares(self.count, weights)
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        epoch = int(self.epoch)
        places = np.concatenate([self._of_source(source, epoch) for source in range(len(self.sources))])
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(places)
        yield from (shuffled + self.count * occurrences(shuffled)).tolist()

    def _of_source(self, source: int, epoch: int) -> np.ndarray:
        """What an epoch draws from a source: the next draws of an endless series of shuffles."""
        places, draws = self.sources[source], self.draws[source]
        start, stop = epoch * draws, (epoch + 1) * draws
        rounds = range(start // len(places), -(-stop // len(places)))
        series = [np.random.default_rng([self.seed, source, n]).permutation(places) for n in rounds]
        skipped = rounds.start * len(places)
        return np.concatenate([*series, places[:0]])[start - skipped : stop - skipped]


def balanced_order(labels: Sequence[int], seed: int, epoch: Tensor) -> MixedOrder:
    """The order of epochs in which every class is drawn equally often.

    labels: a class index for each training example; those without, IGNORED, keep the share that they have.
    """
    known = np.asarray(labels)
    classes = [label for label in np.unique(known) if label != IGNORED]
    unknown = np.flatnonzero(known == IGNORED)
    equal = (len(known) - len(unknown)) / max(len(classes), 1)
    sources = [np.flatnonzero(known == label) for label in classes]
    rest = [unknown] if len(unknown) else []
    return MixedOrder([*sources, *rest], [equal] * len(sources) + [len(part) for part in rest], seed, epoch)


def shares(count: int, weights: Sequence[float]) -> list[int]:
    """`count` draws dealt by weights, by largest remainders: 10 by 2 and 1 → 7 and 3."""
    exact = np.asarray(weights) / sum(weights) * count
    whole = np.floor(exact).astype(int)
    missing = count - whole.sum()
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return whole.tolist()


def occurrences(values: np.ndarray) -> np.ndarray:
    """(N,) → (N,) how often the same value came before: 5 7 5 5 → 0 0 1 2."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    lengths = np.diff(np.r_[starts, len(values)])
    counts = np.empty(len(values), int)
    counts[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return counts
