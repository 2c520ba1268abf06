"""Where things are in one view of a phantom breast: outline, nipple, pectoral muscle, findings. All in mm.

Coordinates of a left breast: x = 0 at the chest wall (the image's left border), growing towards the nipple;
y = 0 at the upper border. A CC view has the outer side on top, an MLO view the axilla. A right breast is
mirrored when it is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .case import PhantomCase
from .findings import Finding
from .grids import COARSE_PITCH, FIELD_HEIGHT, Grid, enlarge

VIEWS = ("CC", "MLO")


@dataclass(frozen=True)
class Outline:
    """The geometry of one view. Every method takes y in mm (any shape) or x and y that broadcast."""

    view: str
    reach: float  # chest wall to the skin at the nipple
    nipple_y: float
    upper: float  # nipple to the upper end of the breast at the chest wall
    lower: float  # nipple to its lower end
    axilla: float  # x of the skin at the upper border (MLO), 0 in CC
    abdomen: float  # x of the skin below the inframammary fold (MLO), 0 in CC
    roundness: float
    nipple_size: float
    pectoral_width: float  # 0: not seen
    pectoral_length: float
    pectoral_bulge: float

    def skin_x(self, y: np.ndarray) -> np.ndarray:
        """x of the skin at height y; −20 where there is no breast."""
        y = np.asarray(y, dtype=np.float64)
        x = np.where(y < self.nipple_y, self._upper_skin(y), self._lower_skin(y))
        bump = np.exp(-(((y - self.nipple_y) / (0.45 * self.nipple_size)) ** 4))
        return x + 0.4 * self.nipple_size * bump

    def _upper_skin(self, y: np.ndarray) -> np.ndarray:
        u = np.clip((self.nipple_y - y) / self.upper, 0, None)
        if self.view == "CC":
            return _superellipse(u, self.reach, self.roundness)
        fall = 0.5 * (1 + np.cos(np.pi * np.clip(u, 0, 1) ** 1.15))
        return self.axilla + (self.reach - self.axilla) * fall

    def _lower_skin(self, y: np.ndarray) -> np.ndarray:
        u = np.clip((y - self.nipple_y) / self.lower, 0, None)
        breast = _superellipse(u, self.reach, self.roundness)
        if self.view == "CC":
            return breast
        below = self.abdomen + 9 * np.clip(u - 0.85, 0, 0.5)
        return np.logaddexp(breast / 3, below / 3) * 3

    def pectoral_x(self, y: np.ndarray) -> np.ndarray:
        """x of the pectoral muscle's edge at height y, 0 or less where there is none."""
        if not self.pectoral_width:
            return np.full_like(np.asarray(y, dtype=np.float64), -20.0)
        s = np.asarray(y, dtype=np.float64) / self.pectoral_length
        return self.pectoral_width * (1 - s) + 4 * self.pectoral_bulge * s * (1 - s)

    def unit_position(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(s, t): depth from the chest wall 0 … 1 nipple, and height 1 (outer, upper) … −1 (inner, lower)."""
        above = np.asarray(self.nipple_y - y)
        half = np.where(above > 0, min(self.upper, 1.05 * self.reach), self.lower)
        return x / self.reach, above / half

    def place(self, finding: Finding) -> tuple[float, float]:
        """(x, y) of a finding's centre; in an MLO view in front of the pectoral muscle."""
        margin = 6 + 0.3 * finding.size_mm
        x = margin + (1 - finding.depth) * (self.reach - 2 * margin)
        side = finding.outer if self.view == "CC" else finding.upper
        half = self._half_width(x, side > 0) - 3
        y = self.nipple_y - side * max(half - 0.35 * finding.size_mm, 0.5 * half)
        lowest = float(self.pectoral_x(np.float64(y))) + 0.3 * finding.size_mm
        return float(np.clip(x, min(lowest, self.reach - margin), self.reach)), float(y)

    def _half_width(self, x: float, upper: bool) -> float:
        """From the nipple's height to the skin at depth x, on one side."""
        length = min(self.upper, 1.05 * self.reach) if upper else self.lower
        y = self.nipple_y + np.linspace(0, length, 200) * (-1 if upper else 1)
        inside = self.skin_x(y) > x
        return float(abs(y[inside] - self.nipple_y).max(initial=8.0))

    def skin_distance(self, grid: Grid) -> np.ndarray:
        """Signed distance to the skin in mm, positive inside → (H, W) float32."""
        y = np.linspace(-12.0, grid.height * grid.pitch + 12.0, 260)
        knots = Grid(grid.coarse.height // 2 + 1, grid.coarse.width // 2 + 1, 2 * COARSE_PITCH)
        distance = _distance_to_polyline(knots, self.skin_x(y).astype(np.float32), y.astype(np.float32))
        signed = np.where(knots.x < self.skin_x(knots.y), distance, -distance)
        return enlarge(signed, knots.pitch, grid)


def _superellipse(u: np.ndarray, reach: float, roundness: float) -> np.ndarray:
    """Half of a superellipse, continued below the chest wall so that the breast ends where u passes 1."""
    inside = reach * np.clip(1 - np.clip(u, 0, 1) ** roundness, 0, 1) ** (1 / roundness)
    return np.where(u < 1, inside, -20 * np.clip((u - 1) * 8, 0, 1))


def _distance_to_polyline(grid: Grid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance in mm of every pixel to the nearest of the segments (x[i], y[i])–(x[i+1], y[i+1])."""
    best = np.full((grid.height, grid.width), np.inf, dtype=np.float32)
    for x0, y0, dx, dy in zip(x[:-1], y[:-1], np.diff(x), np.diff(y), strict=True):
        along = np.clip(((grid.x - x0) * dx + (grid.y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        squared = (grid.x - x0 - along * dx) ** 2 + (grid.y - y0 - along * dy) ** 2
        np.minimum(best, squared, out=best)
    return np.sqrt(best)


def outline(case: PhantomCase, laterality: str, view: str) -> Outline:
    """The geometry of one view; breasts of a patient differ by a few per cent."""
    a = case.anatomy
    rng = np.random.default_rng([case.seed, case.index, 101, ord(laterality), VIEWS.index(view)])
    reach = a.nipple_distance * rng.normal(1, 0.015)
    common = {"view": view, "reach": reach, "nipple_size": a.nipple_size, "roundness": rng.uniform(1.95, 2.2)}
    if view == "CC":
        nipple_y = FIELD_HEIGHT / 2 - a.nipple_height + rng.normal(0, 2)
        upper = a.cc_height / 2 - a.nipple_height
        lower = a.cc_height - upper
        none = {
            "axilla": 0.0,
            "abdomen": 0.0,
            "pectoral_width": 0.0,
            "pectoral_length": 1.0,
            "pectoral_bulge": 0.0,
        }
        return Outline(nipple_y=nipple_y, upper=upper, lower=lower, **none, **common)
    nipple_y = min(rng.uniform(98, 116), FIELD_HEIGHT - a.mlo_drop - 4)
    width = a.pectoral_width * rng.normal(1, 0.04)
    return Outline(
        nipple_y=nipple_y,
        upper=nipple_y + rng.uniform(0, 20),
        lower=a.mlo_drop,
        axilla=min(width + rng.uniform(6, 18), 0.8 * reach),
        abdomen=rng.uniform(2, 8),
        pectoral_width=width,
        pectoral_length=min(a.pectoral_length * rng.normal(1, 0.04), nipple_y + 0.5 * a.mlo_drop),
        pectoral_bulge=rng.uniform(-1.5, 4),
        **common,
    )
