"""Checkpoints that are whole: a manifest, written last, tells each file's size and hash, and what is cut is not used.

A checkpoint is a folder `checkpoint-STEP`, as transformers' Trainer writes it, every process some of its files. Only
when all are on the disk does the manifest appear, and only then are older checkpoints removed. So a run that is killed
at any moment has a whole checkpoint, once it had one.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import distributed

from .files import sha256_of, to_disk, write_json

MANIFEST = "manifest.json"
STATE = "trainer_state.json"
PREFIX = "checkpoint-"

Result = TypeVar("Result")


def seal(folder: Path) -> None:
    """Say of a checkpoint whose files are all written that it is whole."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in [*files, *(path for path in folder.rglob("*") if path.is_dir())]:
        to_disk(path)
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
        for path in files
    }
    write_json(folder / MANIFEST, {"files": entries})
    to_disk(folder.parent)


def fault(folder: Path) -> str | None:
    """What a checkpoint lacks to be whole, or None."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        files = {name: (entry["bytes"], entry["sha256"]) for name, entry in json.loads(text)["files"].items()}
    except FileNotFoundError:
        return "it was not written to its end"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"its {MANIFEST} is damaged"
    faults = (_fault_of_file(folder / name, *expected) for name, expected in files.items())
    return next((text for text in faults if text), None)


def _fault_of_file(path: Path, size: int, sha256: str) -> str | None:
    if not path.is_file():
        return f"its {path.name} is missing"
    if path.stat().st_size != size:
        return f"its {path.name} has {path.stat().st_size} bytes, not {size}"
    return None if sha256_of(path) == sha256 else f"its {path.name} is damaged"


def steps_of(folder: Path) -> int:
    """The number of steps after which a checkpoint was written."""
    return int(folder.name.removeprefix(PREFIX))


def checkpoints_in(folder: Path) -> list[Path]:
    """All checkpoints in a folder, whole or not, the newest first."""
    found = [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=steps_of, reverse=True)


def sealed_in(folder: Path) -> list[Path]:
    """The checkpoints in a folder that were written to their end, the newest first; nothing is read."""
    return [path for path in checkpoints_in(folder) if (path / MANIFEST).is_file()]


def newest_sealed(folder: Path) -> Path | None:
    """The checkpoint that a stopped run goes on from."""
    return next(iter(sealed_in(folder)), None)


def best_of(folder: Path) -> Path | None:
    """The checkpoint that was the best one when this one, which is whole, was written; None before any was measured."""
    step = json.loads((folder / STATE).read_text(encoding="utf-8"))["best_global_step"]
    return folder.with_name(f"{PREFIX}{step}") if step else None


def steps_in_all(folder: Path) -> int:
    """How many steps the run was to have that wrote a checkpoint."""
    return json.loads((folder / STATE).read_text(encoding="utf-8"))["max_steps"]


def prune(folder: Path, keep: int | None) -> None:
    """Remove all checkpoints but the newest `keep` whole ones, and the best ones that these name; None keeps all."""
    if not keep or keep < 0:
        return
    newest = sealed_in(folder)[:keep]
    needed = {*newest, *(best_of(path) for path in newest)}
    for path in checkpoints_in(folder):
        if path not in needed:
            shutil.rmtree(path)


def newest_usable(folder: Path) -> Path | None:
    """The newest checkpoint that is whole, and whose best one is; those after it are removed, and stderr says why.

    None where a run has to begin: there is no whole checkpoint. Raises ValueError where there are some, but each needs
    a best one that is damaged: what has been learned is not thrown away unasked.
    """
    faults = {path: fault(path) for path in checkpoints_in(folder)}
    whole = [path for path, text in faults.items() if text is None]
    usable = [path for path in whole if (best := best_of(path)) is None or best in whole]
    if whole and not usable:
        best = best_of(whole[0])
        raise ValueError(
            f"the best checkpoint {best} is damaged ({faults.get(best, 'it is missing')}), and the run cannot end "
            f"without it; put it back, or delete {folder} to begin again."
        )
    chosen = usable[0] if usable else None
    for path, text in faults.items():
        if text is not None or (chosen is not None and steps_of(path) > steps_of(chosen)):
            start = "at the beginning" if chosen is None else f"after {chosen.name}"
            print(
                f"{path.name} is not used: {text or 'its best one is damaged'}; going on {start}.",
                file=sys.stderr,
            )
            shutil.rmtree(path)
    return chosen


def main_decides(decide: Callable[[], Result]) -> Result:
    """What the first process decides, in all of them; its ValueErrors and OSErrors too."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return decide()
    told: list = [None, None]
    if distributed.get_rank() == 0:
        try:
            told[0] = decide()
        except (ValueError, OSError) as error:
            told[1] = error
    distributed.broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    return told[0]


def processes_of(folder: Path) -> int:
    """How many processes wrote a checkpoint."""
    return max(1, len(list(folder.glob("rng_state_*.pth"))))
