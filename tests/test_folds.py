"""Folds and splits never cut a patient or case; subsets nest; everything follows from the seed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.folds import nested_subset, patient_folds, split_by_case, split_groups


@st.composite
def archives(draw):
    """Patients with one to four rows each, and a class for each row."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=8, max_size=40))
    patients = [f"p{i}" for i, size in enumerate(sizes) for _ in range(size)]
    labels = draw(st.lists(st.integers(0, 4), min_size=len(patients), max_size=len(patients)))
    return patients, labels


@settings(max_examples=40, deadline=None)
@given(archives(), st.integers(2, 5), st.integers(0, 3))
def test_a_patient_is_in_one_fold_and_every_fold_has_patients(archive, folds, seed):
    patients, labels = archive
    assigned = patient_folds(patients, labels, folds=folds, seed=seed)
    assert set(assigned) == set(range(folds))
    assert len(set(zip(patients, assigned, strict=True))) == len(set(patients))
    assert assigned == patient_folds(patients, labels, folds=folds, seed=seed)


def test_classes_are_spread_evenly():
    patients = [f"p{i // 4}" for i in range(800)]
    labels = [(i // 4) % 5 for i in range(800)]
    folds = patient_folds(patients, labels, folds=4, seed=1)
    counts = Counter(zip(folds, labels, strict=True))
    assert all(36 <= counts[fold, label] <= 44 for fold in range(4) for label in range(5))


def test_another_seed_deals_other_folds():
    patients, labels = [str(i) for i in range(100)], [i % 5 for i in range(100)]
    assert patient_folds(patients, labels, seed=0) != patient_folds(patients, labels, seed=1)


@settings(max_examples=40, deadline=None)
@given(archives(), st.data())
def test_a_smaller_subset_lies_in_a_larger_one(archive, data):
    patients, labels = archive
    rows = list(range(0, len(patients), 2))
    small, large = sorted(data.draw(st.tuples(*[st.integers(1, len(rows))] * 2)))
    first = nested_subset(rows, patients, labels, small, seed=3)
    second = nested_subset(rows, patients, labels, large, seed=3)
    assert len(set(first)) == small and first == second[:small] and set(second) <= set(rows)


def test_few_labels_hold_every_class():
    patients = [f"p{i // 2}" for i in range(400)]
    labels = [0 if i < 320 else 1 + (i // 2) % 4 for i in range(400)]
    chosen = nested_subset(range(400), patients, labels, 20, seed=0)
    assert {labels[row] for row in chosen} == {0, 1, 2, 3, 4}


@settings(max_examples=40, deadline=None)
@given(archives(), st.floats(0.05, 0.6), st.integers(0, 3))
def test_a_split_never_cuts_a_case(archive, fraction, seed):
    cases, _ = archive
    kept, held = split_groups(cases, fraction, seed)
    assert sorted(kept + held) == list(range(len(cases)))
    assert kept and held
    assert not {cases[row] for row in kept} & {cases[row] for row in held}


def test_a_split_holds_out_about_what_was_asked_for():
    cases = [f"c{i // 2}" for i in range(400)]
    assert 38 <= len(split_groups(cases, 0.1, seed=0)[1]) <= 44


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: patient_folds(["a", "b"], [0, 1], folds=4), "2 patients cannot fill 4 folds"),
        (lambda: patient_folds(["a", "b"], [0], folds=2), "2 patient ids and 1 labels"),
        (lambda: nested_subset([0, 1], ["a", "b"], [0, 1], 3), "from 1 to 2"),
        (lambda: split_groups(["a", "a"], 0.5), "two cases or more"),
        (lambda: split_groups(["a", "b"], 1.5), "between 0 and 1"),
    ],
)
def test_what_cannot_be_split_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("seed", range(5))
def test_no_case_is_in_two_parts(seed):
    cases = [f"case {i // 2}" for i in range(40)]
    parts = split_by_case(cases, 0.1, 0.1, seed)
    assert sorted(row for part in parts for row in part) == list(range(40))
    assert sum(len({cases[row] for row in part}) for part in parts) == 20
    assert all(parts)
