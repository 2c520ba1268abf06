"""Groups are found by the data set's own columns, small ones are not scored, and a planted gap comes out."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import prediction_table

from evaluation.predictions import known_rows, labelled, read_predictions
from evaluation.subgroups import subgroup_scores, with_attributes
from evaluation.task_scores import birads_scores, recall_at, recall_threshold


def scored(tables, tmp_path, task="birads", min_patients=20):
    files = [tmp_path / f"{place}.parquet" for place in range(len(tables))]
    for table, file in zip(tables, files, strict=True):
        table.to_parquet(file)
    known = known_rows(with_attributes(read_predictions(files)), task)
    data = labelled(known, task, 300)
    return subgroup_scores(known, data, task, min_patients), data, known


def names(found):
    return [group["group"] for group in found["groups"]]


def test_attributes_are_read_from_the_sets_own_columns(tmp_path):
    embed = prediction_table(6).assign(embed_age=np.repeat([39.9, 40, 59.5, 70, 101, np.nan], 4))
    rsna = prediction_table(2, first=6, source="rsna").drop(columns=["embed_age", "embed_race"])
    rsna = rsna.assign(rsna_machine=np.repeat(["49", "170"], 4), rsna_age=[50.0] * 8)
    for place, table in enumerate((embed, rsna)):
        table.to_parquet(tmp_path / f"{place}.parquet")
    table = with_attributes(read_predictions([tmp_path / f"{place}.parquet" for place in (0, 1)]))
    by_patient = table.groupby("patient")[["group_age", "group_vendor", "group_source", "group_race"]].first()
    ages = ["below 40", "40–49", "50–59", "70 and over", "70 and over", None, "50–59", "50–59"]
    assert by_patient["group_age"].where(by_patient["group_age"].notna(), None).tolist() == ages
    assert by_patient["group_vendor"].isna().tolist() == [True] * 6 + [False] * 2
    assert by_patient["group_vendor"].tolist()[6:] == ["49", "170"]
    assert by_patient["group_source"].tolist() == ["embed"] * 6 + ["rsna"] * 2
    assert by_patient["group_race"].isna().tolist()[6:] == [True, True]


def test_groups_part_the_rows_and_the_unknown_are_counted(tmp_path):
    found, data, known = scored([prediction_table(60)], tmp_path, min_patients=5)
    assert set(found) == {"density", "view", "age", "race"}
    for attribute in found.values():
        assert sum(group["n"] for group in attribute["groups"]) + attribute["unknown"] == len(data.labels)
    assert found["race"]["unknown"] == known["embed_race"].isna().sum() > 0
    assert names(found["age"]) == ["below 40", "40–49", "50–59", "60–69", "70 and over"]
    assert [group["n_patients"] for group in found["view"]["groups"]] == [60, 60]


def test_small_groups_are_counted_and_not_scored(tmp_path):
    table = prediction_table(40).assign(embed_race=["Black"] * 4 * 12 + ["White"] * 4 * 28)
    race = scored([table], tmp_path, min_patients=13)[0]["race"]
    small, large = race["groups"]
    assert small == {"group": "Black", "n": 48, "n_patients": 12, "too_small": True}
    assert "scores" in large and set(race["gaps"].values()) == {None}
    assert all("scores" in group for group in scored([table], tmp_path, min_patients=12)[0]["race"]["groups"])


def test_a_planted_gap_is_found_and_equal_groups_have_none(tmp_path):
    good, bad = prediction_table(60, strength=4.0), prediction_table(60, seed=1, first=60, strength=0.5)
    table = pd.concat([good.assign(embed_race="a"), bad.assign(embed_race="b")])
    found, data, _ = scored([table], tmp_path)
    for key in ("f1_five", "f1_three", "recall_auroc", "recall_sensitivity"):
        gap = found["race"]["gaps"][key]
        assert (gap["highest"], gap["lowest"]) == ("a", "b") and gap["interval"][0] > 0.1, key
        of_groups = [group["scores"][key]["value"] for group in found["race"]["groups"]]
        assert gap["value"] == pytest.approx(of_groups[0] - of_groups[1])
        better, worse = (group["difference"][key] for group in found["race"]["groups"])
        assert better["interval"][0] > 0 > worse["interval"][1]
        assert found["view"]["gaps"][key]["interval"][0] < 0.05
    overall = birads_scores(data).scores["f1_five"].value
    group = found["race"]["groups"][0]
    assert group["difference"]["f1_five"]["value"] == pytest.approx(
        group["scores"]["f1_five"]["value"] - overall
    )


def test_one_threshold_serves_all_groups(tmp_path):
    found, data, known = scored([prediction_table(60)], tmp_path)
    threshold = recall_threshold(data)
    for group in found["view"]["groups"]:
        part = data.where((known["view"] == group["group"]).to_numpy())
        for name, estimate in recall_at(part, threshold).items():
            assert group["scores"][name] == estimate.as_dict()


def test_a_group_that_lacks_a_class_has_no_macro_f1(tmp_path):
    table = prediction_table(60)
    harmless = table["birads"].isin([0, 1, 2, 4]).to_numpy()
    found, _, _ = scored([table.assign(embed_race=np.where(harmless, "a", None))], tmp_path)
    assert "race" not in found  # one group is none
    table = table.assign(embed_race=np.where(harmless, "a", "b"))
    first, second = scored([table], tmp_path)[0]["race"]["groups"]
    assert first["scores"]["f1_five"]["value"] is None and first["scores"]["f1_three"]["value"] is not None
    assert second["scores"]["f1_three"]["value"] is None and second["scores"]["recall_auroc"]["value"] is None


def test_density_is_scored_by_everything_but_itself(tmp_path):
    found, _, _ = scored([prediction_table(60)], tmp_path, task="density")
    assert set(found) == {"view", "age", "race"}
    assert set(found["view"]["gaps"]) == {"density_f1", "kappa"}


def test_labels_of_one_kind_have_no_threshold(tmp_path):
    table = prediction_table(60)
    found, _, _ = scored([table[table["birads"].isin([1, 2])]], tmp_path)
    assert set(found["view"]["gaps"]) == {"f1_five", "f1_three", "recall_auroc"}
