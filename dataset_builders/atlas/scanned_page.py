"""Scanned pages: what is picture and what is drawn, and text by OCR of what is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from dataset_builders.atlas.layout import Box, PageLayout, PictureBox, inside
from dataset_builders.atlas.scan_image import (
    even_light,
    fill_margins,
    levelled,
    paper_white,
    reduced,
    scanner_edge,
    skew_angle,
    upright,
)
from dataset_builders.atlas.scan_pictures import find_outlines, find_pictures, panels_of
from dataset_builders.atlas.scan_second_look import look_again
from dataset_builders.atlas.scan_text import import_tesseract, read_words, to_lines
from dataset_builders.atlas.text_layer import rendered

__all__ = ["import_tesseract", "load_pictures", "read_scan"]

DPI = 300  # what tesseract was trained on; scans are brought to it
DPI_LIMIT = 600.0
LARGEST_PAGE, USUAL_PAGE = (
    1300.0,
    800.0,
)  # points of the longer side: no book is larger than A3; most are near A4
LINE_WORDS = 4  # words in a row are text, also in a frame; labels of a drawing are shorter
FRAMED = 0.2  # of a frame that its pictures' dark parts cover
MOST_WORDS = 14  # words in a drawing


def read_scan(page: Any, number: int, language: str = "eng") -> PageLayout:
    """A scanned pymupdf.Page → its layout; language as tesseract names it.

    Boxes are those of the page upright (box_on_page says where they are on the page as it is).
    """
    grey, angle = upright_page(page)
    small, unit = reduced(grey, DPI)
    level = levelled(small, unit)
    pictures = find_pictures(level, unit)
    outlines, lines = find_outlines(level, pictures, unit)
    text = even_light(_text_only(grey, pictures, lines))
    words = look_again(text, read_words(text, DPI, language), DPI, language)
    pictures = pictures_and_drawings(level, unit, pictures, outlines, words)
    words = [word for word in words if not any(inside(word["box"], box, 0.5) for box in pictures)]
    return PageLayout(
        number,
        page.rect.width * page_scale(page),
        page.rect.height * page_scale(page),
        "scanned",
        tuple(to_lines(words)),
        tuple(PictureBox(box) for box in pictures),
        angle,
    )


def upright_page(page: Any) -> tuple[np.ndarray, float]:
    """A page (H, W) uint8 at DPI without the scanner's edges, upright, and by how many degrees it was turned."""
    scale = page_scale(page)
    grey = rendered(page, tuple(page.rect), scan_resolution(page))
    size = tuple(round(side * scale * DPI / 72) for side in (page.rect.width, page.rect.height))
    grey = np.asarray(grey if grey.size == size else grey.resize(size, Image.Resampling.BICUBIC))
    grey = without_edges(fill_margins(grey, _painted(page), DPI * scale))
    angle = skew_angle(grey)
    return np.asarray(upright(Image.fromarray(grey), angle)), angle


def page_scale(page: Any) -> float:
    """Points of the layout for one of the page: 1.0, but for pages as large as their scan has pixels.

    Programs that wrap pictures as a PDF often count 72 dots to the inch; letters would be four times too large.
    """
    longest = max(page.rect.width, page.rect.height)
    return 1.0 if longest <= LARGEST_PAGE else USUAL_PAGE / longest


def box_on_page(page: Any, layout: PageLayout, box: Box) -> Box:
    """A box of the upright layout → the box, in the points of the PDF's page, that holds it as it was scanned."""
    scale, turn = page_scale(page), np.deg2rad(layout.angle)
    middle = np.array([layout.width, layout.height]) / 2
    corners = np.array([(x, y) for x in box[::2] for y in box[1::2]]) - middle
    back = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    turned = (corners @ back + middle) / scale
    return *turned.min(axis=0).tolist(), *turned.max(axis=0).tolist()


def _painted(page: Any) -> list[Box]:
    """What is seen on a page: a picture of the whole of it, or several, or pictures and text."""
    return [box for kind, box in page.get_bboxlog() if kind != "ignore-text"]


def without_edges(grey: np.ndarray) -> np.ndarray:
    """A page (H, W) uint8 at DPI with paper where the scanner's dark edges were."""
    small, unit = reduced(grey, DPI)
    edge = scanner_edge(small, unit)
    if not edge.any():
        return grey
    mask = Image.fromarray(edge).resize((grey.shape[1], grey.shape[0]))
    return np.where(np.asarray(mask), np.uint8(paper_white(grey)), grey)


def pictures_and_drawings(
    level: np.ndarray, unit: float, pictures: list[Box], outlines: list[Box], words: Sequence[dict]
) -> list[Box]:
    """The pictures, those in a frame with all that is in it, and the outlines that are drawings and no text.

    level (H, W), unit: as in scan_pictures. words: what OCR read; a frame around a text is no picture.
    """
    found = list(pictures)
    for outline in outlines:
        if _holds_text([word for word in words if inside(word["box"], outline)]):
            continue
        held = [box for box in found if inside(box, outline, 0.9)]
        if not held and any(inside(outline, box, 0.5) for box in found):
            continue  # drawn in a picture
        if held and sum(map(_area, held)) < FRAMED * _area(outline):
            continue
        panels = panels_of(level, outline, unit) if held else [outline]
        if len(panels) >= len(held):
            found = [box for box in found if box not in held] + panels
    return found


def load_pictures(page: Any, layout: PageLayout, pictures: Sequence[PictureBox]) -> Iterator[Image.Image]:
    """The pictures of a scanned page as 8-bit grey ("L"), upright, at the scan's own resolution."""
    dpi = scan_resolution(page)
    whole = upright(rendered(page, tuple(page.rect), dpi), layout.angle)
    dots = dpi / 72 / page_scale(page)
    for picture in pictures:
        yield whole.crop(tuple(round(value * dots) for value in picture.box))


def scan_resolution(page: Any) -> float:
    """Dots per inch of the finest picture on a page, no more than DPI_LIMIT for the page's usual size."""
    dots = [72 * info["width"] / (info["bbox"][2] - info["bbox"][0]) for info in page.get_image_info()]
    scale = page_scale(page)
    return scale * max(72.0, min(DPI_LIMIT, max(dots, default=float(DPI)) / scale))


def _holds_text(words: Sequence[dict]) -> bool:
    """Whether words are lines of text and not the labels of a drawing."""
    rows: dict[tuple, int] = {}
    for word in words:
        rows[word["place"]] = rows.get(word["place"], 0) + 1
    return len(words) > MOST_WORDS or any(count >= LINE_WORDS for count in rows.values())


def _text_only(grey: np.ndarray, boxes: Sequence[Box], lines: np.ndarray) -> np.ndarray:
    """The page (H, W) uint8 at DPI without pictures and drawn lines, which OCR would read letters into."""
    paper = np.uint8(paper_white(grey))
    thick = ndimage.binary_dilation(lines, np.ones((3, 3)))  # lines fade at their sides
    mask = Image.fromarray(thick).resize((grey.shape[1], grey.shape[0]))
    text = np.where(np.asarray(mask), paper, grey)
    for x0, y0, x1, y1 in boxes:
        rows = slice(max(0, int((y0 - 2) * DPI / 72)), int((y1 + 2) * DPI / 72))
        text[rows, max(0, int((x0 - 2) * DPI / 72)) : int((x1 + 2) * DPI / 72)] = paper
    return text


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
