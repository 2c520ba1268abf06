"""Resamples draw whole patients; their weights and sums are those of the resamples written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.bootstrap import CHUNK, Estimate, GroupDraws, percentile_interval

ids = st.lists(st.integers(0, 9), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(ids, st.integers(0, 3))
def test_each_resample_has_as_many_patients_as_there_are_and_rows_follow_them(patients, seed):
    draws = GroupDraws(patients, samples=20, seed=seed)
    rows = np.arange(len(patients))
    assert (draws.counts.sum(axis=1) == len(set(patients))).all()
    weights = np.concatenate(list(draws.weights(rows)))
    for patient in set(patients):
        of_patient = weights[:, [place for place, one in enumerate(patients) if one == patient]]
        assert (of_patient == of_patient[:, :1]).all()  # her rows are drawn together
    values = np.random.default_rng(0).normal(size=(len(rows), 3))
    assert draws.sums(values, rows) == pytest.approx(weights @ values)


def test_some_of_the_rows_have_the_weights_that_they_have_among_all():
    draws = GroupDraws(list("aabbccdd"), samples=30)
    some = np.array([1, 4, 5])
    whole = np.concatenate(list(draws.weights(np.arange(8))))
    assert (np.concatenate(list(draws.weights(some))) == whole[:, some]).all()
    assert draws.sums(np.ones((3, 1)), some)[:, 0].tolist() == whole[:, some].sum(axis=1).tolist()


def test_weights_come_in_chunks_of_bounded_size_and_a_seed_fixes_them():
    patients = list(range(CHUNK // 100))
    chunks = list(GroupDraws(patients, samples=250).weights(np.arange(len(patients))))
    assert [len(chunk) for chunk in chunks] == [100, 100, 50]
    again = GroupDraws(patients, samples=250).counts
    assert (again == np.concatenate(chunks)).all()
    assert (GroupDraws(patients, samples=250, seed=1).counts != again).any()


def test_resamples_without_a_score_are_left_out_until_they_are_too_many():
    draws = np.append(np.linspace(0, 1, 96), [np.nan] * 4)
    assert percentile_interval(draws) == pytest.approx(np.quantile(np.linspace(0, 1, 96), [0.025, 0.975]))
    assert percentile_interval(np.append(draws, [np.nan] * 4)) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_the_interval_of_a_symmetric_statistic_holds_its_estimate(seed):
    values = np.random.default_rng(seed).normal(size=(40, 1))
    draws = GroupDraws(list(range(40)), seed=seed)
    low, high = percentile_interval(draws.sums(values, np.arange(40))[:, 0] / 40)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(40), rel=0.2)


def test_a_difference_is_taken_in_each_resample():
    one, other = Estimate(0.5, np.linspace(0, 1, 100)), Estimate(0.3, np.linspace(0, 1, 100) - 0.2)
    assert (one - other).as_dict() == {"value": pytest.approx(0.2), "interval": pytest.approx([0.2, 0.2])}
    nothing = Estimate(None, np.full(100, np.nan))
    assert (one - nothing).as_dict() == {"value": None, "interval": None}
