"""The learning curve from records to verdict: what it writes, what it takes from before, and what it refuses."""

import json
import runpy
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_models import VISION, pretraining_model, processor
from tiny_training import records

from training.option_parser import option_words, parse_options
from training.options import ClassificationOptions, LearningCurveOptions

SCRIPT = Path(__file__).resolve().parent.parent / "train_scripts" / "learning_curve.py"
CONFIG = {
    "architecture": VISION["architecture"],
    "model_args": VISION["model_args"],
    "image_size": VISION["image_size"],
    "vision_weights": "none",
    "train_samples": 12,
    "epochs": 1,
    "batch_size": 8,
    "workers": 0,
    "trainer": {"use_cpu": True},
}
NAMES = [f"{encoder}-12-fold0-seed{seed}" for seed in (0, 1) for encoder in ("pretrained", "none")]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Records, a pretrained encoder and a configuration."""
    folder = tmp_path_factory.mktemp("learning_curve")
    records(folder / "records", patients=24)
    pretraining_model().save_pretrained(folder / "pretrained")
    processor().save_pretrained(folder / "pretrained")
    (folder / "config.yaml").write_text(json.dumps(CONFIG))
    return folder


def words(place, output, **changes):
    given = {
        "config": place / "config.yaml",
        "data": place / "records",
        "encoders": [place / "pretrained", "none"],
        "seeds": [0, 1],
        "output": output,
        **changes,
    }
    return [
        str(word)
        for name, value in given.items()
        for word in (f"--{name}", *(value if isinstance(value, list) else [value]))
    ]


def call(*argv):
    """Run the script in this process → its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(SCRIPT), *argv])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            return stop.code
    return 0


def files(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def finished(place):
    output = place / "output"
    assert call(*words(place, output), "--phantom") == 0
    return output


@pytest.fixture
def copy(finished, tmp_path):
    """The finished curve in a place of its own, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "output"))


def test_every_run_is_a_folder_of_classify(finished):
    assert sorted(folder.name for folder in (finished / "runs").iterdir()) == sorted(NAMES)
    for name in NAMES:
        found = json.loads((finished / "runs" / name / "results.json").read_text())
        assert (found["n_train"], found["fold"], f"seed{found['seed']}") == (12, 0, name.split("-")[-1])
        assert (finished / "runs" / name / "predictions.parquet").is_file()


def test_results_hold_scores_statistics_and_how_they_came_to_be(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["phantom"] is True
    assert [Path(run["folder"]).name for run in results["runs"]] == NAMES
    scores = {(run["encoder"], run["seed"]): run["f1_three"] for run in results["runs"]}
    ours, theirs = ([scores[name, seed] for seed in (0, 1)] for name in ("pretrained", "none"))
    pretrained, none = (row["f1_three"] for row in results["summary"])
    assert (pretrained["mean"], none["mean"]) == pytest.approx((sum(ours) / 2, sum(theirs) / 2))
    assert pretrained["std"] == pytest.approx(abs(ours[0] - ours[1]) / 2**0.5)
    (found,) = results["comparisons"]
    assert (found["first"], found["other"], found["f1_three"]["pairs"]) == ("pretrained", "none", 2)
    assert found["f1_three"]["mean_difference"] == pytest.approx(pretrained["mean"] - none["mean"])
    assert "learning_curve.py --config" in results["command"] and results["versions"]["transformers"]


def test_the_same_seed_gives_the_same_patients_to_both_encoders(finished):
    tested = [pq.read_table(finished / "runs" / name / "predictions.parquet") for name in NAMES]
    patients = [set(table["patient_id"].to_pylist()) for table in tested]
    assert patients[0] == patients[1] and patients[2] == patients[3] and patients[0] != patients[2]


def test_table_and_pictures_are_there_and_speak_of_phantoms(finished):
    for name in ("learning_curve.png", "learning_curve_five.png"):
        assert Image.open(finished / name).width > 600
    table = (finished / "table.md").read_text()
    assert table.count("**Phantom data:") == 2 and "| pretrained | 12 | 2 |" in table
    assert json.loads((finished / "results.json").read_text())["verdict"][0] == table.splitlines()[-1]
    assert not list(finished.rglob("*.part"))


def test_a_second_call_trains_nothing_and_says_the_same(place, finished, capsys):
    before = files(finished / "runs")
    # Finished runs need neither the data nor the encoders any more, and a smaller curve lies in a larger one.
    argv = words(place, finished, seeds=[1])
    assert call(*argv) == 0
    out = capsys.readouterr().out
    assert files(finished / "runs") == before
    assert out.count("is finished already") == 2 and "epoch" not in out
    assert json.loads((finished / "results.json").read_text())["phantom"] is False
    assert call(*words(place, finished), "--phantom") == 0
    out = capsys.readouterr().out
    assert out.endswith((finished / "table.md").read_text()) and "Phantom data: with 12" in out


def test_only_a_deleted_and_an_interrupted_run_are_done_and_come_out_the_same(place, copy, capsys):
    before, kept = json.loads((copy / "results.json").read_text()), files(copy / "runs")
    shutil.rmtree(copy / "runs" / NAMES[2])
    for path in (copy / "runs" / NAMES[1]).iterdir():
        if path.name != "options.json":  # as a run leaves it that was stopped in its first epoch
            path.unlink()
    assert call(*words(place, copy), "--phantom") == 0
    out = capsys.readouterr().out
    changed = {path.parts[0] for path, when in files(copy / "runs").items() if kept.get(path) != when}
    assert changed == {NAMES[1], NAMES[2]}
    after = json.loads((copy / "results.json").read_text())
    assert after["summary"] == before["summary"] and after["comparisons"] == before["comparisons"]
    lines = [line for line in out.splitlines() if "F1" in line]
    assert len(lines) >= 9 and all("phantom" in line.lower() for line in lines)


def test_a_run_that_fails_leaves_the_finished_ones_and_the_results_of_before(place, copy, capsys):
    before = files(copy)
    shutil.rmtree(copy / "runs" / NAMES[3])
    assert call(*words(place, copy), "--trainer", '{"use_cpu": true, "no_such_field": 1}') == 2
    assert "no_such_field" in capsys.readouterr().err
    assert files(copy) == {path: when for path, when in before.items() if NAMES[3] not in path.parts}


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"data": "nowhere"}, "nowhere holds no data set"),
        ({"data": "none"}, "--data was not given"),
        ({"encoders": ["none", "nowhere"]}, "the encoder nowhere is not a folder"),
        ({"encoders": ["none", "none"]}, "expected each value once"),
        ({"encoders": ["a/same", "b/same"]}, "two encoders are called 'same'"),
        ({"encoders": []}, "--encoders: expected at least one argument"),
        ({"encoders": [""]}, "--encoders was not given"),
        ({"train_samples": [12, 500]}, "fold 0 with seed 0: 500 training samples were asked for"),
        ({"train_samples": [0]}, "train_samples is 0; expected 1 or more"),
        ({"test_folds": [0, 4]}, "test_folds is 4; expected from 0 to 3"),
        ({"seeds": [0, -1]}, "seeds is -1; expected 0 or more"),
        ({"seeds": [1, 1]}, "seeds is [1, 1]; expected each value once"),
    ],
)
def test_what_the_user_can_put_right_is_said_before_anything_is_trained(
    changes, said, place, tmp_path, capsys
):
    assert call(*words(place, tmp_path / "output", **changes)) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_else_is_left_alone(place, tmp_path, capsys):
    (tmp_path / "results.json").write_text("mine")
    assert call(*words(place, tmp_path)) == 2
    assert "holds no learning curve" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_runs_of_other_options_are_refused_before_anything_is_trained(place, finished, capsys):
    before = files(finished)
    assert call(*words(place, finished, seeds=[0, 2]), "--epochs", "3") == 2
    assert "holds a run with epochs 1, not 3" in capsys.readouterr().err
    assert files(finished) == before


def test_without_arguments_it_says_what_it_needs(capsys):
    assert call() == 0
    assert "A learning curve needs labelled images, encoders to compare" in capsys.readouterr().out


def test_what_is_not_listed_is_the_configurations_own(place):
    given = ["--config", str(place / "config.yaml"), "--encoder", "none", "--fold", "2", "--seed", "7"]
    (run,) = parse_options(LearningCurveOptions, given).runs()
    assert asdict(run) == {**asdict(parse_options(ClassificationOptions, given)), "config": None}


def test_options_survive_the_command_line():
    options = ClassificationOptions(
        data="a folder", encoder=None, vision_weights=None, crop=False, image_size=[64, 48], dropout=0.1
    )
    options.model_args["dims"] = [8, 16]
    assert parse_options(ClassificationOptions, option_words(options)) == options
    assert option_words(ClassificationOptions()) == []
