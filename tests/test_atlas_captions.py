"""What an atlas's captions say: their sections, their panels, and whether their picture is a mammogram."""

import numpy as np
import pytest
from atlas_pdfs import breast, drawing, fan, pink
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dataset_builders.atlas.modality import UNCLEAR, judge, looks_like, told
from dataset_builders.atlas.panels import LETTERS, PanelMismatch, expand, find_panels
from dataset_builders.atlas.sections import SECTIONS, find_sections
from dataset_builders.phantom.captions import write_caption
from dataset_builders.phantom.case import draw_case

# ---- sections


def test_sections_are_found_in_any_order_and_letter_case():
    text = "Impression: Cyst. HISTORY: A lump. Mammographic findings: A mass; long history: none. PATHOLOGY: Benign."
    assert find_sections(text) == {
        "history": "A lump.",
        "mammography": "A mass; long history: none.",
        "impression": "Cyst.",
        "histopathology": "Benign.",
    }


def test_a_heading_that_comes_twice_is_put_together_and_an_other_one_ends_a_section():
    text = "MAMMOGRAPHY: A mass. ULTRASOUND: A cyst. MAMMOGRAPHY: Calcifications. NOTE: None."
    assert find_sections(text)["mammography"] == "A mass. Calcifications."
    assert find_sections(text)["impression"] is None


@pytest.mark.parametrize(
    "text", ["", "A mass.", "A woman with history of carcinoma", "IMPRESSION", "HISTORY:  "]
)
def test_text_without_headings_has_no_sections(text):
    assert set(find_sections(text).values()) == {None}


@given(st.permutations(SECTIONS), st.sets(st.sampled_from(SECTIONS)))
def test_sections_come_back_whatever_their_order(order, absent):
    texts = {name: f"Words of {name} and more." for name in order if name not in absent}
    caption = " ".join(f"{name.upper()}: {text}" for name, text in texts.items())
    assert find_sections(caption) == {name: texts.get(name) for name in SECTIONS}


@given(st.text(max_size=200))
def test_nothing_in_a_caption_makes_the_readers_fail(text):
    find_sections(text)
    told(text)
    try:
        panels = find_panels(text, 2)
    except PanelMismatch:
        return
    assert panels is None or [panel.letter for panel in panels] == ["A", "B"]


# ---- panels


@pytest.mark.parametrize(
    "caption, texts",
    [
        ("(A) CC view. (B) MLO view.", ["CC view.", "MLO view."]),
        (
            "Cancer at 50. (a) CC view shows it, (b) MLO view.",
            ["Cancer at 50. CC view shows it.", "Cancer at 50. MLO view."],
        ),
        ("A, CC view; B, MLO view.", ["CC view.", "MLO view."]),
        (
            "A: CC view. B: MLO view. Both show a mass.",
            ["CC view. Both show a mass.", "MLO view. Both show a mass."],
        ),
        ("A and B, Mammograms; C, ultrasound.", ["Mammograms.", "Mammograms.", "ultrasound."]),
        ("A, B, CC and MLO views. C, Sonogram.", ["CC and MLO views.", "CC and MLO views.", "Sonogram."]),
        (
            "HISTORY: Lump. MAMMOGRAPHY: (A\u2013C) Films. (D) Sonogram. IMPRESSION: Cyst.",
            ["HISTORY: Lump. MAMMOGRAPHY: Films. IMPRESSION: Cyst."] * 3
            + ["HISTORY: Lump. MAMMOGRAPHY: Sonogram. IMPRESSION: Cyst."],
        ),
        (
            "CC view shows a mass (A). Ultrasound shows a cyst (B).",
            ["CC view shows a mass (A).", "Ultrasound shows a cyst (B)."],
        ),
        ("Left panel: CC view. Right panel: MLO view.", ["CC view.", "MLO view."]),
        (
            "(A) Film with a mass. (B) The mass in (A) on ultrasound.",
            ["Film with a mass.", "The mass in (A) on ultrasound."],
        ),
    ],
)
def test_each_picture_gets_what_is_said_of_all_and_of_itself(caption, texts):
    assert [panel.text for panel in find_panels(caption, len(texts))] == texts


@pytest.mark.parametrize(
    "caption",
    [
        "Left CC (A) and MLO (B) views show a mass.",
        "(A) CC and (B) MLO views show a mass.",
        "A, B: CC and MLO views.",
    ],
)
def test_what_is_said_of_two_pictures_in_one_breath_stays_whole(caption):
    first, second = find_panels(caption, 2)
    assert first.text == second.text and (first.letter, second.letter) == ("A", "B")


@pytest.mark.parametrize(
    "caption",
    [
        "A mass in the left breast.",
        "Left: dense tissue. Right: fatty tissue.",
        "A grade (b) lesion.",
        "Vitamin A, vitamin B, both.",
    ],
)
def test_a_caption_without_panels_has_none(caption):
    assert find_panels(caption, 2) is None


@pytest.mark.parametrize("pictures", [1, 3, 4])
def test_another_number_of_pictures_is_told(pictures):
    with pytest.raises(PanelMismatch, match=f"names the panels A, B, and the figure has {pictures} picture"):
        find_panels("(A) CC view. (B) MLO view.", pictures)


def test_lists_and_ranges_of_letters():
    assert [expand(text) for text in ("a", "A-C", "A, C", "A, B, and D", "a\u2013b")] == [
        "A",
        "ABC",
        "AC",
        "ABD",
        "AB",
    ]


@given(st.integers(2, 8), st.sampled_from(["({}) Text {}.", "{}, Text {}.", "{}: Text {}."]))
def test_any_number_of_panels_comes_back(count, style):
    caption = "Common words. " + " ".join(style.format(letter, letter * 3) for letter in LETTERS[:count])
    panels = find_panels(caption, count)
    assert [panel.text for panel in panels] == [
        f"Common words. Text {letter * 3}." for letter in LETTERS[:count]
    ]


# ---- modality


@pytest.mark.parametrize(
    "caption, kind",
    [
        ("Left CC view shows a mass. Ultrasound is recommended.", "mammogram"),
        ("Galactogram with a filling defect.", "mammogram"),
        ("Sonogram shows a cyst.", "ultrasound"),
        ("Transverse ultrasound image of a mass seen on mammography.", "ultrasound"),
        ("The mass is not seen on MRI. MLO view.", "mammogram"),
        ("Mammogram. No sonographic correlate.", "mammogram"),
        ("Axial contrast-enhanced MR image.", "mri"),
        ("Specimen radiograph of the excised mass.", "specimen"),
        ("Photomicrograph (H&E) of the lesion.", "histology"),
        ("Spiculated mass on the CC view. Histology showed carcinoma.", "mammogram"),
        ("Diagram of a lobule.", "drawing"),
        (
            "MAMMOGRAPHY: Left CC view. IMPRESSION: Cyst; ultrasound needed. HISTOPATHOLOGY: Histologic sections.",
            "mammogram",
        ),
        ("Ultrasound-guided biopsy of a mass.", None),
        ("A woman of 50 with a lump.", None),
        ("Mammogram and ultrasound of a cyst.", UNCLEAR),
    ],
)
def test_the_caption_tells_what_is_shown(caption, kind):
    assert told(caption)[0] == kind


def test_every_phantom_caption_is_one_of_a_mammogram():
    for i in range(40):
        caption = write_caption(draw_case(3, i), "L", ["CC", "MLO"], 3)
        assert judge(caption, "", None).is_mammogram and not judge(caption, "", None).doubtful, caption


def test_panels_are_judged_one_by_one():
    caption = "Mammogram (A) and ultrasound (B) of a fibroadenoma."
    kinds = [judge(caption, panel.own, None).kind for panel in find_panels(caption, 2)]
    assert kinds == ["mammogram", "ultrasound"]
    whole = judge(caption, "", None)
    assert whole.is_mammogram and whole.doubtful  # nothing tells: it stays, and a person looks


def test_a_picture_that_contradicts_its_caption_is_no_mammogram_and_doubtful():
    verdict = judge("Left CC view.", "", "histology")
    assert (
        verdict.kind == "histology"
        and verdict.doubtful
        and "colour" in verdict.reason
        and "'CC'" in verdict.reason
    )


@pytest.mark.parametrize(
    "pixels, kind",
    [
        (pink(), "histology"),
        (np.stack([pink()[..., 0], pink()[..., 1], pink()[..., 1] // 2], -1), "photograph"),
        (drawing(), "drawing"),
        (fan(), "ultrasound"),
        (breast(1), None),
        (255 - breast(1), None),
        (np.zeros((200, 150), np.uint8), None),
        (np.full((30, 250), 90, np.uint8), "icon"),
    ],
)
def test_pictures_that_cannot_be_mammograms(pixels, kind):
    assert looks_like(Image.fromarray(pixels)) == kind
