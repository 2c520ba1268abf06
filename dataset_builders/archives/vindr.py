"""VinDr-Mammo (PhysioNet, restricted access): four views an exam, assessed breast by breast, findings with boxes."""

from __future__ import annotations

import ast
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from datasets import Value

from dataset_builders.archives.archive_files import DICOM, ArchiveFiles, by_name, no_record
from dataset_builders.birads import BIRADS, DENSITIES
from dataset_builders.findings import KINDS, Finding
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.tables import read_table, text
from dataset_builders.terms import Terms

BREASTS = (
    *("study_id", "image_id", "laterality", "view_position", "height", "width"),
    *("breast_birads", "breast_density", "split"),
)
FINDINGS = ("image_id", "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax")
ASSESSMENTS = {f"BI-RADS {value}": value for value in BIRADS}
TISSUE = {f"DENSITY {letter}": letter for letter in DENSITIES}
OWN_NAMES = {"suspicious calcification": "calcifications"}  # the other categories are called as we call them
NOTHING = "no finding"


class VindrBuilder(RecordBuilder):
    """VinDr-Mammo's archive: `images/<study_id>/<image_id>.dicom`, `breast-level_annotations.csv` (a row an image)
    and `finding_annotations.csv` (a row a finding), in whatever folders.

    The tables name no patient: an exam is a patient. PNG copies are taken where there is no DICOM file; they are
    of other sizes, so that their findings have no boxes.
    """

    own_features = {"vindr_split": Value("string")}  # training or test, as published
    rules = (
        "BI-RADS and density are those of the breast; the tables name no patient, so that an exam is a "
        "patient.",
        "Training and test images are together; `vindr_split` tells them apart.",
    )
    terms = Terms(
        licence="PhysioNet Restricted Health Data License 1.5.0",
        citation="Nguyen, H. T., Nguyen, H. Q., Pham, H. H., Lam, K., Le, L. T., Dao, M., Vu, V. (2023). "
        "VinDr-Mammo: A large-scale benchmark dataset for computer-aided diagnosis in full-field digital "
        "mammography. Scientific Data 10, 277. https://doi.org/10.1038/s41597-023-02100-7; "
        "data: https://doi.org/10.13026/br2v-7517",
        homepage="https://physionet.org/content/vindr-mammo/",
        weights="permission",
    )

    def index(self, folder: Path) -> Index:
        files = ArchiveFiles(folder)
        images = read_table(files.table("breast-level_annotations.csv"), BREASTS).to_dict("records")
        marked: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in read_table(files.table("finding_annotations.csv"), FINDINGS).to_dict("records"):
            marked[text(row["image_id"])].append(row)
        places = by_name(files.images((*DICOM, ".png")))
        found, seen = Index(), set()
        for row in images:
            name = text(row["image_id"])
            path = _place(row, places)
            reason = no_record(text(row["laterality"]), text(row["view_position"]), path, name in seen)
            if reason:
                found.left_out[reason] += 1
            else:
                found.rows.append(_record(path, row, marked.get(name, []), found.remarks))
            seen.add(name)
        return found


def parse_categories(cell: object) -> list[str]:
    """The list that a cell holds as text, "['Mass', 'Skin Retraction']", in lower case; [] for "['No Finding']"."""
    value = text(cell)
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        parsed = value
    names = parsed if isinstance(parsed, (list, tuple)) else [value]
    return [name for name in (str(name).strip().lower() for name in names) if name not in ("", NOTHING)]


def _place(row: dict[str, Any], places: dict[str, list[Path]]) -> Path | None:
    """An image's file: named by its id, or in copies by exam and id."""
    name = text(row["image_id"]).lower()
    found = places.get(name) or places.get(f"{text(row['study_id']).lower()}_{name}")
    return found[0] if found else None


def _record(path: Path, row: dict[str, Any], marked: list[dict], remarks: Counter[str]) -> dict[str, Any]:
    birads, density = (
        ASSESSMENTS.get(text(row["breast_birads"])),
        TISSUE.get(text(row["breast_density"]).upper()),
    )
    remarks.update(["images without a breast_birads from 0 to 6"] * (birads is None))
    remarks.update(["images without a breast_density from A to D"] * (density is None))
    return {
        "path": str(path),
        "patient_id": text(row["study_id"]),
        "exam_id": text(row["study_id"]),
        "laterality": text(row["laterality"]),
        "view": text(row["view_position"]),
        "birads": birads,
        "density": density,
        "source": "vindr",
        "vindr_split": text(row["split"]) or None,
        "findings": [one for mark in marked for one in _findings(mark, row, path, remarks)],
    }


def _findings(mark: dict[str, Any], row: dict[str, Any], path: Path, remarks: Counter[str]) -> list[Finding]:
    """One row of the findings' table: a finding for each of its categories, all in the same box."""
    found = []
    for name in parse_categories(mark["finding_categories"]):
        kind = OWN_NAMES.get(name, name)
        remarks.update([f"findings of the unknown category {name!r}"] * (kind not in KINDS))
        box = _box(mark, row) if path.suffix.lower() in DICOM else None
        birads = ASSESSMENTS.get(text(mark["finding_birads"]))
        found.append(Finding(kind if kind in KINDS else "other", birads=birads, box=box))
    return found


def _box(mark: dict[str, Any], row: dict[str, Any]) -> tuple[int, int, int, int] | None:
    """Whole pixels around a box, within the image; None where a number is missing or nothing is left."""
    try:
        x0, y0, x1, y1 = (float(text(mark[side])) for side in ("xmin", "ymin", "xmax", "ymax"))
        width, height = int(text(row["width"])), int(text(row["height"]))
    except ValueError:
        return None
    box = (
        max(0, math.floor(x0)),
        max(0, math.floor(y0)),
        min(width, math.ceil(x1)),
        min(height, math.ceil(y1)),
    )
    return box if box[0] < box[2] and box[1] < box[3] else None
