"""What an audit notes of every image: what it is, what it looks like, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from dataset_builders.burned_in_text import read_text
from dataset_builders.near_duplicates import SIDE, fine_detail, perceptual_hash
from dataset_builders.processes import CRASHED, in_processes
from processing import to_uint8

AT_ONCE = 32  # images that a process looks at before it reports
HASHED = 256  # pixels of the longer side: enough for the hash and the detail
READ = 1500  # pixels of the longer side: burned-in letters are large enough at this size
FLAT = 1.0  # grey levels: the standard deviation of an image in which there is nothing
EDGE = 0.1  # of the width: the strip along a border that the chest wall fills
CLEARLY = 2.0  # times as bright as the other border


@dataclass
class Looks:
    """What is noted of N images, in their order.

    pixels: (N,) the hash of all pixels, empty where unreadable; hashes, mirrored: (N,) uint64, perceptual hashes of
    the image and of its mirror image; details: (N, 64, 64) int8; walls: "left", "right" or "" where that is not
    clear; texts: image number → lines that are burned in; unreadable: image number → why; blank: image numbers.
    """

    pixels: list[bytes]
    hashes: np.ndarray
    mirrored: np.ndarray
    details: np.ndarray
    walls: list[str]
    texts: dict[int, list[str]] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)
    blank: list[int] = field(default_factory=list)


def look_at_all(
    tables: Sequence[datasets.Dataset], folder: Path, *, workers: int = 1, text: bool = True
) -> Looks:
    """Look at the images of all tables, one table after the other. text: read burned-in text too.

    folder: for a file with the details, 4 KiB an image, so that memory stays small however many there are.
    Raises OSError where processes cannot start.
    """
    number = sum(map(len, tables))
    details = np.memmap(folder / "details.int8", np.int8, "w+", shape=(number, SIDE, SIDE))
    empty = np.zeros(number, dtype=np.uint64)
    looks = Looks([b""] * number, empty, empty.copy(), details, [""] * number)
    with tqdm(total=number, unit="image", desc="Looking at images", mininterval=1) as bar:
        for row in in_processes(look_at_some, _calls(tables, text), workers, crashed=_crashed):
            _note(looks, row)
            bar.update(len(row["pixels"]))
    return looks


def _calls(tables: Sequence[datasets.Dataset], text: bool) -> Iterator[tuple]:
    first = 0
    for table in tables:
        images = table.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
        for start in range(0, len(table), AT_ONCE):
            yield images, start, first + start, text
        first += len(table)


def look_at_some(images: datasets.Dataset, start: int, first: int, text: bool) -> dict:
    """The looks of up to AT_ONCE images from `start` on; `first` is the number of the first in the audit."""
    found, odd = _nothing_yet(first)
    for place, stored in enumerate(images[start : start + AT_ONCE]["image"]):
        try:
            grey = grey_image(datasets.Image().decode_example(stored))
        except Exception as error:  # a damaged file can break a decoder in any way
            _unreadable(found, odd, first + place, " ".join(str(error).split()) or type(error).__name__)
            continue
        small = reduced(grey, HASHED)
        if np.asarray(small).std() < FLAT:
            odd["blank"].append(first + place)
        if text and (lines := read_text(np.asarray(reduced(grey, READ)))):
            odd["texts"][first + place] = lines
        hashes = perceptual_hash(small), perceptual_hash(ImageOps.mirror(small))
        _append(found, _digest(grey), *hashes, fine_detail(small), chest_wall(np.asarray(small)))
    return found | odd


def _crashed(images: datasets.Dataset, start: int, first: int, text: bool) -> dict:
    """The looks of images one of which kills its process."""
    found, odd = _nothing_yet(first)
    number = min(AT_ONCE, len(images) - start)
    said = f"{CRASHED}; it, or one of the {number - 1} images beside it" if number > 1 else CRASHED
    for place in range(number):
        _unreadable(found, odd, first + place, said)
    return found | odd


def _nothing_yet(first: int) -> tuple[dict[str, list], dict]:
    """The columns that each image has a value in, and what some images have."""
    found = {name: [] for name in ("pixels", "hashes", "mirrored", "details", "walls")}
    return found, {"first": first, "texts": {}, "unreadable": {}, "blank": []}


def _unreadable(found: dict[str, list], odd: dict, number: int, reason: str) -> None:
    odd["unreadable"][number] = reason
    _append(found, b"", 0, 0, np.zeros((SIDE, SIDE), np.int8), "")


def grey_image(image: Image.Image) -> Image.Image:
    """8-bit grey; what has more bits is stretched, for Pillow would cut it off."""
    deep = image.mode.startswith(("I", "F"))
    return Image.fromarray(to_uint8(np.asarray(image))) if deep else image.convert("L")


def reduced(image: Image.Image, side: int) -> Image.Image:
    """The image by whole factors smaller, its longer side not yet below `side`; a smaller one as it is."""
    return image.reduce(max(1, max(image.size) // side))


def chest_wall(pixels: np.ndarray) -> str:
    """The side of an image (H, W) along whose border there is clearly more: "left", "right", or "" for neither."""
    strip = max(1, round(EDGE * pixels.shape[1]))
    left, right = pixels[:, :strip].mean() + 1, pixels[:, -strip:].mean() + 1
    return "left" if left > CLEARLY * right else "right" if right > CLEARLY * left else ""


def _append(found: dict[str, list], *values: object) -> None:
    for column, value in zip(found.values(), values, strict=True):
        column.append(value)


def _digest(grey: Image.Image) -> bytes:
    digest = hashlib.blake2b(repr(grey.size).encode(), digest_size=16)
    digest.update(grey.tobytes())
    return digest.digest()


def _note(looks: Looks, row: dict) -> None:
    places = slice(row["first"], row["first"] + len(row["pixels"]))
    for name in ("pixels", "hashes", "mirrored", "details", "walls"):
        getattr(looks, name)[places] = row[name]
    looks.texts |= row["texts"]
    looks.unreadable |= row["unreadable"]
    looks.blank += row["blank"]
