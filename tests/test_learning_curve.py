"""The learning curve from records to verdict: what it writes, what it takes from before, and what it refuses."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny_models import VISION, pretraining_model, processor
from tiny_training import records

from training.callbacks import SetEpoch
from training.cell_lock import locked
from training.classification_options import ClassificationOptions, LearningCurveOptions
from training.grid import plan
from training.option_parser import option_words, parse_options

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


def without_locks(found):
    return {path: when for path, when in found.items() if path.parts[0] != "locks"}


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
    assert Image.open(finished / "learning_curves.png").width > 1200
    assert "Phantom data (synthetic)" in (finished / "learning_curves.svg").read_text()
    for name in ("learning_curves.svg", "table.md", "table.tex", "results.json"):
        assert "not a medical device" in (finished / name).read_text()
        assert "synthetic" in (finished / name).read_text()
    for name in ("scores.csv", "differences.csv"):
        rows = pd.read_csv(finished / name)
        assert len(rows) and set(rows["images"]) == {"synthetic phantoms"}
    table = (finished / "table.md").read_text()
    assert table.count("**Phantom data (synthetic):") == 3 and "| pretrained | 12 | 2 |" in table
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
    assert out.endswith((finished / "table.md").read_text()) and "Phantom data (synthetic): with 12" in out


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


def test_a_run_of_counted_steps_that_was_killed_goes_on_and_comes_out_the_same(place, tmp_path, monkeypatch):
    given = {"encoders": ["none"], "seeds": [0], "epochs": 6, "max_steps": 9, "evaluations": 3}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert call(*words(place, whole, **given)) == 0
    with monkeypatch.context() as patch:
        interrupt_at_step(patch, 3)  # in the middle of the second epoch
        assert call(*words(place, killed, **given)) == 130
    (run,) = (killed / "runs").iterdir()
    assert (run / "checkpoints" / "checkpoint-3").is_dir() and not (run / "results.json").exists()
    assert call(*words(place, killed, **given)) == 0
    first, second = (json.loads((folder / "results.json").read_text()) for folder in (whole, killed))
    assert first["summary"] == second["summary"]
    ours, theirs = (
        next(folder.glob("runs/*/predictions.parquet")).read_bytes() for folder in (whole, killed)
    )
    assert ours == theirs


def interrupt_at_step(monkeypatch, step):
    """End the process, as it were, when this step's checkpoint has been written."""

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(SetEpoch, "on_save", on_save)


def test_a_run_that_fails_leaves_the_finished_ones_and_the_results_of_before(place, copy, capsys):
    before = files(copy)
    shutil.rmtree(copy / "runs" / NAMES[3])
    assert call(*words(place, copy), "--trainer", '{"use_cpu": true, "no_such_field": 1}') == 2
    assert "no_such_field" in capsys.readouterr().err
    assert without_locks(files(copy)) == without_locks(
        {path: when for path, when in before.items() if NAMES[3] not in path.parts}
    )


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"data": "nowhere"}, "nowhere holds no data set"),
        ({"data": "none"}, "--data was not given"),
        ({"encoders": ["none", "nowhere"]}, "the encoder nowhere is not a folder"),
        ({"encoders": ["none", "none"]}, "expected each value once"),
        ({"encoders": ["a/same", "b/same"]}, "two encoders are called 'same'"),
        ({"shard": "0/4"}, "shard is '0/4'; expected i/k"),
        ({"min_steps": 9, "max_steps": 8}, "min_steps is 9; expected max_steps or less, which is 8"),
        ({"encoders": []}, "--encoders: expected at least one argument"),
        ({"encoders": [""]}, "--encoders was not given"),
        ({"train_samples": [12, 500]}, "fold 0 with seed 0: 500 training samples were asked for"),
        (
            {
                "train_samples": [12, 1],
                "model_args": json.dumps(
                    {**VISION["model_args"], "norm_layer": "batchnorm2d", "conv_mlp": True}
                ),
                "encoders": ["none"],
            },
            "batch_size is 8, and 1 to train on in all",
        ),
        ({"train_samples": [0]}, "train_samples is 0; expected 1 or more"),
        ({"train_samples": ["12", "many"]}, "'many' is no number of labelled images"),
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


def test_shards_share_the_work_and_the_report_gathers(place, finished, tmp_path, capsys):
    output = tmp_path / "output"
    assert call(*words(place, output, shard="2/2"), "--phantom") == 0
    done = ["none-12-fold0-seed0", "none-12-fold0-seed1"]
    assert sorted(folder.name for folder in (output / "runs").iterdir()) == done
    assert call(*words(place, output), "--report") == 2
    assert "2 of 4 runs are not finished, such as pretrained-12" in capsys.readouterr().err
    assert not (output / "results.json").exists()
    held = output / "locks" / "pretrained-12-fold0-seed1.lock"
    with locked(held):  # as another process does while it trains this cell
        assert call(*words(place, output), "--phantom") == 0
    out = capsys.readouterr().out
    assert f"pretrained-12-fold0-seed1 is being done by process {os.getpid()}" in out
    assert "1 of 4 runs are not finished" in out and not (output / "results.json").exists()
    assert call(*words(place, output, shard="3/4"), "--phantom") == 0  # that process has ended
    assert call(*words(place, output), "--phantom", "--report") == 0
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (output, finished))
    for name in ("summary", "comparisons", "contrasts", "data", "verdict"):
        assert ours[name] == theirs[name]


def test_the_slurm_script_does_one_cell_per_job(place, tmp_path, capsys):
    output = tmp_path / "output"
    assert call(*words(place, output), "--slurm") == 0
    script = capsys.readouterr().out
    assert "#SBATCH --array=1-4\n" in script and not output.exists()
    (tmp_path / "job.sbatch").write_text(script)
    recorder = tmp_path / "bin" / "python"  # says with what words it was started, and where
    recorder.parent.mkdir()
    recorder.write_text(f'#!/bin/sh\npwd > {tmp_path}/where\nprintf "%s\\n" "$@" > {tmp_path}/words\n')
    recorder.chmod(0o755)
    path = f"{recorder.parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SLURM_ARRAY_TASK_ID": "4"}
    subprocess.run(["bash", tmp_path / "job.sbatch"], check=True, env=environment, cwd="/")
    first, *given = (tmp_path / "words").read_text().splitlines()
    assert (first, given[-2:]) == (str(SCRIPT), ["--shard", "4/4"])
    assert (tmp_path / "where").read_text().strip() == str(Path.cwd())
    assert call(*given) == 0
    assert [folder.name for folder in (output / "runs").iterdir()] == ["none-12-fold0-seed1"]


def test_table_2_gives_more_labels_to_what_was_not_pretrained(place, tmp_path):
    output = tmp_path / "output"
    given = {"seeds": [0], "train_samples": ["6", "all"], "extra_labels": 5, "test_folds": [0, 1]}
    assert call(*words(place, output, **given)) == 0
    results = json.loads((output / "results.json").read_text())
    sizes = {(run["encoder"], run["size"]) for run in results["runs"]}
    wanted = {("pretrained", 6), ("none", 6), ("pretrained", None), ("none", None)}
    assert sizes == wanted | {("none", 11), ("pretrained", -5)}
    images = {(run["encoder"], run["size"]): run["n_train"] for run in results["runs"] if run["fold"] == 1}
    assert images["none", 11] == 11 and images["none", None] - images["pretrained", -5] == 5
    compared = [tuple(list(row.values())[:4]) for row in results["table2"]]
    assert compared == [("pretrained", 6, "none", 11), ("pretrained", -5, "none", None)]
    table = (output / "table.md").read_text()
    assert "| none 11 |" in table and "| pretrained all − 5 |" in table
    found = results["table2"][0]["f1_three"]
    scores = {(run["encoder"], run["size"], run["fold"]): run["f1_three"] for run in results["runs"]}
    pairs = [(scores["pretrained", 6, fold], scores["none", 11, fold]) for fold in (0, 1)]
    assert found["mean_difference"] == pytest.approx(sum(a - b for a, b in pairs) / 2)
    assert (output / "table.tex").read_text().count(r"\begin{table}") == 5
    assert (output / "scores.csv").read_text().count("pretrained,all-5,") == 3
    assert all("classify.py" in run["command"] for run in results["runs"])


def test_runs_on_other_data_are_refused(place, copy, tmp_path, capsys):
    records(tmp_path / "other", patients=26)
    shutil.rmtree(copy / "runs" / NAMES[0])
    assert call(*words(place, copy, data=tmp_path / "other")) == 2
    assert "data" in capsys.readouterr().err
    for path in (copy / "runs" / NAMES[1], copy / "runs" / NAMES[2], copy / "runs" / NAMES[3]):
        shutil.rmtree(path)
    assert call(*words(place, copy, data=tmp_path / "other")) == 2
    assert "holds runs on other data than" in capsys.readouterr().err


def test_predictions_of_another_data_set_are_refused(place, copy, tmp_path, capsys):
    labels = [(0, 1, 2, 4, 5)[row // 2 % 5] for row in range(48)]
    other = records(tmp_path / "records", patients=24, birads=labels[:46] + [1, 1])  # the same images
    output, file = tmp_path / "curve", copy / "runs" / NAMES[0] / "predictions.parquet"
    assert call(*words(place, output, data=other, encoders=["none"], seeds=[0]), "--phantom") == 0
    shutil.copy(output / "runs" / NAMES[1] / file.name, file)
    kept = files(copy)
    capsys.readouterr()
    assert call(*words(place, copy), "--report") == 2
    error = capsys.readouterr().err
    assert f"{file} holds predictions of another data set than {place / 'records'}" in error
    assert len(error.splitlines()) == 1 and without_locks(files(copy)) == without_locks(kept)


def test_predictions_of_other_images_are_refused(place, copy, capsys):
    file = copy / "runs" / NAMES[0] / "predictions.parquet"
    pd.read_parquet(file)[2:].to_parquet(file)
    assert call(*words(place, copy), "--report") == 2
    assert "were tested on other images" in capsys.readouterr().err
    file.unlink()
    assert call(*words(place, copy), "--report") == 2
    assert "predictions.parquet does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"patients": 3}, "3 patients cannot fill 4 folds"),
        ({"patients": 24, "birads": (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5)}, "has no image of BI-RADS 5"),
        ({"patients": 24, "birads": (1, 2, 9)}, "BI-RADS 9 does not exist"),
    ],
)
def test_data_that_folds_cannot_share_out_are_refused(place, tmp_path, capsys, changes, said):
    records(tmp_path / "records", **changes)
    given = {"data": tmp_path / "records", "test_folds": [0, 1, 2, 3], "encoders": ["none"]}
    assert call(*words(place, tmp_path / "output", **given)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "output").exists()


def test_without_arguments_it_says_what_it_needs(capsys):
    assert call() == 0
    assert "A learning curve needs labelled images, encoders to compare" in capsys.readouterr().out


def test_what_is_not_listed_is_the_configurations_own(place):
    given = ["--config", str(place / "config.yaml"), "--encoder", "none", "--fold", "2", "--seed", "7"]
    (cell,) = plan(parse_options(LearningCurveOptions, given))
    expected = {**asdict(parse_options(ClassificationOptions, given)), "config": None}
    assert asdict(cell.options) == {**expected, "output": f"runs/{cell.name}"}


def test_options_survive_the_command_line():
    options = ClassificationOptions(
        data="a folder", encoder=None, vision_weights=None, crop=False, image_size=[64, 48], dropout=0.1
    )
    options.model_args["dims"] = [8, 16]
    assert parse_options(ClassificationOptions, option_words(options)) == options
    assert option_words(ClassificationOptions()) == []
