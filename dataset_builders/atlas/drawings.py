"""Vector drawings on a page: where strokes and fills lie thick together, apart from pictures, tables and rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from dataset_builders.atlas.layout import SMALLEST_PICTURE, Box, Line, inside, overlap

CELL = 4.0  # points: strokes that are nearer to one another belong together
FEWEST = 3  # strokes or fills in a drawing
PAPER = 0.7  # of the page: a larger fill is its background
MOST_TEXT = 0.15  # of a drawing's area; a table or a box with text has more


def find_drawings(
    paths: Sequence[Box], width: float, height: float, taken: Sequence[Box], lines: Sequence[Line]
) -> list[Box]:
    """Boxes of the drawings on a page (width, height), outside of the boxes in `taken`."""
    paths = [
        box for box in paths if not _is_paper(box, width, height) and not any(_over(box, t) for t in taken)
    ]
    if len(paths) < FEWEST:
        return []
    cells = np.zeros((int(height / CELL) + 3, int(width / CELL) + 3), bool)
    spans = [tuple(int(max(0.0, value) / CELL) for value in box) for box in paths]
    for x0, y0, x1, y1 in spans:
        cells[y0 : y1 + 1, x0 : x1 + 1] = True
    labels, _ = ndimage.label(cells, np.ones((3, 3)))
    members: dict[int, list[Box]] = {}
    for box, (x0, y0, _, _) in zip(paths, spans, strict=True):
        members.setdefault(int(labels[y0, x0]), []).append(box)
    return [box for group in members.values() if (box := _drawing(group, lines))]


def _is_paper(box: Box, width: float, height: float) -> bool:
    return (box[2] - box[0]) * (box[3] - box[1]) > PAPER * width * height


def _over(path: Box, picture: Box) -> bool:
    """An arrow in a picture, or a frame around it."""
    return (
        inside(path, picture, 0.5)
        or inside(picture, path)
        or (
            overlap(path[0], path[2], picture[0], picture[2]) >= 0
            and overlap(path[1], path[3], picture[1], picture[3]) >= 0
        )
    )


def _drawing(paths: Sequence[Box], lines: Sequence[Line]) -> Box | None:
    x0, y0, x1, y1 = (
        min(box[0] for box in paths),
        min(box[1] for box in paths),
        max(box[2] for box in paths),
        max(box[3] for box in paths),
    )
    if len(paths) < FEWEST or min(x1 - x0, y1 - y0) < SMALLEST_PICTURE:
        return None
    own = [line.box for line in lines if inside(line.box, (x0, y0, x1, y1))]
    text = sum((box[2] - box[0]) * (box[3] - box[1]) for box in own)
    return None if text > MOST_TEXT * (x1 - x0) * (y1 - y0) or len(own) > 12 else (x0, y0, x1, y1)
