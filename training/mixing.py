"""Several sources of pairs in one epoch, each with its share of the draws: atlas pairs and composed captions, say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from .data import PairExamples


def mixed(
    examples: PairExamples, sizes: Sequence[int], weights: Sequence[float], names: Sequence[str]
) -> PairExamples | Mixture:
    """Training examples of a table that is several tables in one → the same, drawn by weights.

    sizes: rows of each of these tables; names: what to call them in an error; weights: none leaves the examples as they
    are, each once an epoch. Raises ValueError for a source that has no row among the examples, or no share.
    """
    if not weights:
        return examples
    ends = np.cumsum(sizes)
    rows = np.asarray(examples.rows)
    source = np.searchsorted(ends, rows, side="right")
    sources = [rows[source == number] for number in range(len(sizes))]
    draws = shares(len(rows), weights)
    for name, found, count in zip(names, sources, draws, strict=True):
        if not len(found):
            raise ValueError(f"no case of {name} is left for training; give more pairs, or leave it out.")
        if not count:
            raise ValueError(
                f"the weight of {name} gives it none of the {len(rows)} draws of an epoch; give a larger one."
            )
    return Mixture(examples, sources, draws)


def shares(total: int, weights: Sequence[float]) -> list[int]:
    """`total` draws dealt out in proportion to the weights, by largest remainders: exactly all of them."""
    exact = total * np.asarray(weights, dtype=float) / np.sum(weights)
    counts = np.floor(exact).astype(int)
    most = np.argsort(counts - exact, kind="stable")[: total - counts.sum()]
    counts[most] += 1
    return counts.tolist()


@dataclass
class Mixture(Dataset):
    """Pairs of several sources; an epoch is as long as if each pair came once, and shared out by fixed counts.

    sources: the rows of each, in the table of the examples; draws: how many of them an epoch takes. Epoch after epoch a
    source is gone through in passes, each in a new order and each of every row once, wherever an epoch begins or ends.
    So a small source is repeated within an epoch, augmented anew; a large one is spread over several epochs, and no
    row waits longer than two passes. What is drawn follows from seed, epoch and place alone, as the examples do.
    """

    examples: PairExamples
    sources: Sequence[np.ndarray]
    draws: Sequence[int]

    def __len__(self) -> int:
        return sum(self.draws)

    def set_epoch(self, epoch: int) -> None:
        """Draw anew for this epoch, counted from 0."""
        self.examples.set_epoch(epoch)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.examples.example(*self.drawn(place))

    def drawn(self, place: int) -> tuple[int, int]:
        """Row of the table, and how often this epoch has had it before, of one of its draws."""
        ends = np.cumsum(self.draws)
        source = int(np.searchsorted(ends, place, side="right"))
        rows, before = self.sources[source], int(self.examples.epoch) * self.draws[source]
        turn, at = divmod(before + place - int(ends[source]) + self.draws[source], len(rows))
        order = _order(self.examples.seed, source, turn, len(rows))
        return int(rows[order[at]]), turn - before // len(rows)

    def facts(self, names: Sequence[str]) -> dict[str, dict[str, int]]:
        """Name of a source → its training pairs, and how many draws of an epoch are its own."""
        columns = zip(names, self.sources, self.draws, strict=True)
        return {name: {"pairs": len(rows), "draws": count} for name, rows, count in columns}


@lru_cache(maxsize=64)
def _order(seed: int, source: int, turn: int, size: int) -> np.ndarray:
    """The order of a source's rows in one of its passes."""
    return np.random.default_rng([seed, source, turn]).permutation(size)
