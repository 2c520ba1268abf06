"""Whether probabilities mean what they say: expected calibration error, Brier score, and a temperature that helps.

The calibration error is that of the predicted class (Guo et al., 2017, "On Calibration of Modern Neural Networks"):
images are put into bins of equal width by the probability of the class that they are predicted as, and the gap of mean
probability and accuracy is averaged over the images. Few images or many bins make it larger than it is, and a
bootstrap resample, which repeats images, makes it larger still: its interval leans upwards.

A temperature T divides the logits: p_k → p_k^(1/T) / Σ p_j^(1/T). It moves no prediction, only how sure it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from .bootstrap import Estimate, GroupDraws

BINS = 15
TEMPERATURES = (0.05, 20.0)  # how far a fit may go; predictions that are all right would lead to 0
SMALLEST = np.finfo(np.float32).tiny  # what a probability that was rounded to 0 is taken for


def calibration_scores(
    labels: np.ndarray, probabilities: np.ndarray, draws: GroupDraws, rows: np.ndarray
) -> dict[str, Estimate]:
    """`ece` in [0, 1], `brier` in [0, 2] and `nll` (nats).

    labels: (N,) class indices; probabilities: (N, C), each row adds up to 1; rows: (N,) their places in the draws.
    The Brier score is the squared distance to the label's (0, …, 1, …, 0), the mean over images.
    """
    table = _bin_table(labels, probabilities)
    costs = np.stack([_squared(labels, probabilities), -_log_likelihood(labels, probabilities)], axis=1)
    number = np.ones((len(labels), 1))
    sums = draws.sums(np.concatenate([table, costs, number], axis=1), rows)
    here = np.concatenate([table, costs, number], axis=1).sum(axis=0, keepdims=True)
    return {
        name: Estimate(float(value[0]), drawn)
        for name, value, drawn in zip(("ece", "brier", "nll"), _scores(here), _scores(sums), strict=True)
    }


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """The bins that hold images: `images`, `confidence` (mean probability of the predicted class), `accuracy`."""
    sums = _bin_table(labels, probabilities).sum(axis=0).reshape(3, BINS)
    return [
        {"images": int(count), "confidence": float(confidence / count), "accuracy": float(right / count)}
        for count, confidence, right in sums.T
        if count
    ]


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the lowest negative log-likelihood of (N,) labels under (N, C) probabilities.

    In [0.05, 20]; 1 where no other is better, and where there are no labels.
    """
    if not len(labels):
        return 1.0
    logits = _logits(probabilities)

    def cost(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[np.arange(len(labels)), labels].mean())

    best = minimize_scalar(
        cost, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(best.x)) if best.fun < cost(0.0) else 1.0


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(N, C) probabilities as their logits would give them, divided by the temperature."""
    return softmax(_logits(probabilities) / temperature, axis=1)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), SMALLEST))


def _bin_table(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(N, 3 × BINS): in the column of its bin, each row's 1, its confidence, and whether it is right."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    cells = np.eye(BINS)[bins]
    return np.concatenate([cells, cells * confidence[:, None], cells * right[:, None]], axis=1)


def _scores(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B, 3 × BINS + 3) sums → calibration error, Brier score and negative log-likelihood, (B,) each."""
    _, confidence, right = np.split(sums[:, : 3 * BINS], 3, axis=1)
    squared, unlikely, number = sums[:, 3 * BINS :].T
    with np.errstate(invalid="ignore"):  # a resample of a group may hold none of it
        return np.abs(confidence - right).sum(axis=1) / number, squared / number, unlikely / number


def _squared(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return ((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(axis=1)


def _log_likelihood(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return _logits(probabilities)[np.arange(len(labels)), labels]
