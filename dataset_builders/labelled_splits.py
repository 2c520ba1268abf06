"""Which labelled rows are tested, which choose the checkpoint, and which are learned from; no patient is in two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import datasets

from .birads import UNKNOWN, density_index, five_class_index
from .folds import nested_subset, patient_folds, read_groups, split_groups


class SplitOptions(Protocol):
    """What decides a split; classify.py's options have it."""

    folds: int
    fold: int
    seed: int
    stratify: str | None
    groups: str | None
    validation_fraction: float
    train_samples: int | None


@dataclass(frozen=True)
class Split:
    """Row numbers of the table."""

    train: list[int]
    validation: list[int]
    test: list[int]


def with_class(table: datasets.Dataset) -> datasets.Dataset:
    """The table without BI-RADS 3, which is not one of the five classes, and without rows that say nothing."""
    pairs = zip(table["birads"], table["density"], strict=True)
    kept = [
        row
        for row, (birads, density) in enumerate(pairs)
        if birads != 3 and (birads, density) != (None, None)
    ]
    return table if len(kept) == len(table) else table.select(kept)


def class_indices(table: datasets.Dataset) -> tuple[list[int], list[int]]:
    """Class indices of BI-RADS and of density for every row, UNKNOWN where there is none."""
    five = [five_class_index(value) for value in table["birads"]]
    density = [density_index(value) for value in table["density"]]
    return tuple([UNKNOWN if index is None else index for index in column] for column in (five, density))


def who_belongs_together(patients: list[str], options: SplitOptions) -> list[str]:
    """What no fold cuts, for every row: the patient, or the group of patients that a file says."""
    return read_groups(options.groups, patients) if options.groups else patients


def row_folds(
    patients: list[str], labels: list[int], density_labels: list[int], options: SplitOptions
) -> list[int]:
    """The fold of every row."""
    also = [density_labels] if options.stratify == "density" else []
    return patient_folds(patients, labels, folds=options.folds, seed=options.seed, also=also)


def split_patients(
    patients: list[str], labels: list[int], density_labels: list[int], options: SplitOptions
) -> Split:
    """The tested fold, a part of the other patients for validation, and training samples from the rest.

    Rows without BI-RADS are learned from for their density, but only where all samples are; they are not tested.
    A negative number of training samples leaves so many of them out.
    """
    folds = row_folds(patients, labels, density_labels, options)
    test = [row for row, fold in enumerate(folds) if fold == options.fold and labels[row] != UNKNOWN]
    others = [row for row, fold in enumerate(folds) if fold != options.fold]
    train, validation = split_groups(
        [patients[row] for row in others], options.validation_fraction, options.seed
    )
    train = [others[place] for place in train]
    validation = [others[place] for place in validation if labels[others[place]] != UNKNOWN]
    if options.train_samples is not None:
        known = [row for row in train if labels[row] != UNKNOWN]
        size = options.train_samples if options.train_samples >= 0 else len(known) + options.train_samples
        train = nested_subset(known, patients, labels, size, seed=options.seed)
    if not train or not validation or not test:
        raise ValueError(
            f"{len(set(patients))} patients leave {len(train)} images for training, {len(validation)} for validation "
            f"and {len(test)} for fold {options.fold}; expected some for each, so give more patients."
        )
    return Split(train, validation, test)
