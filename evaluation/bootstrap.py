"""Intervals over patients: the bootstrap draws whole patients with replacement, so that their views stay together.
(Retrieval's groups are cases.)

Drawing is the same for every score of a set (one seed, one order of patients), so differences of two scores have
intervals of their own. A resample is never built: a score is computed from how often each row was drawn.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

SAMPLES = 1000
LEVEL = 0.95
UNDEFINED = 0.05  # with a larger share of resamples that have no score, there is no interval
CHUNK = 400_000  # weights at a time: 3 MB, which a processor's cache holds


class GroupDraws:
    """How often each group of rows is in each of `samples` resamples of as many groups as there are.

    groups: (N,) what is drawn as a whole, for each row that will be scored: its patient.
    """

    def __init__(self, groups: Sequence[Hashable], samples: int = SAMPLES, seed: int = 0):
        position = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        self.samples = samples
        self.group_of = np.array([position[group] for group in groups], dtype=np.int64)  # (N,)
        self._number, self._seed = len(position), seed

    @cached_property
    def counts(self) -> np.ndarray:
        """(samples, groups) uint16; drawn when they are first needed."""
        even = np.full(self._number, 1 / self._number)
        drawn = np.random.default_rng(self._seed).multinomial(self._number, even, size=self.samples)
        return drawn.astype(np.uint16)

    def sums(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n, K) values of the given rows → (samples, K) sums over what was drawn of them."""
        per_group = np.zeros((self._number, values.shape[1]))
        np.add.at(per_group, self.group_of[rows], values)
        return self.counts @ per_group

    def weights(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """(b, n) float64, how often each of the rows was drawn, a chunk of b resamples at a time."""
        step = max(1, CHUNK // max(1, len(rows)))
        columns = self.group_of[rows]
        for start in range(0, self.samples, step):
            yield self.counts[start : start + step][:, columns].astype(np.float64)


def percentile_interval(draws: np.ndarray, level: float = LEVEL) -> list[float] | None:
    """[low, high] of a score's (samples,) resamples. NaN is a resample without a score; None: too many of them."""
    defined = draws[~np.isnan(draws)]
    if len(defined) < (1 - UNDEFINED) * len(draws):
        return None
    return [float(q) for q in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])]


@dataclass(frozen=True)
class Estimate:
    """A score and its resamples. value: None where it is not defined; draws: (samples,), NaN likewise."""

    value: float | None
    draws: np.ndarray

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference of two scores of the same draws."""
        defined = self.value is not None and other.value is not None
        return Estimate(self.value - other.value if defined else None, self.draws - other.draws)

    def as_dict(self) -> dict[str, float | list[float] | None]:
        """`value`, and `interval`: [low, high] of 95 %, None where the value or too many resamples are undefined."""
        return {
            "value": self.value,
            "interval": None if self.value is None else percentile_interval(self.draws),
        }
