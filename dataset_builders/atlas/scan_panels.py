"""Panels that were printed without paper between them: a picture is cut along its gutters, white or black."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from dataset_builders.atlas.layout import SMALLEST_PICTURE

RIM = 2.0  # points at a picture's edges, where it fades into the paper
BAND = 14.0  # points: the widest white gutter
WHITE = 0.85  # of the paper, in a white gutter
BLACK_MARGIN = 0.07  # of the paper: the noise of a black gutter
BRIGHT = 0.14  # of the paper: brighter than black by so much is something that a film shows
SHOWN = 0.06  # of a panel's area that it shows; a film label covers less
REACH = 0.33  # of a panel's width and height that what it shows spans
SMALLER = 0.4  # of the larger of two panels
SLIMMEST, WIDEST = 0.33, 3.0  # width by height of a panel


def cut_panels(level: np.ndarray, place: tuple[slice, slice], unit: float) -> list[tuple[slice, slice]]:
    """A picture → its panels: cut along gutters, white or black, that run from side to side."""
    crop = level[place]
    for axis in (1, 0):
        cut = _gutter(crop if axis else crop.T, unit)
        if cut is None:
            continue
        start = place[axis].start
        halves = slice(start, start + cut[0]), slice(start + cut[1], place[axis].stop)
        panels = [(place[0], half) if axis else (half, place[1]) for half in halves]
        return [piece for panel in panels for piece in cut_panels(level, panel, unit)]
    return [place]


def _gutter(crop: np.ndarray, unit: float) -> tuple[int, int] | None:
    """(first, last + 1) column of the gutter nearest to the middle between two panels side by side."""
    smooth = ndimage.uniform_filter(crop, 3)
    width, height = crop.shape[1], crop.shape[0]
    if width * unit < 2 * SMALLEST_PICTURE:
        return None
    black = np.percentile(smooth, 1)
    rim = max(1, round(RIM / unit))
    white = np.percentile(smooth[rim:-rim], 5, axis=0) > WHITE
    dark = np.percentile(smooth[rim:-rim], 98, axis=0) < black + BLACK_MARGIN
    bands = [band for band in _runs(white) if (band[1] - band[0]) * unit <= BAND]
    bands += [_cut_in(band, width) for band in _runs(dark)]
    good = [band for band in bands if _two_panels(smooth, band, black, height)]
    return min(good, key=lambda band: abs(band[0] + band[1] - width), default=None)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return list(zip(edges[::2], edges[1::2], strict=True))


def _cut_in(band: tuple[int, int], width: int) -> tuple[int, int]:
    """Where a black band is cut: all of a narrow one, of a wide one (film, too) the line nearest the middle."""
    if band[1] - band[0] <= width * 0.06:
        return band
    line = min(max(width // 2, band[0] + 1), band[1] - 1)
    return line, line


def _two_panels(smooth: np.ndarray, band: tuple[int, int], black: float, height: int) -> bool:
    left, right = smooth[:, : band[0]], smooth[:, band[1] :]
    narrow, wide = sorted((left.shape[1], right.shape[1]))
    if narrow < SMALLER * wide or not narrow:
        return False
    if not SLIMMEST <= narrow / height <= WIDEST:
        return False
    return all(_shows_something(half, black) for half in (left, right))


def _shows_something(panel: np.ndarray, black: float) -> bool:
    """Whether a panel has more on black than a film label."""
    labels, count = ndimage.label(panel > black + BRIGHT)
    if not count:
        return False
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    rows, columns = ndimage.find_objects(labels)[largest - 1]
    tall, broad = (rows.stop - rows.start) / panel.shape[0], (columns.stop - columns.start) / panel.shape[1]
    return (labels == largest).mean() >= SHOWN and min(tall, broad) >= REACH
