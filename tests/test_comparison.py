"""Encoders compared over runs: every number here was computed by hand."""

import pytest

from evaluation import comparison


def run(encoder, seed, f1_three, size=50, fold=0, **changes):
    scores = {"f1_five": f1_three / 2, "f1_three": f1_three, "density_f1": 0.25}
    return {
        "encoder": encoder,
        "size": size,
        "fold": fold,
        "seed": seed,
        "n_train": size,
        **scores,
        **changes,
    }


# Differences of the pairs at f1_three: 0.2, 0.2, −0.1, and a tie; the run with seed 3 has no partner.
RUNS = [
    run("pretrained", 0, 0.5),
    run("none", 0, 0.3),
    run("pretrained", 1, 0.75),
    run("none", 1, 0.55),
    run("pretrained", 0, 0.5, size=100),
    run("none", 0, 0.6, size=100),
    run("pretrained", 0, 0.25, fold=1),
    run("none", 0, 0.25, fold=1),
    run("pretrained", 3, 0.9, size=100),
]


def test_mean_and_sample_standard_deviation():
    found = comparison.mean_and_std([0.2, 0.4, 0.9])
    assert found == {"mean": pytest.approx(0.5), "std": pytest.approx(0.13**0.5), "runs": 3}
    assert comparison.mean_and_std([0.2]) == {"mean": 0.2, "std": None, "runs": 1}
    assert comparison.mean_and_std([]) is None


def test_summaries_are_by_encoder_and_size():
    rows = comparison.summaries(RUNS)
    assert [(row["encoder"], row["size"], row["f1_three"]["runs"]) for row in rows] == [
        ("pretrained", 50, 3),
        ("pretrained", 100, 2),
        ("none", 50, 3),
        ("none", 100, 1),
    ]
    first = rows[0]  # 0.5, 0.75, 0.25 and their halves
    assert first["f1_three"] == {"mean": pytest.approx(0.5), "std": pytest.approx(0.25), "runs": 3}
    assert first["f1_five"] == {"mean": pytest.approx(0.25), "std": pytest.approx(0.125), "runs": 3}
    assert first["density_f1"] == {"mean": 0.25, "std": 0.0, "runs": 3}


def test_differences_are_between_pairs_alone():
    found = comparison.paired_difference(RUNS, "pretrained", "none", "f1_three")
    assert found == {"mean_difference": pytest.approx(0.3 / 4), "pairs": 4, "won": 2, "tied": 1}
    back = comparison.paired_difference(RUNS, "none", "pretrained", "f1_three")
    assert back == {"mean_difference": pytest.approx(-0.3 / 4), "pairs": 4, "won": 1, "tied": 1}


def test_the_first_encoder_is_compared_with_each_other_one():
    runs = [run("a", 0, 0.5), run("b", 0, 0.25), run("c", 0, 0.75)]
    found = comparison.comparisons(runs)
    assert [(row["first"], row["other"], row["f1_three"]["mean_difference"]) for row in found] == [
        ("a", "b", 0.25),
        ("a", "c", -0.25),
    ]
    assert comparison.comparisons(runs[:1]) == []


def test_a_score_that_a_run_lacks_is_left_out():
    runs = [run("a", 0, 0.5, density_f1=None), run("b", 0, 0.25), run("a", 1, 0.5), run("b", 1, 0.5)]
    assert comparison.summaries(runs)[0]["density_f1"] == {"mean": 0.25, "std": None, "runs": 1}
    assert comparison.comparisons(runs)[0]["density_f1"]["pairs"] == 1
    del runs[2:], runs[0]["density_f1"]
    assert comparison.summaries(runs)[0]["density_f1"] is None
    assert comparison.comparisons(runs)[0]["density_f1"] is None


def test_a_curve_has_the_scores_of_every_encoder_at_the_images_that_it_learned_from():
    runs = [
        run("a", 0, 0.5),
        run("a", 1, 0.25),
        run("a", 0, 0.75, size=None, n_train=300),
        run("a", 1, 0.5, size=None, n_train=311),
        run("b", 0, 0.125, size=None, n_train=300),
    ]
    arms = comparison.curve(runs, "f1_three", [50, None])  # 303.67 images in the mean
    assert arms == {"a": {50: [0.5, 0.25], 304: [0.75, 0.5]}, "b": {304: [0.125]}}
    assert comparison.curve(runs, "f1_three", [50]) == {"a": {50: [0.5, 0.25]}}


def test_the_tables_in_markdown():
    runs = [run("a|b", 0, 0.5), run("a|b", 1, 0.75), run("none", 0, 0.3, density_f1=None)]
    means = comparison.markdown(comparison.summary_table(comparison.summaries(runs), phantom=True))
    assert means.splitlines() == [
        "**Phantom data (synthetic): macro F1 on test patients, mean ± sample standard deviation**",
        "",
        "| encoder | labelled images | runs | five classes | three groups | density |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| a\\|b | 50 | 2 | 0.312 ± 0.088 | 0.625 ± 0.177 | 0.250 ± 0.000 |",
        "| none | 50 | 1 | 0.150 | 0.300 | – |",
    ]
    table = comparison.comparison_table(comparison.comparisons(runs), phantom=False)
    assert comparison.markdown(table).splitlines() == [
        "**Mean difference between runs of the same size, fold and seed (pairs won of all pairs)**",
        "",
        "| difference | five classes | three groups | density |",
        "| --- | ---: | ---: | ---: |",
        "| a\\|b − none | +0.100 (1 of 1) | +0.200 (1 of 1) | – |",
    ]


def test_the_verdict_is_one_sentence():
    (found,) = comparison.comparisons(RUNS)
    assert comparison.verdict(found, [50, 100, None], phantom=True) == (
        "Phantom data (synthetic): with 50, 100 and all labelled images, encoder pretrained beats encoder none in "
        "macro F1 of three groups: mean difference +0.075 over 4 pairs of runs, of which it won 2, 1 tied."
    )


@pytest.mark.parametrize(
    "ours, theirs, said",
    [
        (
            0.25,
            0.5,
            "encoder a does not beat encoder b in macro F1 of three groups: mean difference -0.250 over 1 pair",
        ),
        (0.5, 0.5, "encoder a equals encoder b"),
        (0.5, None, "Encoders a and b have no pair of runs with a score."),
    ],
)
def test_other_verdicts(ours, theirs, said):
    runs = [run("a", 0, ours), {**run("b", 0, 0.5), "f1_three": theirs}]
    assert said in comparison.verdict(comparison.comparisons(runs)[0], [50], phantom=False)


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="no runs to compare"):
        comparison.summaries([])
    with pytest.raises(ValueError, match="encoder, size, fold and seed a, 50, 0, 1; expected one"):
        comparison.summaries([run("a", 1, 0.5), run("a", 1, 0.25)])
