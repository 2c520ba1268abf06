"""The cells of a learning curve, their locks, and the figure that is drawn of them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import curve_plots
from evaluation.line_styles import STYLES, line_style
from training.cell_lock import locked
from training.classification_options import LearningCurveOptions, sample_count
from training.grid import plan, shard_of, table2_sizes

HOLD = """
import sys, time
from pathlib import Path
from training.cell_lock import locked
with locked(Path(sys.argv[1])) as owner:
    print(owner, flush=True)
    time.sleep(60)
"""


def options(**changes):
    given = {"encoders": ["out/pretrained", "imagenet", "none"], "data": "records", "output": "curve"}
    return LearningCurveOptions(**{**given, **changes})


@pytest.mark.parametrize(
    "text, count",
    [("500", 500), (500, 500), ("5k", 5000), ("2.5K", 2500), ("all", None), (None, None), ("0", 0)],
)
def test_numbers_of_labels(text, count):
    assert sample_count(text) == count


@pytest.mark.parametrize("text", ["", "k", "many", "-5", "1e3", "5kk", "5 k"])
def test_what_is_no_number_of_labels(text):
    with pytest.raises(ValueError, match="is no number of labelled images"):
        sample_count(text)


def test_every_start_is_an_arm_with_its_weights():
    cells = {
        cell.arm: cell.options
        for cell in plan(options(encoders=["a/b", "imagenet", "w/own.safetensors", "none"]))
    }
    starts = {arm: (run.encoder, run.vision_weights) for arm, run in cells.items()}
    assert starts == {
        "b": ("a/b", "imagenet"),
        "imagenet": (None, "imagenet"),
        "own": (None, "w/own.safetensors"),
        "none": (None, None),
    }


def test_the_grid_is_every_combination_once():
    cells = plan(options(train_samples=["5", "all"], test_folds=[0, 1], seeds=[3, 4]))
    assert len({cell.name for cell in cells}) == len(cells) == 3 * 2 * 2 * 2
    assert cells[0].name == "pretrained-5-fold0-seed3" and cells[-1].name == "none-all-fold1-seed4"


def test_a_cell_that_no_training_can_have_is_refused():
    with pytest.raises(ValueError, match="they would stay random"):
        plan(options(lora=["vision"]))


def test_table_2_adds_runs_to_the_grid_but_none_twice():
    given = options(train_samples=["1k", "3k", "all"], extra_labels=2000)
    assert table2_sizes(given) == [(1000, 3000), (3000, 5000), (-2000, None)]
    extra = {(cell.arm, cell.size) for cell in plan(given)} - {
        (cell.arm, cell.size) for cell in plan(options(train_samples=["1k", "3k", "all"]))
    }
    assert extra == {("imagenet", 5000), ("none", 5000), ("pretrained", -2000)}


@pytest.mark.parametrize(
    "size, steps",
    [("16", 100), ("160", 250), ("1600", 400), ("all", 400)],  # 25 epochs of 1, 10 and 100 batches
)
def test_steps_are_those_of_the_epochs_within_bounds(size, steps):
    (cell,) = plan(
        options(encoders=["none"], train_samples=[size], batch_size=16, min_steps=100, max_steps=400)
    )
    found = cell.options.trainer
    assert found["max_steps"] == steps and found["eval_steps"] == found["save_steps"] == steps // 10


def test_without_bounds_epochs_are_counted():
    (cell,) = plan(options(encoders=["none"], train_samples=["16"]))
    assert cell.options.trainer == {}


@given(st.integers(0, 30), st.integers(1, 12))
def test_shards_are_all_cells_and_none_twice(cells, count):
    parts = [shard_of(list(range(cells)), f"{place}/{count}") for place in range(1, count + 1)]
    assert sorted(cell for part in parts for cell in part) == list(range(cells))


def test_a_lock_says_who_has_it_and_goes_when_its_process_is_killed(tmp_path):
    file = tmp_path / "locks" / "cell.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    try:
        assert holder.stdout.readline() == "None\n"
        with locked(file) as owner:
            assert owner.startswith(f"process {holder.pid} on ")
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with locked(file) as owner:
        assert owner is None and file.read_text().startswith(f"process {os.getpid()}")
        with locked(file) as second:
            assert second is not None


ARMS = {"pretrained": {50: [0.5, 0.6], 2000: [0.7, 0.8]}, "none": {50: [0.3, 0.35], 2000: [0.6, 0.65]}}


def test_the_figure_has_a_panel_for_each_score_and_the_same_bytes_again():
    panels = {"three groups": ARMS, "five classes": ARMS}
    found = curve_plots.learning_curves(panels, "Phantom data")
    assert found == curve_plots.learning_curves(panels, "Phantom data")
    words = {
        "".join(node.itertext())
        for node in ElementTree.fromstring(found["svg"]).iter()
        if node.tag.endswith("text")
    }
    assert {"pretrained", "none", "50", "2k", "three groups", "five classes", "Phantom data"} <= words
    assert found["png"].startswith(b"\x89PNG")


def drawn(monkeypatch, panels):
    """The figure of learning curves, as matplotlib has it."""
    figures = []
    monkeypatch.setattr(curve_plots, "figure_files", lambda figure: figures.append(figure) or {})
    curve_plots.learning_curves(panels)
    figures[0].canvas.draw()
    return figures[0]


def places(axes):
    """Where the points of each arm stand, as shares of the axis' width."""
    low, high = axes.get_xlim()
    return [(container.lines[0].get_xdata() - low) / (high - low) for container in axes.containers]


@pytest.mark.parametrize(
    "sizes", [(200,), (200, 500), (1000, 1001), (1000, 3000, 10000, 20000, 30000, 30594)]
)
def test_points_of_one_size_stand_beside_each_other_and_those_of_two_apart(sizes, monkeypatch):
    arms = {name: {size: [0.5, 0.6] for size in sizes} for name in "abcde"}
    (axes,) = drawn(monkeypatch, {"F1": arms}).axes
    found = np.array(places(axes))  # (arms, sizes)
    assert (
        np.allclose(np.diff(found, axis=0), np.diff(found, axis=0)[0, 0]) and found[1, 0] - found[0, 0] > 0.01
    )
    assert np.ptp(found, axis=0).max() < 0.1  # neighbours, however few numbers there are
    assert found.min() > 0.02 and found.max() < 0.98
    assert (found[0, 1:] > found[-1, :-1]).all()  # all arms of one number before all of the next
    assert found[:, 0].mean() == pytest.approx(0.5) if len(sizes) == 1 else found[:, 0].mean() < 0.2


def test_names_of_ticks_do_not_run_into_each_other(monkeypatch):
    sizes = {size: [0.5] for size in (1000, 20000, 30000, 30594)}
    figure = drawn(monkeypatch, {"F1": {"a": sizes}, "other": {"a": sizes}})
    for axes in figure.axes:
        names = [label for label in axes.get_xticklabels() if label.get_text()]
        assert [name.get_text() for name in names] == ["1k", "20k", "30k", "30.6k"]
        boxes = [name.get_window_extent() for name in names]
        assert all(one.x1 < other.x0 for one, other in zip(boxes, boxes[1:], strict=False))


def test_an_arm_looks_alike_in_all_panels_and_the_legend_covers_none(monkeypatch):
    first, second = {"a": {50: [0.1]}, "b": {50: [0.2]}}, {"b": {50: [0.3]}, "c": {50: [0.4]}}
    figure = drawn(monkeypatch, {"one": first, "other": second})
    colours = [{one.get_label(): one.lines[0].get_color() for one in axes.containers} for axes in figure.axes]
    assert colours[0]["b"] == colours[1]["b"] and len({*colours[0].values(), *colours[1].values()}) == 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    assert legend.get_window_extent().y1 < min(axes.get_window_extent().y0 for axes in figure.axes)


def test_arms_differ_in_marker_dashes_and_grey():
    greys = [np.dot(matplotlib.colors.to_rgb(colour), (0.2126, 0.7152, 0.0722)) for colour, *_ in STYLES]
    apart = np.abs(np.subtract.outer(greys[:4], greys[:4])) + np.eye(4)
    assert apart.min() > 0.1
    for part in (0, 1, 2):
        assert len({str(style[part]) for style in STYLES}) == len(STYLES)
    assert len({str(line_style(place)) for place in range(12)}) == 12


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({}, "no panels"),
        ({"F1": {}}, "no points"),
        ({"F1": {"a": {}}}, "no points"),
        ({"F1": {"a": {50: []}}}, "Arm 'a' has no scores at 50 labels"),
    ],
)
def test_nothing_to_draw_is_a_clear_error(panels, message):
    with pytest.raises(ValueError, match=message):
        curve_plots.learning_curves(panels)
