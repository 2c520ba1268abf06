"""A program: predict.py run once to its end, and once killed by SIGKILL at moment after moment until it is done.

python killed_predictions.py WORK MODEL INPUT; the runs are WORK/whole and WORK/killed.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

from inference import tables
from inference.journal import LINES, Journal

SCRIPT = Path(__file__).resolve().parent.parent / "train_scripts" / "predict.py"
SIZE = 3  # of a batch


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_the_pictures(journal, rows, thumbnails):
    if journal.done >= SIZE:
        die()
    append(journal, rows, thumbnails)


def within_a_line(journal, rows, thumbnails):
    append(journal, rows, thumbnails)
    file = journal.folder / LINES
    os.truncate(file, file.stat().st_size - 50)
    die()


def after_a_line(journal, rows, thumbnails):
    """Half a batch is there, in whole lines."""
    append(journal, rows, thumbnails)
    file = journal.folder / LINES
    lines = file.read_bytes().splitlines(keepends=True)
    os.truncate(file, sum(map(len, lines[: 1 - SIZE])))
    die()


def at_once(*arguments):
    die()


append = Journal.append
MOMENTS = (
    (Journal, "append", before_the_pictures),
    (Journal, "append", within_a_line),
    (Journal, "append", after_a_line),
    (tables, "units", at_once),
    (Journal, "finish", at_once),
    (Journal, "close", at_once),
)


def predict(words: list[str]) -> None:
    sys.argv = [str(SCRIPT), *words]
    runpy.run_path(str(SCRIPT), run_name="__main__")
    sys.stdout.flush()


def in_a_child(words: list[str], moment=None) -> int:
    """predict.py in a process of its own, killed at the moment → its end, as `os.waitstatus_to_exitcode` has it."""
    child = os.fork()
    if not child:
        if moment:
            setattr(*moment)
        predict(words)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    work, model, archive = sys.argv[1:]
    words = ["--model", model, "--input", archive, "--batch-size", str(SIZE), "--device", "cpu", "--output"]
    predict([*words, f"{work}/whole"])  # here, so that the children find all imports done
    for moment in MOMENTS:
        assert in_a_child([*words, f"{work}/killed"], moment) == -signal.SIGKILL, moment
    assert in_a_child([*words, f"{work}/killed"]) == 0


if __name__ == "__main__":
    main()
