"""What a run shows and logs of itself, and the rules of its optimizer, schedule, precision and memory."""

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.state import AcceleratorState
from test_gradient_cache import PRETRAIN, batch, folder, launch, model_with, options  # noqa: F401
from tiny_models import pretraining_model
from tiny_training import SCRIPTS, before_training, run
from torch import nn

from evaluation.retrieval import retrieval_metrics
from training.callbacks import epoch_history
from training.cli import one_sentence
from training.compilation import compile_parts
from training.option_parser import parse_options
from training.pretraining_options import PretrainingOptions
from training.progress import Meter, Progress, peak_memory
from training.trainers import training_arguments
from training.validation import mean_recall

LAUNCHES = SCRIPTS.parent / "configs" / "accelerate"
PROCESSES = {"one_gpu": (1, 1), "eight_gpus": (8, 1), "two_nodes": (16, 2), "fsdp": (8, 1)}
ADAMW = {"trainer": {"use_cpu": True}}


def results(place):
    return json.loads((place / "results.json").read_text(encoding="utf-8"))


# ---- the meter and the bar


def test_a_meter_counts_training_alone_and_gives_means_of_what_was_noted(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("training.progress.time.monotonic", lambda: now[0])
    meter = Meter()
    meter.start()
    now[0], meter.images = 4.0, 20
    meter.stop()
    now[0] = 100.0  # validation
    meter.note(loss=torch.tensor(1.0), other=None)
    meter.note(loss=torch.tensor(2.0))
    found = meter.take()
    assert (found["loss"], found["images_per_second"]) == (1.5, 5.0) and "other" not in found
    meter.start()
    now[0], meter.images = 102.0, 40
    assert (meter.rate(), meter.summary()["images_per_second"]) == (10.0, 6.67)
    assert "loss" not in meter.take()


def test_peak_memory_is_that_of_the_system():
    rows = Path("/proc/self/status").read_text().splitlines()
    line = next(row for row in rows if row.startswith("VmHWM"))
    assert peak_memory() == pytest.approx(int(line.split()[1]) / 2**20, rel=0.05)


def shown(monkeypatch, terminal, first=0, steps=6):
    """What Progress writes of steps that take ten seconds each, without and with a terminal."""
    now = [0.0]
    monkeypatch.setattr("training.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    bar = Progress(Meter(), lambda: 1.25)
    args = SimpleNamespace(num_train_epochs=2)
    state = SimpleNamespace(global_step=first, max_steps=first + 20, epoch=0.0, is_world_process_zero=True)
    bar.on_train_begin(args, state, None)
    for step in range(1, steps + 1):
        now[0] += 10.0
        state.global_step, state.epoch = first + step, (first + step) / 10
        bar.on_step_end(args, state, None)
    left = bar.seconds_left(state)
    bar.on_train_end(args, state, None)
    return left


@pytest.mark.parametrize("first", [0, 8])
def test_the_time_left_goes_by_the_steps_of_this_session(first, monkeypatch, capsys):
    assert shown(monkeypatch, True, first) == 140
    text = capsys.readouterr().err
    assert f"step {first + 6}/{first + 20}" in text and "loss 1.250" in text and "0:02:20 left" in text
    assert "epoch 1/2" in text if first == 0 else "epoch 2/2" in text


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch, capsys):
    shown(monkeypatch, False, steps=20)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("epoch 2/2  step 12/20  loss 1.250  0.0 images/s")


def test_other_processes_show_nothing(monkeypatch, capsys):
    bar = Progress(Meter(), lambda: 1.0)
    state = SimpleNamespace(global_step=0, max_steps=1, epoch=0.0, is_world_process_zero=False)
    bar.on_train_begin(None, state, None)
    state.global_step, state.epoch = 1, 1.0
    bar.on_step_end(None, state, None)
    assert capsys.readouterr() == ("", "")


def test_an_epoch_s_loss_is_the_mean_over_its_steps():
    log = [
        {"epoch": 0.5, "step": 10, "loss": 4.0, "learning_rate": 1.0},
        {"epoch": 1.0, "step": 15, "loss": 1.0, "learning_rate": 0.5},
        {"epoch": 1.0, "step": 15, "eval_loss": 2.0},
        {"epoch": 1.25, "step": 20, "loss": 3.0, "learning_rate": 0.2},
    ]
    first, second = epoch_history(log)
    assert first == {"epoch": 1, "train_loss": 3.0, "learning_rate": 0.5, "eval_loss": 2.0}
    assert second == {"epoch": 2, "train_loss": 3.0, "learning_rate": 0.2}


# ---- whole runs


def test_both_parts_of_the_loss_are_logged_whatever_way_they_were_made(folder, tmp_path, monkeypatch):  # noqa: F811
    logs = []
    for size in (0, 1):
        given = options(folder, tmp_path / str(size), micro_batch=size, text_learning_rate=0.01)
        trainer = before_training(PRETRAIN, monkeypatch, *given)
        trainer.train()
        logs.append(next(row for row in trainer.state.log_history if "loss" in row))
        assert trainer.meter.images == len(trainer.train_dataset)
    for row in logs:
        assert row["loss"] == pytest.approx(row["contrastive_loss"] + 0.5 * row["mlm_loss"], rel=0.2)
        assert row["scale"] == pytest.approx(1 / 0.07, rel=0.2) and row["learning_rate_text"] == 0.01
        assert row["grad_norm"] > 0 and row["images_per_second"] > 0 and row["peak_memory_gib"] > 0
    for name in ("loss", "contrastive_loss", "mlm_loss", "scale"):
        assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-4)


def test_recall_chooses_the_checkpoint_and_speed_is_in_the_results(folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    given = options(folder, tmp_path / "run", best="recall", epochs=3, **ADAMW)
    assert run(PRETRAIN, monkeypatch, *given) == 0
    found = results(tmp_path / "run")
    recalls = [row["eval_recall"] for row in found["history"]]
    assert found["best_epoch"] == 1 + int(np.argmax(recalls)) and found["best_validation"] == max(recalls)
    assert (
        set(found["speed"]) == {"images_per_second", "peak_memory_gib"} and min(found["speed"].values()) > 0
    )
    assert f"recall {recalls[0]:.3f}" in capsys.readouterr().out.splitlines()[0]


def test_mean_recall_is_over_both_directions():
    eye = torch.eye(30)
    assert mean_recall(retrieval_metrics(eye, eye, list(range(30)))) == 1
    found = retrieval_metrics(eye, eye.roll(1, 0), list(range(30)))
    values = [found[way][f"recall@{k}"] for way in found for k in (1, 5, 10)]
    assert mean_recall(found) == pytest.approx(np.mean(values)) and mean_recall(found) < 0.5


@pytest.mark.slow
def test_processes_measure_validation_as_one_does(folder, tmp_path, monkeypatch):  # noqa: F811
    """With a learning rate of almost nothing, and a number of pairs that two processes cannot share."""
    still = {"best": "recall", "learning_rate": 1e-12, "validation_fraction": 0.25}
    assert run(PRETRAIN, monkeypatch, *options(folder, tmp_path / "one", **still)) == 0
    ended = launch(2, options(folder, tmp_path / "two", **still))
    assert ended.returncode == 0, ended.stderr
    one, two = (results(tmp_path / name) for name in ("one", "two"))
    assert one["n_validation"] % 8
    for name in ("eval_loss", "eval_contrastive_loss", "eval_mlm_loss", "eval_recall"):
        assert two["history"][0][name] == pytest.approx(one["history"][0][name], rel=1e-5), name
    assert ended.stdout.count("epoch 1/1") == 1


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="the package tensorboard is not installed")
def test_tensorboard_has_the_curves(folder, tmp_path, monkeypatch):  # noqa: F811
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR")
    given = options(folder, tmp_path / "run", report_to="tensorboard", vision_learning_rate=0.02)
    assert run(PRETRAIN, monkeypatch, *given) == 0
    events = EventAccumulator(str(tmp_path / "run" / "logs")).Reload()
    names = (
        "loss",
        "contrastive_loss",
        "mlm_loss",
        "learning_rate",
        "learning_rate_vision",
        "grad_norm",
        "scale",
    )
    names += ("images_per_second", "peak_memory_gib")
    assert {f"train/{name}" for name in names} | {"eval/loss"} <= set(events.Tags()["scalars"])


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_missing_package_is_one_sentence(name, monkeypatch):
    monkeypatch.setattr("training.options.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=f"which is not installed; pip install {name}"):
        parse_options(PretrainingOptions, ["--report_to", name])
    with pytest.raises(
        ValueError, match="report_to is mlflow; expected tensorboard, trackio, wandb, or none"
    ):
        parse_options(PretrainingOptions, ["--report_to", "mlflow"])
    assert parse_options(PretrainingOptions, ["--report_to", "none"]).report_to == []


def test_every_new_field_is_one_in_a_file_and_on_the_command_line(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(
        "compile: true\nbest: recall\nstart_from: folder\nvision_learning_rate: 0.5\nreport_to: none\n"
    )
    words = ["--compile", "--best", "recall", "--start-from", "folder", "--vision-learning-rate", "0.5"]
    for given in (["--config", str(file)], words):
        found = parse_options(PretrainingOptions, given)
        assert found.compile and found.best == "recall" and found.start_from == "folder"
        assert found.vision_learning_rate == 0.5 and found.report_to == []


# ---- optimizer and schedule


def test_only_matrices_and_kernels_decay(folder, tmp_path, monkeypatch):  # noqa: F811
    trainer = before_training(PRETRAIN, monkeypatch, *options(folder, tmp_path / "run", weight_decay=0.1))
    groups = trainer.create_optimizer().param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = dict(trainer.model.named_parameters())
    assert len(decays) == len(named)
    norms = {id(p) for m in trainer.model.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
    left = {name for name, parameter in named.items() if decays[id(parameter)] == 0}
    still = ("bias", "gamma", "position_embeddings", "image_token", "logit_scale")
    expected = {name for name, p in named.items() if id(p) in norms or any(word in name for word in still)}
    assert left == expected and len(norms) > 20
    for word in still:
        assert any(word in name for name in left), word
    assert all(named[name].ndim >= 2 for name in set(named) - left) and len(left) < len(named)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_rates_follow_their_closed_form(schedule, folder, tmp_path, monkeypatch):  # noqa: F811
    given = {"schedule": schedule, "warmup": 0.25, "text_learning_rate": 0.3, "learning_rate": 0.1}
    trainer = before_training(PRETRAIN, monkeypatch, *options(folder, tmp_path / "run", **given))
    trainer.create_optimizer_and_scheduler(num_training_steps=40)
    for step in range(40):
        past = (step - 10) / 30
        form = {"constant": 1.0, "linear": 1 - past, "cosine": (1 + math.cos(math.pi * past)) / 2}[schedule]
        factor = step / 10 if step < 10 else form
        for group in trainer.optimizer.param_groups:
            assert group["lr"] == pytest.approx(factor * group["initial_lr"])
        assert trainer._part_rates() == {"learning_rate_text": pytest.approx(0.3 * factor)}
        trainer.optimizer.step()
        trainer.lr_scheduler.step()


# ---- memory, precision, compilation


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_recomputed_activations_give_the_same_gradients_in_both_encoders():
    found = []
    for recompute in (False, True):
        model, runs = model_with(), []
        model.vision_model.trunk.stages[0].blocks[0].conv_dw.register_forward_hook(
            lambda *_, runs=runs: runs.append("vision")
        )
        model.text_model.encoder.encoder.layer[0].intermediate.register_forward_hook(
            lambda *_, runs=runs: runs.append("text")
        )
        if recompute:
            model.activation_checkpointing_enable()
        model(**batch()).loss.backward()
        found.append(gradients(model))
        assert runs.count("vision") == 1 + recompute
        assert runs.count("text") == 2 * (1 + recompute)  # whole captions, and masked ones
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


@pytest.fixture
def own_precision():
    """accelerate keeps a process's precision, for whoever comes next."""
    yield
    AcceleratorState._reset_state()


def test_bf16_trains_with_losses_in_float32(own_precision, folder, tmp_path, monkeypatch):  # noqa: F811
    with torch.autocast("cpu", torch.bfloat16):
        output = model_with()(**batch())
    kinds = (output.loss.dtype, output.contrastive_loss.dtype, output.mlm_loss.dtype, output.scale.dtype)
    assert set(kinds) == {torch.float32} and output.image_embeds.dtype == torch.bfloat16
    losses = {}
    for precision in ("fp32", "bf16"):
        given = options(folder, tmp_path / precision, precision=precision, micro_batch=2, epochs=2, **ADAMW)
        assert run(PRETRAIN, monkeypatch, *given) == 0
        losses[precision] = [row["train_loss"] for row in results(tmp_path / precision)["history"]]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)


def test_bf16_needs_no_gpu(own_precision, tmp_path):
    given = PretrainingOptions(output=str(tmp_path), precision="bf16")
    found = training_arguments(given, best="eval_loss", greater_is_better=False)
    assert found.bf16 and found.use_cpu == (not torch.accelerator.is_available())


@pytest.mark.slow
def test_compiled_parts_give_the_same_gradients_under_the_same_names():
    plain, compiled = model_with(), model_with()
    compile_parts(compiled)
    for length in (9, 8, 7):
        given = {k: v[:, :length] if v.shape[1:] == (9,) else v for k, v in batch().items()}
        losses = [model(**given).loss for model in (plain, compiled)]
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
        for loss in losses:
            loss.backward()
    torch.testing.assert_close(gradients(compiled), gradients(plain), rtol=1e-3, atol=1e-4)
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_without_a_compiler_compile_is_refused(monkeypatch):
    monkeypatch.setattr("training.compilation.shutil.which", lambda _: None)
    with pytest.raises(ValueError, match=r"compile needs a C\+\+ compiler") as caught:
        compile_parts(pretraining_model())
    assert one_sentence(caught.value).count(". ") == 0


# ---- launches


@pytest.mark.parametrize("file", sorted(LAUNCHES.glob("*.yaml")), ids=lambda file: file.name)
def test_every_launch_file_is_read_by_accelerate_and_explained(file):
    found = load_config_from_file(str(file))
    assert (found.num_processes, found.num_machines) == PROCESSES[file.stem]
    assert found.mixed_precision == "bf16" and not found.use_cpu
    assert file.name in (LAUNCHES / "README.md").read_text(encoding="utf-8")
