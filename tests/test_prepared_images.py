"""Folders of mammograms → PNGs and a manifest: what is written, what is kept, going on, bad files, memory."""

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_files import as_bytes, mammogram
from PIL import Image
from tiny_training import run

from dataset_builders import prepared_images
from dataset_builders.prepared_images import COLUMNS, Preparation, prepare_file
from dataset_builders.processes import CRASHED
from processing import find_breast, read_image

SCRIPT = "prepare_images.py"


def breast(top=4000, height=200, width=150):
    """Half an ellipse at the left border, on black; (H, W) uint16."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / (0.35 * height)) ** 2 + (x / (0.6 * width)) ** 2 < 1
    return (inside * (top - x * 10)).astype(np.uint16)


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive" / "patient"
    folder.mkdir(parents=True)
    tags = {"ViewPosition": "MLO", "ImageLaterality": "L", "PatientID": "Doe 1234", "PatientName": "Doe^Jane"}
    (folder / "a.dcm").write_bytes(as_bytes(mammogram(breast(), **tags)))
    Image.fromarray((breast() // 16).astype(np.uint8)).save(folder / "b.png")
    (folder / "notes.txt").write_text("not an image")
    return tmp_path / "archive"


def manifest(output):
    with (output / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def prepare(monkeypatch, archive, output, *options):
    return run(SCRIPT, monkeypatch, "--input", archive, "--output", output, "--workers", 1, *options)


def test_images_are_cropped_with_all_their_bits_and_the_manifest_says_where(archive, tmp_path, monkeypatch):
    assert prepare(monkeypatch, archive, tmp_path / "out") == 0
    rows = manifest(tmp_path / "out")
    assert list(rows) == ["patient/a.dcm", "patient/b.png", "patient/notes.txt"]
    row = rows["patient/a.dcm"]
    pixels = read_image(archive / "patient" / "a.dcm").pixels
    box = find_breast(pixels)
    written = cv2.imread(str(tmp_path / "out" / row["output"]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, box.crop(pixels))
    assert written.dtype == np.uint16 and written.max() == 65535
    assert [int(row[name]) for name in ("x0", "y0", "x1", "y1")] == [box.x0, box.y0, box.x1, box.y1]
    assert (int(row["height"]), int(row["width"])) == written.shape
    assert (row["view"], row["laterality"], row["crop_source"]) == ("MLO", "L", box.source)
    other = cv2.imread(str(tmp_path / "out" / rows["patient/b.png"]["output"]), cv2.IMREAD_UNCHANGED)
    assert other.dtype == np.uint16 and other.max() == 257 * (4000 // 16)


def test_eight_bits_and_the_whole_image_on_request(archive, tmp_path, monkeypatch):
    assert prepare(monkeypatch, archive, tmp_path / "out", "--bits", 8, "--no-crop") == 0
    row = manifest(tmp_path / "out")["patient/a.dcm"]
    written = cv2.imread(str(tmp_path / "out" / row["output"]), cv2.IMREAD_UNCHANGED)
    assert written.shape == (200, 150) and written.dtype == np.uint8 and written.max() == 255
    assert row["x0"] == row["crop_source"] == ""


def test_a_bad_file_is_a_row_that_says_why(archive, tmp_path, monkeypatch, capsys):
    assert prepare(monkeypatch, archive, tmp_path / "out", "--no-crop") == 0
    row = manifest(tmp_path / "out")["patient/notes.txt"]
    assert "neither DICOM nor a picture" in row["error"] and row["output"] == ""
    assert (
        "2 of 3 files prepared, 0 of them before; 0 with a warning, 1 could not be read"
        in capsys.readouterr().out
    )


def test_nothing_of_the_patient_is_written_without_a_salt_and_a_pseudonym_with_one(
    archive, tmp_path, monkeypatch
):
    for name, salt in (("plain", ()), ("salted", ("--salt", "pepper"))):
        assert prepare(monkeypatch, archive, tmp_path / name, *salt) == 0
        written = b"".join(path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file())
        assert not any(word in written for word in (b"Doe", b"1234", b"pepper"))
    assert manifest(tmp_path / "plain")["patient/a.dcm"]["patient"] == ""
    assert len(manifest(tmp_path / "salted")["patient/a.dcm"]["patient"]) == 32


def test_a_second_run_makes_what_is_missing_and_no_more(archive, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    assert prepare(monkeypatch, archive, output) == 0
    whole = (output / "manifest.csv").read_bytes()
    images = {path: path.stat().st_mtime_ns for path in output.rglob("*.png")}
    a = output / "images" / "patient" / "a.dcm.png"
    a.unlink()
    (output / "manifest.csv").write_bytes(whole + b"patient/c.dcm,images/pat")  # a row that was cut short
    Image.fromarray(breast()).save(archive / "patient" / "notes.txt", "PNG")  # a bad file that was mended
    assert prepare(monkeypatch, archive, output) == 0
    assert "3 of 3 files prepared, 1 of them before" in capsys.readouterr().out
    rows = manifest(output)
    assert sorted(rows) == ["patient/a.dcm", "patient/b.png", "patient/notes.txt"] and a.is_file()
    b = output / "images" / "patient" / "b.png.png"
    assert b.stat().st_mtime_ns == images[b]


def test_other_options_and_other_folders_are_refused(archive, tmp_path, monkeypatch, capsys):
    assert prepare(monkeypatch, archive, tmp_path / "out") == 0
    before = manifest(tmp_path / "out")
    assert prepare(monkeypatch, archive, tmp_path / "out", "--bits", 8) == 2
    assert "prepared with other options" in capsys.readouterr().err
    assert manifest(tmp_path / "out") == before
    assert prepare(monkeypatch, archive, archive) == 2
    assert "holds something else" in capsys.readouterr().err
    assert prepare(monkeypatch, archive, tmp_path / "new", "--frame", "middle") == 2
    assert "'middle' is none of central, max, nor a number" in capsys.readouterr().err
    assert prepare(monkeypatch, tmp_path / "nowhere", tmp_path / "new") == 2
    assert not (tmp_path / "new").exists()


def test_no_readable_file_is_an_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(b"")
    assert prepare(monkeypatch, tmp_path / "in", tmp_path / "out") == 2
    assert "none of 1 files could be read" in capsys.readouterr().err


def test_several_processes_write_what_one_writes(archive, tmp_path, monkeypatch):
    assert prepare(monkeypatch, archive, tmp_path / "one") == 0
    assert prepare(monkeypatch, archive, tmp_path / "two", "--workers", 2) == 0
    assert manifest(tmp_path / "one") == manifest(tmp_path / "two")
    for path in (tmp_path / "one" / "images").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def crashing_on_notes(name, *rest):
    if "notes" in name:
        os._exit(1)
    return prepare_file(name, *rest)


def test_a_file_that_kills_its_process_is_a_row_and_the_others_are_prepared(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared_images, "prepare_file", crashing_on_notes)
    assert prepare(monkeypatch, archive, tmp_path / "out", "--workers", 2) == 0
    rows = manifest(tmp_path / "out")
    assert {name: row["error"] for name, row in rows.items()} == {
        "patient/a.dcm": "",
        "patient/b.png": "",
        "patient/notes.txt": CRASHED,
    }


def test_the_columns_are_those_of_the_rows(archive, tmp_path):
    row = prepare_file("a", archive / "patient" / "a.dcm", tmp_path, Preparation())
    assert set(row) | {"error"} == set(COLUMNS)
    assert json.dumps(Preparation(salt="pepper").noted()).count("pepper") == 0
    assert Path(tmp_path, row["output"]).is_file()
