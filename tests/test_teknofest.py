"""TEKNOFEST in its three forms: the same rows from each, and what is said when one is odd or incomplete."""

import json
import shutil

import pandas as pd
import pytest

from dataset_builders.archives import mammosightr
from dataset_builders.archives.mammosightr import HUB_COPY, METADATA
from dataset_builders.archives.teknofest import (
    TeknofestBuilder,
    breast_assessments,
    parse_quadrants,
    parse_score,
)
from dataset_builders.phantom.archive_traps import (
    CORRUPT,
    plant_in_mammosightr,
    plant_in_teknofest,
)
from dataset_builders.phantom.archives import write_teknofest
from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.mammosightr import write_hub_copy, write_mammosightr

SIZE = {"height": 64, "width": 48, "processes": 1}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The same patients as DICOM and sheets, as PNGs, and as the Hub's Parquet."""
    folder = tmp_path_factory.mktemp("forms")
    cases = [draw_case(3, i, birads=birads) for i, birads in enumerate((0, 1, 2, 4, 5))]
    write_teknofest(folder / "dicom", cases, **SIZE)
    write_mammosightr(folder / "png", cases, **SIZE)
    write_hub_copy(folder / "parquet", folder / "png")
    shutil.rmtree(folder / "dicom" / "90000004")  # a patient whose images are missing
    shutil.rmtree(folder / "png" / "all_pngs" / "90000004")
    return folder


@pytest.fixture
def build(tmp_path):
    def build(folder, **options):
        options = {"unpack_to": str(tmp_path / "unpacked"), "crop": False, **options}
        return TeknofestBuilder(data_dir=folder, cache_dir=str(tmp_path / "cache"), **options)

    return build


def rows(builder, leave_out=(CORRUPT,)):
    without_path = [{k: v for k, v in row.items() if k != "path"} for row in builder.found.rows]
    return [row for row in without_path if row["patient_id"] not in leave_out]


def test_all_forms_give_the_same_rows(archives, build):
    dicom, png, parquet = (build(archives / form) for form in ("dicom", "png", "parquet"))
    assert rows(dicom) == rows(png) == rows(parquet, leave_out=["90000004"])
    assert len(rows(dicom)) > 12 and len(rows(parquet)) > len(rows(dicom))
    assert {row["birads"] for row in rows(parquet)} == {0, 1, 2, 4, 5}


def test_traps_change_no_record_of_the_sheets(archives, build, tmp_path):
    folder = shutil.copytree(archives / "dicom", tmp_path / "archive")
    plant_in_teknofest(folder)
    builder = build(folder)
    assert rows(builder) == rows(build(archives / "dicom"))
    assert builder.found.left_out == {
        "the file is not called one of RCC, RMLO, LCC, LMLO": 1,
        "the folder's name is no HASTANO of the sheets": 1,
        "the patient has rows that contradict each other": 1,
    }
    assert builder.found.remarks["patients in the sheets without an image"] == 2
    builder.download_and_prepare()
    assert [CORRUPT in entry["file"] for entry in builder.skipped()] == [True]
    assert len(builder.as_dataset(split="train")) == len(rows(builder))


def test_traps_change_no_record_of_the_pngs_nor_of_the_hub_copy(archives, build, tmp_path):
    folder = shutil.copytree(archives / "png", tmp_path / "archive")
    plant_in_mammosightr(folder)
    builder = build(folder)
    assert rows(builder) == rows(build(archives / "png"))
    assert builder.found.left_out == {
        f"{METADATA} does not name the file": 2,  # one under a laterality that is not the file's
        "the patient has rows that contradict each other": 1,
        "birads and birads_label contradict each other": 1,
    }
    builder.download_and_prepare()
    assert [CORRUPT in entry["file"] for entry in builder.skipped()] == [True]


def test_the_hub_copy_is_unpacked_once(archives, build, tmp_path):
    first = build(archives / "parquet")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "unpacked").rglob("*.png")}
    second = build(archives / "parquet")
    assert rows(first) == rows(second) and len(before) == len(first.found.rows)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "unpacked").rglob("*.png")}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_hub_copy_is_had_by_its_name(archives, build, monkeypatch):
    asked = []
    monkeypatch.setattr(
        mammosightr,
        "snapshot_download",
        lambda *name, **options: asked.append((name, options)) or str(archives / "parquet"),
    )
    assert rows(build(HUB_COPY)) == rows(build(archives / "parquet"))
    assert asked == [((HUB_COPY,), {"repo_type": "dataset"})]


def test_without_a_connection_one_sentence_says_what_to_do(build, monkeypatch):
    def offline(*name, **options):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(mammosightr, "snapshot_download", offline)
    with pytest.raises(
        OSError, match=r"cannot be had from the Hub \(no route to host\); give a copy's folder"
    ):
        build(HUB_COPY)


def test_several_forms_in_one_folder_ask_for_the_option(archives, build):
    with pytest.raises(ValueError, match="as dicom and as parquet and as png; choose with the option form"):
        build(archives)
    assert rows(build(archives, form="dicom")) == rows(build(archives / "dicom"))
    with pytest.raises(ValueError, match="form is 'excel'; expected auto, dicom, png, parquet"):
        build(archives, form="excel")


def test_an_archive_without_labels_says_what_was_sought(archives, build, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no .xlsx sheet, no {METADATA} with PNGs and no Parquet"):
        build(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"has no {METADATA}; expected the labels of the PNGs"):
        build(archives / "dicom", form="png")


@pytest.mark.parametrize(
    "content, said",
    [
        ("[{", "cannot be read as JSON"),
        ('{"rows": []}', "holds no list of objects"),
        ('[{"patient_id": "1", "view": "CC"}]', "has an object without 'laterality'"),
    ],
)
def test_a_broken_metadata_file_is_named(archives, build, tmp_path, content, said):
    folder = shutil.copytree(archives / "png", tmp_path / "archive")
    (folder / METADATA).write_text(content)
    with pytest.raises(ValueError, match=f"{METADATA} {said}"):
        build(folder)


def test_unknown_labels_are_told_and_none(archives, build, tmp_path):
    folder = shutil.copytree(archives / "png", tmp_path / "archive")
    entries = json.loads((folder / METADATA).read_text())
    entries[0] |= {"birads": None, "birads_label": None, "breast_composition": "X"}
    (folder / METADATA).write_text(json.dumps(entries))
    builder = build(folder)
    assert (None, None) in {(row["birads"], row["density"]) for row in rows(builder)}
    assert builder.found.remarks["images whose birads is empty"] == 1
    assert builder.found.remarks["images whose breast_composition is X"] == 1


@pytest.mark.parametrize(
    "change, said",
    [
        ({"patient_id": "../1"}, r"patient_id '../1'; expected letters and digits"),
        ({"image": {"bytes": None, "path": "x.png"}}, "has no image of patient 90000000; download it whole"),
    ],
)
def test_a_hub_copy_that_is_not_whole_is_refused_and_leaves_nothing(archives, build, tmp_path, change, said):
    table = pd.read_parquet(min((archives / "parquet").rglob("*.parquet")))
    (tmp_path / "copy").mkdir()
    pd.DataFrame([table.iloc[0].to_dict() | change]).to_parquet(tmp_path / "copy" / "a.parquet")
    with pytest.raises(ValueError, match=said):
        build(tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_hub_copy_without_a_column_is_refused(archives, build, tmp_path):
    table = pd.read_parquet(min((archives / "parquet").rglob("*.parquet")))
    (tmp_path / "copy").mkdir()
    table.drop(columns="birads").to_parquet(tmp_path / "copy" / "a.parquet")
    with pytest.raises(ValueError, match="a.parquet has no column 'birads'; found image, patient_id"):
        build(tmp_path / "copy")
    whole = min((archives / "parquet").rglob("*.parquet")).read_bytes()
    for damaged in (whole[:3], whole[:4] + b"\xff" * 200 + whole[204:]):
        (tmp_path / "copy" / "a.parquet").write_bytes(damaged)
        with pytest.raises(ValueError, match="a.parquet cannot be read as Parquet .*; get a new copy"):
            build(tmp_path / "copy")
    (tmp_path / "unpacked").mkdir()
    with pytest.raises(ValueError, match="unpacked is not an unpacked copy; give an empty place"):
        build(archives / "parquet")


@pytest.mark.parametrize(
    "score, right, left, expected",
    [
        (1, ["x"], [], {"R": 1, "L": 1}),
        (4, ["x"], [], {"R": 4, "L": 1}),
        (5, [], ["x"], {"R": 1, "L": 5}),
        (4, ["x"], ["y"], {"R": 4, "L": 4}),
        (2, [], [], {"R": 2, "L": 2}),
        (None, ["x"], [], {"R": None, "L": None}),
    ],
)
def test_patient_to_breast_rules(score, right, left, expected):
    assert breast_assessments(score, right, left) == expected


@pytest.mark.parametrize("cell", [None, "", "[]", "nan"])
def test_no_quadrant(cell):
    assert parse_quadrants(cell) == []


def test_quadrants_are_lists_written_as_text():
    assert parse_quadrants("['ÜST DIŞ', 'MERKEZ']") == ["ÜST DIŞ", "MERKEZ"]
    assert parse_quadrants("ÜST DIŞ, ALT İÇ") == ["ÜST DIŞ", "ALT İÇ"]


def test_scores():
    assert parse_score("Kategori 4", "BI-RADS4-5") == 4
    assert parse_score(None, "BI-RADS0") == 0
    assert parse_score(None, "BI-RADS4-5") is None
