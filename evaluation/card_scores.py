"""Scores for a model card, with intervals and subgroups: of saved predictions, or of what a run noted of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from .bootstrap import SAMPLES
from .calibration import calibration_scores, with_temperature
from .comparison import markdown
from .predictions import known_rows, labelled, scored_tasks
from .report_tables import DIRECTIONS
from .retrieval import RECALL_AT
from .score_tables import SCORES as NAMES
from .score_tables import subgroup_tables
from .subgroups import ATTRIBUTES, subgroup_scores, with_attributes
from .task_scores import SCORES, Labelled
from .zero_shot import TASKS

# Task → score → the Hub's name of the metric.
SHOWN = {
    "birads": {
        "f1_five": "f1",
        "f1_three": "f1",
        "auroc": "roc_auc",
        "kappa": "cohen_kappa",
        "recall_auroc": "roc_auc",
        "recall_sensitivity": "recall",
    },
    "density": {"density_f1": "f1", "auroc": "roc_auc", "kappa": "cohen_kappa"},
}
CALIBRATION = {"ece": "ece", "brier": "brier_score"}
NOTED = {"birads": ("f1_five", "f1_three"), "density": ("density_f1",)}  # in results.json of classify.py
TITLES = {"birads": "BI-RADS", "density": "breast density"}

Found = dict[str, Any]  # the fields of training's card_results.Measured


def classification_scores(predictions: pd.DataFrame, temperatures: Mapping[str, float]) -> Found:
    """Scores of images, from a table of `read_predictions`.

    temperatures: task → what a release divides its logits by; calibration is that of scores with it.
    """
    table = with_attributes(predictions)
    scores, subgroups, unmeasured = [], [], []
    for task in scored_tasks(table):
        rows = known_rows(table, task)
        data = labelled(rows, task)
        scores += [*_shown(task, data), *_calibration(task, data, temperatures.get(task, 1.0))]
        found = subgroup_scores(rows, data, task)
        subgroups += [markdown(part) for part in subgroup_tables(task, "image", found)]
        unmeasured += _unmeasured(task, rows, found)
    return {
        "task": "image-classification",
        "data": ", ".join(sorted(table["source"].unique())),
        "about": f"{len(table):,} images of {table['patient'].nunique():,} patients whom training has not seen; "
        f"intervals of 95 % over patients ({SAMPLES:,} bootstrap resamples).",
        "scores": scores,
        "subgroups": subgroups,
        "unmeasured": unmeasured,
    }


def _shown(task: str, data: Labelled) -> Iterator[dict[str, Any]]:
    found = SCORES[task](data).scores
    for key, metric in SHOWN[task].items():
        yield {"name": _name(task, key), "metric": metric, **found[key].as_dict()}


def _calibration(task: str, data: Labelled, temperature: float) -> Iterator[dict[str, Any]]:
    scaled = with_temperature(data.probabilities, temperature)
    found = calibration_scores(data.labels, scaled, data.draws, data.rows)
    for key, metric in CALIBRATION.items():
        yield {
            "name": f"{_name(task, key)}, temperature {temperature:.3f}",
            "metric": metric,
            **found[key].as_dict(),
        }


def _name(task: str, key: str) -> str:
    return f"{TITLES[task]}: {NAMES[task][key]}"


def _unmeasured(task: str, rows: pd.DataFrame, found: Mapping[str, Any]) -> Iterator[str]:
    """Why there are no scores by an attribute."""
    for attribute in ATTRIBUTES:
        if attribute == task or attribute in found:
            continue
        values = rows[f"group_{attribute}" if attribute != "density" else "density"].dropna().unique()
        why = f"all have one value, {values[0]}" if len(values) else "the data do not tell it"
        yield f"{TASKS[task].title} by {attribute}: none measured; {why}."


def noted_scores(results: Mapping[str, Any], data: str) -> Found:
    """Scores from classify.py's results.json, where its predictions were not kept; data: what they are of."""
    scores = [
        {
            "name": _name(task, key),
            "metric": "f1",
            "value": results[key],
            "interval": results.get(f"{key}_interval"),
        }
        for task, keys in NOTED.items()
        for key in keys
        if results.get(key) is not None
    ]
    return {
        "task": "image-classification",
        "data": data,
        "about": f"{results.get('n_test', 'An unknown number of')} images, as the run noted; "
        "intervals of 95 % over patients.",
        "scores": scores,
        "unmeasured": ["None measured: the run's predictions were not kept."],
    }


def retrieval_scores(results: Mapping[str, Any], data: str, about: str) -> Found:
    """Recall in both directions, from `retrieval` in results.json of pretrain.py or evaluate_retrieval.py."""
    scores = [
        {
            "name": f"{title}: recall@{k} (chance {results[way][f'chance@{k}']:.3f})",
            "metric": "recall",
            "value": results[way][f"recall@{k}"],
            "interval": results[way].get(f"recall@{k}_interval"),
        }
        for way, title in DIRECTIONS.items()
        for k in RECALL_AT
    ]
    unmeasured = ["Retrieval: none measured; pairs do not tell of whom their images are."]
    return {
        "task": "image-text-retrieval",
        "data": data,
        "about": about,
        "scores": scores,
        "unmeasured": unmeasured,
    }
