"""Pages with a text layer: lines from the PDF's text, pictures from its image objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from dataset_builders.atlas.drawings import find_drawings
from dataset_builders.atlas.layout import Box, PageLayout, PictureBox, inside, turned
from dataset_builders.atlas.painted import PaintedImage, painted_on
from dataset_builders.atlas.pdf import import_pymupdf
from dataset_builders.atlas.text_lines import page_spans, page_turn, read_lines
from dataset_builders.atlas.tiles import hull, stitch

BACKGROUND = 0.9  # of a page: a picture so large, with text painted on it, is paper and no figure
DRAWING_DPI = 200  # that drawings are rendered at
MOST_DPI = 600.0
EDGE_DPI = 36  # for a look at a picture's edges
PAPER = 150  # grey level: a scan's paper is lighter, even in a shadow


def read_page(page: Any, number: int) -> PageLayout:
    """A pymupdf.Page → its layout, upright for who reads it: where most text is turned, the page is turned back.

    Text in other directions is left out.
    """
    spans = page_spans(page)
    turn = page_turn(spans)
    size = page.rect.width, page.rect.height
    images, paths = painted_on(page)
    pictures = [
        PictureBox(
            turned(hull(pieces), turn, *size), tuple(dict.fromkeys(piece.key for piece in pieces)), turn
        )
        for pieces in stitch(_without_paper(images, page, bool(spans)))
    ]
    lines = read_lines(spans, turn, *size)
    width, height = size if turn % 180 == 0 else size[::-1]
    paths = [turned(box, turn, *size) for box in paths]
    drawings = find_drawings(paths, width, height, [picture.box for picture in pictures], lines)
    pictures += [PictureBox(box, (), turn, drawing=True) for box in drawings]
    return PageLayout(number, width, height, "text", tuple(lines), tuple(pictures), turn=turn)


def _without_paper(images: Sequence[PaintedImage], page: Any, has_text: bool) -> list[PaintedImage]:
    """Images without one that covers the whole page below text, and without what another one hides or repeats."""
    area = page.rect.width * page.rect.height
    kept = [
        image
        for image in images
        if not (
            has_text and (image.box[2] - image.box[0]) * (image.box[3] - image.box[1]) >= BACKGROUND * area
        )
    ]
    return [
        image
        for i, image in enumerate(kept)
        if not any(later.is_opaque and inside(image.box, later.box, 0.98) for later in kept[i + 1 :])
    ]


def is_plate(page: Any) -> bool:
    """Whether the largest picture on a page is a figure that fills it and no scan of paper: dark along its edges."""
    images, _ = painted_on(page)
    if not images:
        return False
    box = max((image.box for image in images), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    small = np.asarray(rendered(page, box, EDGE_DPI))
    edges = np.concatenate(
        [small[1:3].ravel(), small[-3:-1].ravel(), small[:, 1:3].ravel(), small[:, -3:-1].ravel()]
    )
    covers = (box[2] - box[0]) * (box[3] - box[1]) / (page.rect.width * page.rect.height)
    return bool(covers < BACKGROUND and (edges < PAPER).mean() > 0.5)


def load_pictures(page: Any, pictures: Sequence[PictureBox]) -> Iterator[Image.Image]:
    """The pictures' own pixels as 8-bit grey ("L"), upright for who reads the page, which is interpreted once.

    What is cut, masked, slanted, in pieces or drawn is rendered as the page shows it, at the pieces' own resolution.
    """
    images = painted_on(page)[0] if any(picture.objects for picture in pictures) else []
    for picture in pictures:
        box = on_page(page, picture)
        pieces = [image for image in images if image.key in picture.objects and inside(image.box, box, 0.9)]
        if len(pieces) == 1 and pieces[0].is_plain:
            pixels = pieces[0].shown()
        else:
            dpi = min(MOST_DPI, max((piece.dpi for piece in pieces), default=DRAWING_DPI))
            pixels = np.asarray(rendered(page, box, dpi))
        yield Image.fromarray(np.ascontiguousarray(np.rot90(pixels, -picture.turn // 90)))


def on_page(page: Any, picture: PictureBox) -> Box:
    """A picture's box on the pymupdf.Page as it is shown."""
    size = page.rect.width, page.rect.height
    return turned(picture.box, -picture.turn % 360, *(size if picture.turn % 180 == 0 else size[::-1]))


def rendered(page: Any, box: Box, dpi: float) -> Image.Image:
    """A part of the page as it is shown, 8-bit grey."""
    pymupdf = import_pymupdf()
    zoom = pymupdf.Matrix(dpi / 72, dpi / 72)
    pixmap = page.get_pixmap(matrix=zoom, clip=box, colorspace=pymupdf.csGRAY, alpha=False)
    rows = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)
    return Image.fromarray(rows[:, : pixmap.width].copy())
