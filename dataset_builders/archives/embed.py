"""EMBED (Emory): DICOM by cohort, patient and exam; a metadata row for each file, a clinical row for each finding.

Licence: models, weights or embeddings trained on EMBED may not be released without written permission.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from datasets import Value

from dataset_builders.archives.embed_files import PNG_COLUMNS, image_paths
from dataset_builders.archives.embed_findings import breast_findings, with_box
from dataset_builders.archives.embed_labels import breasts, exams
from dataset_builders.record_builder import Index, RecordBuilder, RecordConfig
from dataset_builders.records import LATERALITIES, VIEWS
from dataset_builders.tables import each, read_columns, read_texts
from dataset_builders.terms import Terms

METADATA = (
    "empi_anon",
    "acc_anon",
    "anon_dicom_path",
    "FinalImageType",
    "ImageLateralityFinal",
    "ViewPosition",
    "spot_mag",
)
CLINICAL = ("acc_anon", "desc", "asses", "tissueden", "side")
# The findings and the patient: what a table lacks of them is unknown, and the remarks say so.
DETAILS = (
    "numfind",
    "massshape",
    "massmargin",
    "massdens",
    "calcfind",
    "calcdistri",
    "path_severity",
    "age_at_study",
    "RACE_DESC",
    "ETHNIC_GROUP_DESC",
)
KNOWN_OF_EXAMS = ("density", "embed_age", "embed_race", "embed_ethnicity", "embed_exam")
IMAGE_TYPES = {
    "2d": "2D",
    "cview": "C-view",
    "c-view": "C-view",
}  # the documentation and the tables spell it so
NEVER_SPOT = ("", "0", "0.0")


@dataclass
class EmbedConfig(RecordConfig):
    """Every rule of the paper's EMBED is an option, and what the paper did is the default."""

    limits: Mapping[int, int] = field(
        default_factory=lambda: {1: 25_000, 2: 25_000},
        metadata={"help": "at most so many images of a BI-RADS class (1=25000 2=25000, as in the paper)"},
    )
    images: Literal["dicom", "png"] = field(
        default="dicom", metadata={"help": "which files to read: dicom, or PNGs that were made from them"}
    )
    path_map: Mapping[str, str] = field(
        default_factory=dict,
        metadata={
            "help": "for a copy laid out otherwise: FROM=TO, a beginning of the table's paths and the folder that it "
            "stands for (below the archive's, unless absolute); by default a path counts from cohort_… on"
        },
    )
    synthetic: bool = field(default=False, metadata={"help": "take synthetic 2D images (C-view) too"})
    special_views: bool = field(default=False, metadata={"help": "take spot and magnification views too"})
    contralateral: bool = field(
        default=True,
        metadata={
            "help": "the other breast of a bilateral exam with findings on one side alone is BI-RADS 1"
        },
    )
    keep_worst: bool = field(
        default=True,
        metadata={
            "help": "the worst finding decides for its breast; else breasts whose findings differ are left out"
        },
    )
    drop_3: bool = field(default=True, metadata={"help": "leave out BI-RADS 3"})
    merge_6: bool = field(default=True, metadata={"help": "let BI-RADS 6 (known cancer) count as 5"})


class EmbedBuilder(RecordBuilder):
    """EMBED's archive: `tables/EMBED_OpenData_{metadata,clinical}.csv` (or `…_reduced.csv`) and `**/cohort_*/…`.

    Images: CC and MLO. Which of them, and with which labels, EmbedConfig says.
    """

    BUILDER_CONFIG_CLASS = EmbedConfig
    own_features = {
        "embed_age": Value("float32"),
        "embed_race": Value("string"),
        "embed_ethnicity": Value("string"),
        "embed_exam": Value("string"),  # screening or diagnostic
    }
    rules = (
        "Images: FinalImageType 2D, views CC and MLO, no spot or magnification views (options "
        "`synthetic`, `special_views`).",
        "A breast has the worst assessment of its findings in the exam: A before B before N at "
        "screening, K before M, S, P, B and N otherwise (option `keep_worst`).",
        "The other breast of a bilateral exam with findings on one side alone is BI-RADS 1 (option "
        "`contralateral`).",
        "BI-RADS 3 is left out and 6 counts as 5 (options `drop_3`, `merge_6`); at most 25,000 images "
        "each of BI-RADS 1 and 2, patient by patient in a random order (option `limits`).",
        "Density is tissueden 1 to 4 as A to D, else unknown.",
    )
    terms = Terms(
        licence="EMBED Research Use Agreement (non-commercial research; no redistribution)",
        citation="Jeong JJ, Vey BL, Bhimireddy A, et al. The EMory BrEast imaging Dataset (EMBED): A Racially Diverse, "
        "Granular Dataset of 3.4 Million Screening and Diagnostic Mammographic Images. Radiology: Artificial "
        "Intelligence 2023;5(1):e220047.",
        homepage="https://github.com/Emory-HITI/EMBED_Open_Data",
        weights="permission",
    )

    def index(self, folder: Path) -> Index:
        options = self.config
        if options.images not in ("dicom", "png"):
            raise ValueError(f"images is {options.images!r}; expected dicom or png.")
        remarks: Counter[str] = Counter()
        metadata = _table(folder, "metadata")
        pngs = PNG_COLUMNS if options.images == "png" else ()
        images = Sieve(_read(metadata, (*METADATA, *pngs), ("ROI_coords",), remarks))
        clinical = _read(_table(folder, "clinical"), CLINICAL, DETAILS, remarks)
        choose_images(images, options)
        label_images(images, clinical, options, remarks)
        find_files(images, folder, options)
        return Index(_records(images.rows, clinical, options), images.left_out, +remarks)


class Sieve:
    """The rows of a table that rules leave over, and how many each rule took away."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self.left_out: Counter[str] = Counter()

    def keep(self, kept: np.ndarray | pd.Series, reason: str | np.ndarray) -> None:
        """Keep the rows where `kept` is true; reason: why the others go, for all or for each row."""
        kept = np.asarray(kept, dtype=bool)
        reasons = np.full(len(kept), reason, dtype=object) if isinstance(reason, str) else reason
        self.left_out.update(Counter(reasons[~kept]))
        self.rows = self.rows[kept]


def choose_images(images: Sieve, options: EmbedConfig) -> None:
    """Leave out what is no 2D image of a whole breast in CC or MLO."""
    wanted = ("2D", "C-view") if options.synthetic else ("2D",)
    kind = images.rows["FinalImageType"]
    reason = each(kind, lambda cell: f"FinalImageType is {cell or 'empty'}, not {' or '.join(wanted)}")
    images.keep(each(kind, lambda cell: IMAGE_TYPES.get(cell.lower()) in wanted), reason)
    images.keep(images.rows["ViewPosition"].isin(VIEWS), "ViewPosition is neither CC nor MLO")
    sided = images.rows["ImageLateralityFinal"].isin(LATERALITIES)
    images.keep(sided, "ImageLateralityFinal is neither L nor R")
    if not options.special_views:
        images.keep(images.rows["spot_mag"].isin(NEVER_SPOT), "a spot or magnification view")


def label_images(images: Sieve, clinical: pd.DataFrame, options: EmbedConfig, remarks: Counter[str]) -> None:
    """Join breasts and exams to their images, and leave out images without a label that is wanted."""
    known = images.rows["acc_anon"].isin(clinical["acc_anon"])
    images.keep(known, "the clinical table has no row of the exam")
    labels = breasts(clinical)
    if not options.contralateral:
        labels = labels[~labels["implied"]]
    images.rows = images.rows.merge(
        labels, "left", left_on=["acc_anon", "ImageLateralityFinal"], right_on=["exam", "laterality"]
    ).drop(columns="exam")
    images.keep(images.rows["birads"].notna(), "the clinical table has no assessment of this breast")
    if not options.keep_worst:
        images.keep(
            ~images.rows["differ"].astype(bool), "the findings of the breast have different assessments"
        )
    if options.drop_3:
        images.keep(images.rows["birads"] != 3, "BI-RADS 3")
    if options.merge_6:
        remarks["images of BI-RADS 6 that count as 5"] = int((images.rows["birads"] == 6).sum())
        images.rows = images.rows.assign(birads=images.rows["birads"].replace(6, 5))
    implied, differ = (images.rows[name].astype(bool) for name in ("implied", "differ"))
    remarks["images of a breast without findings in a bilateral exam with some; BI-RADS 1"] = int(
        implied.sum()
    )
    remarks["images of a breast whose findings differ; the worst counts"] = int(differ.sum())
    images.rows = images.rows.merge(exams(clinical), "left", left_on="acc_anon", right_on="exam")


def find_files(images: Sieve, folder: Path, options: EmbedConfig) -> None:
    """Give every row its `path`, and leave out what is not there or was named before."""
    paths, reasons = image_paths(images.rows, folder, images=options.images, path_map=options.path_map)
    images.rows = images.rows.assign(path=paths)
    images.keep(images.rows["path"].notna(), np.array(reasons, dtype=object))
    images.keep(~images.rows["path"].duplicated(), "the metadata table names the file twice")


def _read(
    path: Path, columns: tuple[str, ...], details: tuple[str, ...], remarks: Counter[str]
) -> pd.DataFrame:
    """A table with its identifiers as whole numbers, which one of the two tables may hold as 1.0."""
    missing = set(details) - set(read_columns(path))
    remarks.update({f"tables without a column {name}, which stays unknown": 1 for name in sorted(missing)})
    table = read_texts(path, columns, optional=details)
    whole = {name: each(table[name], whole_number) for name in ("empi_anon", "acc_anon") if name in table}
    return table.assign(**whole)


def whole_number(cell: str) -> str:
    return cell.removesuffix(".0")


def _table(folder: Path, name: str) -> Path:
    """A table in `tables/` or the folder itself, whole or reduced."""
    stems = (f"EMBED_OpenData_{name}.csv", f"EMBED_OpenData_{name}_reduced.csv")
    candidates = [place / stem for place in (folder / "tables", folder) for stem in stems]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"{folder} has no tables/{stems[0]} (nor {stems[1]}); get EMBED's tables first."
        )
    return found


def _records(rows: pd.DataFrame, clinical: pd.DataFrame, options: EmbedConfig) -> list[dict[str, Any]]:
    """The index's rows, with each breast's findings."""
    columns = {
        "path": rows["path"],
        "patient_id": rows["empi_anon"],
        "exam_id": rows["acc_anon"],
        "laterality": rows["laterality"],
        "view": rows["ViewPosition"],
        "birads": rows["birads"].astype(int),
        **{name: rows[name].astype(object).where(rows[name].notna(), None) for name in KNOWN_OF_EXAMS},
    }
    findings = breast_findings(clinical)
    rois = (
        rows["ROI_coords"] if options.images == "dicom" else [""] * len(rows)
    )  # a PNG may have another size
    records = []
    for roi, *values in zip(rois, *(column.tolist() for column in columns.values()), strict=True):
        record = dict(zip(columns, values, strict=True))
        own = findings.get((record["exam_id"], record["laterality"]), [])
        records.append({**record, "source": "embed", "findings": with_box(own, roi)})
    return records
