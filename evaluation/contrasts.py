"""Two arms of a learning curve at one size, or at two as in Table 2: paired by fold and seed, and by patient.

Runs of a cross-validation share training images, so a paired t-test over folds takes them for more independent than
they are (Nadeau and Bengio 2003); the bootstrap by patient does not, but takes the trained models as given. Both are
here. A sign or rank test over four folds could never fall below 0.05, so there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from .comparison import Run
from .patient_bootstrap import Predicted, patient_weights, pooled, pooled_difference, tally

CLASSES = {"f1_five": 5, "f1_three": 3, "density_f1": 4}
TESTS = ("p_t", "p_bootstrap")
# (arm, size) → score → predictions of its runs
Predictions = Mapping[tuple[str, int | None], Mapping[str, Sequence[Predicted]]]
Contrast = tuple[str, int | None, str, int | None]  # first arm, its size, other arm, its size


def add_intervals(
    summaries: Sequence[dict[str, Any]], predictions: Predictions, tasks: Mapping[str, int] = CLASSES
) -> None:
    """Put `pooled` and `interval` beside the mean of every score in rows of `comparison.summaries`.

    tasks: score → number of its classes.
    """
    for score, classes in tasks.items():
        places, weights = _patients(predictions, score)
        for row in summaries:
            runs = predictions[row["encoder"], row["size"]].get(score, ())
            if row[score] and runs:
                row[score] |= pooled(tally(runs, places, classes), weights)


def contrasts(
    runs: Sequence[Run],
    predictions: Predictions,
    wanted: Sequence[Contrast],
    tasks: Mapping[str, int] = CLASSES,
) -> list[dict[str, Any]]:
    """For each contrast `first`, `first_size`, `other`, `other_size`, and of every score:

    `mean_first`, `mean_other`, `mean_difference` (over pairs of fold and seed), `pairs`, `p_t`, and what
    `pooled_difference` gives; `p_t_holm` and `p_bootstrap_holm` are corrected for all contrasts of a score. None
    where there is no pair with a score; `p_t` is None for a single pair, and where all pairs differ by the same.
    """
    rows = [
        dict(zip(("first", "first_size", "other", "other_size"), contrast, strict=True))
        for contrast in wanted
    ]
    for score, classes in tasks.items():
        places, weights = _patients(predictions, score)
        for row in rows:
            row[score] = _contrast(runs, predictions, row, score, classes, places, weights)
        found = [row[score] for row in rows if row[score]]
        for test in TESTS:
            for entry, value in zip(found, holm([entry[test] for entry in found]), strict=True):
                entry[f"{test}_holm"] = value
    return rows


def _contrast(runs, predictions, row, score, classes, places, weights) -> dict[str, Any] | None:
    sides = ((row["first"], row["first_size"]), (row["other"], row["other_size"]))
    ours, theirs = (_scores(runs, *side, score) for side in sides)
    shared = [key for key in ours if key in theirs]
    if not shared:
        return None
    pairs = [(ours[key], theirs[key]) for key in shared]
    tested = [
        [run for run in predictions[side].get(score, ()) if (run.fold, run.seed) in shared] for side in sides
    ]
    check_same_images(*tested, names=sides)
    counts = [tally(part, places, classes) for part in tested]
    return {
        "mean_first": fmean(a for a, _ in pairs),
        "mean_other": fmean(b for _, b in pairs),
        "mean_difference": fmean(a - b for a, b in pairs),
        "pairs": len(pairs),
        "p_t": paired_t(pairs),
        **pooled_difference(*counts, weights),
    }


def paired_t(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Two-sided p of the paired t-test; None for one pair, or where all differences are the same."""
    differences = np.array([a - b for a, b in pairs])
    if len(pairs) < 2 or np.ptp(differences) == 0:
        return None
    return float(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for how many they are (Holm 1979); None stays None and does not count."""
    order = sorted(
        (place for place, p in enumerate(values) if p is not None), key=lambda place: values[place]
    )
    corrected, highest = list(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * values[place]))
        corrected[place] = highest
    return corrected


def check_same_images(first: Sequence[Predicted], other: Sequence[Predicted], names: Sequence[Any]) -> None:
    """Raise ValueError where two arms were not tested on the same patients with the same labels."""
    theirs = {(run.fold, run.seed): run for run in other}
    for run in first:
        twin = theirs[run.fold, run.seed]
        if list(run.patients) != list(twin.patients) or not np.array_equal(run.labels, twin.labels):
            raise ValueError(
                f"in fold {run.fold} with seed {run.seed}, {names[0][0]} and {names[1][0]} were tested on other images "
                "or labels; they were trained on different data, so delete the runs of one of them."
            )


def _scores(runs: Sequence[Run], arm: str, size: int | None, score: str) -> dict[tuple, float]:
    return {
        (run["fold"], run["seed"]): run[score]
        for run in runs
        if (run["encoder"], run["size"]) == (arm, size) and run.get(score) is not None
    }


def _patients(predictions: Predictions, score: str) -> tuple[dict[str, int], np.ndarray]:
    """Every patient's row, and the weights of all samples: the same for all arms, so that differences are paired."""
    runs = [run for scores in predictions.values() for run in scores.get(score, ())]
    names = sorted({name for run in runs for name in run.patients})
    return {name: row for row, name in enumerate(names)}, patient_weights(len(names))
