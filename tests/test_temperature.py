"""A release carries its temperatures: 1 changes nothing, other values make probabilities and leave logits alone."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from prediction_tables import prediction_table
from tiny_models import VISION, pretraining_model, processor, random_weights
from tiny_training import run

from evaluation.calibration import fit_temperature
from evaluation.predictions import PROBABILITIES
from modeling_mamclip import MamClipConfig, MamClipForImageClassification
from processing import MamClipImageClassificationPipeline
from training.initialization import new_classifier

FIELDS = ("birads_temperature", "density_temperature")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("temperature")
    random_weights(pretraining_model(), 1).save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    random_weights(new_classifier(root / "pretrained"), 2).save_pretrained(root / "classifier")
    return root


def test_a_configuration_without_the_fields_loads_and_they_are_one(tmp_path):
    MamClipConfig(vision_config=VISION).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    older = {name: value for name, value in json.loads(file.read_text()).items() if name not in FIELDS}
    file.write_text(json.dumps(older))
    config = MamClipConfig.from_pretrained(tmp_path)
    assert [getattr(config, name) for name in FIELDS] == [1.0, 1.0]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [0, -1.5, float("inf"), float("nan")])
def test_a_temperature_is_positive_and_finite(name, value):
    with pytest.raises(ValueError, match=f"{name} is .*, but it must be positive"):
        MamClipConfig(**{name: value})


def scores(model, pixels, **options):
    classify = MamClipImageClassificationPipeline(model=model, image_processor=processor().image_processor)
    return classify(pixels, **options)


def by_label(entries):
    return {entry["label"]: entry["score"] for entry in entries}


@pytest.mark.parametrize(("birads", "density"), [(1.0, 1.0), (2.0, 1.0), (1.0, 0.5)])
def test_the_pipeline_divides_the_logits_and_only_for_probabilities(place, birads, density):
    model = MamClipForImageClassification.from_pretrained(place / "classifier").eval()
    pixels = np.random.default_rng(0).integers(0, 4096, (80, 60)).astype(np.uint16)
    with torch.no_grad():
        output = model(processor().image_processor(pixels, return_tensors="pt")["pixel_values"])
    plain = by_label(scores(model, pixels))
    model.config.birads_temperature, model.config.density_temperature = birads, density
    found = scores(model, pixels, density=True)
    for entries, logits, temperature, names in (
        (found["birads"], output.logits[0], birads, model.config.id2label.values()),
        (found["density"], output.density_logits[0], density, model.config.density_labels),
    ):
        expected = dict(zip(names, (logits / temperature).softmax(-1).tolist(), strict=True))
        assert by_label(entries) == pytest.approx(expected, abs=1e-6)
    assert (by_label(found["birads"]) == plain) == (birads == 1)
    raw = by_label(scores(model, pixels, function_to_apply="none"))
    assert list(raw.values()) == sorted(output.logits[0].tolist(), reverse=True)


def test_an_export_fits_temperatures_on_validation_and_its_table_and_card_have_them(
    place, monkeypatch, tmp_path, capsys
):
    table = prediction_table(patients=20, strength=1.0)
    table.to_parquet(place / "classifier" / "validation_predictions.parquet")
    words = ("--pretrained", place / "pretrained", "--classifier", place / "classifier")
    assert run("export_release.py", monkeypatch, *words, "--output", tmp_path / "mamclip") == 0
    said = capsys.readouterr().out
    config = json.loads((tmp_path / "mamclip" / "config.json").read_text())
    letters, assessments = {"A": 0, "B": 1, "C": 2, "D": 3}, {0: 0, 1: 1, 2: 2, 4: 3, 5: 4}
    for name, index in (("birads", assessments), ("density", letters)):
        chances = table[list(PROBABILITIES[name])].to_numpy(np.float64)
        expected = fit_temperature(table[name].map(index).to_numpy(int), chances)
        assert config[f"{name}_temperature"] == pytest.approx(expected) and abs(expected - 1) > 0.05
        assert f"{name}_temperature is {expected:.3f}" in said
    assert f"density {config['density_temperature']:.3f}" in (tmp_path / "mamclip" / "README.md").read_text()
    check_table(tmp_path, config, monkeypatch)


def check_table(folder, config, monkeypatch):
    """predict.py's probabilities are those of the release's temperatures."""
    pixels = np.random.default_rng(1).integers(0, 65535, (80, 60)).astype(np.uint16)
    Image.fromarray(pixels).save(folder / "a.png")
    words = ("--model", folder / "mamclip", "--input", folder / "a.png", "--output", folder / "a")
    assert run("predict.py", monkeypatch, *words) == 0
    with (folder / "a" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    model = MamClipForImageClassification.from_pretrained(folder / "mamclip").eval()
    values = processor().image_processor(folder / "a.png", return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits = model(values).logits[0] / config["birads_temperature"]
    expected = dict(zip(PROBABILITIES["birads"], logits.softmax(-1).tolist(), strict=True))
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected, abs=1e-5)


def test_validation_predictions_that_cannot_be_are_one_sentence_and_no_release(
    place, monkeypatch, tmp_path, capsys
):
    file = place / "classifier" / "validation_predictions.parquet"
    prediction_table(patients=4).drop(columns="p_birads_4").to_parquet(file)
    words = ("--pretrained", place / "pretrained", "--classifier", place / "classifier")
    assert run("export_release.py", monkeypatch, *words, "--output", tmp_path / "mamclip") == 2
    assert "has no column 'p_birads_4'" in capsys.readouterr().err
    assert not (tmp_path / "mamclip").exists()
