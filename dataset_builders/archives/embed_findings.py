"""EMBED's codes for masses, asymmetries and calcifications → findings in BI-RADS's words.

The codes are those of EMBED's own legend, `references/AWS_Open_Data_Clinical_Legend.csv` in
https://github.com/Emory-HITI/EMBED_Open_Data; a code that is not in it means nothing here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd

from dataset_builders.archives.embed_labels import ASSESSMENTS, BOTH_SIDES
from dataset_builders.findings import Finding
from dataset_builders.records import LATERALITIES
from dataset_builders.tables import coded

# `massshape` also tells what is no mass: (kind, shape of a mass).
SHAPES = {
    "G": ("mass", None),
    "R": ("mass", "round"),
    "O": ("mass", "oval"),
    "X": ("mass", "irregular"),
    "A": ("architectural distortion", None),
    "Q": ("other", None),  # "questioned architectural distortion"
    "T": ("other", None),  # solitary dilated duct
    "N": ("other", None),  # intramammary lymph node, not called suspicious
    "Y": ("other", None),  # lymph node, not called suspicious
    "B": ("global asymmetry", None),
    "F": ("focal asymmetry", None),
    "S": ("asymmetry", None),
    "V": ("asymmetry", None),  # developing: one that has grown since an earlier exam
}
MARGINS = {"D": "circumscribed", "U": "obscured", "M": "microlobulated", "I": "indistinct", "S": "spiculated"}
DENSITIES = {"+": "high", "=": "equal", "-": "low", "0": "fat-containing"}
MORPHOLOGIES = {
    "A": "amorphous",
    "B": "fine linear branching",
    "C": "popcorn-like",
    "D": "dystrophic",
    "E": "rim",
    "F": "fine linear",
    "H": "coarse heterogeneous",
    "I": "fine pleomorphic",
    "K": "pleomorphic",
    "L": "large rod-like",
    "M": "milk of calcium",
    "O": "lucent-centered",
    "P": "punctate",
    "Q": "coarse",
    "R": "round",
    "S": "skin",
    "U": "suture",
    "V": "vascular",
}  # 9 (benign), G (generic) and J (oil cyst) name no morphology of BI-RADS
DISTRIBUTIONS = {
    "G": "grouped",
    "C": "grouped",  # "clustered", the word of BI-RADS's fourth edition
    "S": "segmental",
    "R": "regional",
    "D": "diffuse",
    "L": "linear",
}
# 0 invasive and 1 non-invasive cancer; 4 benign, 5 normal tissue. High-risk and borderline lesions (2, 3) are neither,
# and 6 is a cancer of something else than the breast.
PATHOLOGY = {"0": "malignant", "1": "malignant", "4": "benign", "5": "benign"}
MASS, CALCIFICATIONS = ("massshape", "massmargin", "massdens"), ("calcfind", "calcdistri")


def breast_findings(clinical: pd.DataFrame) -> dict[tuple[str, str], list[Finding]]:
    """(exam, laterality) → the findings of that breast in the table's order, for breasts that have any.

    A row is repeated for each specimen that was taken; it is one finding, with its worst pathology.
    """
    told = clinical[(clinical[[*MASS, *CALCIFICATIONS]] != "").any(axis=1)]
    same = ["acc_anon", "side", "numfind", "asses", *MASS, *CALCIFICATIONS]
    severity = pd.to_numeric(told["path_severity"], errors="coerce").sort_values(kind="stable")
    told = told.loc[severity.index].drop_duplicates(same).sort_index()
    found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for row in told.to_dict("records"):
        for laterality in LATERALITIES:
            if row["side"] in (laterality, *BOTH_SIDES):
                found[row["acc_anon"], laterality] += findings_of(row)
    return {breast: findings for breast, findings in found.items() if findings}


def findings_of(row: dict[str, Any]) -> Iterator[Finding]:
    """The findings that a row of the clinical table describes: none, a mass (or the like), calcifications, or both."""
    common = {"birads": coded(row["asses"], ASSESSMENTS), "pathology": coded(row["path_severity"], PATHOLOGY)}
    kind, shape = coded(row["massshape"], SHAPES) or (None, None)
    margin, density = coded(row["massmargin"], MARGINS), coded(row["massdens"], DENSITIES)
    if kind == "mass" or (not row["massshape"] and (margin or density)):
        yield Finding("mass", shape=shape, margin=margin, density=density, **common)
    elif kind:
        yield Finding(kind, **common)
    if row["calcfind"] or row["calcdistri"]:
        words = {
            "morphology": coded(row["calcfind"], MORPHOLOGIES),
            "distribution": coded(row["calcdistri"], DISTRIBUTIONS),
        }
        yield Finding("calcifications", **words, **common)


def boxes(cell: str) -> list[tuple[int, int, int, int]]:
    """`ROI_coords`, "[[ymin, xmin, ymax, xmax], …]" in pixels → x0, y0, x1, y1 of each; none where it is odd."""
    numbers = [int(float(number)) for number in re.findall(r"-?\d+(?:\.\d+)?", cell)]
    if len(numbers) % 4:
        return []
    found = [(x0, y0, x1, y1) for y0, x0, y1, x1 in zip(*[iter(numbers)] * 4, strict=True)]
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in found if 0 <= x0 < x1 and 0 <= y0 < y1]


def with_box(findings: list[Finding], cell: str) -> list[Finding]:
    """A breast's findings in one image: with a box where there is one of each, for only then it is the finding's."""
    if len(findings) != 1:
        return list(findings)
    found = boxes(cell)
    return [replace(findings[0], box=found[0] if len(found) == 1 else None)]
