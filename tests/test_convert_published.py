"""Published checkpoints become releases with the published numbers; what is none is refused, and nothing of it runs."""

import io
import json
import os
import pickle
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from dicom_files import as_bytes, mammogram
from safetensors.torch import load_file, save_file
from tiny_models import pretraining_model
from transformers import AutoModelForImageClassification, AutoProcessor

from modeling_mamclip import MamClipModel
from processing.prompts_mamclip import DENSITY
from training.plain_pickle import PickleError, read_pickle
from training.published import nearest_architecture, trunk_shapes
from training.release import write_release
from training.torch_file import MAKERS, TorchFile

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden" / "published_tiny"
PRETRAINED, FINETUNED = GOLDEN / "pretrain_tiny.ckpt", GOLDEN / "finetune_tiny.pth"
SCRIPT = HERE.parent / "train_scripts" / "convert_published.py"
PROGRAM = ("without_our_packages.py", "open_converted.py")
DROPPED = ("positional_embedding", "ln_final.weight", "ln_final.bias", "text_encoder.pooler.dense.weight")
LABELS = ["round mass", "negative screening mammography of the left breast", "calcifications"]
# The published run's settings, as far as they count, as a plain dict.
SETTINGS = {
    "embed_dim": 64,
    "vision_model": {"name": "test_convnext"},
    "text_model": {"context_length": 24, "heads": 4, "mlm": True, "mlm_coeff": 0.5},
    "data": {"image_size": [1024, 768]},
}


@pytest.fixture(scope="module")
def text_config(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "config.json"
    file.write_text(json.dumps(json.loads((GOLDEN / "inputs.json").read_text())["text_config"]))
    return file


def convert(checkpoint, output, *options):
    """Run the script in this process."""
    words = ["--checkpoint", checkpoint, "--output", output, *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [SCRIPT.name, *map(str, words)])
        runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.fixture(scope="module")
def releases(text_config, tmp_path_factory):
    """A folder with both kinds, converted."""
    place = tmp_path_factory.mktemp("converted") / "user"
    options = ("--tokenizer", GOLDEN / "tokenizer", "--text-config", text_config)
    convert(PRETRAINED, place / "aligned", *options)
    convert(FINETUNED, place / "classifier")
    return place


# ---- the numbers


def test_a_fresh_process_computes_the_published_numbers(releases):
    expected = load_file(GOLDEN / "expected_pretrain.safetensors")
    labels = expected.pop("mlm_label_ids")
    inputs = {name: expected.pop(name) for name in ("pixel_values", "input_ids")}
    classifier = load_file(GOLDEN / "expected_finetune.safetensors")
    assert torch.equal(classifier.pop("pixel_values"), inputs["pixel_values"])
    inputs["mlm_labels"] = labels.masked_fill(labels == 0, -100)  # the published code ignores [PAD], 0

    seen = open_in_a_fresh_process(releases, inputs)
    captions, density = seen.pop("zero_shot"), seen.pop("zero_shot_density")
    assert set(seen) == set(expected) | set(classifier)
    for name, tensor in {**expected, **classifier}.items():
        torch.testing.assert_close(seen[name].view_as(tensor), tensor, rtol=1e-5, atol=1e-6, msg=name)
    torch.testing.assert_close(
        captions, one_by_one(releases, [[label] for label in LABELS]), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(density, one_by_one(releases, DENSITY.values()), rtol=1e-4, atol=1e-5)


def open_in_a_fresh_process(releases, inputs):
    stored = np.random.default_rng(0).integers(0, 4096, (80, 60)).astype(np.uint16)
    (releases / "LCC.dcm").write_bytes(as_bytes(mammogram(stored)))
    save_file(inputs, releases.parent / "inputs.safetensors")
    environment = {**os.environ, "HF_HOME": str(releases.parent / "home"), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    text = "\n".join((HERE / name).read_text() for name in PROGRAM)
    program = [sys.executable, "-c", text, "../inputs.safetensors", "../seen.safetensors"]
    done = subprocess.run(program, cwd=releases, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "newly initialized" not in done.stderr and "is not supported for" not in done.stderr
    return load_file(releases.parent / "seen.safetensors")


def one_by_one(releases, labels):
    """The zero-shot scores of LCC.dcm by the mean of each label's phrasings, each of which is tokenized alone and
    padded to the context, as published."""
    model = MamClipModel.from_pretrained(releases / "aligned").eval()
    processor = AutoProcessor.from_pretrained(releases / "aligned", trust_remote_code=True)
    pixels = processor.image_processor(str(releases / "LCC.dcm"), return_tensors="pt")["pixel_values"]
    options = {"padding": "max_length", "max_length": 24, "truncation": True, "return_tensors": "pt"}
    logits = []
    with torch.no_grad():
        image = model(pixel_values=pixels).image_embeds[0]
        for phrasings in labels:
            ids = [processor.tokenizer(phrasing, **options)["input_ids"] for phrasing in phrasings]
            mean = torch.cat([model(input_ids=tokens).text_embeds for tokens in ids]).mean(dim=0)
            logits.append(model.logit_scale.exp() * image @ mean / mean.norm())
    return torch.stack(logits).softmax(-1)


def test_the_card_and_the_configuration_name_the_published_choices(releases):
    card = (releases / "aligned" / "README.md").read_text()
    for choice in (
        "`published`",
        "`attend_to_padding`",
        "`mlm_vocab_size` = 256",
        "`logit_scale_max` = none",
    ):
        assert choice in card
    assert "license: other" in card and "zero-shot-image-classification" in card
    other = (releases / "classifier" / "README.md").read_text()
    assert "`published`" in other and "attend_to_padding" not in other and "no crop" in other
    config = json.loads((releases / "aligned" / "config.json").read_text())
    assert (config["context_length"], config["fusion_heads"], config["mlm_weight"]) == (24, 4, 0.5)
    assert config["vision_config"]["architecture"] == "test_convnext"
    assert config["provenance"]["converted_pretraining"].startswith("pretrain_tiny.ckpt, sha256 ")
    assert "AutoModelForImageClassification" not in config["auto_map"]
    auto_map = json.loads((releases / "classifier" / "config.json").read_text())["auto_map"]
    assert set(auto_map) == {"AutoConfig", "AutoModelForImageClassification"}


def test_both_kinds_join_in_one_release(releases, tmp_path):
    write_release(
        tmp_path / "mamclip",
        pretrained=releases / "aligned",
        classifier=releases / "classifier",
        phantom=False,
    )
    expected = load_file(GOLDEN / "expected_finetune.safetensors")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "mamclip", trust_remote_code=True)
    with torch.no_grad():
        logits = model(expected["pixel_values"]).logits
    torch.testing.assert_close(logits, expected["birads_logits"], rtol=1e-5, atol=1e-6)
    card = (tmp_path / "mamclip" / "README.md").read_text()
    assert "pretrain_tiny.ckpt" in card and "finetune_tiny.pth" in card


def test_what_was_dropped_is_said(text_config, tmp_path, capsys):
    options = ("--tokenizer", GOLDEN / "tokenizer", "--text-config", text_config)
    convert(PRETRAINED, tmp_path / "out", *options)
    said = capsys.readouterr().out
    for name in DROPPED:
        assert f"VLModel.{name}" in said


def test_a_checkpoint_that_lost_its_settings_is_read_by_its_shapes(text_config, tmp_path):
    torch.save({"state_dict": weights(PRETRAINED)}, tmp_path / "bare.ckpt")
    options = ("--tokenizer", GOLDEN / "tokenizer", "--text-config", text_config)
    convert(tmp_path / "bare.ckpt", tmp_path / "out", *options)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["vision_config"]["architecture"] == "test_convnext"
    assert (config["context_length"], config["projection_dim"], config["mlm_vocab_size"]) == (24, 64, 256)


@pytest.mark.parametrize("name", ["convnext_tiny", "convnext_small", "convnextv2_pico", "convnext_nano_ols"])
def test_architectures_are_told_by_their_shapes(name):
    assert nearest_architecture(trunk_shapes(name)) == name


def test_no_two_convnexts_have_the_same_shapes():
    """Otherwise a bare checkpoint could be taken for another architecture."""
    assert nearest_architecture({"stem.0.weight": (1, 2, 3)}) is None  # looks at all of them
    shapes = [tuple(sorted(trunk_shapes(name).items())) for name in timm.list_models("*convnext*")]
    assert len(shapes) > 20 and len(set(shapes)) == len(shapes)


# ---- what is refused


def weights(checkpoint):
    """The tensors of a checkpoint by its own names."""
    with TorchFile(checkpoint) as file:
        state = file.content.get("state_dict", file.content)
        return {name: file.read(tensor) for name, tensor in state.items()}


def refused(checkpoint, place, capsys, *options):
    """Convert what must be refused → the one sentence that is said; nothing may be left behind."""
    with pytest.raises(SystemExit) as stop:
        convert(checkpoint, place / "out" / "mamclip", *options)
    assert stop.value.code == 2
    assert not (place / "out").exists() or not list((place / "out").iterdir())
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err


class Command:
    """Pickled, it runs a command when it is loaded."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def as_zip(file, data):
    """A torch zip file with this pickle in it."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    return file


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_would_run_a_command_is_refused_and_does_not_run(protocol, tmp_path, capsys):
    ran = tmp_path / "ran"
    data = pickle.dumps({"state_dict": {}, "callbacks": Command(f"touch {ran}")}, protocol=protocol)
    said = refused(as_zip(tmp_path / "evil.ckpt", data), tmp_path, capsys)
    assert "asks for posix.system" in said and not ran.exists()
    pickle.loads(data)
    assert ran.exists(), "the pickle would have run nothing, so nothing was proved"


OPCODES = {
    "an instance": b"(S'touch ran'\nios\nsystem\n.",  # INST
    "an extension": b"\x80\x02\x82\x01.",  # EXT1
    "a call of a value": b"\x80\x02K\x01)R.",
    "a call of a mere word": b"\x80\x02ctyping\nAny\n)R.",
    "a change of a word": b"\x80\x02ccollections\nOrderedDict\n}b.",
    "an attribute": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
    "torch's own loader": b"\x80\x02ctorch\nload\n.",
    "an evaluation": b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R.",
}


@pytest.mark.parametrize("kind", OPCODES)
def test_no_other_way_to_a_call_is_open(kind, tmp_path, capsys):
    said = refused(as_zip(tmp_path / "odd.ckpt", OPCODES[kind]), tmp_path, capsys)
    assert "was not read: its pickle" in said


def test_a_damaged_pickle_ends_with_a_pickle_error_and_nothing_else():
    with zipfile.ZipFile(PRETRAINED) as archive:
        data = archive.read("archive/data.pkl")
    rng = np.random.default_rng(0)
    errors = 0
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(0, 256)
        try:
            read_pickle(bytes(damaged[: rng.integers(1, len(data))]), MAKERS, lambda reference: reference)
        except PickleError:
            errors += 1
    assert errors > 50


def cut(place):
    (place / "cut.ckpt").write_bytes(PRETRAINED.read_bytes()[:900_000])
    return place / "cut.ckpt"


def flipped(place):
    """One bit of the weights is another: the zip file's checksum tells."""
    data = bytearray(FINETUNED.read_bytes())
    data[400_000] ^= 1
    (place / "flipped.pth").write_bytes(data)
    return place / "flipped.pth"


def of_timm(place):
    torch.save({"stem.0.weight": torch.zeros(2), "head.fc.bias": torch.zeros(2)}, place / "timm.pth")
    return place / "timm.pth"


def of_another_run(place):
    torch.save({"state_dict": {"model.layer.weight": torch.zeros(2)}, "epoch": 3}, place / "other.ckpt")
    return place / "other.ckpt"


def legacy(place):
    torch.save(weights(FINETUNED), place / "old.pth", _use_new_zipfile_serialization=False)
    return place / "old.pth"


def no_checkpoint(place):
    save_file({"a": torch.zeros(2)}, place / "a.safetensors")
    return place / "a.safetensors"


def a_picture(place):
    return as_zip(place / "a.zip", pickle.dumps([1, 2]))


def a_whole_model(place):
    buffer = io.BytesIO()
    torch.save(pretraining_model(), buffer)
    (place / "model.pt").write_bytes(buffer.getvalue())
    return place / "model.pt"


@pytest.mark.parametrize(
    "make, said",
    [
        (cut, "is cut short or damaged"),
        (flipped, "is damaged (bad crc-32"),
        (of_timm, "no published MAM-CLIP checkpoint: .* its tensors are stem.0.weight, head.fc.bias"),
        (of_another_run, "its tensors are model.layer.weight"),
        (legacy, "format of torch before 1.6"),
        (no_checkpoint, "is no checkpoint of torch.save"),
        (a_picture, "it has no tensors"),
        (a_whole_model, "asks for modeling_mamclip.modeling_mamclip.MamClipForPreTraining"),
        (lambda place: place / "nowhere.ckpt", "No such file"),
    ],
)
def test_what_is_no_published_checkpoint_is_refused(make, said, tmp_path, capsys):
    assert re.search(said.replace("(", r"\("), refused(make(tmp_path), tmp_path, capsys))


def unknown(state):
    state["VLModel.text_encoder.strange.weight"] = torch.zeros(3)
    return "also has VLModel.text_encoder.strange.weight"


def missing(state):
    del state["VLModel.vision_encoder.stem.1.bias"], state["VLModel.img_special_token"]
    return "lacks VLModel.vision_encoder.stem.1.bias, VLModel.img_special_token"


def misshapen(state):
    state["VLModel.text_projection"] = torch.zeros(64, 63)
    return "has other shapes for VLModel.text_projection ((64, 63) instead of (64, 64))"


def no_floats(state):
    state["VLModel.logit_scale"] = torch.tensor(1)
    return "VLModel.logit_scale (torch.int64 instead of floats)"


def no_tensor(state):
    state["VLModel.note"] = "hello"
    return "no tensors: VLModel.note"


@pytest.mark.parametrize("change", [unknown, missing, misshapen, no_floats, no_tensor])
def test_tensors_that_do_not_fit_are_listed(change, text_config, tmp_path, capsys):
    state = weights(PRETRAINED)
    expected = change(state)
    torch.save({"state_dict": state, "hyper_parameters": SETTINGS}, tmp_path / "changed.ckpt")
    options = ("--tokenizer", GOLDEN / "tokenizer", "--text-config", text_config)
    assert expected in refused(tmp_path / "changed.ckpt", tmp_path, capsys, *options)


def test_a_classifier_that_lacks_a_tensor_is_still_told_by_the_others(tmp_path, capsys):
    state = weights(FINETUNED)
    del state["stages.0.blocks.0.gamma"]
    state["density_layer.1.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "changed.pth")
    said = refused(tmp_path / "changed.pth", tmp_path, capsys)
    assert "lacks stages.0.blocks.0.gamma, and also has density_layer.1.weight" in said


def test_a_tokenizer_or_text_configuration_that_does_not_fit_is_refused(text_config, tmp_path, capsys):
    tokenizer = ("--tokenizer", GOLDEN / "tokenizer")
    assert "give its config.json as --text-config" in refused(PRETRAINED, tmp_path, capsys, *tokenizer)
    nowhere = ("--tokenizer", tmp_path / "nowhere", "--text-config", text_config)
    assert "could not be loaded" in refused(PRETRAINED, tmp_path, capsys, *nowhere)
    assert "reads no text" in refused(FINETUNED, tmp_path, capsys, *tokenizer)
    assert "reads no text" in refused(FINETUNED, tmp_path, capsys, "--text-config", text_config)
    (tmp_path / "list.json").write_text("[1]")
    wrong = (*tokenizer, "--text-config", tmp_path / "list.json")
    assert "give the text encoder's config.json, an object" in refused(PRETRAINED, tmp_path, capsys, *wrong)
    fields = {**json.loads(text_config.read_text()), "hidden_size": 32}
    (tmp_path / "narrow.json").write_text(json.dumps(fields))
    narrow = (*tokenizer, "--text-config", tmp_path / "narrow.json")
    assert "has other shapes for" in refused(PRETRAINED, tmp_path, capsys, *narrow)
