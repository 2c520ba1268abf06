"""Predictions into numbers: macro F1, per-class scores, confusion matrices and intervals over patients.

F1 follows scikit-learn's `f1_score(labels=range(num_classes), average="macro", zero_division=0)`: the mean is
taken over **all classes that the task has**, so that folds and models are divided by the same number. A class
that is neither in the labels nor in the predictions scores 0 there; `support` says how many labels each class
had, so that such a zero is seen.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np

from dataset_builders.birads import DENSITIES, FIVE_CLASSES, THREE_GROUPS, three_group_index

from .bootstrap import LEVEL, SAMPLES, GroupDraws, percentile_interval

Labels = Sequence[int] | np.ndarray


def classification_metrics(labels: Labels, predictions: Labels, num_classes: int) -> dict[str, Any]:
    """Scores of one task.

    Args:
        labels: (N,) class indices in [0, num_classes). Rows without a label (-100, None) have to be left out
            before.
        predictions: (N,) class indices in [0, num_classes).
        num_classes: how many classes the task has.

    Returns:
        `macro_f1`, `accuracy`: floats in [0, 1]; `precision_per_class`, `recall_per_class`, `f1_per_class`:
        lists of `num_classes` floats; `support`: labels per class; `confusion`: `num_classes` x `num_classes`
        counts, row = label, column = prediction.

    Raises:
        ValueError: no rows, different lengths, or a value that is no class index.
    """
    matrix = confusion_matrix(labels, predictions, num_classes)
    hits, actual, predicted = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    per_class = f1_from_confusion(matrix)
    return {
        "macro_f1": float(per_class.mean()),
        "accuracy": float(hits.sum() / matrix.sum()),
        "precision_per_class": ratio(hits, predicted).tolist(),
        "recall_per_class": ratio(hits, actual).tolist(),
        "f1_per_class": per_class.tolist(),
        "support": actual.tolist(),
        "confusion": matrix.tolist(),
    }


def birads_metrics(
    five_true: Labels, five_pred: Labels, patient_ids: Sequence | None = None
) -> dict[str, Any]:
    """The paper's two scores (section 4.2): macro F1 over BI-RADS 0, 1, 2, 4, 5 and over its three groups.

    Args:
        five_true, five_pred: (N,) indices into `birads.FIVE_CLASSES`. Groups are made from these: the
            five-class prediction is merged, no second model is asked.
        patient_ids: (N,) ids; with them, `f1_five_interval` and `f1_three_interval` are [low, high], 95 %
            bootstrap.

    Returns:
        `f1_five`, `f1_three`, `f1_per_class` (5), `f1_per_group` (3), `support_five`, `support_three`,
        `confusion_five` (5 x 5), `confusion_three` (3 x 3), row = label.
    """
    five = classification_metrics(five_true, five_pred, len(FIVE_CLASSES))
    groups = [[three_group_index(int(index)) for index in column] for column in (five_true, five_pred)]
    three = classification_metrics(*groups, len(THREE_GROUPS))
    result = {
        "f1_five": five["macro_f1"],
        "f1_three": three["macro_f1"],
        "f1_per_class": five["f1_per_class"],
        "f1_per_group": three["f1_per_class"],
        "support_five": five["support"],
        "support_three": three["support"],
        "confusion_five": five["confusion"],
        "confusion_three": three["confusion"],
    }
    if patient_ids is not None:
        result["f1_five_interval"] = patient_interval(five_true, five_pred, patient_ids, len(FIVE_CLASSES))
        result["f1_three_interval"] = patient_interval(*groups, patient_ids, len(THREE_GROUPS))
    return result


def density_metrics(labels: Labels, predictions: Labels) -> dict[str, Any]:
    """Scores of breast density from (N,) indices into A-D: `density_f1`, per class, support, confusion."""
    scores = classification_metrics(labels, predictions, len(DENSITIES))
    return {
        "density_f1": scores["macro_f1"],
        "density_f1_per_class": scores["f1_per_class"],
        "support_density": scores["support"],
        "confusion_density": scores["confusion"],
    }


def confusion_matrix(labels: Labels, predictions: Labels, num_classes: int) -> np.ndarray:
    """Counts (num_classes, num_classes) int64, row = label, column = prediction; ValueError as above."""
    true, pred = _indices("labels", labels, num_classes), _indices("predictions", predictions, num_classes)
    if len(true) != len(pred):
        raise ValueError(f"{len(true)} labels but {len(pred)} predictions: every label needs one prediction.")
    if not len(true):
        raise ValueError("There are no labelled rows to score: expected at least one label.")
    return np.bincount(true * num_classes + pred, minlength=num_classes**2).reshape(num_classes, num_classes)


def f1_from_confusion(matrix: np.ndarray) -> np.ndarray:
    """F1 of every class (..., C) from counts (..., C, C): 2 TP / (labels + predictions), 0 for 0 / 0."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    return ratio(2 * hits, matrix.sum(axis=-1) + matrix.sum(axis=-2))


def patient_interval(
    labels: Labels,
    predictions: Labels,
    patient_ids: Sequence,
    num_classes: int,
    *,
    samples: int = SAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[float]:
    """Percentile bootstrap [low, high] of macro F1; patients are drawn, so their views stay together."""
    if len(patient_ids) != len(labels):
        raise ValueError(
            f"{len(labels)} labels but {len(patient_ids)} patient ids: every label needs one patient."
        )
    confusion_matrix(labels, predictions, num_classes)  # the same checks as every score
    draws = GroupDraws(patient_ids, samples, seed)
    matrices = drawn_matrices(labels, predictions, num_classes, draws, np.arange(len(labels)))
    return percentile_interval(f1_from_confusion(matrices).mean(axis=-1), level)


def drawn_matrices(
    labels: Labels, predictions: Labels, num_classes: int, draws: GroupDraws, rows: np.ndarray
) -> np.ndarray:
    """Confusion matrices (samples, num_classes, num_classes) of the resamples; rows (N,): the labels' places there."""
    cells = np.asarray(labels, np.int64) * num_classes + np.asarray(predictions, np.int64)
    sums = draws.sums(np.eye(num_classes**2)[cells], rows)
    return sums.reshape(-1, num_classes, num_classes)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0 (scikit-learn's `zero_division=0`)."""
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator != 0)


def _indices(name: str, values: Labels, num_classes: int) -> np.ndarray:
    """(N,) int64 class indices; anything else is named in a ValueError, never dropped or miscounted."""
    values = values.tolist() if hasattr(values, "tolist") else values  # arrays and tensors into plain numbers
    for row, value in enumerate(values):
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not whole or not 0 <= value < num_classes:
            raise ValueError(
                f"{name}[{row}] is {value!r}, expected a class index from 0 to {num_classes - 1}; "
                "leave rows without a label out before scoring."
            )
    return np.asarray(values, dtype=np.int64)
