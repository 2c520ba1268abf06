"""Publishing: what stops it, and that what a stand-in for the Hub was given is what a user loads back."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from hub_stand_in import TOKEN, hub_stand_in
from huggingface_hub import ModelCard, constants
from prediction_tables import prediction_table
from safetensors.torch import load_file
from tiny_models import pretraining_model, processor, random_weights
from tiny_training import run, words

import training.card
from dataset_builders.building import BUILDERS
from dataset_builders.terms import Terms
from modeling_mamclip import MamClipConfig, MamClipForImageClassification
from training.initialization import new_classifier
from training.licences import card_licence
from training.publishing_gate import SECTIONS, missing_sections, sections
from training.release_check import fixed_inputs

NAME, SCRIPT = "someone/mamclip", "export_release.py"
FREE = Terms("CC BY 4.0", "Open et al.", "https://example.org/open", "free").as_dict()
LIMITED = Terms("CC BY-NC 4.0", "Limited et al.", "https://example.org/limited", "non-commercial").as_dict()
EMBED = BUILDERS["embed"].terms.as_dict()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A pretraining folder, and classifiers with predictions: of phantoms, and of data with terms."""
    root = tmp_path_factory.mktemp("models")
    pretrained = random_weights(pretraining_model(), 1)
    pretrained.save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    for name, terms in (
        ("phantom", {}),
        ("limited", {"data_limited": LIMITED}),
        ("embed", {"data_embed": EMBED}),
    ):
        classifier = random_weights(new_classifier(root / "pretrained"), 2)
        classifier.config.provenance = {**classifier.config.provenance, **terms}
        classifier.save_pretrained(root / name)
        prediction_table(patients=30).to_parquet(root / name / "predictions.parquet")
    return root


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in that huggingface_hub takes for the Hub, in this process and in those that it starts."""
    with hub_stand_in() as standing:
        environment = {"HF_ENDPOINT": standing.address, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", standing.address)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield standing


def command(models, output, classifier="phantom", **options):
    given = {
        "pretrained": models / "pretrained",
        "classifier": models / classifier,
        "output": output,
        **options,
    }
    return [word for word in words(**given) if word != "True"]  # a flag has no value


def refused(monkeypatch, capsys, arguments):
    """The one sentence that the script ends with."""
    capsys.readouterr()
    assert run(SCRIPT, monkeypatch, *arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("error: ") and "Traceback" not in "".join(said)
    return said[-1]


PROGRAM = """
import json, sys, torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForImageClassification, pipeline
name, tag, inputs = sys.argv[1:]
options = {"revision": tag, "trust_remote_code": True}
pixels = load_file(inputs)["pixels"]
with torch.no_grad():
    logits = AutoModelForImageClassification.from_pretrained(name, **options)(pixels).logits
    embeds = AutoModel.from_pretrained(name, **options)(pixel_values=pixels).image_embeds
scores = pipeline("image-classification", model=name, **options)(inputs.replace("pixels.safetensors", "film.png"))
print(json.dumps({"logits": logits.tolist(), "embeds": embeds.tolist(), "scores": scores}))
"""


def load_back(place, tag):
    """What a user's process, far from the checkout, gets from the repository."""
    from safetensors.torch import save_file

    pixels = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    save_file({"pixels": pixels}, place / "pixels.safetensors")
    fixed_inputs(place)  # draws film.png
    blocked = Path(__file__).with_name("without_our_packages.py").read_text()
    environment = {
        **os.environ,
        "HF_HOME": str(place / "home"),
        "HF_MODULES_CACHE": str(place / "home" / "modules"),
    }
    arguments = [NAME, tag, str(place / "pixels.safetensors")]
    done = subprocess.run(
        [sys.executable, "-P", "-c", blocked + PROGRAM, *arguments],
        cwd=place,
        env={key: value for key, value in environment.items() if key not in ("PYTHONPATH", "HF_HUB_OFFLINE")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return pixels, json.loads(done.stdout)


def test_an_interrupted_upload_goes_on_and_is_loaded_back_by_its_tag(
    models, hub, monkeypatch, tmp_path, capsys
):
    """One story, since each chapter needs the one before: break off, go on, repeat, load back, show, refuse."""
    output = tmp_path / "out" / "mamclip"
    arguments = [*command(models, output), "--push-to-hub", NAME, "--tag", "v1.0"]
    hub.refuse = {2}
    said = refused(monkeypatch, capsys, arguments)
    assert NAME in said and "give the same command again" in said
    repository = hub.repositories[NAME]
    assert output.is_dir() and not repository.tags and len(hub.sent) == 1
    assert repository.private and [*repository.commits[repository.head]] == [".gitattributes"]

    assert run(SCRIPT, monkeypatch, *arguments) == 0
    files = {file.name: file.read_bytes() for file in output.iterdir()}
    published = dict(repository.commits[repository.tags["v1.0"]])
    assert published.pop(".gitattributes") and published == files
    large = {sha256(content).hexdigest() for name, content in files.items() if name.endswith(".safetensors")}
    assert sorted(hub.sent) == sorted(large)  # each once: what was there was not sent again
    assert f'model="{NAME}"' in files["README.md"].decode()

    commits, sent = len(repository.commits), len(hub.sent)
    assert run(SCRIPT, monkeypatch, *arguments) == 0
    assert (len(repository.commits), len(hub.sent)) == (commits, sent) and repository.private

    pixels, seen = load_back(tmp_path, "v1.0")
    model = MamClipForImageClassification.from_pretrained(models / "phantom").eval()
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(seen["logits"]), model(pixels).logits, atol=1e-5, rtol=1e-5)
    assert {entry["label"] for entry in seen["scores"]} == set(model.config.id2label.values())
    assert torch.tensor(seen["embeds"]).norm(dim=-1).tolist() == pytest.approx([1, 1], abs=1e-5)

    assert run(SCRIPT, monkeypatch, *arguments, "--public") == 0
    assert not repository.private and "is public" in capsys.readouterr().out
    assert "is a public repository" in refused(monkeypatch, capsys, arguments)
    other = [*command(models, tmp_path / "other", name="Another"), "--push-to-hub", NAME, "--public"]
    assert "another release as v1.0" in refused_unchecked(monkeypatch, capsys, other)


def refused_unchecked(monkeypatch, capsys, arguments):
    """As `refused`, for a release like one that has been checked: the fresh process is left out."""
    with monkeypatch.context() as patch:
        patch.setattr("training.release_check.check_release", lambda folder, sources: None)
        return refused(patch, capsys, arguments)


# ---- what stops it, before anything is asked of the Hub


def test_embed_is_published_with_permission_only(models, hub, monkeypatch, tmp_path, capsys):
    given = [*command(models, tmp_path / "out", "embed"), "--push-to-hub", NAME, "--real-data"]
    said = refused(monkeypatch, capsys, given)
    assert "saw embed" in said and "--permission" in said
    empty, agreed = tmp_path / "empty.txt", tmp_path / "agreed.txt"
    empty.touch()
    agreed.write_text("We agree. Signed, somebody with a name.")
    os.utime(agreed, (1_767_225_600, 1_767_225_600))  # 2026-01-01 UTC
    assert "does not exist" in refused(monkeypatch, capsys, [*given, "--permission", tmp_path / "nowhere"])
    assert "is empty" in refused(monkeypatch, capsys, [*given, "--permission", empty])
    assert not hub.requests and not (tmp_path / "out").exists()

    monkeypatch.setattr("training.release_check.check_release", lambda folder, sources: None)
    assert run(SCRIPT, monkeypatch, *given, "--permission", agreed) == 0
    tree = hub.repositories[NAME].commits[hub.repositories[NAME].tags["v1.0"]]
    digest = sha256(agreed.read_bytes()).hexdigest()
    config, card = json.loads(tree["config.json"]), ModelCard(tree["README.md"].decode())
    assert config["provenance"]["permission"] == {"for": ["embed"], "date": "2026-01-01", "sha256": digest}
    assert digest in card.text and "2026-01-01" in card.text and "Published with permission" in card.text
    assert (card.data.license, card.data["license_name"]) == ("other", "by-permission-of-embed")
    assert "agreed.txt" not in tree and not any(b"Signed" in content for content in tree.values())


def test_a_permission_that_nobody_has_to_give_is_refused(models, hub, monkeypatch, tmp_path, capsys):
    (tmp_path / "agreed.txt").write_text("We agree.")
    given = [*command(models, tmp_path / "out", permission=tmp_path / "agreed.txt"), "--push-to-hub", NAME]
    assert "leave --permission out" in refused(monkeypatch, capsys, given) and not hub.requests


@pytest.mark.parametrize(
    "classifier, options, said",
    [
        ("limited", [], "saw limited, which is no phantom"),
        ("phantom", ["--real-data"], "nothing tells which data sets the weights saw"),
        ("embed", ["--real-data"], "saw embed, whose owners"),
    ],
)
def test_weights_of_data_that_is_not_told_rightly_stay_here(
    models, hub, monkeypatch, tmp_path, capsys, classifier, options, said
):
    given = [*command(models, tmp_path / "out", classifier), "--push-to-hub", NAME, *options]
    assert said in refused(monkeypatch, capsys, given)
    assert not hub.requests and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", SECTIONS)
def test_a_card_without_a_section_is_not_pushed(models, hub, monkeypatch, tmp_path, capsys, name):
    """The template lost a section, or has its heading alone."""
    template = training.card.CARD.read_text(encoding="utf-8")
    heading = f"## {SECTIONS[name]}\n"
    before, _, after = template.partition(heading)
    rest = after[after.index("\n## ") + 1 :]
    shorter = tmp_path / "model_card.md"
    for kept in ("", f"{heading}\n<!-- to be written -->\n\n"):
        shorter.write_text(before + kept + rest, encoding="utf-8")
        monkeypatch.setattr(training.card, "CARD", shorter)
        given = [*command(models, tmp_path / "out"), "--push-to-hub", NAME]
        assert f"has no {name}, and nothing is published" in refused(monkeypatch, capsys, given)
        assert not hub.requests and not (tmp_path / "out").exists()


def test_numbers_without_intervals_are_no_metrics(models, hub, monkeypatch, tmp_path, capsys):
    given = words(pretrained=models / "pretrained", output=tmp_path / "out")
    said = refused(monkeypatch, capsys, [*given, "--push-to-hub", NAME])
    assert "has no metrics with intervals, and" in said and not hub.requests
    assert missing_sections("## Metrics\n\nF1 0.4 [0.3, 0.5]\n") == [
        n for n in SECTIONS if "metrics" not in n
    ]
    assert sections("# A\n## B\ntext <!-- ## C -->\n### D\nmore\n## E \n") == {
        "B": "text \n### D\nmore",
        "E": "",
    }


def test_all_missing_sections_are_named_in_one_sentence(models, hub, monkeypatch, tmp_path, capsys):
    (tmp_path / "model_card.md").write_text("---\n{{ card_data }}\n---\n# A model\n", encoding="utf-8")
    monkeypatch.setattr(training.card, "CARD", tmp_path / "model_card.md")
    said = refused(monkeypatch, capsys, [*command(models, tmp_path / "out"), "--push-to-hub", NAME])
    assert all(f"no {name}" in said for name in SECTIONS)


def test_another_folder_under_the_outputs_name_is_not_uploaded(models, hub, monkeypatch, tmp_path, capsys):
    given = [*command(models, tmp_path / "out"), "--push-to-hub", NAME]
    monkeypatch.setattr("training.release_check.check_release", lambda folder, sources: None)
    assert run(SCRIPT, monkeypatch, *command(models, tmp_path / "out")) == 0
    assert 'model="mamclip"' in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "out" / "notes.txt").write_text("a patient's name")
    assert "notes.txt differs" in refused(monkeypatch, capsys, given)
    (tmp_path / "out" / "notes.txt").unlink()
    assert run(SCRIPT, monkeypatch, *given) == 0  # it was written before anybody thought of the Hub
    assert (
        f'model="{NAME}"' in hub.repositories[NAME].commits[hub.repositories[NAME].head]["README.md"].decode()
    )
    with (tmp_path / "out" / "README.md").open("a") as card:
        card.write("edited")
    assert "README.md differs" in refused(monkeypatch, capsys, given)


@pytest.mark.parametrize(
    "options, said",
    [
        (["--public"], "give --push-to-hub NAME beside it"),
        (["--tag", "v2.0"], "give --push-to-hub NAME beside it"),
        (["--push-to-hub", "a/b/c"], "a/b/c"),
    ],
)
def test_options_that_cannot_be(models, hub, monkeypatch, tmp_path, capsys, options, said):
    assert said in refused(monkeypatch, capsys, [*command(models, tmp_path / "out"), *options])
    assert not hub.requests and not (tmp_path / "out").exists()


def test_a_hub_that_refuses_or_is_not_there_is_one_sentence(models, hub, monkeypatch, tmp_path, capsys):
    given = [*command(models, tmp_path / "out"), "--push-to-hub", NAME]
    monkeypatch.setattr("training.release_check.check_release", lambda folder, sources: None)
    monkeypatch.setenv("HF_TOKEN", "hf_somebody_else")
    said = refused(monkeypatch, capsys, given)
    assert "401" in said and "hf_somebody_else" not in said and (tmp_path / "out").is_dir()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "the same command again" in refused(monkeypatch, capsys, given)


# ---- what the card says


@pytest.mark.parametrize(
    "terms, licence",
    [
        ({}, {"license": "apache-2.0"}),
        ({"data_a": FREE}, {"license": "apache-2.0"}),
        ({"data_a": FREE, "data_b": LIMITED}, {"license": "cc-by-nc-4.0"}),
        (
            {"data_b": LIMITED, "data_rsna": BUILDERS["rsna"].terms.as_dict()},
            {"license_name": "non-commercial-b-rsna"},
        ),
        (
            {"data_b": LIMITED, "data_embed": EMBED},
            {"license_name": "by-permission-of-embed-non-commercial-b"},
        ),
        ({"converted_x": "file"}, {"license_name": "terms-of-the-published-weights"}),
    ],
)
def test_the_licence_is_that_of_the_strictest_data(terms, licence):
    found = card_licence(MamClipConfig(provenance=terms).provenance)
    assert licence.items() <= found.items()
    assert (found["license"] == "other") == ("license_name" in found) == ("license_link" in found)


def test_non_commercial_data_reach_the_published_cards_licence(models, hub, monkeypatch, tmp_path):
    monkeypatch.setattr("training.release_check.check_release", lambda folder, sources: None)
    given = [*command(models, tmp_path / "out", "limited"), "--push-to-hub", NAME, "--real-data"]
    assert run(SCRIPT, monkeypatch, *given) == 0
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "cc-by-nc-4.0" and "data limited: CC BY-NC 4.0" in card.text
    macro = [result.metric_name for result in card.data.eval_results if "macro F1" in result.metric_name]
    assert len(macro) == 3 and all(", 95 % interval [0." in name for name in macro)
    found = sections(card.content)
    assert (
        "**BI-RADS by race" in found["Subgroups"] and "BI-RADS by vendor: none measured" in found["Subgroups"]
    )
    assert load_file(tmp_path / "out" / "model.safetensors")
