"""What names of files say of side, view and exam, and that they say nothing where there is doubt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.file_names import NameParts, folder_of, read_name


@pytest.mark.parametrize(
    "name, laterality, view, rest",
    [
        ("LCC.png", "L", "CC", ""),
        ("a/b/rmlo.JPG", "R", "MLO", ""),
        ("case12_L_CC.png", "L", "CC", "CASE12"),
        ("case12-R-MLO.png", "R", "MLO", "CASE12"),
        ("20586908_6c613a14_MG_R_CC_ANON.dcm", "R", "CC", "20586908 6C613A14 MG ANON"),
        ("Left breast.png", "L", None, "BREAST"),
        ("right mlo right.png", "R", "MLO", ""),
        # A letter without a view, a view within a word, two sides or views: doubt.
        ("Large L.png", None, None, "LARGE"),
        ("success.png", None, None, "SUCCESS"),
        ("left_right_CC.png", None, "CC", ""),
        ("LCC_RCC.png", None, "CC", ""),
        ("L_CC_MLO.png", "L", None, ""),
        ("LCC/1.png", None, None, "1"),
    ],
)
def test_words_count_and_doubt_is_none(name, laterality, view, rest):
    assert read_name(name) == NameParts(laterality, view, rest)


WORD = st.text("abcxyz0123456789", min_size=4, max_size=8)


@given(WORD, st.sampled_from("LR"), st.sampled_from(["CC", "MLO"]), st.sampled_from("_- ."), st.booleans())
def test_names_that_differ_in_side_and_view_alone_have_one_rest(case, side, view, between, joined):
    said = f"{side}{view}" if joined else f"{side}{between}{view}"
    found = read_name(f"folder/{case}{between}{said}.png")
    assert (found.laterality, found.view) == (side, view)
    assert found.rest == read_name(f"folder/{case}_R_MLO.png").rest


def test_the_folder_is_that_within_the_input():
    assert folder_of("a/b/c.png") == "a/b" and folder_of("c.png") == "."
