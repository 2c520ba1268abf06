"""What is wrong with a data set, or with its split: leaks between sides, labels that contradict each other.

Everything works on one table of all rows (`audit_table`): its columns that are None are not known, or do not concern
that kind of row. `side` is the part of the split that a row is in; None: in none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from dataset_builders.burned_in_text import telling, view_label
from dataset_builders.image_looks import Looks
from dataset_builders.near_duplicates import SAME, near_pairs, share_alike
from dataset_builders.report_captions import STANDARD_SIDE

COLUMNS = ("patient_id", "exam_id", "laterality", "view", "birads", "density", "case_id", "caption", "page")
KINDS = {  # and what each is called
    "patients": "a patient on both sides",
    "exams": "an exam on both sides",
    "cases": "a case of an atlas on both sides",
    "captions": "a caption on both sides",
    "pages": "a page of an atlas on both sides",
    "identical": "the same image on both sides",
    "near-duplicates": "nearly the same image on both sides",
    "mirrored": "the mirror image on both sides",
    "birads": "a breast with two BI-RADS assessments in one exam",
    "density": "an exam with two breast densities",
    "labels": "the same image with different labels",
    "view-labels": "burned-in text that names the view or the side",
    "text": "burned-in text",
    "unreadable": "an image that cannot be read",
    "blank": "an image in which there is nothing",
}
SHARED = {
    "patients": "patient_id",
    "exams": "exam_id",
    "cases": "case_id",
    "captions": "caption",
    "pages": "page",
}
LABELS = ("laterality", "view", "birads", "density")
BATCH = 4096  # pairs of images that are compared at a time


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. kind: one of KINDS; text: what was found; rows: of the audit table, an example each."""

    kind: str
    text: str
    rows: tuple[int, ...]


def audit_table(parts: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One table of all rows. parts: for every data set its `name`, its `sides` (one for each row) and its columns.

    Patients, exams and pages count as the same where their `source` is the same, too. Captions that were composed from
    labels, beside BI-RADS, are no sign of a leak and left out.
    """
    frames = []
    for part in parts:
        columns = part["columns"]
        known = {name: columns[name] for name in COLUMNS if name in columns}
        if "birads" in known:
            known = {name: column for name, column in known.items() if name not in ("caption", "case_id")}
        frame = pd.DataFrame(known, dtype=object)
        source = pd.Series(columns["source"], dtype=object)
        frame["patient"] = frame.get("patient_id")
        for name, words in (("patient_id", " "), ("exam_id", " "), ("page", ", page ")):
            if name in known:
                frame[name] = source + words + frame[name].map(str, na_action="ignore")
        if "caption" in known:
            frame["caption"] = frame["caption"].str.split().str.join(" ")
        frames.append(
            frame.assign(
                data=part["name"], row=range(len(frame)), side=pd.Series(part["sides"], dtype=object)
            )
        )
    table = pd.concat(frames, ignore_index=True).reindex(columns=["data", "row", "side", "patient", *COLUMNS])
    return table.astype(object).where(table.notna(), None)


def shared_keys(table: pd.DataFrame) -> Iterator[Problem]:
    """Patients, exams, cases, captions and pages that are on more than one side."""
    for kind, column in SHARED.items():
        known = table[[column, "side"]].dropna()
        distinct = known.drop_duplicates()
        shared = distinct[distinct.duplicated(column, keep=False)]
        for key, rows in shared.groupby(column, sort=False):
            sides = " and ".join(map(str, rows["side"]))
            yield Problem(kind, f"{str(key)[:200]} is in {sides}", tuple(rows.index))


def label_conflicts(table: pd.DataFrame) -> Iterator[Problem]:
    """Breasts with several assessments, and exams with several densities."""
    for kind, label, of in (
        ("birads", "birads", ["exam_id", "laterality"]),
        ("density", "density", ["exam_id"]),
    ):
        distinct = table[[*of, label]].dropna().drop_duplicates()
        several = distinct[distinct.duplicated(of, keep=False)]
        for key, rows in several.groupby(of, sort=False):
            values = " and ".join(str(value) for value in sorted(rows[label]))
            yield Problem(kind, f"{' '.join(map(str, key))} has {values}", tuple(rows.index))


def odd_images(looks: Looks) -> Iterator[Problem]:
    """Images that cannot be read, in which there is nothing, or that have text burned in."""
    for number, why in looks.unreadable.items():
        yield Problem("unreadable", why, (number,))
    for number in looks.blank:
        yield Problem("blank", "all pixels are about the same", (number,))
    for number, lines in looks.texts.items():
        text = " / ".join(lines)
        kind = "view-labels" if view_label(text) else "text" if telling(text) else None
        if kind:
            yield Problem(kind, text, (number,))


class Copies:
    """Images that are the same, or nearly so.

    members: of every different image, its first row number → all of them; same: those lists of more than one; near,
    mirrored: (P, 2) first row numbers of two images that are nearly the same, or one the other's mirror image.
    """

    def __init__(self, looks: Looks, distance: int, progress: Callable = iter):
        first: dict[bytes, list[int]] = {}
        left_out = {*looks.unreadable, *looks.blank}
        for number, pixels in enumerate(looks.pixels):
            if number not in left_out:
                first.setdefault(pixels, []).append(number)
        self.members = {numbers[0]: numbers for numbers in first.values()}
        self.same = [numbers for numbers in first.values() if len(numbers) > 1]
        distinct = np.array(list(self.members), dtype=np.int64)
        hashes = looks.hashes[distinct]
        pairs = distinct[near_pairs(hashes, distance)]
        self.near = _confirmed(looks.details, pairs, progress)
        # An image against the mirror image of another: the second half of these places stands for the mirror images.
        both = near_pairs(np.concatenate([hashes, looks.mirrored[distinct]]), distance)
        one, other = both[:, 0], both[:, 1] - len(distinct)
        crossing = (one < len(distinct)) & (other > one)
        pairs = distinct[np.stack([one[crossing], other[crossing]], axis=1)]
        self.mirrored = _confirmed(looks.details, pairs, progress, mirror=True)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Row numbers of all that look the same, as links of chains."""
        for numbers in self.same:
            yield from zip(numbers, numbers[1:], strict=False)
        yield from map(tuple, np.concatenate([self.near, self.mirrored]).tolist())


def _confirmed(
    details: np.ndarray, pairs: np.ndarray, progress: Callable, mirror: bool = False
) -> np.ndarray:
    """Those of the pairs (P, 2) whose fine detail is the same."""
    kept = [np.empty((0, 2), dtype=np.int64)]
    for start in progress(range(0, len(pairs), BATCH)):
        some = pairs[start : start + BATCH]
        second = details[some[:, 1]]
        kept.append(some[share_alike(details[some[:, 0]], second[:, :, ::-1] if mirror else second) >= SAME])
    return np.concatenate(kept)


def copy_leaks(table: pd.DataFrame, copies: Copies) -> Iterator[Problem]:
    """Images on one side that are on another one, too."""
    sides = table["side"].tolist()
    for numbers in copies.same:
        by_side = _by_side(sides, numbers)
        if len(by_side) > 1:
            yield Problem("identical", f"in {' and '.join(by_side)}", tuple(by_side.values()))
    for kind, pairs in (("near-duplicates", copies.near), ("mirrored", copies.mirrored)):
        for pair in pairs.tolist():
            first, second = (_by_side(sides, copies.members[number]) for number in pair)
            crossing = next(((one, two) for one, two in product(first, second) if one != two), None)
            if crossing:
                one, two = crossing
                yield Problem(kind, f"in {one} and {two}", (first[one], second[two]))


def _by_side(sides: Sequence[str | None], numbers: Sequence[int]) -> dict[str, int]:
    """The first of these rows on every side that they are on."""
    return {sides[number]: number for number in reversed(numbers) if sides[number] is not None}


def copy_conflicts(table: pd.DataFrame, copies: Copies) -> Iterator[Problem]:
    """Identical images whose labels differ where both are known."""
    labels = table[list(LABELS)].to_numpy()
    for numbers in copies.same:
        for name, values in zip(LABELS, labels[numbers].T, strict=True):
            rows = {value: number for number, value in reversed(list(zip(numbers, values, strict=True)))}
            rows.pop(None, None)
            if len(rows) > 1:
                yield Problem("labels", f"{name} is {' and '.join(map(str, rows))}", tuple(rows.values()))


def patients_of(table: pd.DataFrame, data: str) -> list[str | None]:
    """The patient of every row by the data set's own name for her; None for rows of other data sets, and of pairs."""
    own = (table["data"] == data) & table["patient_id"].notna()
    return table["patient"].where(own, None).tolist()


def patient_pairs(patients: Sequence[str | None], copies: Copies) -> list[tuple[str, str]]:
    """Different patients who share an image, wherever they are: what `folds.join_groups` takes."""
    pairs = ((patients[first], patients[second]) for first, second in copies.pairs())
    return list(dict.fromkeys(pair for pair in pairs if None not in pair and pair[0] != pair[1]))


def counts(table: pd.DataFrame, looks: Looks, copies: Copies) -> dict[str, Any]:
    """What is worth a number and may be all right: copies on one side, and where the chest wall is."""
    walls = {"as expected": 0, "on the other side": 0, "not clear": 0}
    for laterality, wall in zip(table["laterality"], looks.walls, strict=True):
        if laterality in STANDARD_SIDE:
            right = wall == STANDARD_SIDE[laterality]
            walls["not clear" if not wall else "as expected" if right else "on the other side"] += 1
    return {
        "images": len(table),
        "patients": int(table["patient_id"].nunique()),
        "groups_of_identical_images": len(copies.same),
        "near_duplicate_pairs": len(copies.near),
        "mirrored_pairs": len(copies.mirrored),
        "images_with_text": len(looks.texts),
        "chest_wall": walls,
    }
