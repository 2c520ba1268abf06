"""Which data set saved predictions are of, by its fingerprint; each refusal is a sentence about a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

FINGERPRINT = "data_fingerprint"  # in the metadata of the Parquet file
RESULTS = "results.json"  # of the run, where runs of before say it


def data_of(file: Path) -> str | None:
    """The fingerprint of the data set that a Parquet file of predictions is of, in hex digits (64).

    The file says it; of one that was written before files did, the run's results beside it. None: nobody does.
    """
    told = (pq.read_schema(file).metadata or {}).get(FINGERPRINT.encode())
    if told is not None:
        return told.decode()
    results = file.parent / RESULTS
    return json.loads(results.read_text(encoding="utf-8")).get("fingerprint") if results.is_file() else None


def refuse_mixed_data(files: Sequence[Path], sources: Sequence[set[str]]) -> None:
    """ValueError where two files name one source, but are of data sets that differ in images, labels or order.

    sources: for each file, the names in its column `source`. A file of which nobody says it is compared with none.
    """
    found: dict[str, tuple[str, Path]] = {}
    for file, names in zip(files, sources, strict=True):
        told = data_of(file)
        for name in sorted(names) if told else ():
            before, other = found.setdefault(name, (told, file))
            if before != told:
                raise ValueError(
                    f"{other} and {file} are predictions of two different data sets, both called {name}; "
                    "give runs of the same records."
                )


def refuse_other_data(files: Sequence[Path], given: Mapping[str, str]) -> None:
    """ValueError for a file that is not of one of the given data sets: path → fingerprint."""
    for file in files:
        told = data_of(file)
        if told is None:
            raise ValueError(
                f"{file} does not say what data it is of, and no {RESULTS} of its run is beside it; "
                "predict again by classify.py."
            )
        if told not in given.values():
            raise ValueError(
                f"{file} holds predictions of another data set than {' or '.join(given)}: images, labels or their "
                "order differ; give the records of its run, or predict anew."
            )
