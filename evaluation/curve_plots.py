"""Figures 3 and 4 of the paper: score against the number of labelled images, for each start, as PNG and SVG.

Every arm has a colour, a marker, dashes and a grey value of its own, so that prints without colour and colour-blind
eyes tell them apart; error bars stand beside each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figure_files import figure_files
from .line_styles import line_style

DPI = 150
APART = 0.02  # of the axis: the error bars of neighbouring arms
MARGIN = 0.08  # of the axis: before the first and behind the last number of labels
NEAREST = 0.125  # of the way between them: two numbers, so that their names and points stand apart
Arms = Mapping[str, Mapping[int, Sequence[float]]]


def learning_curves(panels: Mapping[str, Arms], title: str = "") -> dict[str, bytes]:
    """One panel for each score: means and sample standard deviations over folds and seeds.

    Args:
        panels: what a score is called → arm → {number of labelled images: scores of its runs, each in [0, 1]}.
        title: drawn above, if given.

    Returns:
        The figure in each of FORMATS; the same numbers give the same bytes.

    Raises:
        ValueError: no panels, a panel without points, or a point without scores.
    """
    for arms in panels.values():
        _check(arms)
    if not panels:
        raise ValueError("The learning curve has no panels: expected one score at least.")
    figure = Figure(figsize=(4.9 * len(panels), 4.2), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    order = {name: place for place, name in enumerate(dict.fromkeys(chain(*panels.values())))}
    for one, (name, arms) in zip(axes, panels.items(), strict=True):
        _draw_panel(one, name, arms, order)
    _name_lines(figure, axes)
    figure.suptitle(title, fontsize=11)
    return figure_files(figure)


def _check(arms: Arms) -> None:
    if not arms or any(not points for points in arms.values()):
        raise ValueError(
            "The learning curve has no points: expected scores by number of labels for every arm."
        )
    for name, points in arms.items():
        empty = [size for size, scores in points.items() if not len(scores)]
        if empty:
            raise ValueError(f"Arm {name!r} has no scores at {empty[0]} labels: expected at least one run.")


def _draw_panel(axes: Axes, name: str, arms: Arms, order: Mapping[str, int]) -> None:
    """order: the place of every arm of the figure, which decides how it looks."""
    sizes = sorted({size for points in arms.values() for size in points})
    places = _places(sizes)
    for arm, points in arms.items():
        own = [size for size in sizes if size in points]
        mean = [np.mean(points[size]) for size in own]
        spread = [np.std(points[size], ddof=1) if len(points[size]) > 1 else 0.0 for size in own]
        shift = APART * (order[arm] - (len(order) - 1) / 2)
        moved = [places[size] + shift for size in own]
        style = line_style(order[arm])
        axes.errorbar(moved, mean, yerr=spread, label=arm, markersize=7, capsize=3, elinewidth=1, **style)
    axes.set_xlim(0, 1)
    axes.set_xticks(list(places.values()), [_short(size) for size in sizes])
    axes.set_xlabel("labelled images for training")
    axes.set_ylabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)


def _places(sizes: Sequence[int]) -> dict[int, float]:
    """Where each of the numbers, in order, stands on the axis from 0 to 1; one by itself in the middle."""
    if len(sizes) == 1:
        return {sizes[0]: 0.5}
    places = np.concatenate([[0], np.cumsum(_gaps(np.diff(np.log(sizes))))])
    return dict(zip(sizes, (MARGIN + (1 - 2 * MARGIN) * places).tolist(), strict=True))


def _gaps(distances: np.ndarray) -> np.ndarray:
    """Distances as shares of the way: in proportion, but none too small, as that of 30k to all 30.6k would be."""
    gaps, least = distances / distances.sum(), min(NEAREST, 1 / len(distances))
    while (gaps < least - 1e-9).any():
        small = gaps <= least
        gaps[small] = least
        gaps[~small] *= (1 - least * small.sum()) / gaps[~small].sum()
    return gaps


def _name_lines(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, below them, where it covers no point."""
    named = {name: line for one in axes for line, name in zip(*one.get_legend_handles_labels(), strict=True)}
    columns = min(len(named), 3 * len(axes))
    place = {"loc": "outside lower center", "ncols": columns}
    figure.legend(named.values(), named.keys(), frameon=False, fontsize=9, handlelength=3.5, **place)


def _short(size: int) -> str:
    """1000 → 1k, 2500 → 2.5k; below that, the number."""
    return str(size) if size < 1000 else f"{size / 1000:.1f}".removesuffix(".0") + "k"
