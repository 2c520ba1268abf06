"""A run that is stopped at any moment ends as one that was not: the same weights to the bit, the same results."""

import errno
import json
import os
import signal
from pathlib import Path

import pytest
from tiny_training import SMALL, SMALL_PAIRS, pairs, records, run, saved, text_encoder, words
from transformers import EarlyStoppingCallback

from training.callbacks import SetEpoch
from training.data import Images
from training.resumable import ResumableTrainer

PRETRAIN, CLASSIFY = "pretrain.py", "classify.py"
EVERY_STEP = 1e-9  # minutes between two checkpoints
# Three steps in each epoch, the last of them of one batch where the others are of two.
STEPS = {"batch_size": 2, "accumulation": 2, "epochs": 3, "save_minutes": EVERY_STEP}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("resume")
    text_encoder(root / "text")
    pairs(root / "pairs")
    records(root / "records")
    return root


def pretraining(place, output, **changes):
    given = {"pairs": place / "pairs", "text_weights": place / "text", "output": output}
    return words(**{**SMALL, **SMALL_PAIRS, **STEPS, **given, "cache": place / "cache", **changes})


def classification(place, output, **changes):
    given = {"data": place / "records", "encoder": None, "output": output, "folds": 3}
    given["image_size"] = [64, 48]
    return words(**{**SMALL, **STEPS, **given, "cache": place / "cache", **changes})


COMMANDS = {PRETRAIN: pretraining, CLASSIFY: classification}


def outcome(output):
    """The weights' bytes, and the results but for the time."""
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    return (output / "model.safetensors").read_bytes(), {**results, "seconds": 0}


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
        (PRETRAIN, (1, 2, 3, 5, 9), {}),
        (PRETRAIN, (4,), {"micro_batch": 1, "schedule": "cosine", "warmup": 0.2}),
        (PRETRAIN, (5,), {"lora": ["text", "vision"], "workers": 1, "vision_weights": "made"}),
        (PRETRAIN, (5,), {"frozen_text_layers": 2, "lora_dropout": 0.0}),
        (CLASSIFY, (2, 7), {"dropout": 0.2}),
    ],
    ids=["accumulation", "parts", "adapters", "frozen-text", "classification"],
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
