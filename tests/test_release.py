"""A release opens in a fresh process, in an empty folder, where none of our packages can be imported."""

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_files import as_bytes, mammogram
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results
from safetensors.torch import load_file, save_file
from tiny_models import VISION, pretraining_model, processor, random_weights
from tiny_training import run, words

import training.release
from modeling_mamclip import MamClipForImageClassification, MamClipForPreTraining, MamClipModel
from processing import PROMPT_SETS
from training.card_results import Measured
from training.initialization import new_classifier
from training.publishing_gate import missing_sections
from training.release import MODELS, PIPELINES, copy_code, write_release
from training.release_check import Sources, check_release, compare, expected_outputs, fixed_inputs

MEASURED = Measured(
    "image-classification",
    "records",
    "8 images of 4 patients.",
    [{"name": "macro F1", "metric": "f1", "value": 0.4321, "interval": [0.4, 0.47]}],
)
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
        results=[MEASURED],
        phantom=True,
    )
    card = ModelCard.load(tmp_path / "mamclip" / "README.md")
    assert card.data.license == "apache-2.0"
    _, (result,) = model_index_to_eval_results(
        metadata_load(tmp_path / "mamclip" / "README.md")["model-index"]
    )
    assert (result.metric_type, result.metric_value, result.task_type) == ("f1", 0.4321, MEASURED.task)
    assert result.metric_name == "macro F1, 95 % interval [0.400, 0.470]"
    assert result.dataset_name == "records, phantom mammograms (synthetic)"
    assert "| macro F1 | 0.432 | [0.400, 0.470] |" in card.text and "say nothing about real" in card.text
    assert (
        not missing_sections(card.content)
        and "synthetic phantoms" in card.text
        and "Research use only" in card.text
    )
    assert "{{" not in card.text and "{%" not in card.text
    write_release(tmp_path / "real", pretrained=folders / "pretrained", classifier=folders / "full")
    real = (tmp_path / "real" / "README.md").read_text()
    assert "synthetic phantoms" not in real and missing_sections(real) == ["metrics with intervals"]


def test_the_card_lists_the_hash_of_every_file_that_runs_or_was_learned(folders, tmp_path):
    write_release(tmp_path / "mamclip", pretrained=folders / "pretrained", classifier=folders / "full")
    card = (tmp_path / "mamclip" / "README.md").read_text()
    listed = dict(re.findall(r"^\| (\S+) \| `([0-9a-f]{64})` \|$", card, flags=re.MULTILINE))
    there = {file.name: file for file in (tmp_path / "mamclip").iterdir()}
    assert listed == {name: sha256(there[name].read_bytes()).hexdigest() for name in listed}
    assert {"modeling_mamclip.py", "breast_detector.safetensors", "model.safetensors"} <= listed.keys()
    # Everything else is text that is read, never run.
    assert {file.suffix for name, file in there.items() if name not in listed} <= {".json", ".md", ".txt"}


# ---- the check in a fresh process


def test_what_is_compared_is_everything_that_a_release_serves(folders, tmp_path):
    sources = Sources(folders / "pretrained", folders / "full", folders / "pretrained")
    write_release(tmp_path / "mamclip", pretrained=sources.pretrained, classifier=sources.classifier)
    inputs = fixed_inputs(tmp_path)
    expected = expected_outputs(tmp_path / "mamclip", sources, inputs)
    assert {name.partition(":")[0] for name in expected} == {
        *("AutoProcessor", "AutoImageProcessor", "AutoTokenizer", *MODELS),
        *(f"pipeline {task}" for task in PIPELINES),
    }
    assert {"AutoModelForPreTraining: mlm_logits", "AutoModel: text_embeds"} <= expected.keys()
    assert {"modeling_mamclip", "processing", "training", "evaluation"} <= set(inputs["blocked"])


@pytest.mark.parametrize("name", ["AutoModel: text_embeds", "pipeline image-classification: density A"])
def test_numbers_that_differ_and_outputs_that_are_missing_are_named(name):
    expected = {name: torch.tensor([0.25, 1.0]), "other": torch.tensor([1])}
    compare(expected, {**expected, name: expected[name] + 0.9e-5})
    with pytest.raises(ValueError, match=f"^{name} differs by 3e-05"):
        compare(expected, {**expected, name: expected[name] + 3e-5})
    with pytest.raises(ValueError, match=f"^{name} differs by nan"):
        compare(expected, {**expected, name: expected[name] * float("nan")})
    with pytest.raises(ValueError, match=f"^{name} has the shape"):
        compare(expected, {**expected, name: expected[name][None]})
    with pytest.raises(ValueError, match=f"^{name} is given by"):
        compare(expected, {"other": torch.tensor([1])})


def test_a_release_with_other_weights_than_its_models_fails_and_nothing_is_left(folders, tmp_path):
    sources = Sources(folders / "pretrained", folders / "full", folders / "pretrained")

    def tamper_and_check(folder):
        tensors = load_file(folder / "model.safetensors")
        tensors["density_head.bias"] += 1e-3
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        check_release(folder, sources)

    given = {"pretrained": sources.pretrained, "classifier": sources.classifier}
    with pytest.raises(ValueError, match="AutoModelForImageClassification: density_logits differs by 0.001"):
        write_release(tmp_path / "out" / "mamclip", **given, check=tamper_and_check)
    assert not list((tmp_path / "out").iterdir())


def test_a_release_that_does_not_open_is_one_sentence_and_nothing_is_left(
    folders, tmp_path, monkeypatch, capsys
):
    """A file that is missing from what travels, which this process would never notice."""

    def all_but_one(folder):
        copy_code(folder)
        (folder / "losses_mamclip.py").unlink()

    monkeypatch.setattr(training.release, "copy_code", all_but_one)
    arguments = words(pretrained=folders / "pretrained", output=tmp_path / "out" / "mamclip")
    assert run("export_release.py", monkeypatch, *arguments) == 2
    *_, said = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: the release does not open in a process without this project (")
    assert "losses_mamclip" in said and not list((tmp_path / "out").iterdir())


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
