"""A second look at the parts of a scanned page that tesseract was unsure of, one block of text at a time.

On a whole page it now and then takes lines of neighbouring columns for one, and reads nonsense in them.
"""

from __future__ import annotations

from statistics import mean

import numpy as np
from PIL import Image
from scipy import ndimage

from dataset_builders.atlas.layout import Box, inside
from dataset_builders.atlas.scan_text import read_words

DOUBTFUL = 35  # of 100: a word's confidence that asks for a second look
REDUCTION = 2  # blocks are looked for on a page this much smaller
INK = 180  # on a page whose paper is white
ACROSS, DOWN = 10.0, 6.0  # points between words, and between lines, of one block
SMALLEST = 10.0  # points a side
MARGIN = 4.0  # points of paper around a block


def look_again(grey: np.ndarray, words: list[dict], dpi: float, language: str) -> list[dict]:
    """Words of a page (H, W) uint8, white paper, as read_words gave them → with doubtful blocks read again alone.

    A block's second reading counts where tesseract is surer of it than of the first.
    """
    doubtful = [word for word in words if word["conf"] < DOUBTFUL and len(word["text"]) > 1]
    if not doubtful:
        return words
    for number, block in enumerate(_blocks(grey, dpi), start=1):
        if not any(inside(word["box"], block, 0.5) for word in doubtful):
            continue
        first = [word for word in words if inside(word["box"], block, 0.5)]
        second = _read_block(grey, block, dpi, language, number)
        if second and mean(word["conf"] for word in second) > mean(word["conf"] for word in first):
            words = [word for word in words if word not in first] + second
    return words


def _blocks(grey: np.ndarray, dpi: float) -> list[Box]:
    """Boxes in points of the blocks of text: ink with no more paper between than words and lines have."""
    small = np.asarray(Image.fromarray(grey).reduce(REDUCTION))
    unit = 72 / dpi * REDUCTION
    reach = round(DOWN / unit) | 1, round(ACROSS / unit) | 1
    labels, _ = ndimage.label(ndimage.maximum_filter((small < INK).view(np.uint8), reach))
    boxes = [
        (x.start * unit, y.start * unit, x.stop * unit, y.stop * unit)
        for y, x in ndimage.find_objects(labels)
    ]
    return [box for box in boxes if min(box[2] - box[0], box[3] - box[1]) >= SMALLEST]


def _read_block(grey: np.ndarray, block: Box, dpi: float, language: str, number: int) -> list[dict]:
    left, top = (max(0, int((value - MARGIN) * dpi / 72)) for value in block[:2])
    right, bottom = (int((value + MARGIN) * dpi / 72) for value in block[2:])
    words = read_words(grey[top:bottom, left:right], dpi, language, mode=6)
    across, down = left * 72 / dpi, top * 72 / dpi
    return [
        {
            **word,
            "box": tuple(v + shift for v, shift in zip(word["box"], (across, down) * 2, strict=True)),
            "place": (-number, *word["place"][1:]),
        }
        for word in words
    ]
