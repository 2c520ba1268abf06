"""Files and folders of mammograms → model input, one file at a time. A bad file is a sentence, and not the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from processing import MamClipImageProcessor, read_image

from .tables import files_below


@dataclass(frozen=True)
class MammogramFile:
    """One file, read and prepared.

    name: as `list_files` has it. pixel_values (3, H, W) float32, as the model takes it, or None for a bad file.
    laterality "L" or "R", view "CC" or "MLO": where DICOM tags say it. error: why the file is bad, or "".
    """

    name: str
    pixel_values: Tensor | None = None
    laterality: str | None = None
    view: str | None = None
    error: str = ""


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


def read_files(files: Mapping[str, Path], processor: MamClipImageProcessor) -> Iterator[MammogramFile]:
    """Read and prepare the files in their order, each when it is asked for."""
    for name, path in files.items():
        try:
            mammogram = read_image(path)
            pixel_values = processor(mammogram.pixels, return_tensors="pt")["pixel_values"][0]
        except Exception as error:  # a stranger's file can break a decoder in any way
            yield MammogramFile(name, error=" ".join(str(error).split()) or type(error).__name__)
        else:
            yield MammogramFile(name, pixel_values, mammogram.laterality, mammogram.view)
