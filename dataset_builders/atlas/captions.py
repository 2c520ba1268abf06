"""The captions of a document: what begins with a label, its further paragraphs, and what runs over a column or page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dataset_builders.atlas.cleaning import Vocabulary, join_lines
from dataset_builders.atlas.labels import Label, panel_count, read_label
from dataset_builders.atlas.layout import (
    Block,
    Box,
    Line,
    PageLayout,
    PictureBox,
    group_lines,
    overlap,
)

Style = tuple[str, float]  # face, size in half points

OTHER_KIND = re.compile(r"\s*(?:table|box|chart|[*\u2020\u2021\u00a7])\s*\S", re.IGNORECASE)
RUN_IN_HEADING = re.compile(r"[A-Z][A-Z /&-]{3,}:")
FINISHED = re.compile(r"[.!?][)\"'\u201d\u2019\]]?\s*$")
NEXT_PANEL = re.compile(r"\s*\(([B-Hb-h])\)")
PARAGRAPH_GAP = 1.3  # line heights between paragraphs of a caption, at most
CAPTION_SHARE = 0.6  # of labelled blocks: in a style of their own so often, others are mentions


@dataclass
class Caption:
    """A labelled block with its further paragraphs on `page`, and the lines of it that stand elsewhere."""

    label: Label
    page: int
    block: Block
    elsewhere: list[Line] = field(default_factory=list)

    @property
    def box(self) -> Box:
        return self.block.box

    @property
    def raw(self) -> str:
        return " ".join(line.text for line in (*self.block.lines, *self.elsewhere))

    @property
    def panels(self) -> int | None:
        return panel_count(self.label, self.raw)

    def text(self, vocabulary: Vocabulary) -> str:
        """The caption without its label, as it was meant."""
        whole = join_lines([line.text for line in (*self.block.lines, *self.elsewhere)], vocabulary)
        label = read_label(whole)
        return whole[label.end if label else 0 :].strip()


def find_captions(
    pages: Sequence[PageLayout],
    lines: Mapping[int, Sequence[Line]],
    pictures: Mapping[int, Sequence[PictureBox]],
) -> tuple[dict[int, list[Caption]], dict[int, list[Block]]]:
    """Page number → its captions in reading order; and → the blocks of text that belong to none.

    lines, pictures: the pages' content (see layout.content_lines and content_pictures).
    """
    blocks = {page.number: group_lines(lines[page.number]) for page in pages}
    found = [
        Caption(label, page.number, block)
        for page in pages
        for block in blocks[page.number]
        for label in [read_label(" ".join(line.text for line in block.lines[:3]))]
        if label
    ]
    own = {id(caption.block) for caption in found}
    texts = {number: [b for b in some if id(b) not in own] for number, some in blocks.items()}
    body = style(line for some in texts.values() for block in some for line in block.lines)
    found, mentions = _without_mentions(found, body)
    for caption in mentions:
        texts[caption.page].append(caption.block)
    breaks = _Breaks(pages, texts, pictures, found, body)
    for caption in sorted(found, key=lambda caption: bool(FINISHED.search(caption.block.text))):
        breaks.extend(caption)  # those that are visibly cut come first
    return {
        page.number: [caption for caption in found if caption.page == page.number] for page in pages
    }, texts


def style(lines: Iterable[Line]) -> Style:
    """The face and size of most of some lines' letters."""
    letters: Counter[Style] = Counter()
    for line in lines:
        letters[line.font, round(2 * line.size) / 2] += len(line.text)
    return max(letters, key=lambda key: letters[key], default=("", 0.0))


def _without_mentions(captions: list[Caption], body: Style) -> tuple[list[Caption], list[Caption]]:
    """Where captions have a style of their own, a labelled paragraph in the body's style is none."""
    apart = [caption for caption in captions if style(caption.block.lines) != body]
    if body[0] and len(apart) >= CAPTION_SHARE * len(captions):
        return apart, [caption for caption in captions if style(caption.block.lines) == body]
    return captions, []


class _Breaks:
    """What goes on where: the columns and pages that captions run over."""

    def __init__(
        self,
        pages: Sequence[PageLayout],
        texts: Mapping[int, list[Block]],
        pictures: Mapping[int, Sequence[PictureBox]],
        captions: Sequence[Caption],
        body: Style,
    ) -> None:
        self.texts, self.body = texts, body
        self.numbers = [page.number for page in pages]
        self.others = {n: [picture.box for picture in pictures[n]] for n in self.numbers}
        for caption in captions:
            self.others[caption.page].append(caption.box)
        bottoms = [block.box[3] for some in texts.values() for block in some]
        self.bottom = max([*bottoms, *(caption.box[3] for caption in captions)], default=0.0)

    def extend(self, caption: Caption) -> None:
        """Take further paragraphs, and what goes on at the top of the next column or page, out of the page's text."""
        page, tail = caption.page, caption.block
        while following := self._next_paragraph(page, tail) or self._over_the_break(page, tail):
            place, block = following
            self.texts[place].remove(block)
            if place == caption.page and overlaps_in_x(block.box, caption.box):
                caption.block = tail = Block(caption.block.lines + block.lines)
            else:
                caption.elsewhere += block.lines
                page, tail = place, block

    def _next_paragraph(self, page: int, tail: Block) -> tuple[int, Block] | None:
        own = next((block for block in self.texts[page] if _is_next_paragraph(tail, block, self.body)), None)
        return (page, own) if own else None

    def _over_the_break(self, page: int, tail: Block) -> tuple[int, Block] | None:
        """The block at the top of the next column, or of the next page's first one, if the caption goes on there."""
        if not self._at_bottom(page, tail):
            return None
        boxes = [block.box for block in self.texts[page]] + self.others[page]
        later = [number for number in self.numbers if number > page][:1]
        if any(box[0] > tail.box[2] - 2 for box in boxes):
            top = self._top(page, tail.box[2] - 2, tail.size)
        elif later:
            page, top = later[0], self._top(later[0], 0.0, tail.size)
        else:
            top = None
        return (page, top) if top and _goes_on(tail, top, self.body) else None

    def _at_bottom(self, page: int, tail: Block) -> bool:
        """Nothing but footnotes stands below it in its column; and a finished one stands at the foot of the page."""
        if FINISHED.search(tail.text) and tail.box[3] < self.bottom - 4 * tail.size:
            return False
        below = [block.box for block in self.texts[page] if not block.lines[0].raised] + self.others[page]
        x0, _, x1, y1 = tail.box
        return not any(box[1] >= y1 - 2 and overlap(box[0], box[2], x0, x1) > 5 for box in below)

    def _top(self, page: int, left: float, size: float) -> Block | None:
        """The text at the top of the first column right of `left`; None where something else stands there."""
        boxes = [(block.box, block) for block in self.texts[page]] + [
            (box, None) for box in self.others[page]
        ]
        boxes = [(box, block) for box, block in boxes if box[0] >= left]
        if not boxes:
            return None
        edge = min(box[0] for box, _ in boxes)
        column = [(box, block) for box, block in boxes if box[0] < edge + 3 * size]
        box, block = min(column, key=lambda pair: pair[0][1])
        above = [
            other
            for other, _ in boxes
            if other[3] <= box[1] + 2 and overlap(other[0], other[2], box[0], box[2]) > 5
        ]
        return None if above else block


def _may_belong(tail: Block, block: Block) -> bool:
    """Neither a label nor a table's title nor a footnote, and of the caption's face and size."""
    first = block.lines[0]
    if first.raised or OTHER_KIND.match(first.text) or read_label(first.text) is not None:
        return False
    return style(block.lines) == style(tail.lines)


def _is_next_paragraph(tail: Block, block: Block, body: Style) -> bool:
    size, gap = tail.size, block.box[1] - tail.box[3]
    if not -0.5 * size <= gap <= PARAGRAPH_GAP * size or not overlaps_in_x(block.box, tail.box):
        return False
    if not -1.5 * size <= block.box[0] - tail.box[0] <= 3 * size or not _may_belong(tail, block):
        return False
    apart = bool(body[0]) and style(tail.lines) != body
    return apart or bool(RUN_IN_HEADING.match(block.text))


def overlaps_in_x(a: Box, b: Box) -> bool:
    return overlap(a[0], a[2], b[0], b[2]) >= 0.6 * min(a[2] - a[0], b[2] - b[0])


def _goes_on(tail: Block, block: Block, body: Style) -> bool:
    if not _may_belong(tail, block):
        return False
    finished = bool(FINISHED.search(tail.text))
    if body[0] and style(tail.lines) != body:
        return True
    panel = NEXT_PANEL.match(block.text)
    if panel and f"({chr(ord(panel[1]) - 1)})" in tail.text:
        return True
    return not finished and (tail.text.rstrip().endswith("-") or not block.text.lstrip()[:1].isupper())
