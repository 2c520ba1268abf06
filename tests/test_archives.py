"""A phantom archive in, its records out: cache, limits, report, and what is said when something is missing."""

import json
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import datasets
import pandas as pd
import pytest
from huggingface_hub import DatasetCard

from dataset_builders import load_mammograms
from dataset_builders.archive_index import Index
from dataset_builders.builder_options import option_values
from dataset_builders.building import BUILDERS, prepared_builder, save_dataset
from dataset_builders.describing import steps
from dataset_builders.phantom.archives import write_teknofest
from dataset_builders.phantom.case import draw_case
from dataset_builders.publishing import write_card
from dataset_builders.records import RECORD_FEATURES

ROOT = Path(__file__).resolve().parent.parent
SIZE = {"height": 96, "width": 72, "processes": 1}


@pytest.fixture(scope="module")
def cases():
    return [draw_case(3, i, birads=birads) for i, birads in enumerate((0, 1, 2, 4, 5))]


@pytest.fixture(scope="module")
def teknofest(cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teknofest")
    write_teknofest(folder, cases, **SIZE)
    return folder


def build(name, folder, tmp_path, **options):
    return load_mammograms(name, folder, cache_dir=tmp_path / "cache", **options)


def copied(folder, target):
    """A copy of an archive that a test may change."""
    return shutil.copytree(folder, target)


def test_teknofest_images_get_the_labels_of_their_breast(teknofest, cases, tmp_path):
    data = build("teknofest", teknofest, tmp_path)
    assert set(RECORD_FEATURES) == set(data.column_names)
    assert len(data) == len(list(teknofest.rglob("*.dcm")))
    by_patient = {f"9{case.index:07d}": case for case in cases}
    for row in data:
        case = by_patient[row["patient_id"]]
        worse = case.breasts[row["laterality"]].birads == case.birads
        assert row["birads"] == (case.birads if worse else 1)
        assert row["density"] == case.density
        assert row["image"].mode == "L" and row["image"].getextrema() == (0, 255)


def test_the_breast_crop_can_be_left_out(teknofest, tmp_path):
    cropped = build("teknofest", teknofest, tmp_path)
    whole = build("teknofest", teknofest, tmp_path, crop=False)
    assert {image.size for image in whole["image"]} == {(72, 96)}
    assert all(image.width < 72 for image in cropped["image"])


def test_headers_count_in_any_unicode_form_and_folders_may_be_links(teknofest, tmp_path):
    folder = tmp_path / "decomposed"
    folder.mkdir()
    for path in teknofest.iterdir():
        if path.is_dir():
            (folder / path.name).symlink_to(path)
    table = pd.read_excel(teknofest / "veri_bilgisi.xlsx", dtype=str)
    table.columns = [unicodedata.normalize("NFD", name) + " " for name in table.columns]
    table.to_excel(folder / "a.xlsx", index=False)
    data = build("teknofest", folder, tmp_path)
    assert set(data["birads"]) >= {0, 4, 5}


def test_a_missing_column_is_named(teknofest, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    table = pd.read_excel(teknofest / "veri_bilgisi.xlsx", dtype=str).drop(columns="MEME KOMPOZİSYONU")
    table.to_excel(folder / "veri.xlsx", index=False)
    with pytest.raises(
        ValueError, match=r"veri.xlsx has no column 'MEME KOMPOZİSYONU'; the columns found are: HAST"
    ):
        build("teknofest", folder, tmp_path)


def test_unreadable_images_are_told_and_the_rest_is_built(teknofest, tmp_path):
    folder = copied(teknofest, tmp_path / "archive")
    images = sorted(folder.rglob("*.dcm"))
    images[0].write_bytes(b"")
    images[1].write_bytes(images[1].read_bytes()[:3000])
    builder = prepared_builder("teknofest", folder, tmp_path / "cache")
    skipped = builder.skipped()
    assert len(builder.as_dataset(split="train")) == len(images) - 2
    assert [entry["file"] for entry in skipped] == [str(images[0]), str(images[1])]
    assert "empty file" in skipped[0]["reason"]


def test_a_changed_table_is_not_answered_from_the_cache(teknofest, tmp_path):
    folder = copied(teknofest, tmp_path / "archive")
    before = build("teknofest", folder, tmp_path)
    table = pd.read_excel(folder / "veri_bilgisi.xlsx", dtype=str)
    table["MEME KOMPOZİSYONU"] = "A"
    table.to_excel(folder / "veri_bilgisi.xlsx", index=False)
    after = build("teknofest", folder, tmp_path)
    assert set(before["density"]) != {"A"} and set(after["density"]) == {"A"}


def test_an_image_that_was_exchanged_is_not_answered_from_the_cache(teknofest, tmp_path):
    folder = copied(teknofest, tmp_path / "archive")
    before = build("teknofest", folder, tmp_path, crop=False)
    first, other = sorted(folder.rglob("*.dcm"))[:2]
    first.write_bytes(other.read_bytes())
    after = build("teknofest", folder, tmp_path, crop=False)
    changed = [a.tobytes() != b.tobytes() for a, b in zip(before["image"], after["image"], strict=True)]
    assert sum(changed) == 1


def test_limits_keep_whole_classes_small_and_say_what_they_left_out(teknofest, tmp_path):
    every = build("teknofest", teknofest, tmp_path)
    builder = prepared_builder("teknofest", teknofest, tmp_path / "cache", limits={1: 3})
    kept = builder.as_dataset(split="train")["birads"]
    assert kept.count(1) == 3
    assert sorted(value for value in kept if value != 1) == sorted(v for v in every["birads"] if v != 1)
    beyond = builder.found.left_out["beyond the limit of 3 images of BI-RADS 1"]
    assert beyond == list(every["birads"]).count(1) - 3


def test_another_seed_of_a_limit_leaves_other_patients(teknofest, tmp_path):
    chosen = [
        set(
            build("teknofest", teknofest, tmp_path, limits={1: 4}, seed=seed).filter(is_negative)[
                "patient_id"
            ]
        )
        for seed in range(4)
    ]
    assert any(patients != chosen[0] for patients in chosen)


def is_negative(row):
    return row["birads"] == 1


def test_limits_and_options_that_make_no_sense_are_refused(teknofest, tmp_path):
    with pytest.raises(ValueError, match="limit of BI-RADS 1 is 0; expected 1 image or more"):
        build("teknofest", teknofest, tmp_path, limits={1: 0})
    with pytest.raises(ValueError, match="no option 'cropped'; expected one of crop, bits, limits, seed"):
        build("teknofest", teknofest, tmp_path, cropped=True)


def test_what_is_odd_in_the_sheet_is_counted_and_contradictions_are_left_out(teknofest, tmp_path):
    folder = copied(teknofest, tmp_path / "archive")
    table = pd.read_excel(folder / "veri_bilgisi.xlsx", dtype=str)
    twice = table.iloc[[0]].assign(
        **{"MEME KOMPOZİSYONU": "D" if table.iloc[0]["MEME KOMPOZİSYONU"] != "D" else "A"}
    )
    table.loc[1, "MEME KOMPOZİSYONU"] = ""
    absent = table.iloc[[2]].assign(HASTANO="00000000")
    pd.concat([table, twice, absent]).to_excel(folder / "veri_bilgisi.xlsx", index=False)
    found = prepared_builder("teknofest", folder, tmp_path / "cache").found
    own = len(list((next(folder.rglob(table.iloc[0]["HASTANO"]))).glob("*.dcm")))
    assert found.left_out == {"the patient has rows that contradict each other": own}
    assert found.remarks["patients whose MEME KOMPOZİSYONU is empty"] == 1
    assert found.remarks["patients in the sheets without an image"] == 1


def test_a_saved_archive_has_its_report_and_nothing_is_left_when_it_cannot_be(teknofest, tmp_path):
    output = tmp_path / "deep" / "records"
    about = save_dataset("teknofest", teknofest, output, cache_dir=tmp_path / "cache")
    assert json.loads((output / "build_report.json").read_text(encoding="utf-8")) == about
    assert about["images"] == len(list(teknofest.rglob("*.dcm"))) == sum(about["birads"].values())
    with pytest.raises(ValueError, match="records exists already"):
        save_dataset("teknofest", teknofest, output)
    with pytest.raises(FileNotFoundError):
        save_dataset("teknofest", tmp_path / "nowhere", tmp_path / "new" / "records")
    assert not (tmp_path / "new").exists()


# ---- the script


def run(*arguments):
    command = [sys.executable, str(ROOT / "train_scripts" / "build_dataset.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_script_ends_with_one_sentence_and_leaves_nothing(tmp_path):
    ended = run("--dataset", "teknofest", "--data-dir", tmp_path / "nowhere", "--output", tmp_path / "out")
    assert ended.returncode == 2
    assert ended.stderr.strip().splitlines()[-1].startswith("error: ") and "nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_nobody_is_built_by_an_unknown_name(tmp_path):
    with pytest.raises(ValueError, match="no builder 'ddsm'; expected one of cbis_ddsm, .*teknofest"):
        load_mammograms("ddsm", tmp_path)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_every_data_sets_card_has_rules_counts_licence_and_citation(name, tmp_path):
    """What a builder declares, and what its index counts, on a card of a table with one row."""
    builder = BUILDERS[name]
    assert len(builder.rules) >= 2 and all(rule.endswith(".") for rule in builder.rules)
    features = datasets.Features(
        {**RECORD_FEATURES, "image": datasets.Image(mode="L"), **builder.own_features}
    )
    row = dict.fromkeys(features) | {
        "patient_id": "P1",
        "exam_id": "E1",
        "view": "CC",
        "source": name,
    }
    index = Index(
        [{"path": "", **row}], Counter({"BI-RADS 3": 2, "the view is XCCL": 1}), Counter({"odd rows": 4})
    )
    about = {
        **{
            "source": name,
            "phantom": False,
            "terms": builder.terms.as_dict(),
            "images": 1,
            "patients": 1,
            "exams": 1,
        },
        **{column: {"unknown": 1} for column in ("birads", "density", "laterality", "view")},
        **{"options": option_values(builder.BUILDER_CONFIG_CLASS()), "unreadable": []},
        **{"rules": list(builder.rules), "in_archive": 4, "steps": [asdict(step) for step in steps(index)]},
        **{"left_out": dict(index.left_out), "remarks": dict(index.remarks)},
    }
    write_card(tmp_path, datasets.Dataset.from_list([row], features=features), about)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    said = [*builder.rules, builder.terms.licence, builder.terms.citation, "Research use only"]
    said += ["| BI-RADS 3 | 2 | 2 |", "| the view is XCCL | 1 | 1 |", "remain of 4", "- 4 odd rows"]
    assert [words for words in said if words not in card] == []
    header = DatasetCard(card).data
    free = builder.terms.licence == "CC BY 3.0"
    assert header.license == ("cc-by-3.0" if free else "other")
    assert free or re.fullmatch(r"[a-z0-9.-]+", header.license_name)
    assert all(f"| `{column}` |" in card for column in features)
