"""Composed captions say what the labels hold, read back as they were put in, and deny only what is negative."""

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders import report_phrases as phrases
from dataset_builders.caption_findings import WORDS, findings_of
from dataset_builders.findings import KINDS, Finding
from dataset_builders.phantom.grammar import parse
from dataset_builders.report_captions import BreastPlace, compose_caption, place_in_breast

RECORD = {"laterality": "L", "view": "MLO", "birads": 4, "density": "C", "exam_id": "7", "source": "vindr"}
OTHER_SIDE = {"L": "right", "R": "left"}
VIEW_WORDS = {"CC": r"\bCC\b|craniocaudal", "MLO": r"\bMLO\b|oblique"}
DENSITY_WORDS = {
    "A": "almost entirely fat",
    "B": "scattered",
    "C": "heterogeneously dense",
    "D": "extremely dense",
}
TISSUE_WORDS = {"F": "fatty ", "G": "fatty-glandular", "D": "dense-glandular"}
# What archives say: EMBED's, VinDr's, CBIS-DDSM's and mini-MIAS's words.
SHAPES = (None, "round", "oval", "irregular", "lobulated", "irregular and lobulated")
MARGINS = (
    None,
    "circumscribed",
    "obscured",
    "microlobulated",
    "indistinct",
    "spiculated",
    "obscured and spiculated",
)
DENSITIES = (None, "high", "equal", "low", "fat-containing")
MORPHOLOGIES = (
    None,
    "amorphous",
    "punctate and amorphous",
    "milk of calcium",
    "skin",
    "coarse heterogeneous",
    "fine linear",
)
DISTRIBUTIONS = (None, "grouped", "segmental", "regional", "diffuse", "linear")
PATHOLOGIES = (None, "benign", "malignant")
BOXES = (None, (10, 5, 20, 15), (10, 85, 20, 95), (10, 45, 20, 55))
UNASKED = (
    *("round", "oval", "lobulated", "circumscribed", "obscured", "indistinct", "spiculated", "high-density"),
    *("fat-containing", "amorphous", "punctate", "grouped", "segmental", "regional", "diffuse"),
)
CATEGORY_WORDS = {
    0: "incomplete|additional imaging evaluation",
    1: "negative",
    2: "benign",
    3: "probably benign|in all probability benign",
    4: "suspicious",
    5: "highly suggestive",
    6: "malignancy",
}


@st.composite
def findings(draw):
    one = {
        name: draw(st.sampled_from(values)) for name, values in (("pathology", PATHOLOGIES), ("box", BOXES))
    }
    kind = draw(st.sampled_from(KINDS))
    if kind == "mass":
        words = {"shape": SHAPES, "margin": MARGINS, "density": DENSITIES}
    elif kind == "calcifications":
        words = {"morphology": MORPHOLOGIES, "distribution": DISTRIBUTIONS}
    else:
        words = {}
    return Finding(kind, **{name: draw(st.sampled_from(values)) for name, values in words.items()}, **one)


@st.composite
def records(draw):
    record = {
        **RECORD,
        "laterality": draw(st.sampled_from("LR")),
        "view": draw(st.sampled_from(("CC", "MLO"))),
        "birads": draw(st.sampled_from((None, 0, 1, 2, 3, 4, 5, 6))),
        "density": draw(st.sampled_from((None, *"ABCD"))),
    }
    if record["birads"] is None and record["density"] is None:
        record |= {"mini_mias_tissue": draw(st.sampled_from("FGD")), "mini_mias_abnormality": "CIRC"}
    return record


def said_of(kind):
    """The name that the reader of captions has for a kind of finding, if it has one."""
    name = "asymmetry" if kind.endswith("asymmetry") else kind
    return name if name in WORDS else None


places = st.sampled_from((None, BreastPlace((0, 0, 60, 100), "left"), BreastPlace((0, 0, 60, 100), "right")))


@settings(max_examples=300, deadline=None)
@given(records(), st.lists(findings(), max_size=4), st.integers(0, 10**6), places)
def test_a_caption_says_what_the_labels_hold_and_nothing_else(record, marked, seed, breast):
    if record.get("mini_mias_tissue") and not marked:
        record["mini_mias_abnormality"] = "NORM"
    caption = compose_caption(record, marked, seed, breast)
    assert caption == compose_caption(record, marked, seed, breast)
    read = findings_of(caption)
    present = {said_of(finding.kind) for finding in marked} - {None}
    assert {name for name, said in read.items() if said} == present, caption
    negative = not marked and (record["birads"] == 1 or record.get("mini_mias_abnormality") == "NORM")
    assert negative or False not in read.values(), caption
    check_side_and_view(caption, record)
    check_density(caption, record)
    check_words(caption, marked)
    check_places(caption, record, marked, breast)
    check_language(caption)


def check_side_and_view(caption, record):
    assert phrases.SIDES[record["laterality"]] in caption.lower()
    assert OTHER_SIDE[record["laterality"]] not in caption.lower()
    named = [view for view, words in VIEW_WORDS.items() if re.search(words, caption)]
    assert named == [record["view"]], caption


def check_density(caption, record):
    named = [letter for letter, words in DENSITY_WORDS.items() if words in caption.lower()]
    assert named == [letter for letter in (record["density"],) if letter], caption
    if record["density"] is None:
        named = [tissue for tissue, words in TISSUE_WORDS.items() if words in caption.lower()]
        assert named == [record[name] for name in ("mini_mias_tissue",) if name in record], caption


def check_words(caption, marked):
    """Every word of every finding is there; words of masses that nobody put in are not."""
    for finding in marked:
        for name in ("shape", "margin", "morphology", "distribution"):
            word = getattr(finding, name)
            assert word is None or word in caption.lower().replace("milk-of-calcium", "milk of calcium"), (
                caption
            )
        assert not finding.density or re.search(finding.density.split("-")[0], caption.lower()), caption
    put_in = " ".join(str(finding) for finding in marked)
    for word in UNASKED:
        assert word.split("-density")[0] in put_in or not re.search(rf"\b{word}", caption.lower()), caption


def check_places(caption, record, marked, breast):
    parts = {place_in_breast(finding, breast, record["laterality"], record["view"]) for finding in marked}
    said = {part for part in ("upper", "lower", "lateral", "medial") if re.search(rf"\b{part}\b", caption)}
    assert said <= parts - {None}, caption
    assert len(marked) != 1 or said == parts - {None}, caption


def check_language(caption):
    assert not re.search(r"[\[\]{}|]|  | [.,;:]|\.\.|\bNone\b|\ba [aeio]|,,|:\.|;\.", caption), caption
    starts = re.findall(r"(?:^|[.] |[A-Z]{6,}: )([a-z])", caption)
    assert not starts, caption
    assert 4 <= len(caption.split()) <= 110, caption


@pytest.mark.parametrize("birads", CATEGORY_WORDS)
def test_the_category_and_what_follows_are_the_lexicons(birads):
    others = {
        0: "biopsy|routine|six",
        1: "biopsy|follow-up|additional",
        2: "biopsy|follow-up|additional",
        3: "biopsy|routine|additional",
        4: "routine|six|additional",
        5: "routine|six|additional",
        6: "routine|six|additional",
    }
    marked = [] if birads == 1 else [Finding("mass", shape="oval")]
    for seed in range(150):
        caption = compose_caption({**RECORD, "birads": birads}, marked, seed)
        assert re.search(CATEGORY_WORDS[birads], caption.lower()), caption
        assert set(re.findall(r"BI-RADS (?:category )?(\d)", caption)) <= {str(birads)}
        assert not re.search(others[birads], caption), caption


@pytest.mark.parametrize(
    "birads, outcomes, said",
    [
        (4, ["malignant"], "malignant"),
        (4, ["benign", "benign"], "benign"),
        (4, ["benign", "malignant"], None),
        (4, ["malignant", None], None),
        (2, ["malignant"], None),  # "benign" and "malignant" in one caption would contradict each other
        (5, ["benign"], None),
        (None, ["benign"], "benign"),
    ],
)
def test_the_outcome_is_said_where_it_is_one_and_fits(birads, outcomes, said):
    marked = [Finding("mass", pathology=outcome) for outcome in outcomes]
    for seed in range(40):
        caption = compose_caption({**RECORD, "birads": birads}, marked, seed)
        words = re.findall(
            r"(?:DIAGNOSIS: |Outcome: |outcome was |final diagnosis (?:is|was) |Final diagnosis: )(.*)$",
            caption,
        )
        assert bool(words) == (said is not None), caption
        assert said is None or said in words[0].lower()


def test_findings_assess_a_breast_that_the_archive_did_not_assess():
    marked = [Finding("mass", birads=3), Finding("calcifications", birads=4)]
    unknown = {**RECORD, "birads": None}
    numbers = {
        number
        for seed in range(40)
        for number in re.findall(r"BI-RADS (\d)", compose_caption(unknown, marked, seed))
    }
    assert numbers == {"4"}
    partly = [marked[0], Finding("mass")]
    assert not any("BI-RADS" in compose_caption(unknown, partly, seed) for seed in range(40))


def test_there_are_hundreds_of_phrasings():
    mass = Finding("mass", shape="oval", margin="circumscribed", density="equal")
    for record, marked in (
        (RECORD, [mass]),
        ({**RECORD, "birads": 1}, []),
        ({**RECORD, "birads": None}, [mass]),
    ):
        assert len({compose_caption(record, marked, seed) for seed in range(1000)}) > 800
    assert compose_caption(RECORD, [mass], 1) != compose_caption({**RECORD, "exam_id": "8"}, [mass], 1)


def test_findings_of_the_same_words_are_said_once():
    mass = Finding("mass", shape="oval", box=(1, 2, 3, 4))
    caption = compose_caption(
        RECORD, [mass, replace(mass, box=(5, 6, 7, 8)), Finding("mass", shape="round")], 3
    )
    assert "two " in caption.lower() and caption.count("oval") == 1 and caption.count("round") == 1


@pytest.mark.parametrize("laterality, wall", itertools.product("LR", ("left", "right")))
@pytest.mark.parametrize(
    "view, expected", [("MLO", ("upper", "lower", None)), ("CC", ("lateral", "medial", None))]
)
def test_a_place_is_said_where_the_image_is_hung_as_usual(laterality, wall, view, expected):
    breast = BreastPlace((0, 0, 60, 100), wall)
    found = tuple(place_in_breast(Finding("mass", box=box), breast, laterality, view) for box in BOXES[1:])
    usual = wall == {"L": "left", "R": "right"}[laterality]
    assert found == (expected if usual else (None, None, None))


def test_every_template_is_well_formed():
    def strings(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, (tuple, dict)):
            for part in value.values() if isinstance(value, dict) else value:
                yield from strings(part)

    for name, value in vars(phrases).items():
        if name.isupper():
            for template in strings(value):
                parse(template)


@pytest.mark.parametrize("change", [{"laterality": "B"}, {"view": "ML"}])
def test_a_record_that_is_none_is_said(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        compose_caption({**RECORD, **change}, [], 0)
