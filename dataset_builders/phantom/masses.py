"""Masses: their outline by shape and margin, their brightness by density."""

from __future__ import annotations

import numpy as np

from .canvas import Box, Patch, radiating_lines
from .findings import Finding
from .grids import Grid, smooth_step
from .tissue import FAT

CONTRAST = {"fat-containing": 0.0, "low": 0.12, "equal": 0.2, "high": 0.33}
EDGE = {
    "circumscribed": 0.7,
    "obscured": 0.9,
    "microlobulated": 0.8,
    "indistinct": 0.0,
    "spiculated": 1.8,
}  # mm
INDISTINCT_EDGE = 0.75  # of the radius
REPLACED = 0.4  # how much of the tissue's own texture is missing where a mass has taken its place
DIRECTIONS = 720


def paint_mass(
    value: np.ndarray, grid: Grid, finding: Finding, centre, rng: np.random.Generator
) -> Box | None:
    """Add a mass to the (H, W) brightness, in place; returns the box of its body, without spicules."""
    radius = finding.size_mm / 2
    patch = Patch.around(grid, centre, radius * (2.7 if finding.margin == "spiculated" else 1.7))
    border = outline_radius(finding, rng)
    inside = _signed_distance(patch, border)
    body = smooth_step(inside, max(_edge_width(finding), patch.pitch))
    window = patch.of(value)
    present = np.minimum(window / FAT, 1)  # nothing is painted outside the breast
    if finding.density == "fat-containing":
        _paint_fat(window, patch, inside, body, finding)
    else:
        window += REPLACED * body * (_mean(window, body) - window) * present
        window += CONTRAST[finding.density] * _attenuation(patch, finding, inside, body, rng) * present
    return patch.box(inside > 0)


def _mean(window: np.ndarray, weight: np.ndarray) -> float:
    return float((window * weight).sum() / max(weight.sum(), 1e-6))


def _edge_width(finding: Finding) -> float:
    return EDGE[finding.margin] or INDISTINCT_EDGE * finding.size_mm / 2


def outline_radius(finding: Finding, rng: np.random.Generator) -> np.ndarray:
    """(DIRECTIONS,) radius in mm by direction; the longest diameter is about the finding's size."""
    theta = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    flatness = {"round": rng.uniform(0.92, 1), "oval": rng.uniform(0.58, 0.75)}.get(finding.shape, 0.82)
    turn = rng.uniform(0, np.pi)
    radius = flatness / np.hypot(flatness * np.cos(theta - turn), np.sin(theta - turn))
    unevenness = {"round": 0.012, "oval": 0.02}.get(finding.shape, 0.13)
    for wave in range(2, 8):
        radius *= 1 + unevenness * rng.normal(0, wave**-0.5) * np.cos(
            wave * theta + rng.uniform(0, 2 * np.pi)
        )
    if finding.margin == "microlobulated":
        lobes = int(rng.integers(9, 14))
        phase = lobes * theta / 2 + rng.uniform(0, np.pi) + 0.9 * np.sin(2 * theta + rng.uniform(0, 6))
        radius *= 0.86 + 0.16 * np.sqrt(np.abs(np.cos(phase)))
    return radius * finding.size_mm / (radius + np.roll(radius, DIRECTIONS // 2)).max()


def _signed_distance(patch: Patch, border: np.ndarray) -> np.ndarray:
    """(h, w) mm along the ray from the pixel to the outline, positive inside."""
    direction = np.round(patch.angle * (DIRECTIONS / (2 * np.pi))).astype(int) % DIRECTIONS
    return border.astype(np.float32)[direction] - patch.radius


def _attenuation(patch: Patch, finding: Finding, inside, body, rng: np.random.Generator) -> np.ndarray:
    """(h, w) float32, about 1 within the mass: a dome, with what its margin adds around it."""
    radius = finding.size_mm / 2
    dome = 0.78 + 0.22 * np.sqrt(np.clip(inside / radius, 0, 1))
    amount = body * dome
    if (
        finding.margin == "circumscribed"
    ):  # a thin dark line around it, as the eye and the film's edge effect show
        amount -= 0.12 * np.exp(-(((inside + 0.9) / 0.6) ** 2))
    elif finding.margin == "obscured":
        amount = _obscure(patch, finding, amount, rng)
    elif finding.margin == "indistinct":
        amount *= 1.15 + 0.22 * patch.texture((finding.seed, 1), longest=8)
    elif finding.margin == "spiculated":
        lengths = (1.25 * radius, min(2.6 * radius, radius + 20))
        count, width = int(rng.integers(18, 28)), 0.55 + 0.035 * radius
        spicules = patch.polar(radiating_lines(rng, count, 0.6 * radius, lengths, width, patch.pitch))
        amount = np.maximum(amount, 0.8 * spicules) + 0.16 * np.exp(-((patch.radius / (1.3 * radius)) ** 2))
    return amount


def _obscure(patch: Patch, finding: Finding, amount: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide one side of a mass behind overlying gland: there its edge fades into a cloud of about its brightness."""
    radius, direction = finding.size_mm / 2, rng.uniform(-np.pi, np.pi)
    along = patch.x * np.float32(np.cos(direction)) + patch.y * np.float32(np.sin(direction))
    across = patch.y * np.float32(np.cos(direction)) - patch.x * np.float32(np.sin(direction))
    hidden = smooth_step(along + 0.1 * radius, 0.9 * radius)
    cloud = np.exp(-(((along - 0.75 * radius) / (0.75 * radius)) ** 2) - ((across / (1.1 * radius)) ** 2))
    texture = patch.texture((finding.seed, 2), longest=12)
    return amount * (1 - 0.75 * hidden) + 0.8 * np.clip(cloud * (1 + 0.45 * texture), 0, 1.3)


def _paint_fat(window: np.ndarray, patch: Patch, inside, body, finding: Finding) -> None:
    """A lucent mass with islands of gland in it and a thin bright capsule, as a hamartoma or a lipoma."""
    present = np.minimum(window / FAT, 1)
    islands = smooth_step(patch.texture((finding.seed, 3), longest=10) - 0.5, 2.5)
    content = 0.66 * FAT + 0.3 * islands + 0.2 * (window - FAT)
    window += 0.92 * body * (content - window) * present
    thick = 0.7
    seen = np.hypot(thick, 0.5 * patch.pitch)
    window += 0.3 * (thick / seen) * np.exp(-((inside / seen) ** 2)) * present
