"""What a hospital may rely on: no network, nothing that could run in a file, nobody's name in what is written."""

import ast
import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
from dicom_files import as_bytes, mammogram, ramp
from PIL import Image, PngImagePlugin
from planted_secrets import NEEDED, SECRETS, plant
from safetensors import safe_open
from tiny_models import pretraining_model, processor, random_weights
from tiny_training import SMALL, run, words

from dataset_builders.audit import KINDS
from dataset_builders.phantom.open_archives import write_vindr
from evaluation.notices import NOTICE, RESEARCH_SHORT
from evaluation.pages import write_page
from training.initialization import new_classifier
from training.release import write_release

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "modeling_mamclip",
    "processing",
    "dataset_builders",
    "evaluation",
    "inference",
    "training",
    "train_scripts",
)
OURS = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))] + sorted(ROOT.glob("*.py"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A pretraining folder, and a release of it with a classifier."""
    root = tmp_path_factory.mktemp("trust")
    random_weights(pretraining_model(), 1).save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    random_weights(new_classifier(root / "pretrained"), 2).save_pretrained(root / "classifier")
    write_release(
        root / "mamclip", pretrained=root / "pretrained", classifier=root / "classifier", phantom=True
    )
    return root


# ---- no network


def test_a_release_reads_mammograms_without_asking_the_network_for_anything(folders, tmp_path):
    (tmp_path / "mamclip").symlink_to(folders / "mamclip")
    (tmp_path / "LCC.dcm").write_bytes(as_bytes(mammogram(ramp(80, 60))))
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    environment |= {"HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    program = [
        sys.executable,
        str(ROOT / "tests" / "no_network.py"),
        str(tmp_path),
        str(ROOT / "train_scripts"),
    ]
    done = subprocess.run(program, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["scores"] == 2 and found["during"] == []
    assert found["alarm"], "a call of a socket was not heard, so nothing was proved"
    assert (tmp_path / "predictions").exists()


# ---- nothing that could run


def test_a_release_holds_safetensors_and_text_and_no_pickle(folders):
    for path in filter(Path.is_file, (folders / "mamclip").rglob("*")):
        assert path.suffix in (".safetensors", ".json", ".py", ".md", ".txt", ".jinja"), path.name
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                assert list(file.keys())
        else:
            path.read_text(encoding="utf-8")


# Calls that run what is in a file, or read a file in a way that can.
DANGEROUS = re.compile(
    r"(c?pickle|dill|cloudpickle|marshal|shelve)\.(load|loads|Unpickler|open)|joblib\.load|(pd|pandas)\.read_pickle|"
    r"torch\.(load|jit\.load|hub\.load)|yaml\.(load|unsafe_load|full_load)|os\.(system|popen)|eval|exec"
)
# A run's own checkpoints, and a number in them; torch allows tensors and plain values alone then.
TENSORS_ALONE = {"training/resumable.py", "training/checkpoints.py"}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield (
                ast.unparse(node.func),
                {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords},
            )


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_our_code_runs_nothing_that_a_file_says(path):
    name = path.relative_to(ROOT).as_posix()
    for called, options in calls(path):
        assert options.get("shell") != "True" and options.get("allow_pickle") != "True", f"{name}: {called}"
        if DANGEROUS.fullmatch(called):
            safe = called == "torch.load" and options.get("weights_only") == "True" and name in TENSORS_ALONE
            assert safe, f"{name} calls {called}"
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"^\s*(import|from) (pickle|dill|cloudpickle|marshal|shelve|joblib)\b", text, re.MULTILINE
    )


# ---- nobody's name

# Of what is planted, what does not turn up by chance in a megabyte of numbers.
NAMES = ("quenzil", "marthe", "48213777", "19640229")
TAGS = {"ViewPosition", "ImageLaterality", "Laterality"}  # which the chain needs


@pytest.fixture(scope="module")
def artefacts(folders, tmp_path_factory):
    """Everything that the chain writes and prints for an archive whose DICOM files are full of secrets."""
    place = tmp_path_factory.mktemp("chain")
    archive, made = place / "archive", place / "made"
    write_vindr(archive)
    assess_every_breast(archive / "breast-level_annotations.csv")
    for path in archive.rglob("*.dicom"):
        fill_with_secrets(path)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", printed)
        patch.setattr(sys, "stderr", printed)
        for script, arguments in chain(archive, made, folders):
            code = run(script, patch, *arguments)
            assert code == 0, f"{script} ended with {code}: {printed.getvalue()[-500:]}"
    (made / "printed.txt").write_text(printed.getvalue())
    return archive, made


def assess_every_breast(table):
    """With two classes in every exam, so that three patients are enough to train, to validate and to test."""
    rows = pd.read_csv(table, dtype=str)
    first = rows["view_position"] == "CC"
    rows["breast_birads"] = first.map({True: "BI-RADS 4", False: "BI-RADS 2"})
    rows["breast_density"] = first.map({True: "DENSITY B", False: "DENSITY C"})
    rows.to_csv(table, index=False)


def fill_with_secrets(path):
    try:
        dataset = pydicom.dcmread(path)
        dataset.pixel_array  # noqa: B018 (the archive has a file that is cut short: it stays as it is)
    except Exception:
        path.write_bytes(path.read_bytes() + SECRETS["LT"].encode())
        return
    plant(dataset, NEEDED | TAGS)
    del dataset.ViewCodeSequence
    dataset.save_as(path)


def chain(archive, made, folders):
    """(script, arguments) from files to a release and predictions."""
    records, run_of = made / "records", made / "classifier"
    small = {
        name: value
        for name, value in SMALL.items()
        if name in ("batch_size", "workers", "vision_weights", "trainer")
    }
    yield "prepare_images.py", words(input=archive, output=made / "prepared", workers=1, salt="a salt")
    build = words(dataset="vindr", output=records, processes=1, format="parquet")
    options = [
        "--data-dir",
        archive,
        "--cache-dir",
        made / "cache",
        "--max-unreadable",
        "1",
        "--phantom",
        "--captions",
    ]
    yield "build_dataset.py", [*build, *options]
    audit = words(data=records, output=made / "audit", folds=2, workers=1)
    yield "audit_dataset.py", [*audit, "--no-text", "--allow", *KINDS]
    yield (
        "classify.py",
        words(data=records, encoder=folders / "pretrained", output=run_of, folds=3, epochs=1, **small),
    )
    release = words(pretrained=folders / "pretrained", classifier=run_of, output=made / "mamclip")
    yield "export_release.py", release
    yield "predict.py", words(model=made / "mamclip", input=archive, output=made / "predictions")


def test_no_name_number_or_date_of_a_patient_is_in_anything_that_is_written(artefacts):
    archive, made = artefacts
    assert any(secrets_in(path) for path in archive.rglob("*.dicom")), (
        "nothing was planted, so nothing was proved"
    )
    files = [path for path in made.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".png", ".parquet", ".json", ".html", ".csv", ".md", ".safetensors", ".txt"} <= kinds
    for path in files:
        assert not secrets_in(path, made), path.relative_to(made)


def secrets_in(path, root=None):
    """The planted words in a file's name and in everything that it holds, unpacked."""
    content = path.read_bytes()
    name = str(path.relative_to(root)) if root else ""
    texts = [name.encode(), *unpacked(content)]
    return {word for word in NAMES for text in texts if word.encode() in text.lower()}


def unpacked(content):
    """A file's bytes, and what is packed in them: a picture's texts, the cells of a table, the pictures of a page."""
    yield content
    if content.startswith(b"\x89PNG"):
        image = Image.open(io.BytesIO(content))
        image.load()
        yield repr({**image.info, **image.text}).encode()
    elif content.startswith(b"PAR1"):
        yield from cells(pq.read_table(io.BytesIO(content)))
    elif content.startswith(b"\xff\xff\xff\xff") or content.startswith(b"ARROW1"):
        yield from cells(pa.ipc.open_stream(io.BytesIO(content)).read_all())
    for picture in re.findall(rb"data:image/png;base64,([A-Za-z0-9+/=]+)", content):
        yield from unpacked(base64.b64decode(picture))


def cells(table):
    yield repr(table.schema.metadata).encode()
    for row in table.to_pylist():
        for value in row.values():
            for one in value.values() if isinstance(value, dict) else [value]:
                yield from unpacked(one) if isinstance(one, bytes) else [repr(one).encode()]


def test_the_search_finds_what_is_hidden_in_pictures_tables_and_pages(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRETS["LO"] * 9, zip=True)
    Image.new("L", (4, 4)).save(tmp_path / "a.png", pnginfo=text)
    picture = (tmp_path / "a.png").read_bytes()
    assert b"QUENZIL" not in picture
    pq.write_table(pa.table({"image": [{"bytes": picture}]}), tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "a.html").write_bytes(b'<img src="data:image/png;base64,' + base64.b64encode(picture) + b'">')
    for name in ("a.png", "a.parquet", "a.html"):
        assert secrets_in(tmp_path / name) == {"quenzil", "marthe", "48213777"}


# ---- what it is not


TEMPLATES = [*(ROOT / "evaluation").glob("*.jinja"), *(ROOT / "inference").glob("*.jinja")]
PAGES = [path for path in TEMPLATES if "<!DOCTYPE" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_page_says_that_it_is_for_research(page):
    """Within its header, and not behind a condition: between <body> and the notice is nothing but its title."""
    text = page.read_text(encoding="utf-8")
    assert "{{ notice }}" in text
    assert "{% if" not in text[text.index("<body>") : text.index("{{ notice }}")]


def test_a_page_gets_the_notice_from_one_place(tmp_path):
    write_page(tmp_path / "a.html", "augmented_pairs.jinja", {"pairs": [], "notes": [], "unclear_count": 0})
    assert f'<p class="note">{NOTICE}</p>' in (tmp_path / "a.html").read_text()


def test_every_card_says_that_it_is_for_research(artefacts):
    _, made = artefacts
    card = (made / "mamclip" / "README.md").read_text()
    assert "Research use only" in card and "ot a medical device" in card
    assert RESEARCH_SHORT in (ROOT / "training" / "adapters.py").read_text().lower()
    card = (made / "records" / "README.md").read_text()
    assert "Research use only" in card and "Not a medical device" in card
