"""Findings of a phantom: drawn by the rules of their class, and seen where and as their words say."""

import numpy as np
import pytest
from phantom_parts import (
    around,
    calcifications,
    change,
    finding,
    geometry,
    healthy,
    mass,
    picture,
    pitch_of,
    with_findings,
)
from scipy.ndimage import map_coordinates

from dataset_builders.phantom.anatomy import outline
from dataset_builders.phantom.calcifications import draw_particles
from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.findings import (
    ASYMMETRY_TYPES,
    DISTRIBUTIONS,
    MARGINS,
    MASS_DENSITIES,
    MORPHOLOGIES,
    SHAPES,
)
from dataset_builders.phantom.masses import outline_radius

PATIENT = healthy("B", 1)[0]
EVERY_LOOK = (
    [mass(margin=margin) for margin in MARGINS]
    + [mass(density=density) for density in MASS_DENSITIES]
    + [calcifications(morphology) for morphology in MORPHOLOGIES]
    + [calcifications(distribution=distribution) for distribution in DISTRIBUTIONS]
    + [finding("asymmetry", asymmetry_type=kind) for kind in ASYMMETRY_TYPES]
    + [finding("distortion")]
)


def name(one):
    words = (one.kind, one.margin, one.density, one.morphology, one.distribution, one.asymmetry_type)
    return "-".join(filter(None, words))


# ---- where


@pytest.mark.parametrize("one", EVERY_LOOK, ids=name)
def test_a_finding_changes_the_image_at_its_place_and_nowhere_else(one):
    for laterality, view in (("L", "CC"), ("R", "MLO")):
        changed = np.abs(change(PATIENT, one, laterality, view))
        away = around(PATIENT, one, laterality, view)
        shape, x, y = geometry(PATIENT, laterality, view)
        centre = [np.average(mm, weights=changed) for mm in (x, y)]
        assert np.hypot(*np.subtract(centre, shape.place(one))) < 0.3 * one.size_mm
        assert changed[away < 0.7].sum() > 0.6 * changed.sum()
        assert changed[away < 1.0].sum() > 0.9 * changed.sum()
        assert changed[away > 2.0].max() == 0
        assert changed[away < 0.5].mean() > 20  # counts: several times the noise of so many pixels


@pytest.mark.parametrize("one", EVERY_LOOK, ids=name)
def test_the_box_of_a_finding_is_around_it(one):
    for laterality, view in (("L", "CC"), ("R", "MLO")):
        (box,) = picture(with_findings(PATIENT, laterality, one), laterality, view).finding_boxes
        x0, y0, x1, y1 = box
        assert around(PATIENT, one, laterality, view)[(y0 + y1) // 2, (x0 + x1) // 2] < 0.3
        assert 0.6 < max(x1 - x0, y1 - y0) * pitch_of() / one.size_mm < 1.3


def drawn_places():
    """(finding, its CC outline and place, its MLO outline and place) of the findings of many patients."""
    for index in range(200):
        case = draw_case(1, index)
        for laterality, breast in case.breasts.items():
            shapes = [outline(case, laterality, view) for view in ("CC", "MLO")]
            for one in breast.findings:
                yield one, *((shape, shape.place(one)) for shape in shapes)


def test_both_views_show_a_finding_as_far_behind_the_nipple_and_its_quadrant():
    for one, (cc, (x_cc, y_cc)), (mlo, (x_mlo, y_mlo)) in drawn_places():
        assert abs((cc.reach - x_cc) - (mlo.reach - x_mlo)) < 10  # mm, as radiologists require of one lesion
        assert (y_cc < cc.nipple_y) == (one.outer > 0)  # the outer side is on top
        assert (y_mlo < mlo.nipple_y) == (one.upper > 0)


def test_findings_lie_within_the_breast_before_the_muscle():
    for one, *views in drawn_places():
        for shape, (x, y) in views:
            heights = np.linspace(0, 180, 361)
            to_the_skin = np.hypot(shape.skin_x(heights) - x, heights - y).min()
            assert x < shape.skin_x(y) and to_the_skin > (0.5 if one.kind == "mass" else 0.3) * one.size_mm
            assert x > shape.pectoral_x(y)


def test_nearer_to_the_chest_wall_is_nearer_in_the_image():
    for view in ("CC", "MLO"):
        shape, *_ = geometry(PATIENT, "L", view)
        x = [shape.place(mass(depth=depth, upper=-0.3))[0] for depth in (0.2, 0.4, 0.6, 0.8)]
        assert (np.diff(x) < -5).all()


@pytest.mark.parametrize("seen, unseen", [("CC", "MLO"), ("MLO", "CC")])
def test_what_one_view_alone_shows_is_absent_in_the_other(seen, unseen):
    one = finding("asymmetry", asymmetry_type="asymmetry", only_view=seen)
    bare, shown = (
        {view: picture(with_findings(PATIENT, "L", *findings), "L", view) for view in (seen, unseen)}
        for findings in ((), (one,))
    )
    assert shown[unseen].pixels.tobytes() == bare[unseen].pixels.tobytes()
    assert shown[unseen].finding_boxes == (None,)
    assert shown[seen].finding_boxes[0] and (shown[seen].pixels != bare[seen].pixels).any()


# ---- masses


def polar(one, view="CC"):
    """What a finding changes, by distance from its centre (57 rings to 1.4 sizes) and direction (360)."""
    changed, (shape, _, _) = change(PATIENT, one, "L", view), geometry(PATIENT, "L", view)
    x, y = shape.place(one)
    radius = np.linspace(0, 1.4, 57)[:, None] * one.size_mm
    angle = np.arange(360) * (np.pi / 180)
    rows, columns = (y + radius * np.sin(angle)) / pitch_of(), (x + radius * np.cos(angle)) / pitch_of()
    return map_coordinates(changed, [rows - 0.5, columns - 0.5], order=1)


def steepness(one):
    """(360,) the steepest fall of brightness along every direction, as a part of the brightness at the centre."""
    table = polar(one)
    return -np.diff(table, axis=0).min(axis=0) / table[:6].mean()


def border(one):
    return outline_radius(one, np.random.default_rng(one.seed))


def test_denser_masses_are_brighter_and_fat_is_dark():
    for seed in range(3):
        inside = [polar(mass(density=density, seed=seed))[:14] for density in MASS_DENSITIES]
        assert (np.diff([part.mean() for part in inside]) > 150).all()  # counts
        assert np.percentile(inside[0], 15) < -100  # lucent between its islands of gland


@pytest.mark.parametrize("shape, least, most", [("round", 0.85, 1.0), ("oval", 0.5, 0.8)])
def test_round_masses_are_round_and_oval_ones_are_not(shape, least, most):
    for seed in range(20):
        radius = border(mass(shape=shape, seed=seed))
        diameters = radius + np.roll(radius, len(radius) // 2)
        assert least < diameters.min() / diameters.max() < most
        assert diameters.max() == pytest.approx(24.0)


def test_irregular_masses_are_further_from_an_ellipse_than_regular_ones():
    def unevenness(shape, seed):
        """Of the outline, by its waves from the third on: the second is an ellipse's."""
        waves = np.abs(np.fft.rfft(border(mass(shape=shape, seed=seed))))
        return np.sqrt((waves[[3, 5, 7]] ** 2).sum()) / waves[0]  # an ellipse has no odd wave

    uneven = {shape: [unevenness(shape, seed) for seed in range(20)] for shape in SHAPES}
    assert np.median(uneven["irregular"]) > 3 * max(map(np.median, (uneven["oval"], uneven["round"])))


def test_microlobulated_borders_have_many_short_waves():
    def lobes(margin, seed):
        waves = np.abs(np.fft.rfft(border(mass(margin=margin, shape="irregular", seed=seed))))
        return waves[8:30].sum() / waves[2:8].sum()

    assert min(lobes("microlobulated", seed) for seed in range(20)) > 2 * max(
        lobes("circumscribed", seed) for seed in range(20)
    )


@pytest.mark.parametrize("seed", range(3))
def test_margins_look_as_they_are_called(seed):
    sharp, hidden, blurred = (
        steepness(mass(margin=margin, seed=seed)) for margin in ("circumscribed", "obscured", "indistinct")
    )
    assert np.percentile(sharp, 10) > 1.3 * np.percentile(blurred, 90)  # sharp all around; nowhere sharp
    assert np.percentile(hidden, 95) > 0.8 * np.median(sharp) and np.percentile(hidden, 5) < 0.6 * np.median(
        sharp
    )


@pytest.mark.parametrize("seed", range(3))
def test_rays_stand_around_spiculated_masses_and_distortions_alone(seed):
    def rays(one, rings):
        """Mean change from one degree to the next outside the body."""
        return np.abs(np.diff(polar(one)[rings], axis=1)).mean()

    outside, body = slice(28, 36), slice(12, 28)
    others = [rays(mass(margin=margin, shape="irregular", seed=seed), outside) for margin in MARGINS[:4]]
    assert rays(mass("spiculated", "irregular", seed=seed), outside) > 2 * max(others)
    cloud, lines = (
        finding("asymmetry", asymmetry_type="focal asymmetry", seed=seed),
        finding("distortion", seed=seed),
    )
    assert rays(lines, body) > 2 * rays(cloud, body)
    assert polar(lines)[:20].mean() < 0.6 * polar(cloud)[:20].mean()  # no mass in its centre


# ---- calcifications

DUCTS = 0.3  # radians, towards the nipple


def particles(morphology="fine pleomorphic", distribution="grouped", seed=0, view=0, **words):
    """(N, 4): x and y in mm along and across the ducts, radius, brightness."""
    one = calcifications(morphology, distribution, seed=seed, **words)
    x, y, radius, bright = np.transpose(draw_particles(one, DUCTS, np.random.default_rng([seed, view])))
    cos, sin = np.cos(DUCTS), np.sin(DUCTS)
    return np.stack([x * cos + y * sin, y * cos - x * sin, radius, bright], axis=1)


def elongation(points):
    least, most = np.linalg.eigvalsh(np.cov(points[:, :2].T))
    return np.sqrt(most / least)


def test_lines_are_long_and_groups_compact():
    for seed in range(20):
        assert elongation(particles(distribution="linear", seed=seed)) > 8
        assert elongation(particles(distribution="grouped", seed=seed)) < 2.2
        assert np.hypot(*particles(seed=seed)[:, :2].T).max() < 0.6 * 24.0


def test_a_segment_is_a_wedge_whose_tip_is_at_the_nipple():
    for seed in range(20):
        along, across, *_ = particles(distribution="segmental", size_mm=36, seed=seed).T
        near = along > 0
        assert np.abs(across[near]).mean() < 0.7 * np.abs(across[~near]).mean()


def test_morphologies_look_as_they_are_called():
    looks = {
        morphology: np.concatenate([particles(morphology, seed=s) for s in range(10)])
        for morphology in MORPHOLOGIES
    }
    radius = {morphology: look[:, 2].mean() for morphology, look in looks.items()}
    bright = {morphology: look[:, 3].mean() for morphology, look in looks.items()}
    assert radius["punctate"] < 0.5 < radius["round"] < radius["coarse/popcorn-like"]  # mm; BI-RADS: 0.5 mm
    assert bright["amorphous"] < 0.6 * min(value for key, value in bright.items() if key != "amorphous")
    assert radius["fine pleomorphic"] < radius["coarse heterogeneous"]
    spread = {morphology: look[:, 2].std() / look[:, 2].mean() for morphology, look in looks.items()}
    assert spread["fine pleomorphic"] > 2 * spread["punctate"]  # of many sizes; of one


def test_rims_are_hollow():
    along, across, *_ = particles("rim", size_mm=0).T  # rings around one point
    assert np.hypot(along, across).min() > 1.2  # mm


def test_vessels_have_two_broken_walls():
    for seed in range(5):
        points = particles("vascular", "linear", size_mm=45, seed=seed)[:, :2]
        assert elongation(points) > 5
        axes = np.linalg.eigh(np.cov(points.T))[1][:, ::-1]  # the longer one first
        along, across = ((points - points.mean(axis=0)) @ axes).T
        slices = [across[np.abs(along - place) < 0.5] for place in np.arange(-18, 18)]
        gaps = np.array([np.ptp(part) for part in slices if len(part)])
        assert ((gaps > 1.8) | (gaps < 0.8)).mean() > 0.9  # mm: both walls, or one
        assert 0.25 < (gaps > 1.8).mean() < 0.9


@pytest.mark.parametrize("morphology", ["round", "punctate", "rim"])
def test_both_views_show_as_many_calcifications(morphology):
    for seed in range(10):
        assert len(particles(morphology, seed=seed)) == len(particles(morphology, seed=seed, view=1))
