"""What was not put together: pictures without a caption, captions without a picture, numbers that are missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dataset_builders.atlas.cleaning import Vocabulary, join_lines
from dataset_builders.atlas.figures import LABEL, FigureFound
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
    """(page, picture) of the pictures that belong to no figure, in the order of the pages, from the top."""
    taken = {(figure.page, picture.box) for figure in figures for picture in figure.pictures}
    return [
        (page, picture)
        for page, pictures in content_pictures(layouts).items()
        for picture in sorted(pictures, key=lambda picture: (picture.box[1], picture.box[0]))
        if (page, picture.box) not in taken
    ]


def orphan_captions(layouts: Sequence[PageLayout], figures: Sequence[FigureFound]) -> list[Orphan]:
    """Paragraphs that begin as captions do, with the number of no figure; running text may begin so too."""
    lines = content_lines(layouts)
    vocabulary = Vocabulary(line.text for page in lines.values() for line in page)
    known = {normalised_figure(figure.number) for figure in figures}
    orphans = []
    for page, own in lines.items():
        for block in group_lines(own):
            text = join_lines([line.text for line in block.lines], vocabulary)
            label = LABEL.match(text)
            number = re.sub(r"\s", "", label.group(1)) if label else ""
            if number and normalised_figure(number) not in known:
                orphans.append(Orphan(number, page, text[label.end() :]))
    return orphans


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
