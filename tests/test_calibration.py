"""Calibration against scikit-learn, by hand and on probabilities that are right by construction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from evaluation.bootstrap import GroupDraws
from evaluation.calibration import (
    BINS,
    TEMPERATURES,
    calibration_scores,
    fit_temperature,
    reliability,
    with_temperature,
)


def made_up(rows, classes=4, seed=0, spread=1.5, temperature=1.0):
    """Labels that were drawn from softmax(logits / temperature), and softmax(logits)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=spread, size=(rows, classes))
    chances = softmax(logits / temperature, axis=1)
    labels = (rng.random((rows, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return labels, softmax(logits, axis=1)


def scores(labels, probabilities, samples=200):
    draws = GroupDraws(list(range(len(labels))), samples)
    return calibration_scores(labels, probabilities, draws, np.arange(len(labels)))


@pytest.mark.parametrize("seed", range(4))
def test_brier_and_likelihood_are_those_of_scikit_learn(seed):
    labels, probabilities = made_up(50, seed=seed)
    found = scores(labels, probabilities)
    options = {"labels": range(4), "scale_by_half": False}
    assert found["brier"].value == pytest.approx(sk.brier_score_loss(labels, probabilities, **options))
    assert found["nll"].value == pytest.approx(sk.log_loss(labels, probabilities, labels=range(4)))


@pytest.mark.parametrize("seed", range(4))
def test_bins_are_those_of_scikit_learn_and_the_error_is_their_mean_gap(seed):
    labels, probabilities = made_up(300, seed=seed)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    accuracies, confidences = calibration_curve(right, confidence, n_bins=BINS)
    bins = reliability(labels, probabilities)
    assert [one["accuracy"] for one in bins] == pytest.approx(accuracies)
    assert [one["confidence"] for one in bins] == pytest.approx(confidences)
    images = np.array([one["images"] for one in bins])
    assert images.sum() == 300
    gaps = np.abs(accuracies - confidences)
    assert scores(labels, probabilities)["ece"].value == pytest.approx((gaps * images).sum() / 300)


def test_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    found = scores(np.array([0, 1, 1]), probabilities)
    # Two images at 0.9, one of them right; one at 0.6, right.
    assert found["ece"].value == pytest.approx((2 * 0.4 + 0.4) / 3)
    assert found["brier"].value == pytest.approx((0.02 + 1.62 + 0.32) / 3)
    assert found["nll"].value == pytest.approx(-np.log([0.9, 0.1, 0.6]).mean())


def test_probabilities_that_labels_were_drawn_from_are_calibrated_and_sharper_ones_are_not():
    labels, probabilities = made_up(40_000)
    assert scores(labels, probabilities, 20)["ece"].value < 0.01
    assert scores(labels, with_temperature(probabilities, 0.5), 20)["ece"].value > 0.1


def test_resamples_are_the_scores_of_the_rows_written_out():
    labels, probabilities = made_up(30)
    draws = GroupDraws((np.arange(30) // 3).tolist(), samples=5)
    found = calibration_scores(labels, probabilities, draws, np.arange(30))
    for sample, counts in enumerate(np.concatenate(list(draws.weights(np.arange(30)))).astype(int)):
        rows = np.repeat(np.arange(30), counts)
        for name, estimate in scores(labels[rows], probabilities[rows]).items():
            assert found[name].draws[sample] == pytest.approx(estimate.value), name


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    labels, probabilities = made_up(20_000, spread=3.0, temperature=temperature)
    assert fit_temperature(labels, probabilities) == pytest.approx(temperature, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000), st.floats(0.1, 8))
def test_a_fitted_temperature_never_raises_the_likelihoods_cost_and_moves_no_prediction(rows, seed, spread):
    labels = np.random.default_rng(seed).integers(0, 4, rows)  # whatever the probabilities say
    probabilities = made_up(rows, seed=seed, spread=spread)[1].astype(np.float32)
    temperature = fit_temperature(labels, probabilities)
    assert TEMPERATURES[0] <= temperature <= TEMPERATURES[1]
    scaled = with_temperature(probabilities, temperature)
    before, after = (scores(labels, chances, 2)["nll"].value for chances in (probabilities, scaled))
    assert after <= before + 1e-9
    picked = scaled[np.arange(rows), probabilities.argmax(axis=1)]
    assert picked == pytest.approx(scaled.max(axis=1)) and scaled.sum(axis=1) == pytest.approx(np.ones(rows))


def test_a_temperature_of_one_changes_nothing_and_two_undo_each_other():
    probabilities = made_up(20)[1]
    assert with_temperature(probabilities, 1.0) == pytest.approx(probabilities)
    assert with_temperature(with_temperature(probabilities, 3.0), 1 / 3) == pytest.approx(probabilities)


def test_extremes_have_a_temperature_too():
    sure = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)  # rounded to 0 and 1
    assert fit_temperature(np.array([1, 0]), sure) == pytest.approx(TEMPERATURES[1], rel=1e-3)
    assert fit_temperature(np.array([0, 1]), np.array([[0.6, 0.4], [0.4, 0.6]])) == pytest.approx(
        TEMPERATURES[0], rel=1e-3
    )
    assert fit_temperature(np.array([], int), np.zeros((0, 4))) == 1.0
