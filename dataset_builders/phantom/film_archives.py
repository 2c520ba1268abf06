"""Phantom archives with the folders, tables and oddities of the sets of scanned films: CBIS-DDSM and mini-MIAS.

Like those of `open_archives`, they have small pictures and made-up labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from pydicom.dataset import FileDataset

from dataset_builders.phantom.render import MAXIMUM
from dataset_builders.phantom.small_files import cut_short, save_dicom, small_dicom, small_picture, uid

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SIDES = {"L": "LEFT", "R": "RIGHT"}

Row = dict[str, Any]


# ---- CBIS-DDSM

# Table, patient, side, view, number, assessment, pathology, density, and two columns of words.
ABNORMALITIES = [
    ("mass_train", 1, "L", "CC", 1, 4, "MALIGNANT", 3, "IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED"),
    ("mass_train", 1, "L", "CC", 2, 2, "BENIGN_WITHOUT_CALLBACK", 3, "OVAL", "CIRCUMSCRIBED-ILL_DEFINED"),
    ("mass_train", 1, "L", "MLO", 1, 4, "MALIGNANT", 3, "ARCHITECTURAL_DISTORTION", "N/A"),
    ("calc_train", 1, "L", "MLO", 1, 5, "MALIGNANT", 3, "PLEOMORPHIC", "CLUSTERED-LINEAR"),
    ("calc_test", 1, "R", "CC", 1, 0, "BENIGN", 3, "ROUND_AND_REGULAR-LUCENT_CENTER", "REGIONAL-REGIONAL"),
    ("mass_test", 2, "R", "MLO", 1, 3, "BENIGN", 0, "", ""),
    ("mass_test", 2, "L", "CC", 1, 3, "BENIGN", 2, "LYMPH_NODE", "CIRCUMSCRIBED"),  # the file is missing
    ("mass_test", 2, "L", "MLO", 1, 3, "BENIGN", 2, "ROUND", "OBSCURED"),  # the file is cut short
    ("calc_train", 3, "R", "CC", 1, 2, "BENIGN", 1, "COARSE", "N/A"),  # its path names the other breast
]
CBIS_FOLDERS = {
    "mass_train": "Mass-Training",
    "mass_test": "Mass-Test",
    "calc_train": "Calc-Training",
    "calc_test": "Calc-Test",
}


def write_cbis_ddsm(folder: str | Path, *, layout: str = "nbia") -> None:
    """Four tables, and the films as the NBIA Data Retriever writes them or as the JPEG copy has them.

    layout: "nbia" (`CBIS-DDSM/Mass-Training_P_00001_LEFT_CC/<date>/<number>-full mammogram images-…/1-1.dcm`, with
    the cropped images and masks beside them) or "jpeg" (`jpeg/<series>/1-001.jpg`, tables in `csv/`). Patient 1 is in
    the mass and the calcification, the training and the test tables, her LMLO film in two of them.
    """
    folder = Path(folder)
    tables = folder / "csv" if layout == "jpeg" else folder
    tables.mkdir(parents=True, exist_ok=True)
    for table in CBIS_FOLDERS:
        part, split = table.split("_")
        rows = [_cbis_row(*abnormality) for abnormality in ABNORMALITIES if abnormality[0] == table]
        pd.DataFrame(rows).to_csv(tables / f"{part}_case_description_{split}_set.csv", index=False)
    for table, patient, side, view, number, *_ in ABNORMALITIES:
        film = (_jpeg_film if layout == "jpeg" else _nbia_film)(folder, table, patient, side, view, number)
        if (patient, side, view) == (2, "L", "CC"):
            film.unlink()
        if (patient, side, view) == (2, "L", "MLO"):
            cut_short(film)


def _cbis_name(table: str, patient: int, side: str, view: str) -> str:
    return f"{CBIS_FOLDERS[table]}_P_{patient:05d}_{SIDES[side]}_{view}"


def _cbis_series(name: str) -> str:
    return f"1.3.6.1.4.1.9590.100.1.2.{int(uid('cbis', name), 16)}"


def _cbis_row(
    table: str,
    patient: int,
    side: str,
    view: str,
    number: int,
    assessment: int,
    pathology: str,
    density: int,
    *words,
) -> Row:
    part = table[:4]
    name = _cbis_name(table, patient, "L" if patient == 3 else side, view)
    path = f"{name}/{_cbis_series('study ' + name)}/{_cbis_series(name)}/000000.dcm"
    details = f"{name}_{number}/{_cbis_series('study roi ' + name)}/{_cbis_series('roi ' + name)}"
    columns = ("mass shape", "mass margins") if part == "mass" else ("calc type", "calc distribution")
    return {
        "patient_id": f"P_{patient:05d}",
        "breast_density" if part == "mass" else "breast density": density,
        "left or right breast": SIDES[side],
        "image view": view,
        "abnormality id": number,
        "abnormality type": "mass" if part == "mass" else "calcification",
        **dict(zip(columns, words, strict=True)),
        "assessment": assessment,
        "pathology": pathology,
        "subtlety": 3,
        "image file path": f"{path}\n" if number == 2 else path,
        "cropped image file path": f"{details}/000000.dcm\n",
        "ROI mask file path": f"{details}/000001.dcm\n",
    }


def _nbia_film(folder: Path, table: str, patient: int, side: str, view: str, number: int) -> Path:
    name = _cbis_name(table, patient, side, view)
    root, date = folder / "manifest-1" / "CBIS-DDSM", "08-29-2017-DDSM-NA-96009"
    film = root / name / date / "1.000000-full mammogram images-63992" / "1-1.dcm"
    save_dicom(_film_dicom(patient, side, view, name), film)
    masks = root / f"{name}_{number}" / date / "1.000000-ROI mask images-18515"
    for mask in (masks / "1-1.dcm", masks / "1-2.dcm"):
        save_dicom(_film_dicom(patient, side, view, f"{name}_{number}"), mask)
    return film


def _film_dicom(patient: int, side: str, view: str, name: str) -> FileDataset:
    """With the odd tags of the real films: secondary capture, the view in PatientOrientation, a patient a view."""
    dataset = small_dicom(patient, side, view)
    for keyword in ("ViewPosition", "ViewCodeSequence", "ImageLaterality"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE
    dataset.PatientID, dataset.Laterality, dataset.PatientOrientation = name, side, view
    return dataset


def _jpeg_film(folder: Path, table: str, patient: int, side: str, view: str, number: int) -> Path:
    name = _cbis_name(table, patient, side, view)
    film = folder / "jpeg" / _cbis_series(name) / "1-001.jpg"
    masks = [folder / "jpeg" / _cbis_series("roi " + name) / f"{n}-001.jpg" for n in (1, 2)]
    for path in (film, *masks):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((small_picture(patient, side, view) >> 4).astype(np.uint8)).save(path, quality=95)
    return film


# ---- mini-MIAS

FILM_SIDE = 1024
INFO = """\
REFNUM BG CLASS SEVERITY X Y RADIUS
mdb001 G CIRC B 535 425 197
mdb002 G CIRC B 522 280 69
mdb003 D NORM
mdb004 D NORM
mdb005 F CIRC B 477 133 30
mdb005 F MISC M 500 1000 40
mdb006 F CALC M *NOTE 3*
mdb007 G ASYM B
mdb008 G NORM
mdb009 F NORM
mdb010 X WHAT B 525 425 33
"""
LABELS = [  # the same films in the other layout
    ("mdb001", "G", "CIRC", "benign", "CIRC:B:535:599:197"),
    ("mdb002", "G", "CIRC", "benign", "CIRC:B:522:744:69"),
    ("mdb003", "D", "NORM", "normal", ""),
    ("mdb004", "D", "NORM", "normal", ""),
    ("mdb005", "F", "CIRC", "malignant", "CIRC:B:477:891:30;MISC:M:500:24:40"),
    ("mdb006", "F", "CALC", "malignant", ""),
    ("mdb007", "G", "ASYM", "benign", ""),
    ("mdb008", "G", "NORM", "normal", ""),
    ("mdb009", "F", "NORM", "normal", ""),
]


def write_mini_mias(folder: str | Path, *, layout: str = "original") -> None:
    """`Info.txt` and `all-mias/mdb001.pgm` …, or (layout "folder") `labels.csv` and `images/mdb001.png` ….

    Film 4 is missing, film 8 cut short; film 10 has a line that makes no sense.
    """
    folder = Path(folder)
    images, suffix = (folder / "images", "png") if layout == "folder" else (folder / "all-mias", "pgm")
    images.mkdir(parents=True, exist_ok=True)
    if layout == "folder":
        rows = [(f"images/{name}.png", *values) for name, *values in LABELS]
        columns = ["image", "tissue", "abnormality", "severity", "rois"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "labels.csv", index=False)
    else:
        (folder / "Info.txt").write_text(INFO.replace("\n", " \n"))
    for number in (1, 2, 3, 5, 6, 7, 8, 9, 10):
        _mias_film(number).save(images / f"mdb{number:03d}.{suffix}")
    cut_short(images / f"mdb008.{suffix}")


def _mias_film(number: int) -> Image.Image:
    """A film of 1024 × 1024 pixels, the breast in its middle; scanned from behind, so that sides look exchanged."""
    pixels = small_picture((number + 1) // 2, "R" if number % 2 else "L", "MLO")
    small = Image.fromarray((pixels * (255 / MAXIMUM)).astype(np.uint8))
    film = Image.new("L", (FILM_SIDE, FILM_SIDE))
    film.paste(small.resize((FILM_SIDE * 3 // 4, FILM_SIDE)), (FILM_SIDE // 8, 0))
    return film
