"""An audit finds every kind of planted trouble and nothing in clean data; what it writes mends a split."""

import csv
import io
import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy import ndimage

from dataset_builders import image_looks
from dataset_builders.audit import KINDS, audit_table, shared_keys
from dataset_builders.burned_in_text import read_text, telling, view_label
from dataset_builders.image_looks import chest_wall, look_at_some
from dataset_builders.processes import CRASHED
from dataset_builders.records import PAIR_FEATURES, RECORD_FEATURES
from training.cli import run_script

SCRIPT = Path(__file__).parents[1] / "train_scripts" / "audit_dataset.py"
ROWS, COLUMNS = np.mgrid[:96, :72]
INSIDE = ((ROWS - 48) / 48) ** 2 + (COLUMNS / 72) ** 2 < 1  # chest wall at the left, for all the same outline
WITH_TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")


def breast(seed, laterality="L"):
    rng = np.random.default_rng(seed)
    texture = sum(
        w * ndimage.gaussian_filter(rng.standard_normal((96, 72)), s) for s, w in ((1.5, 60), (6, 250))
    )
    image = Image.fromarray(np.where(INSIDE, np.clip(110 + texture, 20, 255), 0).astype(np.uint8))
    return image if laterality == "L" else ImageOps.mirror(image)


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def record(patient, laterality="L", view="CC", birads=None, image=None, **changes):
    seed = patient * 4 + "LR".index(laterality) * 2 + ("CC", "MLO").index(view)
    return {
        "image": png(image or breast(seed, laterality)),
        "patient_id": f"p{patient}",
        "exam_id": f"e{patient}",
        "laterality": laterality,
        "view": view,
        "birads": (1, 2, 4)[patient % 3] if birads is None else birads,
        "density": "ABCD"[patient % 4],
        "source": "phantom",
        "split": "test" if patient % 2 else "training",
    } | changes


def save(rows, folder, features=None):
    features = features or Features({**RECORD_FEATURES, "split": Value("string")})
    # Stored bytes, so that an image that cannot be read can be planted.
    columns = {name: [row.get(name) for row in rows] for name in features}
    raw = Features({**features, "image": ImageFeature(mode="L", decode=False)})
    Dataset.from_dict(columns, features=raw).cast(features).save_to_disk(str(folder))
    return folder


def clean_rows():
    return [record(patient, laterality) for patient in range(8) for laterality in "LR"]


def pair(number, **changes):
    return {
        "image": png(breast(1000 + number)),
        "caption": f"Figure {number} shows a mass.",
        "caption_id": f"c{number}",
        "case_id": f"case {number}",
        "figure": str(number),
        "page": number,
        "source": "atlas",
    } | changes


@pytest.fixture
def audit(tmp_path, monkeypatch, capsys):
    """Runs the script in this process: options → exit code, what audit.json holds, what was printed."""
    calls = iter(range(100))

    def run(*options):
        output = tmp_path / f"audit {next(calls)}"
        words = [str(SCRIPT), *map(str, options), "--output", str(output), "--workers", "1"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            run_script(runpy.run_path(str(SCRIPT))["main"])
        file = output / "audit.json"
        results = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        assert output.exists() == (end.value.code in (0, 1)), "a folder must be there whole or not at all"
        return end.value.code, results, capsys.readouterr()

    return run


def test_clean_records_and_pairs_pass(audit, tmp_path):
    data, pairs = (
        save(clean_rows(), tmp_path / "records"),
        save(map_pairs(8), tmp_path / "pairs", PAIR_FEATURES),
    )
    code, results, said = audit("--data", data, "--pairs", pairs, "--folds", 3)
    assert code == 0 and not any(results["found"].values()), results["found"]
    assert results["images"] == 24 and results["chest_wall"] == {
        "as expected": 16,
        "on the other side": 0,
        "not clear": 0,
    }
    assert set(results["sides"]) == {
        "fold 0",
        "fold 1",
        "fold 2",
        "training pairs",
        "validation pairs",
        "held-out pairs",
    }
    assert "Nothing was found" in said.out


def map_pairs(number):
    return [pair(i) for i in range(number)]


def stamped(image, text, size=14):
    larger = image.resize((288, 384))
    ImageDraw.Draw(larger).text((180, 8), text, fill=255, font=ImageFont.load_default(size))
    return larger


def planted():
    """kind → the rows that are added to clean ones; the sides are those of the column split: odd patients are test."""
    jpeg = io.BytesIO()
    breast(0).resize((144, 192)).save(jpeg, "JPEG", quality=60)
    return {
        "patients": [record(0, view="MLO", exam_id="later", split="test")],
        "exams": [
            record(21, exam_id="e0", density="A", birads=1, laterality="R", view="MLO") | {"birads": 1}
        ],
        "identical": [record(21, image=breast(0), birads=1, density="A")],
        "near-duplicates": [record(21, image=Image.open(jpeg))],
        "mirrored": [record(21, "R", image=ImageOps.mirror(breast(0)))],
        "birads": [record(0, view="MLO", birads=4)],
        "density": [record(0, view="MLO", density="D")],
        "labels": [record(22, image=breast(0), birads=2, density="A")],
        "unreadable": [record(22) | {"image": {"bytes": png(breast(9))["bytes"][:300], "path": None}}],
        "blank": [record(22, image=Image.new("L", (40, 50), 7))],
    }


@pytest.mark.parametrize("kind", planted())
def test_what_is_planted_is_found_and_nothing_else(audit, tmp_path, kind):
    data = save(clean_rows() + planted()[kind], tmp_path / "records")
    code, results, _ = audit("--data", data, "--split", "split", "--no-text")
    assert code == 1 and results["failed"] == [kind]
    assert results["found"][kind] == 1 and results["problems"][0]["kind"] == kind
    assert {row["row"] for row in results["problems"][0]["rows"]} & {16}


@WITH_TESSERACT
@pytest.mark.parametrize(
    "text, kind", [("R MLO", "view-labels"), ("JANE DOE", "text"), ("2011-05-17", "text")]
)
def test_burned_in_text_is_read(text, kind):
    (line,) = read_text(np.asarray(stamped(breast(5), text, 20)))
    assert view_label(line) == (kind == "view-labels") and (telling(line) or kind == "view-labels"), line


@pytest.mark.parametrize(
    "text, label, words",
    [
        ("RCC", True, False),
        ("L-MLO", True, False),
        ("left", False, True),
        ("LEFT", True, True),
        ("3 cm", False, False),
    ],
)
def test_what_a_text_tells(text, label, words):
    assert view_label(text) == label and telling(text) == words


def test_without_tesseract_the_report_says_so(audit, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, results, said = audit("--data", save(clean_rows(), tmp_path / "records"), "--folds", 3)
    assert (
        code == 0
        and "NOT looked for: the program tesseract" in results["text"]
        and results["text"] in said.out
    )


@WITH_TESSERACT
def test_text_and_allowed_kinds(audit, tmp_path):
    rows = [*clean_rows(), record(22, image=stamped(breast(88), "LCC", 20))]
    data = save(rows, tmp_path / "records")
    code, results, _ = audit("--data", data, "--folds", 3)
    assert code == 1 and results["failed"] == ["view-labels"]
    code, results, said = audit("--data", data, "--folds", 3, "--allow", "view-labels")
    assert code == 0 and results["found"]["view-labels"] == 1 and "(allowed)" in said.out


def test_two_data_sets_and_a_clean_picture_of_the_leak(audit, tmp_path):
    first = save(clean_rows(), tmp_path / "mine")
    shared = save([record(3), record(40)], tmp_path / "theirs")
    code, results, _ = audit("--data", first, "--against", shared, "--no-text")
    assert code == 1 and set(results["failed"]) == {"patients", "exams", "identical"}
    page = next(tmp_path.glob("audit */audit.html")).read_text(encoding="utf-8")
    assert page.count("data:image/png") == 6 and "in mine and theirs" in page
    other = save([record(3, source="another", image=breast(777))], tmp_path / "other")
    assert audit("--data", first, "--against", other, "--no-text")[0] == 0, (
        "p3 of another source is somebody else"
    )


def test_cases_captions_pages_and_images_of_pairs(audit, tmp_path):
    mine = save(map_pairs(4), tmp_path / "mine", PAIR_FEATURES)
    theirs = [pair(9, case_id="case 1"), pair(10, caption="Figure 2  shows a mass."), pair(11, page=3)]
    theirs.append(pair(12, image=png(breast(1000))))
    code, results, _ = audit(
        "--data", mine, "--against", save(theirs, tmp_path / "b", PAIR_FEATURES), "--no-text"
    )
    assert code == 1
    assert {k: n for k, n in results["found"].items() if n} == {
        "cases": 1,
        "captions": 1,
        "pages": 1,
        "identical": 1,
    }


def test_an_image_that_one_side_has_twice_is_compared_for_both(audit, tmp_path):
    """The first of two identical images is in no fold, since BI-RADS 3 is no class; the second one counts."""
    first, (near,) = record(21, image=breast(0), birads=3), planted()["near-duplicates"]
    data = save([first, *clean_rows(), near], tmp_path / "records")
    for seed in range(20):
        code, results, _ = audit(
            "--data", data, "--no-text", "--folds", 2, "--seed", seed, "--allow", "labels"
        )
        if results["found"]["near-duplicates"]:
            rows = [problem for problem in results["problems"] if problem["kind"] == "near-duplicates"][0][
                "rows"
            ]
            assert [row["row"] for row in rows] == [1, 17] and code == 1
            return
    raise AssertionError("in twenty deals, two patients were never in different folds")


def test_an_image_of_records_among_pairs_is_a_leak(audit, tmp_path):
    pairs = save([*map_pairs(8), pair(20, image=png(breast(0)))], tmp_path / "pairs", PAIR_FEATURES)
    data = save(clean_rows(), tmp_path / "records")
    code, results, _ = audit("--data", data, "--pairs", pairs, "--no-text", "--folds", 3)
    assert code == 1 and results["failed"] == ["identical"]


def test_groups_mend_the_folds(audit, tmp_path):
    rows = [*clean_rows(), *(record(30 + i, image=breast(4 * i), birads=(1, 2, 4)[i % 3]) for i in range(4))]
    data = save(rows, tmp_path / "records")
    code, results, _ = audit("--data", data, "--no-text", "--folds", 2, "--allow", "labels")
    assert code == 1 and results["failed"] == ["identical"]
    groups = tmp_path / "audit 0" / "groups.csv"
    with groups.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 8
    options = ("--data", data, "--no-text", "--folds", 2, "--allow", "labels")
    code, results, _ = audit(*options, "--groups", groups)
    assert code == 0 and results["groups_of_identical_images"] == 4


def test_parquet_files_are_read(audit, tmp_path):
    features = Features({**RECORD_FEATURES, "split": Value("string")})
    table = Dataset.from_list(clean_rows(), features=features)
    (tmp_path / "hub" / "data").mkdir(parents=True)
    table.to_parquet(str(tmp_path / "hub" / "data" / "train-0.parquet"))
    code, results, _ = audit("--data", tmp_path / "hub", "--no-text", "--split", "split")
    assert code == 0 and results["sides"] == {"split test": 8, "split training": 8}


@pytest.mark.parametrize(
    "options, said",
    [
        (["--data", "nowhere"], "nowhere holds no data set"),
        (["--data", "records", "--split", "fold"], "has no column 'fold'; found image"),
        (["--data", "records", "--folds", "40"], "8 patients cannot fill 40 folds"),
        (["--data", "records", "--folds", "1"], "folds is 1; expected 2 or more"),
        (["--data", "records", "--distance", "9"], "--distance is 9; expected 0 to 7"),
        (["--data", "records", "--allow", "everything"], "invalid choice: 'everything'"),
        (["--data", "records", "--split", "split", "--stratify", "density"], "concern folds"),
        (["--data", "records", "--groups", "nothing.csv"], "nothing.csv does not exist"),
        (["--data", "pictures"], "expected those of build_dataset.py or extract_pairs.py"),
        (["--date", "records"], "did you mean --data?"),
    ],
)
def test_wrong_commands_end_with_a_sentence(audit, tmp_path, monkeypatch, options, said):
    save(clean_rows(), tmp_path / "records")
    save(
        [{"image": png(breast(1)), "source": "x"}],
        tmp_path / "pictures",
        Features({k: PAIR_FEATURES[k] for k in ("image", "source")}),
    )
    monkeypatch.chdir(tmp_path)
    code, _, printed = audit(*options)
    assert (
        code == 2 and said in printed.err and printed.err.count("\n") >= 1 and "Traceback" not in printed.err
    )


def test_composed_captions_are_no_leak_and_missing_values_no_key():
    columns = {
        "patient_id": ["a", "b"],
        "exam_id": ["a", "b"],
        "birads": [None, 2],
        "caption": ["the same", "the same"],
        "case_id": ["the same", "the same"],
        "source": ["x", "x"],
    }
    table = audit_table([{"name": "one", "sides": ["fold 0", "fold 1"], "columns": columns}])
    assert not list(shared_keys(table)) and table["birads"].tolist() == [None, 2]


def test_the_chest_wall_is_told_where_it_is_clear():
    left = np.asarray(breast(1))
    assert chest_wall(left) == "left" and chest_wall(left[:, ::-1]) == "right"
    assert chest_wall(np.full((50, 50), 90, np.uint8)) == ""


def test_every_kind_is_described():
    assert set(planted()) | {"view-labels", "text", "cases", "captions", "pages"} == set(KINDS)


def looks_or_dies(images, start, first, text):
    if first == 2:
        os._exit(1)
    return look_at_some(images.select(range(start, start + 2)), 0, first, text)


def test_images_that_kill_a_process_are_unreadable_and_the_others_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(image_looks, "AT_ONCE", 2)
    monkeypatch.setattr(image_looks, "look_at_some", looks_or_dies)
    pictures = [Image.fromarray(np.full((40, 30), 50 * number, np.uint8)) for number in range(4)]
    table = Dataset.from_dict({"image": pictures}, Features({"image": ImageFeature()}))
    looks = image_looks.look_at_all([table], tmp_path, workers=2, text=False)
    assert set(looks.unreadable) == {2, 3} and all(CRASHED in reason for reason in looks.unreadable.values())
    assert [bool(pixels) for pixels in looks.pixels] == [True, True, False, False]
