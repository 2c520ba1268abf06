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
PANEL_LETTER = re.compile(r"^\(?[A-Ha-h]\)?[.,]?$")


@dataclass(frozen=True)
class Line:
    """One line of text in one column. size: the letters' height in points; bold: of its first word."""

    box: Box
    text: str
    size: float
    bold: bool = False


@dataclass(frozen=True)
class PictureBox:
    """A picture's place; `xrefs` are its objects in the PDF (several for strips, none for a part of a scan)."""

    box: Box
    xrefs: tuple[int, ...] = ()


@dataclass(frozen=True)
class PageLayout:
    """One page as read. number from 1; kind "text" or "scanned"; angle: by how many degrees a scan was turned."""

    number: int
    width: float
    height: float
    kind: str
    lines: tuple[Line, ...]
    pictures: tuple[PictureBox, ...]
    angle: float = 0.0

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict) -> PageLayout:
        lines = tuple(Line(**{**line, "box": tuple(line["box"])}) for line in data["lines"])
        pictures = tuple(PictureBox(tuple(p["box"]), tuple(p["xrefs"])) for p in data["pictures"])
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
            key=lambda block: line.box[1] - block.box[3],
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
    if not 0.84 <= line.size / last.size <= 1.19:
        return False
    if line.bold and not block.lines[0].bold and line.text[:3].lower() == "fig":
        return False
    left, _, right, _ = block.box
    shared = overlap(line.box[0], line.box[2], left, right)
    return shared >= 0.6 * min(line.box[2] - line.box[0], right - left)


# ---- what is no content


def content_lines(pages: Sequence[PageLayout]) -> dict[int, list[Line]]:
    """Page number → its lines without letters in or below pictures, running heads and page numbers."""
    heads = _repeated_heads(pages)
    return {page.number: [line for line in page.lines if _is_content(line, page, heads)] for page in pages}


def content_pictures(pages: Sequence[PageLayout]) -> dict[int, list[PictureBox]]:
    """Page number → its pictures without icons, marks and what returns on page after page."""
    uses = Counter(xref for page in pages for picture in page.pictures for xref in set(picture.xrefs))
    return {
        page.number: [p for p in page.pictures if _large(p.box) and all(uses[xref] < 3 for xref in p.xrefs)]
        for page in pages
    }


def _large(box: Box) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) >= SMALLEST_PICTURE


def _is_content(line: Line, page: PageLayout, heads: set[str]) -> bool:
    if PANEL_LETTER.match(line.text.strip()) or not line.text.strip():
        return False
    if any(inside(line.box, picture.box) for picture in page.pictures if _large(picture.box)):
        return False
    return not (_in_margin(line, page) and (_head_key(line) in heads or _alone_in_margin(line, page)))


def _in_margin(line: Line, page: PageLayout) -> bool:
    return line.box[3] < MARGIN_ZONE * page.height or line.box[1] > (1 - MARGIN_ZONE) * page.height


def _alone_in_margin(line: Line, page: PageLayout) -> bool:
    """Nothing else continues the line into the page: a head or a folio, not the end of a paragraph."""
    return not any(
        other is not line
        and not _in_margin(other, page)
        and overlap(other.box[0], other.box[2], line.box[0], line.box[2]) > 0
        and -overlap(other.box[1], other.box[3], line.box[1], line.box[3]) < 1.2 * line.size
        for other in page.lines
    )


def _head_key(line: Line) -> str:
    return re.sub(r"[\d\W]+", "", line.text).lower()


def _repeated_heads(pages: Sequence[PageLayout]) -> set[str]:
    """Texts (without digits) that stand in the margin of three pages or more."""
    counts = Counter(
        key for page in pages for key in {_head_key(line) for line in page.lines if _in_margin(line, page)}
    )
    return {key for key, count in counts.items() if count >= 3}
