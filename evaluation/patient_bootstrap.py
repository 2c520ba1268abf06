"""Macro F1 of the pooled predictions of a cross-validation, and of two arms' difference, with intervals by patient.

The folds of one seed test every patient once; put together they are one set of predictions of the whole data set.
Several seeds give several such sets, whose scores are averaged. What a bootstrap draws is patients, each with all of
her views in all sets, so that neither her four views nor her repetitions count as independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bootstrap import GroupDraws, percentile_interval
from .metrics import f1_from_confusion

SAMPLES = 2000


@dataclass(frozen=True)
class Predicted:
    """Predictions of one run for one score: (N,) patients, and class indices that are right and predicted."""

    seed: int
    fold: int
    patients: Sequence[str]
    labels: np.ndarray
    predicted: np.ndarray


def patient_weights(patients: int, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """(samples, patients): how often each patient is in each bootstrap sample of as many patients."""
    if not patients:
        return np.zeros((samples, 0), np.float32)
    return GroupDraws(range(patients), samples, seed).counts.astype(np.float32)


def tally(runs: Sequence[Predicted], places: Mapping[str, int], classes: int) -> np.ndarray:
    """(seeds, patients, classes²) counts of label × prediction; places: patient → her row.

    Raises ValueError for a patient without a place.
    """
    seeds = list(dict.fromkeys(run.seed for run in runs))
    counts = np.zeros((len(seeds), len(places), classes**2), dtype=np.float32)
    for run in runs:
        unknown = next((name for name in run.patients if name not in places), None)
        if unknown is not None:
            raise ValueError(
                f"the predictions name the patient {unknown!r}, whom the other runs do not have."
            )
        rows = np.array([places[name] for name in run.patients], dtype=int)
        np.add.at(counts[seeds.index(run.seed)], (rows, run.labels * classes + run.predicted), 1)
    return counts


def pooled_f1(counts: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Macro F1, mean over seeds, of counts as `tally` gives them: () without weights, (samples,) with them."""
    seeds, patients, cells = counts.shape
    classes = round(cells**0.5)
    weights = np.ones((1, patients), np.float32) if weights is None else weights
    scores = [
        f1_from_confusion((weights @ part).reshape(-1, classes, classes)).mean(axis=-1) for part in counts
    ]
    return np.mean(scores, axis=0).squeeze()


def pooled(counts: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """`pooled`, the score of the pooled predictions, and `interval`, its 95 % interval by patient."""
    return {"pooled": float(pooled_f1(counts)), "interval": percentile_interval(pooled_f1(counts, weights))}


def pooled_difference(ours: np.ndarray, theirs: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """How much more the first scores than the second, on the same patients.

    Returns:
        `pooled_difference`, its 95 % `interval`, and `p_bootstrap`: twice the share of samples on the other side of
        0, counting the data itself as one (Davison and Hinkley 1997, section 4.2).
    """
    drawn = pooled_f1(ours, weights) - pooled_f1(theirs, weights)
    beyond = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return {
        "pooled_difference": float(pooled_f1(ours) - pooled_f1(theirs)),
        "interval": percentile_interval(drawn),
        "p_bootstrap": min(1.0, float(2 * (beyond + 1) / (len(drawn) + 1))),
    }
