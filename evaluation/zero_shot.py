"""Zero-shot scores into numbers: F1 with intervals over patients, AUROC of each class, and what a majority vote gets.

Scores are an image's probabilities, (N, C) in [0, 1]; the class with the highest is what is predicted. An AUROC is
one class against the rest, by scikit-learn, chance being 0.5; None where all labels are of one kind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from dataset_builders.birads import (
    DENSITIES,
    FIVE_CLASSES,
    FIVE_NAMES,
    THREE_GROUPS,
    density_index,
    five_class_index,
    three_group_index,
)

from .metrics import birads_metrics, classification_metrics, density_metrics, patient_interval

PRESENT_ABOVE = 0.5


def birads_zero_shot(labels: Sequence[int], scores: np.ndarray, patients: Sequence[str]) -> dict[str, Any]:
    """What `birads_metrics` gives with intervals, and `auroc_per_class` (5), `auroc_per_group` (3),
    `majority_f1_five`, `majority_f1_three`. A group's score is the sum of its classes' scores.

    labels: (N,) indices into `birads.FIVE_CLASSES`; scores: (N, 5); patients: (N,) ids.
    """
    groups = np.array([three_group_index(int(label)) for label in labels])
    of_groups = [sum(scores[:, FIVE_CLASSES.index(birads)] for birads in members) for members in THREE_GROUPS]
    return {
        **birads_metrics(labels, scores.argmax(axis=1), patients),
        "auroc_per_class": auroc_per_class(labels, scores),
        "auroc_per_group": auroc_per_class(groups, np.stack(of_groups, axis=1)),
        "majority_f1_five": majority_f1(labels, len(FIVE_CLASSES)),
        "majority_f1_three": majority_f1(groups, len(THREE_GROUPS)),
    }


def density_zero_shot(labels: Sequence[int], scores: np.ndarray, patients: Sequence[str]) -> dict[str, Any]:
    """What `density_metrics` gives, and `density_f1_interval`, `auroc_per_class` (4), `majority_density_f1`.

    labels: (N,) indices into A–D; scores: (N, 4); patients: (N,) ids.
    """
    predictions = scores.argmax(axis=1)
    return {
        **density_metrics(labels, predictions),
        "density_f1_interval": patient_interval(labels, predictions, patients, len(DENSITIES)),
        "auroc_per_class": auroc_per_class(labels, scores),
        "majority_density_f1": majority_f1(labels, len(DENSITIES)),
    }


def findings_zero_shot(
    labels: Mapping[str, Sequence[bool | None]], scores: np.ndarray, cases: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Finding → `present`, `absent` (numbers of labels), and where there are both: `auroc`; `macro_f1` of present and
    absent, predicted present above 0.5, with `macro_f1_interval` over cases; `majority_macro_f1`.

    labels: finding → (N,) True, False, or None where it is not known, which leaves the image out; scores: (N, L),
    in the findings' order; cases: (N,) ids.
    """
    return {
        name: _one_finding(known, scores[:, column], cases)
        for column, (name, known) in enumerate(labels.items())
    }


def _one_finding(
    labels: Sequence[bool | None], scores: np.ndarray, cases: Sequence[str]
) -> dict[str, float | int | list]:
    rows = [row for row, label in enumerate(labels) if label is not None]
    truth = np.array([labels[row] for row in rows], dtype=int)
    counts = {"present": int(truth.sum()), "absent": int((1 - truth).sum())}
    if not min(counts.values()):
        return counts
    predictions = (scores[rows] > PRESENT_ABOVE).astype(int)
    return {
        **counts,
        "auroc": float(roc_auc_score(truth, scores[rows])),
        "macro_f1": classification_metrics(truth, predictions, 2)["macro_f1"],
        "macro_f1_interval": patient_interval(truth, predictions, [cases[row] for row in rows], 2),
        "majority_macro_f1": majority_f1(truth, 2),
    }


def auroc_per_class(labels: Sequence[int], scores: np.ndarray) -> list[float | None]:
    """(N,) class indices, (N, C) scores → C areas under the ROC curve, class against rest."""
    areas = []
    for index, column in enumerate(scores.T):
        truth = np.asarray(labels) == index
        areas.append(float(roc_auc_score(truth, column)) if 0 < truth.sum() < len(truth) else None)
    return areas


def majority_f1(labels: Sequence[int], num_classes: int) -> float:
    """Macro F1 of always saying the most frequent class, which is what a model has to beat."""
    most = int(np.bincount(labels, minlength=num_classes).argmax())
    return classification_metrics(labels, np.full(len(labels), most), num_classes)["macro_f1"]


@dataclass(frozen=True)
class Task:
    """What is predicted of a record: a column of its own, whose values are put into classes.

    title: in pictures and lines; names: of the classes; values: of the classes, as the column has them.
    index: value → class, or None; metrics: (labels, scores, patients) → numbers, among them the matrix `confusion`.
    f1: name of a macro F1 among the numbers → what it is of.
    """

    title: str
    names: tuple[str, ...]
    values: tuple
    index: Callable[[Any], int | None]
    metrics: Callable[..., dict[str, Any]]
    confusion: str
    f1: Mapping[str, str]


# By the column that holds the label, which is the name of the prompt set as well.
TASKS = {
    "birads": Task(
        title="BI-RADS",
        names=FIVE_NAMES,
        values=FIVE_CLASSES,
        index=five_class_index,
        metrics=birads_zero_shot,
        confusion="confusion_five",
        f1={"f1_five": "five classes", "f1_three": "three groups"},
    ),
    "density": Task(
        title="breast density",
        names=tuple(f"density {letter}" for letter in DENSITIES),
        values=DENSITIES,
        index=density_index,
        metrics=density_zero_shot,
        confusion="confusion_density",
        f1={"density_f1": "four classes"},
    ),
}
