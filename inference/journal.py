"""The notes of a run that can be killed at any moment: whole batches, in the order of the files, in a hidden folder.

OUTPUT/.run/options.json    what the run was given, and the secret salt of its pseudonyms
OUTPUT/.run/journal.jsonl   a line a file; a batch is written at once, and what is left of half a batch is cut off
OUTPUT/.run/attempts        where the last run began, and how many have begun there
OUTPUT/.run/thumbnails/     pictures of the first files, by number
OUTPUT/about.json           what a finished run was given; then .run is gone, and with it the pseudonyms
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

RUN, ABOUT = ".run", "about.json"
OPTIONS, LINES, ATTEMPTS, THUMBNAILS, LOCK = "options.json", "journal.jsonl", "attempts", "thumbnails", "lock"
MADE_BY_MODEL = (".json", ".safetensors", ".onnx", ".data")  # the files that decide what a model says
Row = dict[str, Any]


class Journal:
    """One run's notes. `open` makes the folder or finds what an interrupted run left in it.

    done: how many files have been noted, whole batches of them. attempts: how many runs, with this one, have begun
    there; more than one says that the next files may be what ended the last.
    """

    def __init__(self, output: Path, options: Mapping[str, Any], batch_size: int):
        self.output, self.options, self.batch_size = output, dict(options), batch_size
        self.folder = output / RUN
        self.done = self.attempts = 0
        self.salt = ""

    @classmethod
    def open(cls, output: str | Path, options: Mapping[str, Any], batch_size: int) -> Journal:
        """options: everything that decides what the tables will hold, as JSON has it.

        Raises ValueError where the folder was made with others, holds something else, or is being written by another
        process.
        """
        journal = cls(Path(output), options, batch_size)
        if not (journal.folder / OPTIONS).is_file():
            refuse_other_folder(journal.output)
            journal._begin()
        journal._lock()
        noted = read_options(journal.folder / OPTIONS)
        refuse_other_options(journal.output, noted["options"], journal.options)
        journal.salt = noted["salt"]
        journal.done = journal._keep_whole_batches()
        journal.attempts = journal._count_attempts()
        return journal

    def append(self, rows: Sequence[Row], thumbnails: Mapping[int, bytes]) -> None:
        """Note a batch: its pictures first, by the number of the file, and then all of its lines."""
        for number, png in thumbnails.items():
            self.thumbnail(number).write_bytes(png)
        with (self.folder / LINES).open("ab") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode("ascii"))
        self.done += len(rows)

    def rows(self) -> Iterator[Row]:
        """All that was noted, a line at a time."""
        with (self.folder / LINES).open("rb") as file:
            yield from map(json.loads, file)

    def thumbnail(self, number: int) -> Path:
        return self.folder / THUMBNAILS / f"{number}.png"

    def finish(self, about: Mapping[str, Any]) -> None:
        """Say that all is there, and forget the rest."""
        content = json.dumps({**about, "options": self.options}, indent=2) + "\n"
        write_whole(self.output / ABOUT, content)
        self.close()
        shutil.rmtree(self.folder)

    def close(self) -> None:
        self.lock.release()

    def _begin(self) -> None:
        (self.folder / THUMBNAILS).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        noted = {"options": self.options, "salt": secrets.token_hex(16)}
        write_whole(self.folder / OPTIONS, json.dumps(noted))

    def _lock(self) -> None:
        self.lock = FileLock(self.folder / LOCK)
        try:
            self.lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"another process is writing {self.output}; wait, or choose another --output."
            ) from error

    def _count_attempts(self) -> int:
        path = self.folder / ATTEMPTS
        noted = path.read_text(encoding="ascii").split() if path.exists() else []
        attempts = 1 + (int(noted[1]) if noted[:1] == [str(self.done)] else 0)
        write_whole(path, f"{self.done} {attempts}")
        return attempts

    def _keep_whole_batches(self) -> int:
        """Cut off what a killed process left of its last batch → how many lines there are.

        Batches are formed as an uninterrupted run forms them, because the last digits of a score may hang on them.
        """
        path, ends = self.folder / LINES, [0]
        path.touch()
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    ends.append(ends[-1] + len(line))
        lines = len(ends) - 1
        if lines != self.options["count"]:
            lines -= lines % self.batch_size
        with path.open("r+b") as file:
            file.truncate(ends[lines])
        return lines


def finished(output: str | Path, options: Mapping[str, Any]) -> Row | None:
    """What about.json says of a finished run with these options, None where there is none.

    Raises ValueError where the run was given others.
    """
    path = Path(output, ABOUT)
    if not path.is_file():
        return None
    about = read_options(path)
    refuse_other_options(Path(output), about["options"], options)
    shutil.rmtree(Path(output, RUN), ignore_errors=True)  # left by a run that was killed in its last moment
    return about


def read_options(path: Path) -> Row:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {**content, "options": dict(content["options"])}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} is not what predict.py writes; choose another --output, or delete that folder."
        ) from error


def refuse_other_folder(output: Path) -> None:
    """Raises ValueError for what is neither new, nor empty, nor begun by a run that was killed in its first moment."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} exists and is a file; --output is a folder.")
    if output.is_dir() and any(place.name != RUN for place in output.iterdir()):
        raise ValueError(f"{output} holds something else already; choose an empty or a new folder.")


def refuse_other_options(output: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in dict.fromkeys((*before, *now)):
        if before.get(name) != now.get(name):
            raise ValueError(
                f"{output} was made with another {name}; give the same again, or choose another --output."
            )


def files_fingerprint(files: Mapping[str, Path]) -> str:
    """What tells these files from others, and from themselves after a change, without reading them."""
    digest = hashlib.sha256()
    for name, path in files.items():
        status = path.stat() if path.exists() else None
        noted = (name, status and status.st_size, status and status.st_mtime_ns)
        digest.update(json.dumps(noted).encode())
    return digest.hexdigest()


def model_fingerprint(folder: str | Path) -> str:
    """SHA-256 of a model folder's weights and settings."""
    digest = hashlib.sha256()
    for file in sorted(Path(folder).iterdir()):
        if file.suffix in MADE_BY_MODEL:
            with file.open("rb") as content:
                digest.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write the file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
