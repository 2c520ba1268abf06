"""Augmentation keeps shape, range and proportions, mirrors only when asked, and follows its generator alone."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from training.augmentation import Augmentation

NOTHING = {"rotation": 0, "scale": 0, "shift": 0, "brightness": 0, "gamma": 0}
STRONG = Augmentation(rotation=30, scale=0.4, shift=0.2, brightness=0.5, gamma=0.5, flip=True)


class Fixed:
    """In the place of a generator: every range's lower (0) to upper (1) end, and whether to mirror."""

    def __init__(self, *places, mirror=False):
        self.places, self.mirror = list(places), mirror

    def uniform(self, low, high, size=None):
        place = self.places.pop(0) if self.places else 0.5
        return low + (high - low) * (place if size is None else np.asarray(place) + np.zeros(size))

    def random(self):
        return 0.0 if self.mirror else 1.0


def image(height=60, width=40, seed=0):
    return torch.rand(height, width, generator=torch.Generator().manual_seed(seed))


def smooth(height=60, width=40):
    """An image that interpolation hardly blurs, black at its borders."""
    noise = np.random.default_rng(1).random((height, width))
    blurred = ndimage.gaussian_filter(np.pad(noise[12:-12, 12:-12], 12), 2)
    return torch.from_numpy((blurred / blurred.max()).astype(np.float32))


def covariance(picture):
    """(2, 2) second moments of an image around its centre of mass, in pixels, rows first."""
    values = picture.numpy().astype(float)
    points = np.indices(values.shape).reshape(2, -1)
    return np.cov(points, aweights=values.ravel())


def moved(picture, places, mirror=False, **ranges):
    return Augmentation(**{**NOTHING, **ranges})(picture, Fixed(*places, mirror=mirror))


def test_ranges_of_zero_leave_the_image_as_it_is():
    for seed in range(5):
        assert torch.equal(Augmentation(**NOTHING)(image(), np.random.default_rng(seed)), image())


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


def test_nothing_is_mirrored_unless_asked():
    mild = Augmentation(**{**NOTHING, "flip": False})
    assert not Augmentation().flip
    assert all(torch.equal(mild(image(), np.random.default_rng(seed)), image()) for seed in range(50))


def test_about_half_of_the_images_are_mirrored_when_asked():
    augmentation, mirrored = Augmentation(**{**NOTHING, "flip": True}), 0
    for seed in range(100):
        result = augmentation(image(), np.random.default_rng(seed))
        is_mirror = torch.allclose(result, image().flip(1), atol=1e-5)
        assert is_mirror or torch.equal(result, image())
        mirrored += is_mirror
    assert abs(mirrored - 50) < 4 * 5  # the standard deviation is 5


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [(60, 40), (48, 80)])
def test_a_rotation_is_scipy_s_also_where_height_and_width_differ(size, place):
    angle = -20 + 40 * place
    found = moved(smooth(*size), [place], rotation=20).numpy()
    candidates = [
        ndimage.rotate(smooth(*size).numpy(), sign * angle, reshape=False, order=1) for sign in (1, -1)
    ]
    assert min(np.abs(found - other).max() for other in candidates) < 0.01


def test_a_rotation_does_not_shear():
    """A bar in an upright image keeps its length, width and right angles: its moments only turn."""
    bar = torch.zeros(120, 80)
    bar[56:64, 20:60] = 1
    turned = moved(bar, [1.0], rotation=45)
    before, after = np.linalg.eigvalsh(covariance(bar)), np.linalg.eigvalsh(covariance(turned))
    assert after == pytest.approx(before, rel=0.01, abs=0.5)  # interpolation blurs by a part of a pixel
    assert covariance(turned)[0, 0] == pytest.approx(covariance(turned)[1, 1], rel=0.03)


@pytest.mark.parametrize("place, factor", [(1.0, 1.25), (0.0, 0.8)])
def test_a_scale_is_the_same_in_height_and_width(place, factor):
    disc = torch.from_numpy(np.hypot(*(np.indices((120, 80)) - np.array([59.5, 39.5])[:, None, None])) < 20)
    result = moved(disc.float(), [0.5, place], scale=0.25)
    expected = np.diag(covariance(disc.float())) * factor**2
    assert np.diag(covariance(result)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("place", [(0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.5, 1.0)])
def test_a_shift_moves_by_its_fraction_of_the_image(place):
    """A tenth of 60 × 40 pixels is 6 rows or 4 columns: whole pixels, so nothing is interpolated."""
    result = moved(smooth(), [0.5, 0.5, place], shift=0.1)
    columns, rows = (round((p - 0.5) * 2 * extent * 0.1) for p, extent in zip(place, (40, 60), strict=True))
    expected = ndimage.shift(smooth().numpy(), (-rows, -columns), order=0)
    assert np.abs(result.numpy() - expected).max() < 1e-4


def test_what_lies_outside_the_image_is_black():
    result = moved(torch.ones(60, 40), [0.5, 0.5, (1.0, 0.5)], shift=0.25)
    assert result[:, -9:].abs().max() < 1e-5 and (result[:, :29] - 1).abs().max() < 1e-5


@pytest.mark.parametrize("place, factor", [(0.0, 0.8), (1.0, 1.2)])
def test_brightness_multiplies_and_stops_at_white(place, factor):
    result = moved(image(), [0.5, 0.5, 0.5, 0.5, place], brightness=0.2)
    torch.testing.assert_close(result, (image() * factor).clamp(max=1))


@pytest.mark.parametrize("place, exponent", [(1.0, 0.75), (0.0, 1 / 0.75), (0.5, 1.0)])
def test_gamma_is_an_exponent(place, exponent):
    result = moved(image(), [0.5, 0.5, 0.5, place], gamma=0.25)
    torch.testing.assert_close(result, image() ** exponent)
