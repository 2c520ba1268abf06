"""Pictures of numbers, as PNG bytes: loss curves and confusion matrices; learning curves are in curve_plots.

Drawn with matplotlib's object API on the Agg canvas: no display, no global `pyplot` state. Prints without colour and
colour-blind eyes tell the lines apart (line_styles.py).
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .line_styles import line_style

INK = "#222222"
DPI = 150
WHITE_TEXT_ABOVE = (
    0.71  # share of a row; from here on the blue is dark enough for a contrast of 4.5 with white
)
# panel title → (key in the history, name in the legend)
LOSS_PANELS = {
    "Whole loss": (("train_loss", "training"), ("eval_loss", "validation")),
    "Parts, on validation": (("eval_contrastive_loss", "contrastive"), ("eval_mlm_loss", "masked language")),
}


def loss_curves(history: Sequence[Mapping[str, float | None]]) -> bytes:
    """Losses over epochs: training and validation, and the validation loss's parts where the history has
    them.

    Args:
        history: one mapping an epoch with `epoch` and any of `train_loss`, `eval_loss`,
            `eval_contrastive_loss`, `eval_mlm_loss`. A missing or None value leaves a gap.

    Returns:
        PNG bytes; the epoch of the lowest `eval_loss` is marked, since its checkpoint is the one that is
        kept.

    Raises:
        ValueError: no epochs, an epoch without `epoch`, or none of the losses.
    """
    if not history or any("epoch" not in row for row in history):
        raise ValueError(
            "The loss history has no epochs: expected rows with `epoch` and `train_loss` or `eval_loss`."
        )
    series = {key: _series(history, key) for lines in LOSS_PANELS.values() for key, _ in lines}
    panels = [title for title, lines in LOSS_PANELS.items() if any(len(series[key][0]) for key, _ in lines)]
    if not panels:
        raise ValueError(f"The loss history has none of {', '.join(series)}: there is nothing to draw.")
    figure = Figure(figsize=(4.6 * len(panels), 3.4), dpi=DPI, layout="constrained")
    for axes, title in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_losses(axes, title, series)
    return _png(figure)


def confusion(matrix: Sequence[Sequence[int]] | np.ndarray, names: Sequence[str], title: str = "") -> bytes:
    """A confusion matrix: counts and the share of each row as text, the share as colour.

    Args:
        matrix: (C, C) counts, row = label, column = prediction.
        names: C class names.
        title: drawn above, if given.

    Returns:
        PNG bytes. A row without labels stays white and shows its zeros only.

    Raises:
        ValueError: the matrix is not C x C, or has negative counts.
    """
    figure = Figure(figsize=confusion_size(names), dpi=DPI, layout="constrained")
    draw_confusion(figure.subplots(), matrix, names, title)
    return _png(figure)


def confusion_size(names: Sequence[str]) -> tuple[float, float]:
    """(width, height) in inches that a confusion matrix of these classes needs."""
    longest = max(map(len, names), default=0)
    cell = max(0.72, 0.105 * longest)  # long names stay level and do not run into each other
    return 0.9 + cell * len(names) + 0.08 * longest, 1 + cell * len(names)


def draw_confusion(
    axes: Axes, matrix: Sequence[Sequence[int]] | np.ndarray, names: Sequence[str], title: str
) -> None:
    """Draw what `confusion` says, with its errors."""
    counts = np.asarray(matrix)
    if counts.shape != (len(names), len(names)) or counts.size == 0 or (counts < 0).any():
        raise ValueError(
            f"The confusion matrix has shape {counts.shape}: "
            f"expected {len(names)} x {len(names)} counts of at least 0."
        )
    rows = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        text = f"{counts[row, column]}\n{value:.0%}" if rows[row, 0] else "0"
        ink = "white" if value > WHITE_TEXT_ABOVE else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=ink)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.set_title(title, fontsize=11)
    axes.tick_params(length=0)


def _draw_losses(axes: Axes, title: str, series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for place, (key, name) in enumerate(LOSS_PANELS[title]):
        epochs, values = series[key]
        if len(epochs):
            axes.plot(epochs, values, markersize=5, label=name, **line_style(place))
    epochs, values = series["eval_loss"]
    if title == "Whole loss" and len(epochs):
        best = int(values.argmin())
        axes.axvline(epochs[best], color=INK, linewidth=0.8, alpha=0.6)
        late = epochs[best] > epochs.mean()  # write towards the middle
        axes.annotate(
            f"best: {values[best]:.3f}",
            (epochs[best], axes.get_ylim()[1]),
            xytext=(-4 if late else 4, -4),
            textcoords="offset points",
            ha="right" if late else "left",
            va="top",
            fontsize=8,
        )
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _tidy(axes)


def _series(history: Sequence[Mapping[str, float | None]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """(E,) epochs and (E,) values of the rows that have the key."""
    rows = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    table = np.array(rows, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, fontsize=9)


def _png(figure: Figure) -> bytes:
    """PNG bytes without the software's name and version: the same numbers give the same bytes."""
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()
