"""One page: its captions with their pictures, in reading order."""

from __future__ import annotations

from collections.abc import Sequence

from dataset_builders.atlas.captions import PARAGRAPH_GAP, Caption
from dataset_builders.atlas.layout import Block, Box, PictureBox, overlap, union
from dataset_builders.atlas.matching import PANEL_GAPS, Habit, PageMatcher, Wanted, groups_within

TAG = 12  # letters: a single line that is shorter names a view or a panel and separates nothing
Match = tuple[Caption, list[PictureBox]]


def match_page(
    captions: Sequence[Caption], pictures: Sequence[PictureBox], texts: Sequence[Block], habit: Habit
) -> list[Match]:
    """The captions of a page, each with its pictures in reading order; those without pictures are left out."""
    if not captions or not pictures:
        return []
    barriers = [block.box for block in texts if len(block.lines) > 1 or len(block.text.strip()) > TAG]
    wanted = [Wanted(_measure(caption, captions, texts), caption.panels) for caption in captions]
    best = PageMatcher(pictures, wanted, barriers, habit).best()
    return [
        (caption, reading_order([pictures[i] for i in own]))
        for caption, own in zip(captions, best, strict=True)
        if own
    ]


def _measure(caption: Caption, captions: Sequence[Caption], texts: Sequence[Block]) -> Box:
    """A caption's box; where captions stand one below the other, as wide as what else was set from their left edge.

    They may belong to figures side by side, and a short one does not reach below its own.
    """
    x0, y0, x1, y1 = caption.box
    from_here = [
        block for block in (*texts, *(other.block for other in captions)) if abs(block.box[0] - x0) < 3
    ]
    stacked = any(
        other is not caption
        and abs(other.box[0] - x0) < 3
        and -overlap(other.box[1], other.box[3], y0, y1) < PARAGRAPH_GAP * caption.block.size + 1
        for other in captions
    )
    return x0, y0, max(block.box[2] for block in from_here) if stacked else x1, y1


def group_pictures(
    pictures: Sequence[PictureBox], texts: Sequence[Box], wanted: int
) -> list[list[PictureBox]]:
    """Pictures → figures: neighbours with nothing between them, at the distance that gives as many as captions."""
    boxes = [picture.box for picture in pictures]
    candidates = [groups_within(boxes, texts, gap) for gap in PANEL_GAPS]
    chosen = min(candidates, key=lambda groups: abs(len(groups) - wanted))
    return [[pictures[i] for i in group] for group in chosen]


def grouped_plates(plates: Sequence[PictureBox], wanted: int) -> list[list[PictureBox]]:
    """As group_pictures, each group and all groups in reading order; a single group holds whatever there is."""
    groups = [list(plates)] if wanted == 1 else group_pictures(plates, (), wanted)
    firsts = reading_order([PictureBox(union(p.box for p in group)) for group in groups])
    by_box = {union(p.box for p in group): reading_order(group) for group in groups}
    return [by_box[first.box] for first in firsts]


def reading_order(group: Sequence[PictureBox]) -> list[PictureBox]:
    """By rows from the top, each from the left."""
    ordered: list[list[PictureBox]] = []
    for picture in sorted(group, key=lambda picture: picture.box[1]):
        row = ordered[-1] if ordered else None
        if row and picture.box[1] < row[0].box[1] + 0.5 * (row[0].box[3] - row[0].box[1]):
            row.append(picture)
        else:
            ordered.append([picture])
    return [picture for row in ordered for picture in sorted(row, key=lambda picture: picture.box[0])]
