"""From images to breasts and exams: probabilities are pooled by a rule, labels by the worst.

BI-RADS, by the rule "mean": a breast's probabilities are the mean of its images', which are views of the same tissue
(as Wu et al., 2019, "Deep Neural Networks Improve Radiologists' Performance in Breast Cancer Screening", average
theirs); an exam's are those of its more suspicious breast, because its label is that of the worse one, and a mean with
the healthy side would water it down. By the rule "max": the most suspicious image decides for breast and exam.
Suspicion is the probability of recall, p(0) + p(4) + p(5). The paper scores images alone.

Density is how much of the same tissue is dense, so its probabilities are the mean over all images by both rules.

The label is the worst of the images that have one: BI-RADS in the order 1, 2, 3, 0, 4, 5, 6 (where 3 is the worst, the
breast or exam is left out, as an image would be), the denser of two densities.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dataset_builders.birads import SEVERITY

from .predictions import NO_LABEL, PROBABILITIES
from .task_scores import RECALL
from .zero_shot import TASKS

LEVELS = {
    "image": (),
    "breast": ("patient", "exam_id", "laterality"),
    "exam": ("patient", "exam_id"),
}
RULES = ("mean", "max")
SUSPICION = [f"p_birads_{birads}" for birads in RECALL]


def pooled(table: pd.DataFrame, level: str, rule: str = "mean", keep: Sequence[str] = ()) -> pd.DataFrame:
    """A row for each image, breast or exam, with what `predictions.labelled` needs.

    Args:
        table: of `read_predictions`. level: a key of LEVELS; "image" gives the table back. rule: one of RULES.
        keep: further columns, which an image's breast or exam gets where all of its images agree, and else None.
    """
    if level == "image":
        return table
    keys = list(LEVELS[level])
    groups = table.groupby(keys)
    units = _birads_probabilities(table, level, rule)
    units = units.join(groups[list(PROBABILITIES["density"])].mean())
    units["label_birads"] = _worst_birads(
        table.assign(severity=table["birads"].map(SEVERITY.index, "ignore")), keys
    )
    units["label_density"] = groups["label_density"].max()
    for column in keep:
        agreed = groups[column].nunique(dropna=False) == 1
        units[column] = groups[column].first().where(agreed, None)
    return units.reset_index()


def _birads_probabilities(table: pd.DataFrame, level: str, rule: str) -> pd.DataFrame:
    """BI-RADS probabilities, by the level's keys."""
    columns, keys = list(PROBABILITIES["birads"]), list(LEVELS[level])
    if rule == "mean":
        breasts = table.groupby(list(LEVELS["breast"]))[columns].mean()
        return breasts if level == "breast" else _most_suspicious(breasts.reset_index(), keys)[columns]
    return _most_suspicious(table, keys)[columns]


def _most_suspicious(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The row of each group with the highest probability of recall; of equals, the first."""
    ranked = table.assign(suspicion=table[SUSPICION].sum(axis=1))
    ranked = ranked.sort_values("suspicion", ascending=False, kind="stable")
    return ranked.drop_duplicates(keys).set_index(keys).sort_index()


def _worst_birads(table: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Class index of each group's worst assessment, −1 where it has none or is no class."""
    worst = table.groupby(keys)["severity"].max()
    indices = {place: TASKS["birads"].index(birads) for place, birads in enumerate(SEVERITY)}
    known = {place: NO_LABEL if index is None else index for place, index in indices.items()}
    return worst.map(known, "ignore").fillna(NO_LABEL).astype(int)
