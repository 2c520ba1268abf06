"""Figures 3 and 4 of the paper: score against the number of labelled images, for each start, as PNG and SVG.

Every arm has a colour, a marker, dashes and a grey value of its own, so that prints without colour and colour-blind
eyes tell them apart; error bars stand beside each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from .figure_files import figure_files

DPI = 150
# Okabe and Ito's colours, ordered so that neighbours differ in grey too, with (marker, dashes).
STYLES = (
    ("#0072B2", "o", "-"),
    ("#E69F00", "s", (0, (5, 2))),
    ("#000000", "^", (0, (1, 1.5))),
    ("#009E73", "D", (0, (5, 1.5, 1, 1.5))),
    ("#CC79A7", "v", (0, (8, 2))),
    ("#D55E00", "P", (0, (3, 1, 1, 1, 1, 1))),
)
APART = 0.025  # of a decade of labels: the error bars of neighbouring arms
TOO_NEAR = 1.2  # times as many labels: their ticks' names would run into each other
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
    figure = Figure(figsize=(4.9 * len(panels), 3.9), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for one, (name, arms) in zip(axes, panels.items(), strict=True):
        _draw_panel(one, name, arms)
    axes[0].legend(frameon=False, fontsize=9, loc="best", handlelength=3.5)
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


def _draw_panel(axes: Axes, name: str, arms: Arms) -> None:
    for place, (arm, points) in enumerate(arms.items()):
        colour, marker, dashes = STYLES[place % len(STYLES)]
        sizes = np.array(sorted(points))
        mean = [np.mean(points[size]) for size in sizes]
        spread = [np.std(points[size], ddof=1) if len(points[size]) > 1 else 0.0 for size in sizes]
        moved = sizes * 10 ** (APART * (place - (len(arms) - 1) / 2))
        line = {"color": colour, "marker": marker, "linestyle": dashes, "markeredgecolor": "white"}
        axes.errorbar(moved, mean, yerr=spread, label=arm, markersize=7, capsize=3, elinewidth=1, **line)
    sizes = sorted({size for points in arms.values() for size in points})
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_major_formatter(FixedFormatter(_tick_labels(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("labelled images for training")
    axes.set_ylabel(name)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)


def _tick_labels(sizes: Sequence[int]) -> list[str]:
    """What the ticks are called; one that is too near the one before, as all images are to 30k of 30.6k, is not."""
    named, last = [], 0
    for size in sizes:
        apart = not last or size > last * TOO_NEAR
        named.append(_short(size) if apart else "")
        last = size if apart else last
    return named


def _short(size: int) -> str:
    """1000 → 1k, 2500 → 2.5k; below that, the number."""
    return str(size) if size < 1000 else f"{size / 1000:.1f}".removesuffix(".0") + "k"
