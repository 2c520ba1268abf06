"""Images → breasts and exams: numbers in the place of keys, and scores by the rules of `evaluation.pooling`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from dataset_builders.birads import DENSITIES, FIVE_CLASSES, THREE_NAMES
from evaluation.pooling import LEVELS, RULES, pooled
from evaluation.prediction_columns import PROBABILITIES
from evaluation.predictions import NO_LABEL

from .classifier import MEMBERSHIP

BIRADS_COLUMNS, DENSITY_COLUMNS = (list(PROBABILITIES[task]) for task in ("birads", "density"))
GROUP_COLUMNS = [f"p_{name}" for name in THREE_NAMES]
SCORE_COLUMNS = [*BIRADS_COLUMNS, *GROUP_COLUMNS, *DENSITY_COLUMNS]
PREDICTED = {
    "predicted_birads": (BIRADS_COLUMNS, FIVE_CLASSES),
    "predicted_group": (GROUP_COLUMNS, THREE_NAMES),
    "predicted_density": (DENSITY_COLUMNS, DENSITIES),
}
KEYS = {"breast": ("patient", "exam", "laterality"), "exam": ("patient", "exam")}
COUNTED = {"breast": ("images",), "exam": ("images", "breasts")}


class Numbers:
    """Patients and exams by numbers from 1, in the order in which they turn up: nothing of a pseudonym is left."""

    def __init__(self) -> None:
        self.patients: dict[str, int] = {}
        self.exams: dict[str, int] = {}

    def of(self, patient: str, exam: str) -> tuple[int, int]:
        return (
            self.patients.setdefault(patient, len(self.patients) + 1),
            self.exams.setdefault(exam, len(self.exams) + 1),
        )


def with_predictions(scores: dict[str, float]) -> dict[str, Any]:
    """Probabilities of BI-RADS and density, by column → those, the three groups', and what is most probable."""
    five = np.array([scores[name] for name in BIRADS_COLUMNS])
    scores = {**scores, **dict(zip(GROUP_COLUMNS, (five @ MEMBERSHIP).tolist(), strict=True))}
    likely = {
        name: classes[int(np.argmax([scores[column] for column in columns]))]
        for name, (columns, classes) in PREDICTED.items()
    }
    return {**likely, **{name: scores[name] for name in SCORE_COLUMNS}}


def units(table: pd.DataFrame, level: str, rule: str = "mean") -> pd.DataFrame:
    """A row for each breast or exam, by number of the patient and the exam.

    Args:
        table: a row for each image that could be read, with `patient`, `exam`, `laterality` ("L", "R" or None) and the
            probabilities of BIRADS_COLUMNS and DENSITY_COLUMNS, float64. An image of unknown laterality is a breast of
            its own, because nobody knows which other views show the same.
        level: "breast" or "exam". rule: one of `evaluation.pooling.RULES`.
    Returns:
        The level's keys, counts, what is most probable, and SCORE_COLUMNS.
    """
    if rule not in RULES:
        raise ValueError(f"the rule is {rule!r}; expected one of {', '.join(RULES)}.")
    keyed = table.rename(columns={"exam": "exam_id"})
    alone = pd.Series([f"image {row:09}" for row in range(len(keyed))], index=keyed.index, dtype=object)
    keyed = keyed.assign(
        laterality=keyed["laterality"].where(keyed["laterality"].notna(), alone),
        birads=None,
        label_density=NO_LABEL,
    )
    found = pooled(keyed, level, rule)
    keys = list(LEVELS[level])
    counts = keyed.groupby(keys).agg(images=("laterality", "size"), breasts=("laterality", "nunique"))
    found = found.merge(counts.reset_index(), on=keys, validate="one_to_one")
    return _columns(found, level)


def _columns(found: pd.DataFrame, level: str) -> pd.DataFrame:
    found[GROUP_COLUMNS] = found[BIRADS_COLUMNS].to_numpy() @ MEMBERSHIP
    for name, (columns, classes) in PREDICTED.items():
        found[name] = np.array(classes)[found[columns].to_numpy().argmax(axis=1)]
    found = found.rename(columns={"exam_id": "exam"})
    if level == "breast":
        found["laterality"] = found["laterality"].where(found["laterality"].isin(["L", "R"]), None)
    return found[[*KEYS[level], *COUNTED[level], *PREDICTED, *SCORE_COLUMNS]]


def image_table(rows: Iterable[tuple[int, int, str | None, list[float]]]) -> pd.DataFrame:
    """(patient, exam, laterality, nine probabilities) of every image that could be read → what `units` takes."""
    rows = list(rows)
    scores = np.array([row[3] for row in rows], np.float64).reshape(-1, len(BIRADS_COLUMNS + DENSITY_COLUMNS))
    table = pd.DataFrame(scores, columns=[*BIRADS_COLUMNS, *DENSITY_COLUMNS])
    for place, name in enumerate(("patient", "exam", "laterality")):
        table[name] = pd.Series([row[place] for row in rows], dtype=object if name == "laterality" else int)
    return table
