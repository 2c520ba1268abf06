"""The page that shows a run: a card an exam, with the pictures, scores, warnings and nearest captions of its images.

The page stays small however many files there are: it shows the exams of the first ones and says how many there are
more. It names files as they lie within the input, and nothing else of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_builders.birads import DENSITIES, FIVE_NAMES, THREE_NAMES
from evaluation.pages import embedded_picture, write_page
from evaluation.report import bars

from .exams import BIRADS_COLUMNS, DENSITY_COLUMNS, GROUP_COLUMNS
from .tables import CSV, Row, Tables

REPORT, TEMPLATE = "report.html", "predictions.jinja"
SIDES = {"L": "Left", "R": "Right"}
TASKS = {
    "BI-RADS": (BIRADS_COLUMNS, FIVE_NAMES),
    "Three groups": (GROUP_COLUMNS, THREE_NAMES),
    "Breast density": (DENSITY_COLUMNS, DENSITIES),
}
MOST_ERRORS = 50  # that the page lists
PICTURE_SCALE = 1.6  # pixels of a thumbnail to one of the page

Thumbnails = Callable[[int], Path]


def write_page_of(
    output: Path,
    rows: Iterable[Row],
    tables: Tables,
    thumbnail: Thumbnails,
    about: Mapping[str, Any],
    shown: int,
) -> None:
    """Write OUTPUT/report.html, whole or not at all.

    Args:
        rows: as `tables.numbered` gives them; only those of the first `shown` files are kept.
        thumbnail: path of the picture of a file, by its number.
        about: `files` (how many), `phantom` and `phantom_captions` (whether the model has seen phantoms alone, and
            whether the captions are theirs), `notes` (sentences), `credit` (of the images, or "").
        shown: how many files may have a picture.
    """
    images, errors = _kept(rows, shown)
    exams = [_exam(number, images[number], tables, thumbnail) for number in images]
    write_page(
        output / REPORT,
        TEMPLATE,
        {
            **about,
            "summary": _summary(about, tables),
            "exams": exams,
            "more": len(tables.exams) - len(exams),
            "shown": shown,
            "errors": errors,
            "more_errors": tables.counts["error"] - len(errors),
            "table": CSV,
        },
        folder=Path(__file__).parent,
    )


def _kept(rows: Iterable[Row], shown: int) -> tuple[dict[int, list[tuple[int, Row]]], list[str]]:
    """Exam → the numbered rows of the first files; and the first errors."""
    images, errors = defaultdict(list), []
    for number, row in enumerate(rows):
        if row["error"]:
            errors += [_text(row["error"])] if len(errors) < MOST_ERRORS else []
        elif number < shown:
            images[row["exam"]].append((number, row))
    return dict(images), errors


def _summary(about: Mapping[str, Any], tables: Tables) -> list[str]:
    read, warned = about["files"] - tables.counts["error"], tables.counts["warnings"]
    said = [f"{read} of {about['files']} files were read, {warned or 'none'} with a warning."]
    if len(tables.exams):
        patients = tables.exams["patient"].nunique()
        counts = (
            _count(len(tables.breasts), "breast"),
            _count(len(tables.exams), "exam"),
            _count(patients, "patient"),
        )
        said.append("They show {} in {} of {}.".format(*counts))
    return said


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _exam(
    number: int, images: list[tuple[int, Row]], tables: Tables, thumbnail: Thumbnails
) -> dict[str, Any]:
    own = tables.exams[tables.exams["exam"] == number].iloc[0]
    breasts = tables.breasts[tables.breasts["exam"] == number]
    return {
        "title": f"Exam {number}",
        "about": f"Patient {own['patient']}, {_count(own['images'], 'image')}",
        "units": [
            _unit("Whole exam", own),
            *(
                _unit(f"{SIDES.get(row['laterality'], 'Unknown')} breast", row)
                for _, row in breasts.head(len(images)).iterrows()
            ),
        ],
        "images": [_image(place, row, thumbnail) for place, row in images],
        "more": int(own["images"]) - len(images),
    }


def _unit(title: str, row: pd.Series | Row) -> dict[str, Any]:
    return {"title": title, "tasks": [(task, bars(_named(row, *of))) for task, of in TASKS.items()]}


def _named(row: pd.Series | Row, columns: Iterable[str], names: Iterable[str]) -> dict[str, float]:
    return {name: float(row[column]) for column, name in zip(columns, names, strict=True)}


def _image(number: int, row: Row, thumbnail: Thumbnails) -> dict[str, Any]:
    side = SIDES.get(row["laterality"], "Side unknown")
    title = f"{side} {row['view'] or 'view unknown'}"
    name = _text(row["file"])
    x0, y0, x1, y1 = row["crop"]
    height, width = row["size"]
    return {
        **_unit(title, row),
        "file": name,
        "picture": embedded_picture(
            thumbnail(number).read_bytes(), f"{title}, the crop of {name}", scale=PICTURE_SCALE
        ),
        "crop": f"{x1 - x0} × {y1 - y0} of {width} × {height} pixels",
        "warnings": [_text(warning) for warning in row["warnings"]],
        "captions": row["captions"],
    }


def _text(name: str) -> str:
    """A name as a page can have it: bytes that are no UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode("utf-8")
