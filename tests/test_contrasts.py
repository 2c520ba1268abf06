"""Statistics of a learning curve: pooled predictions, intervals by patient, paired tests and Holm's correction."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from evaluation import curve_predictions
from evaluation.contrasts import add_intervals, contrasts, holm, paired_t
from evaluation.curve_tables import contrast_table, contrasts_csv, latex, scores_csv, table2
from evaluation.patient_bootstrap import (
    Predicted,
    patient_weights,
    pooled,
    pooled_difference,
    pooled_f1,
    tally,
)

# What classify.py keeps: BI-RADS as published, 6 that counts as 5 and 3 that counts as nothing, and gaps.
ROWS = {
    "patient_id": ["7", "7", "8", "9", "9"],
    "birads": [1, 6, 3, None, 0],
    "predicted_birads": [2, 5, 1, 4, 4],
    "density": ["A", "B", None, "D", "C"],
    "predicted_density": ["A", "C", "A", "D", "C"],
}
PATIENTS = [f"patient {i}" for i in range(40)]
PLACES = {name: place for place, name in enumerate(PATIENTS)}


def predicted_run(seed=0, fold=0, patients=PATIENTS, classes=3, right=0.6, draw=0):
    """Two images of every patient, of which about that share is classified rightly."""
    rng = np.random.default_rng([draw, seed, fold])
    labels = np.repeat([place % classes for place in range(len(patients))], 2)
    wrong = rng.random(len(labels)) > right
    predicted = np.where(wrong, (labels + 1) % classes, labels)
    return Predicted(seed, fold, np.repeat(patients, 2).tolist(), labels, predicted)


def test_pooled_f1_is_scikit_learns_averaged_over_seeds():
    runs = [
        predicted_run(seed, fold, PATIENTS[fold::4], draw=seed, right=0.4 + seed / 5)
        for seed in (0, 1)
        for fold in range(4)
    ]
    expected = []
    for seed in (0, 1):
        labels, predicted = (
            np.concatenate([getattr(run, name) for run in runs if run.seed == seed])
            for name in ("labels", "predicted")
        )
        expected.append(f1_score(labels, predicted, average="macro"))
    assert pooled_f1(tally(runs, PLACES, 3)) == pytest.approx(np.mean(expected))


def test_a_weight_is_how_often_a_patient_is_there():
    run, rng = predicted_run(), np.random.default_rng(5)
    weights = rng.integers(0, 4, (1, len(PATIENTS)))
    times = weights[0, [PLACES[name] for name in run.patients]]
    expected = f1_score(run.labels.repeat(times), run.predicted.repeat(times), average="macro")
    assert pooled_f1(tally([run], PLACES, 3), weights) == pytest.approx(expected)


def test_every_sample_has_as_many_patients_as_there_are():
    weights = patient_weights(40, samples=50)
    assert weights.shape == (50, 40) and (weights.sum(axis=1) == 40).all() and weights.std() > 0


def test_views_of_a_patient_do_not_count_as_more_patients():
    run = predicted_run()
    often = Predicted(0, 0, run.patients * 4, *(np.tile(column, 4) for column in (run.labels, run.predicted)))
    weights = patient_weights(len(PATIENTS))
    assert pooled(tally([run], PLACES, 3), weights) == pooled(tally([often], PLACES, 3), weights)


def test_more_patients_give_a_narrower_interval_around_the_score():
    widths = []
    for count in (20, 500):
        names = [str(place) for place in range(count)]
        counts = tally([predicted_run(patients=names)], {name: int(name) for name in names}, 3)
        found = pooled(counts, patient_weights(count))
        low, high = found["interval"]
        assert low < found["pooled"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_a_difference_is_drawn_with_the_same_patients_on_both_sides():
    weights = patient_weights(len(PATIENTS))
    good, bad = (tally([predicted_run(right=share)], PLACES, 3) for share in (0.95, 0.4))
    same = pooled_difference(good, good, weights)
    assert same == {"pooled_difference": 0, "interval": [0, 0], "p_bootstrap": 1}
    found = pooled_difference(good, bad, weights)
    assert found["pooled_difference"] == pytest.approx(float(pooled_f1(good) - pooled_f1(bad)))
    assert found["interval"][0] > 0 and found["p_bootstrap"] == pytest.approx(2 / 2001)


def test_saved_predictions_become_class_indices(tmp_path):
    pd.DataFrame(ROWS).to_parquet(tmp_path / "predictions.parquet", index=False)
    found = curve_predictions.read_predictions(tmp_path, fold=2, seed=5)
    five, three, density = (found[score] for score in ("f1_five", "f1_three", "density_f1"))
    assert five.patients == three.patients == ["7", "7", "9"]  # BI-RADS 0, 1, 2, 4, 5 are 0 to 4
    assert (five.labels.tolist(), five.predicted.tolist()) == ([1, 4, 0], [2, 4, 3])
    assert (three.labels.tolist(), three.predicted.tolist()) == ([0, 2, 1], [0, 2, 2])
    assert density.patients == ["7", "7", "9", "9"] and density.labels.tolist() == [0, 1, 3, 2]
    assert (five.fold, five.seed) == (2, 5)


def test_a_table_that_is_no_predictions_is_refused(tmp_path):
    pd.DataFrame({"patient_id": ["7"], "birads": [1]}).to_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(ValueError, match="has no column 'predicted_birads'"):
        curve_predictions.read_predictions(tmp_path, 0, 0)


def test_a_patient_whom_the_others_do_not_have():
    with pytest.raises(ValueError, match="name the patient 'patient 39'"):
        tally([predicted_run()], {name: place for name, place in PLACES.items() if name != "patient 39"}, 3)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.04, None, 0.03]) == [pytest.approx(0.06), None, pytest.approx(0.06)]
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_makes_a_p_smaller_nor_changes_their_order(values):
    corrected = holm(values)
    assert all(value <= found <= 1 for value, found in zip(values, corrected, strict=True))
    assert max(corrected) <= 1 and min(corrected) == pytest.approx(min(1, min(values) * len(values)))
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_paired_t_by_hand():
    pairs = [(0.6, 0.5), (0.7, 0.5), (0.8, 0.5)]  # t = 0.2 / (0.1 / √3) with two degrees of freedom
    assert paired_t(pairs) == pytest.approx(2 * stats.t.sf(2 * 3**0.5, df=2))
    assert paired_t(pairs[:1]) is None and paired_t([(0.5, 0.25), (0.75, 0.5)]) is None


def runs_and_predictions():
    runs, predictions = [], {}
    for arm, right in (("captions", 0.9), ("none", 0.5)):
        for size in (50, 2050):
            for fold in range(4):
                run = predicted_run(0, fold, PATIENTS[fold::4], right=right, draw=size)
                score = f1_score(run.labels, run.predicted, average="macro")
                predictions.setdefault((arm, size), {}).setdefault("f1_three", []).append(run)
                runs.append(
                    {
                        "encoder": arm,
                        "size": size,
                        "fold": fold,
                        "seed": 0,
                        "n_train": size,
                        "f1_three": score,
                    }
                )
    return runs, predictions


def test_contrasts_hold_both_tests_corrected_for_their_number():
    runs, predictions = runs_and_predictions()
    wanted = [("captions", 50, "none", 50), ("captions", 50, "none", 2050)]
    rows = contrasts(runs, predictions, wanted)
    first = rows[0]["f1_three"]
    scores = {(run["encoder"], run["size"], run["fold"]): run["f1_three"] for run in runs}
    differences = [scores["captions", 50, fold] - scores["none", 50, fold] for fold in range(4)]
    assert first["mean_difference"] == pytest.approx(np.mean(differences)) and first["pairs"] == 4
    assert first["p_t"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    for test in ("p_t", "p_bootstrap"):
        values = [row["f1_three"][test] for row in rows]
        assert [row["f1_three"][f"{test}_holm"] for row in rows] == pytest.approx(holm(values))
    assert rows[0]["f1_five"] is None


def test_arms_that_were_tested_on_other_patients_are_not_compared():
    runs, predictions = runs_and_predictions()
    predictions["none", 50]["f1_three"][2] = predicted_run(0, 2, PATIENTS[1::4])
    with pytest.raises(
        ValueError, match="in fold 2 with seed 0, captions and none were tested on other images"
    ):
        contrasts(runs, predictions, [("captions", 50, "none", 50)])


def test_tables_say_what_the_numbers_are():
    runs, predictions = runs_and_predictions()
    rows = contrasts(runs, predictions, [("captions", 50, "none", 2050)])
    means = [
        {"encoder": arm, "size": size, "f1_five": None, "density_f1": None}
        | {"f1_three": {"mean": mean, "std": 0.0125, "runs": 4}}
        for arm, size, mean in (("captions", 50, 0.75), ("none", 2050, 0.5))
    ]
    (line,) = table2(rows, means, phantom=True)["rows"]
    assert line == ["none 2,050", "0.500 ± 0.013", "0.750 ± 0.013 *", "captions 50"]
    (line,) = contrast_table(rows, phantom=False)["rows"]
    assert line[:3] == ["captions − none", "50 against 2,050", "4"] and line[3].startswith("+0.")
    add_intervals(means, predictions)
    header, *lines = scores_csv(means, phantom=False).splitlines()
    assert header == "encoder,labelled_images,score,mean,std,runs,pooled,low,high,images"
    assert [line.split(",")[:6] for line in lines] == [
        ["captions", "50", "f1_three", "0.75", "0.0125", "4"],
        ["none", "2050", "f1_three", "0.5", "0.0125", "4"],
    ]
    header, line = contrasts_csv(rows, phantom=True).splitlines()
    cells = dict(zip(header.split(","), line.split(","), strict=True))
    assert (cells["first_size"], cells["other_size"], cells["pairs"]) == ("50", "2050", "4")
    assert cells["images"] == "synthetic phantoms" and all(line.endswith(",as given") for line in lines)
    assert float(cells["low"]) < float(cells["pooled_difference"]) < float(cells["high"])


def test_latex_has_no_sign_that_it_would_take_for_an_order():
    table = {"caption": "50 % of a_b & c", "columns": ["arm", "F1"], "rows": [["a_b", "0.5 ± 0.1"]]}
    lines = latex(table).splitlines()
    assert lines[1] == r"\caption{50 \% of a\_b \& c}" and lines[6] == r"a\_b & 0.5 $\pm$ 0.1 \\"
