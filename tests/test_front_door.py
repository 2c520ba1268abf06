"""The console command: the same mains as train_scripts/*.py, quick help, and what it says when something is missing."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from test_imports import ROOMS
from tiny_training import run, words

from evaluation.notices import NOTICE
from train_scripts import doctor, front_door
from training import installation, machine
from training.cli import command_line
from training.shipped import shipped

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {
    "predict": "predict.py",
    "extract-atlas": "extract_pairs.py",
    "build-dataset": "build_dataset.py",
    "pretrain": "pretrain.py",
    "classify": "classify.py",
    "export": "export_release.py",
    "doctor": "doctor.py",
}


def mamclip(monkeypatch, *arguments):
    """The console command in this process → its exit code."""
    monkeypatch.setattr(sys, "argv", ["mamclip", *map(str, arguments)])
    try:
        front_door.command()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def fresh(code, **options):
    """A Python program in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, **options
    )


# ---- the command


def test_the_help_names_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['mamclip', '--help']\n"
        "from train_scripts.front_door import command\n"
        "command()\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'pandas', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'imported {sorted(heavy)}' if heavy else 0)"
    )
    done = fresh(code)
    assert done.returncode == 0, done.stderr
    assert all(f"\n    {name} " in done.stdout for name in SCRIPTS)
    assert NOTICE in done.stdout and max(map(len, done.stdout.splitlines())) <= 120


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_command_gives_its_scripts_help_under_its_own_name(name, monkeypatch, capsys):
    assert mamclip(monkeypatch, name, "--help") == 0
    own = capsys.readouterr().out
    assert own.startswith(f"usage: mamclip {name} ")
    assert run(SCRIPTS[name], monkeypatch, "--help") == 0
    scripts = capsys.readouterr().out

    def text(help_, program):
        return " ".join(help_.replace(f"usage: {program} ", "usage: ").split())

    assert text(own, f"mamclip {name}") == text(scripts, SCRIPTS[name])


def test_a_command_does_what_its_script_does(monkeypatch, capsys, tmp_path):
    wrong = words(pretrained="nowhere", output=tmp_path / "mamclip")
    assert mamclip(monkeypatch, "export", *wrong) == run("export_release.py", monkeypatch, *wrong) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and said[0] == said[1] and "nowhere" in said[0]


@pytest.mark.parametrize(
    "given, said",
    [
        ("predikt", "error: there is no command 'predikt'; did you mean predict?\n"),
        ("--no-such-option", "error: there is no command '--no-such-option'; there are predict,"),
    ],
)
def test_an_unknown_command_is_one_sentence_and_exit_code_2(given, said, monkeypatch, capsys):
    assert mamclip(monkeypatch, given) == 2
    error = capsys.readouterr().err
    assert error.startswith(said) and error.count("\n") == 1


def test_a_package_that_a_command_needs_and_that_is_missing_is_one_sentence():
    code = (
        "import sys; sys.argv = ['mamclip', 'predict', '--help']\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from train_scripts.front_door import command; command()"
    )
    done = fresh(code)
    assert done.returncode == 2
    assert done.stderr == (
        "error: mamclip predict needs the package torch; mamclip doctor says how to add what is missing.\n"
    )


@pytest.mark.parametrize(
    "argv, noted",
    [
        (["mamclip pretrain", "--pairs", "my pairs"], "mamclip pretrain --pairs 'my pairs'"),
        (["train_scripts/pretrain.py", "--seed", "1"], "python train_scripts/pretrain.py --seed 1"),
    ],
)
def test_a_runs_records_hold_the_command_that_can_be_typed_again(argv, noted, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    assert command_line() == noted


# ---- doctor


def test_the_doctor_finds_this_machine_ready_and_says_every_version(monkeypatch, capsys):
    assert mamclip(monkeypatch, "doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ready"] and not [one for one in found["missing"] if one["needed"]]
    core = [row["name"] for row in found["packages"] if not row["extra"]]
    assert core[:7] == list(installation.FIRST) and all(row["fits"] for row in found["packages"][:7])
    assert {codec["name"] for codec in found["codecs"]} >= {"JPEG2000Lossless", "RLELossless"}
    assert all(codec["decoder"] for codec in found["codecs"])
    assert all(cache["free"] > 0 for cache in found["caches"])
    assert mamclip(monkeypatch, "doctor") == 0
    text = capsys.readouterr().out
    assert all(f"{row['name']} " in text and row["version"] in text for row in found["packages"][:7])


def test_the_doctor_runs_without_torch_and_names_the_command_that_adds_it():
    code = (
        "import sys, importlib.metadata as m; sys.argv = ['mamclip', 'doctor']; sys.modules['torch'] = None\n"
        "real = m.version\n"
        "def version(name):\n"
        "    if name == 'torch': raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.version = version\n"
        "from train_scripts.front_door import command; command()"
    )
    done = fresh(code)
    assert done.returncode == 1, done.stderr
    assert "torch                          not installed" in done.stdout
    assert 'pip install "torch>=' in done.stdout and "cannot be told" in done.stdout
    assert done.stdout.endswith("Something that is needed is missing.\n")


def test_what_serves_one_purpose_alone_is_missing_without_making_the_doctor_fail(monkeypatch):
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEGLSLossless

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(get_decoder(JPEGLSLossless), "_available", {})
    real = installation.installed
    monkeypatch.setattr(installation, "installed", lambda name: None if name == "pyjpegls" else real(name))
    found = installation.examine()
    missing = {one["what"]: one for one in found["missing"]}
    assert found["ready"] and not any(one["needed"] for one in missing.values())
    assert missing["tesseract"]["command"] == "sudo apt-get install tesseract-ocr"
    assert missing["pyjpegls"]["command"].startswith('pip install "pyjpegls>=')
    assert found["ocr"] == {"version": None, "languages": []} and found["chromium"] is None
    codecs = {codec["name"]: codec for codec in found["codecs"]}
    assert codecs["JPEGLSLossless"]["decoder"] is None
    assert codecs["JPEGLSLossless"]["command"] == "pip install pyjpegls"
    assert "JPEGLSLossless                 no decoder\n      pip install pyjpegls" in "\n".join(
        doctor.lines(found)
    )


def test_a_torchvision_of_another_torch_is_needed_to_be_put_right(monkeypatch):
    monkeypatch.setattr(
        installation, "installed", lambda name: {"torch": "2.9.0+cpu", "torchvision": "0.29.1"}.get(name, "9")
    )
    monkeypatch.setattr(installation.metadata, "requires", lambda name: ["numpy", "torch==2.14.1"])
    assert installation.torch_mismatch() == "2.14.1"
    found = {
        "gpus": [],
        "packages": [],
        "mamclip": "1",
        "ocr": {"version": "5", "languages": ["eng"]},
        "caches": [],
    }
    (one,) = installation.what_is_missing(found)
    assert one.needed and "for torch 2.9.0+cpu (found one for torch 2.14.1)" in one.what
    assert one.command.startswith("pip install ")


def test_a_gpu_is_named_and_so_is_a_torch_that_cannot_use_it(monkeypatch, tmp_path):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA A100-SXM4-40GB, 40960, 550.54.15'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    about = {"name": "NVIDIA A100-SXM4-40GB", "memory_gib": 40.0, "driver": "550.54.15", "usable": False}
    assert machine.gpus() == [about]
    found = installation.examine()
    assert "a torch that uses the GPU" in [one["what"] for one in found["missing"]]
    assert "NVIDIA A100-SXM4-40GB, 40.0 GiB, driver 550.54.15, which torch cannot use" in "\n".join(
        doctor.lines(found)
    )


@pytest.mark.parametrize(
    "version, wanted, answer",
    [
        ("2.14.1+cpu", ">=2.8", True),
        ("2.8.0", ">=2.8", True),
        ("2.8", ">=2.8.0", True),
        ("2.7.9", ">=2.8", False),
        ("2.0", ">=1.24,<2", False),
        ("1.99", ">=1.24,<2", True),
        ("2026.3.6", "", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version, wanted, answer):
    assert installation.fits(version, wanted) is answer


def test_room_is_told_of_folders_that_are_not_there_yet(tmp_path):
    assert machine.room_at(tmp_path / "not" / "yet") > 0


# ---- an installed wheel


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory):
    """A virtual environment with a wheel of ours in it, which finds all other packages where this process does."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    copy_of_the_project(source)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    venv.create(place / "venv", with_pip=False)
    python = place / "venv" / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
    ]
    subprocess.run([*pip, str(next(place.glob("*.whl")))], check=True)
    site = next((place / "venv" / "lib").glob("python3*/site-packages"))
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    return place / "venv" / "bin"


def copy_of_the_project(target):
    """What a wheel is built from, without what tests and builds leave behind."""
    target.mkdir()
    for name in (*ROOMS, "configs"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "model_card.md"):
        shutil.copyfile(ROOT / name, target / name)


def outside(command, tmp_path, *arguments):
    """A program of the environment, run where nothing of the checkout is found."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )


def test_an_installed_wheel_has_the_command_and_everything_that_it_reads(installed_wheel, tmp_path):
    look = (
        "import json, evaluation, training, train_scripts.front_door\n"
        "from pathlib import Path\n"
        "root = Path(training.__file__).parent.parent\n"
        "print(json.dumps([str(p.relative_to(root)) for room in ('dataset_builders', 'evaluation', 'processing',"
        " 'training', 'train_scripts') for p in (root / room).rglob('*') if p.is_file()]))"
    )
    done = outside(installed_wheel / "python", tmp_path, "-c", look)
    assert done.returncode == 0, done.stderr
    found = set(json.loads(done.stdout))
    data = {".jinja", ".css", ".html", ".safetensors", ".yaml"}
    rooms = [
        path for room in ("dataset_builders", "evaluation", "processing") for path in (ROOT / room).rglob("*")
    ]
    expected = {str(path.relative_to(ROOT)) for path in rooms if path.suffix in data}
    expected |= {f"training/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")}
    assert len(expected) > 10 and {*expected, "training/model_card.md"} <= found
    assert not [name for name in found if "without_our" in name or "test_" in name]


def test_the_commands_of_an_installed_wheel_run_outside_the_checkout(installed_wheel, tmp_path):
    """One process for several commands: to import what they need takes seconds."""
    config = "--config configs/pretrain_demo.yaml --pairs nowhere --output out"
    lines = ["predict --help", "doctor --json", f"pretrain {config}"]
    code = (
        "import sys, json\n"
        "from importlib.metadata import entry_points\n"
        "(mamclip,) = entry_points(group='console_scripts', name='mamclip')\n"
        f"for line in {lines!r}:\n"
        "    sys.argv = ['mamclip', *line.split()]\n"
        "    try: mamclip.load()()\n"
        "    except SystemExit as stop: print(f'[{stop.code or 0}]')\n"
    )
    done = outside(installed_wheel / "python", tmp_path, "-c", code)
    helped, examined, refused, rest = re.split(r"\[[0-9]\]\n", done.stdout)
    assert re.findall(r"\[([0-9])\]\n", done.stdout) == ["0", "0", "2"] and not refused and not rest
    assert helped.startswith("usage: mamclip predict ") and json.loads(examined)["ready"]
    assert done.stderr.splitlines()[-1].startswith("error: nowhere holds no data set"), done.stderr
    assert not list(tmp_path.iterdir())
    named = outside(installed_wheel / "mamclip", tmp_path, "--version")
    assert named.returncode == 0 and named.stdout == f"mamclip {installation.installed('mam-clip')}\n"


def test_what_is_shipped_lies_beside_the_rooms_in_a_checkout():
    assert shipped("model_card.md") == ROOT / "model_card.md"
    assert shipped("configs/pretrain_paper.yaml").is_file()
