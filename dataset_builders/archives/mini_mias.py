"""mini-MIAS: scanned films of 161 women, one oblique view of each breast, findings as circles. No BI-RADS in it.

Two layouts give the same records: the original one (.pgm films, and a text file with a line for each finding, y
counted from below), and a folder of PNGs with `labels.csv` (a row a film, y counted from above).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Value
from PIL import Image

from dataset_builders.archives.archive_files import ArchiveFiles, by_name
from dataset_builders.findings import Finding
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.tables import read_table, text
from dataset_builders.terms import Terms

SIDE = 1024  # pixels of every film, both ways
CLASSES = {  # what each class is in BI-RADS's words
    "CALC": {"kind": "calcifications"},
    "CIRC": {"kind": "mass", "margin": "circumscribed"},
    "SPIC": {"kind": "mass", "margin": "spiculated"},
    "MISC": {"kind": "mass", "margin": "indistinct"},  # "other, ill-defined masses"
    "ARCH": {"kind": "architectural distortion"},
    "ASYM": {"kind": "asymmetry"},
}
NORMAL = "NORM"
SEVERITIES = {"B": "benign", "M": "malignant"}
FILM = re.compile(r"mdb(\d{3})")
LINE = re.compile(
    r"(?P<film>mdb\d{3})\s+(?P<tissue>[FGD])\s+(?:NORM|(?P<name>[A-Z]{4})\s+(?P<severity>[BM])"
    r"(?:\s+(?P<x>\d+)\s+(?P<y>\d+)\s+(?P<r>\d+)|\W+NOTE.*)?)"  # "*NOTE 3*": scattered, no circle
)
COLUMNS = ("image", "tissue", "abnormality", "severity", "rois")
TEXTS = ("Info.txt", "README", "README.txt", "00README")


@dataclass(frozen=True)
class Mark:
    """One finding of a film. circle: its centre from the film's upper left corner, and its radius, in pixels."""

    name: str
    severity: str
    circle: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Film:
    tissue: str
    marks: tuple[Mark, ...]


class MiniMiasBuilder(RecordBuilder):
    """mini-MIAS's folder: `Info.txt` and `mdb001.pgm` …, or `labels.csv` and `mdb001.png` ….

    Films with odd numbers count as left, the next as the right breast of the same patient, as the letters on the
    films say in most cases: the films were scanned from behind, so that a left breast looks like a right one. The
    text file that comes with them says the opposite. Tissue (F, G, D) is no BI-RADS density and stays apart.
    """

    own_features = {
        "mini_mias_tissue": Value("string"),  # F fatty, G fatty-glandular, D dense-glandular
        "mini_mias_abnormality": Value("string"),  # CALC, CIRC, SPIC, MISC, ARCH, ASYM or NORM
        "mini_mias_severity": Value(
            "string"
        ),  # benign or malignant, the worst of the film; none where normal
    }
    rules = (
        "There is no BI-RADS and no BI-RADS density in the set; tissue, abnormality and severity keep "
        "their own columns.",
        "Two films that follow each other are one patient: odd numbers count as left, even ones as right.",
        "All films are MLO.",
    )
    terms = Terms(
        licence="MIAS MiniMammographic Database licence agreement: research purposes only",
        citation="Suckling, J., Parker, J., Dance, D., Astley, S., Hutt, I., Boggis, C., Ricketts, I., Stamatakis, E., "
        "Cerneaz, N., Kok, S., Taylor, P., Betal, D., Savage, J. (1994). The Mammographic Image Analysis Society "
        "Digital Mammogram Database. Excerpta Medica, International Congress Series 1069, 375-378.",
        homepage="http://peipa.essex.ac.uk/info/mias.html",
        weights="non-commercial",
    )

    def index(self, folder: Path) -> Index:
        files, found = ArchiveFiles(folder), Index()
        films = _films(files, found.remarks)
        paths = [path for path in files.images((".pgm", ".png")) if FILM.fullmatch(path.stem.lower())]
        places = by_name(paths)
        for name in sorted(films):
            if name in places:
                found.rows.append(_record(places[name][0], name, films[name], found.remarks))
            else:
                found.left_out["the file is not there"] += 1
        found.left_out.update({"the table has no line of the film": len(places.keys() - films.keys())})
        found.left_out = +found.left_out
        return found


def _films(files: ArchiveFiles, remarks: Counter[str]) -> dict[str, Film]:
    """Film's name → what is known of it. Raises FileNotFoundError where neither kind of table is there."""
    tables = files.tables("labels.csv")
    if tables:
        return read_labels(tables[0])
    for path in files.tables(*TEXTS):
        films = read_info(path, remarks)
        if films:
            return films
    raise FileNotFoundError(
        f"{files.folder} has neither labels.csv nor Info.txt with lines such as 'mdb001 G CIRC B 535 425 197'."
    )


def read_info(path: Path, remarks: Counter[str]) -> dict[str, Film]:
    """The original text file, prose between its lines allowed; lines of a film that cannot be read are remarked."""
    films: dict[str, Film] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        found = LINE.fullmatch(line.strip())
        if found and (found["name"] in CLASSES or not found["name"]):
            before = films.get(found["film"], Film(found["tissue"], ()))
            films[found["film"]] = Film(before.tissue, (*before.marks, *_mark(found)))
        elif FILM.match(line):
            remarks[f"lines of {path.name} that cannot be read"] += 1
    return films


def _mark(found: re.Match) -> list[Mark]:
    if not found["name"]:
        return []
    circle = (int(found["x"]), SIDE - int(found["y"]), int(found["r"])) if found["x"] else None
    return [Mark(found["name"], SEVERITIES[found["severity"]], circle)]


def read_labels(path: Path) -> dict[str, Film]:
    """A row a film; its circles as `CLASS:severity:x:y:r`, joined by ";". Raises ValueError for an unknown value."""
    films = {}
    for row in read_table(path, COLUMNS).to_dict("records"):
        circles = [circle for circle in text(row["rois"]).split(";") if circle]
        marks = tuple(_circle(path, circle) for circle in circles)
        name, severity = text(row["abnormality"]), text(row["severity"])
        if not marks and name != NORMAL:  # scattered all over the film
            marks = (Mark(name, severity),)
        wrong = next((mark for mark in marks if mark.name not in CLASSES), None)
        if wrong:
            raise ValueError(
                f"{path} has the class {wrong.name!r}; expected {', '.join((*CLASSES, NORMAL))}."
            )
        films[Path(text(row["image"])).stem.lower()] = Film(text(row["tissue"]), marks)
    return films


def _circle(path: Path, cell: str) -> Mark:
    try:
        name, severity, *circle = cell.split(":")
        x, y, r = map(int, circle)
        return Mark(name, SEVERITIES[severity], (x, y, r))
    except (ValueError, KeyError):
        raise ValueError(f"{path} has the finding {cell!r}; expected CLASS:severity:x:y:r.") from None


def _record(path: Path, name: str, film: Film, remarks: Counter[str]) -> dict[str, Any]:
    number = int(FILM.fullmatch(name)[1])
    patient = f"pair{(number + 1) // 2:03d}"
    whole = _has_its_size(path)
    remarks.update([f"films that are not {SIDE} × {SIDE} pixels: their findings have no boxes"] * (not whole))
    return {
        "path": str(path),
        "patient_id": patient,
        "exam_id": patient,
        "laterality": "L" if number % 2 else "R",
        "view": "MLO",
        "birads": None,
        "density": None,
        "source": "mini_mias",
        "mini_mias_tissue": film.tissue,
        "mini_mias_abnormality": " and ".join(dict.fromkeys(mark.name for mark in film.marks)) or NORMAL,
        "mini_mias_severity": max(
            (mark.severity for mark in film.marks), default=None
        ),  # malignant follows benign
        "findings": [_finding(mark, with_box=whole) for mark in film.marks],
    }


def _has_its_size(path: Path) -> bool:
    """Whether a film is as large as published, or cannot be opened, which the build will tell."""
    try:
        with Image.open(path) as image:
            return image.size == (SIDE, SIDE)
    except OSError:
        return True


def _finding(mark: Mark, *, with_box: bool) -> Finding:
    """A mark with the square around its circle, as far as it is on the film."""
    box = None
    if mark.circle and with_box:
        x, y, r = mark.circle
        box = (max(0, x - r), max(0, y - r), min(SIDE, x + r + 1), min(SIDE, y + r + 1))
    return Finding(**CLASSES[mark.name], pathology=mark.severity, box=box)
