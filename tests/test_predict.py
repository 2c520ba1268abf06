"""Files and folders become a table of predictions, by a release as by its export; bad files are rows that say why."""

import csv
import shutil

import numpy as np
import pytest
import torch
from dicom_files import as_bytes, mammogram
from PIL import Image
from tiny_models import VISION, processor, random_weights
from tiny_training import run

from dataset_builders.mammogram_files import list_files, read_files
from modeling_mamclip import MamClipForImageClassification, onnx_mamclip
from training.initialization import new_classifier
from training.release import write_folder

BIRADS = ["BI-RADS 0", "BI-RADS 1", "BI-RADS 2", "BI-RADS 4", "BI-RADS 5"]
DENSITY = ["density A", "density B", "density C", "density D"]
HEADER = ["file", "laterality", "view", "birads", "density", *BIRADS, *DENSITY, "error"]
BAD = {
    "empty.png": "neither DICOM nor",
    "p2/cut.dcm": "not a DICOM image",
    "read me.txt": "neither DICOM nor",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A release of a classifier alone, its export, and an archive with four good files and three bad ones."""
    root = tmp_path_factory.mktemp("predict")
    model = random_weights(new_classifier(vision_config=VISION, projection_dim=12), 1)
    write_folder(root / "mamclip", model.config, model.state_dict(), processor().image_processor, name="tiny")
    with pytest.MonkeyPatch.context() as patch:
        words = ("--model", root / "mamclip", "--output", root / "mamclip-onnx")
        assert run("export_onnx.py", patch, *words) == 0
    write_archive(root / "archive")
    return root


def write_archive(folder):
    pixels = np.random.default_rng(0).integers(0, 4096, (4, 80, 60)).astype(np.uint16)
    (folder / "p1").mkdir(parents=True)
    (folder / "p2").mkdir()
    for name, values, tags in (
        ("p1/a.dcm", pixels[0], {"ViewPosition": "CC", "ImageLaterality": "L"}),
        ("p1/b", pixels[1], {"ViewPosition": "MLO", "ImageLaterality": "R"}),
        ("p2/c.dcm", pixels[2], {}),
    ):
        (folder / name).write_bytes(as_bytes(mammogram(values, **tags)))
    Image.fromarray(pixels[3] * 16).save(folder / "p2" / "d.png")
    (folder / "p2" / "cut.dcm").write_bytes((folder / "p1" / "a.dcm").read_bytes()[:100])
    (folder / "empty.png").touch()
    (folder / "read me.txt").write_text("of this archive")
    (folder / ".hidden").write_text("left out")


def predict(monkeypatch, *arguments):
    return run("predict.py", monkeypatch, *arguments)


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_release_and_its_export_fill_the_same_table(place, monkeypatch, capsys, tmp_path):
    tables = {}
    for name, size in (("mamclip", 1), ("mamclip-onnx", 1), ("mamclip-onnx", 3)):
        output = tmp_path / "new" / f"{name}-{size}.csv"
        words = ("--model", place / name, "--input", place / "archive", "--output", output)
        assert predict(monkeypatch, *words, "--batch-size", size) == 0
        assert "4 of 7 files predicted, 3 could not be read" in capsys.readouterr().out
        tables[output.stem] = table(output)
    first, *others = tables.values()
    assert list(first[0]) == HEADER
    names = ["empty.png", "p1/a.dcm", "p1/b", "p2/c.dcm", "p2/cut.dcm", "p2/d.png", "read me.txt"]
    assert sorted(row["file"] for row in first) == names
    for rows in others:
        for row, expected in zip(rows, first, strict=True):
            for name in HEADER:
                if name in BIRADS + DENSITY and row[name]:
                    assert float(row[name]) == pytest.approx(float(expected[name]), abs=1e-4)
                else:
                    assert row[name] == expected[name]
    assert sorted(path.name for path in output.parent.iterdir()) == sorted(f"{name}.csv" for name in tables)


def test_the_rows_are_the_models_probabilities_and_the_files_tags(place, monkeypatch, tmp_path):
    words = ("--model", place / "mamclip", "--input", place / "archive", "--output", tmp_path / "a.csv")
    assert predict(monkeypatch, *words) == 0
    rows = {row["file"]: row for row in table(tmp_path / "a.csv")}
    tags = {name: (row["laterality"], row["view"]) for name, row in rows.items()}
    assert tags["p1/a.dcm"] == ("L", "CC") and tags["p1/b"] == ("R", "MLO")
    assert set(tags.values()) == {("L", "CC"), ("R", "MLO"), ("", "")}
    for name, said in BAD.items():
        assert said in rows[name]["error"]
        assert not any(rows[name][column] for column in HEADER[1:-1])
    model = MamClipForImageClassification.from_pretrained(place / "mamclip").eval()
    for name in set(rows) - set(BAD):
        values = processor().image_processor(place / "archive" / name, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            output = model(values)
        for columns, task, logits in (
            (BIRADS, "birads", output.logits),
            (DENSITY, "density", output.density_logits),
        ):
            found = [float(rows[name][column]) for column in columns]
            assert found == pytest.approx(logits.softmax(-1)[0].tolist(), abs=1e-5)
            assert columns[int(logits.argmax())].removeprefix("density ") == rows[name][task]
        assert rows[name]["error"] == ""


def test_only_where_no_file_can_be_read_it_ends_with_an_error_and_the_table_says_why(
    place, monkeypatch, capsys, tmp_path
):
    bad = [place / "archive" / name for name in BAD]
    words = ("--model", place / "mamclip", "--input", *bad, "--output", tmp_path / "a.csv")
    assert predict(monkeypatch, *words) == 2
    assert "no file could be read, of 3" in capsys.readouterr().err
    assert all(row["error"] for row in table(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"--model": "nowhere"}, "is not a MAM-CLIP folder: it has no config.json"),
        ({"--model": "aligned"}, "is no release with a classifier"),
        ({"--model": "stranger"}, "is no release with a classifier"),
        ({"--input": "nowhere"}, "does not exist; give files or folders"),
        ({"--input": "nothing"}, "there is no file in"),
        ({"--output": "archive/empty.png"}, "exists already"),
        ({"--batch-size": 0}, "it must be at least 1"),
    ],
)
def test_what_cannot_be_is_one_sentence(place, changes, said, monkeypatch, capsys):
    monkeypatch.chdir(place)
    (place / "nothing").mkdir(exist_ok=True)
    for name, content in (
        ("aligned", '{"model_type": "mamclip", "auto_map": {"AutoModel": "modeling_mamclip.MamClipModel"}}'),
        ("stranger", '{"model_type": "bert"}'),
    ):
        (place / name).mkdir(exist_ok=True)
        (place / name / "config.json").write_text(content)
    given = {"--model": "mamclip", "--input": "archive", "--output": "a.csv", **changes}
    assert predict(monkeypatch, *(word for pair in given.items() for word in pair)) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (place / "a.csv").exists()


def test_an_export_without_onnx_runtime_is_one_sentence(place, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(onnx_mamclip, "onnxruntime", None)
    words = ("--model", place / "mamclip-onnx", "--input", place / "archive", "--output", tmp_path / "a.csv")
    assert predict(monkeypatch, *words) == 2
    assert capsys.readouterr().err.endswith("pip install onnxruntime\n")


def test_files_are_named_within_the_folder_that_holds_all_inputs(place):
    archive = place / "archive"
    assert set(list_files([archive / "p1"])) == {"a.dcm", "b"}
    assert set(list_files([archive / "p1", archive / "p2" / "d.png"])) == {"p1/a.dcm", "p1/b", "p2/d.png"}
    assert list(list_files([archive / "p1" / "a.dcm", archive / "p1" / "a.dcm"])) == ["a.dcm"]


def test_files_are_read_one_by_one_and_whatever_a_decoder_raises_is_a_sentence(place, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        shutil.copyfile(place / "archive" / "p1" / "a.dcm", tmp_path / name)

    def broken(pixels, return_tensors):
        raise RuntimeError("a decoder's\nown error")

    reading = read_files(list_files([tmp_path]), broken)
    assert next(reading).error == "a decoder's own error"
    (tmp_path / "b.dcm").unlink()
    assert "does not exist" in next(reading).error
