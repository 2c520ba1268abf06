"""Folders of mammograms become tables and a page, by a release as by its export; bad files are rows that say why."""

import csv
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_files import as_bytes, mammogram
from PIL import Image
from tiny_models import VISION, pretraining_model, processor, random_weights
from tiny_training import pairs, run

from dataset_builders.mammogram_files import list_files
from inference.journal import RUN
from inference.predicting import NO_NUMBERS
from inference.reading import DEADLY
from modeling_mamclip import MamClipForImageClassification, onnx_mamclip
from training.initialization import new_classifier
from training.release import write_folder, write_release

BIRADS = [f"p_birads_{birads}" for birads in (0, 1, 2, 4, 5)]
GROUPS = ["p_benign", "p_incomplete", "p_malignant"]
DENSITY = [f"p_density_{letter}" for letter in "abcd"]
SCORES = [*BIRADS, *GROUPS, *DENSITY]
WRITTEN = {"about.json", "breasts.csv", "exams.csv", "predictions.csv", "predictions.jsonl", "report.html"}
SECRETS = ("ROSSI^ANNA", "PATIENT-4711", "1.2.826.4711", "19540321", "4711")
CT = "1.2.840.10008.5.1.4.1.1.2"
BAD = {
    "ct.dcm": "is no mammogram (CT, computed tomography; CT Image Storage)",
    "empty.png": "neither DICOM nor",
    "p2/cut.dcm": "not a DICOM image",
    "read me.txt": "neither DICOM nor",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A release of a classifier alone, its export, and an archive."""
    root = tmp_path_factory.mktemp("predict")
    model = random_weights(new_classifier(vision_config=VISION, projection_dim=12), 1)
    model.config.birads_temperature, model.config.density_temperature = 7.0, 3.0
    write_folder(root / "mamclip", model.config, model.state_dict(), processor().image_processor, name="tiny")
    with pytest.MonkeyPatch.context() as patch:
        words = ("--model", root / "mamclip", "--output", root / "mamclip-onnx")
        assert run("export_onnx.py", patch, *words) == 0
    write_archive(root / "archive")
    return root


def breast(seed):
    """(80, 60) uint16: a bright half disc with a texture of its own on a dark background."""
    y, x = np.mgrid[:80, :60]
    texture = np.random.default_rng(seed).integers(1500, 4000, (80, 60))
    return np.where(((y - 40) / 34) ** 2 + (x / (30 + seed)) ** 2 < 1, texture, 0).astype(np.uint16)


def write_archive(folder):
    """Patient 1 with three views of one study in two folders, another study; pictures; and what is no mammogram."""
    (folder / "p1").mkdir(parents=True)
    (folder / "p2").mkdir()
    study = {"PatientID": SECRETS[1], "PatientName": SECRETS[0], "PatientBirthDate": SECRETS[3]}
    study["StudyInstanceUID"] = f"{SECRETS[2]}.1"
    other = {**study, "StudyInstanceUID": f"{SECRETS[2]}.2"}
    for number, (name, tags) in enumerate(
        {
            "p1/a.dcm": {**study, "ViewPosition": "CC", "ImageLaterality": "L"},
            "p1/b": {**study, "ViewPosition": "MLO", "ImageLaterality": "L"},
            "p2/c.dcm": {**study, "ViewPosition": "ML", "ImageLaterality": "R"},
            "p2/later.dcm": other,
            "ct.dcm": {**study, "Modality": "CT", "SOPClassUID": CT},
        }.items()
    ):
        (folder / name).write_bytes(as_bytes(mammogram(breast(number), **tags)))
    for number, name in enumerate(("case7_L_CC.png", "case7-RMLO.png", "p2/d.png"), 10):
        Image.fromarray(breast(number) * 16).save(folder / name)
    (folder / "p2" / "cut.dcm").write_bytes((folder / "p1" / "a.dcm").read_bytes()[:100])
    (folder / "empty.png").touch()
    (folder / "read me.txt").write_text("of this archive")
    (folder / ".hidden").write_text("left out")


def predict(monkeypatch, *arguments):
    return run("predict.py", monkeypatch, *arguments)


@pytest.fixture(scope="module")
def result(place):
    with pytest.MonkeyPatch.context() as patch:
        words = ("--model", place / "mamclip", "--input", place / "archive", "--device", "cpu")
        assert predict(patch, *words, "--output", place / "results") == 0
    return place / "results"


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def images(output):
    return {row["file"]: row for row in table(output / "predictions.csv")}


def every_row(output):
    """Of all tables."""
    lines = (output / "predictions.jsonl").read_text().splitlines()
    tables = [table(output / name) for name in ("predictions.csv", "breasts.csv", "exams.csv")]
    return [*map(json.loads, lines), *(row for rows in tables for row in rows)]


def test_everything_is_there_and_nothing_else(result):
    assert {path.name for path in result.iterdir()} == WRITTEN
    rows = images(result)
    assert len(rows) == 11 and {name for name, row in rows.items() if row["error"]} == set(BAD)
    for name, said in BAD.items():
        assert said in rows[name]["error"] and str(result.parent) not in rows[name]["error"]
        assert not any(rows[name][column] for column in (*SCORES, "patient", "exam", "predicted_birads"))
    about = json.loads((result / "about.json").read_text())
    assert (about["files"], about["errors"], about["exams"]) == (11, 4, 4)
    assert "not a medical device" in about["note"] and about["phantom"] is False
    assert {row["notice"] for row in every_row(result)} == {"research use only, not a medical device"}


def test_images_have_the_models_calibrated_probabilities(place, result):
    model = MamClipForImageClassification.from_pretrained(place / "mamclip").eval()
    for name, row in images(result).items():
        if row["error"]:
            continue
        values = processor().image_processor(place / "archive" / name, return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            output = model(values)
        for columns, logits, temperature, task in (
            (BIRADS, output.logits, 7, "birads"),
            (DENSITY, output.density_logits, 3, "density"),
        ):
            found = [float(row[column]) for column in columns]
            assert found == pytest.approx((logits / temperature).softmax(-1)[0].tolist(), abs=1e-5)
            assert columns[int(logits.argmax())].rsplit("_")[-1] == row[f"predicted_{task}"].lower()
        p = {column: float(row[column]) for column in SCORES}
        benign, malignant = p["p_birads_1"] + p["p_birads_2"], p["p_birads_4"] + p["p_birads_5"]
        assert [p[column] for column in GROUPS] == pytest.approx(
            [benign, p["p_birads_0"], malignant], abs=2e-6
        )
        assert f"p_{row['predicted_group']}" == max(GROUPS, key=p.get)


def test_tags_make_exams_and_names_of_pictures_do_where_they_are_beyond_doubt(result):
    rows = images(result)
    exam = {name: (row["patient"], row["exam"]) for name, row in rows.items() if not row["error"]}
    assert exam["p1/a.dcm"] == exam["p1/b"] == exam["p2/c.dcm"]
    later, first = exam["p2/later.dcm"], exam["p1/a.dcm"]
    assert later[0] == first[0] and later[1] != first[1]  # the same woman at another time
    assert exam["case7_L_CC.png"] == exam["case7-RMLO.png"]
    assert len(set(exam.values())) == 4 and exam["p2/d.png"][0] != first[0]
    places = {name: (row["laterality"], row["view"], row["view_source"]) for name, row in rows.items()}
    assert places["p1/b"] == ("L", "MLO", "ViewPosition")
    assert places["case7-RMLO.png"] == ("R", "MLO", "file name") and places["p2/d.png"] == ("", "", "")


def test_breasts_and_exams_are_pooled_as_the_documentation_says(result):
    rows = images(result)
    exam = rows["p1/a.dcm"]["exam"]
    of = {row["laterality"]: row for row in table(result / "breasts.csv") if row["exam"] == exam}
    assert set(of) == {"L", "R"} and (of["L"]["images"], of["R"]["images"]) == ("2", "1")
    for column in SCORES:
        views = [float(rows[name][column]) for name in ("p1/a.dcm", "p1/b")]
        assert float(of["L"][column]) == pytest.approx(np.mean(views), abs=2e-6)
    (whole,) = [row for row in table(result / "exams.csv") if row["exam"] == exam]
    assert (whole["images"], whole["breasts"]) == ("3", "2")
    worse = max(of.values(), key=lambda row: sum(float(row[f"p_birads_{birads}"]) for birads in (0, 4, 5)))
    assert [whole[column] for column in BIRADS] == [worse[column] for column in BIRADS]
    three = [float(rows[name]["p_density_c"]) for name in ("p1/a.dcm", "p1/b", "p2/c.dcm")]
    assert float(whole["p_density_c"]) == pytest.approx(np.mean(three), abs=2e-6)


def test_warnings_say_what_somebody_should_know(result):
    said = {name: row["warnings"] for name, row in images(result).items()}
    assert "view ML is neither CC nor MLO" in said["p2/c.dcm"]
    assert (
        "the view is not known" in said["p2/later.dcm"] and "laterality is not known" in said["p2/later.dcm"]
    )
    assert "it stands alone" in said["p2/d.png"] and "stands alone" not in said["case7_L_CC.png"]


def test_an_unsure_crop_and_another_modality_are_warnings(place, monkeypatch, tmp_path):
    grain = np.random.default_rng(0).integers(0, 4096, (80, 60)).astype(np.uint16)
    Image.fromarray(grain).save(tmp_path / "RIGHT_CC.png")
    right = mammogram(breast(1), ImageLaterality="L", ViewPosition="CC")
    (tmp_path / "RCC.dcm").write_bytes(as_bytes(right))
    words = ("--model", place / "mamclip", "--any-modality", "--output", tmp_path / "out")
    assert predict(monkeypatch, *words, "--input", tmp_path, place / "archive" / "ct.dcm") == 0
    rows = {Path(name).name: row for name, row in images(tmp_path / "out").items()}
    assert rows["RIGHT_CC.png"]["crop_source"] != "detector" and rows["RIGHT_CC.png"]["warnings"]
    assert "no mammogram (CT, computed tomography; CT Image Storage)" in rows["ct.dcm"]["warnings"]
    assert rows["ct.dcm"]["p_birads_0"] and not rows["ct.dcm"]["error"]
    assert rows["RCC.dcm"]["laterality"] == "L"
    assert "the laterality is L by its tags and R by its name" in rows["RCC.dcm"]["warnings"]


def test_folders_can_be_exams(place, monkeypatch, tmp_path):
    words = ("--model", place / "mamclip", "--input", place / "archive", "--output", tmp_path / "out")
    assert predict(monkeypatch, *words, "--exams", "folders", "--pooling", "max") == 0
    rows = images(tmp_path / "out")
    exams = {}
    for name, row in rows.items():
        if row["exam"]:
            exams.setdefault(row["exam"], set()).add(str(Path(name).parent))
    assert sorted(map(sorted, exams.values())) == [["."], ["p1"], ["p2"]]
    (p2,) = [row for row in table(tmp_path / "out" / "exams.csv") if row["exam"] == rows["p2/d.png"]["exam"]]
    assert (p2["images"], p2["breasts"]) == ("3", "3")  # R, and two whose side nobody knows


def test_the_export_and_bfloat16_give_the_same(place, result, monkeypatch, tmp_path):
    expected = images(result)
    for number, (model, tolerance, options) in enumerate(
        (
            ("mamclip", 1e-4, ("--onnx", place / "mamclip-onnx")),
            ("mamclip-onnx", 1e-4, ("--batch-size", 3)),
            ("mamclip", 0.03, ("--dtype", "bfloat16", "--device", "cpu")),
        )
    ):
        output = tmp_path / str(number)
        words = ("--model", place / model, "--input", place / "archive", "--output", output)
        assert predict(monkeypatch, *words, *options) == 0
        for name, row in images(output).items():
            assert row["exam"] == expected[name]["exam"] and row["error"] == expected[name]["error"]
            if not row["error"]:
                found, other = ([float(one[column]) for column in SCORES] for one in (row, expected[name]))
                assert found == pytest.approx(other, abs=tolerance)


def test_lines_of_jsonl_are_the_rows_with_all_digits(result):
    lines = [json.loads(line) for line in (result / "predictions.jsonl").read_text().splitlines()]
    for line, row in zip(lines, table(result / "predictions.csv"), strict=True):
        assert line["file"] == row["file"] and (line["error"] or None) == (row["error"] or None)
        for column in SCORES:
            assert row[column] == ("" if line[column] is None else f"{line[column]:.6f}")
        assert "; ".join(line["warnings"]) == row["warnings"]


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.text, self.sources, self.links = "", [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.sources += [attributes["src"]] if "src" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []

    def handle_data(self, data):
        self.text += data


def test_the_page_shows_exams_and_holds_everything_itself(result):
    page = Page(result / "report.html")
    assert page.text.count("Research use only, not a medical device.") >= 2 and "PHANTOM" not in page.text
    assert len(page.sources) == 7 and not page.links
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    for row in table(result / "predictions.csv"):
        assert row["file"] in page.text
        for warning in filter(None, row["warnings"].split("; ")):
            assert warning in page.text
    for exam in table(result / "exams.csv"):
        assert f"Exam {exam['exam']}" in page.text and f"{float(exam['p_malignant']):.3f}" in page.text
    assert "BI-RADS 7.000, density 3.000" in page.text and str(result.parent) not in page.text


def test_no_identifier_and_no_path_of_this_machine_is_anywhere(place, result):
    for path in result.iterdir():
        content = path.read_text(encoding="utf-8")
        content = re.sub(r"data:image/png;base64,[\w+/=]+", "", content)
        content = re.sub(r"\b[0-9a-f]{64}\b", "", content)  # fingerprints
        for secret in (*SECRETS, str(place)):
            assert secret not in content, f"{path.name} has {secret}"


def test_the_page_stays_small_however_many_files_there_are(place, monkeypatch, tmp_path):
    words = ("--model", place / "mamclip", "--input", place / "archive", "--output", tmp_path / "out")
    assert predict(monkeypatch, *words, "--report-images", 2) == 0
    page = Page(tmp_path / "out" / "report.html")
    assert len(page.sources) == 2 and "pictures of the first 2 files alone" in page.text
    assert "3 further exams are in the tables" in page.text


@pytest.fixture(scope="module")
def aligned(place):
    """A release with both encoders and a classifier, and an index that it made of eight pairs."""
    folder = place / "aligned-release"
    random_weights(pretraining_model(), 1).save_pretrained(folder / "pretrained")
    processor().save_pretrained(folder / "pretrained")
    random_weights(new_classifier(folder / "pretrained"), 2).save_pretrained(folder / "classifier")
    write_release(folder / "mamclip", pretrained=folder / "pretrained", classifier=folder / "classifier")
    words = (
        "--model",
        folder / "mamclip",
        "--pairs",
        pairs(folder / "pairs", 4),
        "--output",
        folder / "index",
    )
    with pytest.MonkeyPatch.context() as patch:
        assert run("build_index.py", patch, *words, "--phantom") == 0
    return folder


def test_the_nearest_captions_are_those_that_find_similar_finds(
    place, aligned, monkeypatch, capsys, tmp_path
):
    model = ("--model", aligned / "mamclip", "--index", aligned / "index")
    words = (*model, "--input", place / "archive" / "p1", "--captions", 2, "--output", tmp_path / "out")
    assert predict(monkeypatch, *words) == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()]
    page = Page(tmp_path / "out" / "report.html").text
    assert "PHANTOM: they are synthetic" in page
    for line in lines:
        capsys.readouterr()
        image = place / "archive" / "p1" / line["file"]
        assert run("find_similar.py", monkeypatch, *model, "--image", image, "--k", 2, "--json") == 0
        hits = json.loads(capsys.readouterr().out)["results"][0]["hits"]
        assert [one["caption"] for one in line["captions"]] == [hit["caption"] for hit in hits]
        scores = [hit["score"] for hit in hits]
        assert [one["similarity"] for one in line["captions"]] == pytest.approx(scores, abs=1e-5)
        assert all(one["caption"] in page for one in line["captions"])


def test_an_index_of_another_model_is_one_sentence(place, aligned, monkeypatch, capsys, tmp_path):
    random_weights(pretraining_model(), 7).save_pretrained(tmp_path / "pretrained")
    processor().save_pretrained(tmp_path / "pretrained")
    random_weights(new_classifier(tmp_path / "pretrained"), 2).save_pretrained(tmp_path / "classifier")
    parts = {"pretrained": tmp_path / "pretrained", "classifier": tmp_path / "classifier"}
    write_release(tmp_path / "mamclip", **parts)
    words = ("--model", tmp_path / "mamclip", "--index", aligned / "index", "--input", place / "archive")
    assert predict(monkeypatch, *words, "--output", tmp_path / "out") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "which made the index" in error and not (tmp_path / "out").exists()


def test_a_phantom_model_says_so(place, monkeypatch, capsys, tmp_path):
    model = random_weights(new_classifier(vision_config=VISION, projection_dim=12), 1)
    given = (model.config, model.state_dict(), processor().image_processor)
    write_folder(tmp_path / "mamclip", *given, name="tiny", phantom=True)
    words = ("--model", tmp_path / "mamclip", "--input", place / "archive" / "p1")
    assert predict(monkeypatch, *words, "--output", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("PHANTOM")
    assert "PHANTOM" in Page(tmp_path / "out" / "report.html").text
    assert json.loads((tmp_path / "out" / "about.json").read_text())["phantom"] is True
    assert all("PHANTOM" in row["notice"] for row in every_row(tmp_path / "out"))


def test_only_where_no_file_can_be_read_it_ends_with_an_error_and_the_table_says_why(
    place, monkeypatch, capsys, tmp_path
):
    bad = [place / "archive" / name for name in BAD]
    words = ("--model", place / "mamclip", "--input", *bad, "--output", tmp_path / "out")
    for _ in range(2):  # a finished run says it again
        assert predict(monkeypatch, *words) == 2
        assert "no file could be read, of 4" in capsys.readouterr().err
    assert all(row["error"] for row in table(tmp_path / "out" / "predictions.csv"))
    assert "No file could be read" in Page(tmp_path / "out" / "report.html").text


def test_scores_that_are_no_numbers_are_errors(place, monkeypatch, capsys, tmp_path):
    model = random_weights(new_classifier(vision_config=VISION, projection_dim=12), 1)
    with torch.no_grad():
        model.birads_head.weight.fill_(float("nan"))
    given = (model.config, model.state_dict(), processor().image_processor)
    write_folder(tmp_path / "mamclip", *given, name="broken")
    words = ("--model", tmp_path / "mamclip", "--input", place / "archive" / "p1")
    assert predict(monkeypatch, *words, "--output", tmp_path / "out") == 2
    for row in table(tmp_path / "out" / "predictions.csv"):
        assert NO_NUMBERS in row["error"] and not any(row[column] for column in SCORES)


@pytest.fixture(scope="module")
def killed(place, tmp_path_factory):
    """What killed_predictions.py says, and its folder."""
    work = tmp_path_factory.mktemp("killed")
    program = Path(__file__).with_name("killed_predictions.py")
    words = [sys.executable, program, work, place / "mamclip", place / "archive"]
    root = str(program.parent.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout, work


def test_a_killed_run_ends_with_the_tables_of_one_that_was_not(killed):
    said, work = killed
    assert "finished already" in said  # it was last killed after the last file
    assert {path.name for path in (work / "killed").iterdir()} == WRITTEN
    for name in WRITTEN:
        assert (work / "killed" / name).read_bytes() == (work / "whole" / name).read_bytes(), name


def test_a_file_that_kills_its_reader_is_found_out_and_left_out(killed):
    expected, found = (images(killed[1] / name) for name in ("whole", "deadly"))
    assert DEADLY in found.pop("p2/d.png")["error"] and not expected.pop("p2/d.png")["error"]
    for name, row in found.items():
        for column in SCORES:  # another image fewer in a batch may move the last digit
            assert float(row[column] or -1) == pytest.approx(float(expected[name][column] or -1), abs=2e-6)


def test_a_finished_run_is_left_alone_and_another_is_refused(place, result, monkeypatch, capsys, tmp_path):
    words = {
        "--model": place / "mamclip",
        "--input": place / "archive",
        "--device": "cpu",
        "--output": result,
    }
    before = {path: path.stat().st_mtime_ns for path in result.iterdir()}
    assert predict(monkeypatch, *(word for pair in words.items() for word in pair)) == 0
    assert "finished already" in capsys.readouterr().out
    for changes, said in (
        ({"--model": place / "mamclip-onnx"}, "another --model"),
        ({"--input": place / "archive" / "p1"}, "another --input"),
        ({"--dtype": "bfloat16"}, "another --dtype"),
        ({"--exams": "folders"}, "another --exams"),
    ):
        assert predict(monkeypatch, *(word for pair in {**words, **changes}.items() for word in pair)) == 2
        error = capsys.readouterr().err
        assert f"was made with {said}" in error and error.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in result.iterdir()} == before


def test_an_interrupted_run_with_other_options_is_refused_too(place, monkeypatch, capsys, tmp_path):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    words = ("--model", place / "mamclip", "--input", place / "archive", "--output", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr("inference.reading.read_file", stop)
        assert predict(patch, *words) == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == [RUN]
    assert predict(monkeypatch, *words, "--batch-size", 2) == 2
    assert "was made with another --batch-size" in capsys.readouterr().err
    assert predict(monkeypatch, *words) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == WRITTEN


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"--model": "nowhere"}, "is not a MAM-CLIP folder: it has no config.json"),
        ({"--model": "aligned"}, "is no release with a classifier"),
        ({"--model": "stranger"}, "is no release with a classifier"),
        ({"--input": "nowhere"}, "does not exist; give files or folders"),
        ({"--input": "nothing"}, "there is no file in"),
        ({"--output": "archive/empty.png"}, "exists and is a file"),
        ({"--output": "archive"}, "there is no file in archive beside --output"),
        ({"--output": "mamclip"}, "holds something else already"),
        ({"--batch-size": 0}, "it must be at least 1"),
        ({"--frame": "last"}, "is none of central, max"),
        ({"--device": "abacus"}, "device 'abacus' is not there"),
        ({"--onnx": "mamclip"}, "is no ONNX export"),
        ({"--index": "archive"}, "holds no index of embeddings"),
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
    given = {"--model": "mamclip", "--input": "archive", "--output": "a", **changes}
    assert predict(monkeypatch, *(word for pair in given.items() for word in pair)) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (place / "a").exists()


def test_an_export_without_onnx_runtime_is_one_sentence(place, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(onnx_mamclip, "onnxruntime", None)
    words = ("--model", place / "mamclip-onnx", "--input", place / "archive", "--output", tmp_path / "a")
    assert predict(monkeypatch, *words) == 2
    assert capsys.readouterr().err.endswith("pip install onnxruntime\n")


def test_files_are_named_within_the_folder_that_holds_all_inputs(place):
    archive = place / "archive"
    assert set(list_files([archive / "p1"])) == {"a.dcm", "b"}
    assert set(list_files([archive / "p1", archive / "p2" / "d.png"])) == {"p1/a.dcm", "p1/b", "p2/d.png"}
    assert list(list_files([archive / "p1" / "a.dcm", archive / "p1" / "a.dcm"])) == ["a.dcm"]
