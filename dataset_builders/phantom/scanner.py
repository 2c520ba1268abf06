"""A flatbed scanner for phantom pages: resolution, paper, slight skew, blur, noise, JPEG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from dataset_builders.atlas.pdf import import_pymupdf

MOST_SKEW = 0.4  # degrees
INSET_SHARE = 0.2  # of the pages: one picture of the page's content, without the margins


def scan_document(document: Any, *, dpi: int, inset: tuple[float, float, float, float], seed: int) -> Any:
    """A document whose pages are pictures of the given one's (both pymupdf.Document); no text layer.

    inset: the content's box in points, for the pages that are cropped to it.
    """
    pymupdf = import_pymupdf()
    scanned = pymupdf.open()
    for number, page in enumerate(document):
        rng = np.random.default_rng([seed, number])
        clip = pymupdf.Rect(inset) if rng.random() < INSET_SHARE else page.rect
        pixmap = page.get_pixmap(dpi=dpi, colorspace=pymupdf.csGRAY, clip=clip, alpha=False)
        grey = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)[
            :, : pixmap.width
        ]
        target = scanned.new_page(width=page.rect.width, height=page.rect.height)
        target.insert_image(clip, stream=scan(grey, rng), keep_proportion=False)
    return scanned


def scan(grey: np.ndarray, rng: np.random.Generator) -> bytes:
    """A clean page (H, W) uint8 → the JPEG that a scanner makes of it, of the same size."""
    angle = rng.uniform(-MOST_SKEW, MOST_SKEW)
    turned = Image.fromarray(grey).rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
    light = np.asarray(turned, dtype=np.float32) / 255
    paper = rng.uniform(232, 250) + _shade(light.shape, rng)
    ink = rng.uniform(5, 30)
    soft = gaussian_filter(ink + (paper - ink) * light, rng.uniform(0.4, 0.8))
    noisy = soft + rng.normal(0, rng.uniform(2, 5), soft.shape).astype(np.float32)
    buffer = io.BytesIO()
    page = Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    page.save(buffer, "JPEG", quality=int(rng.integers(68, 85)))
    return buffer.getvalue()


def _shade(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Uneven light: a slope of a few grey levels over the page."""
    down, across = rng.uniform(-5, 0, 2).astype(np.float32)
    return down * np.linspace(0, 1, shape[0], dtype=np.float32)[:, None] + across * np.linspace(
        0, 1, shape[1], dtype=np.float32
    )
