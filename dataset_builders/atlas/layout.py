"""What a page looks like, wherever it was read from: lines of text and pictures; and lines grouped into blocks.

All boxes are (x0, y0, x1, y1) in PDF points (1/72 inch) from the page's top left corner, x1 and y1 exclusive.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

Box = tuple[float, float, float, float]

SMALLEST_PICTURE = 45.0  # points; smaller pictures are icons, marks and rules
MARGIN_ZONE = 0.085  # of the page's height, at the top and at the bottom: running heads and page numbers
LARGEST_GAP = 0.8  # between two lines of a block, in line heights
BEGINS_FIGURE = re.compile(r"\s*fig(?:ure|\s?\.)?\s*[A-Z]?\d", re.IGNORECASE)
BEGINS_CAPTION = re.compile(r"\s*(?:fig(?:ure|\s?\.)?|plate|image|case)\s*[A-Z]?\d\S*\s+\S", re.IGNORECASE)
PANEL_LETTER = re.compile(r"^\(?[A-Ha-h]\)?[.,]?$")


@dataclass(frozen=True)
class Line:
    """One line of text in one column. size: the letters' height in points; bold: of its first word.

    font: the face's name without weight and slant, where it is known; raised: begins with a superscript.
    """

    box: Box
    text: str
    size: float
    bold: bool = False
    font: str = ""
    raised: bool = False


@dataclass(frozen=True)
class PictureBox:
    """A picture's place, in reading coordinates; `objects` are the keys of its image data in the PDF.

    Several objects are strips or tiles; a part of a scan has none. turn: as of its page; drawing: made of strokes
    and fills alone.
    """

    box: Box
    objects: tuple[str, ...] = ()
    turn: int = 0
    drawing: bool = False


@dataclass(frozen=True)
class PageLayout:
    """One page as read. number from 1; kind "text" or "scanned"; angle: by how many degrees a scan was turned.

    turn: by how many degrees (0, 90, 180, 270) counterclockwise the page's text is turned as the page is shown.
    Boxes, width and height are in reading coordinates, those of the page turned back; `on_page` leads to the page.
    """

    number: int
    width: float
    height: float
    kind: str
    lines: tuple[Line, ...]
    pictures: tuple[PictureBox, ...]
    angle: float = 0.0
    turn: int = 0

    def on_page(self, box: Box) -> Box:
        """A box in reading coordinates → on the page as it is shown."""
        return turned(box, -self.turn % 360, self.width, self.height)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> PageLayout:
        lines = tuple(Line(**{**line, "box": tuple(line["box"])}) for line in data["lines"])
        pictures = tuple(
            PictureBox(**{**p, "box": tuple(p["box"]), "objects": tuple(p["objects"])})
            for p in data["pictures"]
        )
        return cls(**{**data, "lines": lines, "pictures": pictures})


@dataclass
class Block:
    """Lines that belong together: a paragraph, a caption, a heading."""

    lines: list[Line] = field(default_factory=list)

    @property
    def box(self) -> Box:
        return union(line.box for line in self.lines)

    @property
    def size(self) -> float:
        return median(line.size for line in self.lines)

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)


# ---- boxes


def union(boxes: Iterable[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def overlap(a0: float, a1: float, b0: float, b1: float) -> float:
    """Length that two intervals share; negative: the gap between them."""
    return min(a1, b1) - max(a0, b0)


def turned(box: Box, turn: int, width: float, height: float) -> Box:
    """A box on a page (width, height) → on the page turned clockwise by 0, 90, 180 or 270 degrees."""
    x0, y0, x1, y1 = box
    if turn == 90:
        return height - y1, x0, height - y0, x1
    if turn == 180:
        return width - x1, height - y1, width - x0, height - y0
    if turn == 270:
        return y0, width - x1, y1, width - x0
    return x0, y0, x1, y1


def inside(inner: Box, outer: Box, share: float = 0.6) -> bool:
    """Whether at least `share` of a box's area lies in another."""
    wide = overlap(inner[0], inner[2], outer[0], outer[2])
    high = overlap(inner[1], inner[3], outer[1], outer[3])
    area = (inner[2] - inner[0]) * (inner[3] - inner[1])
    return wide > 0 and high > 0 and wide * high >= share * area


# ---- lines to blocks


def group_lines(lines: Iterable[Line]) -> list[Block]:
    """Lines → blocks in reading order of their tops: a line joins the block that it continues, or begins one."""
    blocks: list[Block] = []
    for line in sorted(lines, key=lambda line: (line.box[1], line.box[0])):
        home = min(
            (block for block in blocks if continues(block, line)),
            key=lambda block: (line.box[1] - block.box[3], abs(line.box[0] - block.box[0])),
            default=None,
        )
        if home is None:
            blocks.append(Block([line]))
        else:
            home.lines.append(line)
    return blocks


def continues(block: Block, line: Line) -> bool:
    """Whether a line is the next of a block: right below its last line, in its column, of its size and weight."""
    last = block.lines[-1]
    gap = line.box[1] - last.box[3]
    if not -0.5 * line.size <= gap <= LARGEST_GAP * min(line.size, last.size):
        return False
    if not _alike(last, line) or _is_further(block, line) or _begins_caption(block, line):
        return False
    left, _, right, _ = block.box
    shared = overlap(line.box[0], line.box[2], left, right)
    return shared >= 0.6 * min(line.box[2] - line.box[0], right - left)


def _alike(last: Line, line: Line) -> bool:
    """Of one size; on scans it is not known exactly."""
    slack = 1.06 if last.font and line.font else 1.19
    return 1 / slack <= line.size / last.size <= slack


def _is_further(block: Block, line: Line) -> bool:
    """Whether a line stands further below the block than its own lines stand apart; unknown on scans."""
    if len(block.lines) < 2 or not line.font:
        return False
    pitch = block.lines[-1].box[3] - block.lines[-2].box[3]
    return line.box[3] - block.lines[-1].box[3] > 1.2 * pitch + 0.5


def _begins_caption(block: Block, line: Line) -> bool:
    """A label in bold, or behind a finished sentence; elsewhere "Figure 3" at a line's start is a mention."""
    if not BEGINS_FIGURE.match(line.text):
        return False
    last = block.lines[-1]
    if line.bold and not block.lines[0].bold:
        return True
    ended = last.text.rstrip().endswith((".", "?", "!", ".)"))
    short = last.box[2] < block.box[2] - 2 * line.size
    return (
        bool(line.font) and ended and (short or line.bold or bool(BEGINS_FIGURE.match(block.lines[0].text)))
    )


# ---- what is no content


def content_lines(pages: Sequence[PageLayout]) -> dict[int, list[Line]]:
    """Page number → its lines without letters in or below pictures, running heads and page numbers."""
    heads = _repeated_heads(pages)
    type_area = _type_area(pages, heads)
    return {
        page.number: [line for line in page.lines if _is_content(line, page, heads, type_area)]
        for page in pages
    }


def content_pictures(pages: Sequence[PageLayout]) -> dict[int, list[PictureBox]]:
    """Page number → its pictures without icons, marks and what returns on page after page."""
    uses = Counter(key for page in pages for key in {key for p in page.pictures for key in p.objects})
    return {
        page.number: [p for p in page.pictures if is_large(p.box) and all(uses[key] < 3 for key in p.objects)]
        for page in pages
    }


def is_large(box: Box) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) >= SMALLEST_PICTURE


def _is_content(line: Line, page: PageLayout, heads: set[str], type_area: tuple[float, float]) -> bool:
    if not line.text.strip() or (PANEL_LETTER.match(line.text.strip()) and not _ends_paragraph(line, page)):
        return False
    if any(inside(line.box, picture.box) for picture in page.pictures if is_large(picture.box)):
        return False
    if not _in_margin(line, page):
        return True
    if BEGINS_CAPTION.match(line.text) and _head_key(line) not in heads:
        return True
    within = type_area[0] - 1 <= line.box[1] and line.box[3] <= type_area[1] + 1 and bool(_head_key(line))
    return _head_key(line) not in heads and (within or not _alone_in_margin(line, page))


def _type_area(pages: Sequence[PageLayout], heads: set[str]) -> tuple[float, float]:
    """Between which heights the document's text stands: heads and page numbers are above and below it."""
    boxes = [
        line.box
        for page in pages
        for line in page.lines
        if not _in_margin(line, page) or (_head_key(line) not in heads and not _alone_in_margin(line, page))
    ]
    return min((box[1] for box in boxes), default=0.0), max((box[3] for box in boxes), default=0.0)


def _ends_paragraph(line: Line, page: PageLayout) -> bool:
    """A short last line, such as "A.", begins where the line above it begins, right below."""
    return any(
        abs(other.box[0] - line.box[0]) < 1
        and 0 < line.box[3] - other.box[3] < 1.6 * line.size
        and abs(other.size - line.size) < 0.5
        and len(other.text) > 20
        for other in page.lines
    )


def _in_margin(line: Line, page: PageLayout) -> bool:
    return line.box[3] < MARGIN_ZONE * page.height or line.box[1] > (1 - MARGIN_ZONE) * page.height


def _alone_in_margin(line: Line, page: PageLayout) -> bool:
    """Nothing else continues the line into the page: a head or a folio, not the end of a paragraph."""
    others = [
        other
        for other in page.lines
        if other is not line and overlap(other.box[0], other.box[2], line.box[0], line.box[2]) > 0
    ]
    middle = page.height / 2
    return not any(
        -overlap(other.box[1], other.box[3], line.box[1], line.box[3]) < 1.2 * line.size
        and abs(other.box[1] - middle) < abs(line.box[1] - middle)
        for other in others
    )


def _head_key(line: Line) -> str:
    return re.sub(r"[\d\W]+", "", line.text).lower()


def _repeated_heads(pages: Sequence[PageLayout]) -> set[str]:
    """Texts (without digits) that stand in the margin of three pages or more."""
    counts = Counter(
        key for page in pages for key in {_head_key(line) for line in page.lines if _in_margin(line, page)}
    )
    return {key for key, count in counts.items() if count >= 3}
