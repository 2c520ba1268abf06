"""The script that makes phantom data: what it writes, that it is the same again, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SMALL = ["--text-cases", "3", "--scanned-cases", "0", "--patients", "2", "--embed-patients", "1"]


def make_phantom(output, *options):
    command = [sys.executable, str(ROOT / "train_scripts" / "make_phantom.py"), "--output", str(output)]
    return subprocess.run(
        [*command, "--height", "64", "--processes", "1", *options],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "phantom"
    done = make_phantom(folder, *SMALL, "--open-archives")
    assert done.returncode == 0, done.stderr
    return folder


def test_everything_is_there_and_counted(phantom):
    about = json.loads((phantom / "phantom.json").read_text())
    truth = json.loads((phantom / "atlas_text.truth.json").read_text())["figures"]
    assert about["atlases"] == {"text": sum(figure["n_images"] for figure in truth)}
    assert (phantom / "atlas_text.pdf").is_file() and not (phantom / "atlas_scanned.pdf").exists()
    assert (phantom / "teknofest" / "veri_bilgisi.xlsx").is_file()
    assert len({path.parent for path in phantom.glob("teknofest/*/*.dcm")}) == about["teknofest"] == 2
    assert len(list(phantom.glob("embed/tables/*.csv"))) == 2
    tables = {
        "vindr": "breast-level*.csv",
        "rsna": "train.csv",
        "cbis_ddsm": "mass_case*.csv",
        "mini_mias": "Info.txt",
    }
    for name, table in {**tables, "inbreast": "*/INbreast.csv"}.items():
        assert list(phantom.glob(f"{name}/{table}")), name
    assert not [path for path in phantom.parent.iterdir() if path != phantom]  # no half-written neighbour


def test_the_same_options_make_the_same_data(phantom, tmp_path):
    assert make_phantom(tmp_path / "again", *SMALL, "--open-archives").returncode == 0
    files = [path.relative_to(phantom) for path in phantom.rglob("*") if path.is_file()]
    same = [path for path in files if path.suffix in (".dcm", ".dicom", ".json", ".csv", ".pdf")]
    assert len(same) > 10
    for path in same:
        assert (tmp_path / "again" / path).read_bytes() == (phantom / path).read_bytes(), path


@pytest.mark.parametrize(
    "options, said",
    [
        (["--text-cases", "-1"], "'-1' is no whole number from 0"),
        (["--patients", "many"], "'many' is no whole number"),
        (
            ["--text-cases", "0", "--scanned-cases", "0", "--patients", "0", "--embed-patients", "0"],
            "nothing to make",
        ),
        (["--height", "8"], "is too small; expected at least 32"),
    ],
)
def test_what_cannot_be_made(options, said, tmp_path):
    done = make_phantom(tmp_path / "phantom", *SMALL, *options)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    done = make_phantom(tmp_path)
    assert done.returncode == 2 and "exists already" in done.stderr
    assert (tmp_path / "kept.txt").read_text() == "mine"
