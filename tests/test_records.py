"""Labels and the record schema: one place for classes, groups and columns."""

import pytest

from dataset_builders import birads
from dataset_builders.records import PAIR_FEATURES, RECORD_FEATURES, check_columns, check_record

GOOD = {
    "image": b"",
    "patient_id": "1",
    "exam_id": "2",
    "laterality": "L",
    "view": "CC",
    "birads": 0,
    "density": None,
    "source": "embed",
}


def test_the_five_classes_are_the_papers():
    assert [birads.five_class_index(value) for value in (0, 1, 2, 3, 4, 5, 6, None)] == [
        0,
        1,
        2,
        None,
        3,
        4,
        4,
        None,
    ]


def test_the_three_groups_are_the_papers():
    groups = {value: birads.three_group_index(birads.five_class_index(value)) for value in (0, 1, 2, 4, 5, 6)}
    assert groups == {1: 0, 2: 0, 0: 1, 4: 2, 5: 2, 6: 2}


@pytest.mark.parametrize("value", [7, -1, "2"])
def test_what_is_no_assessment_is_refused(value):
    with pytest.raises(ValueError, match="does not exist"):
        birads.five_class_index(value)


def test_the_worst_assessment_follows_screening_and_diagnostic_order():
    assert birads.worst([2, 1]) == 2
    assert birads.worst([2, 0, 1]) == 0  # screening: A > B > N
    assert birads.worst([3, 4, 2]) == 4  # diagnostic: M > S > P > B > N
    assert birads.worst([6, 5]) == 6


def test_density_letters():
    assert [birads.density_index(letter) for letter in "ABCD"] == [0, 1, 2, 3]
    assert birads.density_index(None) is None
    with pytest.raises(ValueError, match="expected A, B, C or D"):
        birads.density_index("E")


def test_a_good_record_passes_and_may_have_its_sets_own_columns():
    check_record({**GOOD, "embed_race": "unknown"})


@pytest.mark.parametrize(
    "change, said",
    [
        ({"laterality": "left"}, "'laterality' holds 'left'; expected one of L, R"),
        ({"birads": 7}, "'birads' holds 7"),
        ({"density": "e"}, "'density' holds 'e'; expected one of A, B, C, D, none"),
        ({"patient_id": ""}, "'patient_id' of a record is empty"),
        ({"race": "x"}, "name it embed_race"),
        ({"teknofest_x": 1}, "not in the schema"),
    ],
)
def test_a_bad_record_is_refused_by_column(change, said):
    with pytest.raises(ValueError, match=said):
        check_record({**GOOD, **change})


@pytest.mark.parametrize("name", RECORD_FEATURES)
def test_no_column_may_be_missing(name):
    record = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(ValueError, match=name):
        check_record(record)


def test_pairs_have_what_a_split_and_a_loss_need():
    assert {"image", "caption", "caption_id", "case_id", "figure", "page", "source"} <= set(PAIR_FEATURES)
    with pytest.raises(ValueError, match="has no column 'caption_id'; found image, caption"):
        check_columns(["image", "caption"], {"image": 1, "caption": 1, "caption_id": 1}, "pairs/")
