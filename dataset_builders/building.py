"""One function for all archives: name and folder in, a data set of records out."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError

from dataset_builders.cbis_ddsm import CbisDdsmBuilder
from dataset_builders.cbis_ddsm_sample import CbisDdsmSampleBuilder
from dataset_builders.embed import EmbedBuilder
from dataset_builders.inbreast import InbreastBuilder
from dataset_builders.mini_mias import MiniMiasBuilder
from dataset_builders.record_builder import RecordBuilder
from dataset_builders.rsna import RsnaBuilder
from dataset_builders.teknofest import TeknofestBuilder
from dataset_builders.vindr import VindrBuilder

BUILDERS: dict[str, type[RecordBuilder]] = {
    "cbis_ddsm": CbisDdsmBuilder,
    "cbis_ddsm_sample": CbisDdsmSampleBuilder,
    "embed": EmbedBuilder,
    "inbreast": InbreastBuilder,
    "mini_mias": MiniMiasBuilder,
    "rsna": RsnaBuilder,
    "teknofest": TeknofestBuilder,
    "vindr": VindrBuilder,
}
REPORT = "build_report.json"
logger = logging.getLogger(__name__)


def build_dataset(
    name: str,
    data_dir: str | Path,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    **options: Any,
) -> datasets.Dataset:
    """The records of an archive; images that cannot be read are left out with a warning.

    name: "embed" or "teknofest"; data_dir: the archive's folder; cache_dir: where `datasets` keeps what was built;
    num_proc: how many processes read images; options: fields of RecordConfig, such as crop=False.

    Raises ValueError or FileNotFoundError for an unknown name or option, a missing table, column or image folder.
    """
    builder = prepared_builder(name, data_dir, cache_dir, num_proc, **options)
    skipped = builder.skipped()
    if skipped:
        logger.warning(
            "%d images in %s cannot be read, the first: %s", len(skipped), data_dir, skipped[0]["reason"]
        )
    return builder.as_dataset(split="train")


def prepared_builder(
    name: str,
    data_dir: str | Path,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    **options: Any,
) -> RecordBuilder:
    """The builder itself, with its data built: as_dataset(), skipped() and what it found. Like build_dataset."""
    if name not in BUILDERS:
        raise ValueError(f"there is no builder {name!r}; expected one of {', '.join(sorted(BUILDERS))}.")
    unknown = [option for option in options if option not in ("crop", "limits", "seed")]
    if unknown:
        raise ValueError(f"there is no option {unknown[0]!r}; expected crop, limits or seed.")
    builder = BUILDERS[name](data_dir=data_dir, cache_dir=str(cache_dir) if cache_dir else None, **options)
    try:
        builder.download_and_prepare(num_proc=num_proc)
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None
    return builder


def save_dataset(
    name: str, data_dir: str | Path, output: str | Path, num_proc: int | None = None, **options: Any
) -> dict[str, Any]:
    """Build an archive, save it as a folder for `datasets.load_from_disk` with its report, and return that.

    Nothing is left at `output` when anything fails: the folder is made beside it and renamed.
    Raises ValueError where `output` exists already or no image can be read, and what build_dataset raises.
    """
    output = Path(output)
    if output.exists():
        raise ValueError(f"{output} exists already; remove it, or choose another folder for the output.")
    missing = [folder for folder in output.parents if not folder.exists()]
    output.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("datasets").setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
            builder = prepared_builder(name, data_dir, Path(work, "cache"), num_proc, **options)
            about = report(builder)
            builder.as_dataset(split="train").save_to_disk(str(Path(work, "data")))
            Path(work, "data", REPORT).write_text(json.dumps(about, indent=2, ensure_ascii=False), "utf-8")
            Path(work, "data").rename(output)
    except BaseException:
        for folder in missing:
            folder.rmdir()
        raise
    return about


def report(builder: RecordBuilder) -> dict[str, Any]:
    """Counts by label and view, patients, and what is not among the records, with the reason.

    Raises ValueError where no image could be read.
    """
    skipped = builder.skipped()
    labels = builder.as_dataset(split="train").remove_columns("image")
    if not len(labels):
        raise ValueError(
            f"none of the {len(skipped)} images in {builder.config.data_dir} can be read: {skipped[0]['reason']}"
        )
    return {
        "source": labels[0]["source"],
        "images": len(labels),
        "patients": len(set(labels["patient_id"])),
        "exams": len(set(labels["exam_id"])),
        **{name: _counts(labels[name]) for name in ("birads", "density", "laterality", "view")},
        "crop": builder.config.crop,
        "left_out": dict(builder.found.left_out.most_common()),
        "remarks": dict(builder.found.remarks.most_common()),
        "unreadable": skipped,
    }


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counts = Counter("unknown" if value is None else str(value) for value in values)
    return dict(sorted(counts.items()))
