"""What captions assert and deny: sentence by sentence by hand, and against the truth of phantom cases."""

from collections import Counter

import pytest

from dataset_builders.caption_findings import WORDS, findings_of
from dataset_builders.phantom.captions import write_caption
from dataset_builders.phantom.case import draw_case

MASS, CALCIFICATIONS, DISTORTION, ASYMMETRY = list(WORDS)[:4]


def said(caption):
    return {name: asserted for name, asserted in findings_of(caption).items() if asserted is not None}


@pytest.mark.parametrize(
    "caption, expected",
    [
        ("A spiculated mass is seen.", {MASS: True}),
        ("No mass.", {MASS: False}),
        ("A 1.6-cm nodule without microcalcifications.", {MASS: True, CALCIFICATIONS: False}),
        (
            "There is no dominant mass, architectural distortion or suspicious calcification.",
            {MASS: False, CALCIFICATIONS: False, DISTORTION: False},
        ),
        ("No mass, but grouped calcifications.", {MASS: False, CALCIFICATIONS: True}),
        ("There is no mass, and calcifications are seen.", {MASS: False, CALCIFICATIONS: True}),
        ("No mass is seen; there are calcifications.", {MASS: False, CALCIFICATIONS: True}),
        ("A mass is present but calcifications are not seen.", {MASS: True, CALCIFICATIONS: False}),
        ("Calcifications, once numerous, are absent.", {CALCIFICATIONS: True}),  # a comma stops the rule
        ("Calcifications are absent.", {CALCIFICATIONS: False}),
        ("The mass in the left breast is no longer visible.", {MASS: False}),
        ("Heterogeneously dense tissue, which may obscure small masses.", {}),
        ("Spot compression to exclude a mass.", {}),
        ("Architectural distortion without a central mass.", {MASS: False, DISTORTION: True}),
        ("No mass on the left. A round mass on the right.", {MASS: True}),
        ("A focal asymmetry without a definite mass.", {MASS: False, ASYMMETRY: True}),
        ("Skin thickening; no nipple retraction.", {"skin thickening": True, "nipple retraction": False}),
        ("The axilla is free of enlarged nodes.", {"axillary adenopathy": False}),
        ("HISTORY: A palpable mass. MAMMOGRAPHY: Calcifications.", {CALCIFICATIONS: True}),
        ("IMPRESSION: Benign mass. HISTOPATHOLOGY: No calcifications.", {MASS: True}),
        ("A massive effusion; the nodes are normal.", {}),
        ("", {}),
    ],
)
def test_by_hand(caption, expected):
    assert said(caption) == expected


def test_captions_of_phantoms_say_what_the_cases_have():
    kinds = {MASS: "mass", CALCIFICATIONS: "calcifications", DISTORTION: "distortion", ASYMMETRY: "asymmetry"}
    counts = Counter()
    for index in range(150):
        case = draw_case(5, index)
        for side, breast in case.breasts.items():
            truth = {finding.kind for finding in breast.findings if finding.visible_in("CC")}
            for name, asserted in said(write_caption(case, side, ["CC"], seed=3)).items():
                assert asserted == (kinds.get(name) in truth)
                counts[name, asserted] += 1
    assert min(counts[name, True] for name in kinds) >= 5
    assert min(counts[name, False] for name in (MASS, CALCIFICATIONS, DISTORTION)) >= 50
