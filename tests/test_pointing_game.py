"""The pointing game's numbers, and explain.py and pointing_game.py end to end on a tiny release."""

import json

import numpy as np
import pytest
from dicom_files import as_bytes, mammogram
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_models import pretraining_model, processor, random_weights
from tiny_training import run

from dataset_builders.building import new_builder
from dataset_builders.phantom.archives import write_embed
from dataset_builders.phantom.case import draw_case
from evaluation.bootstrap import percentile_interval
from evaluation.pointing_game import Pointed, chance_of, distances, is_hit, peak, pointing_scores
from training.initialization import new_classifier
from training.release import write_release

BOX = (10, 20, 14, 23)
EXPLAIN, GAME = "explain.py", "pointing_game.py"


def test_the_peak_is_the_hottest_pixel_and_of_a_plateau_its_middle():
    heat = np.zeros((7, 9), np.float32)
    assert peak(heat) is None
    heat[2:5, 3:8] = 0.5
    assert peak(heat) == (5, 3)
    heat[6, 8] = 0.6
    assert peak(heat) == (8, 6)


@pytest.mark.parametrize(
    ("point", "tolerance", "hit"),
    [
        ((10, 20), 0, True),
        ((13, 22), 0, True),
        ((14, 22), 0, False),  # the end is exclusive
        ((14, 22), 1, True),
        ((13, 25), 2.9, False),
        ((13, 25), 3, True),
        ((17, 26), 5.66, True),  # 4 to the right and 4 below: a circle around the corner
        ((17, 26), 5.6, False),
        (None, 100, False),  # an empty map points nowhere
    ],
)
def test_a_hit_is_in_the_box_or_as_near_as_the_tolerance(point, tolerance, hit):
    assert is_hit(point, [BOX], tolerance) is hit
    assert is_hit(point, [(100, 100, 101, 101), BOX], tolerance) is hit


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 30),
    st.integers(0, 40),
    st.integers(1, 15),
    st.integers(1, 15),
    st.floats(0, 12),
    st.booleans(),
)
def test_chance_is_the_share_of_the_breasts_pixels_that_are_hits(x0, y0, width, height, tolerance, second):
    boxes = [(x0, y0, x0 + width, y0 + height), *([BOX] if second else [])]
    y, x = np.mgrid[:25, :30]
    breast = ((y - 12) / 11) ** 2 + (x / 28) ** 2 < 1
    hits = [is_hit((i, j), boxes, tolerance) for j, i in np.argwhere(breast)]
    assert chance_of(boxes, breast, tolerance) == pytest.approx(np.mean(hits))
    assert chance_of([(0, 0, 30, 25)], breast) == 1


def test_chance_without_a_breast_is_refused():
    with pytest.raises(ValueError, match="no pixel of a breast"):
        chance_of([BOX], np.zeros((5, 5), bool))


def test_a_map_that_knows_nothing_scores_chance_and_one_that_knows_scores_one():
    rng = np.random.default_rng(0)
    breast = np.ones((64, 48), bool)
    boxes = [
        (x, y, x + 15, y + 15)
        for x, y in zip(rng.integers(0, 33, 600), rng.integers(0, 49, 600), strict=True)
    ]
    chances = [chance_of([box], breast, 3) for box in boxes]
    blind = [
        is_hit((int(x), int(y)), [box], 3)
        for x, y, box in zip(*rng.integers(0, (48, 64), (600, 2)).T, boxes, strict=True)
    ]
    maps = [
        Pointed(f"p{i // 4}", "mass", hit, chance)
        for i, (hit, chance) in enumerate(zip(blind, chances, strict=True))
    ]
    knows = [Pointed(one.patient, "calcifications", True, one.chance) for one in maps]
    scores = pointing_scores(maps + knows)
    mass, sure = scores["mass"], scores["calcifications"]
    assert mass["findings"] == 600 and mass["patients"] == 150
    assert mass["hits"]["value"] == pytest.approx(np.mean(blind)) and mass["chance"][
        "value"
    ] == pytest.approx(np.mean(chances))
    low, high = mass["above_chance"]["interval"]
    assert low < 0 < high
    assert sure["hits"] == {"value": 1.0, "interval": [1.0, 1.0]}
    assert sure["above_chance"]["interval"][0] > 0.7


def test_intervals_are_over_patients_not_over_images():
    alone = [Pointed(f"p{i}", "mass", i % 2 == 0, 0.1) for i in range(40)]
    fourfold = [Pointed(one.patient, "mass", one.hit, 0.1) for one in alone for _ in range(4)]
    intervals = [pointing_scores(rows)["mass"]["hits"]["interval"] for rows in (alone, fourfold)]
    assert intervals[0] == intervals[1]
    by_image = np.random.default_rng(0).binomial(160, 0.5, 2000) / 160
    low, high = percentile_interval(by_image)
    assert intervals[1][1] - intervals[1][0] > 1.5 * (high - low)
    with pytest.raises(ValueError, match="no maps"):
        pointing_scores([])


def test_distances_are_those_of_pixels():
    points = np.array([[9, 20], [10, 20], [16, 21], [0, 0]])
    np.testing.assert_allclose(distances(points, [BOX]), [1, 0, 3, np.hypot(10, 20)])


# The scripts


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny release of both models, a pretraining folder, a DICOM file, and a phantom archive with boxes."""
    root = tmp_path_factory.mktemp("heatmaps")
    random_weights(pretraining_model(), 1).save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    random_weights(new_classifier(root / "pretrained"), 2).save_pretrained(root / "classifier")
    write_release(
        root / "mamclip", pretrained=root / "pretrained", classifier=root / "classifier", phantom=True
    )
    values = np.random.default_rng(0).integers(0, 4096, (80, 60)).astype(np.uint16)
    (root / "LCC.dcm").write_bytes(as_bytes(mammogram(values, PatientName="Planted^Name")))
    cases = [draw_case(3, index, birads=5) for index in range(2)]
    write_embed(root / "embed", cases, height=96, width=72, processes=1)
    return root


@pytest.mark.parametrize(
    ("option", "words", "key"),
    [
        ("--label", "BI-RADS 4", "probability"),
        ("--label", "C", "probability"),
        ("--caption", "spiculated mass", "cosine"),
    ],
)
def test_an_explanation_is_a_picture_of_the_file_and_its_numbers(
    place, tmp_path, monkeypatch, option, words, key
):
    given = ("--model", place / "mamclip", "--input", place / "LCC.dcm", "--output", tmp_path / "out")
    assert run(EXPLAIN, monkeypatch, *given, option, words) == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"overlay.png", "explanation.json"}
    picture = Image.open(tmp_path / "out" / "overlay.png")
    about = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert picture.size == (60, 80) == (about["width"], about["height"])
    assert words in picture.text["Description"] and about[option.strip("-")] == words
    for text in (picture.text["Description"], about["notice"]):
        assert "Research use only" in text and "ot a medical device" in text
    assert 0 <= about[key] <= 1 if key == "probability" else -1 <= about[key] <= 1
    if about["hottest_pixel"] is not None:
        x, y = about["hottest_pixel"]
        assert 0 <= x < 60 and 0 <= y < 80
    for file in (tmp_path / "out").iterdir():
        assert b"Planted" not in file.read_bytes()


def test_a_pretraining_run_explains_captions_but_no_classes(place, tmp_path, monkeypatch, capsys):
    given = ("--model", place / "pretrained", "--input", place / "LCC.dcm")
    assert run(EXPLAIN, monkeypatch, *given, "--caption", "mass", "--output", tmp_path / "a") == 0
    assert run(EXPLAIN, monkeypatch, *given, "--label", "BI-RADS 4", "--output", tmp_path / "b") == 2
    assert "no release with a classifier" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"--label": "BI-RADS 9"}, "no class 'BI-RADS 9' of birads; it has BI-RADS 0"),
        ({"--label": " "}, "is empty"),
        ({"--input": "pretrained/config.json"}, "neither DICOM nor"),
        ({"--input": "missing.dcm"}, "missing.dcm does not exist"),
        ({"--model": "embed"}, "not a MAM-CLIP folder"),
        ({"--output": "embed"}, "exists already"),
        ({"--caption": "mass"}, "not allowed with argument --label"),
    ],
)
def test_what_cannot_be_explained_ends_in_one_sentence(place, monkeypatch, capsys, changes, said):
    options = {
        "--model": "mamclip",
        "--input": "LCC.dcm",
        "--label": "BI-RADS 4",
        "--output": "out",
        **changes,
    }
    paths = ("--model", "--input", "--output")
    words = [
        word for name, value in options.items() for word in (name, place / value if name in paths else value)
    ]
    assert run(EXPLAIN, monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "Traceback" not in error
    assert not (place / "out").exists()


def test_the_game_is_played_with_every_box_of_the_archive(place, tmp_path, monkeypatch, capsys):
    given = (
        "--model",
        place / "mamclip",
        "--data",
        place / "embed",
        "--phantom",
        "--output",
        tmp_path / "out",
    )
    assert run(GAME, monkeypatch, *given) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = new_builder("embed", place / "embed").found.rows
    kinds = [one.kind for row in rows for one in row["findings"] if one.box]
    assert set(kinds) <= {"mass", "calcifications"} and "mass" in kinds
    assert set(results["scores"]) == {"class", "caption", "brightest spot"}
    for scores in results["scores"].values():
        assert {kind: one["findings"] for kind, one in scores.items()} == {
            kind: kinds.count(kind) for kind in kinds
        }
        assert all(0 < one["chance"]["value"] < 0.5 for one in scores.values())
    assert results["phantom"] and "Research use only" in results["notice"]
    assert f"of {kinds.count('mass')} hit" in capsys.readouterr().out
    assert Image.open(tmp_path / "out" / "sheet.png").width > 200


def test_more_tolerance_has_more_hits_of_everybody(place, tmp_path, monkeypatch):
    given = ("--model", place / "pretrained", "--data", place / "embed", "--output", tmp_path / "out")
    words = ("--maps", "caption", "--caption", "a mass", "--findings", "mass", "--tolerance", "0.1")
    assert run(GAME, monkeypatch, *given, *words) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    for name in ("caption", "brightest spot"):
        strict, lenient = (results[kind][name]["mass"] for kind in ("scores_without_tolerance", "scores"))
        assert strict["hits"]["value"] <= lenient["hits"]["value"]
        assert strict["chance"]["value"] < lenient["chance"]["value"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--findings", "skin thickening"), "has no image with a box around one of skin thickening"),
        (("--tolerance", "15"), "a part of the longer side, from 0 to below 1"),
        (("--limit", "0"), "expected 1 or more"),
        (("--dataset", "vindr"), "breast-level_annotations.csv"),
    ],
)
def test_a_game_that_cannot_be_played_ends_in_one_sentence(place, tmp_path, monkeypatch, capsys, words, said):
    given = ("--model", place / "mamclip", "--data", place / "embed", "--output", tmp_path / "out")
    assert run(GAME, monkeypatch, *given, *words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
