"""Scores against scikit-learn, by hand, and on the rows that must not be scored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from dataset_builders.birads import FIVE_CLASSES, three_group_index
from evaluation.metrics import birads_metrics, classification_metrics, density_metrics, patient_interval


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_scores_are_those_of_scikit_learn_over_all_classes(rows):
    true, pred = zip(*rows, strict=True)
    ours, classes = classification_metrics(true, pred, 5), list(range(5))
    options = {"labels": classes, "zero_division": 0}
    assert ours["macro_f1"] == pytest.approx(sk.f1_score(true, pred, average="macro", **options))
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(true, pred))
    assert ours["confusion"] == sk.confusion_matrix(true, pred, labels=classes).tolist()
    expected = sk.precision_recall_fscore_support(true, pred, **options)
    for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert ours[f"{name}_per_class"] == pytest.approx(values)
    assert ours["support"] == expected[3].tolist()


def test_by_hand():
    # labels 0 0 1 1 2, predictions 0 1 1 1 0:  F1(0) = 2/(2+2), F1(1) = 4/(2+3), F1(2) = 0
    scores = classification_metrics([0, 0, 1, 1, 2], [0, 1, 1, 1, 0], 3)
    assert scores["f1_per_class"] == pytest.approx([0.5, 0.8, 0.0])
    assert scores["macro_f1"] == pytest.approx(1.3 / 3)
    assert scores["confusion"] == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_a_class_without_labels_and_predictions_counts_as_zero_and_is_seen_in_the_support():
    scores = classification_metrics([0, 1], [0, 1], 4)
    assert scores["macro_f1"] == 0.5
    assert scores["support"] == [1, 1, 0, 0]


def test_three_groups_merge_the_five_class_prediction():
    # BI-RADS 1 called 2 and 5 called 4 are wrong in five classes and right in three groups; 0 called 4 is
    # wrong in both.
    index = FIVE_CLASSES.index
    true = [index(1), index(2), index(5), index(4), index(0), index(0)]
    pred = [index(2), index(2), index(4), index(4), index(0), index(4)]
    scores = birads_metrics(true, pred)
    assert scores["f1_five"] == pytest.approx((2 / 3 + 0 + 2 / 3 + 2 / 4 + 0) / 5)
    assert scores["f1_three"] == pytest.approx((1 + 2 / 3 + 4 / 5) / 3)
    groups = [[three_group_index(i) for i in column] for column in (true, pred)]
    assert scores["confusion_three"] == sk.confusion_matrix(*groups, labels=[0, 1, 2]).tolist()
    assert scores["support_five"] == [2, 1, 1, 1, 1]
    assert scores["support_three"] == [2, 2, 2]
    assert "f1_five_interval" not in scores


def test_density_has_four_classes():
    scores = density_metrics([0, 1, 2, 3], [0, 1, 2, 2])
    assert scores["density_f1"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)
    assert len(scores["confusion_density"]) == 4


@pytest.mark.parametrize("bad", [-100, None, 5, 1.5, float("nan"), True, "1"])
@pytest.mark.parametrize("column", ["labels", "predictions"])
def test_a_row_without_a_class_is_an_error_that_names_it(bad, column):
    rows = {"labels": [0, 1], "predictions": [0, 1]}
    rows[column] = [0, bad]
    with pytest.raises(ValueError, match=rf"{column}\[1\] is .* expected a class index from 0 to 4"):
        classification_metrics(rows["labels"], rows["predictions"], 5)
    with pytest.raises(ValueError, match=rf"{column}\[1\]"):
        birads_metrics(rows["labels"], rows["predictions"])


def test_empty_and_uneven_columns_are_errors():
    with pytest.raises(ValueError, match="at least one label"):
        classification_metrics([], [], 5)
    with pytest.raises(ValueError, match="2 labels but 1 predictions"):
        classification_metrics([0, 1], [0], 5)
    with pytest.raises(ValueError, match="2 labels but 1 patient ids"):
        patient_interval([0, 1], [0, 1], ["a"], 5)


def test_arrays_and_tensors_score_as_lists_do():
    torch = pytest.importorskip("torch")
    true, pred = [0, 4, 2, 2], [0, 1, 2, 3]
    expected = birads_metrics(true, pred)
    assert birads_metrics(np.array(true), np.array(pred)) == expected
    assert birads_metrics(torch.tensor(true), torch.tensor(pred)) == expected


def test_the_interval_draws_patients_and_so_widens_when_images_of_a_patient_agree():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(50), 4)  # four views, all right or all wrong together
    right = np.repeat(rng.random(50) < 0.7, 4)
    true = np.repeat(rng.integers(0, 2, 50), 4)
    pred = np.where(right, true, 1 - true)
    low, high = patient_interval(true, pred, patients.tolist(), 2)
    image_low, image_high = patient_interval(true, pred, list(range(200)), 2)
    score = classification_metrics(true, pred, 2)["macro_f1"]
    assert low < score < high
    assert (high - low) / (image_high - image_low) == pytest.approx(2, rel=0.25)  # sqrt(4) views


def test_the_interval_is_the_plain_bootstrap():
    rng = np.random.default_rng(1)
    patients = rng.integers(0, 20, 60)
    true, pred = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
    scores = []
    for _ in range(2000):
        drawn = rng.choice(np.unique(patients), len(np.unique(patients)))
        rows = np.concatenate([np.flatnonzero(patients == patient) for patient in drawn])
        scores.append(sk.f1_score(true[rows], pred[rows], labels=[0, 1, 2], average="macro", zero_division=0))
    expected = np.quantile(scores, [0.025, 0.975])
    assert patient_interval(true, pred, patients, 3, samples=4000) == pytest.approx(expected, abs=0.02)


def test_the_interval_of_a_perfect_model_is_one_and_the_seed_fixes_it():
    true = [0, 1, 2, 3, 4] * 30
    patients = list(range(150))
    assert birads_metrics(true, true, patients)["f1_three_interval"] == [1.0, 1.0]
    pred = np.random.default_rng(0).integers(0, 5, 150)
    first, second = (patient_interval(true, pred, patients, 5) for _ in range(2))
    assert first == second
