"""A run that is stopped at any moment ends as one that was not: the same weights to the bit, the same results."""

import errno
import json
import os
import signal
from pathlib import Path

import pytest
from tiny_training import SMALL, SMALL_PAIRS, pairs, records, run, text_encoder, words

from training.callbacks import SetEpoch
from training.data import Images
from training.resumable import ResumableTrainer

PRETRAIN, CLASSIFY = "pretrain.py", "classify.py"
EVERY_STEP = 1e-9  # minutes between two checkpoints
STILL = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# Three steps in each epoch, the last of them of one batch where the others are of two.
STEPS = {"batch_size": 2, "accumulation": 2, "epochs": 3, "save_minutes": EVERY_STEP}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return inputs(tmp_path_factory.mktemp("resume"))


def inputs(folder):
    """A text encoder, pairs and records."""
    text_encoder(folder / "text")
    pairs(folder / "pairs")
    records(folder / "records")
    return folder


def pretraining(place, output, **changes):
    given = {"pairs": place / "pairs", "text_weights": place / "text", "output": output}
    return words(**{**SMALL, **SMALL_PAIRS, **STEPS, **given, "cache": place / "cache", **changes})


def classification(place, output, **changes):
    given = {"data": place / "records", "encoder": None, "output": output, "folds": 3}
    given["image_size"] = [64, 48]
    return words(**{**SMALL, **STEPS, **given, "cache": place / "cache", **changes})


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


COMMANDS = {PRETRAIN: pretraining, CLASSIFY: classification}


def outcome(output):
    """The weights' bytes, and the results but for the time."""
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return (output / "model.safetensors").read_bytes(), {
        **results,
        "seconds": 0,
        "training_seconds": 0,
        "speed": 0,
        "command": "",
    }


def steps(output):
    return sorted(int(path.name.rpartition("-")[2]) for path in (output / "checkpoints").glob("checkpoint-*"))


def stop_at(monkeypatch, step, how=KeyboardInterrupt):
    """End the process, as it were, when this step's checkpoint has been written."""

    def on_save(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise how

    monkeypatch.setattr(SetEpoch, "on_save", on_save)


def stopped_at(step, script, monkeypatch, *command):
    with monkeypatch.context() as patch:
        stop_at(patch, step)
        assert run(script, patch, *command) == 130


@pytest.fixture(scope="module")
def whole(place):
    """What each of some runs comes to, which is made when it is first asked for and saves after epochs alone."""
    made = {}

    def ask(script, **changes):
        key = json.dumps([script, changes])
        if key not in made:
            with pytest.MonkeyPatch.context() as patch:
                output = place / f"whole-{len(made)}"
                command = COMMANDS[script](place, output, **{**changes, "save_minutes": 0})
                assert run(script, patch, *command) == 0
                made[key] = outcome(output)
        return made[key]

    return ask


# In the middle of an epoch


@pytest.mark.parametrize(
    "script, moments, changes",
    [
        (PRETRAIN, (2, 5), {}),
        slow(PRETRAIN, (1, 2, 3, 4, 6, 7, 8, 9), {}),
        slow(PRETRAIN, (4,), {"micro_batch": 1, "schedule": "cosine", "warmup": 0.2}),
        slow(PRETRAIN, (5,), {"lora": ["text", "vision"], "workers": 1, "vision_weights": "made"}),
        slow(PRETRAIN, (5,), {"frozen_text_layers": 2, "model": {"fusion_heads": 2, "text_config": STILL}}),
        (CLASSIFY, (7,), {"dropout": 0.2}),
    ],
    ids=["accumulation", "every-step", "parts", "adapters", "frozen-text", "classification"],
)
def test_a_run_stopped_between_steps_ends_as_one_that_was_not(
    script, moments, changes, place, whole, tmp_path, monkeypatch
):
    if changes.get("vision_weights"):  # adapters need an encoder that was trained
        whole(PRETRAIN)
        changes = {**changes, "vision_weights": str(place / "whole-0")}
    expected = whole(script, **changes)
    command = COMMANDS[script](place, tmp_path / "run", **changes)
    for step in moments:
        stopped_at(step, script, monkeypatch, *command)
    assert run(script, monkeypatch, *command) == 0
    found = outcome(tmp_path / "run")
    assert found[0] == expected[0]
    assert found[1] == expected[1]


@pytest.mark.parametrize("step", [2, slow(3)])
def test_checkpoints_are_of_all_moments_and_few_are_kept(step, place, tmp_path, monkeypatch):
    stopped_at(6 + step, PRETRAIN, monkeypatch, *pretraining(place, tmp_path / "run"))
    assert steps(tmp_path / "run") == {2: [6, 7, 8], 3: [6, 8, 9]}[step]  # two, and the best one


def test_images_of_skipped_batches_are_not_loaded(place, tmp_path, monkeypatch):
    command = pretraining(place, tmp_path / "run", epochs=1)
    stopped_at(2, PRETRAIN, monkeypatch, *command)
    rows, load = [], Images.load

    def counted(self, row, augmentation, rng):
        rows.extend([row] if augmentation is not None else [])
        return load(self, row, augmentation, rng)

    monkeypatch.setattr(Images, "load", counted)
    assert run(PRETRAIN, monkeypatch, *command) == 0
    found = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert len(rows) == found["n_train"] - 8


def test_patience_that_was_over_stays_over(place, tmp_path, monkeypatch):
    harm = {"learning_rate": 0.3, "patience": 1, "epochs": 5}
    assert run(PRETRAIN, monkeypatch, *pretraining(place, tmp_path / "whole", **harm)) == 0
    _, expected = outcome(tmp_path / "whole")
    epochs = len(expected["history"])
    assert epochs < 5
    stopped_at(3 * epochs, PRETRAIN, monkeypatch, *pretraining(place, tmp_path / "run", **harm))
    assert run(PRETRAIN, monkeypatch, *pretraining(place, tmp_path / "run", **harm)) == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["cut", slow("gone")])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage, place, whole, tmp_path, monkeypatch, capsys
):
    command = pretraining(place, tmp_path / "run")
    stopped_at(5, PRETRAIN, monkeypatch, *command)
    file = tmp_path / "run" / "checkpoints" / "checkpoint-5" / "optimizer.pt"
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:-1])
    assert run(PRETRAIN, monkeypatch, *command) == 0
    assert "checkpoint-5 is not used: its optimizer.pt" in capsys.readouterr().err
    assert outcome(tmp_path / "run") == whole(PRETRAIN)


def test_another_number_of_steps_is_another_run(place, tmp_path, monkeypatch, capsys):
    stopped_at(2, PRETRAIN, monkeypatch, *pretraining(place, tmp_path / "run"))
    changed = pretraining(place, tmp_path / "run", trainer={"use_cpu": True, "max_steps": 7})
    assert run(PRETRAIN, monkeypatch, *changed) == 2
    assert "has 9 steps, and would now have 7; start it with 1 processes as before" in capsys.readouterr().err


# SIGTERM


def terminate_at(monkeypatch, moment, step):
    """SIGTERM comes at a moment (a callback's name) of this step."""

    def callback(self, args, state, control, **kwargs):
        if state.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SetEpoch, moment, callback, raising=False)


@pytest.mark.parametrize(
    "moment, step, saved_at",
    [
        ("on_substep_end", 1, 2),  # in the middle of an accumulation
        slow("on_step_begin", 2, 3),  # the last step of an epoch, which is evaluated first
        slow("on_evaluate", 3, 3),
        slow("on_save", 9, 9),
    ],
)
def test_sigterm_saves_first_and_says_how_to_go_on(
    moment, step, saved_at, place, whole, tmp_path, monkeypatch, capsys
):
    command, before = pretraining(place, tmp_path / "run", save_minutes=0), signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        terminate_at(patch, moment, step)
        assert run(PRETRAIN, patch, *command) == 143
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"stopped by SIGTERM; give the same command again: it goes on after checkpoint-{saved_at}."
    assert steps(tmp_path / "run")[-1] == saved_at
    assert signal.getsignal(signal.SIGTERM) == before
    assert run(PRETRAIN, monkeypatch, *command) == 0
    assert outcome(tmp_path / "run") == whole(PRETRAIN)


# What a user can put right


def ends_with(said, script, monkeypatch, capsys, command):
    """The script ends with exit code 2 and one sentence."""
    capsys.readouterr()
    assert run(script, monkeypatch, *command) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text and said in text.splitlines()[-1], text
    return text.splitlines()[-1]


@pytest.mark.parametrize(
    "file", [slow("model.safetensors"), "optimizer.pt", slow("training_loss_0.pt"), slow("manifest.json")]
)
def test_a_full_disk_ends_with_a_sentence_and_the_checkpoint_before(
    file, place, whole, tmp_path, monkeypatch, capsys
):
    command = pretraining(place, tmp_path / "run")
    stopped_at(4, PRETRAIN, monkeypatch, *command)
    with monkeypatch.context() as patch:
        fill_disk_at(patch, file)
        said = ends_with("checkpoint-5 could not be written (", PRETRAIN, patch, capsys, command)
    assert "give the same command again: it goes on after checkpoint-4." in said
    assert steps(tmp_path / "run") == [3, 4]
    assert run(PRETRAIN, monkeypatch, *command) == 0
    assert outcome(tmp_path / "run") == whole(PRETRAIN)


def fill_disk_at(monkeypatch, name):
    """No file of this name can be written: there is a folder in its place, or the disk is full."""
    if name == "manifest.json":
        monkeypatch.setattr("training.checkpoints.write_json", no_space)
        return
    save = ResumableTrainer.save_model

    def in_the_way(self, output_dir, _internal_call=False):
        Path(output_dir, name).mkdir(parents=True)
        save(self, output_dir, _internal_call=_internal_call)

    monkeypatch.setattr(ResumableTrainer, "save_model", in_the_way)


def no_space(*given, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("workers", [slow(0), 1])
def test_data_that_cannot_be_read_end_with_a_sentence(workers, place, whole, tmp_path, monkeypatch, capsys):
    command = pretraining(place, tmp_path / "run", workers=workers)
    stopped_at(2, PRETRAIN, monkeypatch, *command)

    def gone(self, row, augmentation, rng):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "pixels.arrow")

    with monkeypatch.context() as patch:
        patch.setattr(Images, "load", gone)
        said = ends_with("pixels.arrow", PRETRAIN, patch, capsys, command)
    assert said.startswith("error: ") and "No such file or directory" in said
    assert "give the same command again: it goes on after checkpoint-2." in said
    assert run(PRETRAIN, monkeypatch, *command) == 0
    assert outcome(tmp_path / "run") == whole(PRETRAIN)


def test_a_process_that_is_ended_while_it_loads_is_told_of(place, tmp_path, monkeypatch, capsys):
    def cut(self, row, augmentation, rng):  # as a file that was cut under its memory map does
        os.kill(os.getpid(), signal.SIGBUS)

    monkeypatch.setattr(Images, "load", cut)
    command = pretraining(place, tmp_path / "run", workers=1)
    said = ends_with("a process that loads images was ended", PRETRAIN, monkeypatch, capsys, command)
    assert "it goes on at the beginning." in said


def test_our_own_mistakes_keep_their_traceback(place, tmp_path, monkeypatch):
    def wrong(self, row, augmentation, rng):
        raise KeyError("pixels")

    monkeypatch.setattr(Images, "load", wrong)
    with pytest.raises(KeyError):
        run(PRETRAIN, monkeypatch, *pretraining(place, tmp_path / "run"))
