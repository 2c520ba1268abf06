"""TEKNOFEST 2023 / MammosighTR: DICOM folders by patient, and Excel sheets with Turkish headers; or preprocessed PNGs.

All forms give the same rows for the same patients; only the pixels differ.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dataset_builders.archives.mammosightr import HUB_COPY, METADATA, Labels, download, read_labels, unpacked
from dataset_builders.birads import BIRADS, DENSITIES
from dataset_builders.record_builder import Index, RecordBuilder, RecordConfig
from dataset_builders.tables import files_below, read_columns, read_table, text
from dataset_builders.terms import Terms

PATIENT, DENSITY = "HASTANO", "MEME KOMPOZİSYONU"
GROUP = "BIRADS KATEGORİSİ"
QUADRANTS = {"R": "KADRAN BİLGİSİ (SAĞ)", "L": "KADRAN BİLGİSİ (SOL)"}  # SAĞ: right, SOL: left
QUADRANT_NAMES = ("ÜST DIŞ", "ÜST İÇ", "ALT İÇ", "ALT DIŞ", "MERKEZ")
SCORE = "Birads Skoru"  # the header goes on: "(EK BİLGİ OLARAK VERİLMİŞTİR, …)"
OPEN_SHEET = ("~$", ".")  # what Excel leaves beside a sheet that is open
IMAGES = {f"{side}{view}": (side, view) for side in "RL" for view in ("CC", "MLO")}
# The sheet's coarse category, from which a missing score follows where it is one class.
GROUPS = {"BI-RADS0": (0,), "BI-RADS1-2": (1, 2), "BI-RADS4-5": (4, 5)}


FORMS = ("dicom", "png", "parquet")
CONTRADICTION = "the patient has rows that contradict each other"


@dataclass
class TeknofestConfig(RecordConfig):
    """Which of its forms the archive is read from, where its folder holds several, and where Parquet is unpacked."""

    form: Literal["auto", "dicom", "png", "parquet"] = field(
        default="auto",
        metadata={
            "help": "dicom: DICOM and .xlsx sheets; png: PNGs and metadata_image_level.json; parquet: a copy of the "
            "Hub's data set; auto: what the folder holds"
        },
    )
    unpack_to: str = field(
        default="",
        metadata={"help": "the folder for the PNGs of a Parquet copy (by default in the cache of datasets)"},
    )


class TeknofestBuilder(RecordBuilder):
    """TEKNOFEST's archive in any of its forms; data_dir is a folder, or the name of the Hub's copy, HUB_COPY.

    dicom: `<data_dir>/**/<HASTANO>/RCC.dcm …` and the .xlsx sheets anywhere in it. png: `**/<HASTANO>/RCC.png …` and
    metadata_image_level.json. parquet: the columns of that file, and `image`.
    """

    BUILDER_CONFIG_CLASS = TeknofestConfig
    rules = (
        "From the sheets (DICOM): a patient of BI-RADS 1 has 1 on both sides; findings on one side give "
        "that breast her score and the other 1; findings on both sides or none give both her score. Both"
        " views have their breast's label.",
        "From the preprocessed copy (PNG, Parquet): every image has the label of its own entry.",
        "A patient is an exam; patients whose rows contradict each other are left out.",
    )
    terms = Terms(
        licence="CC BY-NC 4.0 (preprocessed copy); DICOM under the terms of the Turkish Ministry of Health",
        citation="Koç U, Karakaş E, Sezer EA, et al. MammosighTR: Nationwide Breast Cancer Screening Mammogram Dataset "
        "with BI-RADS Annotations for Artificial Intelligence Applications. Radiology: Artificial Intelligence "
        "2025;7(6):e240841. Of the preprocessed copy also: Gulluk HI, Gevaert O. arXiv:2605.19359.",
        homepage=f"https://huggingface.co/datasets/{HUB_COPY}",
        weights="non-commercial",
    )

    def __init__(self, *args, data_dir: str | Path | None = None, **kwargs) -> None:
        super().__init__(*args, data_dir=download() if str(data_dir) == HUB_COPY else data_dir, **kwargs)

    def index(self, folder: Path) -> Index:
        form = found_form(folder) if self.config.form == "auto" else self.config.form
        if form not in FORMS:
            raise ValueError(f"form is {form!r}; expected auto, {', '.join(FORMS)}.")
        if form == "parquet":
            folder = unpacked(folder, self.config.unpack_to)
        return index_sheets(folder) if form == "dicom" else index_pngs(folder)


def found_form(folder: Path) -> str:
    """The form of an archive. Raises FileNotFoundError where there is none, ValueError where there are several."""
    paths = files_below(folder, (".xlsx", ".parquet", ".json", ".png"))
    suffixes = {path.suffix.lower() for path in paths if not path.name.startswith(OPEN_SHEET)}
    has_metadata = any(path.name == METADATA for path in paths)
    signs = {"dicom": ".xlsx" in suffixes, "parquet": ".parquet" in suffixes}
    forms = [form for form, there in {**signs, "png": has_metadata and ".png" in suffixes}.items() if there]
    if not forms:
        raise FileNotFoundError(
            f"{folder} has no .xlsx sheet, no {METADATA} with PNGs and no Parquet; expected TEKNOFEST's labels."
        )
    if len(forms) > 1:
        raise ValueError(
            f"{folder} holds TEKNOFEST as {' and as '.join(forms)}; choose with the option form."
        )
    return forms[0]


def index_sheets(folder: Path) -> Index:
    """DICOM files, labelled by their patient's row in the sheets."""
    found = Index()
    patients = _patients(folder, found.remarks)
    labels: dict[str, list[dict[str, Labels]]] = {
        name: [_breast_labels(row) for row in rows] for name, rows in patients.items()
    }
    seen: dict[str, int] = defaultdict(int)
    for path in files_below(folder, ".dcm"):
        position, rows = IMAGES.get(path.stem.upper()), labels.get(path.parent.name, [])
        reason = _no_record(position, rows)
        if reason:
            found.left_out[reason] += 1
        else:
            found.rows.append(_record(path, *position, *rows[0][position[0]]))
        seen[path.parent.name] += position is not None
    found.remarks["patients in the sheets without an image"] = len(patients.keys() - seen)
    found.remarks["patients without all four views"] = sum(0 < views < len(IMAGES) for views in seen.values())
    found.remarks = +found.remarks  # without those that count 0
    return found


def index_pngs(folder: Path) -> Index:
    """PNGs, labelled by their own entry in metadata_image_level.json. Raises FileNotFoundError without that file."""
    found = Index()
    metadata = next((path for path in files_below(folder, ".json") if path.name == METADATA), None)
    if metadata is None:
        raise FileNotFoundError(f"{folder} has no {METADATA}; expected the labels of the PNGs in it.")
    labels = read_labels(metadata, found.remarks)
    seen: Counter[str] = Counter()
    images = set()
    for path in files_below(folder, ".png"):
        image = (path.parent.name, path.stem.upper())
        known = labels.get(image, set())
        reason = _no_png_record(image[1], known)
        if reason:
            found.left_out[reason] += 1
        else:
            found.rows.append(_record(path, *IMAGES[image[1]], *next(iter(known))))
        seen[image[0]] += image[1] in IMAGES
        images.add(image)
    found.remarks[f"images in {METADATA} without a file"] = len(labels.keys() - images)
    found.remarks["patients without all four views"] = sum(0 < views < len(IMAGES) for views in seen.values())
    found.remarks = +found.remarks
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
    sheets = [path for path in files_below(folder, ".xlsx") if not path.name.startswith(OPEN_SHEET)]
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


def _breast_labels(row: dict[str, Any]) -> dict[str, Labels]:
    """BI-RADS and density of both breasts, from a patient's row."""
    quadrants = {name: parse_quadrants(row[column]) for name, column in QUADRANTS.items()}
    scores = breast_assessments(parse_score(row[SCORE], row[GROUP]), quadrants["R"], quadrants["L"])
    density = row[DENSITY].upper()
    return {side: (score, density if density in DENSITIES else None) for side, score in scores.items()}


def _no_record(position: tuple[str, str] | None, rows: list) -> str | None:
    if position is None:
        return f"the file is not called one of {', '.join(IMAGES)}"
    if not rows:
        return f"the folder's name is no {PATIENT} of the sheets"
    return CONTRADICTION if len(rows) > 1 else None


def _no_png_record(name: str, known: set[Labels | str]) -> str | None:
    if name not in IMAGES:
        return f"the file is not called one of {', '.join(IMAGES)}"
    if not known:
        return f"{METADATA} does not name the file"
    if len(known) > 1:
        return CONTRADICTION
    labels = next(iter(known))
    return labels if isinstance(labels, str) else None


def _record(path: Path, side: str, view: str, birads: int | None, density: str | None) -> dict[str, Any]:
    return {
        "path": str(path),
        "patient_id": path.parent.name,
        "exam_id": path.parent.name,  # one exam a patient
        "laterality": side,
        "view": view,
        "birads": birads,
        "density": density,
        "source": "teknofest",
    }
