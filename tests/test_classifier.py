"""A classifier as inference/ opens it: calibrated scores, on ONNX Runtime too, and refusals of one sentence."""

import json
import shutil

import numpy as np
import pytest
import torch
from tiny_models import VISION, processor, random_weights
from tiny_training import run

from inference.classifier import Classifier
from modeling_mamclip import MamClipForImageClassification
from training.initialization import new_classifier
from training.release import write_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A release of a classifier alone with temperatures, and its export."""
    root = tmp_path_factory.mktemp("classifier")
    model = random_weights(new_classifier(vision_config=VISION, projection_dim=12), 1)
    model.config.birads_temperature, model.config.density_temperature = 2.5, 0.5
    write_folder(root / "mamclip", model.config, model.state_dict(), processor().image_processor, name="tiny")
    with pytest.MonkeyPatch.context() as patch:
        words = ("--model", root / "mamclip", "--output", root / "mamclip-onnx")
        assert run("export_onnx.py", patch, *words) == 0
    return root


@pytest.fixture(scope="module")
def pixel_values(place):
    images = list(np.random.default_rng(0).integers(0, 4096, (3, 80, 60)).astype(np.uint16))
    return processor().image_processor(images, return_tensors="pt")["pixel_values"]


def test_scores_are_softmax_of_logits_over_temperature_and_groups_their_sums(place, pixel_values):
    classifier = Classifier.open(place / "mamclip", device="cpu")
    scores = classifier.scores(pixel_values)
    model = MamClipForImageClassification.from_pretrained(place / "mamclip").eval()
    with torch.no_grad():
        output = model(pixel_values)
    birads = (output.logits / 2.5).softmax(-1).numpy()
    np.testing.assert_allclose(scores.birads, birads, atol=1e-6)
    np.testing.assert_allclose(scores.density, (output.density_logits / 0.5).softmax(-1).numpy(), atol=1e-6)
    by_name = dict(zip(classifier.birads_classes, birads.T, strict=True))
    expected = {
        "benign": by_name["BI-RADS 1"] + by_name["BI-RADS 2"],
        "incomplete": by_name["BI-RADS 0"],
        "malignant": by_name["BI-RADS 4"] + by_name["BI-RADS 5"],
    }
    assert set(classifier.groups) == set(expected)
    for name, column in zip(classifier.groups, scores.groups.T, strict=True):
        np.testing.assert_allclose(column, expected[name], atol=1e-6)
    assert {part.dtype for part in (scores.birads, scores.groups, scores.density)} == {np.dtype(np.float32)}
    assert scores.finite.all()


def test_onnx_gives_the_same_scores_and_bfloat16_nearly_so(place, pixel_values):
    exact = Classifier.open(place / "mamclip", device="cpu").scores(pixel_values)
    for other, tolerance in (
        (Classifier.open(place / "mamclip", onnx=place / "mamclip-onnx"), 1e-4),
        (Classifier.open(place / "mamclip-onnx", device="cpu"), 1e-4),
        (Classifier.open(place / "mamclip", device="cpu", dtype="bfloat16"), 0.1),
    ):
        scores = other.scores(pixel_values)
        np.testing.assert_allclose(scores.birads, exact.birads, atol=tolerance)
        np.testing.assert_allclose(scores.density, exact.density, atol=tolerance)
    assert other.model.dtype == torch.bfloat16 and not np.array_equal(scores.birads, exact.birads)


def test_an_image_without_numbers_spoils_its_own_row_alone(place, pixel_values):
    broken = pixel_values.clone()
    broken[1] = float("nan")
    classifier = Classifier.open(place / "mamclip", device="cpu")
    scores = classifier.scores(broken)
    assert scores.finite.tolist() == [True, False, True]
    np.testing.assert_allclose(scores.birads[2], classifier.scores(pixel_values).birads[2], atol=1e-6)


def changed(place, name, target, **fields):
    folder = shutil.copytree(place / name, target)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))
    return folder


def test_what_cannot_be_opened_is_one_sentence(place, tmp_path):
    release, export = place / "mamclip", place / "mamclip-onnx"
    names = {str(i): f"class {i}" for i in range(5)}
    other = changed(place, "mamclip", tmp_path / "names", id2label=names, label2id=None)
    cooler = changed(place, "mamclip", tmp_path / "cooler", birads_temperature=1.5)
    cut = changed(place, "mamclip", tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((release / "model.safetensors").read_bytes()[:-500])
    for said, given, options in (
        ("expected one of float32, bfloat16", release, {"dtype": "int8"}),
        ("device 'cuda:99' is not there", release, {"device": "cuda:99"}),
        ("device 'abacus' is not there", release, {"device": "abacus"}),
        ("ONNX files compute in float32", release, {"onnx": export, "dtype": "bfloat16"}),
        ("is no ONNX export", release, {"onnx": release}),
        ("has no config.json", release, {"onnx": tmp_path}),
        ("birads_temperature differs", cooler, {"onnx": export}),
        ("has the BI-RADS classes class 0", other, {}),
        ("are damaged", cut, {}),
    ):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            Classifier.open(given, **options)
        assert said in str(caught.value) and "\n" not in str(caught.value)
