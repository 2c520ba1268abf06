"""Where an archive's tables and images lie, found in one walk: circulated copies differ in folders and case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from dataset_builders.records import LATERALITIES, VIEWS
from dataset_builders.tables import files_below

DICOM = (".dcm", ".dicom")
PICTURES = (".png", ".jpg", ".jpeg")


class ArchiveFiles:
    """All files below an archive's folder but the hidden ones, links to folders followed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = [path for path in files_below(folder, "") if not path.name.startswith(".")]

    def table(self, *names: str) -> Path:
        """The table that is called one of `names`, in any case; of several the first name's, the least deep.

        Raises FileNotFoundError, which names the folder and the table.
        """
        found = self.tables(*names)
        if not found:
            others = f" (nor {' or '.join(names[1:])})" if names[1:] else ""
            raise FileNotFoundError(f"{self.folder} has no {names[0]}{others}, nor has any folder below it.")
        return found[0]

    def tables(self, *names: str) -> list[Path]:
        """All files that are called one of `names`, in any case; by name, then by depth."""
        order = {name.lower(): number for number, name in enumerate(names)}
        found = [path for path in self.paths if path.name.lower() in order]
        return sorted(found, key=lambda path: (order[path.name.lower()], len(path.parts), path))

    def images(self, suffixes: Sequence[str]) -> list[Path]:
        """All images with one of the suffixes, in any case, the first suffix's first.

        Raises FileNotFoundError where there is none.
        """
        order = {suffix: number for number, suffix in enumerate(suffixes)}
        found = [path for path in self.paths if path.suffix.lower() in order]
        if not found:
            raise FileNotFoundError(
                f"{self.folder} has no image ({', '.join(suffixes)}), nor has any folder below it."
            )
        return sorted(found, key=lambda path: (order[path.suffix.lower()], path))


def no_record(laterality: str, view: str, path: Path | None, seen: bool) -> str | None:
    """Why a table's row of one image is no record; None where it is. seen: whether an earlier row named the image."""
    if seen:
        return "the table names the image twice"
    if laterality not in LATERALITIES:
        return "laterality is neither L nor R"
    if view not in VIEWS:
        return f"the view is {view or 'empty'}, neither CC nor MLO"
    return None if path else "the file is not there"


def by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Paths by their names without suffix, in lower case."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[path.stem.lower()].append(path)
    return dict(found)
