"""All scores of one task at one level, with intervals: BI-RADS (five classes, three groups, recall) and density.

Recall asks whether a woman is called back: BI-RADS 0, 4 or 5 against 1 or 2; its score is p(0) + p(4) + p(5). Its
sensitivity is the highest at a threshold where at least 90 % of those that need no recall are left in peace.

Quadratic kappa needs an order. Density has one, A to D. BI-RADS has none in its numbers, since 0 is no finding below 1
but an unfinished assessment; ranks here follow `birads.SEVERITY`: 1, 2, 0, 4, 5, from harmless to suspicious.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_builders.birads import (
    DENSITIES,
    FIVE_CLASSES,
    SEVERITY,
    THREE_GROUPS,
    three_group_index,
)

from .bootstrap import Estimate, GroupDraws
from .calibration import calibration_scores, reliability
from .discrimination import (
    SPECIFICITY,
    balanced_accuracy,
    mean_estimate,
    operating_point,
    quadratic_kappa,
    ranking_scores,
)
from .metrics import birads_metrics, density_metrics, drawn_matrices, f1_from_confusion, ratio

RECALL = (0, 4, 5)
GROUP_OF = np.array([three_group_index(index) for index in range(len(FIVE_CLASSES))])
RANK_OF = np.argsort(
    [FIVE_CLASSES.index(birads) for birads in SEVERITY if birads in FIVE_CLASSES]
)  # rank of each of the five classes from harmless to suspicious
IS_RECALL = np.isin(FIVE_CLASSES, RECALL)


@dataclass(frozen=True)
class Labelled:
    """The labelled rows of a task. labels: (N,) class indices; probabilities: (N, C) float64; rows: (N,) places in the
    draws, which may be of more rows than these."""

    labels: np.ndarray
    probabilities: np.ndarray
    draws: GroupDraws
    rows: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """(N,) the most probable class."""
        return self.probabilities.argmax(axis=1)

    @property
    def patients(self) -> int:
        return len(np.unique(self.draws.group_of[self.rows]))

    def where(self, mask: np.ndarray) -> Labelled:
        """Some of the rows, in the same draws."""
        return Labelled(self.labels[mask], self.probabilities[mask], self.draws, self.rows[mask])


@dataclass(frozen=True)
class Scored:
    """Scores of a task: by name; by class, in the order of the classes; and counts and bins that have no interval."""

    scores: dict[str, Estimate]
    per_class: dict[str, list[Estimate]]
    counts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """As JSON: everything by name, scores as `value` and `interval`."""
        scores = {name: estimate.as_dict() for name, estimate in self.scores.items()}
        classes = {name: [one.as_dict() for one in parts] for name, parts in self.per_class.items()}
        return {**self.counts, **scores, **classes}


@dataclass(frozen=True)
class F1Kind:
    """How an F1 is called in `metrics`, how many classes it has, and which of them a class index is merged into."""

    macro: str
    per_class: str
    classes: int
    merge: Callable[[np.ndarray], np.ndarray]


FIVE = F1Kind("f1_five", "f1_per_class", len(FIVE_CLASSES), np.asarray)
THREE = F1Kind("f1_three", "f1_per_group", len(THREE_GROUPS), GROUP_OF.__getitem__)
DENSITY = F1Kind("density_f1", "density_f1_per_class", len(DENSITIES), np.asarray)


def birads_scores(data: Labelled) -> Scored:
    """BI-RADS, from labels and probabilities in the order of `birads.FIVE_CLASSES`.

    Scores: `f1_five`, `f1_three`, `balanced_accuracy_five`, `balanced_accuracy_three`, `auroc` and `auprc` (class
    against rest, mean of the classes), `kappa`, `recall_auroc`, `recall_auprc`, `recall_sensitivity`, `ece`, `brier`,
    `nll`. By class: `f1_per_class`, `auroc_per_class`, `auprc_per_class`; by group: `f1_per_group`.
    """
    true, pred = data.labels, data.predictions
    points = birads_metrics(true, pred)
    five, three = f1_estimates(points, data, FIVE), f1_estimates(points, data, THREE)
    ranking = {f"recall_{name}": one for name, one in recall_scores(data).items()}
    per_class, means = class_rankings(data)
    scores = {
        "f1_five": five[0],
        "f1_three": three[0],
        "balanced_accuracy_five": balanced_accuracy(true, pred, len(FIVE_CLASSES), data.draws, data.rows),
        "balanced_accuracy_three": balanced_accuracy(
            GROUP_OF[true], GROUP_OF[pred], len(THREE_GROUPS), data.draws, data.rows
        ),
        **means,
        "kappa": quadratic_kappa(RANK_OF[true], RANK_OF[pred], len(FIVE_CLASSES), data.draws, data.rows),
        **ranking,
        **calibration_scores(true, data.probabilities, data.draws, data.rows),
    }
    counts = {name: points[name] for name in ("support_five", "confusion_five", "confusion_three")}
    threshold = recall_threshold(data)
    counts["recall_threshold"] = None if threshold == np.inf else threshold  # JSON has no infinity
    return Scored(
        scores, {"f1_per_class": five[1], "f1_per_group": three[1], **per_class}, counts | _facts(data)
    )


def density_scores(data: Labelled) -> Scored:
    """Density, from labels and probabilities in the order A–D.

    Scores: `density_f1`, `balanced_accuracy`, `auroc`, `auprc`, `kappa`, `ece`, `brier`, `nll`. By class:
    `density_f1_per_class`, `auroc_per_class`, `auprc_per_class`.
    """
    true, pred, number = data.labels, data.predictions, len(DENSITIES)
    points = density_metrics(true, pred)
    macro, by_class = f1_estimates(points, data, DENSITY)
    per_class, means = class_rankings(data)
    scores = {
        "density_f1": macro,
        "balanced_accuracy": balanced_accuracy(true, pred, number, data.draws, data.rows),
        **means,
        "kappa": quadratic_kappa(true, pred, number, data.draws, data.rows),
        **calibration_scores(true, data.probabilities, data.draws, data.rows),
    }
    counts = {name: points[name] for name in ("support_density", "confusion_density")}
    return Scored(scores, {"density_f1_per_class": by_class, **per_class}, counts | _facts(data))


def recall_truth(data: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """(N,) whether BI-RADS is 0, 4 or 5, and the (N,) probability of that."""
    return IS_RECALL[data.labels], data.probabilities[:, IS_RECALL].sum(axis=1)


def recall_scores(data: Labelled) -> dict[str, Estimate]:
    """`auroc`, `auprc` and `sensitivity` at 90 % specificity of recall."""
    return ranking_scores(*recall_truth(data), data.draws, data.rows, SPECIFICITY)


def recall_threshold(data: Labelled) -> float | None:
    """From which probability on an image is recalled at 90 % specificity.

    None where all labels are of one kind; infinity where even the highest probability recalls too many.
    """
    truth, scores = recall_truth(data)
    return None if truth.all() or not truth.any() else operating_point(truth, scores, SPECIFICITY)[1]


def recall_at(data: Labelled, threshold: float) -> dict[str, Estimate]:
    """`recall_sensitivity` and `recall_specificity` at a threshold that was chosen elsewhere."""
    truth, scores = recall_truth(data)
    called = scores >= threshold
    table = np.stack([truth, truth & called, ~truth, ~truth & ~called], axis=1).astype(float)
    here, drawn = table.sum(axis=0), data.draws.sums(table, data.rows)
    return {
        name: Estimate(
            float(here[right] / here[of]) if here[of] else None,
            np.where(drawn[:, of] > 0, ratio(drawn[:, right], drawn[:, of]), np.nan),
        )
        for name, of, right in (("recall_sensitivity", 0, 1), ("recall_specificity", 2, 3))
    }


def class_rankings(data: Labelled) -> tuple[dict[str, list[Estimate]], dict[str, Estimate]]:
    """AUROC and AUPRC of each class against the rest (`auroc_per_class`, …), and their means (`auroc`, …)."""
    ranked = [
        ranking_scores(data.labels == index, column, data.draws, data.rows, SPECIFICITY)
        for index, column in enumerate(data.probabilities.T)
    ]
    per_class = {f"{name}_per_class": [one[name] for one in ranked] for name in ("auroc", "auprc")}
    means = {name: mean_estimate(per_class[f"{name}_per_class"]) for name in ("auroc", "auprc")}
    return per_class, means


def f1_estimates(points: dict[str, Any], data: Labelled, kind: F1Kind) -> tuple[Estimate, list[Estimate]]:
    """Macro F1, and F1 of each class; points: of `birads_metrics` or `density_metrics`."""
    matrices = drawn_matrices(
        kind.merge(data.labels), kind.merge(data.predictions), kind.classes, data.draws, data.rows
    )
    drawn = f1_from_confusion(matrices)
    each = [Estimate(value, one) for value, one in zip(points[kind.per_class], drawn.T, strict=True)]
    return Estimate(points[kind.macro], drawn.mean(axis=-1)), each


def _facts(data: Labelled) -> dict[str, Any]:
    return {
        "n": len(data.labels),
        "n_patients": data.patients,
        "reliability": reliability(data.labels, data.probabilities),
    }


# By the column that holds the label, as in zero_shot.TASKS.
SCORES: dict[str, Callable[[Labelled], Scored]] = {"birads": birads_scores, "density": density_scores}
