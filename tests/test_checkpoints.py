"""A checkpoint is whole or it is not used, wherever it was cut or damaged; what others need is not removed."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.checkpoints import MANIFEST, checkpoints_in, fault, newest_usable, prune, seal
from training.files import write_json, write_whole

FILES = ("model.safetensors", "optimizer.pt", "rng_state_0.pth", "rng_state_1.pth", "trainer_state.json")
some = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


def checkpoint(place, step, best=None):
    folder = place / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for number, name in enumerate(FILES):
        (folder / name).write_bytes(bytes((number + step + i) % 256 for i in range(50 + number)))
    write_json(folder / "trainer_state.json", {"best_global_step": best, "log_history": []})
    seal(folder)
    return folder


def steps(place):
    return [int(path.name.rpartition("-")[2]) for path in checkpoints_in(place)]


def test_a_sealed_checkpoint_is_whole(tmp_path):
    assert fault(checkpoint(tmp_path, 3)) is None


@given(st.sampled_from([*FILES, MANIFEST]), st.floats(0, 1, exclude_max=True))
@some
def test_a_cut_file_is_recognised_and_the_checkpoint_before_is_used(tmp_path, name, where):
    shutil.rmtree(tmp_path)
    before, cut = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    content = (cut / name).read_bytes().rstrip()  # a manifest without its last line break is whole
    (cut / name).write_bytes(content[: int(where * len(content))])
    assert newest_usable(tmp_path) == before
    assert steps(tmp_path) == [9]


@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@some
def test_a_damaged_byte_is_recognised(tmp_path, name, where, change):
    shutil.rmtree(tmp_path)
    before, damaged = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    content = bytearray((damaged / name).read_bytes())
    content[int(where * len(content))] ^= change
    (damaged / name).write_bytes(content)
    assert newest_usable(tmp_path) == before


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@some
def test_a_damaged_manifest_vouches_for_nothing_that_is_not_there(tmp_path, where, change):
    shutil.rmtree(tmp_path)
    damaged = checkpoint(tmp_path, 10)
    content = bytearray((damaged / MANIFEST).read_bytes())
    content[int(where * len(content))] ^= change
    (damaged / MANIFEST).write_bytes(content)
    if newest_usable(tmp_path):  # a blank was changed to another one
        assert content.split() == (checkpoint(tmp_path / "again", 10) / MANIFEST).read_bytes().split()


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_recognised_and_named(name, tmp_path, capsys):
    before, damaged = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    (damaged / name).unlink()
    assert newest_usable(tmp_path) == before and not damaged.exists()
    said = "it was not written to its end" if name == MANIFEST else f"its {name} is missing"
    assert f"checkpoint-10 is not used: {said}" in capsys.readouterr().err


def test_without_a_whole_checkpoint_a_run_begins_again(tmp_path, capsys):
    damaged = checkpoint(tmp_path, 10)
    (damaged / "optimizer.pt").write_bytes(b"")
    assert newest_usable(tmp_path) is None and newest_usable(tmp_path / "nowhere") is None
    assert "its optimizer.pt has 0 bytes, not 51; going on at the beginning." in capsys.readouterr().err


def test_a_checkpoint_whose_best_one_is_damaged_is_no_use(tmp_path):
    old, best, last = checkpoint(tmp_path, 5, 5), checkpoint(tmp_path, 10, 10), checkpoint(tmp_path, 15, 10)
    (best / "model.safetensors").write_bytes(b"")
    assert newest_usable(tmp_path) == old
    assert not best.exists() and not last.exists()


def test_what_was_learned_is_not_thrown_away_unasked(tmp_path):
    best, last = checkpoint(tmp_path, 10, 10), checkpoint(tmp_path, 15, 10)
    (best / "model.safetensors").unlink()
    with pytest.raises(
        ValueError, match="checkpoint-10 is damaged .*its model.safetensors is missing.*put it back"
    ):
        newest_usable(tmp_path)
    assert last.is_dir()


def test_the_newest_ones_and_their_best_ones_are_kept(tmp_path):
    for step, best in ((5, None), (10, 10), (15, 10), (20, 10), (25, 25)):
        checkpoint(tmp_path, step, best)
    prune(tmp_path, 2)
    assert steps(tmp_path) == [25, 20, 10]
    prune(tmp_path, 1)
    assert steps(tmp_path) == [25]


def test_a_limit_of_none_keeps_all(tmp_path):
    for step in (5, 10, 15):
        checkpoint(tmp_path, step)
    prune(tmp_path, None)
    assert steps(tmp_path) == [15, 10, 5]


def test_a_checkpoint_in_the_making_does_not_drive_out_whole_ones(tmp_path):
    checkpoint(tmp_path, 5)
    (checkpoint(tmp_path, 10) / MANIFEST).unlink()
    assert steps(tmp_path) == [10, 5]
    prune(tmp_path, 1)
    assert 5 in steps(tmp_path)


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    write_whole(tmp_path / "a.json", b"before")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a.json", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"before"
