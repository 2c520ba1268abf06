"""Captions of mirrored images: every side is swapped, nothing else is, and what is unclear is left alone."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.phantom.captions import clock_hour, write_caption
from dataset_builders.phantom.case import draw_case
from training.caption_sides import Flips, flipped, mirrored, upside_down

LEFT_TO_RIGHT = {
    "Left CC and left MLO views.": "Right CC and right MLO views.",
    "LEFT BREAST AT 2 O'CLOCK": "RIGHT BREAST AT 10 O'CLOCK",
    "A right-sided mass, leftward of the scar.": "A left-sided mass, rightward of the scar.",
    "Bilateral mammograms, the contralateral side is normal.": None,  # the same
    "the left upper outer quadrant, lateral to the nipple": "the right upper outer quadrant, lateral to the nipple",
    "RCC, LMLO, R CC, L-MLO, RLM, LXCCL": "LCC, RMLO, L CC, R-MLO, LLM, RXCCL",
    "lcc and Rmlo": "rcc and Lmlo",
    "left CC image, right breast images": "right CC image, left breast images",
    "CC-R, MLO L, MLO (R)": "CC-L, MLO R, MLO (L)",
    "R breast; Lt. breast; L-sided": "L breast; Rt. breast; R-sided",
    "RUOQ, LLIQ and UOQ; LUQ": "LUOQ, RLIQ and UOQ; RUQ",
    "Right (A) and left (B) craniocaudal views": "Left (A) and right (B) craniocaudal views",
    "Shown are left and right MLO views": "Shown are right and left MLO views",
    "She has left breast pain on the left.": "She has right breast pain on the right.",
    "a mass on the left at screening": "a mass on the right at screening",
    "to the right of the nipple": "to the left of the nipple",
}
CLOCKS_LEFT_TO_RIGHT = {
    "2 o'clock": "10 o'clock",
    "at the 12 o’clock position": None,
    "6-o'clock": None,
    "12:30 o'clock": "11:30 o'clock",
    "at 3:00": "at 9:00",
    "the 1:30 position": "the 10:30 position",
    "Two o'clock": "Ten o'clock",
    "10-11 o'clock": "1-2 o'clock",
    "10- to 11-o'clock": "1- to 2-o'clock",
    "between 2 and 3 o'clock": "between 9 and 10 o'clock",
    "masses at 2 and 5 o'clock, respectively": "masses at 10 and 7 o'clock, respectively",
}
UPSIDE_DOWN = {
    "Left MLO view: a mass in the upper outer quadrant": "Left MLO view: a mass in the lower outer quadrant",
    "UPPER inner, lower-outer": "LOWER inner, upper-outer",
    "superior and inferiorly, superolateral": "inferior and superiorly, inferolateral",
    "UOQ, LOQ, UIQ, LIQ, RUOQ, LLIQ": "LOQ, UOQ, LIQ, UIQ, RLOQ, LUIQ",
    "at 2 o'clock and at 10 o'clock": "at 4 o'clock and at 8 o'clock",
    "12 o'clock, medial": "6 o'clock, medial",
    "1-2 o'clock": "4-5 o'clock",
    "lower density, which lowers the sensitivity": None,
}
NO_SIDES = (
    "The clip was left in place; what is left of the mass is bright.",
    "The wire was left in the breast. She left the clinic.",
    "left over tissue, leftovers, a cleft",
    "at right angles, all right, right after surgery, upright, the right diagnosis",
)
UNCLEAR = (
    *(
        "CC view (left image) and MLO view (right image)",
        "(left) CC, (right) MLO",
        "a, left: before; b, right",
    ),
    *(
        "Left, CC view; right, MLO view",
        "Left: CC",
        "the mammogram on the left",
        "views are shown on the right",
    ),
    *(
        "top left",
        "upper left: CC",
        "the rightmost panel",
        "the left-hand side",
        "from left to right",
        "far right",
    ),
    *("left upper image", "the left one", "left film", "shown at left", "spot view (CC, right)"),
    *("left_cc", "the affected side is left", "Mammograms, L and R", "RT was given", "lEFT breast"),
    *(
        "Figure 3, 2 o'clock",
        "the 10 to the 11 o'clock region",
        "13 o'clock",
        "seen at 10:30 am",
        "clockwise",
    ),
    *("renal cell carcinoma (RCC)", "sağ meme", "linke Brust"),
)


def pairs(table):
    return [pytest.param(text, text if other is None else other, id=text) for text, other in table.items()]


@pytest.mark.parametrize("caption, expected", pairs(LEFT_TO_RIGHT | CLOCKS_LEFT_TO_RIGHT))
def test_left_to_right(caption, expected):
    assert mirrored(caption) == expected and mirrored(expected) == caption


@pytest.mark.parametrize("caption, expected", pairs(UPSIDE_DOWN))
def test_upside_down(caption, expected):
    assert upside_down(caption) == expected and upside_down(expected) == caption


@pytest.mark.parametrize("caption", NO_SIDES)
def test_words_that_only_look_like_sides_are_kept(caption):
    assert mirrored(caption) == caption


@pytest.mark.parametrize("caption", UNCLEAR)
def test_what_is_unclear_is_not_mirrored(caption):
    assert mirrored(caption) is None


@pytest.mark.parametrize(
    "caption",
    [
        "Left CC view: a mass in the upper outer quadrant",  # where up is outer, and upper is not seen
        "Craniocaudal view",
        *(
            "upper left corner of the upper",
            "see above",
            "a node in the axilla",
            "in the lower breast at the top",
        ),
    ],
)
def test_what_cannot_be_turned_is_not_turned(caption):
    assert upside_down(caption) is None


@pytest.mark.parametrize("hour", range(1, 13))
def test_the_clock_goes_where_the_place_in_the_breast_goes(hour):
    """Outer and upper say where a finding is; the phantom's own rule gives its hour in each breast."""
    outer, upper = math.sin(math.radians(30 * hour)), math.cos(math.radians(30 * hour))
    assert clock_hour(outer, upper, "left") == hour
    assert (
        mirrored(f"left breast, {hour} o'clock")
        == f"right breast, {clock_hour(outer, upper, 'right')} o'clock"
    )
    assert (
        upside_down(f"left breast, {hour} o'clock")
        == f"left breast, {clock_hour(outer, -upper, 'left')} o'clock"
    )


PIECES = st.sampled_from(
    [
        *(
            "left",
            "Right",
            "LEFT",
            "was left",
            "the right",
            "breast",
            "RCC",
            "L MLO",
            "CC",
            "R",
            "upper",
            "lower outer",
        ),
        *(
            "UOQ",
            "LLIQ",
            "2 o'clock",
            "12:30",
            "ten to eleven o'clock",
            "3",
            "image",
            "(left)",
            "and",
            "of",
            "to",
            "at",
        ),
        *(",", ":", ".", "-", "(", ")", "superior", "sided", "Lt.", "after", "o'clock", "what is", "angle"),
    ]
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from([" ", ""])), max_size=9).map(
    lambda parts: "".join(piece + gap for piece, gap in parts)
)


@settings(max_examples=500, deadline=None)
@given(TEXTS | st.text(max_size=40))
def test_mirroring_twice_changes_nothing(caption):
    for turn in (mirrored, upside_down):
        other = turn(caption)
        assert other is None or turn(other) == caption


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_no_side_is_lost_and_both_flips_are_one_after_the_other(caption):
    other = mirrored(caption)
    if other is not None:
        words = [len(re.findall("left|right", text, re.IGNORECASE)) for text in (caption, other)]
        assert words[0] == words[1]
    assert flipped(caption, Flips()) == caption
    assert flipped(caption, Flips(True, False)) == other
    assert flipped(caption, Flips(True, True)) == (None if other is None else upside_down(other))


@pytest.mark.parametrize("laterality", ["L", "R", "B"])
def test_every_phantom_caption_has_a_mirrored_one_of_the_other_breast(laterality):
    views = ["CC", "CC", "MLO", "MLO"] if laterality == "B" else ["MLO", "CC"]
    for seed in range(60):
        caption = write_caption(draw_case(5, seed), laterality, views, seed)
        other = mirrored(caption)
        swapped = re.sub("left|right", lambda m: {"left": "right", "right": "left"}[m[0]], caption)
        swapped = re.sub("Left|Right", lambda m: {"Left": "Right", "Right": "Left"}[m[0]], swapped)
        swapped = re.sub(r"(\d+)(?= o'clock)", lambda m: str((12 - int(m[0])) % 12 or 12), swapped)
        assert other == swapped
