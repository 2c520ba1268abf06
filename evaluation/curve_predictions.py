"""The saved predictions of a finished run as class indices, for intervals by patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dataset_builders.birads import UNKNOWN, density_index, five_class_index, three_group_index

from .patient_bootstrap import Predicted

PREDICTIONS = "predictions.parquet"
COLUMNS = ("patient_id", "birads", "predicted_birads")


def read_predictions(folder: str | Path, fold: int, seed: int) -> dict[str, Predicted]:
    """Score of `comparison.SCORES` → predictions of the images where the label is known.

    Raises FileNotFoundError where the run saved none, ValueError where a column is missing or a label does not exist.
    """
    file = Path(folder, PREDICTIONS)
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist; delete that run, and give the command again.")
    table = pd.read_parquet(file)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{file} has no column {missing[0]!r}; expected what classify.py writes.")
    five = [_indices(table[name], five_class_index) for name in ("birads", "predicted_birads")]
    columns = {"f1_five": five, "f1_three": [_groups(column) for column in five]}
    if {"density", "predicted_density"} <= set(table):
        columns["density_f1"] = [
            _indices(table[name], density_index) for name in ("density", "predicted_density")
        ]
    return {name: _tested(table["patient_id"], *both, fold, seed) for name, both in columns.items()}


def _tested(
    patients: pd.Series, labels: np.ndarray, predicted: np.ndarray, fold: int, seed: int
) -> Predicted:
    known = (labels != UNKNOWN) & (predicted != UNKNOWN)
    return Predicted(seed, fold, patients[known].tolist(), labels[known], predicted[known])


def _indices(column: pd.Series, index) -> np.ndarray:
    """(N,) class indices, UNKNOWN where there is no label."""
    values = [
        None if pd.isna(value) else int(value) if isinstance(value, float) else value for value in column
    ]
    found = [index(value) for value in values]
    return np.array([UNKNOWN if place is None else place for place in found], dtype=int)


def _groups(five: np.ndarray) -> np.ndarray:
    return np.array([UNKNOWN if place == UNKNOWN else three_group_index(int(place)) for place in five], int)
