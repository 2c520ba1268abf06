"""Intensity and texture statistics of a mammogram, as a simple baseline has them: no network, no learning."""

from __future__ import annotations

import numpy as np
from scipy import stats

LEVELS = 16  # grey levels of the co-occurrence matrix
STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))  # the four directions, as rows down and columns to the right
DISTANCES = (1, 4)  # in pixels
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def texture_statistics(image: np.ndarray, background: float = 0.05) -> np.ndarray:
    """Image (H, W), floats in [0, 1] → (22,) float64 of the breast, which is what is brighter than `background`.

    Its share of the image; mean, deviation, skewness, kurtosis and five quantiles of its grey values; and, for two
    distances, six numbers of the co-occurrence matrix. An image without breast has zeros.
    """
    breast = image > background
    values = image[breast]
    if len(values) < 2 or np.ptp(values) == 0:
        return np.zeros(10 + 6 * len(DISTANCES))
    grey = [values.mean(), values.std(), stats.skew(values), stats.kurtosis(values)]
    texture = [number for distance in DISTANCES for number in _haralick(image, breast, distance)]
    return np.array([breast.mean(), *grey, *np.quantile(values, QUANTILES), *texture])


def _haralick(image: np.ndarray, breast: np.ndarray, distance: int) -> list[float]:
    """Contrast, dissimilarity, homogeneity, energy, correlation and entropy (Haralick 1973), over four directions."""
    share = cooccurrence(image, breast, distance)
    level = np.arange(LEVELS)
    apart = level[:, None] - level
    marginal = share.sum(axis=0)
    mean = (level * marginal).sum()
    variance = ((level - mean) ** 2 * marginal).sum()
    together = (np.outer(level - mean, level - mean) * share).sum()
    positive = share[share > 0]
    return [
        (apart**2 * share).sum(),
        (np.abs(apart) * share).sum(),
        (share / (1 + apart**2)).sum(),
        np.sqrt((share**2).sum()),
        together / variance if variance else 0.0,
        -(positive * np.log(positive)).sum(),
    ]


def cooccurrence(image: np.ndarray, breast: np.ndarray, distance: int) -> np.ndarray:
    """(LEVELS, LEVELS): how often two grey levels lie `distance` apart within the breast; symmetric, sums to 1."""
    levels = np.minimum((image * LEVELS).astype(int), LEVELS - 1)
    counts = np.zeros(LEVELS**2)
    height, width = image.shape
    for down, right in STEPS:
        down, right = down * distance, right * distance
        here = np.s_[: height - down, max(-right, 0) : width - max(right, 0)]
        there = np.s_[down:, max(right, 0) : width + min(right, 0)]
        both = breast[here] & breast[there]
        counts += np.bincount(levels[here][both] * LEVELS + levels[there][both], minlength=LEVELS**2)
    matrix = counts.reshape(LEVELS, LEVELS)
    return (matrix + matrix.T) / max(2 * counts.sum(), 1)
