"""Tables of predictions, as classify.py writes them, into one checked table; each error is a sentence about a file.

Columns of the table that comes out, beside those that were read: `patient` (unique over data sets), `label_birads` and
`label_density` (class indices, −1 where unknown or left out), `file` (which of the files the row is from).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .bootstrap import SAMPLES, GroupDraws
from .calibration import fit_temperature
from .prediction_columns import IDENTITY, PROBABILITIES
from .task_scores import Labelled
from .zero_shot import TASKS

REQUIRED = ("row", *IDENTITY, "source")
COLUMNS = (
    *REQUIRED,
    *(prefix + task for task in TASKS for prefix in ("", "predicted_")),
    *PROBABILITIES["birads"],
    *PROBABILITIES["density"],
)
ADD_UP = 1e-3  # how far the sum of float32, or bfloat16, probabilities may be from 1
NO_LABEL = -1


def read_predictions(paths: Sequence[str | Path]) -> pd.DataFrame:
    """The rows of all files, of folds of one data set or of several data sets, in the order of `source` and `row`.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is no Parquet table, lacks a column, holds a label, a
        prediction or a probability that cannot be, or shares patients with another of the files.
    """
    tables = [_read(Path(path)).assign(file=number) for number, path in enumerate(paths)]
    for number, table in enumerate(tables):
        for other, before in enumerate(tables[:number]):
            shared = set(table["patient"]) & set(before["patient"])
            if shared:
                raise ValueError(
                    f"{paths[other]} and {paths[number]} both hold patient {sorted(shared)[0]}, so they overlap; "
                    "give the folds of one run, each once."
                )
    # In one order whatever that of the files is: resamples follow the order of the patients.
    return pd.concat(tables).sort_values(["source", "row"], ignore_index=True)


def scored_tasks(table: pd.DataFrame) -> list[str]:
    """The tasks that have probabilities in all rows and a label in one row or more."""
    return [
        task
        for task, columns in PROBABILITIES.items()
        if table[columns[0]].notna().all() and (table[f"label_{task}"] != NO_LABEL).any()
    ]


def known_rows(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """The rows with a label of the task."""
    return table[table[f"label_{task}"] != NO_LABEL]


def labels_and_probabilities(known: pd.DataFrame, task: str) -> tuple[np.ndarray, np.ndarray]:
    """(N,) class indices, and (N, C) float64, of rows that have a label."""
    return known[f"label_{task}"].to_numpy(), known[list(PROBABILITIES[task])].to_numpy(np.float64)


def labelled(known: pd.DataFrame, task: str, samples: int = SAMPLES, seed: int = 0) -> Labelled:
    """Rows that have a label of the task, and draws of their patients."""
    draws = GroupDraws(known["patient"].tolist(), samples, seed)
    return Labelled(*labels_and_probabilities(known, task), draws, np.arange(len(known)))


def fitted_temperatures(table: pd.DataFrame) -> dict[str, float]:
    """Task → the temperature that suits its labels best; tasks without labels or probabilities are left out.

    table: of `read_predictions`, on images that neither training nor the test has seen, as classify.py's
    validation_predictions.parquet.
    """
    return {
        task: fit_temperature(*labels_and_probabilities(known_rows(table, task), task))
        for task in scored_tasks(table)
    }


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; classify.py writes predictions.parquet into its output."
        )
    try:
        table = pd.read_parquet(path)
    except (ValueError, OSError) as error:  # Arrow's, which names no file
        raise ValueError(
            f"{path} is no Parquet table ({error}); give predictions.parquet of classify.py."
        ) from error
    _check_columns(path, table)
    for task, columns in PROBABILITIES.items():
        table[list(columns)] = _numbers(path, table, columns)
        _check_probabilities(path, table, columns)
        table[f"label_{task}"] = _labels(path, table, task)
        _check_predictions(path, table, task, columns)
    table["patient"] = table["source"].astype(str) + "/" + table["patient_id"].astype(str)
    return table


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}; expected {', '.join(COLUMNS)}, as classify.py writes them."
        )
    if table.empty:
        raise ValueError(f"{path} has no rows; expected one for each image.")
    for name in REQUIRED:
        if table[name].isna().any():
            raise ValueError(f"{path} has a row without {name}; expected one in every row.")
    twice = table[table.duplicated(["source", "row"])]
    if len(twice):
        raise ValueError(f"{path} holds row {twice['row'].iloc[0]} of {twice['source'].iloc[0]} twice.")


def _numbers(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """As float64, so that sums and means keep their digits."""
    try:
        return table[list(columns)].astype(np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}, columns {columns[0]} to {columns[-1]}: {error}; expected numbers."
        ) from error


def _check_probabilities(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """A task was predicted for all rows, or for none; probabilities are in [0, 1] and add up to 1."""
    values = table[list(columns)].to_numpy()
    if np.isnan(values).all():
        return
    wrong = ~((values >= 0) & (values <= 1)).all(axis=1) | ~(np.abs(values.sum(axis=1) - 1) <= ADD_UP)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        shown = ", ".join(f"{value:.4g}" for value in values[row])
        raise ValueError(
            f"{path}, row {table['row'].iloc[row]}: {columns[0]} to {columns[-1]} are {shown}; "
            "expected probabilities that add up to 1."
        )


def _labels(path: Path, table: pd.DataFrame, task: str) -> np.ndarray:
    """(N,) class indices; −1 for an unknown label and for BI-RADS 3."""
    indices = {None: NO_LABEL}
    for value in table[task].dropna().unique():
        plain = value.item() if hasattr(value, "item") else value
        try:
            index = TASKS[task].index(plain)
        except ValueError as error:
            raise ValueError(f"{path}, column {task!r}: {error}") from error
        indices[value] = NO_LABEL if index is None else index
    return np.array([indices[None if pd.isna(value) else value] for value in table[task]], dtype=np.int64)


def _check_predictions(path: Path, table: pd.DataFrame, task: str, columns: Sequence[str]) -> None:
    """The predicted class is the most probable one; otherwise the columns have been mixed up."""
    values = table[list(columns)].to_numpy()
    if np.isnan(values).all():
        return
    classes = list(TASKS[task].values)
    for row, (predicted, chances) in enumerate(zip(table[f"predicted_{task}"], values, strict=True)):
        if predicted not in classes or chances[classes.index(predicted)] < chances.max() - ADD_UP:
            likely = classes[int(chances.argmax())]
            raise ValueError(
                f"{path}, row {table['row'].iloc[row]}: predicted_{task} is {predicted!r}, but {likely!r} is the most "
                "probable; expected the same."
            )
