"""EMBED's clinical table, a row for each finding → what is known of every breast and exam.

The rules are those of EMBED's README ("Merging Clinical and Metadata files") and of its notebook
`screening_label_assignment`, in https://github.com/Emory-HITI/EMBED_Open_Data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from dataset_builders.birads import SEVERITY, worst
from dataset_builders.records import LATERALITIES
from dataset_builders.tables import coded, each, numeric, text

ASSESSMENTS = {"A": 0, "N": 1, "B": 2, "P": 3, "S": 4, "M": 5, "K": 6}
TISSUE = {"1": "A", "2": "B", "3": "C", "4": "D"}  # 5 is a male breast
NEGATIVE = 1
BILATERAL = re.compile(r"\bbil", re.IGNORECASE)  # "MG Screening Bilateral", "MG Screen Bilat w/Tomo/CAD"
EXAMS = (
    ("screening", re.compile("screen", re.IGNORECASE)),
    ("diagnostic", re.compile("diag", re.IGNORECASE)),
)
OTHER_SIDE = dict(zip(LATERALITIES, reversed(LATERALITIES), strict=True))
BOTH_SIDES = ("B", "")  # a finding without a side concerns both breasts


def breast_assessment(findings: Iterable[dict[str, Any]], laterality: str) -> int | None:
    """The worst BI-RADS of one exam's findings that concern a breast; the rule that `breasts` applies to a table.

    A finding concerns a breast when its `side` is the same, B or empty. A bilateral exam whose findings are all on
    the other side is negative here (1), although no row says so; None: nothing is known about this breast. The one
    order of `worst` holds EMBED's two, A > B > N in screening and K > M > S > P > B > N in diagnostic exams.
    """
    findings = list(findings)
    sides = [text(row["side"]) for row in findings]
    own = [row for row, side in zip(findings, sides, strict=True) if side in (laterality, *BOTH_SIDES)]
    known = [value for row in own if (value := coded(row["asses"], ASSESSMENTS)) is not None]
    if known:
        return worst(known)
    bilateral = any(is_bilateral(text(row["desc"])) for row in findings)
    elsewhere = bool(sides) and all(side == OTHER_SIDE[laterality] for side in sides)
    return NEGATIVE if elsewhere and bilateral else None


def breasts(clinical: pd.DataFrame) -> pd.DataFrame:
    """Every breast that something is known about, one row each, from columns acc_anon, side, asses and desc.

    → `exam`, `laterality`, `birads` (int, as breast_assessment says), `implied` (bool: negative without a row of its
    own), `differ` (bool: its findings have different assessments, of which birads is the worst).
    """
    number, names = pd.factorize(clinical["acc_anon"])
    rank = each(clinical["asses"], _rank).astype(int)
    bilateral = _any(number, each(clinical["desc"], is_bilateral).astype(bool), len(names))
    tables = []
    for laterality in LATERALITIES:
        own = clinical["side"].isin([laterality, *BOTH_SIDES]).to_numpy() & (rank >= 0)
        highest, lowest = np.full(len(names), -1), np.full(len(names), len(SEVERITY))
        np.maximum.at(highest, number[own], rank[own])
        np.minimum.at(lowest, number[own], rank[own])
        not_other = clinical["side"].to_numpy() != OTHER_SIDE[laterality]
        implied = (highest < 0) & bilateral & ~_any(number, not_other, len(names))
        birads = np.where(implied, NEGATIVE, np.array(SEVERITY)[highest])
        known = implied | (highest >= 0)
        columns = {"exam": names, "birads": birads, "implied": implied, "differ": lowest < highest}
        tables.append(pd.DataFrame(columns)[known].assign(laterality=laterality))
    return pd.concat(tables, ignore_index=True)


def exams(clinical: pd.DataFrame) -> pd.DataFrame:
    """What is known of every exam: the first value that any of its rows has, else None.

    → `exam`, `density` (A–D), `embed_age` (years), `embed_race`, `embed_ethnicity`, `embed_exam` ("screening" or
    "diagnostic", from the exam's description).
    """
    columns = {
        "exam": clinical["acc_anon"],
        "density": each(clinical["tissueden"], lambda cell: coded(cell, TISSUE)),
        "embed_age": each(clinical["age_at_study"], numeric),
        "embed_race": each(clinical["RACE_DESC"], lambda cell: cell or None),
        "embed_ethnicity": each(clinical["ETHNIC_GROUP_DESC"], lambda cell: cell or None),
        "embed_exam": each(clinical["desc"], exam_kind),
    }
    table = pd.DataFrame(columns).astype({"embed_age": "float64"})
    return table.groupby("exam", sort=False).first().reset_index()


def is_bilateral(description: str) -> bool:
    return BILATERAL.search(description) is not None


def exam_kind(description: str) -> str | None:
    """ "MG Screening Bilateral" → "screening"; None where the description says neither."""
    return next((kind for kind, words in EXAMS if words.search(description)), None)


def _rank(cell: str) -> int:
    """An assessment's place in SEVERITY; −1 for none."""
    value = coded(cell, ASSESSMENTS)
    return -1 if value is None else SEVERITY.index(value)


def _any(number: np.ndarray, flags: np.ndarray, size: int) -> np.ndarray:
    """Whether any row of an exam is flagged, (size,) bool; number: the exam of each row."""
    return np.bincount(number, weights=flags, minlength=size) > 0
