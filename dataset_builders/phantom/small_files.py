"""Small pictures of phantoms as files, and names for them: what the archives of the open sets are made of."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset

from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.dicom_files import phantom_dicom
from dataset_builders.phantom.render import render_view

HEIGHT, WIDTH = 64, 48
SEED = 11
AGE = 50
POSITIONS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))


def uid(*names: object) -> str:
    """32 hexadecimal digits, the same for the same names."""
    return hashlib.md5(" ".join(map(str, names)).encode(), usedforsecurity=False).hexdigest()


@lru_cache(maxsize=64)
def small_picture(patient: int, laterality: str, view: str) -> np.ndarray:
    """A phantom's mammogram (HEIGHT, WIDTH) uint16, 0 … 4095. An oblique one stands for all views but CC."""
    shown = "CC" if view == "CC" else "MLO"
    return render_view(draw_case(SEED, patient), laterality, shown, height=HEIGHT, width=WIDTH).pixels


def small_dicom(patient: int, laterality: str, view: str) -> FileDataset:
    shown = "CC" if view == "CC" else "MLO"
    return phantom_dicom(
        small_picture(patient, laterality, view),
        patient=str(patient),
        exam=str(patient),
        laterality=laterality,
        view=shown,
        age=AGE,
        style=patient,
    )


def save_dicom(dataset: FileDataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:900])
