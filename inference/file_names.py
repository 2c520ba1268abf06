"""What the name of a file says where no tag does: laterality, view, and which pictures are of one exam."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from dataset_builders.records import VIEWS

SIDES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
LETTERS = ("L", "R")
BOTH = re.compile(rf"([LR])({'|'.join(VIEWS)})")
BREAKS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class NameParts:
    """laterality "L" or "R", view "CC" or "MLO", None where the name does not say it beyond doubt; rest: other words.

    Pictures of one folder whose names have the same rest, and both side and view, are taken for one exam.
    """

    laterality: str | None
    view: str | None
    rest: str


def read_name(name: str) -> NameParts:
    """Words between blanks, dots, hyphens and underscores: "case12_L_CC.png", "right-mlo.jpg", "LCC.png".

    A single letter counts only beside a view, for it may be anything; two different sides or views are none.
    """
    said, rest = {"laterality": [], "view": []}, []
    for word in BREAKS.split(PurePosixPath(name).stem.upper()):
        both = BOTH.fullmatch(word)
        if both:
            said["laterality"].append(both[1])
            said["view"].append(both[2])
        elif word in VIEWS:
            said["view"].append(word)
        elif word in SIDES:
            said["laterality"].append(word)
        elif word:
            rest.append(word)
    if not said["view"]:
        said["laterality"] = [word for word in said["laterality"] if word not in LETTERS]
    laterality = _only({SIDES[word] for word in said["laterality"]})
    return NameParts(laterality, _only(set(said["view"])), " ".join(rest))


def folder_of(name: str) -> str:
    """The folder of a file within the input, "." for its top."""
    return PurePosixPath(name).parent.as_posix()


def _only(values: set[str]) -> str | None:
    return next(iter(values)) if len(values) == 1 else None
