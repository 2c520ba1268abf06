"""The same scores for each part of the women and images: density, view, vendor, age, race, data set, and the gaps.

The threshold of recall is one for all, chosen over everybody, as a reading room would have it: groups that fare worse
at it show in their own sensitivity and specificity. Resamples are those of everybody too, so that differences between
a group and all, and between two groups, have intervals. A gap is between the best and the worst of the groups, who
were picked after their scores were seen: it is a little larger than the same two groups' would be on new patients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dataset_builders.birads import DENSITIES

from .bootstrap import Estimate
from .metrics import birads_metrics, density_metrics
from .task_scores import (
    DENSITY,
    FIVE,
    THREE,
    F1Kind,
    Labelled,
    f1_estimates,
    quadratic_kappa,
    recall_at,
    recall_scores,
    recall_threshold,
)

MIN_PATIENTS = 20
# How the data sets call what they alone have, behind their own prefix: `embed_race`, `rsna_machine`.
OWN_COLUMNS = {"vendor": ("vendor", "manufacturer", "machine"), "age": ("age",), "race": ("race",)}
AGE_BANDS = {
    "below 40": 0,
    "40–49": 40,
    "50–59": 50,
    "60–69": 60,
    "70 and over": 70,
}  # from how many years on
ATTRIBUTES = ("density", "view", "vendor", "age", "race", "source")


def with_attributes(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `group_view`, `group_vendor`, `group_age`, `group_race`, `group_source`: words, or None."""
    groups = {f"group_{name}": _own(table, suffixes) for name, suffixes in OWN_COLUMNS.items()}
    groups["group_age"] = _age_bands(groups["group_age"])
    for name in ("view", "source"):
        groups[f"group_{name}"] = table[name]
    for name in ("vendor", "race"):
        groups[f"group_{name}"] = groups[f"group_{name}"].map(str, "ignore")
    return table.assign(**groups)


def kept_attributes() -> list[str]:
    """The columns of `with_attributes` that pooling has to keep; density's group is its label."""
    return [f"group_{name}" for name in ATTRIBUTES if name != "density"]


def subgroup_scores(
    known: pd.DataFrame, data: Labelled, task: str, min_patients: int = MIN_PATIENTS
) -> dict[str, Any]:
    """Scores of every attribute that has two values or more.

    Args:
        known: the labelled rows of a table with `with_attributes`, one for each row of data.
        data: labels, probabilities and draws of these rows.
        task: "birads" or "density", whose own groups are not scored, having one label each.
        min_patients: with fewer of them, a group is counted and not scored.

    Returns:
        Attribute → `groups`, a list of `group`, `n`, `n_patients`, and either `too_small` or `scores` and `difference`
        (from all rows); `gaps`, score → `highest` and `lowest` group, `value` and `interval` of their difference;
        `unknown`, how many rows have no value.
    """
    score = _birads_score(data) if task == "birads" else _density_score
    overall = score(data)
    found = {}
    for attribute in ATTRIBUTES:
        values = _values(known, attribute)
        names = _ordered(attribute, values)
        if len(names) > 1 and attribute != task:
            parts = {name: data.where((values == name).to_numpy()) for name in names}
            found[attribute] = {
                **_one(parts, score, overall, min_patients),
                "unknown": int(values.isna().sum()),
            }
    return found


def _one(
    parts: Mapping[str, Labelled],
    score: Callable[[Labelled], dict[str, Estimate]],
    overall: Mapping[str, Estimate],
    min_patients: int,
) -> dict[str, Any]:
    scored = {name: score(part) for name, part in parts.items() if part.patients >= min_patients}
    groups = []
    for name, part in parts.items():
        groups.append({"group": name, "n": len(part.labels), "n_patients": part.patients})
        if name not in scored:
            groups[-1]["too_small"] = True
            continue
        groups[-1]["scores"] = {key: one.as_dict() for key, one in scored[name].items()}
        groups[-1]["difference"] = {key: (one - overall[key]).as_dict() for key, one in scored[name].items()}
    return {"groups": groups, "gaps": {key: _gap(scored, key) for key in overall}}


def _gap(scored: Mapping[str, Mapping[str, Estimate]], key: str) -> dict[str, Any] | None:
    """The best group's score less the worst's; None with fewer than two scores."""
    defined = [name for name in scored if scored[name][key].value is not None]
    if len(defined) < 2:
        return None
    lowest, *_, highest = sorted(defined, key=lambda name: scored[name][key].value)
    difference = scored[highest][key] - scored[lowest][key]
    return {"highest": highest, "lowest": lowest, **difference.as_dict()}


def _birads_score(everybody: Labelled) -> Callable[[Labelled], dict[str, Estimate]]:
    threshold = recall_threshold(everybody)

    def score(data: Labelled) -> dict[str, Estimate]:
        points = birads_metrics(data.labels, data.predictions)
        scores = {kind.macro: _macro_f1(points, data, kind) for kind in (FIVE, THREE)}
        scores["recall_auroc"] = recall_scores(data)["auroc"]
        return scores | ({} if threshold is None else recall_at(data, threshold))

    return score


def _density_score(data: Labelled) -> dict[str, Estimate]:
    points = density_metrics(data.labels, data.predictions)
    kappa = quadratic_kappa(data.labels, data.predictions, len(DENSITIES), data.draws, data.rows)
    return {"density_f1": _macro_f1(points, data, DENSITY), "kappa": kappa}


def _macro_f1(points: Mapping[str, Any], data: Labelled, kind: F1Kind) -> Estimate:
    """Not defined where a class has no label: it would count as 0, and make a gap of a group that has fewer classes."""
    if len(np.unique(kind.merge(data.labels))) < kind.classes:
        return Estimate(None, np.full(data.draws.samples, np.nan))
    return f1_estimates(points, data, kind)[0]


def _values(known: pd.DataFrame, attribute: str) -> pd.Series:
    if attribute == "density":
        return known["label_density"].map(dict(enumerate(DENSITIES)))
    return known[f"group_{attribute}"]


def _ordered(attribute: str, values: pd.Series) -> list[str]:
    names = sorted(values.dropna().unique())
    return [band for band in AGE_BANDS if band in names] if attribute == "age" else names


def _own(table: pd.DataFrame, suffixes: tuple[str, ...]) -> pd.Series:
    """What each row's data set says under its own prefix, None where it has no such column."""
    found = pd.Series(None, index=table.index, dtype=object)
    for source in table["source"].unique():
        of_source = table["source"] == source
        for suffix in suffixes:
            column = f"{source}_{suffix}"
            if column in table:
                values = table[column].astype(object).where(table[column].notna(), None)
                found = found.where(~of_source | found.notna(), values)
    return found


def _age_bands(years: pd.Series) -> pd.Series:
    edges = [*AGE_BANDS.values(), np.inf]
    bands = pd.cut(pd.to_numeric(years), edges, right=False, labels=list(AGE_BANDS))
    return bands.astype(object).where(bands.notna(), None)
