"""Phantom archives with the folders, tables and oddities of VinDr-Mammo, RSNA 2022, CBIS-DDSM, INbreast and mini-MIAS.

Small pictures of phantoms, and labels that were made up to try the builders on: the two have nothing to do with each
other. In each archive at least one file is missing, one is cut short, and one image or line should not be used. The
two sets of scanned films are in `film_archives`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dataset_builders.phantom.film_archives import write_cbis_ddsm, write_mini_mias
from dataset_builders.phantom.small_files import (
    HEIGHT,
    POSITIONS,
    WIDTH,
    cut_short,
    save_dicom,
    small_dicom,
    uid,
)

Row = dict[str, Any]


def write_open_archives(folder: str | Path) -> list[str]:
    """All five below a folder, always the same bytes; → their names, which are their builders'."""
    writers = {
        "vindr": write_vindr,
        "rsna": write_rsna,
        "cbis_ddsm": write_cbis_ddsm,
        "inbreast": write_inbreast,
        "mini_mias": write_mini_mias,
    }
    for name, write in writers.items():
        write(Path(folder) / name)
    return list(writers)


# ---- VinDr-Mammo


def write_vindr(folder: str | Path) -> None:
    """Three exams of four views: `images/<study_id>/<image_id>.dicom` and two tables.

    Exam 0 has the findings: one row with two categories and a box that reaches over the border, one of an unknown
    category. Exam 1's assessments are not given. Of exam 2 the LCC is missing and the LMLO cut short. One row is
    there twice, and one is of an ML view.
    """
    folder = Path(folder)
    rows = [_vindr_row(exam, side, view) for exam in range(3) for side, view in POSITIONS]
    for exam in range(3):
        for side, view in POSITIONS:
            save_dicom(small_dicom(exam, side, view), _vindr_path(folder, exam, side, view))
    _vindr_path(folder, 2, "L", "CC").unlink()
    cut_short(_vindr_path(folder, 2, "L", "MLO"))
    odd = {**_vindr_row(2, "R", "MLO"), "image_id": uid("vindr", 2, "R", "ML"), "view_position": "ML"}
    pd.DataFrame([*rows, rows[0], odd]).to_csv(folder / "breast-level_annotations.csv", index=False)
    marks = [mark for row in rows for mark in _vindr_marks(row)]
    pd.DataFrame(marks).to_csv(folder / "finding_annotations.csv", index=False)


def _vindr_path(folder: Path, exam: int, side: str, view: str) -> Path:
    return folder / "images" / uid("vindr", exam) / f"{uid('vindr', exam, side, view)}.dicom"


def _vindr_row(exam: int, side: str, view: str) -> Row:
    return {
        "study_id": uid("vindr", exam),
        "series_id": uid("vindr series", exam),
        "laterality": side,
        "view_position": view,
        "image_id": uid("vindr", exam, side, view),
        "height": HEIGHT,
        "width": WIDTH,
        "breast_birads": ("BI-RADS 4" if side == "L" else "BI-RADS 2", "", "BI-RADS 1")[exam],
        "breast_density": ("DENSITY C", "", "DENSITY A")[exam],
        "split": ("training", "test", "training")[exam],
    }


def _vindr_marks(row: Row) -> list[Row]:
    """The findings' rows of an image: of exam 0's LCC and LMLO, and for all others one that says so."""
    about = {name: row[name] for name in row if name != "split"}
    marks: list[tuple] = [("['No Finding']", "", "", "", "", "")]
    if row["image_id"] == uid("vindr", 0, "L", "CC"):
        marks = [
            ("['Mass', 'Skin Retraction']", "BI-RADS 4", -2.5, 10.2, 20.1, 30.0),
            ("['Suspicious Calcification']", "BI-RADS 3", 5.0, 6.0, 15.5, 70.25),
        ]
    elif row["image_id"] == uid("vindr", 0, "L", "MLO"):
        marks = [("['Foreign Body']", "", "", "", "", "")]
    names = ("finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax")
    return [{**about, **dict(zip(names, mark, strict=True)), "split": row["split"]} for mark in marks]


# ---- RSNA 2022


def write_rsna(folder: str | Path) -> None:
    """Three patients of four views: `train_images/<patient_id>/<image_id>.dcm`, `train.csv`, and a test set.

    Patient 10000 is of site 1, assessed 0 on the left and 1 on the right; 10001 of site 2, without assessment and
    density; 10002 of site 1, whose numbers a spreadsheet wrote. 10000 has an image of the AT view as well. Of 10002 the
    LCC is missing and the LMLO cut short. One row is there twice.
    """
    folder = Path(folder)
    shots = [(patient, *position) for patient in range(3) for position in POSITIONS]
    rows = [_rsna_row(*shot) for shot in [*shots, (0, "L", "AT")]]
    for shot in [*shots, (0, "L", "AT")]:
        save_dicom(small_dicom(*shot), _rsna_path(folder, *shot))
    _rsna_path(folder, 2, "L", "CC").unlink()
    cut_short(_rsna_path(folder, 2, "L", "MLO"))
    pd.DataFrame([*rows, rows[3]]).to_csv(folder / "train.csv", index=False)
    save_dicom(small_dicom(3, "L", "CC"), folder / "test_images" / "10008" / "736471439.dcm")
    test = {
        **{name: rows[0][name] for name in ("site_id", "laterality", "view", "age", "implant", "machine_id")}
    }
    test |= {"patient_id": 10008, "image_id": 736471439, "prediction_id": "10008_L"}
    pd.DataFrame([test]).to_csv(folder / "test.csv", index=False)


def _rsna_image(patient: int, side: str, view: str) -> int:
    return int(uid("rsna", patient, side, view)[:7], 16)


def _rsna_path(folder: Path, patient: int, side: str, view: str) -> Path:
    name = f"{_rsna_image(patient, side, view)}.dcm"
    return folder / "train_images" / str(10000 + patient) / name


def _rsna_row(patient: int, side: str, view: str) -> Row:
    cancer = int(patient == 0 and side == "L")
    return {
        "site_id": (1, 2, 1)[patient],
        "patient_id": 10000 + patient,
        "image_id": _rsna_image(patient, side, view),
        "laterality": side,
        "view": view,
        "age": ("61.0", "", "55")[patient],
        "cancer": cancer,
        "biopsy": cancer,
        "invasive": 0,
        "BIRADS": ("0" if side == "L" else "1", "", "2.0")[patient],
        "implant": int(patient == 2),
        "density": ("B", "", "D")[patient],
        "machine_id": (49, 21, 29)[patient],
        "difficult_negative_case": patient == 2,
    }


# ---- INbreast

# File Name, patient, side, view, date, ACR, Bi-Rads, marks of mass, calcifications, distortion, asymmetry.
INBREAST = [
    (20586908, 0, "R", "CC", "201001", "3", "4a", "X", "", "", ""),
    (20586934, 0, "L", "CC", "201001", " 3 ", "2", "", "X", "", ""),
    (20586960, 0, "R", "MLO", "201001", "3", " 4B", "X", "X", "", ""),
    (20586986, 0, "L", "MLO", "200802", "", "6", "", "", "X", "X"),  # another exam
    (20587054, 1, "R", "CC", "201001", "1", "1 ", "", "", "", ""),
    (20587080, 1, "L", "FB", "201001", "1", "1", "", "", "", ""),  # no view that is used
    (20587148, 1, "R", "MLO", "201001", "1", "3", "", "", "", ""),  # its file says that it is a left breast
    (20587174, 1, "L", "MLO", "201001", "1", "5", "", "", "", ""),  # the file is missing
    (20587200, 1, "L", "CC", "201001", "4", "4c", "", "", "", ""),  # the file is cut short
]


def write_inbreast(folder: str | Path, *, table: str = "csv") -> None:
    """`INbreast.csv` with eight columns, or `INbreast.xlsx` with the marks of findings and a total below, and DICOM."""
    release = Path(folder) / "INbreast Release 1.0"
    release.mkdir(parents=True, exist_ok=True)
    rows = [_inbreast_row(*values) for values in INBREAST]
    if table == "csv":
        short = [{name: row[name] for name in list(row)[:8]} for row in rows]
        pd.DataFrame(short).to_csv(release / "INbreast.csv", index=False, sep=";")
    else:
        below = {"File Name": None, "Mass ": "(n)", "Micros": 3}
        pd.DataFrame([*rows, {}, below]).to_excel(release / "INbreast.xlsx", index=False)
    for name, patient, side, view, *_ in INBREAST:
        shown = {"MLO": "ML"}.get(view, view)
        letter = "L" if name == 20587148 else side
        path = release / "AllDICOMs" / f"{name}_{uid('inbreast', patient)[:16]}_MG_{letter}_{shown}_ANON.dcm"
        if name != 20587174:
            save_dicom(small_dicom(patient, side, view), path)
        if name == 20587200:
            cut_short(path)


def _inbreast_row(name, _, side, view, date, acr, birads, *marks) -> Row:
    found = dict(zip(("Mass ", "Micros", "Distortion", "Asymmetry"), marks, strict=True))
    return {
        "Patient ID": "removed",
        "Patient age": "removed",
        "Laterality": side,
        "View": view,
        "Acquisition date": date,
        "File Name": name,
        "ACR": acr,
        "Bi-Rads": birads,
        **found,
    }
