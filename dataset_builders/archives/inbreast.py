"""INbreast (Porto): full-field digital mammograms as DICOM, and one table with a row for each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from dataset_builders.archives.archive_files import DICOM, PICTURES, ArchiveFiles
from dataset_builders.birads import BIRADS
from dataset_builders.findings import Finding
from dataset_builders.record_builder import Index, RecordBuilder
from dataset_builders.records import LATERALITIES, VIEWS
from dataset_builders.tables import coded, text
from dataset_builders.terms import Terms

TABLES = ("INbreast.xlsx", "INbreast.csv", "INbreast.xls")
COLUMNS = ("Patient ID", "Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads")
# Spreadsheets alone have these columns, with an X for each kind of finding in an image.
KINDS = {
    "Mass": "mass",
    "Micros": "calcifications",
    "Distortion": "architectural distortion",
    "Asymmetry": "asymmetry",
}
TISSUE = {"1": "A", "2": "B", "3": "C", "4": "D"}
ASSESSMENT = re.compile(r"([0-6])(?:\.0|[abc])?", re.IGNORECASE)  # 4a, 4b and 4c are 4
REMOVED = ("", "removed")
# 20588020_024ee3569b2605dc_MG_L_CC_ANON.dcm: number, patient, side, view.
NAME = re.compile(r"(\d+)_([0-9a-f]+)_MG_([LR])_([A-Z]+)(?:_.*)?")
FILE_VIEWS = {"CC": "CC", "ML": "MLO", "MLO": "MLO"}

Row = dict[str, Any]


class InbreastBuilder(RecordBuilder):
    """INbreast's archive: its table, and `AllDICOMs/<File Name>_<patient>_MG_<side>_<view>_….dcm`.

    `INbreast.csv` goes before `INbreast.xls`, and `INbreast.xlsx`, as which a spreadsheet saves that, before both: only
    these two tell of findings. The table's patients are removed in the copies that circulate: the file's name tells
    them. An exam is what one patient had on one acquisition date. Files of MLO views are called ML.
    """

    rules = (
        "The patient is the table's, or that in the file's name where circulated copies have removed it.",
        "An exam is what one patient had on one acquisition date; files of MLO views are called ML.",
        "BI-RADS 4a, 4b and 4c are 4; ACR 1 to 4 is density A to D.",
    )
    terms = Terms(
        licence="INbreast: research, by agreement with the Breast Research Group, INESC Porto",
        citation="Moreira, I. C., Amaral, I., Domingues, I., Cardoso, A., Cardoso, M. J., Cardoso, J. S. (2012). "
        "INbreast: toward a full-field digital mammographic database. Academic Radiology 19(2), 236-248. "
        "https://doi.org/10.1016/j.acra.2011.09.014",
        homepage="https://doi.org/10.1016/j.acra.2011.09.014",
        weights="permission",
    )

    def index(self, folder: Path) -> Index:
        files, found, seen = ArchiveFiles(folder), Index(), set()
        rows = _rows(files.table(*TABLES))
        places: dict[str, Path] = {}
        for path in files.images((*DICOM, *PICTURES)):
            places.setdefault(path.stem.split("_")[0], path)
        for row in rows:
            path = places.get(row["File Name"])
            patient = _patient(row, path)
            reason = _no_record(row, path, patient, row["File Name"] in seen)
            if reason:
                found.left_out[reason] += 1
            else:
                found.rows.append(_record(path, row, patient))
            seen.add(row["File Name"])
        return found


def parse_assessment(cell: object) -> int | None:
    """ "4a", " 4B " or "4" → 4; None for what is no assessment."""
    found = ASSESSMENT.fullmatch(text(cell))
    return int(found[1]) if found and int(found[1]) in BIRADS else None


def _rows(path: Path) -> list[Row]:
    """The table's rows as text without blanks around it; rows without a file's number (totals, notes) are left away.

    Raises ValueError for a file that is no table, or lacks a column.
    """
    table = _read(path)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        found = ", ".join(table.columns)
        raise ValueError(f"{path} has no column {missing[0]!r}; the columns found are: {found}.")
    rows = [{name: text(cell) for name, cell in row.items()} for row in table.to_dict("records")]
    for row in rows:
        row["File Name"] = row["File Name"].removesuffix(".0")  # a number to a spreadsheet
    rows = [row for row in rows if row["File Name"].isdecimal()]
    if not rows:
        raise ValueError(f"{path} has no row whose 'File Name' is a number; get a new copy of it.")
    return rows


def _read(path: Path) -> pd.DataFrame:
    """The table as it is, whatever separates its columns; headers without blanks around them."""
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                separator = ";" if ";" in file.readline() else ","
            table = pd.read_csv(
                path, sep=separator, dtype=str, encoding="utf-8-sig", encoding_errors="replace"
            )
        else:
            table = pd.read_excel(path, dtype=str)
    except ImportError:
        raise ValueError(
            f"{path} is an old Excel file; run: pip install python-calamine, or save it as INbreast.xlsx."
        ) from None
    except Exception as error:  # readers raise whatever they like
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{path} cannot be read as a table ({reason}); get a new copy of it.") from error
    table.columns = [str(name).strip() for name in table.columns]
    return table.astype(object).where(table.notna(), None)


def _patient(row: Row, path: Path | None) -> str:
    """From the table, else from the file's name; "" where neither tells."""
    if row["Patient ID"].lower() not in REMOVED:
        return row["Patient ID"]
    named = NAME.fullmatch(path.stem) if path else None
    return named[2] if named else ""


def _no_record(row: Row, path: Path | None, patient: str, seen: bool) -> str | None:
    if seen:
        return "the table names the image twice"
    if row["Laterality"] not in LATERALITIES:
        return "Laterality is neither L nor R"
    if row["View"] not in VIEWS:
        return f"the view is {row['View'] or 'empty'}, neither CC nor MLO"
    if path is None:
        return "the file is not there"
    if not patient:
        return "neither the table nor the file's name tells the patient"
    named = NAME.fullmatch(path.stem)
    same = not named or (named[3], FILE_VIEWS.get(named[4])) == (row["Laterality"], row["View"])
    return None if same else "the table and the file's name tell different sides or views"


def _record(path: Path, row: Row, patient: str) -> Row:
    birads = parse_assessment(row["Bi-Rads"])
    kinds = [kind for column, kind in KINDS.items() if row.get(column, "").upper() == "X"]
    return {
        "path": str(path),
        "patient_id": patient,
        "exam_id": f"{patient}_{row['Acquisition date'].removesuffix('.0')}",
        "laterality": row["Laterality"],
        "view": row["View"],
        "birads": birads,
        "density": coded(row["ACR"], TISSUE),
        "source": "inbreast",
        "findings": [Finding(kind) for kind in kinds],
    }
