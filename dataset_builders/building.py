"""One function for all archives: name and folder in, a data set of records out."""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError

from dataset_builders.embed import EmbedBuilder
from dataset_builders.record_builder import RecordBuilder
from dataset_builders.teknofest import TeknofestBuilder

BUILDERS: dict[str, type[RecordBuilder]] = {"embed": EmbedBuilder, "teknofest": TeknofestBuilder}


def build_dataset(
    name: str,
    data_dir: str | Path,
    *,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    **options: Any,
) -> tuple[datasets.Dataset, list[dict[str, str]]]:
    """The records of an archive, and {file, reason} of the images that could not be read.

    name: "embed" or "teknofest"; data_dir: the archive's folder; cache_dir: where `datasets` keeps what was built;
    num_proc: how many processes read images; options: fields of RecordConfig, such as crop=False.

    Raises ValueError or FileNotFoundError for an unknown name, a missing table, column or image folder.
    """
    if name not in BUILDERS:
        raise ValueError(f"there is no builder {name!r}; expected one of {', '.join(sorted(BUILDERS))}.")
    builder = BUILDERS[name](data_dir=data_dir, cache_dir=str(cache_dir) if cache_dir else None, **options)
    try:
        builder.download_and_prepare(num_proc=num_proc)
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None
    return builder.as_dataset(split="train"), builder.skipped()


def save_dataset(name: str, data_dir: str | Path, output: str | Path, **options: Any) -> dict[str, Any]:
    """Build an archive and save it as a folder for `datasets.load_from_disk`; → the report on it.

    Nothing is left at `output` when anything fails: the folder is made beside it and renamed.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("datasets").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
        dataset, skipped = build_dataset(name, data_dir, cache_dir=Path(work) / "cache", **options)
        if not len(dataset):
            raise ValueError(
                f"none of the {len(skipped)} images in {data_dir} can be read: {skipped[0]['reason']}"
            )
        dataset.save_to_disk(str(Path(work) / "data"))
        (Path(work) / "data").rename(output)
    return report(dataset, skipped)


def report(dataset: datasets.Dataset, skipped: list[dict[str, str]]) -> dict[str, Any]:
    """Counts by label and view, patients, and what could not be read."""
    labels = dataset.remove_columns("image")
    return {
        "images": len(labels),
        "patients": len(set(labels["patient_id"])),
        "exams": len(set(labels["exam_id"])),
        **{name: _counts(labels[name]) for name in ("birads", "density", "laterality", "view")},
        "unreadable": skipped,
    }


def _counts(values: Iterable[Any]) -> dict[str, int]:
    counts = Counter("unknown" if value is None else str(value) for value in values)
    return dict(sorted(counts.items()))
