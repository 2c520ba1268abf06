"""What is odd in real archives, planted into phantom ones so that nothing of it may change a record.

Each function alters an archive in place. Afterwards its builder must find the same records as before and, beside them,
one file that cannot be read (CORRUPT); all else that was added has to be left out or recognised as a repetition.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd

CORRUPT = "99999999"  # the patient of the file that cannot be read
NOISE = b"this is no image"


def plant_in_embed(folder: str | Path) -> None:
    """Into an archive of write_embed: see METADATA_TRAPS, and `_plant_clinical`."""
    tables = Path(folder, "tables")
    metadata, clinical = (tables / f"EMBED_OpenData_{name}.csv" for name in ("metadata", "clinical"))
    images = pd.read_csv(metadata, dtype=str)
    findings = pd.read_csv(clinical, dtype=str)
    first = images.iloc[0].to_dict()
    added = [first, *(first | trap for trap in METADATA_TRAPS)]
    corrupt = f"/mnt/NAS2/mammo/anon_dicom/cohort_2/{CORRUPT}/1/1.2.3.dcm"
    added.append(first | {"empi_anon": CORRUPT, "anon_dicom_path": corrupt})
    target = Path(folder, "images", "cohort_2", CORRUPT, "1", "1.2.3.dcm")
    target.parent.mkdir(parents=True)
    target.write_bytes(NOISE)
    elsewhere = images["anon_dicom_path"].str.replace("/mnt/NAS2/mammo/anon_dicom", "images")
    images["anon_dicom_path"] = images["anon_dicom_path"].where(images.index % 2 == 0, elsewhere)
    pd.concat([images, pd.DataFrame(added)]).to_csv(metadata)  # the reduced table has an unnamed first column
    metadata.rename(tables / "EMBED_OpenData_metadata_reduced.csv")
    _plant_clinical(findings).to_csv(clinical, index=False)


# Rows like the first one, but for these cells.
METADATA_TRAPS: tuple[dict[str, Any], ...] = (
    {"FinalImageType": "cview", "anon_dicom_path": "images/cohort_1/1/1/cview.dcm"},
    {"FinalImageType": "C-view"},
    {"FinalImageType": None},
    {"ViewPosition": "ML"},
    {"ViewPosition": None},
    {"ImageLateralityFinal": None},
    {"spot_mag": "1.0"},
    {"acc_anon": "1"},  # an exam that the clinical table lacks
    {"anon_dicom_path": "/mnt/NAS2/mammo/anon_dicom/cohort_1/1/1/absent.dcm"},
    {"anon_dicom_path": "/mnt/elsewhere/1.dcm"},
)


def _plant_clinical(findings: pd.DataFrame) -> pd.DataFrame:
    """Every row twice, identifiers as 1.0, and negatives more: without a side, for both, and beside each finding."""
    codes = ["massshape", "massmargin", "massdens", "calcfind", "calcdistri", "path_severity"]
    plain = findings.drop_duplicates("acc_anon").assign(asses="N", numfind="99", **dict.fromkeys(codes))
    negative = [plain.assign(side=side) for side in (None, "B")]
    one_sided = findings[findings["side"].isin(["L", "R"])].assign(
        asses="N", numfind="98", **dict.fromkeys(codes)
    )
    table = pd.concat([findings, findings, *negative, one_sided])
    return table.assign(acc_anon=table["acc_anon"] + ".0", tissueden=table["tissueden"] + ".0")


def plant_in_teknofest(folder: str | Path) -> None:
    """Into an archive of write_teknofest: decomposed letters, a second sheet, strangers, contradictions, noise."""
    folder = Path(folder)
    sheet = folder / "veri_bilgisi.xlsx"
    table = pd.read_excel(sheet, dtype=str)
    image = next(folder.rglob("*.dcm"))
    first = table.iloc[[0]]
    known = first.assign(HASTANO=CORRUPT)
    doubtful = first.assign(HASTANO="88888888")
    other = doubtful.assign(**{"Birads Skoru (EK BİLGİ)": "Kategori 5", "MEME KOMPOZİSYONU": "D"})
    more = doubtful.assign(**{"Birads Skoru (EK BİLGİ)": "Kategori 1", "MEME KOMPOZİSYONU": "A"})
    absent = first.assign(HASTANO="77777777")
    decomposed(pd.concat([table, known, other, more, absent])).to_excel(sheet, index=False)
    table.to_excel(folder / "ikinci.xlsx", index=False)  # all rows once more, in composed letters
    pd.DataFrame({"AÇIKLAMA": ["notes"]}).to_excel(folder / "notlar.xlsx", index=False)
    (folder / "~$veri_bilgisi.xlsx").write_bytes(NOISE)  # Excel's lock
    for patient, name in (("88888888", "RCC.dcm"), ("66666666", "RCC.dcm"), (image.parent.name, "RCC-2.dcm")):
        (folder / patient).mkdir(exist_ok=True)
        shutil.copyfile(image, folder / patient / name)
    (folder / CORRUPT).mkdir()
    (folder / CORRUPT / "LCC.dcm").write_bytes(NOISE)


def decomposed(table: pd.DataFrame) -> pd.DataFrame:
    """Headers and cells in NFD, as macOS writes them: İ is I and a dot; and blanks at their ends."""
    cells = table.map(lambda cell: cell if pd.isna(cell) else unicodedata.normalize("NFD", cell) + " ")
    return cells.set_axis([unicodedata.normalize("NFD", name) + " " for name in table], axis=1)


def plant_in_mammosightr(folder: str | Path) -> None:
    """Into a folder of write_mammosightr: repeated and contradictory entries, strangers, noise."""
    folder = Path(folder)
    metadata = folder / "metadata_image_level.json"
    rows = json.loads(metadata.read_text(encoding="utf-8"))
    first = rows[0]
    image = folder / first["relative_path"]
    name = first["image_filename"]
    swapped = {"left": "right", "right": "left"}[first["laterality"]]
    rows += [
        first,
        {**first, "patient_id": int(CORRUPT)},
        {**first, "patient_id": "88888888", "birads": 1, "birads_label": "BI-RADS 1"},
        {**first, "patient_id": "88888888", "birads": 5, "birads_label": "BI-RADS 5"},
        {**first, "patient_id": "77777777"},
        {**first, "patient_id": "55555555", "birads": 3, "birads_label": "BI-RADS 4"},  # an index for a class
        {**first, "patient_id": "44444444", "image_filename": name, "laterality": swapped},
    ]
    metadata.write_text(json.dumps(rows), encoding="utf-8")
    for patient in ("88888888", "66666666", "55555555", "44444444"):
        (folder / "all_pngs" / patient).mkdir()
        shutil.copyfile(image, folder / "all_pngs" / patient / name)
    (folder / "all_pngs" / CORRUPT).mkdir()
    (folder / "all_pngs" / CORRUPT / name).write_bytes(NOISE)
