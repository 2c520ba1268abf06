"""Mammograms and their heatmaps side by side, with what was marked in them framed: one figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .heatmaps import overlay
from .notices import RESEARCH_SHORT
from .pictures import FRAME

PANEL_WIDTH, PANEL_HEIGHT = 1.75, 2.5  # inches
MARGINS = {"left": 0.005, "right": 0.995, "top": 0.9, "bottom": 0.01, "wspace": 0.04, "hspace": 0.16}
FOOT = 0.3  # inches below, for the notice
NOTICE = f"{RESEARCH_SHORT.capitalize()}."


@dataclass(frozen=True)
class Column:
    """One mammogram. pixels: (H, W); boxes: (x0, y0, x1, y1) in its pixels; maps: by their words, (H, W) in [0, 1]."""

    pixels: np.ndarray
    boxes: Sequence[tuple[float, float, float, float]]
    maps: Mapping[str, np.ndarray]


def heatmap_figure(columns: Sequence[Column], title: str, *, dpi: int = 80) -> Figure:
    """A column for each mammogram: as it is, with its boxes, and below with each of its maps.

    Raises ValueError where there is none, or where they have different numbers of maps.
    """
    counts = {len(column.maps) for column in columns}
    if len(counts) != 1:
        raise ValueError(
            f"{len(columns)} mammograms with {sorted(counts)} maps make no figure; expected one number."
        )
    rows = 1 + counts.pop()
    height = PANEL_HEIGHT * rows + FOOT
    figure = Figure(figsize=(PANEL_WIDTH * len(columns), height), dpi=dpi)
    figure.suptitle(title, fontsize=9, y=0.985)
    figure.text(0.5, 0.008, NOTICE, ha="center", va="bottom", fontsize=7.5)
    margins = {**MARGINS, "top": 1 - 0.5 / height, "bottom": FOOT / height}
    axes = figure.subplots(rows, len(columns), squeeze=False, gridspec_kw=margins)
    for panels, column in zip(axes.T, columns, strict=True):
        nothing = np.zeros(column.pixels.shape, np.float32)
        for panel, (words, heat) in zip(panels, {"": nothing, **column.maps}.items(), strict=True):
            _draw(panel, overlay(column.pixels, heat), column.boxes, words)
    return figure


def _draw(panel, picture: np.ndarray, boxes: Sequence, words: str) -> None:
    panel.imshow(picture, interpolation="antialiased")
    panel.set_axis_off()
    panel.set_title(words, fontsize=7.5, pad=2, parse_math=False)
    for x0, y0, x1, y1 in boxes:
        colour = tuple(value / 255 for value in FRAME)
        panel.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=colour, lw=1))
