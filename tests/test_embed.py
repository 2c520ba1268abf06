"""EMBED: whole columns at a time, the same as row by row; every rule an option; traps that change no record."""

import shutil

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.archives.embed import EmbedBuilder
from dataset_builders.archives.embed_findings import boxes, breast_findings
from dataset_builders.archives.embed_labels import ASSESSMENTS, breast_assessment, breasts, exam_kind, exams
from dataset_builders.describing import Step, describe, steps
from dataset_builders.findings import KINDS, Finding
from dataset_builders.phantom.archive_traps import CORRUPT, METADATA_TRAPS, plant_in_embed
from dataset_builders.phantom.archives import write_embed
from dataset_builders.phantom.case import draw_case
from dataset_builders.tables import read_texts

SIZE = {"height": 64, "width": 48, "processes": 1}
CASES = [draw_case(4, i) for i in range(5)] + [draw_case(4, 9, birads=6)]
BILATERAL, LEFT = "MG Screening Bilateral", "MG Diagnostic Left w/CAD"
DETAILS = ("numfind", "massshape", "massmargin", "massdens", "calcfind", "calcdistri", "path_severity")
COLUMNS = ("acc_anon", "side", "asses", "desc", "tissueden", "age_at_study", "RACE_DESC", "ETHNIC_GROUP_DESC")


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embed")
    write_embed(folder, CASES, **SIZE)
    return folder


@pytest.fixture
def build(tmp_path):
    return lambda folder, **options: EmbedBuilder(
        data_dir=folder, cache_dir=str(tmp_path / "c"), **{"crop": False, **options}
    )


def records(builder):
    return [{k: v for k, v in row.items() if k != "path"} for row in builder.found.rows]


def finding(side, asses, desc=BILATERAL):
    return {"side": side, "asses": asses, "desc": desc}


def clinical(*rows):
    """A clinical table as read_texts gives it; what a row does not say is empty."""
    return pd.DataFrame([dict.fromkeys((*COLUMNS, *DETAILS), "") | row for row in rows])


# ---- breasts


@pytest.mark.parametrize(
    "rows, side, expected",
    [
        ([finding("L", "S")], "L", 4),
        ([finding("L", "S")], "R", 1),  # the negative other side has no row of its own
        ([finding("L", "S", desc=LEFT)], "R", None),
        ([finding("?", "S")], "R", None),  # on a side that nobody knows
        ([finding("B", "B")], "R", 2),
        ([finding(None, "N")], "L", 1),
        ([finding("L", "X")], "L", None),
        ([], "L", None),
    ],
)
def test_embed_findings_to_breast(rows, side, expected):
    assert breast_assessment(rows, side) == expected


@pytest.mark.parametrize("order", ["ABN", "KMSPBN"])  # screening, diagnostic: from the worst on
def test_the_one_order_of_severity_is_embeds_two(order):
    for place, letter in enumerate(order):
        rows = [finding("L", other) for other in order[place:]]
        assert breast_assessment(rows[::-1], "L") == ASSESSMENTS[letter]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "acc_anon": st.sampled_from(["1", "2", "3"]),
            "side": st.sampled_from(["L", "R", "B", "", "?"]),
            "asses": st.sampled_from(["A", "N", "B", "P", "S", "M", "K", "", "X"]),
            "desc": st.sampled_from([BILATERAL, LEFT, "BIL MAMMO SCREEN DIGITAL", ""]),
        }
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_whole_columns_say_the_same_as_row_by_row(rows):
    rows += rows[: len(rows) // 2]  # some twice
    found = breasts(clinical(*rows)).set_index(["exam", "laterality"])
    for exam in {row["acc_anon"] for row in rows}:
        own = [row for row in rows if row["acc_anon"] == exam]
        for side in "LR":
            known = {row["asses"] for row in own if row["side"] in (side, "B", "")} & ASSESSMENTS.keys()
            expected = breast_assessment(own, side)
            assert ((exam, side) in found.index) == (expected is not None)
            if expected is not None:
                breast = found.loc[(exam, side)]
                assert breast["birads"] == expected
                assert breast["implied"] == (not known)
                assert breast["differ"] == (len(known) > 1)


CELLS = st.lists(
    st.fixed_dictionaries(
        {
            "acc_anon": st.sampled_from(["1", "2"]),
            "tissueden": st.sampled_from(["", "1", "4.0", "5"]),
            "age_at_study": st.sampled_from(["", "51.25", "old"]),
            "RACE_DESC": st.sampled_from(["", "Asian"]),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(CELLS)
def test_an_exam_takes_the_first_value_that_is_known(rows):
    found = exams(clinical(*rows)).set_index("exam")
    meanings = {
        "density": {"1": "A", "4.0": "D"},
        "embed_age": {"51.25": 51.25},
        "embed_race": {"Asian": "Asian"},
    }
    columns = {"density": "tissueden", "embed_age": "age_at_study", "embed_race": "RACE_DESC"}
    for exam in {row["acc_anon"] for row in rows}:
        for name, codes in meanings.items():
            values = [codes.get(row[columns[name]]) for row in rows if row["acc_anon"] == exam]
            known = found.loc[exam, name]
            assert (None if pd.isna(known) else known) == next(filter(None, values), None)


def test_exam_kinds():
    descriptions = ["MG Screening Bilateral", "BIL MAMMO SCREEN DIGITAL", "MG Diagnostic Left", "US Breast"]
    assert [exam_kind(one) for one in descriptions] == ["screening", "screening", "diagnostic", None]


# ---- findings


def test_phantom_findings_come_back_in_their_words(embed, build):
    by_breast = {}
    for row in build(embed, drop_3=False).found.rows:
        by_breast[row["patient_id"], row["laterality"]] = row["findings"]
    compared = 0
    for case in CASES:
        for side, breast in case.breasts.items():
            found = by_breast.get((str(60_000_000 + case.index), side), [])
            assert len(found) == len(breast.findings)
            for mine, theirs in zip(found, breast.findings, strict=True):
                words = (mine.shape, mine.margin, mine.density, mine.distribution, mine.birads)
                assert words == (
                    theirs.shape,
                    theirs.margin,
                    theirs.density,
                    theirs.distribution,
                    theirs.birads,
                )
                assert mine.kind in KINDS
                compared += 1
    assert compared > 4


def row(side="L", asses="S", **codes):
    return {"acc_anon": "1", "side": side, "asses": asses, "desc": BILATERAL, **codes}


@pytest.mark.parametrize(
    "codes, expected",
    [
        ({}, []),
        ({"massshape": "X", "massmargin": "S"}, [Finding("mass", "irregular", "spiculated", birads=4)]),
        ({"massshape": "G"}, [Finding("mass", birads=4)]),
        ({"massmargin": "D"}, [Finding("mass", margin="circumscribed", birads=4)]),
        ({"massshape": "Z", "massmargin": "D"}, []),  # a code that the legend does not have
        ({"massshape": "F"}, [Finding("focal asymmetry", birads=4)]),
        ({"massshape": "Q", "path_severity": "0.0"}, [Finding("other", birads=4, pathology="malignant")]),
        (
            {"massshape": "O", "massdens": "0.0", "calcfind": "I", "calcdistri": "C", "path_severity": "4"},
            [
                Finding("mass", "oval", density="fat-containing", birads=4, pathology="benign"),
                Finding(
                    "calcifications",
                    morphology="fine pleomorphic",
                    distribution="grouped",
                    birads=4,
                    pathology="benign",
                ),
            ],
        ),
        ({"calcfind": "9", "path_severity": "2"}, [Finding("calcifications", birads=4)]),
    ],
)
def test_codes_of_the_legend(codes, expected):
    assert breast_findings(clinical(row(**codes))).get(("1", "L"), []) == expected


def test_a_finding_of_several_specimens_is_one_with_the_worst_pathology():
    rows = [row(massshape="X", numfind="1", path_severity=severity) for severity in ("4", "0", "")]
    rows.append(row(massshape="X", numfind="2", path_severity="4"))
    found = breast_findings(clinical(*rows))["1", "L"]
    assert [one.pathology for one in found] == ["malignant", "benign"]


def test_a_finding_of_both_breasts_is_in_both():
    found = breast_findings(clinical(row(side="", massshape="O"), row(side="B", calcfind="V")))
    assert {breast: len(findings) for breast, findings in found.items()} == {("1", "L"): 2, ("1", "R"): 2}


@pytest.mark.parametrize(
    "cell, expected",
    [
        ("[[2030, 1044, 2432, 1446]]", [(1044, 2030, 1446, 2432)]),
        ("((1.0, 2.0, 3.0, 4.0), (5, 6, 7, 8))", [(2, 1, 4, 3), (6, 5, 8, 7)]),
        ("()", []),
        ("", []),
        ("[[1, 2, 3]]", []),
        ("[[10, 10, 5, 20]]", []),
    ],
)
def test_boxes(cell, expected):
    assert boxes(cell) == expected


def test_a_box_is_given_where_it_can_belong_to_one_finding_only(embed, build):
    single, other = 0, 0
    for row in build(embed, drop_3=False).found.rows:
        boxed = [finding.box for finding in row["findings"] if finding.box]
        assert len(boxed) <= 1 and (not boxed or len(row["findings"]) == 1)
        single += len(boxed)
        other += len(row["findings"]) > 1
    assert single > 0


# ---- images


def test_labels_are_those_of_the_phantom(embed, build):
    builder = build(embed, drop_3=False, merge_6=False)
    cases = {str(60_000_000 + case.index): case for case in CASES}
    for row in builder.found.rows:
        case = cases[row["patient_id"]]
        assert row["birads"] == case.breasts[row["laterality"]].birads
        assert (row["density"], row["embed_age"]) == (case.density, case.age)
        assert (row["embed_race"], row["embed_exam"]) == ("PHANTOM", "screening")
    assert len(builder.found.rows) == len(list(embed.rglob("*.dcm")))


def test_traps_change_no_record(embed, build, tmp_path):
    folder = shutil.copytree(embed, tmp_path / "archive")
    plant_in_embed(folder)
    plain, builder = build(embed, drop_3=False), build(folder, drop_3=False)
    assert [row for row in records(builder) if row["patient_id"] != CORRUPT] == records(plain)
    assert dict(builder.found.left_out) == {
        "FinalImageType is cview, not 2D": 1,
        "FinalImageType is C-view, not 2D": 1,
        "FinalImageType is empty, not 2D": 1,
        "ViewPosition is neither CC nor MLO": 2,
        "ImageLateralityFinal is neither L nor R": 1,
        "a spot or magnification view": 1,
        "the clinical table has no row of the exam": 1,
        "the file is not there": 1,
        "the table's path has neither a part cohort_… nor a beginning in path_map": 1,
        "the metadata table names the file twice": 1,
    }
    assert builder.found.left_out.total() == len(METADATA_TRAPS) + 1 and not plain.found.left_out
    builder.download_and_prepare()
    assert [CORRUPT in entry["file"] for entry in builder.skipped()] == [True]
    data = builder.as_dataset(split="train").remove_columns("image")
    expected = [{k: v for k, v in row.items() if k != "findings"} for row in records(plain)]
    assert data.to_list() == expected


def test_pngs_give_the_same_records(embed, build, tmp_path):
    expected = records(build(embed))
    for row in expected:
        row["findings"] = [type(one)(**{**vars(one), "box": None}) for one in row["findings"]]
    columns = ["png_path", "png_filename"]
    images = read_texts(embed / "tables" / "EMBED_OpenData_metadata.csv", columns)
    for name in ("named", "placed"):
        shutil.copytree(embed / "tables", tmp_path / name / "tables")
    for path, name in images[columns].itertuples(index=False):
        touch(tmp_path / "named" / "all" / name)  # anywhere, by its name
        touch(tmp_path / "placed" / path.removeprefix("/mnt/NAS2/mammo/"))  # where png_path says
    beside = shutil.copytree(embed, tmp_path / "beside")  # in the DICOM's place
    for path in beside.rglob("*.dcm"):
        path.rename(path.with_suffix(".png"))
    for name in ("named", "placed", "beside"):
        assert records(build(tmp_path / name, images="png")) == expected


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_a_copy_laid_out_otherwise_is_found_by_its_map(embed, build, tmp_path):
    folder = tmp_path / "archive"
    shutil.copytree(embed / "tables", folder / "tables")
    shutil.copytree(embed / "images" / "cohort_1", folder / "mine")
    with pytest.raises(FileNotFoundError, match=r"no folder cohort_1, cohort_2, …; expected EMBED's images"):
        build(folder)
    beginning = "/mnt/NAS2/mammo/anon_dicom/cohort_1"
    expected = records(build(embed))
    assert records(build(folder, path_map={beginning: "mine"})) == expected
    assert records(build(folder, path_map={beginning: str(folder / "mine"), "/mnt": "tables"})) == expected
    with pytest.raises(FileNotFoundError, match="path_map leads to .*nowhere, which is not a folder"):
        build(folder, path_map={beginning: "nowhere"})
    with pytest.raises(ValueError, match="no image that can be a record.*nor a beginning in path_map"):
        build(folder, path_map={"/other": "mine"})


# ---- options: a small archive of empty files


@pytest.fixture
def small(tmp_path):
    """Six images of one exam each, of empty files: labels alone are looked at."""

    def write(assessments, side="L", kind="2D", spot="0", desc=BILATERAL):
        images, findings = [], []
        for number, letters in enumerate(assessments):
            path = f"cohort_1/{number}/{number}/1.dcm"
            touch(tmp_path / "small" / "images" / path)
            images.append(
                {
                    "empi_anon": number,
                    "acc_anon": number,
                    "anon_dicom_path": f"images/{path}",
                    "FinalImageType": kind,
                    "ImageLateralityFinal": side,
                    "ViewPosition": "CC",
                    "spot_mag": spot,
                }
            )
            findings += [
                {"acc_anon": number, "desc": desc, "asses": letter, "tissueden": 2, "side": "L"}
                for letter in letters
            ]
        tables = tmp_path / "small" / "tables"
        tables.mkdir()
        pd.DataFrame(images).to_csv(tables / "EMBED_OpenData_metadata.csv", index=False)
        pd.DataFrame(findings).to_csv(tables / "EMBED_OpenData_clinical.csv", index=False)
        return tmp_path / "small"

    return write


def labels(builder):
    return [row["birads"] for row in builder.found.rows]


def test_the_papers_rules_are_the_default_and_each_can_be_changed(small, build):
    folder = small(["N", "B", "A", "P", "S", "M", "K", "NS"])
    assert labels(build(folder)) == [1, 2, 0, 4, 5, 5, 4]
    assert labels(build(folder, drop_3=False)) == [1, 2, 0, 3, 4, 5, 5, 4]
    assert labels(build(folder, merge_6=False)) == [1, 2, 0, 4, 5, 6, 4]
    assert labels(build(folder, keep_worst=False)) == [1, 2, 0, 4, 5, 5]
    assert build(folder).config.limits == {1: 25_000, 2: 25_000}
    with pytest.raises(ValueError, match="images is 'jpeg'; expected dicom or png"):
        build(folder, images="jpeg")


def test_the_other_breast_of_a_bilateral_exam(small, build):
    folder = small(["S", "S"], side="R")
    assert labels(build(folder)) == [1, 1]
    with pytest.raises(ValueError, match="2 images: the clinical table has no assessment of this breast"):
        build(folder, contralateral=False)


@pytest.mark.parametrize(
    "what, option, reason",
    [
        ({"kind": "cview"}, "synthetic", "FinalImageType is cview, not 2D"),
        ({"kind": "C-view"}, "synthetic", "FinalImageType is C-view, not 2D"),
        ({"spot": "1"}, "special_views", "a spot or magnification view"),
    ],
)
def test_what_the_paper_left_out_can_be_taken(small, build, what, option, reason):
    folder = small(["N", "S"], **what)
    with pytest.raises(ValueError, match=f"2 images: {reason}"):
        build(folder)
    assert labels(build(folder, **{option: True})) == [1, 4]


def test_limits_take_patients_by_the_seed_and_are_described(small, build):
    folder = small(["N"] * 9 + ["B"] * 4 + ["S"])
    builder = build(folder, limits={1: 3, 2: 4})
    assert sorted(labels(builder)) == [1, 1, 1, 2, 2, 2, 2, 4]
    assert records(builder) == records(build(folder, limits={1: 3, 2: 4}))
    others = [records(build(folder, limits={1: 3, 2: 4}, seed=seed)) for seed in range(1, 5)]
    assert any(other != records(builder) for other in others)
    lines = describe(builder.found).splitlines()
    assert lines[0].split() == ["14", "images", "in", "the", "archive"]
    assert lines[1].split()[0] == "-6" and "limit of 3 images of BI-RADS 1 → 8 remain" in lines[1]


def test_every_rule_is_described_in_the_order_of_its_turn(small, build):
    builder = build(small(["P", "K", "NS"]))
    text = describe(builder.found)
    assert text.splitlines()[1] == "        -1 BI-RADS 3 → 2 remain"
    assert text.splitlines()[2] == "         2 images of 2 patients become records"
    assert steps(builder.found) == [Step("BI-RADS 3", 1, 2)]
    assert "1 images of BI-RADS 6 that count as 5" in text and "findings differ; the worst counts" in text


def test_details_that_a_table_lacks_are_unknown_and_told(small, build):
    builder = build(small(["S"]))
    assert builder.found.rows[0]["embed_age"] is None and builder.found.rows[0]["findings"] == []
    assert builder.found.remarks["tables without a column age_at_study, which stays unknown"] == 1


def test_every_option_has_a_help_text():
    options = EmbedBuilder.BUILDER_CONFIG_CLASS.__dataclass_fields__
    own = (
        "limits",
        "images",
        "path_map",
        "synthetic",
        "special_views",
        "contralateral",
        "keep_worst",
        "drop_3",
    )
    assert all(options[name].metadata["help"] for name in (*own, "merge_6"))


def test_terms_forbid_publishing_weights_unasked():
    assert EmbedBuilder.terms.weights == "permission"


def test_tables_and_columns_that_are_missing_are_named(small, build, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"EMBED_OpenData_metadata\.csv"):
        build(tmp_path)
    folder = small(["N"])
    table = folder / "tables" / "EMBED_OpenData_clinical.csv"
    pd.read_csv(table).drop(columns="asses").to_csv(table)
    with pytest.raises(ValueError, match=r"clinical\.csv has no column 'asses'; the columns found are"):
        build(folder)
