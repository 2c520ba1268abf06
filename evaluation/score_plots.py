"""Pictures of predictions, as PNG and SVG: reliability, ROC curves and confusion matrices.

Prints without colour and colour-blind eyes tell the lines apart (line_styles.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from .figure_files import figure_files
from .line_styles import line_style
from .plots import DPI, INK, confusion_size, draw_confusion

FEWEST = 5  # images that a bin needs to be part of the line
Curve = tuple[np.ndarray, np.ndarray]  # (N,) bool truth, (N,) scores
Bins = Sequence[Mapping[str, Any]]  # as calibration.reliability gives them


def reliability_plot(panels: Mapping[str, Mapping[str, Bins]], title: str = "") -> dict[str, bytes]:
    """Accuracy against probability of the predicted class, and below how many images are in each bin.

    panels: title → name of the probabilities ("as predicted", …) → bins. The diagonal is perfect calibration; bins of
        fewer than 5 images are small points without a line, since chance decides where they are.

    Returns the figure in each format of `figure_files`.
    """
    figure = Figure(figsize=(4.2 * len(panels), 4.8), dpi=DPI, layout="constrained")
    grid = figure.subplots(2, len(panels), squeeze=False, sharex=True, height_ratios=(3, 1))
    for column, (name, series) in enumerate(panels.items()):
        above, below = grid[:, column]
        above.plot([0, 1], [0, 1], color=INK, linewidth=0.8, alpha=0.6)
        for place, (label, bins) in enumerate(series.items()):
            _draw_bins(above, below, label, bins, line_style(place), place - (len(series) - 1) / 2)
        above.set(title=name, ylabel="share that is right", ylim=(0, 1.02), xlim=(0, 1.02))
        below.set(xlabel="probability of the predicted class", ylabel="images")
        _tidy(above)
        _tidy(below)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure_files(figure)


def roc_plot(
    panels: Mapping[str, Mapping[str, Curve]], specificity: float, title: str = ""
) -> dict[str, bytes]:
    """ROC curves with their areas; the dotted line is where specificity is what sensitivity was measured at.

    panels: title → name of a curve → (truth, scores); a curve whose truths are all alike is left out.
    """
    figure = Figure(figsize=(4.6 * len(panels), 4.8), dpi=DPI, layout="constrained")
    for axes, (name, curves) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, alpha=0.6)
        axes.axvline(1 - specificity, color=INK, linewidth=0.8, linestyle=":")
        drawn = {label: curve for label, curve in curves.items() if 0 < curve[0].mean() < 1}
        for place, (label, curve) in enumerate(drawn.items()):
            _draw_roc(axes, label, *curve, line_style(place))
        axes.set(
            title=name, xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01)
        )
        axes.set_aspect("equal")
        _tidy(axes)
        if drawn:
            axes.legend(frameon=False, fontsize=8, loc="lower right", handlelength=3)
    figure.suptitle(title, fontsize=11)
    return figure_files(figure)


def confusion_plot(
    panels: Mapping[str, tuple[Sequence[Sequence[int]], Sequence[str]]], title: str = ""
) -> dict[str, bytes]:
    """Confusion matrices side by side. panels: title → (counts, row = label; names of the classes)."""
    sizes = [confusion_size(names) for _, names in panels.values()]
    widths, heights = zip(*sizes, strict=True)
    figure = Figure(figsize=(sum(widths), max(heights) + 0.3), dpi=DPI, layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, width_ratios=widths)[0]
    for axes, (name, (matrix, names)) in zip(grid, panels.items(), strict=True):
        draw_confusion(axes, matrix, names, name)
    figure.suptitle(title, fontsize=11)
    return figure_files(figure)


def _draw_bins(above: Axes, below: Axes, label: str, bins: Bins, style: dict[str, Any], shift: float) -> None:
    confidence, accuracy, images = (
        np.array([one[key] for one in bins]) for key in ("confidence", "accuracy", "images")
    )
    many = images >= FEWEST
    line = {**style, "markeredgecolor": style["color"]}
    above.plot(confidence[many], accuracy[many], markersize=5, label=label, **line)
    above.plot(confidence[~many], accuracy[~many], markersize=2.5, **{**line, "linestyle": "none"})
    filled = "none" if shift > 0 else style["color"]  # told apart without colour as well
    below.bar(confidence + 0.02 * shift, images, width=0.018, color=filled, edgecolor=style["color"])


def _draw_roc(axes: Axes, label: str, truth: np.ndarray, scores: np.ndarray, style: dict[str, Any]) -> None:
    false_rate, true_rate, _ = roc_curve(truth, scores)
    name = f"{label}: {roc_auc_score(truth, scores):.3f}"
    axes.plot(false_rate, true_rate, label=name, markevery=0.15, linewidth=1.4, markersize=5, **style)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
