"""CBIS-DDSM (TCIA): scanned films as DICOM, and four tables with a row for each abnormality in each film."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from datasets import Value

from dataset_builders.archives.archive_files import DICOM, PICTURES, ArchiveFiles
from dataset_builders.birads import BIRADS, worst
from dataset_builders.findings import Finding
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.tables import coded, read_columns, read_table, text
from dataset_builders.terms import Terms

TABLES = {
    f"{kind}_case_description_{part}_set.csv": (kind, split)
    for kind in ("mass", "calc")
    for part, split in (("train", "training"), ("test", "test"))
}
COLUMNS = (
    *("patient_id", "left or right breast", "image view", "assessment", "pathology"),
    "image file path",
)
WORDS_OF = {"mass": ("mass shape", "mass margins"), "calc": ("calc type", "calc distribution")}
DENSITY = ("breast_density", "breast density")  # the mass tables have the first name, the others the second
TISSUE = {"1": "A", "2": "B", "3": "C", "4": "D"}
ASSESSMENTS = {str(value): value for value in BIRADS}
# From the most harmless on; an empty cell before them.
PATHOLOGIES = {"": None, "BENIGN_WITHOUT_CALLBACK": "benign", "BENIGN": "benign", "MALIGNANT": "malignant"}
FILM = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_(P_\d+)_(LEFT|RIGHT)_(CC|MLO)")
# DDSM's words, those of BI-RADS's third edition, in the words of today; the others are the same in lower case.
WORDS = {
    "ILL_DEFINED": "indistinct",
    "CLUSTERED": "grouped",
    "DIFFUSELY_SCATTERED": "diffuse",
    "LUCENT_CENTER": "lucent-centered",
    "LUCENT_CENTERED": "lucent-centered",
    "ROUND_AND_REGULAR": "round",
    "LARGE_RODLIKE": "large rod-like",
}
# What stands among the shapes of masses and is none.
NO_SHAPES = {
    "ARCHITECTURAL_DISTORTION": "architectural distortion",
    "ASYMMETRIC_BREAST_TISSUE": "global asymmetry",
    "FOCAL_ASYMMETRIC_DENSITY": "focal asymmetry",
    "LYMPH_NODE": "other",
}

Row = dict[str, Any]
Film = tuple[str, str, str]  # patient, laterality, view


class CbisDdsmBuilder(RecordBuilder):
    """CBIS-DDSM's archive: at least one of the four tables, and the full mammograms in whatever folders.

    A film is found by its series' UID (`…/<series>/….dcm`, `jpeg/<series>/….jpg`), as the tables name it, or by its
    folder's name (`Mass-Training_P_00001_LEFT_CC/…/1-1.dcm`), as the NBIA Data Retriever writes it. A film of both
    a mass and a calcification table is one record, with the worst assessment and all findings; a patient is an exam.
    """

    own_features = {
        "cbis_ddsm_split": Value("string"),  # training, test, or training and test
        "cbis_ddsm_pathology": Value("string"),  # the worst of the film's abnormalities, in the set's words
    }
    rules = (
        "A film of both a mass and a calcification table is one record, with the worst assessment and "
        "all findings.",
        "BI-RADS is the tables' assessment; density 1 to 4 is A to D.",
        "A patient is an exam; patients of the training and of the test tables are together.",
    )
    terms = Terms(
        licence="CC BY 3.0",
        citation="Sawyer-Lee, R., Gimenez, F., Hoogi, A., Rubin, D. (2016). Curated Breast Imaging Subset of Digital "
        "Database for Screening Mammography (CBIS-DDSM). The Cancer Imaging Archive. "
        "https://doi.org/10.7937/K9/TCIA.2016.7O02S9CY; Lee, R. S., Gimenez, F., Hoogi, A., Miyake, K. K., Gorovoy, "
        "M., Rubin, D. L. (2017). A curated mammography data set for use in computer-aided detection and diagnosis "
        "research. Scientific Data 4, 170177.",
        homepage="https://www.cancerimagingarchive.net/collection/cbis-ddsm/",
        weights="free",
    )

    def index(self, folder: Path) -> Index:
        files, found = ArchiveFiles(folder), Index()
        films, conflicting = _films(_abnormalities(files, found))
        places = _by_folder(files.images((*DICOM, *PICTURES)), folder)
        for film, rows in films.items():
            candidates = [_places(row, places) for row in rows]
            path = next((paths[0] for paths in candidates if len(paths) == 1), None)
            if path:
                found.rows.append(_record(path, film, rows))
            else:
                several = any(candidates)
                found.left_out["its folder holds several images" if several else "the file is not there"] += 1
        found.left_out.update({"the path and the columns name different films": conflicting})
        found.left_out = +found.left_out
        found.remarks.update(_oddities(films))
        return found


def findings_of(row: Row) -> list[Finding]:
    """An abnormality's row → its findings: one, or two where a mass comes with a distortion, an asymmetry or such."""
    first, second = (_parts(row[column]) for column in WORDS_OF[row["kind"]])
    common = {
        "birads": coded(row["assessment"], ASSESSMENTS),
        "pathology": PATHOLOGIES.get(_pathology(row)),
    }
    if row["kind"] == "calc":
        words = {"morphology": _words(first), "distribution": _words(second)}
        return [Finding("calcifications", **words, **common)]
    shapes = [part for part in first if part not in NO_SHAPES]
    others = [Finding(NO_SHAPES[part], **common) for part in first if part in NO_SHAPES]
    if others and not shapes:
        return others
    return [Finding("mass", shape=_words(shapes), margin=_words(second), **common), *others]


def _abnormalities(files: ArchiveFiles, found: Index) -> list[Row]:
    """The rows of all tables, each with its `kind`, `split` and `density`; missing tables are remarked.

    Raises FileNotFoundError where there is none of the four.
    """
    files.table(*TABLES)
    rows: list[Row] = []
    for name, (kind, split) in TABLES.items():
        paths = files.tables(name)
        if not paths:
            found.remarks[f"missing table {name}"] = 1
            continue
        density = next((column for column in DENSITY if column in read_columns(paths[0])), DENSITY[0])
        table = read_table(paths[0], [*COLUMNS, density, *WORDS_OF[kind]])
        for row in table.to_dict("records"):
            rows.append({**row, "kind": kind, "split": split, "density": coded(row[density], TISSUE)})
    return rows


def _films(rows: Iterable[Row]) -> tuple[dict[Film, list[Row]], int]:
    """Film → its abnormalities, and how many images are told to be of two different films."""
    films: dict[Film, list[Row]] = defaultdict(list)
    conflicting = set()
    for row in rows:
        film = text(row["patient_id"]), text(row["left or right breast"])[:1], text(row["image view"])
        named = FILM.fullmatch(_path_parts(row)[0])
        if named and (named[1], named[2][:1], named[3]) == film:
            films[film].append(row)
        else:
            conflicting.add(_path_parts(row)[0])
    return dict(films), len(conflicting)


def _path_parts(row: Row) -> list[str]:
    """The parts of an image's path; some cells of the tables end with a line break."""
    return [part.strip() for part in text(row["image file path"]).split("/")]


def _by_folder(paths: Iterable[Path], root: Path) -> dict[str, list[Path]]:
    """Paths by the name of every folder between the archive and them."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        for part in path.relative_to(root).parts[:-1]:
            found[part].append(path)
    return found


def _places(row: Row, places: dict[str, list[Path]]) -> list[Path]:
    """The files in an image's folder, DICOM alone where there is DICOM."""
    parts = _path_parts(row)
    found = (places.get(parts[-2]) if len(parts) > 2 else None) or places.get(parts[0]) or []
    return [path for path in found if path.suffix.lower() in DICOM] or found


def _record(path: Path, film: Film, rows: Sequence[Row]) -> Row:
    patient, laterality, view = film
    known = [value for row in rows if (value := coded(row["assessment"], ASSESSMENTS)) is not None]
    splits = {row["split"] for row in rows}
    return {
        "path": str(path),
        "patient_id": patient,
        "exam_id": patient,
        "laterality": laterality,
        "view": view,
        "birads": worst(known) if known else None,
        "density": next((row["density"] for row in rows if row["density"]), None),
        "source": "cbis_ddsm",
        "cbis_ddsm_split": " and ".join(sorted(splits, reverse=True)),
        "cbis_ddsm_pathology": max(map(_pathology, rows), key=list(PATHOLOGIES).index) or None,
        "findings": [finding for row in rows for finding in findings_of(row)],
    }


def _pathology(row: Row) -> str:
    value = text(row["pathology"]).upper()
    return value if value in PATHOLOGIES else ""


def _oddities(films: dict[Film, list[Row]]) -> dict[str, int]:
    """What an audit should know: patients of several tables are one patient here, whatever their number's table."""
    kinds, splits = defaultdict(set), defaultdict(set)
    for (patient, *_), rows in films.items():
        kinds[patient] |= {row["kind"] for row in rows}
        splits[patient] |= {row["split"] for row in rows}
    densities = ({row["density"] for row in rows if row["density"]} for rows in films.values())
    counts = {
        "patients in mass and calcification tables": sum(len(found) > 1 for found in kinds.values()),
        "patients in training and test tables": sum(len(found) > 1 for found in splits.values()),
        "films in mass and calcification tables": sum(
            len({row["kind"] for row in r}) > 1 for r in films.values()
        ),
        "films with several densities, of which the first counts": sum(len(found) > 1 for found in densities),
    }
    return {remark: count for remark, count in counts.items() if count}


def _parts(cell: object) -> list[str]:
    """ "IRREGULAR-ARCHITECTURAL_DISTORTION" → its parts, each once; none for an empty cell or "N/A"."""
    value = text(cell).upper()
    return [] if value in ("", "N/A", "NA") else list(dict.fromkeys(value.split("-")))


def _words(parts: Iterable[str]) -> str | None:
    return " and ".join(WORDS.get(part, part.lower().replace("_", " ")) for part in parts) or None
