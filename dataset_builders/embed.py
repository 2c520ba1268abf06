"""EMBED (Emory): DICOM by cohort, patient and exam; a metadata row for each file, a clinical row for each finding.

Licence: models, weights or embeddings trained on EMBED may not be released without written permission.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import Value

from dataset_builders.birads import worst
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.records import LATERALITIES, VIEWS
from dataset_builders.tables import coded, read_table, text

METADATA = (
    "empi_anon",
    "acc_anon",
    "anon_dicom_path",
    "FinalImageType",
    "ImageLateralityFinal",
    "ViewPosition",
    "spot_mag",
)
CLINICAL = ("acc_anon", "desc", "asses", "tissueden", "side", "age_at_study", "RACE_DESC")
ASSESSMENTS = {"A": 0, "N": 1, "B": 2, "P": 3, "S": 4, "M": 5, "K": 6}
TISSUE = {"1": "A", "2": "B", "3": "C", "4": "D"}  # 5 is a male breast
NEGATIVE = 1
BILATERAL = re.compile(r"\bbil", re.IGNORECASE)  # "MG Screening Bilateral", "MG Screen Bilat w/Tomo/CAD"


class EmbedBuilder(RecordBuilder):
    """EMBED's archive: `tables/EMBED_OpenData_{metadata,clinical}.csv` (or `…_reduced.csv`) and `**/cohort_*/…`.

    Images: 2D (no synthetic C-view), CC and MLO, no spot or magnification views.
    """

    own_features = {"embed_age": Value("float32"), "embed_race": Value("string")}

    def index(self, folder: Path) -> Index:
        images = read_table(_table(folder, "metadata"), METADATA).to_dict("records")
        exams: dict[str, list[dict]] = defaultdict(list)
        for row in read_table(_table(folder, "clinical"), CLINICAL).to_dict("records"):
            exams[text(row["acc_anon"])].append(row)
        root, found, seen = _images_root(folder), Index(), set()
        for image in images:
            findings = exams.get(text(image["acc_anon"]), [])
            path = root / _below_root(text(image["anon_dicom_path"]))
            reason = _no_image(image) or _no_label(image, findings) or _no_file(path, seen)
            if reason:
                found.left_out[reason] += 1
            else:
                seen.add(path)
                found.rows.append(_record(path, image, findings))
        return found


def breast_assessment(findings: Iterable[dict[str, Any]], laterality: str) -> int | None:
    """The worst BI-RADS of one exam's findings that concern a breast.

    A finding concerns a breast when its `side` is the same, B or empty. A bilateral exam whose findings are all on
    the other side is negative here (1), although no row says so; None: nothing is known about this breast.
    """
    findings = list(findings)
    own = [row for row in findings if text(row["side"]) in (laterality, "B", "")]
    known = [value for row in own if (value := coded(row["asses"], ASSESSMENTS)) is not None]
    if known:
        return worst(known)
    bilateral = any(BILATERAL.search(text(row["desc"])) for row in findings)
    return NEGATIVE if findings and not own and bilateral else None


def _table(folder: Path, name: str) -> Path:
    """A table in `tables/` or the folder itself, whole or reduced."""
    stems = (f"EMBED_OpenData_{name}.csv", f"EMBED_OpenData_{name}_reduced.csv")
    candidates = [place / stem for place in (folder / "tables", folder) for stem in stems]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"{folder} has no tables/{stems[0]} (nor {stems[1]}); get EMBED's tables first."
        )
    return found


def _images_root(folder: Path) -> Path:
    """The folder that holds `cohort_…`, at most two below the archive (all of EMBED would take long to search)."""
    for pattern in ("cohort_*", "*/cohort_*", "*/*/cohort_*"):
        found = next((path for path in sorted(folder.glob(pattern)) if path.is_dir()), None)
        if found is not None:
            return found.parent
    raise FileNotFoundError(
        f"{folder} has no folder cohort_1, cohort_2, …; expected EMBED's images below it."
    )


def _no_image(image: dict[str, Any]) -> str | None:
    """Why a row of the metadata is not one of the images that are used; None where it is."""
    kind, view = text(image["FinalImageType"]), text(image["ViewPosition"])
    if kind != "2D":
        return f"FinalImageType is {kind or 'empty'}, not 2D"
    if view not in VIEWS:
        return "ViewPosition is neither CC nor MLO"
    if text(image["ImageLateralityFinal"]) not in LATERALITIES:
        return "ImageLateralityFinal is neither L nor R"
    return None if text(image["spot_mag"]) in ("", "0", "0.0") else "a spot or magnification view"


def _no_label(image: dict[str, Any], findings: list[dict[str, Any]]) -> str | None:
    if not findings:
        return "the clinical table has no row of the exam"
    known = breast_assessment(findings, text(image["ImageLateralityFinal"])) is not None
    return None if known else "the clinical table has no assessment of this breast"


def _no_file(path: Path, seen: set[Path]) -> str | None:
    if path in seen:
        return "the metadata table names the file twice"
    return None if path.is_file() else "the file is not there"


def _record(path: Path, image: dict[str, Any], findings: list[dict[str, Any]]) -> dict[str, Any]:
    laterality = text(image["ImageLateralityFinal"])
    return {
        "path": str(path),
        "patient_id": text(image["empi_anon"]),
        "exam_id": text(image["acc_anon"]),
        "laterality": laterality,
        "view": text(image["ViewPosition"]),
        "birads": breast_assessment(findings, laterality),
        "density": next((d for row in findings if (d := coded(row["tissueden"], TISSUE))), None),
        "source": "embed",
        "embed_age": _number(findings[0]["age_at_study"]),
        "embed_race": text(findings[0]["RACE_DESC"]) or None,
    }


def _number(cell: object) -> float | None:
    try:
        return float(text(cell))
    except ValueError:
        return None


def _below_root(path: str) -> str:
    """The curator's path from `cohort_` on."""
    start = path.find("cohort_")
    if start < 0:
        raise ValueError(f"anon_dicom_path {path!r} has no part 'cohort_…', so the file cannot be found.")
    return path[start:]
