"""The columns that every builder yields: a record for an image with labels, a pair for an image with its caption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from datasets import Features, Image, List, Value

from .birads import BIRADS, DENSITIES

LATERALITIES = ("L", "R")
VIEWS = ("CC", "MLO")

RECORD_FEATURES = Features(
    {
        "image": Image(mode="L"),  # grey PNG of 8 bits; by option of 16, "I;16"
        "patient_id": Value("string"),  # what a fold must not cut
        "exam_id": Value("string"),
        "laterality": Value("string"),  # L or R
        "view": Value("string"),  # CC or MLO
        "birads": Value("int8"),  # 0–6 as published, none where unknown
        "density": Value("string"),  # A–D, none where unknown
        "source": Value("string"),  # the data set
    }
)
CAPTION_FEATURES = Features(  # by option: what makes pairs of records
    {
        "caption": Value("string"),  # composed from the labels
        "caption_id": Value("string"),  # the same for the same words
        "case_id": Value("string"),  # the patient
    }
)
PAIR_FEATURES = Features(
    {
        "image": Image(mode="L"),
        "caption": Value("string"),
        "caption_id": Value("string"),  # the same for all images of one caption
        "case_id": Value("string"),  # what a split must not cut
        "figure": Value("string"),
        "page": Value("int32"),  # of the PDF, from 1
        "source": Value("string"),
        # From here on, what older folders do not have.
        "box": List(Value("float32")),  # x0, y0, x1, y1 in PDF points from the page's top left corner
        "panel": Value("string"),  # the letter in the caption, none where it names none
        "history": Value("string"),  # the caption's sections, none where absent
        "mammography": Value("string"),
        "impression": Value("string"),
        "histopathology": Value("string"),
        "modality": Value("string"),  # mammogram, ultrasound, mri, histology, …
        "is_mammogram": Value("bool"),
        "modality_reason": Value("string"),  # what decided
        "split": Value("string"),  # train, validation or held_out, by case
    }
)
ALLOWED = {
    "laterality": LATERALITIES,
    "view": VIEWS,
    "birads": (*BIRADS, None),
    "density": (*DENSITIES, None),
}


def check_record(record: Mapping[str, Any]) -> None:
    """Refuse a record that breaks the schema, before it is written.

    Columns beyond the schema are what one set alone has and must bear the set's prefix: `embed_…`.

    Raises:
        ValueError: a column is missing, unknown or holds what it must not; the sentence names it.
    """
    missing = [name for name in RECORD_FEATURES if name not in record]
    if missing:
        raise ValueError(f"a record lacks the column {missing[0]!r}; it needs {', '.join(RECORD_FEATURES)}.")
    for name, allowed in ALLOWED.items():
        if record[name] not in allowed:
            expected = ", ".join("none" if value is None else str(value) for value in allowed)
            raise ValueError(f"column {name!r} holds {record[name]!r}; expected one of {expected}.")
    for name in ("patient_id", "exam_id", "source"):
        if not record[name]:
            raise ValueError(
                f"column {name!r} of a record is empty; without it folds cannot keep patients apart."
            )
    own = f"{record['source']}_"
    foreign = [name for name in record if name not in RECORD_FEATURES and not name.startswith(own)]
    if foreign:
        raise ValueError(f"column {foreign[0]!r} is not in the schema; name it {own}{foreign[0]}.")


def check_columns(found: list[str], needed: Iterable[str], where: str) -> None:
    """Refuse a data set that lacks a column.

    Raises:
        ValueError: names the folder, the missing column and those that are there.
    """
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(
            f"{where} has no column {missing[0]!r}; found {', '.join(found) or 'no columns at all'}."
        )
