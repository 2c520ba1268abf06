"""Pages with a text layer: lines from the PDF's text, pictures from its image objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from dataset_builders.atlas.layout import Line, PageLayout, PictureBox, overlap, union
from dataset_builders.atlas.pdf import import_pymupdf

ASCENT, DESCENT = 0.72, 0.21  # of the size: where letters begin and end about the baseline
BOLD = 1 << 4  # of a span's flags
BACKGROUND = 0.9  # of a page
STRIP = 3.0  # a piece of a picture is this many times longer than high, or the other way round


def read_page(page: Any, number: int) -> PageLayout:
    """A pymupdf.Page → its layout. Text that does not run from left to right is left out."""
    pymupdf = import_pymupdf()
    flags = pymupdf.TEXT_PRESERVE_LIGATURES | pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
    pieces = []
    for block in page.get_text("dict", flags=flags)["blocks"]:
        for line in block.get("lines", ()):
            if line["dir"][0] > 0.99:
                pieces += [_piece(span) for span in line["spans"] if span["text"].strip()]
    pictures = tuple(PictureBox(box, xrefs) for box, xrefs in _stitch(_images(page)))
    return PageLayout(number, page.rect.width, page.rect.height, "text", tuple(_join(pieces)), pictures)


def _piece(span: dict) -> Line:
    x0, x1, baseline, size = span["bbox"][0], span["bbox"][2], span["origin"][1], span["size"]
    bold = bool(span["flags"] & BOLD) or "bold" in span["font"].lower()
    box = (x0, baseline - ASCENT * size, x1, baseline + DESCENT * size)
    return Line(box, span["text"], size, bold)


def _join(pieces: list[Line]) -> list[Line]:
    """Spans on one baseline with no more than an em between them → one line."""
    lines: list[Line] = []
    for piece in sorted(pieces, key=lambda piece: (round(piece.box[1] + ASCENT * piece.size), piece.box[0])):
        last = lines[-1] if lines else None
        if last is not None and _same_line(last, piece):
            blank = "" if last.text.endswith(" ") or piece.text.startswith(" ") else _blank(last, piece)
            box = union((last.box, piece.box))
            lines[-1] = Line(box, f"{last.text}{blank}{piece.text}", max(last.size, piece.size), last.bold)
        else:
            lines.append(piece)
    return lines


def _same_line(last: Line, piece: Line) -> bool:
    gap = piece.box[0] - last.box[2]
    level = overlap(last.box[1], last.box[3], piece.box[1], piece.box[3])
    return -0.3 * piece.size <= gap <= piece.size and level >= 0.6 * min(last.size, piece.size)


def _blank(last: Line, piece: Line) -> str:
    return " " if piece.box[0] - last.box[2] > 0.12 * piece.size else ""


def _images(page: Any) -> list[tuple[tuple, tuple[int, ...]]]:
    """(box, xrefs) of each image on the page, cut to the page; xrefs are empty for an inline image.

    A picture of the whole page, with text on it, is paper and no figure.
    """
    found = []
    for info in page.get_image_info(xrefs=True):
        box = import_pymupdf().Rect(info["bbox"]) & page.rect
        if not box.is_empty and box.get_area() < BACKGROUND * page.rect.get_area():
            found.append((tuple(box), (info["xref"],) if info["xref"] else ()))
    return found


def _stitch(images: list[tuple[tuple, tuple[int, ...]]]) -> list[tuple[tuple, tuple[int, ...]]]:
    """Join the strips that some PDF writers cut a picture into; whole pictures side by side stay apart."""
    joined: list[tuple[tuple, tuple[int, ...]]] = []
    for box, xrefs in sorted(images, key=lambda image: (image[0][1], image[0][0])):
        match = next((i for i, (other, _) in enumerate(joined) if _strips_of_one(other, box)), None)
        if match is None:
            joined.append((box, xrefs))
        else:
            joined[match] = (union((joined[match][0], box)), joined[match][1] + xrefs)
    return joined


def _strips_of_one(above: tuple, strip: tuple) -> bool:
    wide, high = strip[2] - strip[0], strip[3] - strip[1]
    if wide < STRIP * high:
        return False
    same = abs(above[0] - strip[0]) < 1 and abs(above[2] - strip[2]) < 1
    return same and abs(strip[1] - above[3]) < 1


def load_picture(page: Any, picture: PictureBox) -> Image.Image:
    """The picture's own pixels as 8-bit grey ("L"); what is cut, masked or turned is rendered as the page shows it."""
    if len(picture.xrefs) == 1 and _is_plain(page, picture.xrefs[0]):
        return native_pixels(page.parent, picture.xrefs[0])
    return rendered(page, picture.box, _resolution(page, picture))


def _is_plain(page: Any, xref: int) -> bool:
    """Placed once, upright, whole, without a mask."""
    placements = [info for info in page.get_image_info(xrefs=True) if info["xref"] == xref]
    if len(placements) != 1 or page.parent.extract_image(xref).get("smask"):
        return False
    a, b, c, d = placements[0]["transform"][:4]
    box = import_pymupdf().Rect(placements[0]["bbox"])
    return a > 0 and d > 0 and abs(b) + abs(c) < 1e-3 and box in page.rect + (-1, -1, 1, 1)


def native_pixels(document: Any, xref: int) -> Image.Image:
    """An image object's pixels as 8-bit grey."""
    pymupdf = import_pymupdf()
    pixmap = pymupdf.Pixmap(document, xref)
    if pixmap.colorspace is None or pixmap.colorspace.n != 1 or pixmap.alpha:
        pixmap = pymupdf.Pixmap(pymupdf.csGRAY, pymupdf.Pixmap(pixmap, 0) if pixmap.alpha else pixmap)
    return _to_image(pixmap)


def rendered(page: Any, box: tuple, dpi: float) -> Image.Image:
    """A part of the page as it is shown, 8-bit grey."""
    pymupdf = import_pymupdf()
    zoom = pymupdf.Matrix(dpi / 72, dpi / 72)
    return _to_image(page.get_pixmap(matrix=zoom, clip=box, colorspace=pymupdf.csGRAY, alpha=False))


def _to_image(pixmap: Any) -> Image.Image:
    rows = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)
    return Image.fromarray(rows[:, : pixmap.width].copy())


def _resolution(page: Any, picture: PictureBox) -> float:
    """Dots per inch of the picture's largest piece; 200 where it has none."""
    pieces = [info for info in page.get_image_info(xrefs=True) if info["xref"] in picture.xrefs]
    dots = [72 * info["width"] / max(1.0, info["bbox"][2] - info["bbox"][0]) for info in pieces]
    return min(600.0, max(dots, default=200.0))
