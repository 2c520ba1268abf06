"""What a phantom breast is made of: gland and fat in three dimensions, projected into each view, with fine texture.

The glandular tissue of a patient is one random volume with a power-law spectrum, so that her CC and MLO views are
projections of the same thing; what the volume's voxels (about 2 mm) cannot show is added to each view as texture with
the same spectrum (β ≈ 3, as measured in mammograms by Burgess et al., Med. Phys. 28:419, 2001).
All brightness is in units of the 12-bit range: 0 dark … 1 bright.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft, ndimage

from .anatomy import VIEWS, Outline
from .case import PhantomCase
from .grids import COARSE_PITCH, Grid, enlarge, power_law_field, smooth_step

VOLUME = (40, 72, 72)  # depth (chest wall → nipple), inner → outer, lower → upper
BETA = 3.0
FAT, GLAND, SKIN, MUSCLE = 0.25, 0.34, 0.11, 0.46
LIKENESS = 0.6  # of the variance of the glandular volume, shared by a patient's two breasts


def _volume_noise(seed: tuple[int, ...]) -> np.ndarray:
    """VOLUME-shaped Gaussian noise, power spectrum f^−BETA, unit variance."""
    rng = np.random.default_rng(seed)
    spectrum = fft.rfftn(rng.standard_normal(VOLUME, dtype=np.float32))
    axes = (fft.fftfreq(VOLUME[0])[:, None, None], fft.fftfreq(VOLUME[1])[:, None], fft.rfftfreq(VOLUME[2]))
    f2 = sum(axis**2 for axis in axes)
    spectrum *= (f2 + (1 / 60) ** 2) ** (-BETA / 4)
    noise = fft.irfftn(spectrum, s=VOLUME)
    return (noise - noise.mean()) / noise.std()


@lru_cache(maxsize=1)
def _unit_breast() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the unit breast's voxels: inside (bool), how likely gland is there, how upper-outer they are."""
    s, inner_outer, lower_upper = np.meshgrid(*((np.arange(n) + 0.5) / n for n in VOLUME), indexing="ij")
    outer, upper = 2 * inner_outer - 1, 2 * lower_upper - 1
    radius = np.hypot(outer, upper)
    inside = s**2 + radius**2 < 1
    cone = 0.22 + 0.78 * (1 - s) ** 0.8
    likely = 1.2 * np.clip(1 - (radius / cone) ** 2, -2, 1) - 2.5 * np.clip(0.12 - s, 0, None) / 0.12
    return inside, likely.astype(np.float32), (0.7 * (outer + upper)).astype(np.float32)


@lru_cache(maxsize=4)
def _gland_projections(
    seed: int, index: int, fraction: float, bias: float
) -> dict[tuple[str, str], np.ndarray]:
    """Per (laterality, view): the glandular fraction along the ray, (depth, height) float32 in 0 … 1."""
    inside, likely, upper_outer = _unit_breast()
    shared = _volume_noise((seed, index, 201))
    projections = {}
    for laterality in "LR":
        own = _volume_noise((seed, index, 202, ord(laterality)))
        field = np.sqrt(LIKENESS) * shared + np.sqrt(1 - LIKENESS) * own + likely + bias * upper_outer
        level = np.quantile(field[inside], 1 - fraction)
        gland = smooth_step(field - level, 0.6) * inside
        for view, axis in zip(VIEWS, (2, 1), strict=True):
            ray = gland.sum(axis=axis) / np.maximum(inside.sum(axis=axis), 3)
            projections[laterality, view] = ray.astype(np.float32)
    return projections


def gland_map(
    case: PhantomCase, laterality: str, shape: Outline, grid: Grid, depth: np.ndarray
) -> np.ndarray:
    """Glandular fraction of every pixel of a (coarse) grid → (H, W) float32 in 0 … 1.

    depth: (H, W) distance to the skin in mm; the subcutaneous fat below it is scalloped.
    """
    a = case.anatomy
    projections = _gland_projections(case.seed, case.index, a.glandular_fraction, a.upper_outer_bias)
    s, t = shape.unit_position(*np.broadcast_arrays(grid.x, grid.y))
    points = np.stack([s * VOLUME[0] - 0.5, (t + 1) / 2 * VOLUME[1] - 0.5])
    projection = projections[laterality, shape.view]
    # Beyond the breast, as in the fold below it, there is no gland.
    gland = ndimage.map_coordinates(projection, points, order=1, mode="grid-constant")
    seed = (case.seed, case.index, 203, ord(laterality), VIEWS.index(shape.view))
    scallops = power_law_field(seed, grid, beta=2.5, longest=25, shortest=3)
    gland *= smooth_step(depth - a.subcutaneous_fat * (1 + 0.35 * scallops), 4)
    behind = np.maximum(shape.pectoral_x(grid.y), 0)
    return gland * smooth_step(grid.x - behind - 4 - 4 * scallops, 12)


def parenchyma(
    case: PhantomCase, laterality: str, shape: Outline, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Brightness of the breast without its findings, and the distance to the skin in mm; both (H, W) float32."""
    coarse = grid.coarse
    depth = shape.skin_distance(coarse)
    gland = enlarge(gland_map(case, laterality, shape, coarse, depth), COARSE_PITCH, grid)
    depth = enlarge(depth, COARSE_PITCH, grid)
    seed = (case.seed, case.index, 204, ord(laterality), VIEWS.index(shape.view))
    texture = power_law_field((*seed, 1), grid, beta=BETA, longest=30)
    gland = np.clip(gland, 0, 1)
    gland += (
        0.26 * texture * np.sqrt(gland * (1 - gland))
    )  # the border of gland and fat is ragged at all scales
    gland = np.clip(gland, 0, 1)
    value = FAT + GLAND * gland
    value += texture * (0.018 + 0.045 * gland)
    value += strands(seed, shape, grid)
    value = _with_muscle(value, texture, shape, grid)
    value *= _roll_off(depth, case.anatomy.thickness)
    value += SKIN * _band(depth, case.anatomy.skin, grid.pitch)
    value *= smooth_step(depth, max(0.35, grid.pitch))
    return value, depth


def strands(seed: tuple[int, ...], shape: Outline, grid: Grid) -> np.ndarray:
    """Bright curved lines: ducts and ligaments that lead to the nipple, a few veins → (H, W) float32."""
    coarse = grid.coarse
    fields = (power_law_field((*seed, 2, n), coarse, beta=4, longest=30, shortest=3.5) for n in range(3))
    free, led, veins = fields
    towards_nipple = _along_ducts(led, shape, coarse)
    lines = _level_lines(free, 0.45, grid) * 0.035 + _level_lines(towards_nipple, 0.6, grid) * 0.06
    wide = power_law_field((*seed, 3), coarse, beta=4, longest=90, shortest=14)
    sparse = smooth_step(enlarge(veins, COARSE_PITCH, grid) - 1.0, 1.0)
    return lines + _level_lines(wide, 1.2, grid) * sparse * 0.07


def _along_ducts(field: np.ndarray, shape: Outline, grid: Grid) -> np.ndarray:
    """Bend a periodic field so that its structures are long towards a point before the nipple, short across."""
    x, y = shape.reach + 12 - grid.x, shape.nipple_y - grid.y
    rows = np.arctan2(y, x) * (65 / COARSE_PITCH)
    columns = np.hypot(x, y) * (0.4 / COARSE_PITCH)
    return ndimage.map_coordinates(field, np.stack([rows, columns]), order=3, mode="grid-wrap")


def _level_lines(field: np.ndarray, width: float, grid: Grid) -> np.ndarray:
    """The zero lines of a coarse field as soft lines `width` mm wide → (H, W) float32 in 0 … 1.

    Where a line is thinner than a pixel it is painted wider and fainter, as a detector would see it.
    """
    slope = np.hypot(*np.gradient(field, COARSE_PITCH)) + 0.02
    distance = enlarge(field / slope, COARSE_PITCH, grid)
    seen = np.hypot(width, 0.5 * grid.pitch)
    return np.exp(-((distance / seen) ** 2)) * (width / seen)


def _with_muscle(value: np.ndarray, texture: np.ndarray, shape: Outline, grid: Grid) -> np.ndarray:
    """Lay the pectoral muscle over the tissue: brighter towards the chest wall, its edge slightly soft."""
    if not shape.pectoral_width:
        return value
    inside = shape.pectoral_x(grid.y).astype(np.float32) - grid.x
    muscle = smooth_step(inside, 2.2)
    brightness = MUSCLE + 0.003 * np.clip(inside, 0, 40) + 0.02 * texture
    return value + muscle * (brightness - 0.85 * value)


def _roll_off(depth: np.ndarray, thickness: float) -> np.ndarray:
    """The compressed breast is thinner near its rim; peripheral equalisation leaves a part of that."""
    inner = np.clip(depth / (0.32 * thickness), 0, 1)
    return 0.35 + 0.65 * np.sqrt(1 - (1 - inner) ** 2)


def _band(depth: np.ndarray, thickness: float, pitch: float) -> np.ndarray:
    """The skin: a band below the surface."""
    edge = max(0.5, pitch)
    return smooth_step(depth, edge) * smooth_step(thickness - depth, edge)
