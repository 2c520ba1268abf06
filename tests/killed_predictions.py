"""A program: predict.py run once to its end, and once killed by SIGKILL at moment after moment until it is done.

python killed_predictions.py WORK MODEL INPUT; the runs are WORK/whole, WORK/killed, and WORK/deadly, where one file
kills its reader.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

from inference import reading, tables
from inference.journal import LINES, Journal

SCRIPT = Path(__file__).resolve().parent.parent / "train_scripts" / "predict.py"
SIZE = 3  # of a batch


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def within_a_batch(journal, rows, thumbnails):
    """One line of the second batch is there, and half of another."""
    before = journal.done
    append(journal, rows, thumbnails)
    if before:
        file = journal.folder / LINES
        lines = file.read_bytes().splitlines(keepends=True)
        os.truncate(file, sum(map(len, lines[: before + 1])) + 40)
        die()


def at_once(*arguments):
    die()


def deadly(name, *rest, **options):
    """A file whose decoder crashes."""
    if name == "p2/d.png":
        die()
    return read(name, *rest, **options)


append, read = Journal.append, reading.read_file
MOMENTS = (
    (Journal, "append", within_a_batch),
    (tables, "units", at_once),
    (Journal, "close", at_once),  # after the last file
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
    crash = (reading, "read_file", deadly)
    ends = [in_a_child([*words, f"{work}/deadly"], crash) for _ in range(3)]
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0], ends


if __name__ == "__main__":
    main()
