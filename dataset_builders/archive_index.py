"""What the tables of an archive say of its images, before one is opened."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Index:
    """What an archive holds before an image is opened.

    rows: a record for each image, with its `path` in the place of its `image`, and, where the archive tells of
    findings, a list of Finding as `findings`; left_out: images by the reason why they are no record; remarks: what
    else is odd in the tables, counted.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)


def limit_classes(found: Index, limits: Mapping[int, int], seed: int) -> None:
    """Leave out, of each limited BI-RADS class, the images beyond its limit; patients are taken in a random order."""
    patients = sorted({row["patient_id"] for row in found.rows})
    random.Random(seed).shuffle(patients)
    place = {patient: i for i, patient in enumerate(patients)}
    taken: Counter[int] = Counter()
    beyond = set()
    for number in sorted(range(len(found.rows)), key=lambda i: place[found.rows[i]["patient_id"]]):
        birads = found.rows[number]["birads"]
        taken[birads] += 1
        if taken[birads] > limits.get(birads, taken[birads]):
            beyond.add(number)
            found.left_out[f"beyond the limit of {limits[birads]} images of BI-RADS {birads}"] += 1
    found.rows = [row for i, row in enumerate(found.rows) if i not in beyond]


def because(found: Index) -> str:
    """The commonest reason why images are no records, to end a sentence with."""
    if not found.left_out:
        return ""
    reason, count = found.left_out.most_common(1)[0]
    return f" ({count} images: {reason})"
