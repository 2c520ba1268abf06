"""Scanned pages: pictures by their darkness, text by OCR of what is left."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from dataset_builders.atlas.cleaning import is_noise, repair_ocr
from dataset_builders.atlas.layout import SMALLEST_PICTURE, Box, Line, PageLayout, PictureBox, union
from dataset_builders.atlas.pdf import AtlasError
from dataset_builders.atlas.scan_image import INK, even_light, fill_margins, paper_white, skew_angle, upright
from dataset_builders.atlas.text_layer import rendered

DPI = 300  # what tesseract was trained on; scans are brought to it
LAYOUT_DPI = 144  # pictures are looked for at two pixels a point
LETTER = 7  # pixels at LAYOUT_DPI: an opening of this size leaves pictures and takes letters and rules away
FILLED = 0.45  # of its box that a picture's dark part covers
COLUMN_GAP = 2.2  # line heights between two words that begin another column
ENGINE = "--oem 1 --psm 3"
ASCENDER, X_HEIGHT, DESCENDER = 0.71, 0.49, 0.21  # of the size: between those of Times and Helvetica
WHOLE_LINE = 1.13  # of the size: the height of a line's box
TALL = re.compile(r"[A-Zbdfhiklt0-9()/'\"]")
DEEP = re.compile(r"[gjpqy(),;/Q]")


def read_scan(page: Any, number: int, language: str = "eng") -> PageLayout:
    """A scanned pymupdf.Page → its layout; language as tesseract names it. Boxes are those of the page upright."""
    scan = union(info["bbox"] for info in page.get_image_info())
    flat = fill_margins(np.asarray(rendered(page, tuple(page.rect), DPI)), scan, DPI)
    angle = skew_angle(flat)
    grey = np.asarray(upright(Image.fromarray(flat), angle))
    boxes = find_pictures(grey, DPI)
    words = list(_words(even_light(_blank_out(grey, boxes)), language))
    return PageLayout(
        number,
        page.rect.width,
        page.rect.height,
        "scanned",
        tuple(_lines(words)),
        tuple(PictureBox(box) for box in boxes),
        angle,
    )


def load_pictures(page: Any, layout: PageLayout, pictures: Sequence[PictureBox]) -> Iterator[Image.Image]:
    """The pictures of a scanned page as 8-bit grey ("L"), upright, at the scan's own resolution."""
    dpi = scan_resolution(page)
    if not layout.angle:
        yield from (rendered(page, picture.box, dpi) for picture in pictures)
        return
    whole = upright(rendered(page, tuple(page.rect), dpi), layout.angle)
    for picture in pictures:
        yield whole.crop(tuple(round(value * dpi / 72) for value in picture.box))


def scan_resolution(page: Any) -> float:
    """Dots per inch of a scanned page's largest picture."""
    dots = [72 * info["width"] / (info["bbox"][2] - info["bbox"][0]) for info in page.get_image_info()]
    return max(72.0, min(600.0, max(dots)))


def find_pictures(grey: np.ndarray, dpi: float) -> list[Box]:
    """Boxes in points of the dark rectangles on a page (H, W) uint8; mammograms are printed on black."""
    reduced = Image.fromarray(grey).reduce(max(1, round(dpi / LAYOUT_DPI)))
    small = np.asarray(reduced)
    scale = 72 / dpi * grey.shape[0] / small.shape[0]
    dark = ndimage.binary_opening(small < INK * paper_white(small), np.ones((LETTER, LETTER)))
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
    paper = int(paper_white(grey))
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
    for _, members in groupby(words, key=lambda word: word["place"]):
        whole = list(members)
        for piece in _cut_at_gutters(whole, letter_size(whole)):
            box, text = union(word["box"] for word in piece), " ".join(word["text"] for word in piece)
            yield Line(box, text, letter_size(piece))


def letter_size(words: list[dict]) -> float:
    """The font's size in points, from the words' heights and what their letters reach: "on" is half of "Fig".

    Words that tesseract could not measure have the whole line's box: the same one, whatever their letters reach.
    """
    reaches: dict[tuple[float, float], set[float]] = {}
    for word in words:
        reaches.setdefault((word["box"][1], word["box"][3]), set()).add(_reach(word["text"]))
    return median(
        (y1 - y0) / (reach if len(found) == 1 else WHOLE_LINE)
        for (y0, y1), found in reaches.items()
        for reach in found
    )


def _reach(text: str) -> float:
    """Height of a word's ink in font sizes."""
    up = ASCENDER if TALL.search(text) else X_HEIGHT
    return up + (DESCENDER if DEEP.search(text) else 0.0)


def _cut_at_gutters(words: list[dict], size: float) -> Iterator[list[dict]]:
    piece = [words[0]]
    for word in words[1:]:
        if word["box"][0] - piece[-1]["box"][2] > COLUMN_GAP * size:
            yield piece
            piece = []
        piece.append(word)
    yield piece
