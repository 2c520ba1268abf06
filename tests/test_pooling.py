"""Breasts and exams by hand: what is averaged, what the worst decides, and what is left out."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import prediction_table

from dataset_builders.birads import FIVE_CLASSES
from evaluation.pooling import LEVELS, pooled
from evaluation.predictions import NO_LABEL, PROBABILITIES, read_predictions

BIRADS, DENSITY = (list(PROBABILITIES[task]) for task in ("birads", "density"))
ONE_EXAM = {  # laterality, view, BI-RADS, density, probabilities of BI-RADS 0, 1, 2, 4, 5 and of density A–D
    1: ("L", "CC", 1, "B", (0.1, 0.6, 0.1, 0.1, 0.1), (0.0, 1.0, 0.0, 0.0)),
    2: ("L", "MLO", 2, "C", (0.1, 0.2, 0.6, 0.1, 0.0), (0.0, 0.5, 0.5, 0.0)),
    3: ("R", "CC", 4, None, (0.2, 0.2, 0.2, 0.4, 0.0), (0.0, 0.0, 1.0, 0.0)),
    4: ("R", "MLO", None, "B", (0.0, 0.1, 0.0, 0.2, 0.7), (0.5, 0.5, 0.0, 0.0)),
}


@pytest.fixture
def exam(tmp_path):
    return lambda rows=ONE_EXAM, **changes: written(rows, tmp_path / "predictions.parquet", **changes)


def written(rows, path, **changes):
    table = pd.DataFrame(list(rows.values()), columns=["laterality", "view", "birads", "density", "b", "d"])
    table = table.assign(row=list(rows), patient_id="P", exam_id="E", source="embed", **changes)
    for name, columns, values in (("b", BIRADS, FIVE_CLASSES), ("d", DENSITY, tuple("ABCD"))):
        chances = np.array(table.pop(name).tolist(), dtype=np.float32)
        table[f"predicted_{columns[0].split('_')[1]}"] = [values[place] for place in chances.argmax(axis=1)]
        table[columns] = chances
    table["birads"] = table["birads"].astype("Int8")
    table.to_parquet(path)
    return read_predictions([path])


def test_a_breast_is_the_mean_of_its_views_and_an_exam_its_more_suspicious_breast(exam):
    breasts = pooled(exam(), "breast", "mean")
    assert breasts["laterality"].tolist() == ["L", "R"]
    left, right = breasts[BIRADS].to_numpy()
    assert left == pytest.approx([0.1, 0.4, 0.35, 0.1, 0.05])
    assert right == pytest.approx([0.1, 0.15, 0.1, 0.3, 0.35])
    whole = pooled(exam(), "exam", "mean")
    assert whole[BIRADS].to_numpy() == pytest.approx(right[None])
    assert whole[DENSITY].to_numpy() == pytest.approx(np.array([[0.125, 0.5, 0.375, 0.0]]))


def test_by_the_other_rule_the_most_suspicious_image_decides(exam):
    left, right = pooled(exam(), "breast", "max")[BIRADS].to_numpy()
    assert left == pytest.approx(ONE_EXAM[1][4])  # 0.3 of recall against 0.2
    assert right == pytest.approx(ONE_EXAM[4][4])  # 0.9 against 0.6
    assert pooled(exam(), "exam", "max")[BIRADS].to_numpy()[0] == pytest.approx(ONE_EXAM[4][4])
    assert pooled(exam(), "exam", "max")[DENSITY].to_numpy()[0] == pytest.approx([0.125, 0.5, 0.375, 0.0])


def test_the_worst_label_counts_and_an_unknown_one_does_not(exam):
    breasts = pooled(exam(), "breast")
    assert breasts["label_birads"].tolist() == [FIVE_CLASSES.index(2), FIVE_CLASSES.index(4)]
    assert breasts["label_density"].tolist() == [2, 1]  # the denser of B and C; B alone
    whole = pooled(exam(), "exam")
    assert (whole["label_birads"].item(), whole["label_density"].item()) == (FIVE_CLASSES.index(4), 2)


@pytest.mark.parametrize(
    ("assessments", "breast"),
    [
        ((1, 3), None),
        ((3, 0), 0),
        ((0, 4), 4),
        ((6, 4), 5),
        ((2, 0), 0),
        ((None, None), None),
        ((None, 1), 1),
    ],
)
def test_severity_orders_the_labels_and_a_breast_whose_worst_is_three_is_left_out(exam, assessments, breast):
    rows = {
        place: (*ONE_EXAM[place][:2], label, *ONE_EXAM[place][3:])
        for place, label in enumerate(assessments, 1)
    }
    found = pooled(exam(rows), "breast")["label_birads"].item()
    assert found == (NO_LABEL if breast is None else FIVE_CLASSES.index(breast))


def test_what_is_kept_is_what_all_images_agree_on(exam):
    table = exam(
        group_race="Black", group_view=["CC", "MLO", "CC", "MLO"], group_age=["40–49", None, None, None]
    )
    for level in ("breast", "exam"):
        units = pooled(table, level, keep=["group_race", "group_view", "group_age"])
        assert set(units["group_race"]) == {"Black"} and units["group_view"].isna().all()
    assert pooled(table, "breast", keep=["group_age"])["group_age"].isna().all()


@pytest.mark.parametrize("rule", ["mean", "max"])
def test_sizes_sums_and_independence_of_the_order_of_rows(rule, tmp_path):
    prediction_table(patients=12).to_parquet(tmp_path / "a.parquet")
    table = read_predictions([tmp_path / "a.parquet"])
    for level, size in (("image", 48), ("breast", 24), ("exam", 12)):
        units = pooled(table, level, rule)
        assert len(units) == size and set(LEVELS[level]) <= set(units)
        assert units[BIRADS].sum(axis=1).to_numpy() == pytest.approx(np.ones(size), abs=1e-5)
        assert units[DENSITY].sum(axis=1).to_numpy() == pytest.approx(np.ones(size), abs=1e-5)
        if level != "image":
            other = pooled(table.sample(frac=1, random_state=0), level, rule)[units.columns]
            pd.testing.assert_frame_equal(other, units)


def test_exams_of_two_patients_or_data_sets_with_one_number_stay_apart(tmp_path):
    for place, changes in enumerate(({}, {"patient_id": "Q"}, {"source": "rsna"})):
        table = prediction_table(patients=1).assign(**changes, exam_id="1", row=np.arange(4) + 4 * place)
        table.to_parquet(tmp_path / f"{place}.parquet")
    table = read_predictions([tmp_path / f"{place}.parquet" for place in range(3)])
    assert len(pooled(table, "exam")) == 3 and len(pooled(table, "breast")) == 6
