"""Every score of both tasks against scikit-learn, and what must hold of all of them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from dataset_builders.birads import FIVE_CLASSES, SEVERITY, THREE_GROUPS
from evaluation.bootstrap import GroupDraws
from evaluation.task_scores import (
    IS_RECALL,
    RANK_OF,
    Labelled,
    birads_scores,
    density_scores,
    recall_at,
    recall_threshold,
)

SAMPLES = 200


def made_up(classes, rows=200, seed=0, strength=1.0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    logits = rng.normal(size=(rows, classes)) + strength * np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def labelled(labels, probabilities, patients=None):
    patients = np.arange(len(labels)) // 2 if patients is None else patients
    return Labelled(labels, probabilities, GroupDraws(patients.tolist(), SAMPLES), np.arange(len(labels)))


def values(scored):
    return {name: estimate.value for name, estimate in scored.scores.items()}


def test_birads_scores_are_those_of_scikit_learn():
    true, chances = made_up(5)
    pred, found = chances.argmax(axis=1), values(birads_scores(labelled(true, chances)))
    group = np.array(
        [next(place for place, one in enumerate(THREE_GROUPS) if b in one) for b in FIVE_CLASSES]
    )
    recall, score = np.isin(np.array(FIVE_CLASSES)[true], (0, 4, 5)), chances[:, [0, 3, 4]].sum(axis=1)
    order = [FIVE_CLASSES.index(birads) for birads in (1, 2, 0, 4, 5)]
    areas = [sk.average_precision_score(true == index, chances[:, index]) for index in range(5)]
    false_rate, true_rate, _ = sk.roc_curve(recall, score)
    assert found == {
        "f1_five": pytest.approx(sk.f1_score(true, pred, average="macro")),
        "f1_three": pytest.approx(sk.f1_score(group[true], group[pred], average="macro")),
        "balanced_accuracy_five": pytest.approx(sk.balanced_accuracy_score(true, pred)),
        "balanced_accuracy_three": pytest.approx(sk.balanced_accuracy_score(group[true], group[pred])),
        "auroc": pytest.approx(sk.roc_auc_score(true, chances, multi_class="ovr")),
        "auprc": pytest.approx(np.mean(areas)),
        "kappa": pytest.approx(sk.cohen_kappa_score(true, pred, labels=order, weights="quadratic")),
        "recall_auroc": pytest.approx(sk.roc_auc_score(recall, score)),
        "recall_auprc": pytest.approx(sk.average_precision_score(recall, score)),
        "recall_sensitivity": pytest.approx(true_rate[false_rate <= 0.1 + 1e-12].max()),
        "ece": pytest.approx(found["ece"]),  # tests/test_calibration.py
        "brier": pytest.approx(sk.brier_score_loss(true, chances, scale_by_half=False)),
        "nll": pytest.approx(sk.log_loss(true, chances)),
    }


def test_density_scores_are_those_of_scikit_learn():
    true, chances = made_up(4)
    pred, found = chances.argmax(axis=1), values(density_scores(labelled(true, chances)))
    assert found["density_f1"] == pytest.approx(sk.f1_score(true, pred, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(true, pred))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(true, chances, multi_class="ovr"))
    assert found["kappa"] == pytest.approx(sk.cohen_kappa_score(true, pred, weights="quadratic"))
    assert set(found) == {"density_f1", "balanced_accuracy", "auroc", "auprc", "kappa", "ece", "brier", "nll"}


def test_the_order_of_suspicion_is_that_of_severity():
    ordered = sorted(FIVE_CLASSES, key=SEVERITY.index)
    assert ordered == [1, 2, 0, 4, 5]
    assert [ordered[rank] for rank in RANK_OF] == list(FIVE_CLASSES)
    assert np.array(FIVE_CLASSES)[IS_RECALL].tolist() == [0, 4, 5]


@pytest.mark.parametrize(("classes", "score"), [(5, birads_scores), (4, density_scores)])
def test_perfect_predictions_score_one_or_nothing_in_all_resamples(classes, score):
    true = np.repeat(np.arange(classes), 30)
    scored = score(labelled(true, np.eye(classes)[true], patients=np.arange(len(true))))
    for name, estimate in scored.scores.items():
        best = 0.0 if name in ("ece", "brier", "nll") else 1.0
        found = estimate.as_dict()
        assert (found["value"], *found["interval"]) == pytest.approx((best,) * 3, abs=1e-12), name


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(5, birads_scores), (4, density_scores)]))
def test_the_order_of_rows_changes_no_score(seed, task):
    classes, score = task
    true, chances = made_up(classes, rows=40, seed=seed)
    order = np.random.default_rng(seed).permutation(40)
    before, after = score(labelled(true, chances)), score(labelled(true[order], chances[order]))
    assert values(after) == pytest.approx(values(before))
    for name, parts in before.per_class.items():
        assert [one.value for one in after.per_class[name]] == pytest.approx([one.value for one in parts])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_renaming_classes_moves_their_scores_and_no_mean_but_that_of_ranks(seed, order):
    true, chances = made_up(4, rows=40, seed=seed)
    before = density_scores(labelled(true, chances))
    after = density_scores(labelled(np.argsort(order)[true], chances[:, order]))
    for name in set(before.scores) - {"kappa"}:
        assert after.scores[name].value == pytest.approx(before.scores[name].value), name
        assert after.scores[name].draws == pytest.approx(before.scores[name].draws, nan_ok=True), name
    for name, parts in before.per_class.items():
        assert [one.value for one in after.per_class[name]] == pytest.approx(
            [parts[old].value for old in order]
        )


@pytest.mark.parametrize(("classes", "score"), [(5, birads_scores), (4, density_scores)])
def test_intervals_hold_what_they_are_of(classes, score):
    found = score(labelled(*made_up(classes, rows=400))).as_dict()
    for name, estimate in found.items():
        if isinstance(estimate, dict) and name != "ece":  # whose resamples lean upwards
            low, high = estimate["interval"]
            assert low < estimate["value"] < high, name


def test_a_class_without_labels_has_no_area_and_leaves_the_mean_to_the_others():
    true, chances = made_up(5, rows=100)
    rows = true != 4
    found = birads_scores(labelled(true[rows], chances[rows])).as_dict()
    *areas, nothing = found["auroc_per_class"]
    assert nothing == {"value": None, "interval": None} and found["support_five"][4] == 0
    assert found["auroc"]["value"] == pytest.approx(np.mean([area["value"] for area in areas]))
    assert (
        found["f1_per_class"][4]["value"] == 0.0
    )  # which the mean counts, as the paper's folds have all classes


def test_labels_of_one_kind_have_no_recall_scores():
    true = np.array([1, 2, 1, 2, 1, 1])  # BI-RADS 1 and 2
    data = labelled(true, made_up(5, rows=6)[1])
    found = birads_scores(data).as_dict()
    assert found["recall_auroc"] == found["recall_sensitivity"] == {"value": None, "interval": None}
    assert recall_threshold(data) is None is found["recall_threshold"]


def test_where_no_threshold_is_specific_enough_nobody_is_recalled():
    true = np.arange(20) % 5
    data = labelled(true, np.full((20, 5), 0.2))  # all alike
    found = birads_scores(data).as_dict()
    assert found["recall_sensitivity"]["value"] == 0.0 and found["recall_auroc"]["value"] == 0.5
    assert recall_threshold(data) == np.inf and found["recall_threshold"] is None
    assert recall_at(data, np.inf)["recall_specificity"].value == 1.0
    json.dumps(found, allow_nan=False)


def test_at_the_threshold_of_all_sensitivity_is_the_one_that_was_found():
    data = labelled(*made_up(5))
    scores = birads_scores(data).scores
    found = recall_at(data, recall_threshold(data))
    assert found["recall_sensitivity"].value == pytest.approx(scores["recall_sensitivity"].value)
    assert found["recall_specificity"].value >= 0.9
    benign = data.where(~IS_RECALL[data.labels])
    assert recall_at(benign, 0.5)["recall_sensitivity"].as_dict() == {"value": None, "interval": None}
