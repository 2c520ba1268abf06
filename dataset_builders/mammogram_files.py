"""Files and folders that were given on the command line → the files of mammograms, by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .tables import files_below


def list_files(inputs: Sequence[str | Path]) -> dict[str, Path]:
    """All files that are named or lie in a named folder, by their path within the folder that holds all inputs.

    Hidden files, whose names begin with a dot, are left out of folders.

    Raises FileNotFoundError for an input that does not exist, ValueError where there is no file at all.
    """
    paths = [Path(given).absolute() for given in inputs]
    for path, given in zip(paths, inputs, strict=True):
        if not path.exists():
            raise FileNotFoundError(f"{given} does not exist; give files or folders of mammograms.")
    root = os.path.commonpath([path if path.is_dir() else path.parent for path in paths])
    found = [file for path in paths for file in (_visible(path) if path.is_dir() else [path])]
    if not found:
        raise ValueError(f"there is no file in {', '.join(map(str, inputs))}; expected mammograms.")
    return {file.relative_to(root).as_posix(): file for file in found}


def _visible(folder: Path) -> list[Path]:
    return [file for file in files_below(folder, "") if not file.name.startswith(".")]
