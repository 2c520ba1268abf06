"""TEKNOFEST 2023 / MammosighTR: DICOM folders by patient, and Excel sheets with Turkish headers."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from dataset_builders.birads import DENSITIES
from dataset_builders.record_builder import RecordBuilder
from dataset_builders.tables import files_below, read_table, tables_fingerprint, text

PATIENT, DENSITY = "HASTANO", "MEME KOMPOZİSYONU"
GROUP = "BIRADS KATEGORİSİ"
QUADRANTS = {"R": "KADRAN BİLGİSİ (SAĞ)", "L": "KADRAN BİLGİSİ (SOL)"}  # SAĞ: right, SOL: left
SCORE = "Birads Skoru"  # the header goes on: "(EK BİLGİ …)"
IMAGES = {f"{side}{view}": (side, view) for side in "RL" for view in ("CC", "MLO")}
# The sheet's coarse category, from which a missing score follows where it is one class.
GROUPS = {"BI-RADS0": (0,), "BI-RADS1-2": (1, 2), "BI-RADS4-5": (4, 5)}


class TeknofestBuilder(RecordBuilder):
    """TEKNOFEST's archive: `<data_dir>/**/<HASTANO>/RCC.dcm …` and the .xlsx sheets anywhere in it."""

    @classmethod
    def fingerprint_of(cls, folder: Path) -> str:
        return tables_fingerprint(_sheets(folder))

    def index(self, folder: Path) -> list[dict[str, Any]]:
        patients = {row[PATIENT]: row for sheet in _sheets(folder) for row in _rows(sheet)}
        records = []
        for path in files_below(folder, ".dcm"):
            position = IMAGES.get(path.stem.upper())
            row = patients.get(path.parent.name)
            if position and row:
                records.append(_record(path, row, *position))
        return records


def breast_assessments(score: int | None, right: list[str], left: list[str]) -> dict[str, int | None]:
    """A patient's BI-RADS and the quadrants with findings → BI-RADS of each breast, "R" and "L".

    As published: BI-RADS 1 holds for both breasts; findings on one side give that breast the score and the other
    a 1; findings on both or on neither side give both the score.
    """
    if score == 1 or score is None or bool(right) == bool(left):
        return {"R": score, "L": score}
    return {"R": score, "L": 1} if right else {"R": 1, "L": score}


def parse_quadrants(cell: object) -> list[str]:
    """The list that a cell holds as text, "['ÜST DIŞ']"; empty for NaN, "" and "[]"."""
    value = text(cell)
    if value in ("", "[]", "nan"):
        return []
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in parsed] if isinstance(parsed, (list, tuple)) else [str(parsed)]


def parse_score(cell: object, group: object) -> int | None:
    """ "Kategori 4" → 4; without it, the group where that is one class; None where neither says it."""
    found = re.search(r"[0-6]", text(cell))
    if found:
        return int(found.group())
    classes = GROUPS.get(text(group).replace(" ", ""), ())
    return classes[0] if len(classes) == 1 else None


def _sheets(folder: Path) -> list[Path]:
    sheets = [path for path in files_below(folder, ".xlsx") if not path.name.startswith("~$")]
    if not sheets:
        raise FileNotFoundError(f"{folder} has no .xlsx sheet; expected the labels of TEKNOFEST in it.")
    return sheets


def _rows(sheet: Path) -> list[dict[str, Any]]:
    columns = [PATIENT, GROUP, DENSITY, *QUADRANTS.values()]
    table = read_table(sheet, columns, prefixes=[SCORE])
    return [{**row, PATIENT: text(row[PATIENT])} for row in table.to_dict("records")]


def _record(path: Path, row: dict[str, Any], side: str, view: str) -> dict[str, Any]:
    score = parse_score(row[SCORE], row[GROUP])
    quadrants = {name: parse_quadrants(row[column]) for name, column in QUADRANTS.items()}
    density = text(row[DENSITY]).upper()
    return {
        "path": str(path),
        "patient_id": row[PATIENT],
        "exam_id": row[PATIENT],  # one exam a patient
        "laterality": side,
        "view": view,
        "birads": breast_assessments(score, quadrants["R"], quadrants["L"])[side],
        "density": density if density in DENSITIES else None,
        "source": "teknofest",
    }
