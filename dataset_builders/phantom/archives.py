"""Phantom screening archives with the folders, tables and column names of EMBED and TEKNOFEST."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from dataset_builders.birads import FIVE_CLASSES
from dataset_builders.phantom.case import PhantomCase
from dataset_builders.phantom.dicom_files import phantom_dicom
from dataset_builders.phantom.findings import Finding
from dataset_builders.phantom.render import render_many

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
SHAPES = {"oval": "O", "round": "R", "irregular": "X"}
MARGINS = {"circumscribed": "D", "obscured": "U", "microlobulated": "M", "indistinct": "I", "spiculated": "S"}
CURATOR = "/mnt/NAS2/mammo/anon_dicom"


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
    shots = [(case, side, view) for case in cases for side, view in _views_taken(case)]
    for (case, side, view), dataset in _dicoms(
        shots, _teknofest_names, height, width, processes, "TEKNOFEST"
    ):
        target = folder / _hasta_no(case) / f"{side}{view}.dcm"
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
    shots = [(case, side, view) for case in cases for side, view in _views_taken(case)]
    rows = []
    for (case, side, view), dataset in _dicoms(shots, _embed_names, height, width, processes, "EMBED"):
        patient, exam = _embed_names(case)
        path = f"cohort_1/{patient}/{exam}/{dataset.SOPInstanceUID}.dcm"
        target = folder / "images" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(target, enforce_file_format=True)
        rows.append(_embed_metadata(case, side, view, path))
    tables = folder / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(tables / "EMBED_OpenData_metadata.csv", index=False)
    findings = [row for case in cases for row in _embed_findings(case)]
    pd.DataFrame(findings).to_csv(tables / "EMBED_OpenData_clinical.csv", index=False)


def _views_taken(case: PhantomCase) -> list[tuple[str, str]]:
    rng = random.Random(f"views {case.seed} {case.index}")
    return [view for view in VIEWS if rng.random() >= MISSING_VIEW] or list(VIEWS)


def _dicoms(shots, names, height: int, width: int, processes: int | None, title: str) -> Iterator[tuple]:
    """(case, side, view) → the same with its DICOM, in order."""
    jobs = [(*shot, {"height": height, "width": width}) for shot in shots]
    views = render_many(jobs, processes=processes)
    for shot, view in tqdm(zip(shots, views, strict=True), f"phantom {title}", len(shots), unit="image"):
        case, side, position = shot
        patient, exam = names(case)
        style = random.Random(f"vendor {case.seed} {case.index}").randrange(10**6)
        yield (
            shot,
            phantom_dicom(
                view.pixels,
                patient=patient,
                exam=exam,
                laterality=side,
                view=position,
                age=case.age,
                style=style,
            ),
        )


# ---- TEKNOFEST


def _hasta_no(case: PhantomCase) -> str:
    return f"9{case.index:07d}"


def _teknofest_names(case: PhantomCase) -> tuple[str, str]:
    return _hasta_no(case), f"T{case.index:07d}"


def _teknofest_row(case: PhantomCase) -> dict[str, object]:
    groups = {0: "BI-RADS0", 1: "BI-RADS1-2", 2: "BI-RADS1-2", 4: "BI-RADS4-5", 5: "BI-RADS4-5"}
    return {
        "HASTANO": _hasta_no(case),
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


def _embed_metadata(case: PhantomCase, side: str, view: str, path: str) -> dict[str, object]:
    patient, exam = _embed_names(case)
    return {
        "empi_anon": patient,
        "acc_anon": exam,
        "anon_dicom_path": f"{CURATOR}/{path}",
        "png_path": "",
        "png_filename": "",
        "study_date_anon": "2024-01-01",
        "StudyDescription": "MG Screening Bilateral",
        "FinalImageType": "2D",
        "ImageLateralityFinal": side,
        "ViewPosition": view,
        "spot_mag": None,
        "num_roi": 0,
        "ROI_coords": "()",
        "match_level": None,
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
    row: dict[str, object] = {"asses": LETTERS[finding.birads]}
    if finding.kind == "mass":
        row |= {"massshape": SHAPES.get(finding.shape), "massmargin": MARGINS.get(finding.margin)}
    return row
