"""TEKNOFEST 2023 / MammosighTR: DICOM folders by patient, and Excel sheets with Turkish headers."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Any

from dataset_builders.birads import BIRADS, DENSITIES
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.tables import files_below, read_columns, read_table, text

PATIENT, DENSITY = "HASTANO", "MEME KOMPOZİSYONU"
GROUP = "BIRADS KATEGORİSİ"
QUADRANTS = {"R": "KADRAN BİLGİSİ (SAĞ)", "L": "KADRAN BİLGİSİ (SOL)"}  # SAĞ: right, SOL: left
QUADRANT_NAMES = ("ÜST DIŞ", "ÜST İÇ", "ALT İÇ", "ALT DIŞ", "MERKEZ")
SCORE = "Birads Skoru"  # the header goes on: "(EK BİLGİ OLARAK VERİLMİŞTİR, …)"
IMAGES = {f"{side}{view}": (side, view) for side in "RL" for view in ("CC", "MLO")}
# The sheet's coarse category, from which a missing score follows where it is one class.
GROUPS = {"BI-RADS0": (0,), "BI-RADS1-2": (1, 2), "BI-RADS4-5": (4, 5)}


class TeknofestBuilder(RecordBuilder):
    """TEKNOFEST's archive: `<data_dir>/**/<HASTANO>/RCC.dcm …` and the .xlsx sheets anywhere in it."""

    def index(self, folder: Path) -> Index:
        found = Index()
        patients = _patients(folder, found.remarks)
        seen = set()
        for path in files_below(folder, ".dcm"):
            position, rows = IMAGES.get(path.stem.upper()), patients.get(path.parent.name, [])
            reason = _no_record(position, rows)
            if reason:
                found.left_out[reason] += 1
            else:
                found.rows.append(_record(path, rows[0], *position))
            seen.add(path.parent.name)
        found.remarks.update({"patients in the sheets without an image": len(patients.keys() - seen)})
        found.remarks = +found.remarks  # without those that count 0
        return found


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
    if value in ("", "[]", "nan", "NaN"):
        return []
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in parsed] if isinstance(parsed, (list, tuple)) else [str(parsed)]


def parse_score(cell: object, group: object) -> int | None:
    """ "Kategori 4" or "Kategori 4A" → 4; without a score, the group where that is one class; else None."""
    found = re.search(r"(?<!\d)[0-6](?!\d)", text(cell))
    if found:
        return int(found.group())
    classes = _group_classes(group)
    return classes[0] if len(classes) == 1 else None


def _group_classes(cell: object) -> tuple[int, ...]:
    """The BI-RADS classes that a coarse category allows: all of them where the cell is none of the three."""
    return GROUPS.get(text(cell).upper().replace(" ", ""), BIRADS)


def _patients(folder: Path, remarks: Counter[str]) -> dict[str, list[dict[str, Any]]]:
    """Patient → her rows in all sheets, equal ones once; what is odd in them is added to `remarks`."""
    sheets = [path for path in files_below(folder, ".xlsx") if not path.name.startswith(("~$", "."))]
    if not sheets:
        raise FileNotFoundError(f"{folder} has no .xlsx sheet; expected the labels of TEKNOFEST in it.")
    labels = [sheet for sheet in sheets if PATIENT in read_columns(sheet)]
    patients: dict[str, list[dict[str, Any]]] = {}
    for sheet in labels or sheets[:1]:
        for row in _rows(sheet):
            rows = patients.setdefault(row[PATIENT], [])
            if row not in rows:
                rows.append(row)
                remarks.update(_oddities(row))
    remarks.update({f"sheets without a column {PATIENT}": len(sheets) - len(labels)})
    return patients


def _rows(sheet: Path) -> list[dict[str, Any]]:
    columns = [PATIENT, GROUP, DENSITY, *QUADRANTS.values()]
    table = read_table(sheet, columns, prefixes=[SCORE])
    rows = ({name: text(cell) for name, cell in row.items()} for row in table.to_dict("records"))
    return [row for row in rows if row[PATIENT]]


def _oddities(row: dict[str, Any]) -> list[str]:
    """What a patient's row says that it should not; she is used all the same."""
    score, density = parse_score(row[SCORE], row[GROUP]), row[DENSITY].upper()
    odd = [f"patients whose {column} is empty" for column in (SCORE, DENSITY) if not row[column]]
    if density and density not in DENSITIES:
        odd.append(f"patients whose {DENSITY} is {density}")
    if score is not None and score not in _group_classes(row[GROUP]):
        odd.append(f"patients whose {SCORE} is not in their {GROUP}; the score counts")
    names = {name for column in QUADRANTS.values() for name in parse_quadrants(row[column])}
    return odd + [f"patients with the unknown quadrant {name}" for name in names - set(QUADRANT_NAMES)]


def _no_record(position: tuple[str, str] | None, rows: list[dict[str, Any]]) -> str | None:
    if position is None:
        return f"the file is not called one of {', '.join(IMAGES)}"
    if not rows:
        return f"the folder's name is no {PATIENT} of the sheets"
    return "the patient has rows that contradict each other" if len(rows) > 1 else None


def _record(path: Path, row: dict[str, Any], side: str, view: str) -> dict[str, Any]:
    score = parse_score(row[SCORE], row[GROUP])
    quadrants = {name: parse_quadrants(row[column]) for name, column in QUADRANTS.items()}
    density = row[DENSITY].upper()
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
