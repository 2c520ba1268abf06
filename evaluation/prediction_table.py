"""The table that classify.py keeps of its predictions: a row an image, with all that scores and subgroups need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .prediction_columns import CLASSES, IDENTITY, PROBABILITIES
from .prediction_origin import FINGERPRINT

TYPES = {"birads": pa.int8(), "density": pa.string()}


def prediction_table(
    table: datasets.Dataset, rows: Sequence[int], logits: Mapping[str, np.ndarray], name: str
) -> pa.Table:
    """A row for each image: who it is, what is right, what was predicted, and all probabilities.

    table: the whole data set; rows (N,): the numbers of the images. logits: task ("birads", "density") → (N, classes);
        a task that was not learned is left out, and its columns hold nothing. name: what `source` says where the
        records have no such column.

    Columns: row int32, patient_id, exam_id, laterality, view, source; birads int8 and density as in the data set,
    predicted_birads int8, predicted_density; p_birads_0, 1, 2, 4, 5 and p_density_a to d float32, which add up to 1;
    then what the data set alone has under its own prefix, such as embed_age, as far as it is a plain value.
    """
    own = _own_columns(table)
    known = [*IDENTITY, *CLASSES, *(["source"] if "source" in table.column_names else []), *own]
    stored = table.select_columns(known).with_format("arrow")[rows]
    columns = {"row": pa.array(rows, pa.int32())} | {column: stored[column] for column in IDENTITY}
    columns["source"] = stored["source"] if "source" in known else pa.array([name] * len(rows), pa.string())
    columns |= {task: stored[task].cast(TYPES[task]) for task in CLASSES}
    for task in CLASSES:
        columns[f"predicted_{task}"] = _predicted(task, logits.get(task), len(rows))
    for task in CLASSES:
        columns |= _probabilities(task, logits.get(task), len(rows))
    return pa.table(columns | {column: stored[column] for column in own})


def write_predictions(table: pa.Table, file: str | Path, fingerprint: str) -> None:
    """Write a table of predictions as Parquet, which names the data set by its fingerprint."""
    metadata = {**(table.schema.metadata or {}), FINGERPRINT: fingerprint}
    pq.write_table(table.replace_schema_metadata(metadata), file)


def _own_columns(table: datasets.Dataset) -> list[str]:
    """Columns of plain values that bear a data set's prefix."""
    if "source" not in table.column_names:
        return []
    prefixes = tuple(f"{source}_" for source in set(table["source"][:]))
    plain = [name for name, kind in table.features.items() if isinstance(kind, datasets.Value)]
    return [name for name in plain if name.startswith(prefixes)]


def _predicted(task: str, logits: np.ndarray | None, rows: int) -> pa.Array:
    values = [None] * rows if logits is None else [CLASSES[task][place] for place in logits.argmax(axis=1)]
    return pa.array(values, TYPES[task])


def _probabilities(task: str, logits: np.ndarray | None, rows: int) -> dict[str, pa.Array]:
    names = PROBABILITIES[task]
    if logits is None:
        return {name: pa.nulls(rows, pa.float32()) for name in names}
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    scores = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return {name: pa.array(scores[:, place]) for place, name in enumerate(names)}
