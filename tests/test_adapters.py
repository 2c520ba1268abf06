"""Low-rank adapters: what is trained, that they merge, open from their folder, and cost nothing of a run's promises."""

import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import open_adapters
import pytest
import torch
from open_adapters import outputs
from safetensors.torch import load_file, save_file
from tiny_models import VISION, pretraining_model, random_weights
from tiny_training import (
    SCRIPTS,
    SMALL,
    SMALL_PAIRS,
    VOCABULARY,
    before_training,
    bert_tokenizer,
    interrupt_at,
    pairs,
    records,
    run,
    text_encoder,
    words,
)
from torch import nn
from transformers import ModernBertConfig, ModernBertModel

from modeling_mamclip import MamClipForImageClassification, MamClipForPreTraining
from training.adapters import add_adapters, merge_adapters, write_adapter
from training.classification import classifier_model, classifier_processor
from training.classification_options import ClassificationOptions
from training.option_parser import option_words, parse_options
from training.pretraining import new_model
from training.pretraining_options import PretrainingOptions
from training.runs import finish_run, start_run

HERE = Path(__file__).parent
PRETRAIN, CLASSIFY = "pretrain.py", "classify.py"
# Layer scales of 1: with timm's 1e-6, whatever the blocks do would go unseen.
PLAIN = {**VISION["model_args"], "ls_init_value": 1.0}
NORMS = {**PLAIN, "norm_layer": "batchnorm2d", "conv_mlp": True}
ADAPTERS = {"lora_rank": 2, "lora_alpha": 4, "lora_dropout": 0.1, "learning_rate": 1e-2, "epochs": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What is public: text encoders and trunks; and what is trained on: pairs and records."""
    root = tmp_path_factory.mktemp("adapters")
    text_encoder(root / "text")
    modern_bert(root / "modern")
    for name, arguments in (("plain", PLAIN), ("norms", NORMS)):
        model = random_weights(pretraining_model(vision_config={**VISION, "model_args": arguments}), 4)
        trunk = model.vision_model.trunk.state_dict()
        save_file({key: tensor.contiguous() for key, tensor in trunk.items()}, root / f"{name}.safetensors")
    pairs(root / "pairs")
    records(root / "records")
    return root


def modern_bert(folder):
    special = {f"{name}_token_id": 2 for name in ("cls", "bos")} | {
        f"{name}_token_id": 3 for name in ("sep", "eos")
    }
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = ModernBertConfig(
        vocab_size=len(VOCABULARY), max_position_embeddings=16, pad_token_id=0, **special, **sizes
    )
    ModernBertModel(config).save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)


def pretraining(place, output, trunk="norms", **changes):
    given = {
        "pairs": place / "pairs",
        "text_weights": place / "text",
        "output": output,
        "cache": place / "cache",
    }
    given |= {
        "model_args": {"plain": PLAIN, "norms": NORMS}[trunk],
        "vision_weights": place / f"{trunk}.safetensors",
    }
    return words(**{**SMALL, **SMALL_PAIRS, **given, **ADAPTERS, **changes})


def classification(place, output, trunk="norms", **changes):
    given = {
        "data": place / "records",
        "encoder": None,
        "output": output,
        "cache": place / "cache",
        "folds": 3,
    }
    given |= {
        "model_args": {"plain": PLAIN, "norms": NORMS}[trunk],
        "vision_weights": place / f"{trunk}.safetensors",
    }
    return words(**{**SMALL, **given, **ADAPTERS, "lora": ["vision"], **changes})


COMMANDS = {PRETRAIN: pretraining, CLASSIFY: classification}


def finished(script, command):
    with pytest.MonkeyPatch.context() as patch:
        assert run(script, patch, *command) == 0


@pytest.fixture(scope="module")
def pretrained(place):
    """A pretraining run with adapters on both encoders."""
    finished(PRETRAIN, pretraining(place, place / "pretrained", lora=["text", "vision"]))
    return place / "pretrained"


@pytest.fixture(scope="module")
def classified(place, pretrained):
    """A classification run with adapters that started from it."""
    finished(CLASSIFY, classification(place, place / "classified", encoder=pretrained))
    return place / "classified"


@pytest.fixture(scope="module")
def started_from_a_trunk(place):
    """A classification run with adapters on a public trunk."""
    finished(CLASSIFY, classification(place, place / "from_trunk", trunk="plain"))
    return place / "from_trunk"


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, len(VOCABULARY), (4, 9), generator=generator)
    labels = torch.full_like(ids, -100)
    labels[0, 2], labels[2, 4], labels[3, 8] = 6, 7, 8
    pixels = torch.rand(4, 3, 64, 48, generator=generator)
    return {"input_ids": ids, "pixel_values": pixels, "mlm_labels": labels}


def weights(folder):
    return load_file(folder / "model.safetensors")


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def assert_same_run(found, expected):
    for name in ("model.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert (found / name).read_bytes() == (expected / name).read_bytes(), name
    times = {"seconds": 0, "training_seconds": 0, "speed": 0, "command": ""}
    one, other = ({**results(folder), **times} for folder in (found, expected))
    assert one == other


# What is trained


def tower(name):
    """The encoder that a tensor belongs to, or none: projections, fusion, heads and the temperature."""
    return "text" if ".encoder." in name else "vision" if ".trunk." in name else "none"


def matrices(model):
    kinds = (nn.Linear, nn.Conv2d)
    return {
        f"{name}.weight".replace(".base_layer", "")
        for name, module in model.named_modules()
        if isinstance(module, kinds)
        and getattr(module, "kernel_size", (1, 1)) == (1, 1)
        and ".lora_" not in name
    }


@pytest.mark.parametrize(
    "script, lora, trunk",
    [
        (PRETRAIN, ["text"], "norms"),
        (PRETRAIN, ["vision"], "norms"),
        (PRETRAIN, ["text", "vision"], "plain"),
        (CLASSIFY, ["vision"], "norms"),
        (CLASSIFY, ["vision"], "plain"),
    ],
)
def test_an_adapted_encoder_changes_in_its_matrices_alone_and_all_else_as_ever(
    script, lora, trunk, place, tmp_path, monkeypatch
):
    """Also statistics of batch norms, which are no parameters, stay with the encoder that they belong to."""
    command = COMMANDS[script]
    model = before_training(
        script, monkeypatch, *command(place, tmp_path / "first", trunk, lora=lora, epochs=1)
    ).model
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in model.named_parameters() if ".lora_" in n or tower(n) not in lora}
    before = {n.replace(".base_layer", ""): t for n, t in model.state_dict().items() if ".lora_" not in n}

    finished(script, command(place, tmp_path / "second", trunk, lora=lora, epochs=1))
    after = weights(tmp_path / "second")
    assert after.keys() == before.keys()
    for name, tensor in after.items():
        stays = tower(name) in lora and name not in matrices(model)
        assert torch.equal(tensor, before[name]) == stays, name


def test_adapters_change_nothing_before_they_have_learned(place, inputs):
    """B starts as zeros, so training starts from the public model."""
    options = parse_options(PretrainingOptions, pretraining(place, "out", lora=["text", "vision"]))
    torch.manual_seed(0)
    plain = new_model(replace(options, lora=[]))
    torch.manual_seed(0)
    adapted = new_model(options)
    found, expected = outputs(adapted, inputs), outputs(plain, inputs)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def adapted_model(place, script, **changes):
    """A model with adapters that say something."""
    kind = PretrainingOptions if script == PRETRAIN else ClassificationOptions
    options = parse_options(kind, COMMANDS[script](place, "out", **changes))
    torch.manual_seed(1)
    model = (
        new_model(options) if script == PRETRAIN else classifier_model(options, classifier_processor(options))
    )
    return random_weights(model, 7).eval()


@pytest.mark.parametrize(
    "script, changes",
    [
        (PRETRAIN, {"lora": ["text", "vision"]}),
        (PRETRAIN, {"lora": ["text", "vision"], "trunk": "plain"}),
        (PRETRAIN, {"lora": ["text"], "text_weights": "modern"}),
        (CLASSIFY, {}),
    ],
)
def test_the_merged_model_is_the_adapted_one(script, changes, place, inputs):
    if "text_weights" in changes:
        changes = {**changes, "text_weights": place / changes["text_weights"]}
    model = adapted_model(place, script, **changes)
    adapted = outputs(model, inputs)
    silent = silenced(model, inputs)
    merge_adapters(model)
    merged = outputs(model, inputs)
    promised = {"image_embeds", "text_embeds", "mlm_logits", "contrastive_loss"}
    assert set(merged) == (promised if script == PRETRAIN else {"logits", "density_logits"})
    for name in merged:
        torch.testing.assert_close(merged[name], adapted[name], atol=1e-5, rtol=0)
        reads_text_alone = name == "image_embeds" and changes.get("lora") == ["text"]
        assert torch.allclose(merged[name], silent[name], atol=1e-3) == reads_text_alone, name
    assert set(model.state_dict()) == set(type(model)(model.config).state_dict())


def silenced(model, inputs):
    """The outputs with all adapters switched off."""
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    for layer in layers:
        layer.enable_adapters(False)
    found = outputs(model, inputs)
    for layer in layers:
        layer.enable_adapters(True)
    return found


def test_modernbert_is_adapted_in_its_fused_matrices(place, tmp_path, monkeypatch):
    command = pretraining(place, tmp_path / "run", text_weights=place / "modern", lora=["text"], epochs=1)
    model = before_training(PRETRAIN, monkeypatch, *command).model
    adapted = {name.rpartition(".")[2] for name, m in model.named_modules() if hasattr(m, "lora_A")}
    assert adapted == {"Wqkv", "Wi", "Wo"}
    finished(PRETRAIN, command)
    names = load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    assert "base_model.model.text_model.encoder.layers.1.attn.Wqkv.lora_B.weight" in names


# The folder of the adapter


def test_the_folder_holds_what_was_trained_and_no_more(pretrained, classified):
    found = load_file(classified / "adapter" / "adapter_model.safetensors")
    whole = {"birads_head", "density_head", "vision_model.projection"}
    config = json.loads((classified / "adapter" / "adapter_config.json").read_text())
    assert set(config["modules_to_save"]) == whole and config["base_model_name_or_path"] == "pretrained"
    trained = {f"base_model.model.{name}.{kind}" for name in whole for kind in ("weight", "bias")}
    assert trained < set(found) and all(".lora_" in name for name in set(found) - trained)
    assert sum(t.numel() for t in found.values()) == results(classified)["lora"]["trained_parameters"]
    assert "base_model.model.logit_scale" in load_file(pretrained / "adapter" / "adapter_model.safetensors")


def test_every_run_says_what_was_adapted(pretrained, classified, started_from_a_trunk):
    facts = results(pretrained)["lora"]
    assert facts["encoders"] == ["text", "vision"] and (facts["rank"], facts["alpha"], facts["dropout"]) == (
        2,
        4,
        0.1,
    )
    adapters = [
        t for n, t in load_file(pretrained / "adapter/adapter_model.safetensors").items() if ".lora_" in n
    ]
    assert facts["adapter_parameters"] == sum(t.numel() for t in adapters)
    said = MamClipForImageClassification.from_pretrained(classified).config.provenance
    assert said["pretraining_lora"] == "rank 2, alpha 4, on text and vision"
    assert said["classification_lora"] == "rank 2, alpha 4, on vision"
    assert (
        "pretraining_lora" not in json.loads((started_from_a_trunk / "config.json").read_text())["provenance"]
    )


def received(place, adapter, folder, *needed):
    """A folder with an adapter and what its README asks for, as another user has it."""
    folder.mkdir(parents=True)
    (folder / "adapter").symlink_to(adapter / "adapter")
    for name in needed:
        (folder / Path(name).name).symlink_to(place / name)
    return folder


@pytest.fixture(scope="module")
def opened(place, pretrained, classified, started_from_a_trunk, inputs):
    """Folders in which a fresh process has opened adapters by their READMEs, the first beside a release."""
    root = place / "opened"
    released = received(place, classified, root / "released")
    with pytest.MonkeyPatch.context() as patch:
        given = {"pretrained": pretrained, "classifier": classified, "output": released / "mamclip"}
        assert run("export_release.py", patch, *words(**given)) == 0
    (released / "pretrained").symlink_to("mamclip")  # the name that the README gives the base
    folders = [
        received(place, pretrained, root / "pretrained", "text", "norms.safetensors"),
        received(place, classified, root / "classified", "pretrained"),
        received(place, started_from_a_trunk, root / "from_trunk", "plain.safetensors"),
    ]
    save_file(inputs, root / "inputs.safetensors")
    program = "\n".join((HERE / name).read_text() for name in ("without_our_packages.py", "open_adapters.py"))
    arguments = [root / "inputs.safetensors", released, HERE.parent, *folders]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(root / "home"), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def assert_outputs(file, model, inputs):
    found, expected = load_file(file), outputs(model, inputs)
    assert found.keys() <= expected.keys() and {"image_embeds", "logits"} & found.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"lora": ["text"]},
        {"lora": ["vision"], "frozen_text_layers": 1},
        {"lora": ["vision"], "trunk": "plain"},
    ],
)
def test_an_adapter_brings_whole_modules_with_their_statistics(changes, place, inputs, tmp_path, monkeypatch):
    """What was trained in full beside it: an encoder, or the upper layers of one, and the temperature."""
    model = adapted_model(place, PRETRAIN, **changes)
    for name, buffer in model.named_buffers():
        if "running" in name and changes["lora"] == ["text"]:
            buffer += 0.5
    expected = outputs(model, inputs)
    options = parse_options(PretrainingOptions, pretraining(place, "out", **changes))
    (tmp_path / "run").mkdir()
    write_adapter(model, tmp_path / "run" / "adapter", options)
    trunk = f"{changes.get('trunk', 'norms')}.safetensors"
    monkeypatch.chdir(received(place, tmp_path / "run", tmp_path / "user", "text", trunk))
    found = outputs(open_adapters.opened(), inputs)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=0)


def test_an_adapter_opens_on_public_weights_by_its_readme(
    opened, pretrained, classified, started_from_a_trunk, inputs
):
    for name, folder, kind in (
        ("pretrained", pretrained, MamClipForPreTraining),
        ("classified", classified, MamClipForImageClassification),
        ("from_trunk", started_from_a_trunk, MamClipForImageClassification),
    ):
        assert_outputs(opened / name / "adapted.safetensors", kind.from_pretrained(folder), inputs)


def test_a_classifier_s_adapter_opens_on_a_release_without_this_project(opened, classified, inputs):
    expected = MamClipForImageClassification.from_pretrained(classified)
    assert_outputs(opened / "released" / "adapted.safetensors", expected, inputs)


def test_merged_models_make_a_release(opened, pretrained, classified, inputs):
    for auto, folder, kind in (
        ("AutoModel", pretrained, MamClipForPreTraining),
        ("AutoModelForImageClassification", classified, MamClipForImageClassification),
    ):
        assert_outputs(opened / "released" / f"{auto}.safetensors", kind.from_pretrained(folder), inputs)
    card = (opened / "released" / "mamclip" / "README.md").read_text(encoding="utf-8")
    assert "- classification lora: rank 2, alpha 4, on vision" in card


# What any run promises


def test_an_interrupted_pretraining_ends_as_an_uninterrupted_one(place, pretrained, tmp_path, monkeypatch):
    command = pretraining(place, tmp_path / "run", lora=["text", "vision"])
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert run(PRETRAIN, patch, *command) == 130
    assert run(PRETRAIN, monkeypatch, *command) == 0
    assert_same_run(tmp_path / "run", pretrained)


def test_an_interrupted_classification_ends_as_an_uninterrupted_one(
    place, pretrained, classified, tmp_path, monkeypatch
):
    command = classification(place, tmp_path / "run", encoder=pretrained)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert run(CLASSIFY, patch, *command) == 130
    assert run(CLASSIFY, monkeypatch, *command) == 0
    assert_same_run(tmp_path / "run", classified)


def test_gradient_checkpointing_changes_no_result(place, pretrained, tmp_path):
    finished(
        PRETRAIN, pretraining(place, tmp_path / "run", lora=["text", "vision"], gradient_checkpointing=True)
    )
    found, expected = weights(tmp_path / "run"), weights(pretrained)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-6, rtol=0)


def test_the_best_checkpoint_is_what_is_merged(place, tmp_path):
    """With so large a step, the best epoch is not the last one."""
    command = pretraining(
        place, tmp_path / "run", lora=["text"], learning_rate=0.3, epochs=3, keep_checkpoints=True
    )
    finished(PRETRAIN, command)
    found = results(tmp_path / "run")
    losses = [row["eval_loss"] for row in found["history"]]
    assert found["best_validation"] == min(losses) and found["best_epoch"] < 3
    checkpoints = tmp_path / "run" / "checkpoints"
    (best,) = [folder for folder in checkpoints.iterdir() if f"-{found['best_epoch'] * 2}" in folder.name]
    model = new_model(parse_options(PretrainingOptions, command))
    model.load_state_dict(weights(best))
    merge_adapters(model)
    merged = weights(tmp_path / "run")
    assert all(torch.equal(tensor, merged[name]) for name, tensor in model.state_dict().items())


def test_accumulated_batches_make_the_step_of_one_large_batch(place, tmp_path):
    """Shown by an optimizer that is linear in the gradient; batch norms rest, so that batches do not meet in them."""
    arguments = {"train_samples": 8, "epochs": 1, "learning_rate": 0.1, "lora_dropout": 0.0}
    arguments |= {"trainer": {"use_cpu": True, "optim": "sgd", "max_grad_norm": 100}}
    for name, (size, batches) in (("one", (8, 1)), ("two", (4, 2))):
        finished(
            CLASSIFY,
            classification(place, tmp_path / name, batch_size=size, accumulation=batches, **arguments),
        )
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


@pytest.mark.parametrize("script", [PRETRAIN, CLASSIFY])
def test_trainer_knows_that_the_loss_is_a_mean(script, place, tmp_path, monkeypatch):
    command = COMMANDS[script](place, tmp_path / "run", lora=["vision"])
    assert before_training(script, monkeypatch, *command).model_accepts_loss_kwargs is False


@pytest.mark.parametrize(
    "script, lora, rate, own",
    [
        (PRETRAIN, ["text", "vision"], "text_learning_rate", "text_model.encoder."),
        (CLASSIFY, ["vision"], "encoder_learning_rate", "classifier_vision_model."),
    ],
)
def test_adapters_have_their_encoder_s_learning_rate_and_decay(
    script, lora, rate, own, place, tmp_path, monkeypatch
):
    changes = {rate: 0.5, "lora": lora, "weight_decay": 0.25}
    trainer = before_training(script, monkeypatch, *COMMANDS[script](place, tmp_path / "run", **changes))
    groups = trainer.create_optimizer().param_groups
    given = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    adapters = {n: p for n, p in trainer.model.named_parameters() if ".lora_" in n}
    assert {name.startswith(own) for name in adapters} == ({True, False} if script == PRETRAIN else {True})
    for name, parameter in adapters.items():
        assert given[id(parameter)] == (0.5 if name.startswith(own) else 1e-2, 0.25), name
    assert len(given) == sum(p.requires_grad for p in trainer.model.parameters())


def test_a_folder_that_an_interrupted_end_left_behind_is_replaced(tmp_path):
    options = PretrainingOptions(output=str(tmp_path / "run"))

    def save(folder):
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights").write_text("new")

    start_run(options)
    (tmp_path / "run" / "adapter").mkdir()
    (tmp_path / "run" / "adapter" / "old").write_text("old")
    finish_run(options, save, {})
    assert [file.read_text() for file in (tmp_path / "run" / "adapter").iterdir()] == ["new"]


# Options


def test_a_file_names_encoders_and_the_command_line_undoes_it(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("lora: [text, vision]\nlora_rank: 4\n")
    options = parse_options(PretrainingOptions, ["--config", str(file), "--lora-alpha", "32"])
    assert (options.lora, options.lora_rank, options.lora_alpha) == (["text", "vision"], 4, 32)
    assert parse_options(PretrainingOptions, ["--config", str(file), "--lora", "none"]).lora == []
    file.write_text("lora: none")
    assert parse_options(PretrainingOptions, ["--config", str(file)]).lora == []


@pytest.mark.parametrize(
    "kind, changes, said",
    [
        (
            PretrainingOptions,
            {"lora": ["txt"]},
            "lora is txt; expected text or vision, each at most once, or none.",
        ),
        (
            PretrainingOptions,
            {"lora": ["text", "text"]},
            "lora is text text; expected text or vision, each at most",
        ),
        (PretrainingOptions, {"lora": ["none", "text"]}, "lora is none text; expected text or vision"),
        (PretrainingOptions, {"lora_rank": 0}, "lora_rank is 0; expected 1 or more."),
        (PretrainingOptions, {"lora_alpha": 0}, "lora_alpha is 0; expected 1 or more."),
        (
            PretrainingOptions,
            {"lora_dropout": 1.0},
            "lora_dropout is 1.0; expected a fraction from 0 to below 1.",
        ),
        (PretrainingOptions, {"lora": ["text"], "frozen_text_layers": 1}, "leave out frozen_text_layers"),
        (PretrainingOptions, {"lora": ["vision"], "vision_weights": None}, "they would stay random"),
        (
            ClassificationOptions,
            {"lora": ["text"]},
            "lora is text; expected vision, each at most once, or none.",
        ),
        (ClassificationOptions, {"lora": ["vision"], "linear_probe": True}, "choose one of them"),
        (
            ClassificationOptions,
            {"lora": ["vision"], "encoder": None, "vision_weights": None},
            "would stay random",
        ),
    ],
)
def test_what_cannot_be_adapted_is_said(kind, changes, said):
    with pytest.raises(ValueError, match=said):
        kind(**changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"lora": ["vision"], "frozen_text_layers": 2},
        {"lora": ["text"], "vision_weights": None},
        {"lora": ["text", "vision"]},
    ],
)
def test_what_can_be_adapted_is_taken(changes):
    PretrainingOptions(**changes).check()


def test_an_encoder_without_a_matrix_is_refused():
    model = pretraining_model()
    model.vision_model.trunk = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    with pytest.raises(ValueError, match="the vision encoder has no linear layer that could be adapted"):
        add_adapters(model, PretrainingOptions(lora=["vision"]))


@pytest.mark.parametrize("script", [PRETRAIN, CLASSIFY])
def test_a_missing_peft_is_one_sentence_and_matters_to_no_other_run(
    script, place, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "peft", None)  # what an import of a missing package finds
    assert run(script, monkeypatch, *COMMANDS[script](place, tmp_path / "run", lora=["vision"])) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["error: lora needs the package peft, which is not installed; pip install peft."]
    assert not (tmp_path / "run").exists()
    assert run(script, monkeypatch, *COMMANDS[script](place, tmp_path / "run", lora="none", epochs=1)) == 0
    assert "lora" not in results(tmp_path / "run") and not (tmp_path / "run" / "adapter").exists()


def test_a_learning_curve_hands_the_options_on_and_tells(place, pretrained, tmp_path, monkeypatch):
    options = ClassificationOptions(lora=["vision"], lora_rank=4, encoder="a")
    assert parse_options(ClassificationOptions, option_words(options)) == options
    given = {
        "data": place / "records",
        "encoders": [pretrained],
        "train_samples": 12,
        "output": tmp_path / "curve",
    }
    given |= {"folds": 3, "lora": ["vision"], "lora_rank": 2, "epochs": 1, "cache": place / "cache"}
    shared = {name: SMALL[name] for name in ("batch_size", "workers", "trainer")}
    monkeypatch.setattr(sys, "argv", ["learning_curve.py", *words(**shared, **given)])
    runpy.run_path(str(SCRIPTS / "learning_curve.py"), run_name="__main__")
    (told,) = results(tmp_path / "curve")["runs"]
    assert told["lora"]["encoders"] == ["vision"] and told["lora"]["rank"] == 2
