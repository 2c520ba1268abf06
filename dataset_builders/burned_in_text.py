"""Text that was left in a picture: film labels that name the view or the side, and whatever else can be read.

Bright, thin shapes of one height beside each other may be letters; only such lines are given to tesseract, as black
letters on white. Most mammograms have none, and take a few milliseconds. Read is upright text that is brighter than
what it stands on: not the dark letters of a white tag, and not what is turned or mirrored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dataset_builders.atlas.pdf import AtlasError
from dataset_builders.atlas.scanned_page import import_tesseract

try:
    import cv2
except ImportError:
    cv2 = None

STROKE = 25  # of the shorter side: strokes of letters are thinner
CONTRAST = 60  # grey levels above what surrounds a stroke
HEIGHTS = (6, 0.1)  # of a letter: pixels at least, and the part of the image's height at most
LETTER = 48  # pixels of height that tesseract is given
MOST_LINES = 8  # of an image, those of most letters first
SURE = 60  # tesseract's confidence from which a word is believed, in percent
LABEL = re.compile(r"\b[RL][\s-]?(?:CC|MLO|ML|LM|XCCL?)\b|\b(?:CC|MLO)\b|\b(?:LEFT|RIGHT)\b")
WORDS = re.compile(r"[^\W\d_]{4,}|\d{1,4}[-./]\d{1,2}[-./]\d{2,4}|\d{5,}")


class Letter(NamedTuple):
    x: int
    y: int
    width: int
    height: int


def what_is_missing() -> str | None:
    """What has to be installed before text can be read, as a sentence without its full stop; None: nothing."""
    if cv2 is None:
        return "OpenCV, which finds letters, is not installed; pip install opencv-python-headless"
    try:
        import_tesseract()
    except AtlasError as error:
        return str(error)
    return None


def view_label(text: str) -> bool:
    """Whether a text names the view or the side: "RCC", "L MLO", "LEFT"."""
    return LABEL.search(text) is not None


def telling(text: str) -> bool:
    """Whether a text may tell who the patient is or what was seen: a word of four letters, a date, a long number."""
    return WORDS.search(text) is not None


def read_text(pixels: np.ndarray) -> list[str]:
    """The lines of upright text in an image (H, W) uint8 that tesseract is sure of, in no particular order.

    Raises AtlasError where tesseract is not installed.
    """
    thin = _thin_and_bright(pixels)
    lines = sorted(letter_lines(thin), key=len, reverse=True)[:MOST_LINES]
    found = (_read_line(thin, line) for line in lines)
    return [text for text in found if text]


def _thin_and_bright(pixels: np.ndarray) -> np.ndarray:
    """(H, W) uint8: how far each pixel stands out of its surroundings, wider shapes left out."""
    size = max(3, min(pixels.shape) // STROKE)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (size, size))
    return cv2.morphologyEx(pixels, cv2.MORPH_TOPHAT, kernel)


def letter_lines(thin: np.ndarray) -> Iterator[list[Letter]]:
    """Two or more shapes of about one height, side by side and close together, from left to right."""
    mask = (thin > CONTRAST).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    highest = HEIGHTS[1] * thin.shape[0]
    shapes = [Letter(*map(int, box[:4])) for box in boxes[1:] if HEIGHTS[0] <= box[3] <= highest]
    waiting = sorted((shape for shape in shapes if shape.width <= 1.6 * shape.height), reverse=True)
    while waiting:
        line, rest = [waiting.pop()], []
        for shape in reversed(waiting):
            (line if _continues(line[-1], shape) else rest).append(shape)
        waiting = rest[::-1]
        if len(line) > 1:
            yield line


def _continues(last: Letter, shape: Letter) -> bool:
    height = max(last.height, shape.height)
    return (
        min(last.height, shape.height) > 0.7 * height
        and abs(last.y + last.height / 2 - shape.y - shape.height / 2) < 0.25 * height
        and shape.x - last.x - last.width < 1.2 * height
    )


def _read_line(thin: np.ndarray, line: Sequence[Letter]) -> str:
    """What one line says, as far as tesseract is sure of its words."""
    height = max(letter.height for letter in line)
    x0, x1 = line[0].x - height, line[-1].x + line[-1].width + height
    y0 = min(letter.y for letter in line) - height // 2
    y1 = max(letter.y + letter.height for letter in line) + height // 2
    cut = thin[max(0, y0) : y1, max(0, x0) : x1]
    scale = LETTER / height
    large = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    ink = cv2.copyMakeBorder(255 - large, 20, 20, 20, 20, cv2.BORDER_CONSTANT, value=255)
    return " ".join(_sure_words(ink))


def _sure_words(ink: np.ndarray) -> Iterator[str]:
    tesseract = import_tesseract()
    data: dict[str, Any] = tesseract.image_to_data(
        ink, config="--oem 1 --psm 7", output_type=tesseract.Output.DICT
    )
    for word, sure in zip(data["text"], data["conf"], strict=True):
        if word.strip() and float(sure) >= SURE:
            yield word.strip()
