"""Folds and splits never cut a patient or case; subsets nest; everything follows from the seed."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.folds import (
    join_groups,
    nested_subset,
    patient_folds,
    read_groups,
    split_by_case,
    split_groups,
    write_groups,
)


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


def test_density_is_spread_too_where_it_is_asked_for():
    patients = [f"p{i // 4}" for i in range(1600)]
    labels = [(i // 4) % 5 for i in range(1600)]
    density = [(i // 4 // 7) % 4 for i in range(1600)]
    folds = patient_folds(patients, labels, folds=4, seed=1, also=[density])
    for classes in (labels, density):
        counts = Counter(zip(folds, classes, strict=True))
        expected = 400 / len(set(classes))
        assert all(abs(count - expected) <= 0.1 * expected for count in counts.values())


def test_a_patient_of_two_classes_stays_whole():
    patients = [f"p{i // 4}" for i in range(400)]
    labels = [4 if i % 4 == 0 and i < 80 else 1 for i in range(400)]  # one breast of twenty patients
    folds = patient_folds(patients, labels, seed=2)
    assert len(set(zip(patients, folds, strict=True))) == 100
    assert set(Counter(f for f, label in zip(folds, labels, strict=True) if label == 4).values()) == {5}
    few = nested_subset(range(400), patients, labels, 40, seed=2)
    assert Counter(labels[row] for row in few)[4] >= 5


IN_ANOTHER_PROCESS = """
import json
from dataset_builders.folds import nested_subset, patient_folds, split_groups
patients = [f"p{i // 3}" for i in range(300)]
labels = [(i * 7) % 5 for i in range(300)]
print(json.dumps([
    patient_folds(patients, labels, seed=3, also=[[i % 4 for i in range(300)]]),
    nested_subset(range(300), patients, labels, 90, seed=3),
    split_groups(patients, 0.2, 3),
]))
"""


def test_every_process_makes_the_same_folds_and_subsets():
    """Python's hashes of strings differ from process to process; nothing may follow from them."""
    outcomes = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
        outcomes.add(
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        )
    assert len(outcomes) == 1 and len(json.loads(outcomes.pop())[0]) == 300


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=40), st.data())
def test_what_pairs_connect_is_one_group(ids, data):
    known = st.sampled_from(ids)
    pairs = data.draw(st.lists(st.tuples(known, known), max_size=12))
    groups = dict(zip(ids, join_groups(ids, pairs), strict=True))
    reached = {name: {name} for name in ids}  # by brute force: until nothing is added
    for _ in ids:
        for first, second in pairs:
            reached[first] = reached[second] = reached[first] | reached[second]
        reached = {
            name: set().union(*(reached[other] for other in members)) for name, members in reached.items()
        }
    for name in ids:
        assert {other for other in ids if groups[other] == groups[name]} == reached[name]
        assert groups[name] == next(other for other in ids if other in reached[name])


def test_joined_patients_share_a_fold_and_the_file_says_so(tmp_path):
    patients = [f"p{i // 2}" for i in range(80)]
    pairs = [("p1", "p7"), ("p7", "p30"), ("p2", "p3")]
    assert write_groups(tmp_path / "groups.csv", patients, pairs) == 5
    groups = read_groups(tmp_path / "groups.csv", patients)
    assert groups == join_groups(patients, pairs)
    folds = dict(zip(patients, patient_folds(groups, [i % 5 for i in range(80)]), strict=True))
    assert folds["p1"] == folds["p7"] == folds["p30"] and folds["p2"] == folds["p3"]


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "does not exist"),
        ("", "is no table of patient_id and group"),
        ("patient_id,group\np1\n", "is no table of patient_id and group"),
        ("patient_id,group\nx,x\ny,x\n", "names none of these patients"),
    ],
)
def test_a_wrong_file_of_groups_is_said(tmp_path, text, said):
    if text is not None:
        (tmp_path / "groups.csv").write_text(text)
    with pytest.raises((ValueError, OSError), match=said):
        read_groups(tmp_path / "groups.csv", ["p1", "p2"])


def test_a_pair_of_strangers_cannot_be_joined():
    with pytest.raises(ValueError, match="'z' is not one of the 2 ids"):
        join_groups(["a", "b"], [("a", "z")])
