"""Text of a scanned page: tesseract's words, without its noise, as lines in one column each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import groupby
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from dataset_builders.atlas.cleaning import is_noise, repair_ocr
from dataset_builders.atlas.layout import Box, Line, union
from dataset_builders.atlas.pdf import AtlasError
from dataset_builders.atlas.scan_labels import repair_label

SAME_SIZE = 1.4  # how far the sizes measured on lines of one paragraph may be apart
COLUMN_GAP = 2.2  # line heights between two words that begin another column
ENGINE = "--oem 1"
ASCENDER, X_HEIGHT, DESCENDER = 0.71, 0.49, 0.21  # of the size: between those of Times and Helvetica
ABOVE_BASE, BELOW_BASE = 0.78, 0.24  # of the size: what a line takes up
WHOLE_LINE = 1.13  # of the size: the height of a line's box
TALL = re.compile(r"[A-Zbdfhiklt0-9()/'\"]")
DEEP = re.compile(r"[gjpqy(),;/Q]")
SPECK = re.compile(
    r"[.,:;'`\"\u00b0\u00b7\u2018\u2019\u201c\u201d^*_|\\\u00a2\u00ab\u00bb~]+"
)  # no word by itself
SURE = 75  # of 100: the median confidence of a line that is text
WHOLE_WORD = re.compile(r"[(\"']?(?:[A-Za-z][A-Za-z'/-]+|[AaI]|\d+)[.,:;)\"']*")


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


def read_words(grey: np.ndarray, dpi: float, language: str, mode: int = 3) -> list[dict]:
    """OCR words of a page (H, W) uint8 in tesseract's reading order: text, conf 0–100, box in points, place.

    place: the (block, paragraph, line) that the word is in. mode: how tesseract divides it (3: a page, 6: one block).
    """
    os.environ["OMP_THREAD_LIMIT"] = "1"  # pages are read side by side, one core each
    tesseract = import_tesseract()
    config = f"{ENGINE} --psm {mode} -c preserve_interword_spaces=1 --dpi {round(dpi)}"
    try:
        data = tesseract.image_to_data(
            Image.fromarray(grey), lang=language, config=config, output_type=tesseract.Output.DICT
        )
    except tesseract.TesseractError as error:
        raise AtlasError(f"tesseract failed on a page ({' '.join(str(error).split())[:160]})") from error
    return [_word(data, i, 72 / dpi) for i, text in enumerate(data["text"]) if text.strip()]


def _word(data: dict, i: int, unit: float) -> dict:
    left, top = data["left"][i], data["top"][i]
    corners = (left, top, left + data["width"][i], top + data["height"][i])
    return {
        "text": data["text"][i].strip(),
        "conf": float(data["conf"][i]),
        "box": tuple(value * unit for value in corners),
        "place": tuple(data[name][i] for name in ("block_num", "par_num", "line_num")),
    }


def to_lines(words: list[dict]) -> Iterator[Line]:
    """OCR words → lines without noise; a line that runs over the gutter of two columns is cut there."""
    for _, paragraph in groupby(words, key=lambda word: word["place"][:2]):
        lines = [list(line) for _, line in groupby(paragraph, key=lambda word: word["place"])]
        lines = [line for line in map(_without_dirt, lines) if line]
        usual = letter_size([word for line in lines for word in line]) if lines else 0.0
        for line in lines:
            for piece in _cut_at_gutters(line, letter_size(line)):
                text = repair_label(" ".join(word["text"] for word in piece))
                text = " ".join(repair_ocr(word) for word in text.split())
                size = _steadied(letter_size(piece), usual)
                yield Line(_line_box(piece, size), text, size)


def _steadied(size: float, usual: float) -> float:
    """A line's size, or that of its paragraph if it is not clearly another: some faces' letters reach unusually far."""
    return usual if 1 / SAME_SIZE <= size / usual <= SAME_SIZE else size


def _line_box(words: list[dict], size: float) -> Box:
    """A line's box, as high for "on" as for "Fig": about its baseline, which words with a "p" reach below."""
    base = median(y1 - DESCENDER * size * bool(DEEP.search(w["text"])) for w in words for y1 in w["box"][3:])
    x0, _, x1, _ = union(word["box"] for word in words)
    return x0, base - ABOVE_BASE * size, x1, base + BELOW_BASE * size


def _without_dirt(line: list[dict]) -> list[dict]:
    """The words of a line that are none of its noise.

    tesseract now and then gives 0 to a right word in the middle of a line that it is sure of.
    """
    sure = median(word["conf"] for word in line) >= SURE
    return [word for word in line if not _is_dirt(word, sure)]


def _is_dirt(word: dict, sure_line: bool) -> bool:
    if SPECK.fullmatch(word["text"]):
        return True
    if sure_line and WHOLE_WORD.fullmatch(word["text"]):
        return False
    return is_noise(word["text"], word["conf"])


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
