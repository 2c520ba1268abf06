"""Which labelled rows are tested, which choose the checkpoint, and which are learned from; no patient is in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import datasets

from .birads import DENSITIES, FIVE_NAMES, UNKNOWN, density_index, five_class_index
from .folds import nested_subset, patient_folds, read_groups, split_groups

TASKS = ("birads", "density")
CLASS_NAMES = {"birads": FIVE_NAMES, "density": tuple(f"density {letter}" for letter in DENSITIES)}


class SplitOptions(Protocol):
    """What decides a split; classify.py's options have it."""

    tasks: list[str]  # of TASKS; the first decides
    folds: int
    fold: int
    seed: int
    stratify: str | None
    groups: str | None
    validation_fraction: float
    validation_samples: int | None
    train_samples: int | None


@dataclass(frozen=True)
class Split:
    """Row numbers of the table."""

    train: list[int]
    validation: list[int]
    test: list[int]


def labelled_rows(table: datasets.Dataset, tasks: Sequence[str] = TASKS) -> list[int]:
    """The numbers of the rows that have a label of one of the tasks.

    Where BI-RADS is one of them, rows of BI-RADS 3 are left out, which is not one of the five classes.
    """
    unknown = [None] * len(table)
    columns = {task: table[task][:] if task in tasks else unknown for task in TASKS}
    pairs = zip(columns["birads"], columns["density"], strict=True)
    return [row for row, pair in enumerate(pairs) if pair[0] != 3 and pair != (None, None)]


def with_class(table: datasets.Dataset) -> datasets.Dataset:
    """The table of its `labelled_rows`."""
    kept = labelled_rows(table)
    return table if len(kept) == len(table) else table.select(kept)


def class_indices(table: datasets.Dataset) -> tuple[list[int], list[int]]:
    """Class indices of BI-RADS and of density for every row, UNKNOWN where there is none."""
    five = [five_class_index(value) for value in table["birads"][:]]
    density = [density_index(value) for value in table["density"][:]]
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

    Rows that have a label of one of `options.tasks` count. The first task decides: its classes are spread over the
    folds, and training samples are images that have its label; a negative number of them leaves so many out, and
    without a number all labelled rows are learned from.

    Raises:
        ValueError: there are too few patients, a part is empty, or the tested fold lacks a class of the first task.
    """
    columns = {"birads": labels, "density": density_labels}
    used = [columns[task] for task in options.tasks]
    first = used[0]
    labelled = [any(column[row] != UNKNOWN for column in used) for row in range(len(patients))]
    folds = row_folds(patients, first, density_labels, options)
    test = [row for row, fold in enumerate(folds) if fold == options.fold and labelled[row]]
    others = [row for row, fold in enumerate(folds) if fold != options.fold]
    train, validation = split_groups(
        [patients[row] for row in others], options.validation_fraction, options.seed
    )
    train = [others[place] for place in train if labelled[others[place]]]
    validation = [others[place] for place in validation if labelled[others[place]]]
    if options.train_samples is not None:
        known = [row for row in train if first[row] != UNKNOWN]
        size = options.train_samples if options.train_samples >= 0 else len(known) + options.train_samples
        train = nested_subset(known, patients, first, size, seed=options.seed)
    if options.validation_samples is not None and options.validation_samples < len(validation):
        validation = nested_subset(validation, patients, first, options.validation_samples, seed=options.seed)
    split = Split(train, validation, test)
    _check_split(split, patients, first, options)
    return split


def _check_split(split: Split, patients: list[str], first: list[int], options: SplitOptions) -> None:
    """Raise ValueError for a split that cannot be trained on or measured with."""
    title = {"birads": "BI-RADS class", "density": "breast density"}[options.tasks[0]]
    if not split.train or not split.validation or not split.test:
        raise ValueError(
            f"{len(set(patients))} patients leave {len(split.train)} images for training, {len(split.validation)} for "
            f"validation and {len(split.test)} for fold {options.fold}; expected some for each, so give more patients."
        )
    if all(first[row] == UNKNOWN for row in split.validation):
        raise ValueError(
            f"none of the {len(split.validation)} validation images has a {title}, which chooses the checkpoint; "
            "give more patients, or another --seed."
        )
    missing = missing_classes(first, split.test)
    if missing:
        having = {patients[row] for row, label in enumerate(first) if label == missing[0]}
        raise ValueError(
            f"fold {options.fold} of {options.folds} has no image of {CLASS_NAMES[options.tasks[0]][missing[0]]}, "
            f"which {len(having)} patients have; give fewer --folds, or more patients of that class."
        )


def missing_classes(column: list[int], rows: list[int]) -> list[int]:
    """The classes that some row of the column has, but none of these rows."""
    return sorted(set(column) - {column[row] for row in rows} - {UNKNOWN})
