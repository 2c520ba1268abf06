"""FSDP2: layers in shards, and the gradient, the files and the continued runs as without.

accelerate takes FSDP up on GPUs alone; `cpu_shards.py` gives processes of the CPU out for that. All else, the launch
file with it, is as users have it.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from test_gradient_cache import folder, launch, options  # noqa: F401 - a fixture
from test_killed import PATIENCE, end, family
from test_resume import CLASSIFY, COMMANDS, EVERY_STEP, PRETRAIN, inputs, outcome, pretraining
from tiny_models import VISION, pretraining_model
from tiny_training import SCRIPTS, run
from transformers import TrainingArguments

from training.checkpoints import MANIFEST
from training.classification_options import ClassificationOptions
from training.launching import refuse_launch, refuse_with_fsdp
from training.sharding import WEIGHTS, choose_units, refuse_statistics

FSDP = SCRIPTS.parent / "configs" / "accelerate" / "fsdp.yaml"
SHARDS = Path(__file__).with_name("cpu_shards.py")
TEXT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def launch_environment():
    """What `accelerate launch --config_file configs/accelerate/fsdp.yaml` tells its processes of FSDP."""
    given = launch_command_parser().parse_args(["--config_file", str(FSDP), "script.py"])
    told = prepare_multi_gpu_env(_validate_launch_command(given)[0])
    return {name: value for name, value in told.items() if name.startswith(("FSDP_", "ACCELERATE_USE_FSDP"))}


def started(script, command, log=None, processes=2, **changes):
    """The script under FSDP2 in so many processes on the CPU; changes: of the launch."""
    torchrun = [Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc_per_node", processes]
    environment = {
        **os.environ,
        **launch_environment(),
        **changes,
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    arguments = [str(word) for word in (*torchrun, SHARDS, SCRIPTS / script, *command)]
    return subprocess.Popen(arguments, stdout=log, stderr=log, env=environment)


def sharded(script, command, place, processes=2, **changes):
    """The same, to its end."""
    with (place / "log").open("w") as log:
        code = started(script, command, log, processes, **changes).wait(PATIENCE)
    assert code == 0, (place / "log").read_text()[-3000:]


def weights(output):
    return load_file(output / "model.safetensors")


def test_shards_change_nothing_about_a_run(folder, tmp_path, monkeypatch):  # noqa: F811
    """One process with the whole batch against two with their shards, in parts of one pair; the last batch not full."""
    assert run(PRETRAIN, monkeypatch, *options(folder, tmp_path / "one")) == 0
    command = options(folder, tmp_path / "shards", micro_batch=1, keep_checkpoints=True)
    sharded(PRETRAIN, command, tmp_path)
    one, shards = weights(tmp_path / "one"), weights(tmp_path / "shards")
    torch.testing.assert_close(shards, one, rtol=1e-4, atol=1e-5)
    (checkpoint,) = (tmp_path / "shards" / "checkpoints").iterdir()
    kept = torch.load(checkpoint / WEIGHTS, weights_only=True)
    assert kept["logit_scale"].shape == (1,)  # it was FSDP2 indeed, which has no scalars
    torch.testing.assert_close(weights(checkpoint), shards, rtol=0, atol=0)
    configs = [(place / "config.json").read_text() for place in (tmp_path / "shards", tmp_path / "one")]
    assert configs[0] == configs[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "processes, changes",
    [
        (2, {"micro_batch": 1}),
        (2, {}),  # each process's pairs at once
        (4, {"micro_batch": 1, "batch_size": 8}),
        (2, {"micro_batch": 1, "gradient_checkpointing": True}),
        (2, {"micro_batch": 1, "precision": "bf16"}),
        (2, {"micro_batch": 1, "mlm_weight": 0.0, "model": {"text_config": TEXT}}),
        (2, {"micro_batch": 1, "model": {"fusion_heads": 2, "learn_temperature": False}}),  # and dropout
        (2, {"micro_batch": 1, "frozen_text_layers": 2}),  # captions are read once
        (2, {"micro_batch": 1, "lora": ["text", "vision"], "vision_weights": "pretrained"}),
    ],
    ids=[
        "parts",
        "one-part",
        "four",
        "checkpointing",
        "bf16",
        "no-words",
        "dropout",
        "frozen-text",
        "adapters",
    ],
)
def test_shards_give_the_weights_of_whole_processes(processes, changes, folder, tmp_path, monkeypatch):  # noqa: F811
    if changes.get("vision_weights"):
        assert run(PRETRAIN, monkeypatch, *options(folder, tmp_path / "before")) == 0
        changes = {**changes, "vision_weights": str(tmp_path / "before")}
    whole = launch(processes, [SCRIPTS / PRETRAIN, *options(folder, tmp_path / "whole", **changes)])
    assert whole.returncode == 0, whole.stderr
    sharded(PRETRAIN, options(folder, tmp_path / "shards", **changes), tmp_path, processes)
    found, expected = weights(tmp_path / "shards"), weights(tmp_path / "whole")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_whole_model_may_be_one_unit(folder, tmp_path, monkeypatch):  # noqa: F811
    assert run(PRETRAIN, monkeypatch, *options(folder, tmp_path / "one")) == 0
    unit = {"FSDP_AUTO_WRAP_POLICY": "NO_WRAP", "FSDP_RESHARD_AFTER_FORWARD": "false"}
    sharded(PRETRAIN, options(folder, tmp_path / "shards", micro_batch=1), tmp_path, **unit)
    torch.testing.assert_close(weights(tmp_path / "shards"), weights(tmp_path / "one"), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_classifier_is_sharded_as_well(tmp_path):
    place, still = inputs(tmp_path), {"optim": "sgd", "use_cpu": True}
    commands = [
        COMMANDS[CLASSIFY](place, tmp_path / name, trainer=still, learning_rate=0.05, save_minutes=0)
        for name in ("whole", "shards")
    ]
    ended = launch(2, [SCRIPTS / CLASSIFY, *commands[0]])
    assert ended.returncode == 0, ended.stderr
    sharded(CLASSIFY, commands[1], tmp_path)
    found, expected = weights(tmp_path / "shards"), weights(tmp_path / "whole")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("script, changes", [(PRETRAIN, {"micro_batch": 1}), (CLASSIFY, {"dropout": 0.2})])
def test_a_sharded_run_that_is_killed_ends_as_one_that_is_not(script, changes, tmp_path):
    """With AdamW, dropout, accumulation and its moments in shards: the same to the bit."""
    place = inputs(tmp_path)
    sharded(script, COMMANDS[script](place, tmp_path / "whole", **changes, save_minutes=0), tmp_path)
    command = COMMANDS[script](place, tmp_path / "run", **changes, save_minutes=EVERY_STEP)
    for step in (2, 4):
        killed_after(step, script, command, tmp_path / "run")
    sharded(script, command, tmp_path)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def killed_after(step, script, command, output):
    """SIGKILL to all processes, when there is a whole checkpoint of this step or a later one."""
    process, until = started(script, command), time.monotonic() + PATIENCE
    while not any(
        int(path.parent.name.rpartition("-")[2]) >= step
        for path in (output / "checkpoints").glob(f"checkpoint-*/{MANIFEST}")
    ):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    end(family(process))
    process.wait(PATIENCE)


@pytest.mark.slow
def test_a_run_goes_on_in_the_form_it_was_begun_in(tmp_path):
    place = inputs(tmp_path)
    command = pretraining(place, tmp_path / "run")
    killed_after(2, PRETRAIN, command, tmp_path / "run")
    ended = launch(2, [SCRIPTS / PRETRAIN, *command])
    assert ended.returncode != 0
    assert "was written with FSDP; launch the run as it was begun, or give another --output." in ended.stderr
    assert f'{PRETRAIN}", line' not in ended.stderr, "torchrun has a traceback of its own, the script none"


# ---- what is refused


def test_the_launch_file_passes(monkeypatch):
    for name, value in launch_environment().items():
        monkeypatch.setenv(name, value)
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"
    refuse_launch({"use_cpu": True})


@pytest.mark.parametrize(
    "variable, value",
    [
        ("FSDP_VERSION", "1"),
        ("FSDP_VERSION", None),  # accelerate's default is the first version
        ("FSDP_STATE_DICT_TYPE", "SHARDED_STATE_DICT"),
        ("FSDP_AUTO_WRAP_POLICY", "SIZE_BASED_WRAP"),
        ("FSDP_OFFLOAD_PARAMS", "true"),
        ("FSDP_CPU_RAM_EFFICIENT_LOADING", "true"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true"),
        ("FSDP_IGNORED_MODULES", "fusion"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true"),
    ],
)
def test_another_form_of_fsdp_is_refused(variable, value, monkeypatch):
    for name, usual in launch_environment().items():
        monkeypatch.setenv(name, usual)
    monkeypatch.setenv(variable, value) if value else monkeypatch.delenv(variable)
    with pytest.raises(
        ValueError, match=f"launched with {variable.lower()} {value or 1}, but .* is expected"
    ):
        refuse_launch({})


def test_fsdp_on_the_cpu_is_refused_before_anything_is_written(folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    for name, usual in launch_environment().items():
        monkeypatch.setenv(name, usual)
    assert run(PRETRAIN, monkeypatch, *options(folder, tmp_path / "run")) == 2
    said = "error: FSDP needs several processes with a GPU each, but there are 1 on cpu; launch with another file"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_deepspeed_is_refused_before_anything_is_written(folder, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert run(PRETRAIN, monkeypatch, *options(folder, tmp_path / "run")) == 2
    assert "DeepSpeed, which makes a step in every backward pass" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "given, said", [({"deepspeed": "zero.json"}, "DeepSpeed"), ({"fsdp": True}, "has fsdp")]
)
def test_sharding_is_a_matter_of_the_launch(given, said):
    refuse_launch({"use_cpu": True})
    with pytest.raises(ValueError, match=said):
        refuse_launch(given)


@pytest.mark.parametrize(
    "fields, chosen, said",
    [
        ({"fp16": True}, {}, "fp16; take bf16"),
        ({}, {"compile": True}, "compile"),
        ({}, {"linear_probe": True}, "linear_probe"),
        ({"optim": "adafactor"}, {}, "adafactor; take adamw_torch"),
    ],
)
def test_what_was_not_proved_with_fsdp_is_refused(fields, chosen, said, tmp_path, monkeypatch):
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, optim="adamw_torch")
    refuse_with_fsdp(arguments, ClassificationOptions(compile=True))  # there is no FSDP
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setattr(TrainingArguments, "world_size", 2)
    monkeypatch.setattr(arguments.distributed_state, "distributed_type", "MULTI_GPU")
    refuse_with_fsdp(arguments, ClassificationOptions())
    for name, value in fields.items():
        setattr(arguments, name, value)
    with pytest.raises(ValueError, match=f"FSDP was not proved with {said}"):
        refuse_with_fsdp(arguments, ClassificationOptions(**chosen))


def plugin_of(monkeypatch, *names):
    """accelerate's plugin, as a launch with these layers makes it."""
    for name, usual in launch_environment().items():
        monkeypatch.setenv(name, usual)
    monkeypatch.setenv("FSDP_TRANSFORMER_CLS_TO_WRAP", ",".join(names))
    return FullyShardedDataParallelPlugin()


def test_layers_that_a_model_lacks_are_left_out(monkeypatch):
    plugin = plugin_of(monkeypatch, "ConvNeXtBlock", "BertLayer", "FusionBlock", "SwinBlock")
    choose_units(plugin, pretraining_model(mlm_weight=0.0))
    assert plugin.transformer_cls_names_to_wrap == ["ConvNeXtBlock", "BertLayer"]
    with pytest.raises(ValueError, match="the model has none of the layers SwinBlock; name the class"):
        choose_units(plugin_of(monkeypatch, "SwinBlock"), pretraining_model())


def test_batch_norms_are_refused():
    refuse_statistics(pretraining_model())
    arguments = {**VISION["model_args"], "norm_layer": "batchnorm2d", "conv_mlp": True}
    model = pretraining_model(vision_config={**VISION, "model_args": arguments})
    with pytest.raises(ValueError, match="batch norms, whose statistics would differ"):
        refuse_statistics(model)
