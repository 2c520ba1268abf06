"""Which pictures evaluate_predictions.py draws of its scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataset_builders.birads import DENSITIES, FIVE_CLASSES

from .level_scores import Levels
from .notices import RESEARCH_SHORT
from .score_plots import Curve, confusion_plot, reliability_plot, roc_plot
from .task_scores import SPECIFICITY, recall_truth
from .zero_shot import TASKS

# Scores' key → title, names of the classes.
CONFUSIONS = {
    "confusion_five": ("BI-RADS, five classes", tuple(map(str, FIVE_CLASSES))),
    "confusion_three": ("BI-RADS, three groups", ("1 or 2", "0", "4 or 5")),
    "confusion_density": ("breast density", DENSITIES),
}


def score_pictures(
    scored: Mapping[str, Mapping[str, Any]], data: Levels, *, phantom: bool
) -> dict[str, dict[str, bytes]]:
    """Name of a picture → its formats: reliability and ROC curves, and confusion matrices of each level.

    scored: of `score_levels`; data: of `labelled_levels`; phantom: whether the titles say
    so; all of them say what they are not for.
    """
    ending = f"{', synthetic phantoms' if phantom else ''}\n({RESEARCH_SHORT})"
    panels = {TASKS[task].title: _bins(found) for task, found in scored["image"].items()}
    pictures = {
        "reliability": reliability_plot(panels, f"Calibration of images{ending}"),
        "roc": roc_plot(_curves(data), SPECIFICITY, f"ROC curves with their areas{ending}"),
    }
    for level, tasks in scored.items():
        matrices = {
            title: (found[key], names)
            for found in tasks.values()
            for key, (title, names) in CONFUSIONS.items()
            if key in found
        }
        pictures[f"confusion_{level}"] = confusion_plot(matrices, f"{level.capitalize()} level{ending}")
    return pictures


def _bins(found: Mapping[str, Any]) -> dict[str, list]:
    bins = {"as predicted": found["reliability"]}
    return bins | (
        {"with temperature": found["temperature"]["reliability"]} if "temperature" in found else {}
    )


def _curves(data: Levels) -> dict[str, dict[str, Curve]]:
    """Recall at each level, and each class against the rest on images."""
    recall = {level: recall_truth(tasks["birads"][1]) for level, tasks in data.items() if "birads" in tasks}
    panels = {"Recall: BI-RADS 0, 4, 5 against 1, 2": recall} if recall else {}
    for task, (_, arrays) in data["image"].items():
        columns = zip(TASKS[task].names, arrays.probabilities.T, strict=True)
        panels[f"{TASKS[task].title}, class against rest"] = {
            name: (arrays.labels == index, column) for index, (name, column) in enumerate(columns)
        }
    return panels
