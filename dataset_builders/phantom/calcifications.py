"""Calcifications: where their particles lie by distribution, what each looks like by morphology."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .anatomy import Outline
from .canvas import Box, Patch, stamp
from .findings import Finding
from .grids import Grid

Particle = tuple[float, float, float, float]  # x, y, radius in mm from the finding's centre, brightness
COUNTS = {  # calcifications of one finding; popcorn and vessel walls are one thing of many parts
    "round": (9, 16),
    "punctate": (14, 26),
    "rim": (2, 5),
    "amorphous": (70, 120),
    "coarse heterogeneous": (12, 22),
    "fine pleomorphic": (24, 44),
    "fine linear": (16, 26),
}


def paint_calcifications(
    value: np.ndarray, grid: Grid, finding: Finding, centre, shape: Outline, rng: np.random.Generator
) -> Box | None:
    """Add calcifications to the (H, W) brightness, in place; returns the box around their particles."""
    ducts = np.arctan2(shape.nipple_y - centre[1], shape.reach - centre[0])  # direction towards the nipple
    particles = draw_particles(finding, float(ducts), rng)
    patch = Patch.around(grid, centre, max(np.hypot(x, y) + r for x, y, r, _ in particles) + 3)
    layer = np.zeros((patch.y.shape[0], patch.x.shape[1]), dtype=np.float32)
    inside = (p for p in particles if _within_breast(shape, centre, p))
    for x, y, radius, brightness in inside:
        stamp(layer, patch, x, y, radius, brightness)
    window = patch.of(value)
    if finding.morphology == "amorphous":
        window += 0.045 * np.exp(-((patch.radius / (0.55 * finding.size_mm)) ** 2))
    window += layer * (1.1 - 0.5 * np.clip(window, 0, 1))
    return patch.box(layer > 0.05)


def _within_breast(shape: Outline, centre, particle: Particle) -> bool:
    x, y = centre[0] + particle[0], centre[1] + particle[1]
    return 1 < x < float(shape.skin_x(np.float64(y))) - 5


def draw_particles(finding: Finding, ducts: float, rng: np.random.Generator) -> list[Particle]:
    """All particles of a finding; `ducts` is the direction towards the nipple in radians."""
    if finding.morphology == "vascular":
        return _vessel(finding.size_mm, ducts + rng.normal(0, 0.5), rng)
    if finding.morphology == "coarse/popcorn-like":
        return _popcorn(finding.size_mm, rng)
    # By the finding's own seed, not by that of the view: both views show the same calcifications.
    count = int(np.random.default_rng(finding.seed).integers(*COUNTS[finding.morphology], endpoint=True))
    places = _places(finding, ducts, count, rng)
    draw: Callable = {
        "round": _round,
        "punctate": _punctate,
        "rim": _rim,
        "amorphous": _amorphous,
        "coarse heterogeneous": _coarse,
        "fine pleomorphic": _pleomorphic,
        "fine linear": _fine_linear,
    }[finding.morphology]
    return [particle for x, y in places for particle in draw(float(x), float(y), ducts, rng)]


def _places(finding: Finding, ducts: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 2) positions in mm around the centre."""
    half = finding.size_mm / 2
    if finding.distribution in ("linear", "segmental"):
        along = rng.uniform(-half, half, count)
        spread = (
            0.7 if finding.distribution == "linear" else 0.6 + 0.36 * (half - along)
        )  # a wedge, tip at the nipple
        across = rng.uniform(-1, 1, count) * spread
        cos, sin = np.cos(ducts), np.sin(ducts)
        return np.stack([along * cos - across * sin, along * sin + across * cos], axis=1)
    radius = half * np.sqrt(rng.random(count))
    angle = rng.uniform(0, 2 * np.pi, count)
    flat = rng.uniform(0.6, 1)
    return np.stack([radius * np.cos(angle), flat * radius * np.sin(angle)], axis=1)


def _round(x, y, ducts, rng) -> list[Particle]:
    return [(x, y, rng.uniform(0.45, 0.95), rng.uniform(0.45, 0.65))]


def _punctate(x, y, ducts, rng) -> list[Particle]:
    return [(x, y, rng.uniform(0.28, 0.42), 0.6)]


def _rim(x, y, ducts, rng) -> list[Particle]:
    radius, parts = rng.uniform(2.0, 4.2), np.arange(0, 2 * np.pi, 0.12)
    flat = rng.uniform(0.75, 1)
    bright = 0.5 + 0.12 * np.cos(parts + rng.uniform(0, 6))
    return [
        (x + radius * np.cos(a), y + flat * radius * np.sin(a), 0.42, float(b))
        for a, b in zip(parts, bright, strict=True)
    ]


def _amorphous(x, y, ducts, rng) -> list[Particle]:
    return [(x, y, rng.uniform(0.22, 0.45), rng.uniform(0.16, 0.3))]


def _irregular(x, y, radius, brightness, rng) -> list[Particle]:
    """Three overlapping discs: a particle with corners."""
    offsets = rng.normal(0, 0.6 * radius, (3, 2))
    return [(x + dx, y + dy, radius * rng.uniform(0.5, 0.9), brightness) for dx, dy in offsets]


def _coarse(x, y, ducts, rng) -> list[Particle]:
    return _irregular(x, y, rng.uniform(0.45, 0.85), rng.uniform(0.4, 0.65), rng)


def _pleomorphic(x, y, ducts, rng) -> list[Particle]:
    return _irregular(x, y, rng.uniform(0.25, 0.6), rng.uniform(0.4, 0.75), rng)


def _fine_linear(x, y, ducts, rng) -> list[Particle]:
    """A short cast of a duct, now and then with a branch."""
    angle, length = ducts + rng.normal(0, 0.3), rng.uniform(2.0, 5.0)
    rods = [(angle, length)]
    if rng.random() < 0.45:
        rods.append((angle + rng.choice((-0.7, 0.7)), 0.6 * length))
    steps = [(a, step) for a, long in rods for step in np.arange(0, long, 0.3)]
    bright = rng.uniform(0.45, 0.7)
    return [(x + s * np.cos(a), y + s * np.sin(a), 0.27 * rng.uniform(0.8, 1.2), bright) for a, s in steps]


def _popcorn(size: float, rng: np.random.Generator) -> list[Particle]:
    """One coarse lump of many lobes, as of an involuting fibroadenoma."""
    count = int(rng.integers(14, 22))
    angle, radius = rng.uniform(0, 2 * np.pi, count), 0.36 * size * np.sqrt(rng.random(count))
    flat = rng.uniform(0.65, 1)
    lobes = [(r * np.cos(a), flat * r * np.sin(a)) for a, r in zip(angle, radius, strict=True)]
    return [(x, y, size * rng.uniform(0.08, 0.15), rng.uniform(0.35, 0.65)) for x, y in lobes]


def _vessel(length: float, angle: float, rng: np.random.Generator) -> list[Particle]:
    """Two parallel broken tracks along a winding artery."""
    along = np.arange(-length / 2, length / 2, 0.45)
    phase, swing = rng.uniform(0, 6), rng.uniform(1.5, 3)
    middle = swing * np.sin(along / 7 + phase)
    particles = []
    for side in (-1.2, 1.2):
        present = np.sin(along / rng.uniform(2, 3.5) + rng.uniform(0, 6)) > -0.5
        for s, across in zip(along[present], (middle + side)[present], strict=True):
            x, y = s * np.cos(angle) - across * np.sin(angle), s * np.sin(angle) + across * np.cos(angle)
            particles.append((float(x), float(y), 0.38, rng.uniform(0.3, 0.5)))
    return particles
