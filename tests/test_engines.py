"""Engines: the same images from one process, several, or a Ray cluster, whatever dies on the way."""

import os
import sys
from dataclasses import astuple
from pathlib import Path

import pytest
from fatal_store import FatalFile
from killed_store import KilledOnce
from test_building import images_of, rows_of

from dataset_builders import load_mammograms
from dataset_builders.building import new_builder
from dataset_builders.engines import CRASHED, encode_locally
from dataset_builders.phantom.archives import write_teknofest
from dataset_builders.phantom.case import draw_case

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    write_teknofest(folder, [draw_case(6, i, birads=4) for i in range(3)], height=96, width=72, processes=1)
    images_of(folder)[3].write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def expected(archive, tmp_path_factory):
    return rows_of(load_mammograms("teknofest", archive, cache_dir=tmp_path_factory.mktemp("cache")))


def test_a_file_that_kills_its_process_is_a_row_and_the_others_are_read():
    files = [(f"file {number}", "key" if number % 5 else "") for number in range(30)]
    outcomes = list(encode_locally(FatalFile("file 7"), files, 2))
    assert len(outcomes) == 30
    assert dict(outcomes) == {
        path: CRASHED if path == "file 7" else "" if key else "unreadable" for path, key in files
    }


def test_two_processes_give_the_rows_of_one(archive, expected, tmp_path):
    assert rows_of(load_mammograms("teknofest", archive, cache_dir=tmp_path, num_proc=2)) == expected


def test_without_ray_its_engine_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="needs Ray, which is not installed; pip install ray"):
        load_mammograms("teknofest", archive, cache_dir=tmp_path, engine="ray")


@pytest.fixture
def cluster():
    """A Ray of two workers on this machine."""
    ray = pytest.importorskip("ray")
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    environment = {"env_vars": {"PYTHONPATH": paths}}  # where workers find the project and killed_store
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    yield ray
    ray.shutdown()


@pytest.mark.slow  # Ray and its workers, which import torch, take about 20 s to start
def test_ray_gives_the_same_rows_also_when_a_worker_is_killed(cluster, archive, expected, tmp_path):
    assert rows_of(load_mammograms("teknofest", archive, cache_dir=tmp_path / "a", engine="ray")) == expected
    builder = new_builder("teknofest", archive, tmp_path / "b")
    builder.store = KilledOnce(*astuple(builder.store))
    builder.download_and_prepare(engine="ray")
    assert list((tmp_path / "b").rglob("*.killed"))
    assert rows_of(builder.as_dataset(split="train")) == expected
    assert [entry["file"] for entry in builder.skipped()] == [str(images_of(archive)[3])]
