"""Phantom mammograms: outline, muscle, texture, density, labels and noise; always the same for the same seed."""

import io
from dataclasses import replace

import numpy as np
import pytest
from phantom_parts import ROWS, geometry, healthy, picture, pitch_of, pixels, power_slope, with_findings
from scipy.ndimage import binary_dilation, binary_erosion, convolve

from dataset_builders.phantom.archives import write_embed, write_teknofest
from dataset_builders.phantom.case import DENSITIES, draw_case
from dataset_builders.phantom.dicom_files import phantom_dicom
from dataset_builders.phantom.grids import Grid, power_law_field
from dataset_builders.phantom.render import MAXIMUM, NOISE_GAIN, READ_NOISE, render_many, render_view
from dataset_builders.phantom.tissue import gland_map
from processing import find_breast, read_dicom

VIEWS = [(side, view) for side in "LR" for view in ("CC", "MLO")]
CASES = [draw_case(2, index) for index in range(8)]


def glandular(case, laterality="L", view="CC"):
    """Glandular fraction of a view's pixels, NaN outside the breast; (H, W), from the chest wall to the right."""
    shape, _, _ = geometry(case, laterality, view)
    grid = Grid.covering_the_field(ROWS, ROWS * 3 // 4).coarse
    fraction = gland_map(case, laterality, shape, grid, shape.skin_distance(grid))
    return np.where(grid.x < shape.skin_x(grid.y), np.clip(fraction, 0, 1), np.nan)


def in_breast(case, laterality="L", view="CC"):
    """(H, W) bool: the pixels within the outline."""
    shape, x, y = geometry(case, laterality, view)
    return x < shape.skin_x(y)


# ---- anatomy


@pytest.mark.parametrize("laterality, view", VIEWS)
def test_the_breast_fills_its_outline_from_the_chest_wall_of_its_side(laterality, view):
    for case in CASES[:3]:
        image = pixels(with_findings(case, laterality), laterality, view)
        breast = in_breast(case, laterality, view)
        inside, reached = (
            binary_erosion(breast, iterations=3, border_value=1),
            binary_dilation(breast, iterations=3),
        )
        assert image[inside].min() > 0.08 * MAXIMUM and image[~reached].max() < 0.03 * MAXIMUM
        chest_wall, open_air = (0, -1) if laterality == "L" else (-1, 0)
        assert image[:, chest_wall].mean() > 5 * image[:, open_air].mean()


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_the_nipple_is_the_foremost_point_and_stands_out(view):
    for case in CASES:
        shape, _, y = geometry(case, "L", view)
        skin = shape.skin_x(y[:, 0])
        assert abs(y[skin.argmax(), 0] - shape.nipple_y) < shape.nipple_size / 2
        beside = np.abs(y[:, 0] - shape.nipple_y) > shape.nipple_size
        assert skin.max() > skin[beside].max() + 2  # mm


def test_the_skin_is_a_bright_line_along_the_outline():
    for case in healthy("A", 3):
        shape, _, _ = geometry(case, rows=768)
        depth = shape.skin_distance(Grid.covering_the_field(768, 576))
        image = pixels(case, rows=768)
        skin, below = (image[(depth > a) & (depth < b)] for a, b in ((0.5, 1.0), (2.5, 3.5)))
        assert np.median(skin) > 1.2 * np.median(below)


def test_the_pectoral_muscle_is_seen_in_mlo_alone():
    for case in healthy("A", 3) + healthy("B", 2):
        cc, *_ = geometry(case, "L", "CC")
        mlo, x, y = geometry(case, "L", "MLO")
        assert (cc.pectoral_x(y) < 0).all()
        muscle = mlo.pectoral_x(y) - x
        upper = y < 0.7 * mlo.pectoral_length
        for view, least, most in (("MLO", 0.15, 0.5), ("CC", -0.5, 0.05)):
            image = pixels(case, "L", view)
            inside, before = (image[(muscle > a) & (muscle < b) & upper] for a, b in ((3, 9), (-9, -3)))
            inside, before = (part[part > 0.08 * MAXIMUM] for part in (inside, before))
            assert least < (np.median(inside) - np.median(before)) / MAXIMUM < most


def test_there_is_no_gland_below_the_inframammary_fold():
    for case in healthy("D", 8, seed=2):
        for laterality in "LR":
            shape, *_ = geometry(case, laterality, "MLO")
            below = (np.arange(256) + 0.5) * pitch_of(256) > shape.nipple_y + shape.lower + 5
            assert np.nanmax(glandular(case, laterality, "MLO")[below], initial=0) < 0.1


def test_both_views_show_the_same_gland_and_the_two_breasts_are_alike():
    """By what sets a patient's gland apart from the mean of her density; a neighbour in the list has another."""
    cc, mlo, other = (own_pattern(*which) for which in (("L", "CC"), ("L", "MLO"), ("R", "CC")))
    assert likeness(cc, other) > 0.3 > likeness(cc, np.roll(other, 1, axis=0)) + 0.1
    depth_cc, depth_mlo = cc.mean(axis=1), mlo.mean(axis=1)  # both views show how deep it is
    assert likeness(depth_cc, depth_mlo) > 0.5 > likeness(depth_cc, np.roll(depth_mlo, 1, axis=0)) + 0.2


def own_pattern(laterality, view):
    """(patients, height, depth) gland of patients of density C, without the mean over patients."""
    maps = np.array([unit_gland(case, laterality, view) for case in healthy("C", 10)])
    return maps - maps.mean(axis=0)


def unit_gland(case, laterality, view):
    """(24, 24) glandular fraction from outer or upper to inner or lower, and from chest wall to nipple."""
    shape, *_ = geometry(case, laterality, view)
    depth, height = np.linspace(0.15, 0.75, 24), np.linspace(0.6, -0.6, 24)
    y = shape.nipple_y - np.where(height > 0, height * min(shape.upper, shape.reach), height * shape.lower)
    rows, columns = ((mm / pitch_of(256)).astype(int) for mm in (y, depth * shape.reach))
    return glandular(case, laterality, view)[rows[:, None], columns]


def likeness(maps, others):
    return np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, others, strict=True)])


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_a_bias_to_the_upper_outer_quadrant_shows_on_top_of_both_views(view):
    for case in healthy("C", 3):
        even, biased = (
            unit_gland(replace(case, anatomy=replace(case.anatomy, upper_outer_bias=bias)), "L", view)
            for bias in (0.0, 0.7)
        )
        more = biased - even
        assert more[:12].mean() > 0.02 > -0.02 > more[12:].mean()


# ---- tissue


@pytest.mark.parametrize("beta", [2.0, 3.0, 4.0])
def test_the_ruler_of_spectra_measures_right(beta):
    grid = Grid.covering_the_field(512, 384)
    fields = [power_law_field((1, n), grid, beta=beta, longest=30) for n in range(4)]
    assert abs(np.mean([power_slope(field[200:328, 100:228], grid.pitch) for field in fields]) - beta) < 0.2


@pytest.mark.parametrize("density", DENSITIES)
def test_the_texture_has_a_power_law_spectrum_of_mammograms(density):
    """β = 3 ± 0.3 over some patients of each density, from 0.1 to 0.8 cycles/mm, in a square of 45 mm."""
    slopes, half = [], 64
    for case in healthy(density, 4):
        shape, _, _ = geometry(case, rows=512)
        row, column = int(shape.nipple_y / pitch_of(512)), max(half, int(shape.reach / 2 / pitch_of(512)))
        square = pixels(case, rows=512)[row - half : row + half, column - half : column + half]
        slopes.append(power_slope(square, pitch_of(512)))
    assert abs(np.mean(slopes) - 3) < 0.3 and np.abs(np.subtract(slopes, 3)).max() < 0.6


def test_more_density_is_more_gland_and_more_brightness():
    fractions, brightness = [], []
    for density in DENSITIES:
        cases = healthy(density, 4)
        fractions.append([np.nanmean(glandular(case)) for case in cases])
        brightness.append([pixels(case)[in_breast(case)].mean() for case in cases])
    for less, more in zip(fractions, fractions[1:], strict=False):
        assert max(less) < min(more)
    means = np.mean(brightness, axis=1)
    assert (np.diff(means) > 0.02 * MAXIMUM).all()


def test_every_size_shows_the_same_breast():
    case = healthy("C", 1)[0]
    large, small = (pixels(case, "R", "MLO", rows) for rows in (512, 128))
    reduced = large.reshape(128, 4, 96, 4).mean(axis=(1, 3))
    assert np.corrcoef(reduced.ravel(), small.ravel())[0, 1] > 0.995
    assert abs(reduced.mean() / small.mean() - 1) < 0.02


# ---- labels and detector


def test_labels_lie_outside_the_breast():
    labelled = 0
    large = sorted(
        (draw_case(2, index) for index in range(100)), key=lambda case: -case.anatomy.nipple_distance
    )
    cases = CASES[:2] + large[:2]
    for case in cases:
        for laterality, view in VIEWS:
            shape, x, y = geometry(case, laterality, view)
            written = pixels(case, laterality, view, labels=True) != pixels(case, laterality, view)
            labelled += written.any()
            assert (x - shape.skin_x(y))[written].min(initial=99) > 2.5  # mm
    assert labelled > 0.9 * len(cases) * len(VIEWS)


def test_the_breast_is_found_beside_its_labels():
    for case in CASES[:3]:
        for laterality, view in VIEWS:
            found = find_breast(picture(case, laterality, view, labels=True).pixels)
            breast = in_breast(case, laterality, view)
            assert found.crop(breast).sum() > 0.97 * breast.sum()
            wide = breast.any(axis=0).sum()
            assert found.x1 - found.x0 < 1.03 * wide + 6  # the crop has a margin of 1 %


def test_twelve_bits_with_noise_that_grows_with_the_signal():
    """The noise by Immerkær's mask, which takes away what is smooth: read noise in air, quantum noise in muscle."""
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    case = healthy("B", 1)[0]
    image = picture(case, "L", "MLO", rows=1024).pixels
    assert image.dtype == np.uint16 and image.max() <= MAXIMUM and image.min() > 0
    shape, x, y = geometry(case, "L", "MLO", rows=1024)
    noise = np.abs(convolve(image.astype(np.float64), mask)) * np.sqrt(np.pi / 2) / 6
    for region in (x - shape.skin_x(y) > 5, (shape.pectoral_x(y) - x > 6) & (x > 2) & (y > 2)):
        expected = np.sqrt(NOISE_GAIN * image[region].mean() + READ_NOISE**2)
        assert abs(noise[region].mean() / expected - 1) < 0.2


# ---- one seed


def test_the_same_seed_gives_the_same_bytes_and_another_none_of_them():
    first, again, neighbour, other = (
        render_view(draw_case(seed, index), "L", "MLO", height=128, width=96).pixels
        for seed, index in ((5, 1), (5, 1), (5, 2), (6, 1))
    )
    assert first.tobytes() == again.tobytes()
    assert all((first != image).mean() > 0.5 for image in (neighbour, other))


def test_neither_the_number_of_processes_nor_the_order_changes_a_byte():
    jobs = [(case, *which, {"height": 96, "width": 72}) for case in CASES[:3] for which in VIEWS]
    alone = [view.pixels.tobytes() for view in render_many(jobs, processes=1)]
    assert [view.pixels.tobytes() for view in render_many(jobs, processes=2)] == alone
    assert [view.pixels.tobytes() for view in render_many(jobs[::-1], processes=1)] == alone[::-1]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"laterality": "B"}, "laterality is 'B'"),
        ({"view": "ML"}, "view is 'ML'"),
        ({"height": 20}, "20×96 pixels is too small"),
    ],
)
def test_views_that_no_phantom_has(options, said):
    with pytest.raises(ValueError, match=said):
        render_view(CASES[0], **{"laterality": "L", "view": "CC", "height": 128, "width": 96, **options})


# ---- as DICOM


def stretched(view):
    """Counts → 0 … 65535, as read_dicom stretches them."""
    counts = view.pixels.astype(np.float64)
    return (counts - counts.min()) / np.ptp(counts) * 65535


def test_every_style_of_dicom_holds_the_same_pixels():
    view = render_view(CASES[0], "R", "MLO", height=128, width=96)
    names = {"patient": "1", "exam": "2", "laterality": "R", "view": "MLO", "age": 50}
    said = set()
    for style in range(42):
        dataset, buffer = phantom_dicom(view.pixels, style=style, **names), io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        said.add((dataset.PhotometricInterpretation, str(dataset.file_meta.TransferSyntaxUID)))
        read = read_dicom(buffer.getvalue())
        assert np.abs(read.pixels - stretched(view)).max() <= 1
        assert (read.view, read.laterality) == ("MLO", "R")
        assert read.spacing == pytest.approx((180 / 128, 180 / 128), abs=1e-3)
    assert len(said) == 6  # two photometric interpretations in three transfer syntaxes


@pytest.mark.parametrize("write", [write_teknofest, write_embed])
def test_archives_hold_the_rendered_views(write, tmp_path):
    cases = [draw_case(3, index, birads=birads) for index, birads in enumerate((2, 5))]
    write(tmp_path, cases, height=96, width=72, processes=1)
    files = [read_dicom(path) for path in sorted(tmp_path.rglob("*.dcm"))]
    expected = [
        (which, stretched(render_view(case, *which, height=96, width=72)))
        for case in cases
        for which in VIEWS
    ]
    for read in files:
        same = [which for which, image in expected if np.abs(read.pixels - image).max() <= 1]
        assert same == [(read.laterality, read.view)]
    assert len(files) >= 6
