"""Frozen encoders on mini-MIAS's tasks: which films are fitted and tested, against what, and what is refused."""

import json

import datasets
import numpy as np
import pytest
from sklearn.metrics import f1_score
from tiny_models import pretraining_model, processor
from tiny_training import records, run

from training.texture_statistics import LEVELS, cooccurrence, texture_statistics

SCRIPT = "mini_mias_experiment.py"
PATIENTS = 24


def films(folder, tissues="FGD", abnormal=4, **columns):
    """Two films of every patient, of whom every so many has an abnormality."""
    rows = [place for place in range(PATIENTS) for _ in "LR"]
    own = {
        "mini_mias_tissue": [tissues[place % len(tissues)] for place in rows],
        "mini_mias_abnormality": ["CIRC" if place % abnormal == 0 else "NORM" for place in rows],
        "caption": [f"film of patient {place}" for place in rows],
        "caption_id": [str(place) for place in rows],
        "case_id": [f"patient {place}" for place in rows],
    }
    return records(folder, patients=PATIENTS, **{**own, **columns})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mini_mias")
    films(folder / "records")
    for name in ("pretrained", *(f"captions{fold}" for fold in range(4))):
        pretraining_model().save_pretrained(folder / name)
        processor().save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def results(place):
    with pytest.MonkeyPatch.context() as patch:
        encoders = [f"phantoms={place / 'pretrained'}", f"captions={place / 'captions{fold}'}"]
        given = [
            "--data",
            place / "records",
            "--encoders",
            *encoders,
            "--output",
            place / "output",
            "--draws",
            2,
        ]
        assert run(SCRIPT, patch, *given) == 0
    return json.loads((place / "output" / "results.json").read_text())


def test_every_film_is_tested_once_by_every_arm(results):
    arms = [row["encoder"] for row in results["summary"]]
    assert arms == ["phantoms", "captions", "random weights", "texture statistics", "commonest class"]
    assert [row["tissue"]["runs"] for row in results["summary"]] == [4, 4, 8, 4, 4]
    assert results["data"]["rows"] == 48 and results["data"]["patients"] == PATIENTS
    assert "mini_mias_experiment.py --data" in results["command"]


def test_the_commonest_class_scores_what_it_must(results):
    abnormal = results["summary"][-1]["abnormal"]
    labels = [int(place % 4 == 0) for place in range(PATIENTS)]
    assert abnormal["pooled"] == pytest.approx(f1_score(labels, [0] * PATIENTS, average="macro"))
    low, high = abnormal["interval"]
    assert low < abnormal["pooled"] < high


def test_equal_encoders_score_the_same_and_differ_from_random_ones(results):
    phantoms, captions, drawn = results["summary"][:3]
    assert (
        phantoms["tissue"] == captions["tissue"] and drawn["tissue"]["pooled"] != phantoms["tissue"]["pooled"]
    )
    compared = [(row["first"], row["other"]) for row in results["contrasts"]]
    assert len(compared) == 6 and compared[0] == ("phantoms", "random weights")


def test_the_table_has_every_arm_and_says_how_many_films(place, results):
    table = (place / "output" / "table.md").read_text()
    assert "mini-MIAS, 48 films of 24 women" in table
    assert all(f"| {row['encoder']} |" in table for row in results["summary"])


def test_pairs_of_a_fold_are_all_films_of_the_other_patients(place, tmp_path, monkeypatch):
    output = tmp_path / "pairs"
    assert run(SCRIPT, monkeypatch, "--data", place / "records", "--write-pairs", output) == 0
    parts = [datasets.load_from_disk(output / f"fold{fold}") for fold in range(4)]
    everyone = {f"patient {place}" for place in range(PATIENTS)}
    away = [everyone - set(part["case_id"]) for part in parts]
    assert set().union(*away) == everyone and sum(map(len, away)) == PATIENTS
    assert all(len(part) == 2 * len(set(part["case_id"])) for part in parts)
    assert run(SCRIPT, monkeypatch, "--data", place / "records", "--write-pairs", output) == 2


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"tissues": "FGX"}, "the films have the tissue 'X'; expected F, G or D"),
        ({"abnormal": 12}, "has no film of abnormal"),
        ({"mini_mias_tissue": None}, "has no column 'mini_mias_tissue'"),
    ],
)
def test_films_that_cannot_be_scored_are_refused(place, tmp_path, monkeypatch, capsys, columns, said):
    films(tmp_path / "records", **columns)
    given = ["--encoders", f"a={place / 'pretrained'}", "--output", tmp_path / "output"]
    assert run(SCRIPT, monkeypatch, "--data", tmp_path / "records", *given) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    "encoders, said",
    [
        (["pretrained"], "--encoders has 'pretrained'; expected NAME=FOLDER"),
        (["a=b", "a=c"], "expected NAME=FOLDER, each name once"),
        (["a=nowhere{fold}"], "the encoder nowhere0 is not a folder"),
        ([], "expected at least one argument"),
    ],
)
def test_what_is_no_encoder_is_refused(place, tmp_path, monkeypatch, capsys, encoders, said):
    given = ["--data", place / "records", "--output", tmp_path / "output", "--encoders", *encoders]
    assert run(SCRIPT, monkeypatch, *given) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "output").exists()


def test_another_folder_is_left_alone(place, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    given = ["--encoders", f"a={place / 'pretrained'}", "--output", tmp_path]
    assert run(SCRIPT, monkeypatch, "--data", place / "records", *given) == 2
    assert "holds no such experiment" in capsys.readouterr().err


def test_cooccurrence_by_hand():
    image = np.array([[0.1, 0.1], [0.9, 0.9]])
    low, high = int(0.1 * LEVELS), int(0.9 * LEVELS)
    found = cooccurrence(image, image > 0, distance=1)
    # Two rows to the right, and four pairs downwards and across.
    assert found[low, low] == found[high, high] == pytest.approx(1 / 6)
    assert found[low, high] == found[high, low] == pytest.approx(4 / 12)
    assert found.sum() == pytest.approx(1)


def test_texture_does_not_depend_on_the_side_and_tells_smooth_from_rough():
    rng = np.random.default_rng(3)
    rough = rng.uniform(0.3, 0.9, (40, 30))
    smooth = np.linspace(0.3, 0.9, 1200).reshape(40, 30)
    assert np.allclose(texture_statistics(rough), texture_statistics(rough[:, ::-1]))
    assert texture_statistics(rough)[10] > 5 * texture_statistics(smooth)[10]  # contrast
    dark = np.pad(rough, ((0, 0), (0, 30)))  # the background counts in the breast's share alone
    assert np.allclose(texture_statistics(dark)[1:], texture_statistics(rough)[1:])
    assert texture_statistics(dark)[0] == pytest.approx(0.5)
    assert not texture_statistics(np.zeros((4, 4))).any()
