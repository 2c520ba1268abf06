"""Near hashes are found, all and only they; pictures that were changed are told from others of the same outline."""

import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from scipy import ndimage

from dataset_builders.near_duplicates import (
    SAME,
    fine_detail,
    near_pairs,
    perceptual_hash,
    share_alike,
)

hashes = st.integers(0, 2**64 - 1)


def brute_force(values, distance):
    places = combinations(range(len(values)), 2)
    return [(i, j) for i, j in places if (values[i] ^ values[j]).bit_count() <= distance]


@settings(max_examples=60, deadline=None)
@given(st.lists(hashes, max_size=8), st.data())
def test_pairs_planted_at_every_distance_are_found_and_no_others(values, data):
    for value in values[:]:
        bits = data.draw(st.sets(st.integers(0, 63), max_size=9))
        values.append(value ^ sum(1 << bit for bit in bits))
    for distance in range(8):
        assert list(map(tuple, near_pairs(values, distance).tolist())) == brute_force(values, distance)


def test_many_equal_hashes_are_paired_once_each():
    assert near_pairs([5] * 40 + [5 ^ 1 << 63], 1).tolist() == list(map(list, combinations(range(41), 2)))
    assert near_pairs([], 4).shape == near_pairs([3], 4).shape == (0, 2)


@pytest.mark.parametrize("distance", [-1, 8])
def test_a_distance_that_cannot_be_is_said(distance):
    with pytest.raises(ValueError, match="expected 0 to 7"):
        near_pairs([1, 2], distance)


def tissue(seed, size=(256, 192)):
    """A half-round breast with structure of its own inside: all have the same outline."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = ((rows - size[0] / 2) / (size[0] / 2)) ** 2 + (columns / size[1]) ** 2 < 1
    texture = sum(
        weight * ndimage.gaussian_filter(rng.standard_normal(size), sigma)
        for sigma, weight in ((3, 150), (8, 300), (20, 500))
    )
    grey = np.where(inside, np.clip(110 + texture, 20, 255), 0)
    return Image.fromarray(grey.astype(np.uint8))


def compressed(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


CHANGES = {
    "compressed": compressed,
    "half as large": lambda image: image.reduce(2),
    "brighter": lambda image: image.point(lambda value: 255 * (value / 255) ** 0.8),
    "cut by a percent": lambda image: image.crop((0, 2, image.width - 2, image.height - 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_is_the_same_one(change):
    for seed in range(4):
        image = tissue(seed)
        other = CHANGES[change](image)
        assert (perceptual_hash(image) ^ perceptual_hash(other)).bit_count() <= 6
        assert share_alike(fine_detail(image)[None], fine_detail(other)[None])[0] >= SAME


def test_other_pictures_of_one_outline_are_not():
    details = np.stack([fine_detail(tissue(seed)) for seed in range(12)])
    first, second = np.triu_indices(12, 1)
    assert share_alike(details[first], details[second]).max() < 0.5


def test_a_mirrored_picture_is_found_by_mirroring_it_back():
    image = tissue(1)
    assert (np.abs(fine_detail(ImageOps.mirror(image))[:, ::-1].astype(int) - fine_detail(image)) <= 1).all()


def test_smooth_pictures_agree_in_nothing():
    smooth = fine_detail(Image.radial_gradient("L").point(lambda value: value / 4))[None]
    assert share_alike(smooth, smooth)[0] == 0
