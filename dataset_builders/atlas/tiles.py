"""Pictures that a PDF writer cut into strips or tiles, put together again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from dataset_builders.atlas.layout import Box, overlap, union
from dataset_builders.atlas.painted import PaintedImage

STRIP = 3.0  # a piece of a picture is this many times longer than high, or the other way round
TOUCH = 1.0  # points between pieces of one picture, at most
FLAT = 3.0  # grey levels (standard deviation): an edge without anything on it tells nothing


def stitch(images: Sequence[PaintedImage]) -> list[list[PaintedImage]]:
    """Images → pictures. Whole pictures side by side stay apart, even where they touch.

    Pieces share an edge, and are strips, or what is seen goes on over the edge. Where an edge is black on both
    sides, a piece joins only what is in pieces already.
    """
    touching = [
        (i, j, below)
        for i, j in combinations(range(len(images)), 2)
        for below in [_touch(images[i].box, images[j].box)]
        if below is not None
    ]
    groups = list(range(len(images)))
    flat = []
    for i, j, below in touching:
        joined = _verdict(images[i], images[j], below)
        if joined:
            _join(groups, i, j)
        elif joined is None:
            flat.append((i, j))
    for _ in flat:
        for i, j in flat:
            if max(groups.count(groups[i]), groups.count(groups[j])) > 1:
                _join(groups, i, j)
    return [
        [image for image, group in zip(images, groups, strict=True) if group == wanted]
        for wanted in dict.fromkeys(groups)
    ]


def hull(images: Sequence[PaintedImage]) -> Box:
    """The box of a picture's pieces together."""
    return union(image.box for image in images)


def _join(groups: list[int], i: int, j: int) -> None:
    old, new = groups[j], groups[i]
    groups[:] = [new if group == old else group for group in groups]


def _touch(a: Box, b: Box) -> bool | None:
    """True: one lies right below the other with the same sides; False: right beside it; None: neither."""
    for across, along, below in ((0, 1, True), (1, 0, False)):
        same = abs(a[across] - b[across]) < TOUCH and abs(a[across + 2] - b[across + 2]) < TOUCH
        if same and abs(overlap(a[along], a[along + 2], b[along], b[along + 2])) < TOUCH:
            return below
    return None


def _verdict(a: PaintedImage, b: PaintedImage, below: bool) -> bool | None:
    """Whether two touching images are pieces of one; None: their common edge does not tell."""
    first, second = sorted((a, b), key=lambda image: image.box[1 if below else 0])
    if min(_length(first.box, below), _length(second.box, below)) >= STRIP:
        return True
    if not (first.is_plain and second.is_plain):
        return False
    return continues_over(first.shown(), second.shown(), below)


def _length(box: Box, below: bool) -> float:
    wide, high = box[2] - box[0], box[3] - box[1]
    return wide / high if below else high / wide


def continues_over(first: np.ndarray, second: np.ndarray, below: bool) -> bool | None:
    """Whether `second` (h, w) uint8 goes on below, or right of, what `first` shows; None: both edges are flat.

    The seam must bend no more than what is beside it (second differences of grey levels across it).
    """
    rows = (first, second) if below else (first.T, second.T)
    before, after = (part.astype(np.float32) for part in rows)
    if before.shape[1] != after.shape[1] or min(len(before), len(after)) < 3:
        return False
    if max(before[-1].std(), after[0].std()) < FLAT:
        return None if abs(before[-1].mean() - after[0].mean()) < FLAT else False
    slopes = (before[-1] - before[-2] + after[1] - after[0]) / 2
    seam = np.abs(after[0] - before[-1] - slopes).mean()
    beside = np.abs(before[-1] - 2 * before[-2] + before[-3]) + np.abs(after[0] - 2 * after[1] + after[2])
    return bool(seam < 0.8 * beside.mean() + 2)
