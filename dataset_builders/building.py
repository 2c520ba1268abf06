"""One function for all archives: name and folder in, a data set of records out."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import datasets
from datasets.exceptions import DatasetGenerationError

from dataset_builders.archives.cbis_ddsm import CbisDdsmBuilder
from dataset_builders.archives.cbis_ddsm_sample import CbisDdsmSampleBuilder
from dataset_builders.archives.embed import EmbedBuilder
from dataset_builders.archives.inbreast import InbreastBuilder
from dataset_builders.archives.mini_mias import MiniMiasBuilder
from dataset_builders.archives.rsna import RsnaBuilder
from dataset_builders.archives.teknofest import TeknofestBuilder
from dataset_builders.archives.vindr import VindrBuilder
from dataset_builders.builder_options import option_values, refuse_unknown
from dataset_builders.describing import steps
from dataset_builders.publishing import write_card, write_parquet
from dataset_builders.record_builder import RecordBuilder

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
FORMATS = ("folder", "parquet")
REPORT = "build_report.json"
logger = logging.getLogger(__name__)


def load_mammograms(
    name: str,
    data_dir: str | Path | None = None,
    *,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    engine: str = "local",
    max_unreadable: float | None = None,
    **options: Any,
) -> datasets.Dataset | datasets.IterableDataset:
    """The records of an archive; images that cannot be read are left out with a warning.

    name: one of BUILDERS; data_dir: the archive's folder. streaming: an IterableDataset with the same rows, which reads
    each image when its row is asked for and writes nothing. cache_dir: where `datasets` and the images that were made
    are kept; num_proc: how many processes read images; engine: "local", or "ray" for a Ray cluster; max_unreadable: the
    share of images (0–1) that may be unreadable; by default 0.05, or 10 images if that is more. options: fields of the
    builder's configuration, such as crop=False or bits=16.

    Raises ValueError or FileNotFoundError for an unknown name or option, a missing table, column or image folder, and
    for too many unreadable images.
    """
    if streaming:
        builder = new_builder(name, data_dir, cache_dir, max_unreadable, **options)
        return builder.as_streaming_dataset(split="train")
    builder = prepared_builder(name, data_dir, cache_dir, num_proc, engine, max_unreadable, **options)
    skipped = builder.skipped()
    if skipped:
        logger.warning(
            "%d images in %s cannot be read, the first: %s", len(skipped), data_dir, skipped[0]["reason"]
        )
    return builder.as_dataset(split="train")


def new_builder(
    name: str,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    max_unreadable: float | None = None,
    **options: Any,
) -> RecordBuilder:
    """The builder of an archive, which has read its tables and no image yet: describe(). Like load_mammograms."""
    if name not in BUILDERS:
        raise ValueError(f"there is no builder {name!r}; expected one of {', '.join(sorted(BUILDERS))}.")
    refuse_unknown(options, BUILDERS[name].BUILDER_CONFIG_CLASS)
    cache = str(cache_dir) if cache_dir else None
    return BUILDERS[name](data_dir=data_dir, cache_dir=cache, max_unreadable=max_unreadable, **options)


def prepared_builder(
    name: str,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    engine: str = "local",
    max_unreadable: float | None = None,
    **options: Any,
) -> RecordBuilder:
    """The builder with its data built: as_dataset(), skipped() and what it found. Like load_mammograms."""
    builder = new_builder(name, data_dir, cache_dir, max_unreadable, **options)
    try:
        builder.download_and_prepare(num_proc=num_proc, engine=engine)
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None
    return builder


def save_dataset(
    name: str,
    data_dir: str | Path | None,
    output: str | Path,
    *,
    file_format: Literal["folder", "parquet"] = "folder",
    phantom: bool = False,
    **arguments: Any,
) -> dict[str, Any]:
    """Build an archive and write it with its report and its card → the report.

    file_format: "folder" for `datasets.load_from_disk`, or "parquet": shards with the images in them, for
    `datasets.load_dataset(output)`; this project's training reads both. phantom: the archive holds phantoms, which
    nobody's terms bind. arguments: of load_mammograms.

    Nothing is left at `output` when anything fails: the folder is made beside it and renamed.
    Raises ValueError where `output` exists already or no image can be read, and what load_mammograms raises.
    """
    if file_format not in FORMATS:
        raise ValueError(f"there is no format {file_format!r}; expected one of {', '.join(FORMATS)}.")
    logging.getLogger("datasets").setLevel(logging.ERROR)
    with _new_folder(Path(output)) as folder:
        builder = prepared_builder(name, data_dir, **arguments)
        about = report(builder, phantom=phantom)
        table = builder.as_dataset(split="train")
        if phantom:
            table.info.license = table.info.citation = table.info.homepage = ""
        if file_format == "parquet":
            write_parquet(table, folder)
        else:
            table.save_to_disk(str(folder))
        (folder / REPORT).write_text(json.dumps(about, indent=2, ensure_ascii=False), "utf-8")
        write_card(folder, table, about)
    return about


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `output` at the end if no error comes up."""
    if output.exists():
        raise ValueError(f"{output} exists already; remove it, or choose another folder for the output.")
    missing = [folder for folder in output.parents if not folder.exists()]
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
            folder = Path(work, "data")
            folder.mkdir()
            yield folder
            folder.rename(output)
    except BaseException:
        for folder in missing:
            folder.rmdir()
        raise


def report(builder: RecordBuilder, *, phantom: bool = False) -> dict[str, Any]:
    """Counts by label and view, patients, terms, rules, options, and what is not among the records, with the reason.

    Raises ValueError where no image could be read.
    """
    skipped = builder.skipped()
    labels = builder.as_dataset(split="train").remove_columns("image")
    if not len(labels):
        raise ValueError(
            f"none of the {len(skipped)} images in {builder.config.data_dir} can be read: {skipped[0]['reason']}"
        )
    terms = None if phantom or builder.terms is None else builder.terms.as_dict()
    return {
        "source": labels[0]["source"],
        "phantom": phantom,
        "terms": terms,
        "images": len(labels),
        "patients": len(set(labels["patient_id"])),
        "exams": len(set(labels["exam_id"])),
        **{name: _counts(labels[name]) for name in ("birads", "density", "laterality", "view")},
        "options": option_values(builder.config),
        "rules": list(builder.rules),
        "in_archive": len(builder.found.rows) + builder.found.left_out.total(),
        "steps": [asdict(step) for step in steps(builder.found)],
        "left_out": dict(builder.found.left_out.most_common()),
        "remarks": dict(builder.found.remarks.most_common()),
        "unreadable": skipped,
    }


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counts = Counter("unknown" if value is None else str(value) for value in values)
    return dict(sorted(counts.items()))
