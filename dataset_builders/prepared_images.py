"""Folders of mammograms → cropped PNGs and a manifest with a row a file: in parallel, in flat memory, resumable."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from processing import BreastBox, Mammogram, find_breast, read_image, to_uint8
from processing.png import encode_png

from .processes import CRASHED, in_processes
from .records import VIEWS

IMAGES, MANIFEST, OPTIONS = "images", "manifest.csv", "options.json"
# What is kept of a file, as fields of Mammogram.
KEPT = (
    *("laterality", "laterality_source", "view", "view_source", "view_modifiers", "spacing"),
    *("vendor", "model", "presentation", "patient", "study"),
)
BOX = ("x0", "y0", "x1", "y1")
COLUMNS = ("file", "output", "height", "width", *BOX, "crop_source", "crop_score", *KEPT, "warnings", "error")

Row = dict[str, Any]


@dataclass(frozen=True)
class Preparation:
    """How every file is prepared.

    bits: 8 or 16, of the PNG: 0 is the crop's or the file's darkest value, the type's largest its brightest.
    crop: whether the breast alone is kept. mode, frame, salt: as in `processing.read_dicom`.
    """

    bits: int = 16
    crop: bool = True
    mode: str = "min_max"
    frame: int | str | None = None
    salt: str | None = None

    def noted(self) -> dict[str, Any]:
        """The same as JSON, with a digest in place of the salt, which is a secret."""
        digest = None if self.salt is None else hashlib.sha256(self.salt.encode()).hexdigest()[:16]
        return {**asdict(self), "salt": digest}


def open_output(output: Path, how: Preparation) -> set[str]:
    """Make the folder, or find what an earlier run left → names of the files that need not be prepared again.

    Those are the ones that the manifest has, without an error and with their image; all other rows are taken out.

    Raises ValueError where the folder was made with another preparation, or is one of something else.
    """
    noted, manifest = output / OPTIONS, output / MANIFEST
    if not noted.exists():
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise ValueError(f"{output} holds something else already; choose an empty or a new folder.")
        output.mkdir(parents=True, exist_ok=True)
        _write_rows(manifest, ())
        with _whole(noted) as part:
            part.write_text(json.dumps(how.noted(), indent=2) + "\n", encoding="utf-8")
        return set()
    if json.loads(noted.read_text(encoding="utf-8")) != how.noted():
        raise ValueError(f"{output} was prepared with other options, see {noted}; choose another folder.")
    rows = [row for row in read_manifest(manifest) if (output / row["output"]).is_file()]
    _write_rows(manifest, rows)
    return {row["file"] for row in rows}


def prepare_files(
    files: Mapping[str, Path], output: Path, how: Preparation, *, workers: int
) -> Iterator[Row]:
    """Prepare files and append a row to OUTPUT/manifest.csv for each → those rows, as they are completed.

    files: paths by name; the image of each becomes OUTPUT/images/NAME.png. output: see `open_output`.
    """
    calls = ((name, path, output, how) for name, path in files.items())
    with (output / MANIFEST).open("a", encoding="utf-8", newline="") as file:
        manifest = csv.DictWriter(file, COLUMNS)
        for row in in_processes(prepare_file, calls, workers, crashed=_crashed):
            manifest.writerow(row)
            file.flush()
            yield row


def read_manifest(path: Path) -> list[Row]:
    """The rows of a manifest that have an image; one that was cut short, when a run was killed, is left out."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["error"] is not None and row["output"]]


def prepare_file(name: str, path: Path, output: Path, how: Preparation) -> Row:
    """One file → its image and its row of the manifest. What is wrong with the file is in the row."""
    try:
        mammogram = read_image(path, mode=how.mode, frame=how.frame, salt=how.salt)
        box = find_breast(mammogram.pixels) if how.crop else None
        pixels = mammogram.pixels if box is None else box.crop(mammogram.pixels)
        target = Path(IMAGES, f"{name}.png")
        _write_png(output / target, with_bits(pixels, how.bits))
    except Exception as error:  # a stranger's file can break a decoder in any way
        return {"file": name, "error": " ".join(str(error).split()) or type(error).__name__}
    return {
        "file": name,
        "output": target.as_posix(),
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        **_box_columns(box),
        **{field: _cell(getattr(mammogram, field)) for field in KEPT},
        "warnings": "; ".join(warnings_of(mammogram, box and box.source)),
    }


def _crashed(name: str, *_) -> Row:
    return {"file": name, "error": CRASHED}


def with_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Grey values (H, W) → uint8, stretched to its range, or uint16: as they are, or 8 bits repeated."""
    if bits == 8:
        return to_uint8(pixels)
    return pixels.astype(np.uint16) * 257 if pixels.dtype == np.uint8 else pixels.astype(np.uint16)


def warnings_of(mammogram: Mammogram, crop_source: str | None) -> Iterator[str]:
    """What somebody should look at before this image is used. crop_source: a BreastBox's, None for no crop."""
    if crop_source == "whole":
        yield "no breast stands out, or it was cropped before"
    if crop_source == "threshold":
        yield "the breast detector was unsure, and a threshold decided"
    if mammogram.view is not None and mammogram.view not in VIEWS:
        yield f"view {mammogram.view} is neither {' nor '.join(VIEWS)}"
    if mammogram.presentation == "FOR PROCESSING":
        yield "FOR PROCESSING: values are the detector's"


def _box_columns(box: BreastBox | None) -> Row:
    if box is None:
        return {}
    corners = {name: getattr(box, name) for name in BOX}
    return {**corners, "crop_source": box.source, "crop_score": f"{box.score:.3f}"}


def _cell(value: Any) -> Any:
    """A field of a Mammogram as it stands in the manifest: numbers and words of a tuple with commas between them."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def _write_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole(path) as part:
        part.write_bytes(encode_png(pixels))


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    with _whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, which then takes its place: so a file is there whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    yield part
    part.replace(path)
