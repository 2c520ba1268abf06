"""An output folder knows its run: finished, to be continued, or another one, and holds nothing that is half written."""

import json
import os
import shutil

import datasets
import pytest

from training.checkpoints import seal
from training.pretraining_options import PretrainingOptions
from training.runs import CHECKPOINTS, finish_run, last_checkpoint, open_run, start_run, write_json


@pytest.fixture
def output(tmp_path):
    return tmp_path / "run"


def options(output, **changes):
    return PretrainingOptions(output=str(output), **changes)


def checkpoint(output, step):
    folder = output / CHECKPOINTS / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    write_json(folder / "trainer_state.json", {"best_global_step": None})
    (folder / "model.safetensors").write_bytes(bytes(range(100)))
    seal(folder)
    return folder


def save(folder):
    (folder / "model.safetensors").write_text("weights")
    (folder / "config.json").write_text("{}")


def test_a_new_folder_is_open_and_asking_makes_nothing(output):
    assert open_run(options(output)) is False
    assert not output.exists()


def test_an_empty_folder_is_open(output):
    output.mkdir()
    assert open_run(options(output)) is False


def test_a_run_is_unfinished_until_its_results_are_there(output):
    start_run(options(output))
    assert open_run(options(output)) is False
    finish_run(options(output), save, {"score": 1})
    assert open_run(options(output)) is True


def test_another_run_is_refused_by_the_option_that_differs(output):
    start_run(options(output, epochs=3))
    with pytest.raises(ValueError, match="holds a run with epochs 3, not 4; give another --output"):
        open_run(options(output, epochs=4))


@pytest.mark.parametrize(
    "change", [{"model": {"fusion_heads": 2}}, {"pairs": ["a"]}, {"image_size": [64, 48]}]
)
def test_lists_and_mappings_are_compared_as_well(output, change):
    start_run(options(output))
    with pytest.raises(ValueError, match=f"holds a run with {next(iter(change))}"):
        open_run(options(output, **change))
    assert options(output, **change) != options(output)


def test_the_same_lists_and_mappings_are_the_same_run(output):
    change = {"model": {"fusion_heads": 2, "deep": {"a": [1, None]}}, "pairs": ["a", "ä"]}
    start_run(options(output, **change))
    assert open_run(options(output, **change)) is False


def test_what_does_not_make_another_run_may_differ(output, tmp_path):
    start_run(options(output))
    others = {"workers": 0, "cache": "elsewhere", "keep_checkpoints": True, "precision": "bf16"}
    others |= {"gradient_checkpointing": True, "trainer": {"use_cpu": True}, "config": "other.yaml"}
    assert open_run(options(output, **others)) is False
    output.rename(tmp_path / "moved")
    assert open_run(options(tmp_path / "moved")) is False


def test_other_data_behind_the_same_path_are_refused(output, tmp_path):
    data, given = tmp_path / "pairs", {"pairs": [str(tmp_path / "pairs")]}
    datasets.Dataset.from_dict({"caption": ["a", "b"]}).save_to_disk(data)
    start_run(options(output, **given))
    assert open_run(options(output, **given)) is False
    shutil.rmtree(data)
    assert open_run(options(output, **given)) is False  # whoever needs them will say that they are gone
    datasets.Dataset.from_dict({"caption": ["a", "c"]}).save_to_disk(data)
    with pytest.raises(
        ValueError, match="pairs has changed since the run in .*run began; put back what it was"
    ):
        open_run(options(output, **given))


@pytest.mark.parametrize("name", ["vision_weights", "text_weights"])
@pytest.mark.parametrize("file", ["", "model.safetensors"])
def test_other_weights_behind_the_same_path_are_refused(name, file, output, tmp_path):
    weights = tmp_path / "weights"
    if file:
        weights.mkdir()
    (weights / file).write_bytes(b"0123")
    start_run(options(output, **{name: str(weights)}))
    os.utime(weights / file, ns=(1, 1))
    (weights.parent / "other.json").write_text("{}")
    assert open_run(options(output, **{name: str(weights)})) is False
    (weights / file).write_bytes(b"0124")
    with pytest.raises(ValueError, match="weights has changed since the run"):
        open_run(options(output, **{name: str(weights)}))


def test_a_folder_of_something_else_is_refused_and_left_alone(output):
    output.mkdir()
    (output / "thesis.tex").write_text("all of it")
    with pytest.raises(ValueError, match="is not empty and holds no training run"):
        open_run(options(output))
    assert [file.name for file in output.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(output):
    output.write_text("x")
    with pytest.raises(ValueError, match="is a file; give another --output"):
        open_run(options(output))


def test_without_checkpoints_there_is_none_to_go_on_from(output):
    assert last_checkpoint(output) is None
    start_run(options(output))
    assert last_checkpoint(output) is None


def test_the_last_checkpoint_is_the_one_of_the_most_steps(output):
    for step in (9, 10, 2):
        checkpoint(output, step)
    assert last_checkpoint(output) == str(output / CHECKPOINTS / "checkpoint-10")


def test_a_finished_run_has_its_files_and_no_traces_of_the_way(output):
    start_run(options(output))
    checkpoint(output, 5)
    finish_run(options(output), save, {"score": 0.5})
    assert {file.name for file in output.iterdir()} == {
        "inputs.json",
        "options.json",
        "results.json",
        "model.safetensors",
        "config.json",
    }
    assert json.loads((output / "results.json").read_text()) == {"score": 0.5}


def test_checkpoints_are_kept_when_asked_for(output):
    start_run(options(output))
    kept = checkpoint(output, 5)
    finish_run(options(output, keep_checkpoints=True), save, {})
    assert kept.is_dir()


def test_a_save_that_breaks_off_leaves_the_run_unfinished_and_to_be_finished(output):
    def broken(folder):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    start_run(options(output))
    kept = checkpoint(output, 5)
    with pytest.raises(KeyboardInterrupt):
        finish_run(options(output), broken, {})
    assert not (output / "half").exists() and kept.is_dir()
    assert open_run(options(output)) is False
    finish_run(options(output), save, {})
    assert open_run(options(output)) is True
    assert not [file.name for file in output.iterdir() if file.name.startswith(".") or file.name == "half"]


def test_json_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "results.json"
    write_json(file, {"score": 1, "name": "Brüste"})
    with pytest.raises(TypeError):
        write_json(file, {"score": 2, "model": object()})
    assert json.loads(file.read_text(encoding="utf-8")) == {"score": 1, "name": "Brüste"}
    assert "Brüste" in file.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]
