"""The way from the model's input back to the image: boxes, masks and heatmaps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from processing import MamClipImageProcessor, Placement
from processing.placement_mamclip import window_of

PLAIN = Placement((100, 80), (20, 10, 60, 90), False, (64, 48), (0, 0, 48, 64))


@st.composite
def placements(draw):
    height, width = draw(st.integers(2, 300)), draw(st.integers(2, 300))
    x0, y0 = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    size = draw(st.integers(8, 90)), draw(st.integers(8, 90))
    window = window_of((y1 - y0, x1 - x0), size, pad=draw(st.booleans()), at_right=draw(st.booleans()))
    return Placement((height, width), (x0, y0, x1, y1), draw(st.booleans()), size, window)


@settings(deadline=None)
@given(placements())
def test_the_window_leads_back_to_the_crop_box(placement):
    assert placement.to_original(placement.window) == pytest.approx(placement.crop_box)
    everything = (0, 0, placement.input_size[1], placement.input_size[0])
    assert placement.to_original(everything) == pytest.approx(placement.crop_box)


@settings(deadline=None, max_examples=50)
@given(placements())
def test_a_full_mask_leads_back_to_the_crop_box(placement):
    x0, y0, x1, y1 = placement.crop_box
    expected = np.zeros(placement.image_size, bool)
    expected[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(placement.to_original(np.ones(placement.input_size, bool)), expected)
    coarse = placement.to_original(torch.full((3, 2), 0.25))
    torch.testing.assert_close(coarse, torch.from_numpy(expected) * 0.25)


def test_a_mirrored_box_is_mirrored_back():
    mirrored = Placement(PLAIN.image_size, PLAIN.crop_box, True, PLAIN.input_size, PLAIN.window)
    assert PLAIN.to_original((0, 0, 12, 16)) == (20, 10, 30, 30)
    assert mirrored.to_original((0, 0, 12, 16)) == (50, 10, 60, 30)


@pytest.mark.parametrize("facing", ["left", "right"])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_a_lesion_is_found_again_where_it_was(facing, fit):
    y, x = np.mgrid[:300, :200]
    pixels = ((y - 150) ** 2 / 100**2 + x**2 / 120**2 < 1) * np.uint8(90)
    pixels[140:160, 60:80] = 255
    lesion = (60, 140, 80, 160)
    if facing == "right":
        pixels, lesion = pixels[:, ::-1], (120, 140, 140, 160)
    processor = MamClipImageProcessor(size={"height": 256, "width": 192}, orient=True, fit=fit)
    batch = processor(np.ascontiguousarray(pixels), return_tensors="pt")
    bright = batch["pixel_values"][0, 0] > 0.7
    rows, columns = (torch.nonzero(bright.any(dim=dim))[:, 0] for dim in (1, 0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    placement = batch.placements[0]
    assert placement.flipped == (facing == "right")
    assert placement.to_original(box) == pytest.approx(lesion, abs=1.5)
    mask = placement.to_original(bright)
    right = torch.zeros(300, 200, dtype=torch.bool)
    right[lesion[1] : lesion[3], lesion[0] : lesion[2]] = True
    assert ((mask & right).sum() / (mask | right).sum()) > 0.85


def test_what_is_neither_box_nor_mask_is_refused():
    with pytest.raises(ValueError, match="a box has 3 numbers; expected x0, y0, x1, y1"):
        PLAIN.to_original((1, 2, 3))
    with pytest.raises(ValueError, match="is empty"):
        PLAIN.to_original(np.zeros((0, 4)))
