"""The frame of all archives: the store of images, builds that are interrupted or repeated, streams, Parquet, flags."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Literal

import datasets
import numpy as np
import pandas as pd
import pytest
from huggingface_hub import HfApi
from PIL import Image
from tiny_training import run

from dataset_builders import image_store, load_mammograms
from dataset_builders.archives.teknofest import TeknofestBuilder, TeknofestConfig
from dataset_builders.building import BUILDERS, new_builder, prepared_builder, save_dataset
from dataset_builders.encoded_images import _statements, code_version, encoded_image
from dataset_builders.phantom.archives import write_teknofest
from dataset_builders.phantom.case import draw_case
from dataset_builders.publishing import push_private
from dataset_builders.terms import Terms
from processing import MamClipImageProcessor, read_image
from training.data import PAIR_COLUMNS, RECORD_COLUMNS
from training.sources import load_table

ROOT = Path(__file__).resolve().parent.parent
TERMS = Terms("Research only", "Somebody et al., A data set.", "https://example.org/set", "permission")
SHEET = "veri_bilgisi.xlsx"


@dataclass
class OwnConfig(TeknofestConfig):
    kind: Literal["all", "some"] = field(default="all", metadata={"help": "which 100 % of the images"})
    ages: Mapping[str, float] = field(default_factory=dict, metadata={"help": "by group"})
    factor: float | None = None


class OwnBuilder(TeknofestBuilder):
    """A builder with terms and options of its own, one of which its index depends on."""

    BUILDER_CONFIG_CLASS = OwnConfig
    terms = TERMS

    def index(self, folder):
        found = super().index(folder)
        if self.config.kind == "some":
            found.left_out["kind is some"] = len(found.rows) - 3
            found.rows = found.rows[:3]
        return found


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    cases = [draw_case(5, i, birads=birads) for i, birads in enumerate((1, 5))]
    write_teknofest(folder, cases, height=96, width=72, processes=1)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Images of the archive, which tests that do not count them share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setitem(BUILDERS, "own", OwnBuilder)


@pytest.fixture
def reads(monkeypatch):
    """The files that are encoded, in this process."""
    paths = []

    def counted(path, **options):
        paths.append(path)
        return encoded_image(path, **options)

    monkeypatch.setattr(image_store, "encoded_image", counted)
    return paths


def images_of(archive):
    return sorted(archive.rglob("*.dcm"))


def copied(archive, target):
    return shutil.copytree(archive, target)


def rows_of(data):
    """All rows, their images as modes, sizes and bytes."""
    return [{**row, "image": (row["image"].mode, row["image"].size, row["image"].tobytes())} for row in data]


# ---- the store


def test_a_second_build_reads_no_image(archive, tmp_path, reads):
    first = load_mammograms("teknofest", archive, cache_dir=tmp_path, crop=False)
    assert len(reads) == len(images_of(archive)) == len(first)
    again = load_mammograms("teknofest", archive, cache_dir=tmp_path, crop=False)
    assert len(reads) == len(first) and rows_of(again) == rows_of(first)


def test_changed_labels_read_no_image(archive, tmp_path, reads):
    folder = copied(archive, tmp_path / "archive")
    load_mammograms("teknofest", folder, cache_dir=tmp_path, crop=False)
    reads.clear()
    table = pd.read_excel(folder / SHEET, dtype=str)
    table["MEME KOMPOZİSYONU"] = "A"
    table.to_excel(folder / SHEET, index=False)
    assert set(load_mammograms("teknofest", folder, cache_dir=tmp_path, crop=False)["density"]) == {"A"}
    limited = load_mammograms("teknofest", folder, cache_dir=tmp_path, crop=False, limits={1: 1}, seed=2)
    assert list(limited["birads"]).count(1) == 1
    assert reads == []


def test_a_changed_file_is_read_again_and_no_other(archive, tmp_path, reads):
    folder = copied(archive, tmp_path / "archive")
    load_mammograms("teknofest", folder, cache_dir=tmp_path, crop=False)
    reads.clear()
    first, other = images_of(folder)[:2]
    first.write_bytes(other.read_bytes())
    load_mammograms("teknofest", folder, cache_dir=tmp_path, crop=False)
    assert reads == [str(first)]


def test_images_that_were_lost_or_cut_short_are_made_again(archive, tmp_path, reads):
    before = rows_of(load_mammograms("teknofest", archive, cache_dir=tmp_path, crop=False))
    lost, cut, empty = sorted(tmp_path.rglob("*.png"))[:3]
    lost.unlink()
    cut.write_bytes(cut.read_bytes()[:-5])
    empty.write_bytes(b"")
    reads.clear()
    assert rows_of(load_mammograms("teknofest", archive, cache_dir=tmp_path, crop=False)) == before
    assert len(reads) == 3


def test_another_option_and_another_code_make_images_of_their_own(archive, tmp_path, reads, monkeypatch):
    load_mammograms("teknofest", archive, cache_dir=tmp_path)
    for change in ({"crop": False}, {"bits": 16, "crop": False}):
        reads.clear()
        load_mammograms("teknofest", archive, cache_dir=tmp_path, **change)
        assert len(reads) == len(images_of(archive))
    monkeypatch.setattr(image_store, "code_version", lambda: "another")
    load_mammograms("teknofest", archive, cache_dir=tmp_path, crop=False)
    assert len(reads) == 2 * len(images_of(archive))


def test_the_version_of_the_code_is_that_of_its_statements():
    assert code_version() == code_version()
    told = 'def f(x):\n    """Says."""\n\n    # why\n    return x + 1\n'
    assert (
        _statements(told) == _statements("def f(x):  return (x+1)") != _statements("def f(x): return x + 2")
    )


KILLED = """
import os, sys, time
from dataset_builders import load_mammograms
replace, calls = os.replace, []
def stop_at_the_sixth(*paths):
    calls.append(paths)
    if len(calls) == 6:
        print("stopped", flush=True)
        time.sleep(600)
    replace(*paths)
os.replace = stop_at_the_sixth
load_mammograms("teknofest", sys.argv[1], cache_dir=sys.argv[2])
"""


def test_a_killed_build_goes_on_where_it_was(archive, cache, tmp_path, reads):
    command = [sys.executable, "-c", KILLED, archive, tmp_path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "stopped\n"
        process.send_signal(signal.SIGKILL)
    unfinished = [file for file in tmp_path.rglob("unfinished/*") if file.is_file()]
    assert len(list(tmp_path.rglob("*.png"))) == 5 and len(unfinished) == 1
    data = load_mammograms("teknofest", archive, cache_dir=tmp_path)
    assert len(reads) == len(images_of(archive)) - 5
    assert rows_of(data) == rows_of(load_mammograms("teknofest", archive, cache_dir=cache))


def test_what_was_left_unfinished_is_removed_when_it_is_old(archive, cache):
    store = new_builder("teknofest", archive, cache).store
    (store.folder / "unfinished").mkdir(parents=True, exist_ok=True)
    old, new = (store.folder / "unfinished" / name for name in ("old", "new"))
    for file in (old, new):
        file.touch()
    os.utime(old, (0, 0))
    store.tidy()
    assert new.exists() and not old.exists()
    new.unlink()


def test_a_full_disk_is_no_unreadable_image(archive, tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        load_mammograms("teknofest", archive, cache_dir=tmp_path)


# ---- unreadable images


def damaged(archive, target, count):
    folder = copied(archive, target)
    for path in images_of(folder)[:count]:
        path.write_bytes(b"")
    return folder


def test_more_unreadable_images_than_may_be_are_an_error_that_names_some(archive, tmp_path):
    folder = damaged(archive, tmp_path / "archive", 2)
    few = 1.5 / len(images_of(folder))
    with pytest.raises(ValueError, match=r"more than 1 images .* cannot be read.*RCC\.dcm|LCC\.dcm") as error:
        load_mammograms("teknofest", folder, cache_dir=tmp_path, max_unreadable=few)
    assert str(images_of(folder)[0]) in str(error.value) and "empty file" in str(error.value)
    assert len(load_mammograms("teknofest", folder, cache_dir=tmp_path, max_unreadable=2 * few)) > 2
    with pytest.raises(ValueError, match="more than 0 images"):
        list(load_mammograms("teknofest", folder, cache_dir=tmp_path, max_unreadable=0, streaming=True))
    with pytest.raises(ValueError, match="max_unreadable is 5; expected a share"):
        load_mammograms("teknofest", folder, cache_dir=tmp_path, max_unreadable=5)


def test_a_file_that_is_not_there_is_an_unreadable_image(archive, cache, monkeypatch):
    class WithAbsent(TeknofestBuilder):
        def index(self, folder):
            found = super().index(folder)
            found.rows[0]["path"] = str(folder / "absent.dcm")
            return found

    monkeypatch.setitem(BUILDERS, "own", WithAbsent)
    (entry,) = prepared_builder("own", archive, cache).skipped()
    assert entry["file"].endswith("absent.dcm") and "does not exist" in entry["reason"]


def test_a_file_that_was_put_right_comes_back(archive, tmp_path, monkeypatch):
    """As one does, the file itself unchanged, when a codec has been installed."""
    bad = str(images_of(archive)[0])

    def without_codec(path, **options):
        if path == bad:
            raise OSError("needs a codec")
        return encoded_image(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(image_store, "encoded_image", without_codec)
        builder = prepared_builder("teknofest", archive, tmp_path)
        assert builder.skipped() == [{"file": bad, "reason": "needs a codec"}]
        assert len(builder.as_dataset(split="train")) == len(images_of(archive)) - 1
    assert len(load_mammograms("teknofest", archive, cache_dir=tmp_path)) == len(images_of(archive))


# ---- streams, depths, Parquet


def test_a_stream_has_the_built_rows_and_writes_nothing(archive, cache, tmp_path):
    folder = damaged(archive, tmp_path / "archive", 1)
    stream = load_mammograms("teknofest", folder, cache_dir=tmp_path / "cache", streaming=True)
    assert isinstance(stream, datasets.IterableDataset)
    rows = rows_of(stream)
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.suffix in (".png", ".arrow")]
    built = load_mammograms("teknofest", folder, cache_dir=tmp_path / "cache")
    assert rows == rows_of(built) and stream.features == built.features
    shuffled = rows_of(load_mammograms("teknofest", archive, cache_dir=cache, streaming=True).shuffle(seed=1))
    assert len(shuffled) == len(images_of(archive)) and shuffled[1:4] != rows[:3]


def test_sixteen_bits_keep_the_values_of_the_file(archive, tmp_path):
    data = load_mammograms("teknofest", archive, cache_dir=tmp_path / "cache", bits=16, crop=False)
    data.save_to_disk(tmp_path / "saved")
    data = load_table(tmp_path / "saved", RECORD_COLUMNS, "build_dataset.py")
    assert data.features["image"].mode == "I;16"
    for path, row in zip(images_of(archive), data, strict=True):
        assert row["image"].mode == "I;16"
        pixels = np.asarray(row["image"])
        assert pixels.max() > 255 and np.array_equal(pixels, read_image(path).pixels)
    processor = MamClipImageProcessor(size={"height": 32, "width": 32}, do_crop=False)
    values = processor(images=data[:2]["image"], return_tensors="pt")["pixel_values"]
    assert values.unique().numel() > 300  # more than 8 bits could tell apart
    assert Image.open(next((tmp_path / "cache").rglob("*.png"))).mode == "I;16"


@pytest.mark.parametrize("bits", [8, 16])
def test_parquet_opens_by_itself_with_the_same_rows(archive, tmp_path, monkeypatch, bits):
    monkeypatch.setattr("dataset_builders.publishing.SHARD", 20_000)  # several files
    save_dataset(
        "teknofest",
        archive,
        tmp_path / "out",
        file_format="parquet",
        cache_dir=tmp_path / "cache",
        bits=bits,
    )
    built = load_mammograms("teknofest", archive, cache_dir=tmp_path / "cache", bits=bits)
    expected = rows_of(built)
    shutil.rmtree(tmp_path / "cache")  # the images are in the files
    assert len(list((tmp_path / "out" / "data").iterdir())) > 1
    for arguments in (
        {"path": str(tmp_path / "out")},
        {"path": "parquet", "data_files": str(tmp_path / "out/data/*.parquet")},
    ):
        opened = datasets.load_dataset(**arguments, split="train", cache_dir=str(tmp_path / "hf"))
        assert opened.features == built.features and rows_of(opened) == expected


def test_a_saved_folder_needs_no_cache(archive, tmp_path):
    save_dataset("teknofest", archive, tmp_path / "out", cache_dir=tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    assert len(rows_of(load_table(tmp_path / "out", RECORD_COLUMNS, "build_dataset.py"))) == 8


# ---- terms and the card


def test_terms_are_in_the_data_the_report_and_the_card(own, archive, cache, tmp_path):
    about = save_dataset("own", archive, tmp_path / "out", cache_dir=cache, kind="some", limits={5: 1})
    info = datasets.load_from_disk(tmp_path / "out").info
    assert (info.license, info.citation, info.homepage) == (TERMS.licence, TERMS.citation, TERMS.homepage)
    assert about["terms"] == TERMS.as_dict()
    assert about["options"] == {
        **{"crop": True, "bits": 8, "limits": {"5": 1}, "seed": 0, "captions": False},
        **{"form": "auto", "unpack_to": "", "kind": "some", "ages": {}, "factor": None},
    }
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "license: other" in card and "license_name: research-only" in card
    assert "only with the owners' written permission" in card and TERMS.citation in card
    assert "| kind is some |" in card


def test_phantoms_have_no_terms(own, archive, cache, tmp_path):
    about = save_dataset("own", archive, tmp_path / "out", cache_dir=cache, phantom=True)
    info = datasets.load_from_disk(tmp_path / "out").info
    assert about["terms"] is None and not info.license and not info.citation
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "Phantom mammograms" in card and TERMS.licence not in card


class Hub:
    """Stands in for huggingface_hub.HfApi."""

    endpoint = "https://hub"

    def __init__(self, private):
        self.private, self.calls = private, []

    def create_repo(self, name, **options):
        self.calls.append(("create", name, options))

    def repo_info(self, name, **options):
        return SimpleNamespace(private=self.private)

    def upload_folder(self, **options):
        self.calls.append(("upload", options))


def test_what_is_uploaded_is_private(archive, cache, tmp_path, monkeypatch):
    save_dataset("teknofest", archive, tmp_path / "out", file_format="parquet", cache_dir=cache)
    hub = Hub(private=True)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    assert push_private(tmp_path / "out", "me/mammograms") == "https://hub/datasets/me/mammograms"
    assert hub.calls[0] == (
        "create",
        "me/mammograms",
        {"repo_type": "dataset", "private": True, "exist_ok": True},
    )
    assert hub.calls[1][1]["allow_patterns"] == ["README.md", "data/train-*.parquet"]  # the report has paths


def test_nothing_is_uploaded_to_a_repository_that_is_public(tmp_path, monkeypatch):
    hub = Hub(private=False)
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    with pytest.raises(ValueError, match="me/open is a public repository"):
        push_private(tmp_path, "me/open")
    assert [call[0] for call in hub.calls] == ["create"]


def test_a_hub_that_cannot_be_reached_is_said_before_the_work(
    own, archive, tmp_path, monkeypatch, capsys, reads
):
    monkeypatch.setattr("huggingface_hub.HfApi", partial(HfApi, "http://127.0.0.1:9", token="none"))
    words = ("--dataset", "own", "--data-dir", archive, "--cache-dir", tmp_path, "--output", tmp_path / "out")
    assert script(monkeypatch, *words, "--format", "parquet", "--push-to-hub", "me/x") == 2
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err and reads == []
    assert script(monkeypatch, *words, "--format", "parquet", "--push-to-hub", "me x//") == 2
    assert "Repo id must be" in capsys.readouterr().err


# ---- captions


def test_records_with_captions_are_pairs(archive, cache, tmp_path, monkeypatch):
    module = ModuleType("dataset_builders.report_captions")
    module.compose_caption = lambda record, findings, seed: (
        f"{record['laterality']} {record['view']}, BI-RADS {record['birads']}, {len(findings)} {seed % 2}"
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    save_dataset("teknofest", archive, tmp_path / "out", cache_dir=cache, captions=True)
    table = load_table(tmp_path / "out", PAIR_COLUMNS, "extract_pairs.py")
    load_table(tmp_path / "out", RECORD_COLUMNS, "build_dataset.py")
    assert table["case_id"] == table["patient_id"]
    for row in table:
        assert row["caption"].startswith(f"{row['laterality']} {row['view']}, BI-RADS {row['birads']}, 0 ")
    assert len({(row["caption"], row["caption_id"]) for row in table}) == len(set(table["caption"]))
    assert {caption[-1] for caption in table["caption"]} == {"0", "1"}  # seeds differ from image to image
    again = load_mammograms("teknofest", archive, cache_dir=tmp_path / "other", captions=True)
    assert again["caption"] == table["caption"]


# ---- options and the command line


def test_an_unknown_option_is_refused_with_the_list(own, archive, tmp_path):
    expected = (
        "'corp'; expected one of crop, bits, limits, seed, captions, form, unpack_to, kind, ages, factor"
    )
    with pytest.raises(ValueError, match=expected):
        load_mammograms("own", archive, cache_dir=tmp_path, corp=True)
    with pytest.raises(ValueError, match="no option 'kind'"):
        load_mammograms("teknofest", archive, cache_dir=tmp_path, kind="some")
    with pytest.raises(ValueError, match="no option 'fingerprint'"):
        load_mammograms("teknofest", archive, cache_dir=tmp_path, fingerprint="x")
    with pytest.raises(ValueError, match="bits is 12; expected 8 or 16"):
        load_mammograms("teknofest", archive, cache_dir=tmp_path, bits=12)
    with pytest.raises(ValueError, match="no engine 'spark'; expected one of local, ray"):
        load_mammograms("teknofest", archive, cache_dir=tmp_path, engine="spark")
    with pytest.raises(ValueError, match="OwnBuilder needs data_dir"):
        load_mammograms("own")


def script(monkeypatch, *arguments):
    return run("build_dataset.py", monkeypatch, *arguments)


def test_the_script_describes_without_opening_an_image(own, archive, tmp_path, monkeypatch, capsys, reads):
    words = ("--dataset", "own", "--data-dir", archive, "--describe", "--cache-dir", tmp_path)
    assert script(monkeypatch, *words, "--kind", "some", "--limits", "1=1") == 0
    lines = capsys.readouterr().out.splitlines()
    total = len(images_of(archive))
    assert lines[0].split() == [str(total), "images", "in", "the", "archive"]
    assert any(line.endswith("kind is some → 3 remain") for line in lines)
    assert lines[-1].endswith("become records") and reads == []


def test_the_script_builds_with_the_builders_own_options(own, archive, cache, tmp_path, monkeypatch, capsys):
    words = ("--dataset=own", "--data-dir", archive, "--cache-dir", cache, "--output", tmp_path / "out")
    flags = ("--no-crop", "--ages", "a=1.5", "b=2", "--factor", "0.5", "--limits", "--processes", "1")
    assert script(monkeypatch, *words, *flags) == 0
    options = json.loads((tmp_path / "out" / "build_report.json").read_text(encoding="utf-8"))["options"]
    assert options["crop"] is False and options["ages"] == {"a": 1.5, "b": 2.0} and options["factor"] == 0.5
    assert "terms: Research only; publishing weights: permission" in capsys.readouterr().out


def test_help_lists_the_options_of_the_builder(own, monkeypatch, capsys):
    script(monkeypatch, "--dataset", "own", "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert "--kind {all,some}" in said and "which 100 % of the images (default: all)" in said
    assert "--crop, --no-crop" in said


@pytest.mark.parametrize(
    "words, said",
    [
        ((), "--dataset"),
        (("--dataset", "nobody"), "invalid choice: 'nobody'"),
        (("--dataset", "own"), "name one with --output"),
        (("--dataset", "own", "--output", "out"), "OwnBuilder needs data_dir"),
        (("--dataset", "own", "--output", "out", "--data-dir", "nowhere"), "nowhere is not a folder"),
        (("--dataset", "own", "--output", "out", "--kinds", "some"), "did you mean --kind?"),
        (("--dataset", "teknofest", "--output", "out", "--kind", "some"), "no option '--kind'"),
        (("--dataset", "own", "--output", "out", "--kind", "few"), "invalid choice: 'few'"),
        (("--dataset", "own", "--output", "out", "--limits", "1:5"), "'1:5' is not of the form int=int"),
        (("--dataset", "own", "--output", "out", "--processes", "0"), "--processes is 0"),
        (("--dataset", "own", "--output", "out", "--push-to-hub", "me/x"), "give --format parquet"),
    ],
)
def test_rubbish_on_the_command_line_ends_with_one_sentence(own, words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert script(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error
    assert not list(tmp_path.iterdir())
