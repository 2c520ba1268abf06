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
from training.cell_lock import locked
from training.grid import plan, shard_of, table2_sizes
from training.options import LearningCurveOptions, sample_count

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


def test_names_of_ticks_do_not_run_into_each_other():
    sizes = {size: [0.5] for size in (1000, 20000, 30000, 30594)}
    svg = curve_plots.learning_curves({"F1": {"a": sizes}})["svg"].decode()
    assert ">30k<" in svg and ">20k<" in svg and ">30.6k<" not in svg


def test_arms_differ_in_marker_dashes_and_grey():
    greys = [
        np.dot(matplotlib.colors.to_rgb(colour), (0.2126, 0.7152, 0.0722))
        for colour, *_ in curve_plots.STYLES
    ]
    apart = np.abs(np.subtract.outer(greys[:4], greys[:4])) + np.eye(4)
    assert apart.min() > 0.1
    for part in (0, 1, 2):
        assert len({str(style[part]) for style in curve_plots.STYLES}) == len(curve_plots.STYLES)


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
