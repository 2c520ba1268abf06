"""How long intervals over patients take, of AUROC, AUPRC and sensitivity: all resamples at once, and one by one."""

import time

import numpy as np
from machine import print_result
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from evaluation.bootstrap import SAMPLES, GroupDraws
from evaluation.discrimination import SPECIFICITY, ranking_scores

PATIENTS, VIEWS = 2500, 4
ONE_BY_ONE = 20  # resamples that scikit-learn scores; the others would take as long each


def made_up() -> tuple[np.ndarray, np.ndarray, list[int]]:
    """(N,) truths of which a fifth is yes, (N,) scores that rank them fairly well, and the images' patients."""
    rng = np.random.default_rng(0)
    truth = rng.random(PATIENTS * VIEWS) < 0.2
    return truth, rng.normal(size=len(truth)) + truth, np.repeat(np.arange(PATIENTS), VIEWS).tolist()


def at_once(truth: np.ndarray, scores: np.ndarray, patients: list[int]) -> float:
    """Seconds for drawing the patients and scoring all resamples."""
    began = time.perf_counter()
    ranking_scores(truth, scores, GroupDraws(patients), np.arange(len(truth)), SPECIFICITY)
    return time.perf_counter() - began


def one_by_one(truth: np.ndarray, scores: np.ndarray, patients: list[int]) -> float:
    """Seconds that scikit-learn would take for the same scores of the same resamples."""
    weights = next(GroupDraws(patients).weights(np.arange(len(truth))))[:ONE_BY_ONE]
    began = time.perf_counter()
    for weight in weights:
        for score in (roc_auc_score, average_precision_score, roc_curve):
            score(truth, scores, sample_weight=weight)
    return (time.perf_counter() - began) * SAMPLES / len(weights)


def main() -> None:
    data = made_up()
    ours, theirs = min(at_once(*data) for _ in range(3)), min(one_by_one(*data) for _ in range(3))
    print(f"{SAMPLES} resamples of {PATIENTS * VIEWS:,} images: {ours:.2f} s, one by one {theirs:.1f} s")
    print_result(
        benchmark="bootstrap intervals of ranking scores",
        images=PATIENTS * VIEWS,
        seconds=round(ours, 2),
        seconds_one_by_one=round(theirs, 1),
        one_by_one_to_all_at_once=round(theirs / ours, 1),
    )


if __name__ == "__main__":
    main()
