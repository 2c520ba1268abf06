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
SLIMMEST = 0.33  # width by height of a panel
EVEN = 0.03  # of the width: how far gutters may stand from where even panels have them
NARROW = 0.06  # of the width: a black band that is gutter and no film


Band = tuple[int, int]  # first and last + 1 column


def cut_panels(level: np.ndarray, place: tuple[slice, slice], unit: float) -> list[tuple[slice, slice]]:
    """A picture → its panels: cut along gutters, white or black, that run from side to side."""
    crop = level[place]
    for axis in (1, 0):
        gutters = _gutters(crop if axis else crop.T, unit)
        if not gutters:
            continue
        start = place[axis].start
        parts = [slice(start + a, start + b) for a, b in _between(gutters, crop.shape[axis])]
        panels = [(place[0], part) if axis else (part, place[1]) for part in parts]
        return [piece for panel in panels for piece in cut_panels(level, panel, unit)]
    return [place]


def _gutters(crop: np.ndarray, unit: float) -> list[Band]:
    """The gutters between panels side by side: even ones, or the one nearest to the middle; [] in one picture."""
    smooth = ndimage.uniform_filter(crop, 3)
    width = crop.shape[1]
    if width * unit < 2 * SMALLEST_PICTURE:
        return []
    black = np.percentile(smooth, 1)
    rim = max(1, round(RIM / unit))
    white = np.percentile(smooth[rim:-rim], 5, axis=0) > WHITE
    dark = np.percentile(smooth[rim:-rim], 98, axis=0) < black + BLACK_MARGIN
    bands = [band for band in _runs(white) if (band[1] - band[0]) * unit <= BAND] + _runs(dark)
    even = (_even_gutters(bands, width, panels) for panels in (2, 3, 4))
    single = sorted(
        ([_cut_in(band, width / 2, width)] for band in bands),
        key=lambda cut: abs(cut[0][0] + cut[0][1] - width),
    )
    return next((cut for cut in [*even, *single] if cut and _are_panels(smooth, cut, black)), [])


def _even_gutters(bands: list[Band], width: int, panels: int) -> list[Band]:
    """A gutter at every border of so many panels of one width; [] where one of them is missing."""
    found = []
    for border in (width * i / panels for i in range(1, panels)):
        near = [band for band in bands if band[0] - EVEN * width <= border <= band[1] + EVEN * width]
        if not near:
            return []
        found.append(
            min((_cut_in(band, border, width) for band in near), key=lambda cut: abs(sum(cut) - 2 * border))
        )
    return found


def _runs(flags: np.ndarray) -> list[Band]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _between(gutters: list[Band], width: int) -> list[Band]:
    starts, ends = [0, *(b for _, b in gutters)], [*(a for a, _ in gutters), width]
    return list(zip(starts, ends, strict=True))


def _cut_in(band: Band, border: float, width: int) -> Band:
    """Where a band is cut: all of a narrow one, of a wide one (which is film, too) the line nearest to the border."""
    if band[1] - band[0] <= NARROW * width:
        return band
    line = round(min(max(border, band[0] + 1), band[1] - 1))
    return line, line


def _are_panels(smooth: np.ndarray, gutters: list[Band], black: float) -> bool:
    """Whether the parts between gutters are alike in width, of a picture's shape, and show something each."""
    parts = _between(gutters, smooth.shape[1])
    widths = [b - a for a, b in parts]
    if min(widths) < SMALLER * max(widths) or min(widths) < SLIMMEST * smooth.shape[0]:
        return False
    return all(_shows_something(smooth[:, a:b], black) for a, b in parts)


def _shows_something(panel: np.ndarray, black: float) -> bool:
    """Whether a panel has more on black than a film label."""
    labels, count = ndimage.label(panel > black + BRIGHT)
    if not count:
        return False
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    rows, columns = ndimage.find_objects(labels)[largest - 1]
    tall, broad = (rows.stop - rows.start) / panel.shape[0], (columns.stop - columns.start) / panel.shape[1]
    return (labels == largest).mean() >= SHOWN and min(tall, broad) >= REACH
