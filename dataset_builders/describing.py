"""What an archive's index says of itself: every rule, how many images it left out, and how many remained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Index(Protocol):
    """What is described: an index of record_builder, which imports this module."""

    rows: Sequence[Mapping[str, Any]]
    left_out: Mapping[str, int]
    remarks: Mapping[str, int]


@dataclass(frozen=True)
class Step:
    """A rule that left images out, in words; how many; and how many images remained after it."""

    rule: str
    images: int
    remaining: int


def steps(index: Index) -> list[Step]:
    """The rules in the order in which the builder applied them."""
    remaining = len(index.rows) + sum(index.left_out.values())
    found = []
    for rule, images in index.left_out.items():
        remaining -= images
        found.append(Step(rule, images, remaining))
    return found


def describe(index: Index) -> str:
    """Lines for a reader: what the archive holds, what each rule left out, what is left, and what else was noticed."""
    before = len(index.rows) + sum(index.left_out.values())
    lines = [f"{before:>10,} images in the archive"]
    for step in steps(index):
        lines.append(f"{-step.images:>10,} {step.rule} → {step.remaining:,} remain")
    patients = len({row["patient_id"] for row in index.rows})
    lines.append(f"{len(index.rows):>10,} images of {patients:,} patients become records")
    lines += [f"{count:>10,} {remark}" for remark, count in index.remarks.items()]
    return "\n".join(lines)
