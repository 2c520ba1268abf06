"""What one classification run sees of a data set: rows with labels, split by patient, and what is odd about them."""

from __future__ import annotations

from dataclasses import dataclass

import datasets

from .birads import UNKNOWN
from .labelled_splits import (
    CLASS_NAMES,
    TASKS,
    Split,
    SplitOptions,
    class_indices,
    labelled_rows,
    missing_classes,
    split_patients,
    who_belongs_together,
)


@dataclass(frozen=True)
class LabelledData:
    """The rows of a data set of N rows that one run learns from, chooses with and tests, and all labels."""

    tasks: list[str]  # those that were asked for and have a label
    labels: dict[
        str, list[int]
    ]  # "birads" and "density" → (N,) class indices; all UNKNOWN where not asked for
    split: Split  # of the rows that have a label
    notes: list[str]  # sentences: what the split lacks


def labelled_data(table: datasets.Dataset, options: SplitOptions) -> LabelledData:
    """What `options.tasks` can learn from a data set, and its split.

    Raises:
        ValueError: a label does not exist, the first task has fewer than two classes, or as `split_patients`.
    """
    labels = dict(zip(TASKS, class_indices(table), strict=True))
    labels |= {task: [UNKNOWN] * len(table) for task in TASKS if task not in options.tasks}
    _check_classes(options.tasks[0], labels[options.tasks[0]])
    rows = labelled_rows(table, options.tasks)
    patients = who_belongs_together(table["patient_id"][:], options)
    columns = ([column[row] for row in rows] for column in (patients, *labels.values()))
    split = split_patients(*columns, options)
    parts = (split.train, split.validation, split.test)
    split = Split(*([rows[place] for place in part] for part in parts))
    tasks = [task for task in options.tasks if set(labels[task]) != {UNKNOWN}]
    notes = [
        f"no image has a label of {task}, which is not learned."
        for task in options.tasks
        if task not in tasks
    ]
    return LabelledData(tasks, labels, split, notes + _gaps(split, labels, options))


def _check_classes(task: str, labels: list[int]) -> None:
    classes = set(labels) - {UNKNOWN}
    if not classes:
        title = {"birads": "BI-RADS class", "density": "breast density"}[task]
        raise ValueError(f"no image has a {title}; expected two classes or more.")
    if len(classes) == 1:
        raise ValueError(
            f"all labelled images are {CLASS_NAMES[task][classes.pop()]}; expected two classes or more."
        )


def _gaps(split: Split, labels: dict[str, list[int]], options: SplitOptions) -> list[str]:
    """A sentence for each part that lacks a class of the data; few training samples may do so unmentioned."""
    parts = {"training": split.train, "validation": split.validation, "tested": split.test}
    if options.train_samples is not None:
        del parts["training"]
    return [
        f"no {part} image is of {', '.join(CLASS_NAMES[task][label] for label in missing)}."
        for task, column in labels.items()
        for part, rows in parts.items()
        if (missing := missing_classes(column, rows))
    ]
