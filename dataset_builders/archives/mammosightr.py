"""MammosighTR's preprocessed copy: PNGs with `metadata_image_level.json`, or the Hub's Parquet with the same columns.

Both are described in the data card beside the authors' code, https://github.com/igulluk/MAM-CLIP.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download
from tqdm import tqdm

from dataset_builders.birads import BIRADS, DENSITIES
from dataset_builders.records import VIEWS
from dataset_builders.tables import files_below, text

HUB_COPY = "gulluk/mammosightr-preprocessed"
METADATA = "metadata_image_level.json"
FIELDS = ("patient_id", "view", "laterality", "birads", "breast_composition")
SIDES = {"left": "L", "right": "R"}
PLAIN_NAME = re.compile(r"\w[\w.-]*")  # a patient becomes a folder's name
BATCH = 64  # images of a Parquet file in memory at a time

Labels = tuple[int | None, str | None]  # BI-RADS and density


def read_labels(path: Path, remarks: Counter[str]) -> dict[tuple[str, str], set[Labels | str]]:
    """(patient, "LCC" …) → what `metadata_image_level.json` says of that image; several where it contradicts itself.

    A text in the place of labels is the reason why there are none. Raises ValueError for what is no such file.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}); get a new copy of it.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path} holds no list of objects; expected one object for each image.")
    found: dict[tuple[str, str], set[Labels | str]] = {}
    for row in rows:
        missing = next((name for name in FIELDS if name not in row), None)
        if missing:
            raise ValueError(f"{path} has an object without {missing!r}; expected {', '.join(FIELDS)}.")
        found.setdefault((text(row["patient_id"]), position(row)), set()).add(image_labels(row, remarks))
    return found


def position(row: Mapping[str, Any]) -> str:
    """Laterality and view as the file is called: "left", "CC" → "LCC"; "" for anything else."""
    side, view = SIDES.get(text(row["laterality"]).lower()), text(row["view"]).upper()
    return f"{side}{view}" if side and view in VIEWS else ""


def image_labels(row: Mapping[str, Any], remarks: Counter[str]) -> Labels | str:
    """BI-RADS and density of an image, or the reason why its row cannot be used; unknown labels are told and None."""
    name = text(row.get("image_filename"))
    if name and Path(name).stem.upper() != position(row):
        return "image_filename and laterality or view contradict each other"
    score, density = text(row["birads"]).removesuffix(".0"), text(row["breast_composition"]).upper()
    label = re.search(r"\d", text(row.get("birads_label")))
    if label and label.group() != score:  # as when a class index stands for the class
        return "birads and birads_label contradict each other"
    for value, allowed, field in (
        (score, map(str, BIRADS), "birads"),
        (density, DENSITIES, "breast_composition"),
    ):
        if value not in allowed:
            remarks[f"images whose {field} is {value or 'empty'}"] += 1
    return (
        int(score) if score in map(str, BIRADS) else None,
        density if density in DENSITIES else None,
    )


def download() -> str:
    """The folder of the Hub's copy, downloaded where it is not yet. Raises OSError where it cannot be had."""
    try:
        return snapshot_download(HUB_COPY, repo_type="dataset")
    except OSError as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise OSError(f"{HUB_COPY} cannot be had from the Hub ({reason}); give a copy's folder.") from error


def unpacked(folder: Path, target: str = "") -> Path:
    """A folder with the Hub copy's Parquet as PNGs and `metadata_image_level.json`; made once.

    target: where; by default in the cache of `datasets`, under a name that follows from the Parquet files.
    Raises ValueError for Parquet without the columns, an image without bytes, or a patient that is no plain name.
    """
    sources = files_below(folder, ".parquet")
    place = Path(target) if target else Path(datasets.config.HF_DATASETS_CACHE, "mammosightr", _key(sources))
    if (place / METADATA).is_file():
        return place
    if place.exists():
        raise ValueError(f"{place} is not an unpacked copy; give an empty place for the images.")
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as work:
        made = Path(work, "copy")
        made.mkdir()
        rows = [_unpack(row, made) for row in _parquet_rows(sources)]
        (made / METADATA).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        made.rename(place)
    return place


def _parquet_rows(sources: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """All rows, with a progress bar and few images in memory."""
    files = {path: _opened(path) for path in sources}
    for path, file in files.items():
        missing = next((name for name in ("image", *FIELDS) if name not in file.schema_arrow.names), None)
        if missing:
            raise ValueError(f"{path} has no column {missing!r}; found {', '.join(file.schema_arrow.names)}.")
    total = sum(file.metadata.num_rows for file in files.values())
    with tqdm(total=total, desc="unpacking MammosighTR", unit="image") as bar:
        for path, file in files.items():
            try:
                for batch in file.iter_batches(BATCH):
                    bar.update(len(batch))
                    yield from batch.to_pylist()
            except (OSError, pa.ArrowException) as error:
                raise _broken(path, error) from error


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} cannot be read as Parquet ({' '.join(str(error).split())[:120]}); get a new copy."
    )


def _unpack(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write a row's image, and return the rest of it."""
    image, patient = row.pop("image"), text(row["patient_id"])
    if not PLAIN_NAME.fullmatch(patient):
        raise ValueError(f"the Hub's copy has a patient_id {patient!r}; expected letters and digits.")
    if not image or not image["bytes"]:
        raise ValueError(f"the Hub's copy has no image of patient {patient}; download it whole.")
    target = folder / "all_pngs" / patient / f"{position(row) or 'unknown'}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(image["bytes"])
    return row


def _key(sources: Iterable[Path]) -> str:
    about = [(path.name, path.stat().st_size) for path in sources]
    return hashlib.sha256(repr(about).encode()).hexdigest()[:16]
