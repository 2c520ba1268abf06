"""Where the files that EMBED's metadata table names lie on the user's disk: DICOM, or PNGs that were made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from dataset_builders.tables import Listing, files_below

DICOM_COLUMN, PNG_COLUMNS = "anon_dicom_path", ("png_path", "png_filename")
NO_FILE = "the file is not there"
NO_PATH = "the table's path has neither a part cohort_… nor a beginning in path_map"


def image_paths(
    rows: pd.DataFrame, folder: Path, *, images: str, path_map: Mapping[str, str]
) -> tuple[list[str | None], list[str]]:
    """The file of every row of the metadata, None where there is none, and why that would be.

    images: "dicom", or "png". A PNG is sought where `png_path` says, then in the DICOM's place with the suffix .png,
    then anywhere in the folder by its name, `png_filename`, which EMBED's documentation calls unique.
    path_map: beginnings of the table's paths and the folders that they stand for, below `folder` unless absolute.

    Raises FileNotFoundError where a folder of path_map, or any folder cohort_…, is missing.
    """
    places = _checked(path_map, folder)
    root = "" if places else str(images_root(folder, images))
    columns = [DICOM_COLUMN] if images == "dicom" else [PNG_COLUMNS[0], DICOM_COLUMN]
    by_name = _pngs_by_name(folder) if images == "png" else {}
    names = rows[PNG_COLUMNS[1]] if images == "png" else [""] * len(rows)
    listing, paths, reasons = Listing(), [], []
    for *cells, name in zip(*(rows[column] for column in columns), names, strict=True):
        candidates = [path for cell in cells if (path := local_path(cell, root, places))]
        if images == "png":
            candidates = [f"{path.rpartition('.')[0]}.png" for path in candidates]
            candidates += [by_name[name]] if name in by_name else []
        paths.append(next((path for path in candidates if listing.is_file(path)), None))
        reasons.append(NO_FILE if candidates else NO_PATH)
    return paths, reasons


def local_path(path: str, root: str, places: Mapping[str, str]) -> str | None:
    """A path of the table on the user's disk; None where nothing says how it gets there.

    places: beginnings of paths and the folders that they stand for, of which the longest that fits counts; without
    any, a path counts from its part `cohort_…` on, below `root`.
    """
    if not places:
        start = path.find("cohort_")
        return None if start < 0 else f"{root}/{path[start:]}"
    beginning = max((one for one in places if path.startswith(one)), key=len, default=None)
    if beginning is None:
        return None
    return f"{places[beginning]}/{path.removeprefix(beginning).lstrip('/')}"


def images_root(folder: Path, images: str) -> Path:
    """The folder that holds `cohort_…`, at most two below the archive (all of EMBED would take long to search)."""
    for pattern in ("cohort_*", "*/cohort_*", "*/*/cohort_*"):
        found = next((path for path in sorted(folder.glob(pattern)) if path.is_dir()), None)
        if found is not None:
            return found.parent
    if images == "png":  # they may lie in any folder, and are then found by their names
        return folder
    raise FileNotFoundError(
        f"{folder} has no folder cohort_1, cohort_2, …; expected EMBED's images below it, or the option path_map."
    )


def _checked(path_map: Mapping[str, str], folder: Path) -> dict[str, str]:
    places = {beginning: folder / place for beginning, place in path_map.items()}
    missing = next((place for place in places.values() if not place.is_dir()), None)
    if missing is not None:
        raise FileNotFoundError(
            f"path_map leads to {missing}, which is not a folder; give the images' folder."
        )
    return {beginning: str(place) for beginning, place in places.items()}


def _pngs_by_name(folder: Path) -> dict[str, str]:
    """File name → path of the PNGs anywhere in a folder, without names that occur twice."""
    paths = files_below(folder, ".png")
    counts = Counter(path.name for path in paths)
    return {path.name: str(path) for path in paths if counts[path.name] == 1}
