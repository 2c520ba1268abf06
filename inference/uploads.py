"""Files that a page was given: read into memory, deleted at once, and swept away where nobody asked about them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MB = 2**20  # bytes, as Gradio counts them in its own sentence about a file that is too large
LEFT_BEHIND = 300  # seconds after which a file is deleted that was uploaded and not asked about


def taken(upload: Mapping[str, Any], max_mb: float) -> bytes:
    """The bytes of an uploaded file, {"path": …}, which is deleted whatever happens.

    Raises ValueError for one of more than so many megabytes, or one that is not there any more.
    """
    path = Path(upload["path"])
    try:
        if path.stat().st_size > max_mb * MB:
            raise ValueError(f"The file has more than {max_mb:g} MB and is refused.")
        return path.read_bytes()
    except OSError:
        raise ValueError("The file did not arrive; drop it once more.") from None
    finally:
        path.unlink(missing_ok=True)
        _remove_empty(path.parent)


def sweep_for_ever(folder: Path, age: float = LEFT_BEHIND) -> None:
    """Sweep a folder five times in the time of `age`."""
    while True:
        time.sleep(age / 5)
        sweep(folder, age)


def sweep(folder: Path, age: float) -> None:
    """Delete what has lain there for longer than `age` seconds: uploads that broke off, or whose page was closed."""
    old = time.time() - age
    for path in list(folder.rglob("*")):
        try:
            if path.is_file() and path.stat().st_mtime < old:
                path.unlink()
                _remove_empty(path.parent, above=folder)
        except FileNotFoundError:  # it was read meanwhile
            continue


def _remove_empty(folder: Path, above: Path | None = None) -> None:
    """Remove the folder of an upload, in which another one may have come to lie meanwhile."""
    if folder != above:
        try:
            folder.rmdir()
        except OSError:
            return
