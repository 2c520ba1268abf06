"""A release opens in a fresh process, in an empty folder, where none of our packages can be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_files import as_bytes, mammogram
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from tiny_models import VISION, pretraining_model, processor, random_weights

from modeling_mamclip import MamClipForImageClassification, MamClipForPreTraining, MamClipModel
from processing import PROMPT_SETS
from training.initialization import new_classifier
from training.release import write_release

PROGRAM = ("without_our_packages.py", "open_release.py")
COMPLAINTS = ("missing", "unexpected", "newly initialized", "load report")
UNSUPPORTED = "is not supported for"  # what a pipeline says of a model that it does not know


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A pretraining folder, and classifiers that were fine-tuned from it fully and by a linear probe."""
    root = tmp_path_factory.mktemp("models")
    random_weights(pretraining_model(), 1).save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    for name, probe in (("full", False), ("probe", True)):
        classifier = new_classifier(root / "pretrained", linear_probe=probe)
        random_weights(classifier, 2).save_pretrained(root / name)
    return root


def open_in_a_fresh_process(release, pixels, dicom):
    """What a process sees of the release, in a folder with nothing but it and the mammogram → (seen, stderr)."""
    place = release.parent
    (place / "LCC.dcm").write_bytes(dicom)
    np.save(place.parent / "pixels.npy", pixels.numpy())
    environment = {**os.environ, "HF_HOME": str(place.parent / "home"), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    text = "\n".join(Path(__file__).with_name(name).read_text() for name in PROGRAM)
    program = [sys.executable, "-c", text, "../pixels.npy", "../seen.json"]
    done = subprocess.run(program, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    before, _, _ = done.stderr.partition("what follows is to be complained about")
    return json.loads((place.parent / "seen.json").read_text()), before


def complaints(lines):
    return [line for line in lines if any(word in line.lower() for word in COMPLAINTS)]


@pytest.mark.parametrize("kind", ["full", "probe"])
def test_a_release_serves_every_auto_class_in_a_fresh_process(folders, kind, tmp_path):
    release = tmp_path / "user" / "mamclip"
    write_release(release, pretrained=folders / "pretrained", classifier=folders / kind, phantom=True)
    files = {file.name: file.read_bytes() for file in release.iterdir()}
    stored = np.random.default_rng(0).integers(0, 4096, (80, 60)).astype(np.uint16)
    pixels = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    seen, stderr = open_in_a_fresh_process(release, pixels, as_bytes(mammogram(stored)))

    classifier = MamClipForImageClassification.from_pretrained(folders / kind).eval()
    check_numbers(seen, folders / "pretrained", classifier, pixels)
    check_scores(seen, classifier, release.parent / "LCC.dcm")
    check_fits(seen, folders / "pretrained", release.parent / "LCC.dcm")
    check_prompts(seen, folders / "pretrained", release.parent / "LCC.dcm")
    assert UNSUPPORTED not in str(seen["heard"]) + stderr
    assert not complaints(seen["heard"]) and not complaints(stderr.splitlines())
    assert {"missing", "unexpected"} <= {word for word in COMPLAINTS if word in str(seen["alarm"]).lower()}
    encoder = "classifier_vision_model" if kind == "full" else "vision_model"
    aligned = ["logit_scale", "text_model", "vision_model"]
    assert seen["parts"] == {
        "MamClipModel": aligned,
        "MamClipForPreTraining": sorted([*aligned, "fusion", "mlm_head"]),
        "MamClipForImageClassification": sorted([encoder, "birads_head", "density_head"]),
    }
    assert seen["tokens"] and not seen["training"]
    assert seen["names"] == [
        "MamClipProcessor",
        "MamClipImageProcessor",
        "MamClipConfig",
        "MamClipImageClassificationPipeline",
        "MamClipZeroShotImageClassificationPipeline",
    ]
    assert all(module.startswith("transformers_modules.") for module in seen["modules"])
    assert {file.name for file in release.parent.iterdir()} == {"mamclip", "LCC.dcm"}
    assert files == {file.name: file.read_bytes() for file in release.iterdir()}


def check_numbers(seen, pretrained, classifier, pixels):
    """The release's outputs are those of the models that it was made from."""
    aligned = MamClipForPreTraining.from_pretrained(pretrained).eval()
    text = processor()(text=["a spiculated mass", "left breast"], return_tensors="pt")
    with torch.no_grad():
        both, scores = aligned(pixel_values=pixels, return_loss=False, **text), classifier(pixels)
    for name, expected in (
        ("image_embeds", both.image_embeds),
        ("text_embeds", both.text_embeds),
        ("logits", scores.logits),
        ("again", scores.logits),
        ("density_logits", scores.density_logits),
    ):
        torch.testing.assert_close(torch.tensor(seen[name]), expected, atol=1e-5, rtol=1e-5, msg=name)


def check_scores(seen, classifier, path):
    """The pipeline's scores are those of the model on the file's pixels."""
    values = processor().image_processor(path, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        output = classifier(values)
    expected = output.logits.softmax(-1)[0]
    found = {entry["label"]: entry["score"] for entry in seen["scores"]}
    assert set(found) == set(classifier.config.id2label.values())
    for index, label in classifier.config.id2label.items():
        assert found[label] == pytest.approx(float(expected[index]), abs=1e-5)
    best = seen["both"][0]["density"][0]
    assert best["label"] == "ABCD"[int(output.density_logits.argmax())]
    assert seen["both"][0]["birads"] == seen["both"][1]["birads"]


def check_fits(seen, pretrained, path):
    """The zero-shot scores are the softmax over captions of the file's pixels against each caption alone."""
    model, processing = MamClipModel.from_pretrained(pretrained).eval(), processor()
    values = processing.image_processor(path, return_tensors="pt")["pixel_values"]
    captions = ("a spiculated mass", "left breast")
    alone = [processing(text=[caption], return_tensors="pt") for caption in captions]
    with torch.no_grad():
        logits = [model(pixel_values=values, **text).logits_per_image for text in alone]
    expected = torch.cat(logits, dim=1).softmax(-1)[0]
    for fits in seen["fits"]:
        found = {fit["label"]: fit["score"] for fit in fits}
        assert [found[caption] for caption in captions] == pytest.approx(expected.tolist(), abs=1e-5)


def check_prompts(seen, pretrained, path):
    """A label's score is that of the mean of its phrasings; a finding's that of present against absent."""
    model, processing = MamClipModel.from_pretrained(pretrained).eval(), processor()
    values = processing.image_processor(path, return_tensors="pt")["pixel_values"]

    def logit(phrasings):
        """Of the mean, by hand: each phrasing is embedded alone."""
        with torch.no_grad():
            alone = [
                model(pixel_values=values, **processing(text=[p], return_tensors="pt")) for p in phrasings
            ]
        mean = sum(output.text_embeds for output in alone) / len(alone)
        cosine = (alone[0].image_embeds * mean).sum() / mean.norm()
        return model.logit_scale.exp() * cosine

    def check(fits, expected):
        found = {fit["label"]: fit["score"] for fit in fits}
        assert [fit["score"] for fit in fits] == sorted(found.values(), reverse=True)
        assert found == pytest.approx(dict(expected), abs=1e-5)

    def softmax(sets):
        scores = torch.stack([logit(phrasings) for phrasings in sets.values()]).softmax(0)
        return zip(sets, scores.tolist(), strict=True)

    mass = ["a spiculated mass", "a mass", "mass in a breast"]
    for fits in seen["phrased"]:
        check(fits, softmax({"mass": mass, "side": ["left breast"]}))
    assert len(seen["phrased"]) == 3
    for name in ("birads", "density"):
        for fits in seen["sets"][name]:
            check(fits, softmax(PROMPT_SETS[name]))
    present_or_absent = {
        name: (logit(sides["present"]) - logit(sides["absent"])).sigmoid().item()
        for name, sides in PROMPT_SETS["findings"].items()
    }
    for fits in seen["sets"]["findings"]:
        check(fits, present_or_absent)


def test_a_linear_probe_adds_no_second_encoder(folders, tmp_path):
    for kind in ("full", "probe"):
        write_release(tmp_path / kind, pretrained=folders / "pretrained", classifier=folders / kind)
        tensors = load_file(tmp_path / kind / "model.safetensors")
        assert any(key.startswith("classifier_vision_model.") for key in tensors) == (kind == "full")
        assert {key.partition(".")[0] for key in tensors} >= {
            "vision_model",
            "text_model",
            "birads_head",
            "mlm_head",
        }


def test_the_model_card_is_valid_and_says_what_it_is(folders, tmp_path):
    write_release(
        tmp_path / "mamclip",
        pretrained=folders / "pretrained",
        classifier=folders / "full",
        results={"BI-RADS macro-F1, 5 classes": 0.4321},
        phantom=True,
    )
    card = ModelCard.load(tmp_path / "mamclip" / "README.md")
    card.data.to_dict()
    assert card.data.eval_results[0].metric_value == 0.4321
    assert card.data.eval_results[0].dataset_name == "phantom mammograms (synthetic)"
    assert "0.432" in card.text and "synthetic phantoms" in card.text and "Research use only" in card.text
    assert "{{" not in card.text and "{%" not in card.text
    write_release(tmp_path / "real", pretrained=folders / "pretrained", classifier=folders / "full")
    assert "synthetic" not in (tmp_path / "real" / "README.md").read_text()


def test_a_release_without_a_classifier(folders, tmp_path):
    write_release(tmp_path / "mamclip", pretrained=folders / "pretrained")
    assert not any("birads" in key for key in load_file(tmp_path / "mamclip" / "model.safetensors"))
    config = json.loads((tmp_path / "mamclip" / "config.json").read_text())
    assert set(config["custom_pipelines"]) == {"zero-shot-image-classification"}
    assert "AutoModelForImageClassification" not in config["auto_map"]
    card = (tmp_path / "mamclip" / "README.md").read_text()
    assert "zero-shot" in card and "BI-RADS scores" not in card and "published code" not in card


@pytest.mark.parametrize(
    "roles, said",
    [
        ({"pretrained": "nowhere"}, "has no config.json"),
        ({"pretrained": "full"}, "has no tensors vision_model"),
        ({"pretrained": "probe"}, "has no tensors text_model"),
        ({"classifier": "pretrained"}, "has no tensors birads_head"),
        ({"classifier": "other"}, "has projection_dim 8 and .* has 12"),
        ({"classifier": "stranger"}, "holds a model of type 'bert'"),
        ({"classifier": "moved"}, "shares its encoder, but .* differs"),
    ],
)
def test_folders_that_do_not_fit_are_refused_and_nothing_is_left(folders, tmp_path, roles, said):
    new_classifier(vision_config=VISION, projection_dim=8).save_pretrained(tmp_path / "in" / "other")
    (tmp_path / "in" / "stranger").mkdir()
    (tmp_path / "in" / "stranger" / "config.json").write_text('{"model_type": "bert"}')
    moved = new_classifier(folders / "pretrained", linear_probe=True)
    moved.vision_model.projection.weight.data += 1
    moved.save_pretrained(tmp_path / "in" / "moved")
    given = {"pretrained": "pretrained", "classifier": "full", **roles}
    paths = {role: find(name, folders, tmp_path / "in") for role, name in given.items()}
    with pytest.raises((ValueError, OSError), match=said):
        write_release(tmp_path / "out" / "mamclip", **paths)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def find(name, *places: Path) -> Path:
    return next((place / name for place in places if (place / name).exists()), places[0] / name)


def test_a_release_is_never_written_over(folders, tmp_path):
    with pytest.raises(ValueError, match="exists already"):
        write_release(tmp_path, pretrained=folders / "pretrained")
