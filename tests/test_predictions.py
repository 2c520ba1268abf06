"""Tables of predictions are read whole, or refused with a sentence that names the file and what is wrong."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import prediction_table

from dataset_builders.birads import FIVE_CLASSES
from evaluation.predictions import (
    COLUMNS,
    NO_LABEL,
    PROBABILITIES,
    fitted_temperatures,
    known_rows,
    labelled,
    read_predictions,
    scored_tasks,
)


@pytest.fixture
def file(tmp_path):
    """Writes a table → its path."""

    def write(table, name="predictions.parquet"):
        table.to_parquet(tmp_path / name)
        return tmp_path / name

    return write


def test_labels_become_class_indices_and_unknown_ones_are_left_out(file):
    table = prediction_table(patients=2)
    table["birads"] = pd.array([0, 1, 2, 3, 4, 5, 6, None], dtype="Int8")
    table["density"] = ["A", "B", "C", "D", None, "A", "A", "A"]
    found = read_predictions([file(table)])
    assert found["label_birads"].tolist() == [0, 1, 2, NO_LABEL, 3, 4, 4, NO_LABEL]
    assert found["label_density"].tolist() == [0, 1, 2, 3, NO_LABEL, 0, 0, 0]
    assert found["patient"].tolist() == ["embed/P0000"] * 4 + ["embed/P0001"] * 4
    data = labelled(known_rows(found, "birads"), "birads")
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 4] and data.probabilities.shape == (6, 5)
    assert data.patients == 2 and data.rows.tolist() == list(range(6))


def test_folds_come_out_in_one_order(file):
    first, second = prediction_table(3), prediction_table(3, seed=1, first=3)
    files = [file(table, f"{name}.parquet") for name, table in (("a", first), ("b", second))]
    one, other = read_predictions(files), read_predictions(files[::-1])
    pd.testing.assert_frame_equal(one.drop(columns="file"), other.drop(columns="file"))
    assert one["file"].tolist() == [0] * 12 + [1] * 12 and one["row"].tolist() == list(range(24))


def test_one_task_alone_is_scored_alone(file):
    table = prediction_table(patients=2)
    table[[*PROBABILITIES["density"], "predicted_density"]] = None
    assert scored_tasks(read_predictions([file(table)])) == ["birads"]
    table = prediction_table(patients=2).assign(birads=pd.array([None] * 8, dtype="Int8"))
    found = read_predictions([file(table)])
    assert scored_tasks(found) == ["density"]
    assert list(fitted_temperatures(found)) == ["density"]


def changed(**columns):
    return lambda: prediction_table(patients=2).assign(**columns)


def with_value(column, value):
    def make():
        table = prediction_table(patients=2)
        table[column] = [value, *table[column].tolist()[1:]]
        return table

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (with_value("birads", 7), "column 'birads': BI-RADS 7.* does not exist"),
        (with_value("density", "E"), "column 'density': breast density 'E' does not exist"),
        (with_value("density", ""), "column 'density': breast density '' does not exist"),
        (with_value("p_birads_0", np.float32(0.99)), "row 0: p_birads_0 to p_birads_5 are .*add up to 1"),
        (with_value("p_density_a", float("nan")), "row 0: p_density_a to p_density_d are nan"),
        (changed(p_birads_1="much"), "p_birads_0 to p_birads_5: .*much.*expected numbers"),
        (with_value("p_birads_1", np.float32(-0.2)), "row 0: p_birads_0 to p_birads_5 are"),
        (with_value("predicted_birads", 3), "row 0: predicted_birads is 3, but . is the most probable"),
        (with_value("predicted_density", "E"), "row 0: predicted_density is 'E'"),
        (with_value("patient_id", None), "a row without patient_id"),
        (changed(row=0), "holds row 0 of embed twice"),
        (lambda: prediction_table(patients=2).iloc[:0], "has no rows"),
        *(
            (lambda name=name: prediction_table(patients=1).drop(columns=name), f"has no column '{name}'")
            for name in COLUMNS
        ),
    ],
)
def test_what_cannot_be_is_a_sentence_that_names_the_file(make, said, file):
    path = file(make())
    with pytest.raises(ValueError, match=f"predictions.parquet.*{said}"):
        read_predictions([path])


def test_columns_that_were_mixed_up_are_noticed(file):
    table = prediction_table(patients=2)
    names = [f"p_birads_{birads}" for birads in FIVE_CLASSES]
    table = table.rename(columns=dict(zip(names, names[::-1], strict=True)))
    with pytest.raises(ValueError, match="is the most probable; expected the same"):
        read_predictions([file(table)])


def test_files_that_overlap_are_refused(file):
    files = [file(prediction_table(3), "a.parquet"), file(prediction_table(3, first=2, seed=1), "b.parquet")]
    with pytest.raises(
        ValueError, match="a.parquet and .*b.parquet both hold patient embed/P0002, so they overlap"
    ):
        read_predictions(files)
    with pytest.raises(ValueError, match="overlap"):
        read_predictions(files[:1] * 2)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.parquet does not exist; classify.py writes"):
        read_predictions([tmp_path / "nowhere.parquet"])
    for name, content in (("empty.parquet", b""), ("words.parquet", b"these are no predictions")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is no Parquet table"):
            read_predictions([tmp_path / name])
