"""Augmentation keeps shape, range and proportions, flips only when asked, and follows its generator alone."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from training.augmentation import CELLS, Augmentation
from training.caption_sides import Flips

NOTHING = dict.fromkeys(
    ("rotation", "scale", "shift", "distortion", "brightness", "gamma", "downscaling", "marker_dropout"), 0
)
STRONG = Augmentation(
    rotation=30,
    scale=0.4,
    shift=0.2,
    distortion=0.4,
    brightness=0.5,
    gamma=0.5,
    downscaling=0.5,
    flip=True,
    vertical_flip=True,
)


class Fixed:
    """In the place of a generator: every range's lower (0) to upper (1) end."""

    def __init__(self, *places):
        self.places = list(places)

    def uniform(self, low, high, size=None):
        place = self.places.pop(0) if self.places else 0.5
        return low + (high - low) * (place if size is None else np.asarray(place) + np.zeros(size))


def image(height=60, width=40, seed=0):
    return torch.randint(0, 256, (height, width), generator=torch.Generator().manual_seed(seed)).byte()


def floats(picture):
    return picture / 255


def smooth(height=60, width=40):
    """An image that interpolation hardly blurs, black at its borders."""
    noise = np.random.default_rng(1).random((height, width))
    blurred = ndimage.gaussian_filter(np.pad(noise[12:-12, 12:-12], 12), 2)
    return torch.from_numpy((blurred / blurred.max() * 255).round().astype(np.uint8))


def covariance(picture):
    """(2, 2) second moments of an image around its centre of mass, in pixels, rows first."""
    values = picture.numpy().astype(float)
    points = np.indices(values.shape).reshape(2, -1)
    return np.cov(points, aweights=values.ravel())


def moved(picture, places, **ranges):
    return Augmentation(**{**NOTHING, **ranges})(picture, Fixed(*places))


def test_ranges_of_zero_leave_the_image_as_it_is():
    for seed in range(5):
        assert torch.equal(Augmentation(**NOTHING)(image(), np.random.default_rng(seed)), floats(image()))


@pytest.mark.parametrize("size", [(60, 40), (32, 64), (33, 33)])
def test_shape_range_and_kind_stay(size):
    for seed in range(20):
        result = STRONG(image(*size, seed=seed), np.random.default_rng(seed))
        assert result.shape == size and result.dtype == torch.float32
        assert result.min() >= 0 and result.max() <= 1 and result.isfinite().all()


def test_the_input_is_not_changed():
    given = image()
    STRONG(given, np.random.default_rng(0))
    assert torch.equal(given, image())


def test_the_generator_alone_decides():
    results = [STRONG(image(), np.random.default_rng(seed)) for seed in (4, 4, 5)]
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_nothing_is_flipped_unless_asked():
    assert not Augmentation().flip and not Augmentation().vertical_flip and not Augmentation().ways()
    assert all(Augmentation().draw_flips(np.random.default_rng(seed)) == Flips() for seed in range(50))


@pytest.mark.parametrize("switches", [(True, False), (False, True), (True, True)])
def test_each_flip_that_is_asked_for_is_made_in_about_half_of_the_images(switches):
    augmentation, count = Augmentation(**NOTHING, flip=switches[0], vertical_flip=switches[1]), 200
    drawn = [augmentation.draw_flips(np.random.default_rng(seed)) for seed in range(count)]
    assert set(drawn) - {Flips()} == set(augmentation.ways())
    for flips, switch in zip(zip(*drawn, strict=True), switches, strict=True):
        assert abs(sum(flips) - switch * count / 2) < 4 * (count / 4) ** 0.5


@pytest.mark.parametrize("flips, axes", [((True, False), [1]), ((False, True), [0]), ((True, True), [0, 1])])
def test_a_flip_mirrors_to_the_bit_and_is_the_caller_s_to_choose(flips, axes):
    result = Augmentation(**NOTHING)(image(), np.random.default_rng(0), Flips(*flips))
    assert torch.equal(result, floats(image().flip(axes)))


def test_images_without_a_caption_are_flipped_as_drawn():
    augmentation = Augmentation(**NOTHING, flip=True)
    for seed in range(10):
        drawn = augmentation.draw_flips(np.random.default_rng(seed))
        expected = image().flip(1) if drawn.horizontal else image()
        assert torch.equal(augmentation(image(), np.random.default_rng(seed)), floats(expected))


def test_the_published_set_flips_both_ways_bends_and_loses_resolution_alone():
    published = Augmentation.published()
    assert published.flip and published.vertical_flip and published.distortion and published.downscaling
    others = ("rotation", "scale", "shift", "brightness", "gamma", "marker_dropout")
    assert not any(getattr(published, name) for name in others)


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [(60, 40), (48, 80)])
def test_a_rotation_is_scipy_s_also_where_height_and_width_differ(size, place):
    angle = -20 + 40 * place
    found = moved(smooth(*size), [place], rotation=20).numpy()
    candidates = [
        ndimage.rotate(floats(smooth(*size)).numpy(), sign * angle, reshape=False, order=1)
        for sign in (1, -1)
    ]
    assert min(np.abs(found - other).max() for other in candidates) < 0.01


def test_a_rotation_does_not_shear():
    """A bar in an upright image keeps its length, width and right angles: its moments only turn."""
    bar = torch.zeros(120, 80, dtype=torch.uint8)
    bar[56:64, 20:60] = 255
    turned = moved(bar, [1.0], rotation=45)
    before, after = np.linalg.eigvalsh(covariance(bar)), np.linalg.eigvalsh(covariance(turned))
    assert after == pytest.approx(before, rel=0.01, abs=0.5)  # interpolation blurs by a part of a pixel
    assert covariance(turned)[0, 0] == pytest.approx(covariance(turned)[1, 1], rel=0.03)


@pytest.mark.parametrize("place, factor", [(1.0, 1.25), (0.0, 0.8)])
def test_a_scale_is_the_same_in_height_and_width(place, factor):
    disc = torch.from_numpy(np.hypot(*(np.indices((120, 80)) - np.array([59.5, 39.5])[:, None, None])) < 20)
    result = moved(disc.byte() * 255, [0.5, place], scale=0.25)
    expected = np.diag(covariance(disc.float())) * factor**2
    assert np.diag(covariance(result)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("place", [(0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0)])
def test_a_shift_moves_by_its_fraction_of_the_image(place):
    """A tenth of 60 × 40 pixels is 6 rows or 4 columns: whole pixels, so nothing is interpolated."""
    result = moved(smooth(), [0.5, 0.5, place], shift=0.1)
    columns, rows = (round((p - 0.5) * 2 * extent * 0.1) for p, extent in zip(place, (40, 60), strict=True))
    expected = ndimage.shift(floats(smooth()).numpy(), (-rows, -columns), order=0)
    assert np.abs(result.numpy() - expected).max() < 1e-4


def test_what_lies_outside_the_image_is_black():
    result = moved(torch.full((60, 40), 255, dtype=torch.uint8), [0.5, 0.5, (1.0, 0.5)], shift=0.25)
    assert result[:, -9:].abs().max() < 1e-5 and (result[:, :29] - 1).abs().max() < 1e-5


def test_a_distortion_moves_the_grid_s_nodes_each_its_own_way_and_what_lies_between_in_proportion():
    """A ramp shows where each pixel came from."""
    ramp = torch.arange(241, dtype=torch.uint8).repeat(121, 1)
    offsets = np.zeros((CELLS + 1, CELLS + 1, 2))
    offsets[2, 3] = 1  # this node to the end of the range, all others stay
    places = [0.5, 0.5, 0.5, (offsets + 1) / 2]
    source = moved(ramp, places, distortion=0.25).numpy() * 255
    shift = source - ramp.numpy()
    row, column = 2 * 120 // CELLS, 3 * 240 // CELLS
    assert shift[row, column] == pytest.approx(0.25 * 241 / CELLS, abs=0.1)
    assert shift[row, column - 24] == pytest.approx(shift[row, column] / 2, abs=0.1)
    away = np.ones_like(shift, bool)
    away[row - 24 : row + 25, column - 48 : column + 49] = False
    assert np.abs(shift[away]).max() < 0.01


def test_a_strong_distortion_folds_nothing():
    ramp = torch.arange(241, dtype=torch.uint8).repeat(121, 1)
    for seed in range(20):
        bent = Augmentation(**{**NOTHING, "distortion": 0.45})(ramp, np.random.default_rng(seed))
        assert (bent[12:-12, 30:-30].diff(dim=1) > -1e-4).all()


def test_downscaling_blurs_and_keeps_the_mean_and_the_place():
    result = moved(smooth(), [0.5, 0.5, 0.5, 0.5, 0.5, 1.0], downscaling=0.25)
    expected = floats(smooth())
    torch.testing.assert_close(result.mean(), expected.mean(), rtol=0.02, atol=0)
    assert (result - expected).abs().max() < 0.15
    noise = moved(image(), [0.5, 0.5, 0.5, 0.5, 0.5, 1.0], downscaling=0.5)
    assert noise.std() < 0.7 * floats(image()).std()


@pytest.mark.parametrize("place, factor", [(0.0, 0.8), (1.0, 1.2)])
def test_brightness_multiplies_and_stops_at_white(place, factor):
    result = moved(image(), [0.5, 0.5, 0.5, 0.5, place], brightness=0.2)
    torch.testing.assert_close(result, (floats(image()) * factor).clamp(max=1))


@pytest.mark.parametrize("place, exponent", [(1.0, 0.75), (0.0, 1 / 0.75), (0.5, 1.0)])
def test_gamma_is_an_exponent(place, exponent):
    result = moved(image(), [0.5, 0.5, 0.5, place], gamma=0.25)
    torch.testing.assert_close(result, floats(image()) ** exponent)
