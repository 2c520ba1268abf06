"""Zero-shot evaluation: numbers by hand, the script's scores are the pipeline's, and bad input ends in a sentence."""

import csv
import json
import re

import datasets
import numpy as np
import pytest
import yaml
from PIL import Image
from tiny_models import WORDS, pretraining_model, processor
from tiny_training import mammogram, records, run, saved
from tokenizers import models
from transformers import pipeline

from dataset_builders.birads import FIVE_NAMES
from evaluation.zero_shot import birads_zero_shot, density_zero_shot, findings_zero_shot
from processing import PROMPT_SETS, read_prompts
from training.initialization import new_classifier
from training.release import write_release
from training.runs import note_held_out
from training.zero_shot import as_mapping, prompt_sets

SCRIPT = "zero_shot.py"

# ---- numbers


def test_numbers_of_birads_by_hand():
    labels = [0, 1, 1, 2, 4, 4]
    scores = np.eye(5)[labels]
    scores[2] = [0.4, 0.1, 0.2, 0.3, 0.0]  # BI-RADS 1 taken for 0, which is another group
    found = birads_zero_shot(labels, scores, list("abcdef"))
    assert found["confusion_five"][1] == [1, 1, 0, 0, 0]
    # BI-RADS 1 is ahead of the rest in one row, and ties with none in the other; no image is BI-RADS 4.
    assert found["auroc_per_class"] == pytest.approx([1, 1, 1, None, 1])
    # Benign: rows 1, 2, 3 have 1, 0.3, 1; the others 0.
    assert found["auroc_per_group"] == pytest.approx([1, 1, 1])
    assert found["majority_f1_five"] == pytest.approx((2 * 2 / (2 + 6)) / 5)
    assert found["majority_f1_three"] == pytest.approx((2 * 3 / (3 + 6)) / 3)
    low, high = found["f1_five_interval"]
    assert low <= found["f1_five"] <= high


def test_numbers_of_density_by_hand():
    found = density_zero_shot([0, 0, 3, 3], np.eye(4)[[0, 3, 3, 3]], list("aabb"))
    assert found["density_f1"] == pytest.approx((2 / 3 + 4 / 5) / 4)
    assert found["auroc_per_class"] == [
        0.75,
        None,
        None,
        0.75,
    ]  # one of two is told, the other ties with the rest
    assert found["majority_density_f1"] == pytest.approx((2 * 2 / (2 + 4)) / 4)
    low, high = found["density_f1_interval"]
    assert low < found["density_f1"] <= high


def test_numbers_of_findings_leave_out_what_captions_do_not_say():
    labels = {"mass": [True, False, None, True], "skin": [None, True, None, None]}
    scores = np.array([[0.9, 0.5], [0.6, 0.5], [0.1, 0.5], [0.7, 0.5]])
    found = findings_zero_shot(labels, scores, list("abcd"))
    assert found["skin"] == {"present": 1, "absent": 0}
    assert (found["mass"]["present"], found["mass"]["absent"], found["mass"]["auroc"]) == (2, 1, 1.0)
    assert found["mass"]["macro_f1"] == found["mass"]["majority_macro_f1"] == pytest.approx((4 / 5) / 2)


# ---- prompts from a file


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_prompts_survive_a_file(name, tmp_path):
    reverse = dict(reversed(as_mapping(read_prompts(name)).items()))  # in whatever order
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump({name: reverse}, sort_keys=False))
    assert prompt_sets(tmp_path / "prompts.yaml", [name]) == {name: read_prompts(name)}


def test_a_file_replaces_the_tasks_that_it_has_and_may_have_some_findings(tmp_path):
    own = {"findings": {"mass": {"present": "a mass", "absent": "no mass"}}}
    (tmp_path / "prompts.yaml").write_text(yaml.safe_dump(own))
    sets = prompt_sets(tmp_path / "prompts.yaml", ["birads", "findings"])
    assert sets["birads"] == read_prompts("birads")
    assert sets["findings"].phrasings == (("a mass",), ("no mass",))


CLASSES = {letter: ["a", "b"] for letter in "ABCD"}


@pytest.mark.parametrize(
    "content, said",
    [
        ("[1, 2]", "holds no prompts"),
        ("", "holds no prompts"),
        ("a: [", "no readable YAML"),
        ({"densty": CLASSES}, "the task 'densty', which does not exist; did you mean 'density'"),
        ({"density": ["a"]}, "no labels under 'density'"),
        ({"density": {**CLASSES, "E": ["e"]}}, "under 'density' the label 'E', which does not exist"),
        ({"birads": {"BIRADS 1": ["a"]}}, "did you mean 'BI-RADS 1'"),
        ({"birads": {1: ["a"]}}, "the label 1, which does not exist"),
        ({"density": {"A": ["a"]}}, "no prompts for 'B' under 'density'"),
        ({"density": {**CLASSES, "B": 3}}, "prompts of 'B' are 3; expected one sentence"),
        ({"density": {n: {"present": "a", "absent": "b"} for n in "ABCD"}}, "expected a list of phrasings"),
        ({"findings": {"mass": ["a mass"]}}, "expected phrasings for present and for absent"),
    ],
)
def test_a_file_of_other_prompts_is_refused(content, said, tmp_path):
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (tmp_path / "prompts.yaml").write_text(text)
    with pytest.raises(ValueError, match=said):
        prompt_sets(tmp_path / "prompts.yaml", ["birads"])


# ---- the script


def write_pretrained(folder):
    """A model that knows the prompts' words: images and labels differ in their scores."""
    sentences = [text for name in PROMPT_SETS for group in read_prompts(name).phrasings for text in group]
    words = [*WORDS, *sorted({word for text in sentences for word in re.findall(r"\w+|[^\w\s]+", text)})]
    level = models.WordLevel({word: i for i, word in enumerate(dict.fromkeys(words))}, unk_token="[UNK]")
    reading = processor()
    reading.tokenizer.backend_tokenizer.model = level
    text = pretraining_model().config.text_config
    text.vocab_size, text.initializer_range = len(words), 0.5
    model = pretraining_model(text_config=text)
    model.logit_scale.data.fill_(2.0)
    model.save_pretrained(folder)
    reading.save_pretrained(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A pretrained model, a release of it, a classifier; records with and without labels; pairs."""
    root = tmp_path_factory.mktemp("place")
    write_pretrained(root / "pretrained")
    write_release(root / "mamclip", pretrained=root / "pretrained")
    new_classifier(root / "pretrained").save_pretrained(root / "classifier")
    density = ["ABCD"[i // 2 % 4] for i in range(32)]
    records(root / "records", birads=(0, 1, 2, 3, 4, 5, 6, None), density=[None, *density[1:]])
    records(root / "undense", density=[None] * 32)
    pairs(
        root / "pairs", ["a mass", "no mass", "left breast", "a nodule", "without a mass or calcifications"]
    )
    pairs(root / "wordless", ["left breast"])
    return root


def pairs(folder, captions, cases=20):
    said = [captions[case % len(captions)] for case in range(cases)]
    table = {
        "image": [mammogram(case) for case in range(cases)],
        "caption": said,
        "caption_id": said,
        "case_id": [f"case {case}" for case in range(cases)],
    }
    return saved(table, folder)


def read(folder, name):
    with (folder / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_script_scores_as_the_pipeline_does(place, tmp_path, monkeypatch, capsys):
    for name in ("mamclip", "pretrained"):
        options = (
            "--model",
            place / name,
            "--data",
            place / "records",
            "--output",
            tmp_path / name,
            "--phantom",
        )
        assert run(SCRIPT, monkeypatch, *options) == 0
    out = capsys.readouterr().out
    assert "PHANTOM" in out and "BI-RADS, by mamclip from prompts alone, 24 images" in out
    assert (tmp_path / "mamclip" / "predictions.csv").read_bytes() == (
        tmp_path / "pretrained" / "predictions.csv"
    ).read_bytes()
    table = datasets.load_from_disk(place / "records")
    rows = read(tmp_path / "mamclip", "predictions.csv")
    assert len(rows) == 32 and rows[0]["density"] == "" and rows[6]["birads"] == "3"
    compare = pipeline("zero-shot-image-classification", model=str(place / "mamclip"), trust_remote_code=True)
    assert np.ptp([float(row["BI-RADS 4"]) for row in rows]) > 0.01
    for task, titles in (("birads", FIVE_NAMES), ("density", [f"density {letter}" for letter in "ABCD"])):
        fits = compare([row["image"] for row in table], candidate_labels=task)
        for row, fit in zip(rows, fits, strict=True):
            found = {one["label"]: one["score"] for one in fit}
            for title in titles:
                label = title.removeprefix("density ")
                assert float(row[title]) == pytest.approx(found[label], abs=1e-5)
            assert row[f"predicted_{task}"] == fit[0]["label"].removeprefix("BI-RADS ")


def test_results_hold_names_numbers_and_prompts(place, tmp_path, monkeypatch):
    options = ("--model", place / "mamclip", "--data", place / "records", "--output", tmp_path / "out")
    assert run(SCRIPT, monkeypatch, *options) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["model"], results["data"], results["phantom"], results["crop"]) == (
        "mamclip",
        "records",
        False,
        True,
    )
    assert str(tmp_path.parent) not in json.dumps(results)
    assert (results["n_images"], results["n_patients"]) == (32, 16)
    # BI-RADS 3 and none are two of the eight that patients take in turn; 6 counts as 5.
    assert (results["birads"]["n_images"], results["birads"]["support_five"]) == (24, [4, 4, 4, 4, 8])
    assert results["density"]["n_images"] == 31
    assert results["prompts"] == {task: as_mapping(read_prompts(task)) for task in ("birads", "density")}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"results.json", "predictions.csv", "confusion_birads.png", "confusion_density.png"}
    rows = [row for row in read(tmp_path / "out", "predictions.csv") if row["birads"] not in ("", "3")]
    hits = sum(row["predicted_birads"] == row["birads"].replace("6", "5") for row in rows)
    assert hits == sum(np.diagonal(results["birads"]["confusion_five"]))


def test_the_crop_is_the_processor_s_unless_it_is_given(place, tmp_path, monkeypatch):
    wide = [Image.fromarray(np.pad(np.asarray(mammogram(i)), ((0, 0), (0, 60)))) for i in range(32)]
    data = records(tmp_path / "uncropped", image=wide)
    scores = {}
    for name, more in (("default", ()), ("crop", ("--crop",)), ("no", ("--no-crop",))):
        options = ("--model", place / "mamclip", "--data", data, "--tasks", "density", *more)
        assert run(SCRIPT, monkeypatch, *options, "--output", tmp_path / name) == 0
        scores[name] = (tmp_path / name / "predictions.csv").read_text()
    assert scores["default"] == scores["crop"] != scores["no"]


def test_findings_are_scored_on_what_captions_assert_and_deny(place, tmp_path, monkeypatch, capsys):
    options = ("--model", place / "mamclip", "--pairs", place / "pairs", "--tasks", "findings")
    assert run(SCRIPT, monkeypatch, *options, "--output", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["findings"]
    assert (found["n_images"], found["n_cases"]) == (16, 16)
    mass = found["per_finding"]["mass"]
    assert (mass["present"], mass["absent"]) == (8, 8)
    assert found["per_finding"]["calcifications"] == {"present": 0, "absent": 4}
    rows = read(tmp_path / "out", "findings.csv")
    assert [row["mass"] for row in rows[:4]] == ["present", "absent", "present", "absent"]
    present, absent = (
        [float(row["mass score"]) for row in rows if row["mass"] == side] for side in ("present", "absent")
    )
    ahead = np.mean([(a > b) + (a == b) / 2 for a in present for b in absent])
    assert mass["auroc"] == pytest.approx(ahead)
    out = capsys.readouterr().out
    assert "calcifications, 0 present, 4 absent: no score without both" in out
    assert "may have been pretrained on these pairs" in out


def test_held_out_cases_are_those_that_pretraining_held_out(place, tmp_path, monkeypatch, capsys):
    def write(name, content):
        (tmp_path / "run" / name).write_text(json.dumps(content))

    rows = [1, 2, 7, 12]
    (tmp_path / "run").mkdir()
    write("options.json", {"pairs": ["here/pairs"]})
    options = ["--model", place / "mamclip", "--pairs", place / "pairs", "--tasks", "findings"]
    options += ["--held-out", tmp_path / "run"]
    assert run(SCRIPT, monkeypatch, *options, "--output", tmp_path / "out") == 2
    assert "results.json does not exist" in capsys.readouterr().err
    write("results.json", {"held_out": note_held_out(["another case"] * 20, rows)})
    assert run(SCRIPT, monkeypatch, *options, "--output", tmp_path / "out") == 2
    assert "are not those that" in capsys.readouterr().err
    write("results.json", {"held_out": note_held_out([f"case {case}" for case in range(20)], rows)})
    assert run(SCRIPT, monkeypatch, *options, "--output", tmp_path / "out") == 0
    assert "may have been" not in capsys.readouterr().out
    expected = [f"case {row}" for row in rows if row % 5 != 2]  # every fifth caption says nothing of findings
    assert [row["case_id"] for row in read(tmp_path / "out", "findings.csv")] == expected


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"model": "nowhere"}, "is no model .no config.json."),
        ({"model": "classifier"}, "no aligned vision-language model"),
        ({"data": "nowhere"}, "holds no data set; make one with train_scripts/build_dataset.py"),
        ({"data": "pairs"}, "has no column 'patient_id'"),
        ({"data": "undense"}, "no image in .*undense has a label for density; give --tasks birads"),
        ({"data": None}, "needs --data, a folder of build_dataset.py"),
        ({"tasks": "findings"}, "--tasks findings has no use for --data"),
        ({"tasks": "findings", "data": None}, "needs --pairs, a folder of extract_pairs.py"),
        ({"tasks": "findings", "data": None, "pairs": "records"}, "has no column 'caption'"),
        (
            {"tasks": "findings", "data": None, "pairs": "wordless"},
            "no caption asserts or denies any of mass",
        ),
        ({"pairs": "pairs"}, "--tasks birads density has no use for --pairs"),
        ({"held-out": "pretrained"}, "--held-out is a choice among --pairs"),
        ({"prompts": "nowhere.yaml"}, "nowhere.yaml do not exist"),
        ({"batch-size": 0}, "--batch-size is 0; expected 1 or more"),
        ({"tasks": "densty"}, "invalid choice: 'densty'"),
        ({"promts": "x"}, "no option '--promts'; did you mean --prompts"),
        ({"output": "records"}, "exists already"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_and_nothing_is_left(
    changes, said, place, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    given = {"model": "mamclip", "data": "records", "output": "out", **changes}
    folders = ("model", "data", "pairs", "held-out", "prompts", "output")
    words = []
    for name, value in given.items():
        if value is not None:
            words += [f"--{name}", place / value if name in folders else value]
    before = {path.name for path in place.iterdir()}
    assert run(SCRIPT, monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert re.search(said, error), error
    assert {path.name for path in place.iterdir()} == before
