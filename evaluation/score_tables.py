"""The scores of evaluate_predictions.py as tables, with intervals in brackets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dataset_builders.birads import DENSITIES, FIVE_NAMES, THREE_NAMES

from .report_tables import MISSING, Table, number
from .zero_shot import TASKS

# Task → score → what it is called.
SCORES = {
    "birads": {
        "f1_five": "macro F1, five classes",
        "f1_three": "macro F1, three groups",
        "balanced_accuracy_five": "balanced accuracy, five classes",
        "balanced_accuracy_three": "balanced accuracy, three groups",
        "auroc": "AUROC, class against rest, mean",
        "auprc": "AUPRC, class against rest, mean",
        "kappa": "quadratic kappa in the order 1, 2, 0, 4, 5",
        "recall_auroc": "AUROC of recall (0, 4, 5 against 1, 2)",
        "recall_auprc": "AUPRC of recall",
        "recall_sensitivity": "sensitivity of recall at 90 % specificity",
        "ece": "expected calibration error",
        "brier": "Brier score (0 to 2)",
        "nll": "negative log-likelihood",
    },
    "density": {
        "density_f1": "macro F1",
        "balanced_accuracy": "balanced accuracy",
        "auroc": "AUROC, class against rest, mean",
        "auprc": "AUPRC, class against rest, mean",
        "kappa": "quadratic kappa",
        "ece": "expected calibration error",
        "brier": "Brier score (0 to 2)",
        "nll": "negative log-likelihood",
    },
}
GROUP_SCORES = {
    "f1_five": "macro F1, five classes",
    "f1_three": "macro F1, three groups",
    "recall_auroc": "AUROC of recall",
    "recall_sensitivity": "sensitivity",
    "recall_specificity": "specificity",
    "density_f1": "macro F1",
    "kappa": "quadratic kappa",
}
F1_NAMES = {
    "birads": {"f1_per_class": FIVE_NAMES, "f1_per_group": THREE_NAMES},
    "density": {"density_f1_per_class": DENSITIES},
}


def all_tables(results: Mapping[str, Any]) -> Iterator[Table]:
    """Every table of evaluate_predictions.py's metrics.json."""
    for task in SCORES:
        levels = {level: found[task] for level, found in results["levels"].items() if task in found}
        if levels:
            yield level_table(task, levels)
            yield class_table(task, levels["image"])
            if "temperature" in levels["image"]:
                yield temperature_table(task, levels["image"])
            for level, found in levels.items():
                yield from subgroup_tables(task, level, found["subgroups"])


def level_table(task: str, levels: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every score of a task, by level."""
    rows = [[name, *(cell(found[key]) for found in levels.values())] for key, name in SCORES[task].items()]
    for key, name in (("n", "images, breasts or exams"), ("n_patients", "patients")):
        rows.append([name, *(f"{found[key]:,}" for found in levels.values())])
    return {
        "caption": f"{TASKS[task].title} [95 % interval over patients]",
        "columns": ["", *levels],
        "rows": rows,
    }


def class_table(task: str, found: Mapping[str, Any]) -> Table:
    """F1, AUROC and AUPRC of each class, and F1 of each group, on images."""
    (by_class, names), *groups = F1_NAMES[task].items()
    support = found["support_five" if task == "birads" else "support_density"]
    columns = [found[key] for key in (by_class, "auroc_per_class", "auprc_per_class")]
    rows = [
        [name, *map(cell, scores), f"{count:,}"]
        for name, *scores, count in zip(names, *columns, support, strict=True)
    ]
    for key, of_groups in groups:
        rows += [
            [name, cell(one), MISSING, MISSING, MISSING]
            for name, one in zip(of_groups, found[key], strict=True)
        ]
    return {
        "caption": f"{TASKS[task].title}, each class against the rest, images [95 % interval over patients]",
        "columns": ["", "F1", "AUROC", "AUPRC", "labels"],
        "rows": rows,
    }


def temperature_table(task: str, found: Mapping[str, Any]) -> Table:
    """Calibration as predicted, and with the temperatures that were fitted on validation predictions."""
    scaled = found["temperature"]
    values = ", ".join(f"{value:.3f}" for value in scaled["values"])
    rows = [[SCORES[task][key], cell(found[key]), cell(scaled[key])] for key in ("ece", "brier", "nll")]
    return {
        "caption": f"{TASKS[task].title}, images: calibration with temperature {values}",
        "columns": ["", "as predicted", "with temperature"],
        "rows": rows,
    }


def subgroup_tables(task: str, level: str, attributes: Mapping[str, Any]) -> Iterator[Table]:
    """A table for each attribute: its groups, and the largest gap between two of them."""
    for attribute, found in attributes.items():
        keys = list(found["gaps"])
        rows = [
            [one["group"], f"{one['n']:,}", f"{one['n_patients']:,}", *_group_cells(one, keys)]
            for one in found["groups"]
        ]
        gaps = [_gap_cell(found["gaps"][key]) for key in keys]
        if found["unknown"]:
            rows.append(["unknown", f"{found['unknown']:,}", MISSING, *[MISSING] * len(keys)])
        rows.append(["largest gap", MISSING, MISSING, *gaps])
        yield {
            "caption": f"{TASKS[task].title} by {attribute}, {level} level [95 % interval over patients] "
            "(difference from all)",
            "columns": [attribute, "n", "patients", *(GROUP_SCORES[key] for key in keys)],
            "rows": rows,
        }


def cell(score: Mapping[str, Any]) -> str:
    """0.812 [0.790, 0.833]; a dash where there is no score, no brackets where there is no interval."""
    bounds = score["interval"]
    brackets = f" [{number(bounds[0])}, {number(bounds[1])}]" if bounds else ""
    return number(score["value"]) + brackets


def _group_cells(group: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    if group.get("too_small"):
        return ["too small"] * len(keys)
    return [cell(group["scores"][key]) + _signed(group["difference"][key]["value"]) for key in keys]


def _signed(difference: float | None) -> str:
    return "" if difference is None else f" ({round(difference, 3) + 0.0:+.3f})"


def _gap_cell(gap: Mapping[str, Any] | None) -> str:
    return MISSING if gap is None else f"{cell(gap)} {gap['highest']} against {gap['lowest']}"
