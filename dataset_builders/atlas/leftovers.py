"""What was not put together: pictures without a caption, captions without a picture, numbers that are missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataset_builders.atlas.cleaning import Vocabulary, join_lines
from dataset_builders.atlas.figures import FigureFound, leftovers
from dataset_builders.atlas.layout import (
    Block,
    PageLayout,
    PictureBox,
    content_lines,
    content_pictures,
    group_lines,
)
from dataset_builders.atlas.sections import HEADING
from dataset_builders.atlas.truth import normalised_figure

MOST_MISSING = 50  # of one chapter; a longer gap is another way of counting


@dataclass(frozen=True)
class Orphan:
    """A caption for which no picture was found; page from 1."""

    number: str
    page: int
    caption: str


def unmatched_pictures(
    layouts: Sequence[PageLayout], figures: Sequence[FigureFound]
) -> list[tuple[int, PictureBox]]:
    """(page, picture) of the images that belong to no figure, in the order of the pages, from the top.

    Drawings without a caption are ornaments and tables more often than not, and are not among them.
    """
    taken = {(figure.page, picture.box) for figure in figures for picture in figure.pictures}
    return [
        (page, picture)
        for page, pictures in content_pictures(layouts).items()
        for picture in sorted(pictures, key=lambda picture: (picture.box[1], picture.box[0]))
        if (page, picture.box) not in taken and not picture.drawing
    ]


def orphan_captions(layouts: Sequence[PageLayout], figures: Sequence[FigureFound]) -> list[Orphan]:
    """Captions that no picture was found for, unless a figure of their number was found elsewhere."""
    known = {normalised_figure(figure.number) for figure in figures}
    return [
        Orphan(rest.number, rest.page, rest.text)
        for rest in leftovers(layouts, figures)
        if rest.kind == "caption" and normalised_figure(rest.number) not in known
    ]


def case_texts(layouts: Sequence[PageLayout], figures: Sequence[FigureFound]) -> dict[int, str]:
    """Page → the paragraphs under section headings beside the caption, on pages with exactly one figure.

    With two figures on a page nothing says whose history it is.
    """
    pages = [figure.page for figure in figures]
    single = {page for page in pages if pages.count(page) == 1}
    texts = {}
    for page, lines in content_lines(layouts).items():
        blocks = [block for block in group_lines(lines) if HEADING.match(block.text)]
        if blocks and page in single:
            texts[page] = " ".join(_text(block) for block in blocks)
    return texts


def _text(block: Block) -> str:
    text = join_lines([line.text for line in block.lines], Vocabulary(line.text for line in block.lines))
    return text if text[-1:] in ".!?" else f"{text}."


def missing_numbers(numbers: Iterable[str]) -> list[str]:
    """Figure numbers that are lacking between the lowest and the highest of their chapter: 3.1, 3.3 → ["3.2"]."""
    chapters: dict[str, set[int]] = defaultdict(set)
    for number in numbers:
        chapter, _, last = normalised_figure(number).rpartition(".")
        digits = re.match(r"\d+", last)
        if digits:
            chapters[chapter].add(int(digits.group()))
    missing = []
    for chapter, found in chapters.items():
        gaps = sorted(set(range(min(found), max(found))) - found)
        if len(gaps) <= MOST_MISSING:
            missing += [f"{chapter}.{gap}" if chapter else str(gap) for gap in gaps]
    return missing
