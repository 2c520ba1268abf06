"""Scanned pages: pictures by their darkness, text by OCR of what is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from dataset_builders.atlas.cleaning import is_noise, repair_ocr
from dataset_builders.atlas.layout import SMALLEST_PICTURE, Box, Line, PageLayout, PictureBox, union
from dataset_builders.atlas.pdf import AtlasError
from dataset_builders.atlas.text_layer import rendered

DPI = 300  # what tesseract was trained on; scans are brought to it
LAYOUT_DPI = 144  # pictures are looked for at two pixels a point
INK = 0.72  # of the paper's brightness: darker is print
LETTER = 7  # pixels at LAYOUT_DPI: an opening of this size leaves pictures and takes letters and rules away
FILLED = 0.45  # of its box that a picture's dark part covers
COLUMN_GAP = 2.2  # line heights between two words that begin another column
ENGINE = "--oem 1 --psm 3"


def read_scan(page: Any, number: int, language: str = "eng") -> PageLayout:
    """A scanned pymupdf.Page → its layout; language as tesseract names it."""
    grey = np.asarray(rendered(page, tuple(page.rect), DPI))
    boxes = find_pictures(grey, DPI)
    words = list(_words(_blank_out(grey, boxes), language))
    return PageLayout(
        number,
        page.rect.width,
        page.rect.height,
        "scanned",
        tuple(_lines(words)),
        tuple(PictureBox(box) for box in boxes),
    )


def find_pictures(grey: np.ndarray, dpi: float) -> list[Box]:
    """Boxes in points of the dark rectangles on a page (H, W) uint8; mammograms are printed on black."""
    reduced = Image.fromarray(grey).reduce(max(1, round(dpi / LAYOUT_DPI)))
    small = np.asarray(reduced)
    scale = 72 / dpi * grey.shape[0] / small.shape[0]
    paper = float(np.percentile(small, 90))
    dark = ndimage.binary_opening(small < INK * paper, np.ones((LETTER, LETTER)))
    labels, _ = ndimage.label(dark)
    boxes = []
    for index, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        filled = (labels[rows, columns] == index).mean()
        box = (columns.start * scale, rows.start * scale, columns.stop * scale, rows.stop * scale)
        if min(box[2] - box[0], box[3] - box[1]) >= SMALLEST_PICTURE and filled >= FILLED:
            boxes.append(box)
    return boxes


def _blank_out(grey: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """The page without its pictures, which OCR would read letters into."""
    text = grey.copy()
    paper = int(np.percentile(grey, 90))
    for x0, y0, x1, y1 in boxes:
        rows = slice(max(0, int((y0 - 2) * DPI / 72)), int((y1 + 2) * DPI / 72))
        text[rows, max(0, int((x0 - 2) * DPI / 72)) : int((x1 + 2) * DPI / 72)] = paper
    return text


def import_tesseract() -> Any:
    """pytesseract, with the tesseract program behind it; AtlasError says what is missing and how to get it."""
    try:
        import pytesseract

        pytesseract.get_tesseract_version()
    except ImportError as error:
        message = (
            "pytesseract, which reads scanned pages, is not installed; run: pip install 'mam-clip[atlas]'"
        )
        raise AtlasError(message) from error
    except (pytesseract.TesseractNotFoundError, OSError) as error:
        message = (
            "the program tesseract, which reads scanned pages, is missing; run: apt-get install tesseract-ocr"
        )
        raise AtlasError(message) from error
    return pytesseract


def _words(grey: np.ndarray, language: str) -> Iterator[dict]:
    """OCR words in tesseract's reading order: text, box in points, and the (block, paragraph, line) they are in."""
    os.environ["OMP_THREAD_LIMIT"] = "1"  # pages are read side by side, one core each
    tesseract = import_tesseract()
    config = f"{ENGINE} -c preserve_interword_spaces=1 --dpi {DPI}"
    try:
        data = tesseract.image_to_data(
            Image.fromarray(grey), lang=language, config=config, output_type=tesseract.Output.DICT
        )
    except tesseract.TesseractError as error:
        raise AtlasError(f"tesseract failed on a page ({' '.join(str(error).split())[:160]})") from error
    for i, text in enumerate(data["text"]):
        if text.strip() and not is_noise(text.strip(), float(data["conf"][i])):
            left, top = data["left"][i], data["top"][i]
            corners = (left, top, left + data["width"][i], top + data["height"][i])
            place = tuple(data[name][i] for name in ("block_num", "par_num", "line_num"))
            yield {
                "text": repair_ocr(text.strip()),
                "box": tuple(v * 72 / DPI for v in corners),
                "place": place,
            }


def _lines(words: list[dict]) -> Iterator[Line]:
    """OCR words → lines; a line that runs over the gutter of two columns is cut there."""
    heights: dict[int, list[float]] = {}
    for word in words:
        heights.setdefault(word["place"][0], []).append(word["box"][3] - word["box"][1])
    for place, members in groupby(words, key=lambda word: word["place"]):
        size = 1.25 * median(heights[place[0]])  # of x-height, ascenders and descenders to the font's size
        for piece in _cut_at_gutters(list(members), size):
            yield Line(union(word["box"] for word in piece), " ".join(word["text"] for word in piece), size)


def _cut_at_gutters(words: list[dict], size: float) -> Iterator[list[dict]]:
    piece = [words[0]]
    for word in words[1:]:
        if word["box"][0] - piece[-1]["box"][2] > COLUMN_GAP * size:
            yield piece
            piece = []
        piece.append(word)
    yield piece
