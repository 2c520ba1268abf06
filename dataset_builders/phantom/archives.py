"""Phantom screening archives with the folders, tables and column names of EMBED and TEKNOFEST."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from dataset_builders.birads import FIVE_CLASSES
from dataset_builders.phantom.case import PhantomCase
from dataset_builders.phantom.dicom_files import phantom_dicom
from dataset_builders.phantom.findings import CANCERS, IN_SITU, Finding
from dataset_builders.phantom.render import MAXIMUM, PhantomView, render_many

VIEWS = (("R", "CC"), ("R", "MLO"), ("L", "CC"), ("L", "MLO"))
MISSING_VIEW = 0.03  # of a patient's images: real archives lack some
QUADRANTS = {
    "upper outer": "ÜST DIŞ",
    "upper inner": "ÜST İÇ",
    "lower inner": "ALT İÇ",
    "lower outer": "ALT DIŞ",
    "central": "MERKEZ",
}
LETTERS = {0: "A", 1: "N", 2: "B", 3: "P", 4: "S", 5: "M", 6: "K"}
# The codes of EMBED's legend, AWS_Open_Data_Clinical_Legend.csv.
SHAPES = {"oval": "O", "round": "R", "irregular": "X"}
MARGINS = {"circumscribed": "D", "obscured": "U", "microlobulated": "M", "indistinct": "I", "spiculated": "S"}
MASS_DENSITIES = {"high": "+", "equal": "=", "low": "-", "fat-containing": "0"}
ASYMMETRIES = {
    "asymmetry": "S",
    "focal asymmetry": "F",
    "global asymmetry": "B",
    "developing asymmetry": "V",
}
MORPHOLOGIES = {
    "round": "R",
    "punctate": "P",
    "coarse/popcorn-like": "C",
    "rim": "E",
    "vascular": "V",
    "amorphous": "A",
    "coarse heterogeneous": "H",
    "fine pleomorphic": "I",
    "fine linear": "F",
}
DISTRIBUTIONS = {"diffuse": "D", "regional": "R", "grouped": "G", "linear": "L", "segmental": "S"}
CURATOR = "/mnt/NAS2/mammo"


def write_teknofest(
    folder: str | Path,
    cases: Sequence[PhantomCase],
    *,
    height: int = 1024,
    width: int = 768,
    processes: int | None = None,
) -> None:
    """`<folder>/<HASTANO>/RCC.dcm …` and `<folder>/veri_bilgisi.xlsx`, a row for each patient.

    The table names the quadrants of the findings that led to the patient's assessment.
    Raises ValueError for a case of BI-RADS 3 or 6, which TEKNOFEST does not have.
    """
    folder = Path(folder)
    wrong = next((case for case in cases if case.birads not in FIVE_CLASSES), None)
    if wrong is not None:
        raise ValueError(
            f"case {wrong.case_id} is BI-RADS {wrong.birads}; TEKNOFEST has 0, 1, 2, 4 and 5 alone."
        )
    shots = [(case, side, view) for case in cases for side, view in views_taken(case)]
    shape = {"height": height, "width": width}
    for (case, side, view), picture in rendered(shots, shape, processes, "TEKNOFEST"):
        dataset = _dicom(picture, case, side, view, _teknofest_names(case))
        target = folder / hasta_no(case) / f"{side}{view}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(target, enforce_file_format=True)
    pd.DataFrame([_teknofest_row(case) for case in cases]).to_excel(folder / "veri_bilgisi.xlsx", index=False)


def write_embed(
    folder: str | Path,
    cases: Sequence[PhantomCase],
    *,
    height: int = 1024,
    width: int = 768,
    processes: int | None = None,
) -> None:
    """`<folder>/images/cohort_1/<patient>/<exam>/<uid>.dcm` and the two tables in `<folder>/tables/`.

    The metadata table has a row for each image, with the curator's paths; the clinical one a row for each
    finding, none for the negative side of a bilateral exam.
    """
    folder = Path(folder)
    shots = [(case, side, view) for case in cases for side, view in views_taken(case)]
    rows = []
    for (case, side, view), picture in rendered(
        shots, {"height": height, "width": width}, processes, "EMBED"
    ):
        patient, exam = _embed_names(case)
        dataset = _dicom(picture, case, side, view, (patient, exam))
        path = f"cohort_1/{patient}/{exam}/{dataset.SOPInstanceUID}.dcm"
        target = folder / "images" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(target, enforce_file_format=True)
        rows.append(_embed_metadata(case, side, view, path, picture))
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(tables / "EMBED_OpenData_metadata.csv", index=False)
    findings = [row for case in cases for row in _embed_findings(case)]
    pd.DataFrame(findings).to_csv(tables / "EMBED_OpenData_clinical.csv", index=False)


def views_taken(case: PhantomCase) -> list[tuple[str, str]]:
    rng = random.Random(f"views {case.seed} {case.index}")
    return [view for view in VIEWS if rng.random() >= MISSING_VIEW] or list(VIEWS)


def rendered(shots, shape: dict[str, int], processes: int | None, title: str) -> Iterator[tuple]:
    """(case, side, view) → the same with its PhantomView, in order; shape: height and width in pixels."""
    views = render_many([(*shot, shape) for shot in shots], processes=processes)
    return tqdm(zip(shots, views, strict=True), f"phantom {title}", len(shots), unit="image")


def save_png(picture: PhantomView, target: Path) -> None:
    """An 8-bit PNG, as a preprocessed copy has it."""
    Image.fromarray((picture.pixels // ((MAXIMUM + 1) // 256)).astype("uint8")).save(target)


def _dicom(picture: PhantomView, case: PhantomCase, side: str, view: str, names: tuple[str, str]):
    patient, exam = names
    style = random.Random(f"vendor {case.seed} {case.index}").randrange(10**6)
    place = {"patient": patient, "exam": exam, "laterality": side, "view": view}
    return phantom_dicom(picture.pixels, **place, age=case.age, style=style)


# ---- TEKNOFEST


def hasta_no(case: PhantomCase) -> str:
    return f"9{case.index:07d}"


def _teknofest_names(case: PhantomCase) -> tuple[str, str]:
    return hasta_no(case), f"T{case.index:07d}"


def _teknofest_row(case: PhantomCase) -> dict[str, object]:
    groups = {0: "BI-RADS0", 1: "BI-RADS1-2", 2: "BI-RADS1-2", 4: "BI-RADS4-5", 5: "BI-RADS4-5"}
    return {
        "HASTANO": hasta_no(case),
        "BIRADS KATEGORİSİ": groups[case.birads],
        "MEME KOMPOZİSYONU": case.density,
        "KADRAN BİLGİSİ (SAĞ)": _quadrants(case, "R"),
        "KADRAN BİLGİSİ (SOL)": _quadrants(case, "L"),
        "Birads Skoru (EK BİLGİ)": f"Kategori {case.birads}",
    }


def _quadrants(case: PhantomCase, laterality: str) -> str | None:
    """A list written as text, of the findings that gave the patient her assessment; None where there are none."""
    decisive = [f for f in case.breasts[laterality].findings if f.birads == case.birads]
    names = dict.fromkeys(QUADRANTS[finding.quadrant] for finding in decisive)
    return str(list(names)) if names else None


# ---- EMBED


def _embed_names(case: PhantomCase) -> tuple[str, str]:
    return str(60_000_000 + case.index), str(8_000_000_000_000_000 + case.index)


def _embed_metadata(
    case: PhantomCase, side: str, view: str, path: str, picture: PhantomView
) -> dict[str, object]:
    patient, exam = _embed_names(case)
    rois = [[y0, x0, y1, x1] for x0, y0, x1, y1 in filter(None, picture.finding_boxes)]
    png = f"{hashlib.sha256(path.encode()).hexdigest()[:32]}.png"
    return {
        "empi_anon": patient,
        "acc_anon": exam,
        "anon_dicom_path": f"{CURATOR}/anon_dicom/{path}",
        "png_path": f"{CURATOR}/png/{path.rpartition('/')[0]}/{png}",
        "png_filename": png,
        "study_date_anon": "2024-01-01",
        "StudyDescription": "MG Screening Bilateral",
        "FinalImageType": "2D",
        "ImageLateralityFinal": side,
        "ViewPosition": view,
        "spot_mag": None,
        "num_roi": len(rois),
        "ROI_coords": str([[int(edge) for edge in roi] for roi in rois]),
        "match_level": str([1] * len(rois)),
        "cohort_num": 1,
    }


def _embed_findings(case: PhantomCase) -> Iterator[dict[str, object]]:
    """A row for each finding; a bilateral row without a side for an exam that has none."""
    number = 0
    for side, breast in case.breasts.items():
        for finding in breast.findings:
            number += 1
            yield {**_embed_exam(case), "side": side, "numfind": number, **_embed_finding(finding)}
    if not number:
        yield {**_embed_exam(case), "side": None, "numfind": 0, "asses": "N"}


def _embed_exam(case: PhantomCase) -> dict[str, object]:
    patient, exam = _embed_names(case)
    return {
        "empi_anon": patient,
        "acc_anon": exam,
        "desc": "MG Screening Bilateral",
        "asses": "N",
        "tissueden": "ABCD".index(case.density) + 1,
        "side": None,
        "numfind": 0,
        "massshape": None,
        "massmargin": None,
        "massdens": None,
        "calcfind": None,
        "calcdistri": None,
        "path_severity": None,
        "RACE_DESC": "PHANTOM",
        "ETHNIC_GROUP_DESC": "PHANTOM",
        "age_at_study": case.age,
    }


def _embed_finding(finding: Finding) -> dict[str, object]:
    row: dict[str, object] = {"asses": LETTERS[finding.birads], "path_severity": _severity(finding.pathology)}
    if finding.kind == "mass":
        codes = (SHAPES[finding.shape], MARGINS[finding.margin], MASS_DENSITIES[finding.density])
        return row | dict(zip(("massshape", "massmargin", "massdens"), codes, strict=True))
    if finding.kind == "calcifications":
        return row | {
            "calcfind": MORPHOLOGIES[finding.morphology],
            "calcdistri": DISTRIBUTIONS[finding.distribution],
        }
    return row | {"massshape": "A" if finding.kind == "distortion" else ASYMMETRIES[finding.asymmetry_type]}


def _severity(pathology: str) -> int | None:
    """EMBED's scale: 0 invasive, 1 non-invasive cancer, 4 benign; None where nothing was sampled."""
    if not pathology:
        return None
    return 0 if pathology in CANCERS else 1 if pathology in IN_SITU else 4
