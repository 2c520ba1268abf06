"""Paint a breast's findings into its view: each where the patient has it, and the box where it can be seen."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .anatomy import VIEWS, Outline
from .calcifications import paint_calcifications
from .canvas import Box, Patch, radiating_lines
from .findings import Finding
from .grids import Grid, smooth_step
from .masses import paint_mass
from .tissue import FAT

PAINTING_ORDER = ("distortion", "asymmetry", "mass", "calcifications")  # tissue first, particles on top


def paint_findings(
    value: np.ndarray, grid: Grid, shape: Outline, findings: tuple[Finding, ...]
) -> tuple[Box | None, ...]:
    """Paint all findings into the (H, W) brightness, in place.

    Returns one box (x0, y0, x1, y1) in pixels per finding, None where this view does not show it.
    """
    boxes: list[Box | None] = [None] * len(findings)
    order = sorted(range(len(findings)), key=lambda number: PAINTING_ORDER.index(findings[number].kind))
    for number in order:
        if findings[number].visible_in(shape.view):
            boxes[number] = _paint(value, grid, shape, findings[number])
    return tuple(boxes)


def _paint(value: np.ndarray, grid: Grid, shape: Outline, finding: Finding) -> Box | None:
    rng = np.random.default_rng([finding.seed, VIEWS.index(shape.view)])
    centre = shape.place(finding)
    if finding.kind == "mass":
        return paint_mass(value, grid, finding, centre, rng)
    if finding.kind == "calcifications":
        return paint_calcifications(value, grid, finding, centre, shape, rng)
    if finding.kind == "distortion":
        return paint_distortion(value, grid, finding, centre, rng)
    return paint_asymmetry(value, grid, finding, centre, rng)


def paint_distortion(value, grid: Grid, finding: Finding, centre, rng: np.random.Generator) -> Box | None:
    """Pull the tissue towards a point and let thin straight lines radiate from it, without a mass."""
    half = finding.size_mm / 2
    patch = Patch.around(grid, centre, 2.2 * half)
    window = patch.of(value)
    radius = patch.radius
    pull = 1 + 0.8 * np.exp(-((radius / half) ** 2))
    rows = (patch.y * pull - patch.y) / patch.pitch + np.arange(len(patch.y))[:, None]
    columns = (patch.x * pull - patch.x) / patch.pitch + np.arange(patch.x.size)[None, :]
    window[:] = ndimage.map_coordinates(window, np.stack([rows, columns]), order=1, mode="nearest")
    count = int(rng.integers(15, 23))
    lines = patch.polar(
        radiating_lines(rng, count, 0.12 * half, (0.7 * half, 1.35 * half), 0.75, patch.pitch)
    )
    lucent = np.exp(-((radius / (0.16 * half)) ** 2))
    haze = np.exp(-((radius / (0.5 * half)) ** 2))
    window += (0.24 * lines + 0.06 * haze - 0.08 * lucent) * np.minimum(window / FAT, 1)
    return patch.box(radius < half)


def paint_asymmetry(value, grid: Grid, finding: Finding, centre, rng: np.random.Generator) -> Box | None:
    """More gland than elsewhere: a cloud with a ragged, mostly concave border and fat between its strands."""
    half = finding.size_mm / 2
    patch = Patch.around(grid, centre, 1.6 * half)
    coarse, fine = (patch.texture((finding.seed, n), longest=length) for n, length in ((4, 14), (5, 5)))
    turn, flat = rng.uniform(0, np.pi), rng.uniform(0.7, 0.9)
    along = patch.x * np.float32(np.cos(turn)) + patch.y * np.float32(np.sin(turn))
    across = patch.y * np.float32(np.cos(turn)) - patch.x * np.float32(np.sin(turn))
    level = 1 - np.hypot(along, across / flat) / half + 0.16 * coarse
    cloud = smooth_step(level - 0.12, 0.55)
    contrast = 0.18 if finding.asymmetry_type == "global asymmetry" else 0.24
    window = patch.of(value)
    window += contrast * cloud * np.clip(1 + 0.35 * fine, 0.2, 1.8) * np.minimum(window / FAT, 1)
    return patch.box(cloud > 0.4)
