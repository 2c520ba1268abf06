"""The edges of a detector's box: exact where the breast's are, between bounds where they fade or trail off."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from processing.breast_edges import REACH, refined

TRUTH = np.array([0, 80, 200, 340], float)
NOISE = 0.004  # of the breast's brightness


def breast(tail=0, blur=0.0, brightness=1.0):
    """Half an ellipse at the left border of a film (416, 300), (h, w) float32; `tail` rows of skin 10 wide below."""
    y, x = np.mgrid[:416, :300] + 0.5
    inside = ((y - 210) / 130) ** 2 + (x / 200) ** 2 < 1
    film = np.where((x < 10) & (y > 300) & (y < 340 + tail) & ~inside, brightness, inside)
    film = gaussian_filter(film * (0.5 + 0.5 * (1 - x / 300)), blur) if blur else film
    return (0.1 + film + NOISE * np.random.default_rng(0).standard_normal(film.shape)).astype(np.float32)


def off_by(share, seed):
    """The true box with each edge moved by up to `share` of its side."""
    moves = np.random.default_rng(seed).uniform(-share, share, 4)
    return np.clip(TRUTH + moves * np.tile(TRUTH[2:] - TRUTH[:2], 2), 0, None)


def mirrored(box):
    return np.array([300 - box[2], box[1], 300 - box[0], box[3]])


@pytest.mark.parametrize("seed", range(6))
def test_a_sharp_edge_is_found_wherever_the_detector_puts_it(seed):
    box = off_by(0.06, seed)
    found = refined(breast(), box)
    assert np.abs(found - TRUTH).max() <= 2.5  # rows near the ellipse's ends are thin
    np.testing.assert_allclose(refined(breast()[:, ::-1], mirrored(box)), mirrored(found), atol=1)


@pytest.mark.parametrize("wanted", [340, 352, 364, 376])
def test_where_a_bright_fold_goes_on_the_edge_follows_the_detector_halfway(wanted):
    image, box = breast(tail=36), TRUTH + (0, 0, 0, wanted - 340)
    outermost = min(376, wanted + REACH * (wanted - 80))
    assert refined(image, box)[3] == pytest.approx((outermost + wanted) / 2, abs=2)


@pytest.mark.parametrize("wanted", [340, 364])
def test_a_dim_rim_belongs_to_the_breast(wanted):
    image = breast(tail=36, brightness=0.2)
    outermost = min(376, wanted + REACH * (wanted - 80))
    assert refined(image, TRUTH + (0, 0, 0, wanted - 340))[3] == pytest.approx(outermost, abs=2)


def test_a_detector_that_goes_beyond_the_skin_is_held_by_it():
    assert refined(breast(tail=30), TRUTH + (0, 0, 0, 50))[3] == pytest.approx(370, abs=2)


def test_skin_that_fades_out_is_inside():
    image = breast(blur=4)
    found = refined(image, TRUTH - (0, 0, 12, 0))
    rim = np.flatnonzero(image[190:230].mean(axis=0) > 0.1 + 0.1)[-1]  # where a tenth is left of the skin
    assert rim - 1 <= found[2] <= rim + 16


def test_what_is_far_from_the_detector_is_no_edge_of_the_breast():
    image = breast()
    image[:, 205:290] = 1.0  # a plate of the scanner beside the breast, and bright as it
    box = TRUTH.copy()
    assert refined(image, box)[2] == pytest.approx(200, abs=6)


def test_fog_that_hides_the_edges_leaves_the_detector_its_box():
    image, box = breast(), np.array([0, 84, 204, 336], float)
    slope = np.linspace(0, 0.6, 300, dtype=np.float32)[::-1]  # darkest far from the breast
    np.testing.assert_array_equal(refined(image + slope, box), box)


def test_a_box_that_cuts_off_the_chest_wall_grows_to_it():
    found = refined(breast(), TRUTH + (50, 0, 0, 0))
    np.testing.assert_allclose(found, TRUTH, atol=2.5)


def test_a_label_that_touches_the_breast_is_left_to_the_detector():
    image = breast()
    image[120:140, 100:240] = 1.0
    assert refined(image, TRUTH + (0, 0, 4, 0))[2] <= 216


def test_a_blank_image_leaves_the_box():
    np.testing.assert_array_equal(refined(np.zeros((416, 300), np.float32), TRUTH), TRUTH)
