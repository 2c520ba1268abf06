"""Resamples of ranking and agreement scores are scikit-learn's of the weighted rows, ties and all."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from evaluation.bootstrap import Estimate, GroupDraws
from evaluation.discrimination import (
    balanced_accuracy,
    kappa_resamples,
    mean_estimate,
    operating_point,
    quadratic_kappa,
    ranking_resamples,
    ranking_scores,
    recall_resamples,
)

# (is a yes, score with many ties, how often drawn)
ranked = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=40)
classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@settings(max_examples=150, deadline=None)
@given(ranked, st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_weighted_rows_score_as_in_scikit_learn(rows, specificity):
    truth, scores, weights = (np.array(column) for column in zip(*rows, strict=True))
    drawn = np.repeat(np.arange(len(rows)), weights)  # the resample, written out
    assume(0 < truth[drawn].sum() < len(drawn))
    area, precision, sensitivity = ranking_resamples(
        truth, scores / 7, weights[None].astype(float), specificity
    )
    assert area[0] == pytest.approx(sk.roc_auc_score(truth, scores, sample_weight=weights))
    assert area[0] == pytest.approx(sk.roc_auc_score(truth[drawn], scores[drawn]))
    assert precision[0] == pytest.approx(sk.average_precision_score(truth[drawn], scores[drawn]))
    false_rate, true_rate, _ = sk.roc_curve(truth[drawn], scores[drawn], drop_intermediate=False)
    assert sensitivity[0] == pytest.approx(true_rate[false_rate <= 1 - specificity + 1e-9].max())


def test_a_resample_without_a_yes_or_a_no_has_no_score():
    truth, scores = np.array([True, True, False]), np.array([0.9, 0.2, 0.4])
    weights = np.array([[2.0, 1, 0], [0, 0, 3], [1, 1, 1]])
    found = ranking_resamples(truth, scores, weights, 0.9)
    assert np.isnan(found[:, :2]).all() and not np.isnan(found[:, 2]).any()


def test_points_are_scikit_learns_and_all_alike_has_none():
    rng = np.random.default_rng(0)
    truth, scores, rows = rng.random(80) < 0.3, rng.random(80), np.arange(80)
    draws = GroupDraws(np.repeat(np.arange(40), 2).tolist(), samples=200)
    found = ranking_scores(truth, scores, draws, rows, 0.9)
    assert found["auroc"].value == sk.roc_auc_score(truth, scores)
    assert found["auprc"].value == sk.average_precision_score(truth, scores)
    sensitivity, threshold = operating_point(truth, scores, 0.9)
    assert found["sensitivity"].value == sensitivity == (scores[truth] >= threshold).mean()
    assert (scores[~truth] < threshold).mean() >= 0.9
    for name in found:
        assert found[name].draws.shape == (200,)
        low, high = found[name].as_dict()["interval"]
        assert low < found[name].value < high
    nothing = ranking_scores(np.ones(80, bool), scores, draws, rows, 0.9)["auroc"]
    assert nothing.as_dict() == {"value": None, "interval": None}


def test_a_perfect_ranking_is_one_in_every_resample():
    truth = np.arange(40) % 2 == 0
    found = ranking_scores(truth, truth * 0.5 + 0.1, GroupDraws(list(range(40))), np.arange(40), 0.9)
    for estimate in found.values():
        assert estimate.as_dict() == {"value": 1.0, "interval": [1.0, 1.0]}


@settings(max_examples=100, deadline=None)
@given(classes)
def test_kappa_and_balanced_accuracy_are_those_of_scikit_learn(rows):
    true, pred = (np.array(column) for column in zip(*rows, strict=True))
    draws, places = GroupDraws(list(range(len(rows))), samples=3), np.arange(len(rows))
    matrix = sk.confusion_matrix(true, pred, labels=range(4))[None].astype(float)
    recall = sk.recall_score(true, pred, labels=np.unique(true), average="macro")
    assert recall_resamples(matrix)[0] == pytest.approx(recall)
    assert balanced_accuracy(true, pred, 4, draws, places).value == pytest.approx(recall)
    kappa = quadratic_kappa(true, pred, 4, draws, places).value
    if len({*true, *pred}) == 1:
        assert kappa is None and np.isnan(kappa_resamples(matrix)[0])
    else:
        expected = sk.cohen_kappa_score(true, pred, labels=range(4), weights="quadratic")
        assert kappa == pytest.approx(expected) and kappa_resamples(matrix)[0] == pytest.approx(expected)


def test_kappa_by_hand_weighs_a_miss_by_two_ranks_four_times():
    # Labels and predictions of each class once, A and C swapped: disagreement (4 + 4) of 3 × (1+1+1+1+4+4) / 9 = 4.
    assert kappa_resamples(np.array([[[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]]))[0] == pytest.approx(1 - 8 / 4)


def test_a_mean_is_over_what_is_defined():
    half, whole = (Estimate(value, np.full(4, value)) for value in (0.5, 1.0))
    nothing = Estimate(None, np.full(4, np.nan))
    mean = mean_estimate([half, nothing, whole])
    assert mean.value == 0.75 and mean.draws.tolist() == [0.75] * 4
    assert mean_estimate([nothing, nothing]).value is None
