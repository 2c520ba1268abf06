"""Batches of readings → rows of the journal: scores and nearest captions, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .captions import NearestCaptions
from .classifier import Classifier, Scores
from .exams import BIRADS_COLUMNS, DENSITY_COLUMNS
from .reading import Reading, stacked

DIGITS = 9  # behind the point: more than a float32 below 1 has
NO_NUMBERS = "the model gave no numbers for it (NaN); try --dtype float32, and check the weights"
KEPT = (
    "patient",
    "exam",
    "laterality",
    "laterality_source",
    "view",
    "view_source",
    "size",
    "crop",
    "crop_source",
)


def batch_rows(
    classifier: Classifier, readings: Sequence[Reading], captions: NearestCaptions | None
) -> list[dict[str, Any]]:
    """A row a reading, in their order, as JSON has it.

    Every row has file, KEPT, `scores` (by column, None for a bad file), `captions`, `warnings` and `error`.
    Raises ValueError where the device's memory does not suffice.
    """
    pixel_values = stacked(readings)
    if pixel_values is None:
        return [_row(reading, None, []) for reading in readings]
    try:
        scores = _by_image(classifier.scores(pixel_values))
        near = captions.of(pixel_values) if captions else [[]] * len(scores)
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"{classifier.model.device} has no memory for {len(readings)} images at a time; give a smaller "
            "--batch-size and a new --output."
        ) from error
    found = iter(zip(scores, near, strict=True))
    return [
        _row(reading, *(next(found) if reading.pixel_values is not None else (None, [])))
        for reading in readings
    ]


def _by_image(scores: Scores) -> list[dict[str, float] | None]:
    """By column for each image, None where they are no numbers."""
    values = np.concatenate([scores.birads, scores.density], axis=1)
    columns = [*BIRADS_COLUMNS, *DENSITY_COLUMNS]
    rounded = (
        dict(zip(columns, np.round(row.astype(np.float64), DIGITS).tolist(), strict=True)) for row in values
    )
    return [row if finite else None for row, finite in zip(rounded, scores.finite, strict=True)]


def _row(reading: Reading, scores: dict[str, float] | None, captions: list[dict[str, Any]]) -> dict[str, Any]:
    spoilt = not reading.error and scores is None
    return {
        "file": reading.name,
        **{name: getattr(reading, name) for name in KEPT},
        "scores": scores,
        "captions": [] if spoilt else captions,
        "warnings": reading.warnings,
        "error": f"{reading.name}: {NO_NUMBERS}" if spoilt else reading.error,
    }
