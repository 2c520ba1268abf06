"""The phantom's rules: which findings a BI-RADS class has, where classes overlap, and what a patient is."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from dataset_builders.phantom.case import BIRADS, BIRADS_MIX, SEVERITY, draw_case
from dataset_builders.phantom.findings import (
    ASYMMETRY_TYPES,
    DISTRIBUTIONS,
    KINDS,
    MARGINS,
    MASS_DENSITIES,
    MORPHOLOGIES,
    SHAPES,
    draw_findings,
)

DRAWN = {
    birads: [draw_findings(np.random.default_rng([birads, n]), birads) for n in range(300)]
    for birads in BIRADS
}


@pytest.mark.parametrize("birads", [category for category in BIRADS if category != 1])
def test_a_class_has_its_findings_the_decisive_one_first(birads):
    for first, *more in DRAWN[birads]:
        assert first.birads == birads
        assert all(SEVERITY.index(one.birads) <= SEVERITY.index(birads) for one in more)
        for one in (first, *more):
            assert bool(one.pathology) == (one.birads in (4, 5, 6))  # nothing else is sampled
            assert bool(one.only_view) == (one.asymmetry_type == "asymmetry")


def test_class_1_has_none():
    assert not any(DRAWN[1])


def looks_of(birads):
    """The words of a class's decisive findings."""
    first = [findings[0] for findings in DRAWN[birads]]
    return Counter(
        word for one in first for word in (one.kind, one.margin, one.morphology, one.distribution) if word
    )


def test_neighbouring_classes_overlap_and_distant_ones_do_not():
    looks = {birads: looks_of(birads) for birads in (0, 2, 3, 4, 5)}
    assert 0 < looks[4]["spiculated"] < 0.2 * looks[5]["spiculated"]
    assert 0 < looks[5]["indistinct"] < looks[4]["indistinct"]
    assert looks[5]["fine pleomorphic"] > 0 and looks[4]["fine pleomorphic"] > 0
    assert looks[3]["round"] > 0 and looks[2]["round"] > 0
    assert 0 < looks[2]["circumscribed"] < looks[3]["circumscribed"]
    solid = {b: {f[0].density for f in DRAWN[b] if f[0].margin == "circumscribed"} for b in (2, 3)}
    assert {"equal", "low"} <= solid[2] and {"equal", "low"} == solid[3]  # fat is always benign
    for harmless in (2, 3):
        assert not {"spiculated", "fine linear", "distortion"} & set(looks[harmless])
    assert "circumscribed" not in looks[5] and set(looks[0]) <= {"mass", "obscured", "asymmetry"}


def test_every_word_of_the_lexicon_is_drawn():
    everything = [one for class_ in DRAWN.values() for findings in class_ for one in findings]
    for field, words in (
        ("kind", KINDS),
        ("shape", SHAPES),
        ("margin", MARGINS),
        ("density", MASS_DENSITIES),
        ("morphology", MORPHOLOGIES),
        ("distribution", DISTRIBUTIONS),
        ("asymmetry_type", ASYMMETRY_TYPES),
    ):
        assert {getattr(one, field) for one in everything} - {None} == set(words)
    assert {one.quadrant.split()[0] for one in everything} == {"upper", "lower", "central"}


def test_diffuse_is_wider_than_regional_and_regional_than_grouped():
    """No picture could tell the words apart if their sizes overlapped."""
    sizes = defaultdict(list)
    for findings in DRAWN[2] + DRAWN[3] + DRAWN[4]:
        for one in findings:
            sizes[one.distribution].append(one.size_mm)
    assert max(sizes["grouped"]) <= 26 <= min(sizes["regional"])
    assert max(sizes["regional"]) < 50 < min(sizes["diffuse"])


@pytest.mark.parametrize("birads", BIRADS)
def test_the_worse_breast_has_the_wanted_class_and_the_other_a_harmless_one(birads):
    for index in range(40):
        case = draw_case(1, index, birads=birads)
        classes = sorted((breast.birads for breast in case.breasts.values()), key=SEVERITY.index)
        assert case.birads == classes[1] == birads and classes[0] in (1, 2)


def test_classes_are_as_common_as_their_mix_and_density_falls_with_age():
    cases = [draw_case(4, index) for index in range(1200)]
    common = Counter(case.birads for case in cases)
    assert all(
        abs(common[b] / len(cases) - share) < 0.05 for b, share in zip(BIRADS, BIRADS_MIX, strict=True)
    )
    young, old = (
        np.mean(["ABCD".index(case.density) for case in cases if low <= case.age < high])
        for low, high in ((35, 50), (65, 90))
    )
    assert young > old + 0.4


@pytest.mark.parametrize(
    "arguments, said",
    [({"birads": 7}, "birads is 7"), ({"seed": -1}, "seed -1"), ({"index": -3}, "index -3")],
)
def test_patients_that_cannot_be_drawn(arguments, said):
    with pytest.raises(ValueError, match=said):
        draw_case(**{"seed": 1, "index": 1, **arguments})
