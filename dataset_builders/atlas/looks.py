"""Pictures seen small: enough to tell near-duplicates, and what cannot be a mammogram, without loading them whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dataset_builders.atlas.layout import Box
from dataset_builders.atlas.modality import looks_like
from dataset_builders.atlas.pdf import import_pymupdf, open_pdf
from dataset_builders.near_duplicates import SAME, fine_detail, near_pairs, perceptual_hash, share_alike

SIDE = 256  # pixels of the longer side


@dataclass(frozen=True)
class Look:
    """What is remembered of a picture. hash: perceptual, of 64 bits; detail: (64, 64) int8, as fine_detail has it;
    cannot: what it must be where it cannot be a mammogram (see modality.looks_like)."""

    hash: int
    detail: np.ndarray
    cannot: str | None

    @classmethod
    def at(cls, small: Image.Image) -> Look:
        return cls(perceptual_hash(small), fine_detail(small), looks_like(small))


def near_duplicates(looks: Sequence[Look]) -> list[tuple[int, int]]:
    """Places (i, j), i < j, of pictures that are the same: close in their hash, and alike in fine detail.

    The hash alone will not do: at its 8 × 8 frequencies, breasts of one side and view look alike.
    """
    near = near_pairs([look.hash for look in looks], distance=6)
    if not len(near):
        return []
    details = np.stack([look.detail for look in looks])
    alike = share_alike(details[near[:, 0]], details[near[:, 1]]) >= SAME
    return [tuple(pair) for pair in near[alike].tolist()]


def _shown(page: Any, box: tuple, zoom: float) -> Image.Image:
    pymupdf = import_pymupdf()
    matrix = pymupdf.Matrix(zoom, zoom)
    pixmap = page.get_pixmap(matrix=matrix, clip=box, colorspace=pymupdf.csRGB, alpha=False)
    return Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)


def pictures_of(places: Iterable[tuple[Path, int, Box]]) -> Iterator[Image.Image]:
    """Places (PDF, page from 1, box in points) → each as its page shows it, small, in RGB."""
    for path, own in groupby(places, key=lambda place: place[0]):
        with open_pdf(path) as document:
            for _, page, box in own:
                yield small_picture(document[page - 1], box)


def small_picture(page: Any, box: Box) -> Image.Image:
    """A box of a page in RGB, as the page shows it, SIDE pixels long."""
    x0, y0, x1, y1 = box
    return _shown(page, (x0, y0, x1, y1), SIDE / max(1.0, x1 - x0, y1 - y0))
