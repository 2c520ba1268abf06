"""Doing the cells of a learning curve in this process: what is not finished, and what no other process is doing."""

from __future__ import annotations

import io
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from .cell_lock import locked
from .classification import classifier_processor
from .classification_options import LearningCurveOptions
from .data import RECORD_COLUMNS
from .grid import Cell
from .option_parser import option_words
from .resized_images import resized
from .runs import open_run
from .sources import load_table

LOCKS = "locks"


def do_cell(options: LearningCurveOptions, cell: Cell, script: Path, title: str) -> None:
    """Train and test, unless that is done, or somebody else does it."""
    if agreed(open_run(cell.options)):
        tell(f"{title} is finished already")
        return
    with locked(lock_file(options, cell.name)) if tells() else nullcontext() as owner:
        owner = agreed(owner)
        tell(f"{title} is being done by {owner}" if owner else title)
        if not owner:
            do_run(cell, script, options.phantom)


def tells() -> bool:
    """Whether this is the one of several processes that writes and prints."""
    return os.environ.get("RANK", "0") == "0"


def tell(text: str) -> None:
    if tells():
        print(text, flush=True)


def agreed(value: Any) -> Any:
    """What the first of several processes, which train a cell together, found."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return value
    PartialState()  # so that the processes know each other
    return broadcast_object_list([value])[0]


def lock_file(options: LearningCurveOptions, name: str) -> Path:
    return Path(options.output, LOCKS, f"{name}.lock")


def prepare_images(options: LearningCurveOptions, cells: Sequence[Cell]) -> None:
    """Resize the images once; other processes that want the same ones wait for them."""
    if not tells():
        return  # until the first process says which cell comes
    with locked(lock_file(options, "images"), wait=True):
        table = load_table(options.data, RECORD_COLUMNS, "build_dataset.py")
        for cell in {cell.arm: cell for cell in cells}.values():
            processor = classifier_processor(cell.options)
            resized(table, processor, cache=options.cache, processes=options.workers)


def do_run(cell: Cell, script: Path, phantom: bool) -> None:
    """Train and test as the command classify.py would, but in this process, which has loaded the libraries."""
    before = sys.argv
    sys.argv = [str(script), *option_words(cell.options)]
    try:
        with redirect_stdout(MarkedLines(sys.stdout, "phantom  " if phantom else "  ")):
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = before


class MarkedLines(io.TextIOBase):
    """Writes to another stream, with a mark before every line."""

    def __init__(self, stream: TextIO, mark: str):
        self.stream, self.mark = stream, mark
        self.begins = True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            self.stream.write(self.mark + line if self.begins else line)
            self.begins = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()
