"""Phantom captions say what the case is, in words of the lexicon, in many ways, and never what it is not."""

import random
import re
from collections import Counter

import pytest

from dataset_builders.phantom import phrases
from dataset_builders.phantom.captions import BILATERAL, LONGEST, SHORTEST, clock_hour, write_caption
from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.grammar import capitalised, choose, count, expand, parse, with_article

SIDES = {"L": "left", "R": "right"}
CASES = [draw_case(5, index) for index in range(150)]
VIEW_NAMED = {"CC": r"\bCC\b|[Cc]raniocaudal", "MLO": r"\bMLO\b|[Oo]blique"}
PANELS = (("CC",), ("MLO",), ("CC", "MLO"), ("MLO", "CC"))


def captions():
    """(case, laterality, views, caption) of both breasts of every case."""
    for case in CASES:
        for laterality in SIDES:
            views = PANELS[case.index % len(PANELS)]
            yield case, laterality, views, write_caption(case, laterality, views, seed=3)


def section(caption, name):
    return re.search(rf"{name}: (.*?)(?= (?:MAMMOGRAPHY|IMPRESSION|HISTOPATHOLOGY): |$)", caption).group(1)


# ---- what a caption says


def test_sections_length_and_no_grammar_left():
    for *_, caption in captions():
        names = re.findall(r"\b([A-Z]{6,}):", caption)
        assert names[:3] == ["HISTORY", "MAMMOGRAPHY", "IMPRESSION"] and names[3:] in ([], ["HISTOPATHOLOGY"])
        assert SHORTEST <= len(caption.split()) <= LONGEST
        assert not re.search(r"[\[\]{}|]|  | [.,;]|\.\.|\bNone\b|\ba [aeio]", caption), caption
        starts = re.findall(r"(?:^|[.] )(\S)", " ".join(section(caption, name) for name in names))
        assert not any(start.islower() for start in starts), caption


def test_side_views_age_and_density():
    for case, laterality, views, caption in captions():
        mammography, other = section(caption, "MAMMOGRAPHY"), {"L": "right", "R": "left"}[laterality]
        assert SIDES[laterality] in mammography.lower() and other not in mammography.lower()
        assert f"{case.age}-year-old" in section(caption, "HISTORY")
        named = [density for density, marker in phrases.DENSITY_MARKER.items() if marker in caption]
        assert named == [case.density], caption
        places = [re.search(VIEW_NAMED[view], mammography) for view in views]
        assert all(places), caption
        assert [place.start() for place in places] == sorted(place.start() for place in places), caption
        absent = [name for view, name in VIEW_NAMED.items() if view not in views]
        assert not any(re.search(name, mammography) for name in absent), caption


def test_findings_come_with_their_words_and_place():
    told = Counter()
    for case, laterality, views, caption in captions():
        mammography = section(caption, "MAMMOGRAPHY")
        visible = [f for f in case.breasts[laterality].findings if any(map(f.visible_in, views))]
        for finding in visible[:1]:
            told[finding.kind] += 1
            words = {
                "mass": (finding.shape, finding.margin),
                "calcifications": (finding.morphology, finding.distribution),
                "distortion": ("architectural distortion",),
                "asymmetry": (finding.asymmetry_type,),
            }[finding.kind]
            assert all(word in mammography.lower() for word in words), (words, caption)
            assert finding.quadrant in mammography.lower(), caption
        if not visible:
            told["nothing"] += 1
            assert re.search(r"\b(no|undisturbed|regular|preserved|orderly)\b", mammography.lower()), caption
    assert set(told) == {"mass", "calcifications", "distortion", "asymmetry", "nothing"}


def test_impressions_fit_the_assessment():
    for case, laterality, views, caption in captions():
        breast, impression = case.breasts[laterality], section(caption, "IMPRESSION")
        category = re.search(r"BI-RADS (?:category )?(\d)", impression)
        assert category is None or int(category.group(1)) == breast.birads
        biopsied = breast.birads in (4, 5, 6)
        assert ("HISTOPATHOLOGY" in caption) <= biopsied
        if "HISTOPATHOLOGY" in caption:
            shown = [f for f in breast.findings if any(map(f.visible_in, views))]
            assert any(f.pathology in section(caption, "HISTOPATHOLOGY").lower() for f in shown), caption
        if breast.birads in (1, 2):
            assert not re.search(
                r"suspicious|malignant|carcinoma,|biopsy (?:is|indicated)", impression.lower()
            )


def test_bilateral_figures_name_both_sides_and_four_panels():
    case = next(case for case in CASES if not case.breasts["L"].findings)
    mammography = section(write_caption(case, BILATERAL, ("CC", "CC", "MLO", "MLO"), seed=3), "MAMMOGRAPHY")
    assert [letter for letter in "ABCD" if f"({letter})" in mammography] == list("ABCD")
    assert "right" in mammography.lower() and "left" in mammography.lower()


# ---- how it says it


def test_the_same_arguments_give_the_same_caption_and_others_another():
    case = CASES[0]
    assert write_caption(case, "L", ("CC",), seed=1) == write_caption(case, "L", ("CC",), seed=1)
    assert len({write_caption(case, "L", ("CC",), seed) for seed in range(40)}) >= 39
    everything = [caption for *_, caption in captions()]
    assert len(set(everything)) == len(everything)
    openings = Counter(" ".join(caption.split()[:6]) for caption in everything)
    assert openings.most_common(1)[0][1] < 0.1 * len(everything)


@pytest.mark.parametrize(
    "laterality, views, said",
    [
        ("X", ["CC"], "laterality is 'X'"),
        ("L", [], "views are []"),
        ("L", ["ML"], "views are ['ML']"),
        (BILATERAL, ["CC", "MLO"], "a bilateral figure has the views CC, CC, MLO, MLO"),
    ],
)
def test_panels_that_no_figure_has(laterality, views, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        write_caption(CASES[0], laterality, views, seed=0)


@pytest.mark.parametrize(
    "outer, upper, side, hour",
    [(0, 1, "left", 12), (1, 0, "left", 3), (1, 0, "right", 9), (0, -1, "right", 6), (0.7, 0.7, "left", 2)],
)
def test_clock_hours_are_read_facing_the_patient(outer, upper, side, hour):
    assert clock_hour(outer, upper, side) == hour


# ---- the grammar


def test_every_alternative_is_drawn_and_counted():
    template, rng = "[a|b[c|d|]] x[, y|]", random.Random(0)
    drawn = {expand(template, rng) for _ in range(400)}
    assert len(drawn) == count(template) == 8
    assert "bd x, y" in drawn and "a x" in drawn


def test_values_are_never_grammar_and_blanks_are_tidied():
    assert expand("{x} [|]; y", random.Random(0), x="[a|b]") == "[a|b]; y"
    assert choose(("{a} .",), random.Random(0), a="one") == "one."


@pytest.mark.parametrize("template", ["[a|b", "a]"])
def test_unbalanced_brackets_are_refused(template):
    with pytest.raises(ValueError, match="bracket"):
        parse(template)


@pytest.mark.parametrize(
    "noun, whole",
    [("oval mass", "an oval mass"), ("8-mm cyst", "an 8-mm cyst"), ("11-mm cyst", "an 11-mm cyst")]
    + [
        ("80-year-old", "an 80-year-old"),
        ("18", "an 18"),
        ("1.8-cm", "a 1.8-cm"),
        ("unilateral", "a unilateral"),
    ],
)
def test_articles(noun, whole):
    assert with_article(noun) == whole
    assert capitalised(whole)[0] == "A"


def test_every_template_of_the_book_is_balanced():
    """A bracket that is left open would only show when its template is drawn."""
    templates = [value for name, value in vars(phrases).items() if name.isupper() and name != "VIEW_NAMES"]
    strings = [text for value in templates for text in _strings(value)]
    assert len(strings) > 60
    assert all(count(text) >= 1 for text in strings)


def _strings(value):
    if isinstance(value, str):
        return [value]
    return [
        text for item in (value.values() if isinstance(value, dict) else value) for text in _strings(item)
    ]
