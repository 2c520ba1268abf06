"""What stands beside the breast is blanked, at random; the breast never is."""

import numpy as np
import pytest
import torch
from phantom_parts import healthy, picture

from training.augmentation import Augmentation
from training.caption_sides import Flips
from training.markers import without_markers

NOTHING = dict.fromkeys(("rotation", "scale", "shift", "distortion", "brightness", "gamma"), 0)
TILE = (slice(12, 24), slice(84, 104))  # at the upper corner that is farthest from the chest wall


def breast(background=0, value=130, height=160, width=120):
    """A half disc at the left border, with a dark core, on a dark background."""
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((y - height / 2) / (0.45 * height), x / (0.7 * width))
    pixels = np.where(radius < 1, value, background).astype(np.uint8)
    pixels[radius < 0.3] = background
    return torch.from_numpy(pixels)


def with_tile(image, tile=TILE, value=240):
    image = image.clone()
    image[tile] = value
    return image


@pytest.mark.parametrize("background", [0, 9])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_label_in_the_corner_goes_and_all_else_stays(background, mirror):
    plain, labelled = breast(background), with_tile(breast(background))
    if mirror:
        plain, labelled = plain.flip(1), labelled.flip(1)
    assert torch.equal(without_markers(labelled), plain)


def test_letters_of_a_word_go_together():
    letters = [(slice(12, 24), slice(x, x + 5)) for x in (70, 78, 86, 94)]
    image = breast()
    for letter in letters:
        image = with_tile(image, letter)
    assert torch.equal(without_markers(image), breast())


def test_labels_of_any_size_of_image_go():
    for size in ((1024, 768), (97, 61)):
        clean = breast(height=size[0], width=size[1])
        tile = (slice(size[0] // 12, size[0] // 7), slice(size[1] * 3 // 4, size[1] * 5 // 6))
        assert torch.equal(without_markers(with_tile(clean, tile)), clean)


@pytest.mark.parametrize(
    "tile, value",
    [
        ((slice(60, 80), slice(60, 75)), 255),  # on the breast: a calcification or a clip
        ((slice(75, 85), slice(5, 15)), 255),  # within its dark core, where it hangs together with nothing
        ((slice(70, 90), slice(80, 90)), 240),  # at its edge: the nipple
        ((slice(2, 8), slice(0, 12)), 240),  # at the chest wall above: a fold, the other end of a muscle
        ((slice(20, 60), slice(95, 115)), 240),  # large: another breast
        (TILE, 25),  # faint: the skin
    ],
)
def test_what_may_be_breast_stays(tile, value):
    image = with_tile(breast(), tile, value)
    assert torch.equal(without_markers(image), image)


@pytest.mark.parametrize("value", [0, 200])
def test_an_image_of_one_grey_stays(value):
    image = torch.full((64, 48), value, dtype=torch.uint8)
    assert torch.equal(without_markers(image), image)


@pytest.mark.parametrize("laterality", ["L", "R"])
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_a_phantom_loses_its_letters_and_no_breast(laterality, view):
    for case in (case for density in "AD" for case in healthy(density, 2)):
        bare, lettered = (picture(case, laterality, view, labels=labels).pixels for labels in (False, True))
        bare, lettered = (greys(pixels, lettered.max()) for pixels in (bare, lettered))
        assert torch.equal(without_markers(bare), bare)
        before, left = (
            (other.int() - bare.int()).abs() > 20 for other in (lettered, without_markers(lettered))
        )
        assert before.sum() > 50 and not left.any()


def greys(pixels, white):
    return torch.from_numpy((pixels / white * 255).round().astype(np.uint8))


def test_markers_are_dropped_at_random_and_always_where_the_image_is_mirrored():
    augmentation, dropped = Augmentation(**NOTHING, marker_dropout=0.3), 0
    for seed in range(200):
        result = augmentation(with_tile(breast()), np.random.default_rng(seed), Flips())
        dropped += torch.equal(result, breast() / 255)
        mirror = augmentation(with_tile(breast()), np.random.default_rng(seed), Flips(True, False))
        assert torch.equal(mirror, breast().flip(1) / 255)
    assert abs(dropped - 60) < 4 * (200 * 0.3 * 0.7) ** 0.5


def test_without_dropout_markers_stay_also_mirrored():
    augmentation = Augmentation(**NOTHING, marker_dropout=0)
    result = augmentation(with_tile(breast()), np.random.default_rng(0), Flips(True, False))
    assert torch.equal(result, with_tile(breast()).flip(1) / 255)
