"""How well scores rank a yes before a no, and how well classes agree: points by scikit-learn, and their resamples.

A point estimate is scikit-learn's. A thousand resamples of it come from the weights of the rows (how often each was
drawn), all at once, by the same definitions; tests hold the two together through scikit-learn's `sample_weight`.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from .bootstrap import Estimate, GroupDraws
from .metrics import drawn_matrices, ratio

SPECIFICITY = 0.9


def ranking_scores(
    truth: np.ndarray, scores: np.ndarray, draws: GroupDraws, rows: np.ndarray, specificity: float
) -> dict[str, Estimate]:
    """AUROC, AUPRC and sensitivity at a specificity, of one yes-or-no question.

    Args:
        truth: (N,) bool. scores: (N,) higher for yes. rows: (N,) their places in the draws.
        specificity: in (0, 1); the sensitivity is the highest at a threshold that reaches it.

    Returns:
        `auroc`; `auprc`, scikit-learn's average precision (no interpolation); `sensitivity`. Values are None where
        all truths are alike.
    """
    names = ("auroc", "auprc", "sensitivity")
    if truth.all() or not truth.any():
        nothing = np.full(draws.samples, np.nan)
        return {name: Estimate(None, nothing) for name in names}
    values = (
        float(roc_auc_score(truth, scores)),
        float(average_precision_score(truth, scores)),
        operating_point(truth, scores, specificity)[0],
    )
    drawn = np.concatenate(
        [ranking_resamples(truth, scores, weights, specificity) for weights in draws.weights(rows)], axis=1
    )
    return {name: Estimate(*one) for name, one in zip(names, zip(values, drawn, strict=True), strict=True)}


def operating_point(truth: np.ndarray, scores: np.ndarray, specificity: float) -> tuple[float, float]:
    """(highest sensitivity at a threshold of at least this specificity, that threshold); "yes" is score ≥ threshold."""
    false_rate, true_rate, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    place = np.flatnonzero(1 - false_rate >= specificity - 1e-12)[-1]
    return float(true_rate[place]), float(thresholds[place])


def ranking_resamples(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray, specificity: float
) -> np.ndarray:
    """weights (B, N): how often each row was drawn → (3, B) AUROC, AUPRC, sensitivity; NaN without a yes or a no."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # the last row of each tie
    drawn = weights[:, order]
    seen = np.cumsum(drawn, axis=1)[:, ends]
    hits = np.cumsum(drawn * truth[order], axis=1)[:, ends]  # (B, thresholds), the strictest first
    alarms = seen - hits
    yes, no = hits[:, -1], alarms[:, -1]
    more_hits, more_alarms = (np.diff(counts, axis=1, prepend=0) for counts in (hits, alarms))
    area = (more_alarms * (hits - more_hits / 2)).sum(axis=1)  # trapezoids
    precision = (more_hits * ratio(hits, seen)).sum(axis=1)
    allowed = alarms <= ((1 - specificity) * no + 1e-9)[:, None]
    sensitive = np.where(allowed, hits, 0).max(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.stack([area / (yes * no), precision / yes, sensitive / yes])
    return np.where((yes > 0) & (no > 0), found, np.nan)


def mean_estimate(parts: list[Estimate]) -> Estimate:
    """The mean of the scores that are defined, in the resamples where all of those are."""
    defined = [part for part in parts if part.value is not None]
    if not defined:
        return parts[0]
    return Estimate(
        float(np.mean([part.value for part in defined])), np.mean([part.draws for part in defined], axis=0)
    )


def balanced_accuracy(
    labels: np.ndarray, predictions: np.ndarray, classes: int, draws: GroupDraws, rows: np.ndarray
) -> Estimate:
    """Mean recall of the classes that occur among the (N,) labels, as scikit-learn has it."""
    recall = recall_score(labels, predictions, labels=np.unique(labels), average="macro")
    matrices = drawn_matrices(labels, predictions, classes, draws, rows)
    return Estimate(float(recall), recall_resamples(matrices))


def recall_resamples(matrices: np.ndarray) -> np.ndarray:
    """(B, C, C) confusion matrices → (B,) mean recall of the classes with labels."""
    labels = matrices.sum(axis=-1)
    recalls = ratio(np.diagonal(matrices, axis1=-2, axis2=-1), labels)
    return recalls.sum(axis=-1) / np.maximum((labels > 0).sum(axis=-1), 1)


def quadratic_kappa(
    labels: np.ndarray, predictions: np.ndarray, classes: int, draws: GroupDraws, rows: np.ndarray
) -> Estimate:
    """Cohen's kappa with quadratic weights, of (N,) ranks from 0 to `classes` − 1; None where all are one class."""
    matrices = drawn_matrices(labels, predictions, classes, draws, rows)
    value = None
    if len(np.union1d(labels, predictions)) > 1:
        value = float(cohen_kappa_score(labels, predictions, labels=np.arange(classes), weights="quadratic"))
    return Estimate(value, kappa_resamples(matrices))


def kappa_resamples(matrices: np.ndarray) -> np.ndarray:
    """(B, C, C) confusion matrices → (B,) quadratic kappa: 1 − disagreement / disagreement by chance."""
    ranks = np.arange(matrices.shape[-1])
    cost = (ranks[:, None] - ranks) ** 2
    labels, predictions = matrices.sum(axis=-1), matrices.sum(axis=-2)
    chance = (cost * labels[:, :, None] * predictions[:, None, :]).sum(axis=(-2, -1))
    observed = (cost * matrices).sum(axis=(-2, -1)) * matrices.sum(axis=(-2, -1))
    return 1 - np.divide(observed, chance, out=np.full(len(chance), np.nan), where=chance > 0)
