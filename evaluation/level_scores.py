"""Scores of a table of predictions at every level: image, breast, exam."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from .calibration import calibration_scores, reliability, with_temperature
from .pooling import LEVELS, pooled
from .predictions import known_rows, labelled, scored_tasks
from .subgroups import kept_attributes, subgroup_scores
from .task_scores import SCORES, Labelled

# Level → task → the labelled images, breasts or exams, as a table and as arrays.
Levels = Mapping[str, Mapping[str, tuple[pd.DataFrame, Labelled]]]


def labelled_levels(table: pd.DataFrame, rule: str, samples: int, seed: int) -> Levels:
    """What there is to score.

    Args:
        table: of `subgroups.with_attributes`. rule: of `pooling.pooled`. samples, seed: of the bootstrap.

    Raises:
        ValueError: no row has a label and probabilities of the same task.
    """
    if not scored_tasks(table):
        raise ValueError("no row has a label and probabilities of the same task; there is nothing to score.")
    found = {}
    for level in LEVELS:
        units = pooled(table, level, rule, kept_attributes())
        known = {task: known_rows(units, task) for task in scored_tasks(units)}
        found[level] = {task: (rows, labelled(rows, task, samples, seed)) for task, rows in known.items()}
    return found


def score_levels(
    data: Levels, min_patients: int, progress: Callable[[Iterable], Iterable] = iter
) -> dict[str, dict[str, Any]]:
    """Level → task → scores as JSON, with those of the `subgroups`; min_patients: see `subgroup_scores`."""
    results: dict[str, dict[str, Any]] = {level: {} for level in data}
    for level, task in progress([(level, task) for level, tasks in data.items() for task in tasks]):
        rows, arrays = data[level][task]
        scores = SCORES[task](arrays).as_dict()
        results[level][task] = {**scores, "subgroups": subgroup_scores(rows, arrays, task, min_patients)}
    return results


def add_calibrated(
    results: Mapping[str, dict[str, Any]],
    data: Mapping[str, tuple[pd.DataFrame, Labelled]],
    temperatures: Sequence[Mapping[str, float]],
) -> None:
    """Put `temperature` beside a task's scores: `values` of the files, and calibration with them.

    results, data: of one level. temperatures: task → temperature, for each file; a task that one of them lacks is left
    as it is.
    """
    for task, (rows, arrays) in data.items():
        values = [found[task] for found in temperatures if task in found]
        if not values or len(values) < len(temperatures):
            continue
        scaled = arrays.probabilities.copy()
        for number, value in enumerate(values):
            of_file = (rows["file"] == number).to_numpy()
            scaled[of_file] = with_temperature(scaled[of_file], value)
        scores = calibration_scores(arrays.labels, scaled, arrays.draws, arrays.rows)
        results[task]["temperature"] = {
            "values": values,
            **{name: estimate.as_dict() for name, estimate in scores.items()},
            "reliability": reliability(arrays.labels, scaled),
        }
