"""Pictures and captions of a page put together: captions by their label, pictures by nearness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from dataset_builders.atlas.cleaning import Vocabulary, join_lines
from dataset_builders.atlas.layout import (
    Block,
    Box,
    Line,
    PageLayout,
    PictureBox,
    group_lines,
    overlap,
    union,
)

NUMBER = r"\d+(?:\s?[.\u2013\u2014-]\s?\d+)*[a-z]?"
LABEL = re.compile(rf"^\s*(?:Figure|Fig\s?\.?|FIGURE|FIG\s?\.?)\s*({NUMBER})\s*[.:,;]?\s*", re.IGNORECASE)
SAME_PATIENT = re.compile(rf"same (?:patient|case|woman) as in (?:Figure|Fig\.?)\s*({NUMBER})", re.IGNORECASE)
# Points between panels of one figure, (side by side, one above the other), from the tightest print to the
# loosest: rows stand apart more often than columns, since letters may stand below the panels.
PANEL_GAPS = ((10.5, 10.5), (10.5, 21.5), (10.5, 30.0), (21.5, 21.5), (30.0, 30.0))
NO_MATCH = 1e4  # more than any distance on a page
FARTHEST = 120.0  # points between a figure and its caption
ABOVE = 25.0  # captions stand above their figures seldom: so many points worse than below


@dataclass(frozen=True)
class FigureFound:
    """A caption (without its label) with its pictures in reading order; page from 1."""

    number: str
    page: int
    caption: str
    pictures: tuple[PictureBox, ...]


def find_figures(
    page: PageLayout, lines: Sequence[Line], pictures: Sequence[PictureBox], vocabulary: Vocabulary
) -> list[FigureFound]:
    """The figures of a page. lines, pictures: its content (see layout.content_lines and content_pictures)."""
    captions = [block for block in group_lines(lines) if LABEL.match(block.text)]
    if not captions or not pictures:
        return []
    groups = group_pictures(pictures, [line.box for line in lines], len(captions))
    found = []
    for group, caption in _match(groups, captions):
        text = join_lines([line.text for line in caption.lines], vocabulary)
        label = LABEL.match(text)
        number = re.sub(r"\s", "", label.group(1)).replace("\u2013", "-").replace("\u2014", "-")
        found.append(FigureFound(number, page.number, text[label.end() :], tuple(_reading_order(group))))
    return sorted(found, key=lambda figure: (figure.pictures[0].box[1], figure.pictures[0].box[0]))


def group_pictures(
    pictures: Sequence[PictureBox], texts: Sequence[Box], wanted: int
) -> list[list[PictureBox]]:
    """Pictures → figures: neighbours with nothing between them, at the distance that gives as many as captions."""
    candidates = [_groups_within(pictures, texts, gap) for gap in PANEL_GAPS]
    return min(candidates, key=lambda groups: abs(len(groups) - wanted))


def same_patient(caption: str) -> str | None:
    """The number of the figure of which a caption says that it shows the same patient."""
    match = SAME_PATIENT.search(caption)
    return re.sub(r"\s", "", match.group(1)).rstrip(".") if match else None


def _groups_within(
    pictures: Sequence[PictureBox], texts: Sequence[Box], gap: tuple[float, float]
) -> list[list[PictureBox]]:
    groups: list[list[PictureBox]] = []
    for picture in pictures:
        near = [
            group for group in groups if any(_adjoin(picture.box, other.box, texts, gap) for other in group)
        ]
        merged = [picture, *(member for group in near for member in group)]
        groups = [group for group in groups if group not in near] + [merged]
    return groups


def _adjoin(a: Box, b: Box, texts: Sequence[Box], gap: tuple[float, float]) -> bool:
    """Side by side with level edges, or one above the other, close by, and with no line of text in between."""
    level = overlap(a[1], a[3], b[1], b[3]) > 0.7 * min(a[3] - a[1], b[3] - b[1])
    aligned = overlap(a[0], a[2], b[0], b[2]) > 0.7 * min(a[2] - a[0], b[2] - b[0])
    apart = -overlap(a[0], a[2], b[0], b[2]) if level else -overlap(a[1], a[3], b[1], b[3])
    if not (level or aligned) or apart > gap[not level]:
        return False
    between = _between(a, b, level)
    return not any(_crosses(text, between) for text in texts)


def _between(a: Box, b: Box, level: bool) -> Box:
    if level:
        left, right = sorted((a, b), key=lambda box: box[0])
        return left[2], max(a[1], b[1]), right[0], min(a[3], b[3])
    upper, lower = sorted((a, b), key=lambda box: box[1])
    return max(a[0], b[0]), upper[3], min(a[2], b[2]), lower[1]


def _crosses(text: Box, between: Box) -> bool:
    return overlap(text[0], text[2], between[0], between[2]) > 2 and overlap(
        text[1], text[3], between[1], between[3]
    ) > 0.5 * (text[3] - text[1])


def _match(
    groups: Sequence[list[PictureBox]], captions: Sequence[Block]
) -> list[tuple[list[PictureBox], Block]]:
    """One caption for each group of pictures, with the smallest sum of distances on the page."""
    costs = np.array(
        [[_distance(union(p.box for p in group), caption.box) for caption in captions] for group in groups]
    )
    rows, columns = linear_sum_assignment(costs)
    chosen = zip(rows, columns, strict=True)
    return [(groups[row], captions[column]) for row, column in chosen if costs[row, column] < FARTHEST]


def _distance(figure: Box, caption: Box) -> float:
    """Points from a figure to a caption below, beside (level with its top) or above it; NO_MATCH elsewhere."""
    across = overlap(figure[0], figure[2], caption[0], caption[2])
    if across > 0.5 * min(figure[2] - figure[0], caption[2] - caption[0]):
        if caption[1] > figure[3] - 6:
            return max(0.0, caption[1] - figure[3])
        if caption[3] < figure[1] + 6:
            return ABOVE + max(0.0, figure[1] - caption[3])
        return NO_MATCH
    if overlap(figure[1], figure[3], caption[1], caption[3]) > 0.5 * min(
        figure[3] - figure[1], caption[3] - caption[1]
    ):
        return max(0.0, -across) + 0.2 * abs(figure[1] - caption[1])
    return NO_MATCH


def _reading_order(group: Sequence[PictureBox]) -> list[PictureBox]:
    """By rows from the top, each from the left."""
    ordered: list[list[PictureBox]] = []
    for picture in sorted(group, key=lambda picture: picture.box[1]):
        row = ordered[-1] if ordered else None
        if row and picture.box[1] < row[0].box[1] + 0.5 * (row[0].box[3] - row[0].box[1]):
            row.append(picture)
        else:
            ordered.append([picture])
    return [picture for row in ordered for picture in sorted(row, key=lambda picture: picture.box[0])]
