"""RSNA Screening Mammography Breast Cancer Detection (Kaggle, 2022): DICOM by patient, and one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Value

from dataset_builders.archives.archive_files import DICOM, ArchiveFiles, by_name, no_record
from dataset_builders.birads import DENSITIES
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.tables import coded, numeric, read_table, text
from dataset_builders.terms import Terms

FLAGS = ("cancer", "biopsy", "invasive", "implant", "difficult_negative_case")
COLUMNS = (
    *("site_id", "patient_id", "image_id", "laterality", "view", "age", "BIRADS", "density", "machine_id"),
    *FLAGS,
)
ASSESSMENTS = {"0": 0, "1": 1, "2": 2}  # of the breast; site 2 and some rows of site 1 have none
TRUTH = {"0": False, "1": True, "False": False, "True": True}


class RsnaBuilder(RecordBuilder):
    """RSNA's archive: `train.csv` and `train_images/<patient_id>/<image_id>.dcm`, in whatever folders.

    The test set has no labels and is not read. Which images belong to one exam is not told: a patient is an exam.
    PNG copies named `<patient_id>/<image_id>.png` or `<patient_id>_<image_id>.png` are taken where there is no DICOM.
    """

    own_features = {
        "rsna_site": Value("string"),
        "rsna_machine": Value("string"),
        "rsna_age": Value("float32"),
        **{f"rsna_{flag}": Value("bool") for flag in FLAGS},
    }
    rules = (
        "Only the training set has labels; the test set is not read.",
        "BI-RADS 0, 1 or 2 of the breast, or none, and density A to D, or none, as in the table.",
        "Which images belong to one exam is not told: a patient is an exam.",
    )
    terms = Terms(
        licence="RSNA: non-commercial use, academic research and education",
        citation="Carr, C., Kitamura, F., Partridge, G., et al. (2022). RSNA Screening Mammography Breast Cancer "
        "Detection. Kaggle. https://www.kaggle.com/competitions/rsna-breast-cancer-detection",
        homepage="https://www.kaggle.com/competitions/rsna-breast-cancer-detection",
        weights="non-commercial",
    )

    def index(self, folder: Path) -> Index:
        files = ArchiveFiles(folder)
        table = read_table(_table(files), COLUMNS)
        places = by_name(files.images((*DICOM, ".png")))
        found, seen = Index(), set()
        for row in table.to_dict("records"):
            key = text(row["patient_id"]), text(row["image_id"])
            path = _place(*key, places)
            reason = no_record(text(row["laterality"]), text(row["view"]), path, key in seen)
            if reason:
                found.left_out[reason] += 1
            else:
                found.rows.append(_record(path, row))
            seen.add(key)
        return found


def _table(files: ArchiveFiles) -> Path:
    if not files.tables("train.csv") and files.tables("test.csv"):
        raise FileNotFoundError(
            f"{files.folder} has test.csv and no train.csv; RSNA's test set has no labels."
        )
    return files.table("train.csv")


def _place(patient: str, image: str, places: dict[str, list[Path]]) -> Path | None:
    """An image's file; only numbers name it, so its folder must be the patient's, or its name hold her number."""
    own = [path for path in places.get(image, []) if path.parent.name == patient]
    found = own or places.get(f"{patient}_{image}")
    return found[0] if found else None


def _record(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    density = text(row["density"]).upper()
    return {
        "path": str(path),
        "patient_id": text(row["patient_id"]),
        "exam_id": text(row["patient_id"]),
        "laterality": text(row["laterality"]),
        "view": text(row["view"]),
        "birads": coded(row["BIRADS"], ASSESSMENTS),
        "density": density if density in DENSITIES else None,
        "source": "rsna",
        "rsna_site": text(row["site_id"]) or None,
        "rsna_machine": text(row["machine_id"]) or None,
        "rsna_age": numeric(row["age"]),
        **{f"rsna_{flag}": coded(row[flag], TRUTH) for flag in FLAGS},
    }
