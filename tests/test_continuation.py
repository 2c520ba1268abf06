"""Pretraining goes on from a whole model: a former run's, or the authors' published one after its conversion."""

import json
import runpy
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import pretraining_model, processor
from tiny_training import SCRIPTS, before_training, pairs, run, words

from modeling_mamclip import MamClipForPreTraining
from training.continuation import with_start
from training.option_parser import parse_options
from training.pretraining_options import PretrainingOptions

GOLDEN = Path(__file__).resolve().parent / "golden" / "published_tiny"
PRETRAIN = "pretrain.py"
SHORT = {"epochs": 1, "batch_size": 8, "workers": 0, "trainer": {"use_cpu": True}}
PARTS = {"validation_fraction": 0.3, "held_out_fraction": 0.2}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pairs; a converted published model, for the small images of a test; and a model of our own."""
    root = tmp_path_factory.mktemp("continuation")
    pairs(root / "pairs")
    text = root / "config.json"
    text.write_text(json.dumps(json.loads((GOLDEN / "inputs.json").read_text())["text_config"]))
    given = ["--checkpoint", GOLDEN / "pretrain_tiny.ckpt", "--tokenizer", GOLDEN / "tokenizer"]
    given += ["--text-config", text, "--output", root / "published"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["convert_published.py", *map(str, given)])
        runpy.run_path(str(SCRIPTS / "convert_published.py"), run_name="__main__")
    _smaller_images(root / "published" / "processor_config.json")
    pretraining_model().save_pretrained(root / "own")
    processor().save_pretrained(root / "own")
    return root


def _smaller_images(file):
    content = json.loads(file.read_text())
    content["image_processor"]["size"] = {"height": 64, "width": 48}
    file.write_text(json.dumps(content))


def command(place, start, output, **changes):
    given = {"pairs": place / "pairs", "start_from": place / start, "output": output}
    return words(**{**SHORT, **PARTS, **given, "cache": place / "cache", **changes})


@pytest.mark.parametrize("start", ["published", "own"])
def test_every_weight_and_choice_of_the_folder_is_taken_over(start, place, tmp_path, monkeypatch):
    trainer = before_training(PRETRAIN, monkeypatch, *command(place, start, tmp_path / "run"))
    expected = MamClipForPreTraining.from_pretrained(place / start)
    torch.testing.assert_close(trainer.model.state_dict(), expected.state_dict(), rtol=0, atol=0)
    found, before = trainer.model.config, expected.config
    for name in (
        "attend_to_padding",
        "mlm_vocab_size",
        "logit_scale_max",
        "fusion_heads",
        "context_length",
        "text_pooling",
        "mlm_weight",
    ):
        assert getattr(found, name) == getattr(before, name)
    assert found.attend_to_padding == (start == "published")
    assert found.provenance["start_from"] == start
    assert before.provenance.items() <= found.provenance.items()


def test_a_published_model_is_trained_further_and_opens(place, tmp_path, monkeypatch):
    assert run(PRETRAIN, monkeypatch, *command(place, "published", tmp_path / "run", learning_rate=1e-3)) == 0
    before, after = (
        load_file(folder / "model.safetensors") for folder in (place / "published", tmp_path / "run")
    )
    assert before.keys() == after.keys() and not torch.equal(before["logit_scale"], after["logit_scale"])
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["attend_to_padding"] and config["logit_scale_max"] is None and "auto_map" not in config
    images = json.loads((tmp_path / "run" / "processor_config.json").read_text())["image_processor"]
    assert images["published"] and not images["do_crop"]
    assert run(PRETRAIN, monkeypatch, *command(place, "published", tmp_path / "run", learning_rate=1e-3)) == 0


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"architecture": "convnext_tiny"}, "architecture is convnext_tiny, but start_from"),
        ({"architecture": "convnext_small"}, "architecture is convnext_small, but start_from"),  # the default
        ({"context_length": 256}, "has 16; leave out context_length."),
        ({"image_size": [1024, 768]}, "has [64, 48]; leave out image_size."),
        ({"text_weights": "bert"}, "brings its own; leave out text_weights."),
        ({"vision_weights": "imagenet"}, "brings its own; leave out vision_weights."),
        ({"model": {"fusion_heads": 4}}, "model names fusion_heads, which start_from"),
        ({"start_from": "nowhere"}, "start_from is nowhere, which has no config.json"),
    ],
)
def test_what_contradicts_the_folder_is_refused(changes, said, place, tmp_path, monkeypatch, capsys):
    assert run(PRETRAIN, monkeypatch, *command(place, "own", tmp_path / "run", **changes)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error and not (tmp_path / "run").exists()


def test_a_classifier_lacks_what_pretraining_needs(place, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "half"
    model = pretraining_model()
    model.save_pretrained(
        folder, state_dict={k: v for k, v in model.state_dict().items() if k[:6] == "vision"}
    )
    processor().save_pretrained(folder)
    assert run(PRETRAIN, monkeypatch, *command(place, "own", tmp_path / "run", start_from=folder)) == 2
    assert "do not fit the configuration: they lack fusion" in capsys.readouterr().err


def test_the_same_value_may_be_said_and_the_loss_may_be_changed(place):
    said = words(
        start_from=place / "own", context_length=16, mlm_weight=0.2, model={"learn_temperature": False}
    )
    options = with_start(parse_options(PretrainingOptions, said))
    assert (options.context_length, options.projection_dim, options.mlm_weight) == (16, 12, 0.2)
    assert options.model == {"learn_temperature": False} and options.text_weights is None


def test_what_was_named_is_known_of_flags_and_files(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("context_length: 256\ncrop: false\n")
    options = parse_options(PretrainingOptions, ["--config", str(file), "--image-size", "64", "48"])
    assert options.given == {"config", "context_length", "crop", "image_size"}
    assert options.given < {entry.name for entry in fields(options)}
    assert parse_options(PretrainingOptions, ["--no_crop"]).given == {"crop"}
