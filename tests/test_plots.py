"""Pictures show the numbers they were given, on the Agg canvas, with no global state."""

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from evaluation import plots

HISTORY = [
    {"epoch": 1, "train_loss": 5.0, "eval_loss": 4.0, "eval_contrastive_loss": 2.0, "eval_mlm_loss": 4.0},
    {"epoch": 2, "train_loss": 3.0, "eval_loss": 2.5, "eval_contrastive_loss": 1.5, "eval_mlm_loss": 2.0},
    {"epoch": 3, "train_loss": 2.0, "eval_loss": 2.7, "eval_contrastive_loss": 1.6, "eval_mlm_loss": None},
]


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, so that their lines and texts can be read."""
    drawn, render = [], plots._png
    monkeypatch.setattr(plots, "_png", lambda figure: drawn.append(figure) or render(figure))
    return drawn


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines if line.get_label()[0] != "_"}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_loss_curves_draw_every_loss_and_mark_the_best_epoch(figures):
    image = Image.open(BytesIO(plots.loss_curves(HISTORY)))
    assert image.format == "PNG" and image.width > 1000
    whole, parts = figures[0].axes
    assert lines(whole) == {"training": [[1, 5], [2, 3], [3, 2]], "validation": [[1, 4], [2, 2.5], [3, 2.7]]}
    assert lines(parts) == {"contrastive": [[1, 2], [2, 1.5], [3, 1.6]], "masked language": [[1, 4], [2, 2]]}
    assert texts(whole) == ["best: 2.500"]


def test_a_history_without_parts_has_one_panel(figures):
    plots.loss_curves([{"epoch": 1, "eval_loss": 1.0}, {"epoch": 2, "eval_loss": 0.5}])
    assert len(figures[0].axes) == 1


def test_confusion_writes_counts_and_row_shares(figures):
    plots.confusion([[3, 1], [0, 0]], ["benign", "malignant"], "Pretrained")
    axes = figures[0].axes[0]
    assert texts(axes) == ["3\n75%", "1\n25%", "0", "0"]  # a row without labels has no shares
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25], [0, 0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["benign", "malignant"]
    assert axes.get_title() == "Pretrained"


def test_confusion_text_stands_out_from_its_cell(figures):
    """WCAG's contrast of at least 4.5 between each number and the colour behind it, over the whole range."""
    counts = np.array([[share, 100 - share] for share in range(101)][:: 101 // 25])
    counts = np.pad(counts, ((0, 0), (0, len(counts) - 2)))
    plots.confusion(counts, [str(i) for i in range(len(counts))])
    axes = figures[0].axes[0]
    shares = axes.images[0].get_array().ravel()
    for text, share in zip(axes.texts, shares, strict=True):
        behind = luminance(axes.images[0].cmap(float(share))[:3])
        ink = luminance((1, 1, 1) if text.get_color() == "white" else (0, 0, 0))
        high, low = max(behind, ink), min(behind, ink)
        assert (high + 0.05) / (low + 0.05) >= 4.5, share


def luminance(rgb):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_the_same_numbers_give_the_same_bytes():
    assert plots.confusion([[1]], ["a"]) == plots.confusion([[1]], ["a"])
    assert plots.confusion([[1]], ["a"]) != plots.confusion([[2]], ["a"])


def test_pyplot_and_its_global_state_stay_out():
    draw = "import sys, evaluation.plots as p; p.confusion([[1]], ['a'])"
    code = f"{draw}; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.loss_curves([]), "no epochs"),
        (lambda: plots.loss_curves([{"eval_loss": 1.0}]), "no epochs"),
        (lambda: plots.loss_curves([{"epoch": 1, "f1": 0.5}]), "none of train_loss, eval_loss"),
        (lambda: plots.confusion([[1, 2]], ["a", "b"]), r"shape \(1, 2\): expected 2 x 2"),
        (lambda: plots.confusion([[-1]], ["a"]), "at least 0"),
        (lambda: plots.confusion([], []), "shape"),
    ],
)
def test_nothing_to_draw_is_a_clear_error(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
