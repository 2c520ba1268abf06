"""The script from Parquet to numbers, tables and pictures; what cannot be is one sentence and leaves nothing."""

import json
import shutil
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from prediction_tables import prediction_table
from sklearn import metrics as sk
from tiny_training import records, run

from evaluation.calibration import reliability
from evaluation.level_scores import labelled_levels, score_levels
from evaluation.prediction_table import write_predictions
from evaluation.predictions import read_predictions
from evaluation.score_plots import confusion_plot, reliability_plot, roc_plot
from evaluation.score_tables import all_tables
from evaluation.subgroups import with_attributes
from evaluation.task_scores import recall_truth
from training.data import RECORD_COLUMNS
from training.origin import data_fingerprint
from training.sources import load_table

PICTURES = ("reliability", "roc", "confusion_image", "confusion_breast", "confusion_exam")
PREDICTIONS, VALIDATION = "predictions.parquet", "validation_predictions.parquet"
FEW = ("--samples", "100", "--min-patients", "5")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folds, each with predictions on its own test and validation patients."""
    root = tmp_path_factory.mktemp("runs")
    for fold in range(2):
        (root / f"fold{fold}").mkdir()
        for name, first in ((PREDICTIONS, 20 * fold), (VALIDATION, 100 + 10 * fold)):
            table = prediction_table(20, seed=first, first=first, strength=1.0)
            table.to_parquet(root / f"fold{fold}" / name)
    return root


def evaluate(monkeypatch, *words):
    return run("evaluate_predictions.py", monkeypatch, *words)


def test_folds_are_scored_together_at_every_level(runs, monkeypatch, tmp_path, capsys):
    folds, output = [runs / "fold0", runs / "fold1"], tmp_path / "new" / "scores"
    words = ("--predictions", *folds, "--validation", *folds, "--output", output, *FEW)
    assert evaluate(monkeypatch, *words) == 0
    results = json.loads((output / "metrics.json").read_text())
    assert (results["n_images"], results["n_patients"], results["pooling"]) == (160, 40, "mean")
    assert results["predictions"] == ["fold0/predictions.parquet", "fold1/predictions.parquet"]
    assert {level: found["birads"]["n"] for level, found in results["levels"].items()} == {
        "image": 160,
        "breast": 80,
        "exam": 40,
    }
    image = results["levels"]["image"]
    true = [
        *prediction_table(20, 0, 0, strength=1.0)["birads"],
        *prediction_table(20, 20, 20, strength=1.0)["birads"],
    ]
    pred = np.concatenate(
        [prediction_table(20, seed, seed, strength=1.0)["predicted_birads"] for seed in (0, 20)]
    )
    expected = sk.f1_score(true, pred, average="macro")
    assert image["birads"]["f1_five"]["value"] == pytest.approx(expected)
    assert set(image["birads"]["subgroups"]) == {"density", "view", "age", "race"}
    for task in ("birads", "density"):
        before, after = image[task], image[task]["temperature"]
        assert len(after["values"]) == 2 and after["nll"]["value"] < before["nll"]["value"]
    said = capsys.readouterr().out
    assert f"macro-F1 of 5 classes {expected:.3f} [" in said and "PHANTOM" not in said
    check_tables((output / "tables.md").read_text(), expected)
    check_pictures(output)


def check_tables(text, expected):
    assert f"| macro F1, five classes | {expected:.3f} [" in text
    assert "calibration with temperature" in text and "| largest gap |" in text and "PHANTOM" not in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1


def check_pictures(output):
    for name in PICTURES:
        assert Image.open(output / f"{name}.png").width > 500
        ElementTree.parse(output / f"{name}.svg")
    assert "BI-RADS 4" in (output / "roc.svg").read_text()  # words stay words


def test_the_order_of_folds_changes_nothing(runs, monkeypatch, tmp_path):
    monkeypatch.setattr("evaluation.score_pictures.score_pictures", lambda *_, **__: {})
    folds = [runs / "fold0" / PREDICTIONS, runs / "fold1" / PREDICTIONS]
    for name, order in (("one", folds), ("other", folds[::-1])):
        assert evaluate(monkeypatch, "--predictions", *order, "--output", tmp_path / name, *FEW) == 0
    one, other = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "other"))
    assert one.pop("predictions") == other.pop("predictions")[::-1] and one == other
    assert (tmp_path / "one" / "tables.md").read_bytes() == (tmp_path / "other" / "tables.md").read_bytes()


def test_phantoms_are_called_phantoms_and_one_task_does_alone(runs, monkeypatch, tmp_path, capsys):
    table = prediction_table(10)
    table[[name for name in table if name.startswith(("p_density", "predicted_density"))]] = None
    table.to_parquet(tmp_path / PREDICTIONS)
    words = (
        "--predictions",
        tmp_path,
        "--output",
        tmp_path / "scores",
        "--phantom",
        "--pooling",
        "max",
        *FEW,
    )
    assert evaluate(monkeypatch, *words) == 0
    assert capsys.readouterr().out.startswith("PHANTOM")
    text = (tmp_path / "scores" / "tables.md").read_text()
    assert text.startswith("PHANTOM") and "breast density" not in text
    picture = (tmp_path / "scores" / "roc.svg").read_text()
    assert "synthetic phantoms" in picture and "research use only" in picture
    assert "Research use only, not a medical device" in text
    results = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert results["phantom"] and results["pooling"] == "max" and set(results["levels"]["exam"]) == {"birads"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "required: --predictions"),
        (("--predictions", "nowhere"), "nowhere does not exist"),
        (("--predictions", "."), "predictions.parquet does not exist"),
        (("--predictions", "fold0", "fold0"), "both hold patient embed/P0000, so they overlap"),
        (("--predictions", "fold0", "fold1", "--validation", "fold0"), "names 2 runs, --validation 1"),
        (
            ("--predictions", "fold0", "--validation", f"fold0/{PREDICTIONS}"),
            "among the predictions that are scored",
        ),
        (("--predictions", "fold0", "--samples", "5"), "--samples is 5; expected 100 or more"),
        (("--predictions", "fold0", "--min-patients", "0"), "--min-patients is 0"),
        (("--predictions", "fold0", "--pooling", "median"), "invalid choice: 'median'"),
        (("--predictions", "fold0", "--polling", "max"), "did you mean --pooling?"),
        (("--predictions", "unlabelled"), "no row has a label"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_nothing(runs, words, said, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(runs)
    (runs / "unlabelled").mkdir(exist_ok=True)
    table = prediction_table(2)
    table[["birads", "density"]] = None
    table.to_parquet(runs / "unlabelled" / PREDICTIONS)
    assert evaluate(monkeypatch, *words, "--output", tmp_path / "scores") == 2
    error = capsys.readouterr().err.strip()
    assert said in error and error.startswith("error: ") and len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Records, other records with one label changed, and predictions that say that they are of the first."""
    root = tmp_path_factory.mktemp("told")
    records(root / "records", patients=4)
    records(root / "others", patients=4, birads=(0, 1, 2, 5))
    table = load_table(root / "records", RECORD_COLUMNS, "")
    for name, first in (("run", 0), ("again", 20)):
        (root / name).mkdir()
        frame = prediction_table(20, seed=first, first=first)
        fingerprint = data_fingerprint(table) if name == "run" else "0" * 64
        write_predictions(pa.Table.from_pandas(frame), root / name / PREDICTIONS, fingerprint)
    (root / "before").mkdir()  # the file does not say it, but its run does
    prediction_table(20).to_parquet(root / "before" / PREDICTIONS)
    (root / "before" / "results.json").write_text(json.dumps({"fingerprint": data_fingerprint(table)}))
    return root


@pytest.mark.parametrize("run_folder", ["run", "before"])
def test_predictions_of_the_records_that_are_given_are_scored(run_folder, told, monkeypatch, tmp_path):
    monkeypatch.setattr("evaluation.score_pictures.score_pictures", lambda *_, **__: {})
    words = ("--predictions", told / run_folder, "--data", told / "others", told / "records", *FEW)
    assert evaluate(monkeypatch, *words, "--output", tmp_path / "scores") == 0
    results = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    assert results["data"] == [data_fingerprint(load_table(told / "records", RECORD_COLUMNS, ""))]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--data", "others"), "holds predictions of another data set than others: images, labels or"),
        (("before", "--data", "others"), "holds predictions of another data set than others"),
        (("run", "again"), "are predictions of two different data sets, both called embed"),
        (("before", "again"), "are predictions of two different data sets, both called embed"),
        (("run", "--validation", "again"), "are predictions of two different data sets, both called embed"),
        (("nobody", "--data", "records"), "does not say what data it is of"),
        (("run", "--data", "nowhere"), "nowhere holds no data set"),
    ],
)
def test_predictions_of_another_data_set_are_refused(told, words, said, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(told)
    (told / "nobody").mkdir(exist_ok=True)
    prediction_table(20).to_parquet(told / "nobody" / PREDICTIONS)
    if "--validation" in words:
        shutil.copy(told / "again" / PREDICTIONS, told / "again" / VALIDATION)
    assert evaluate(monkeypatch, "--predictions", *words, "--output", tmp_path / "scores") == 2
    error = capsys.readouterr().err.strip()
    assert said in error and error.startswith("error: ") and len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_output_that_exists_is_left_alone(runs, monkeypatch, tmp_path, capsys):
    assert evaluate(monkeypatch, "--predictions", runs / "fold0", "--output", tmp_path) == 2
    assert "exists already" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_lines_are_told_apart_without_colour(monkeypatch):
    drawn = []
    monkeypatch.setattr("evaluation.score_plots.figure_files", lambda figure: drawn.append(figure) or {})
    rng = np.random.default_rng(0)
    curves = {str(place): (rng.random(50) < 0.5, rng.random(50)) for place in range(5)}
    roc_plot({"classes": {**curves, "all alike": (np.ones(50, bool), rng.random(50))}}, 0.9)
    lines = [line for line in drawn[0].axes[0].lines if line.get_label()[0] != "_"]
    assert len(lines) == 5
    assert len({line.get_marker() for line in lines}) == len({str(line._dash_pattern) for line in lines}) == 5
    bins = reliability(rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60))
    reliability_plot({"BI-RADS": {"as predicted": bins, "with temperature": bins}})
    above, below = drawn[1].axes
    points = [[one["confidence"], one["accuracy"], one["images"]] for one in bins]
    line, few = above.lines[1:3]
    assert line.get_xydata().tolist() == [point[:2] for point in points if point[2] >= 5]
    assert few.get_xydata().tolist() == [point[:2] for point in points if point[2] < 5]
    assert len(line.get_xydata()) and len(few.get_xydata())
    heights = [bar.get_height() for bar in below.patches]
    assert heights == [one["images"] for one in bins] * 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("labels", [[1] * 8, [3] * 7 + [1], [None] * 7 + [5]])
def test_labels_of_one_kind_are_scored_as_far_as_they_go(labels, tmp_path):
    table = prediction_table(2).assign(birads=pd.array(labels, dtype="Int8"))
    table.to_parquet(tmp_path / PREDICTIONS)
    data = labelled_levels(with_attributes(read_predictions([tmp_path / PREDICTIONS])), "mean", 100, 0)
    levels = score_levels(data, 1)
    json.dumps(levels, allow_nan=False)
    assert levels["image"]["birads"]["recall_auroc"] == {"value": None, "interval": None}
    assert all(
        len(row) == len(one["columns"]) for one in all_tables({"levels": levels}) for row in one["rows"]
    )
    assert set(roc_plot({"nothing to draw": {"image": recall_truth(data["image"]["birads"][1])}}, 0.9)) == {
        "png",
        "svg",
    }


def test_a_matrix_that_does_not_fit_its_names_is_refused():
    with pytest.raises(ValueError, match="shape .2, 2.: expected 3 x 3"):
        confusion_plot({"one": ([[1, 2], [3, 4]], "abc")})


def test_the_same_numbers_give_the_same_bytes():
    panels = {"one": ([[1, 0], [0, 2]], "ab"), "two": (np.eye(3, dtype=int), "abc")}
    files = confusion_plot(panels, "title")
    assert Image.open(BytesIO(files["png"])).format == "PNG" and b"<svg" in files["svg"]
    assert confusion_plot(panels, "title") == files
