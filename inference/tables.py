"""A journal → the tables of a finished run: images (CSV and JSONL), breasts and exams. Rows pass through one by one.

predictions.csv, predictions.jsonl   a row a file, in the order of their names
breasts.csv, exams.csv               a row a breast or exam, of the images that could be read
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from .exams import (
    BIRADS_COLUMNS,
    DENSITY_COLUMNS,
    PREDICTED,
    SCORE_COLUMNS,
    Numbers,
    image_table,
    units,
    with_predictions,
)

NOTICE = "notice"  # a column of every table, because each may be passed on alone
CSV, JSONL, BREASTS, EXAMS = "predictions.csv", "predictions.jsonl", "breasts.csv", "exams.csv"
PLACE = ("patient", "exam", "laterality", "laterality_source", "view", "view_source")
HEADER = ("file", *PLACE, "crop_source", *PREDICTED, *SCORE_COLUMNS, "warnings", "error", NOTICE)
PRECISION = 6  # digits of a probability

Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """What was written. breasts, exams: as in `exams.units`. counts: of files by what became of them."""

    breasts: pd.DataFrame
    exams: pd.DataFrame
    counts: Counter


def write_tables(output: Path, rows: Iterable[Row], rule: str, notice: str) -> Tables:
    """Write all tables, each whole or not at all. rows: of `predicting.batch_rows`. notice: stands in every row."""
    counts, images = Counter(), []
    with _whole(output / CSV) as table, _whole(output / JSONL) as lines:
        writer = csv.DictWriter(table, HEADER, extrasaction="ignore")
        writer.writeheader()
        for row in numbered(rows):
            row[NOTICE] = notice
            writer.writerow(_cells(row))
            lines.write(json.dumps(row) + "\n")
            counts.update(kind for kind in ("error", "warnings") if row[kind])
            if not row["error"]:
                scores = [row[name] for name in (*BIRADS_COLUMNS, *DENSITY_COLUMNS)]
                images.append((row["patient"], row["exam"], row["laterality"], scores))
    pooled = (
        {level: units(image_table(images), level, rule) for level in ("breast", "exam")} if images else {}
    )
    breasts, exams = (pooled.get(level, pd.DataFrame()) for level in ("breast", "exam"))
    for name, found in ((BREASTS, breasts), (EXAMS, exams)):
        with _whole(output / name) as file:
            found.assign(**{NOTICE: notice}).to_csv(
                file, index=False, float_format=f"%.{PRECISION}f", lineterminator="\n"
            )
    return Tables(breasts, exams, counts)


def numbered(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows of the journal as the tables have them: numbers in the place of keys, predictions beside the scores."""
    numbers = Numbers()
    for row in rows:
        if row["scores"] is None:
            keys, scores = (None, None), dict.fromkeys((*PREDICTED, *SCORE_COLUMNS))
        else:
            keys, scores = numbers.of(row["patient"], row["exam"]), with_predictions(row["scores"])
        about = {
            name: value
            for name, value in row.items()
            if name not in ("scores", "captions", "warnings", "error")
        }
        last = {name: row[name] for name in ("captions", "warnings", "error")}
        yield {**about, "patient": keys[0], "exam": keys[1], **scores, **last}


def _cells(row: Row) -> Row:
    cells = {name: f"{row[name]:.{PRECISION}f}" for name in SCORE_COLUMNS if row[name] is not None}
    return {**row, **cells, "warnings": "; ".join(row["warnings"])}


@contextmanager
def _whole(path: Path) -> Iterator[TextIO]:
    """A file to write to, which then takes its place: so it is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield file
    part.replace(path)
