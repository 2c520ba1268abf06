"""Our antialiased resize against PyTorch's own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from processing.antialias import COLUMNS, ROWS, resize_antialias


def by_torch(pixels, size):
    values = pixels.float()[None, None]
    return F.interpolate(values, size, mode="bilinear", align_corners=False, antialias=True)[0, 0]


def noise(height, width, dtype=np.float32, top=1.0):
    values = np.random.default_rng(height * width).uniform(0, top, (height, width))
    return torch.from_numpy(values.astype(dtype))


# A width of 1 is left out: there PyTorch 2.14 takes the rows for columns, and differs from its own resize of a width
# of 1 alone.
@settings(deadline=None)
@given(old=st.tuples(*[st.integers(1, 150)] * 2), height=st.integers(1, 60), width=st.integers(2, 60))
def test_any_size_becomes_any_other_as_pytorch_has_it(old, height, width):
    pixels = noise(*old)
    torch.testing.assert_close(
        resize_antialias(pixels, (height, width)), by_torch(pixels, (height, width)), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(
    "dtype, top", [(np.uint8, 255), (np.uint16, 65535), (np.int32, 70000), (np.float32, 1), (np.float64, 1)]
)
def test_a_large_part_of_an_image_of_any_type(dtype, top):
    pixels = noise(3001, 1800, dtype, top)[17:2900, 40:1733]
    difference = resize_antialias(pixels, (1024, 768)) - by_torch(pixels, (1024, 768))
    assert difference.abs().max() / top < 1e-6


@pytest.mark.parametrize(
    "size", [(ROWS, COLUMNS), (ROWS + 1, COLUMNS + 1), (1, 2), (3 * ROWS - 1, 2 * COLUMNS - 1)]
)
def test_bands_that_are_full_and_that_are_not(size):
    pixels = noise(400, 300)
    torch.testing.assert_close(resize_antialias(pixels, size), by_torch(pixels, size), atol=1e-6, rtol=0)


def test_what_is_even_stays_as_it_is():
    torch.testing.assert_close(
        resize_antialias(torch.full((700, 500), 3.0), (64, 48)), torch.full((64, 48), 3.0)
    )
