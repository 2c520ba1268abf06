"""The small square of an image in which a finding is painted, and the tools to paint it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .grids import COARSE_PITCH, FIELD_HEIGHT, FIELD_WIDTH, Grid, power_law_field

Box = tuple[int, int, int, int]
ANGLES = 1440  # directions of a polar table
RADIUS_STEP = 0.25  # mm between a polar table's rings


@dataclass(frozen=True)
class Patch:
    """A window on an image, with coordinates in mm relative to the finding's centre.

    rows, columns: the window; x (1, w), y (h, 1) float32; centre (x, y) in mm of the whole image.
    """

    rows: slice
    columns: slice
    x: np.ndarray
    y: np.ndarray
    centre: tuple[float, float]
    pitch: float

    @classmethod
    def around(cls, grid: Grid, centre: tuple[float, float], radius: float) -> Patch:
        """The window of all pixels within `radius` mm of the centre, in x and in y, cut at the image's borders."""
        rows = _span(centre[1], radius, grid.pitch, grid.height)
        columns = _span(centre[0], radius, grid.pitch, grid.width)
        x, y = grid.x[:, columns] - np.float32(centre[0]), grid.y[rows] - np.float32(centre[1])
        return cls(rows, columns, x, y, centre, grid.pitch)

    def of(self, image: np.ndarray) -> np.ndarray:
        """The window of an image, as a view that can be written to."""
        return image[self.rows, self.columns]

    @property
    def radius(self) -> np.ndarray:
        """(h, w) distance to the centre in mm."""
        return np.hypot(self.x, self.y)

    @property
    def angle(self) -> np.ndarray:
        """(h, w) direction from the centre in radians, −π … π."""
        return np.arctan2(self.y, self.x)

    def texture(self, seed: tuple[int, ...], *, longest: float, beta: float = 3.0) -> np.ndarray:
        """A random field of about unit variance in this window → (h, w) float32; the same at every resolution."""
        whole = Grid(256, 192, COARSE_PITCH)
        field = power_law_field(seed, whole, beta=beta, longest=longest, shortest=1.0)
        rows = (self.y + self.centre[1]) % FIELD_HEIGHT / COARSE_PITCH - 0.5
        columns = (self.x + self.centre[0]) % FIELD_WIDTH / COARSE_PITCH - 0.5
        return ndimage.map_coordinates(field, np.broadcast_arrays(rows, columns), order=1, mode="grid-wrap")

    def polar(self, table: np.ndarray) -> np.ndarray:
        """Sample a polar table (rings of RADIUS_STEP mm × ANGLES directions) in this window → (h, w) float32."""
        columns = (self.angle / (2 * np.pi) % 1) * ANGLES
        rows = self.radius / RADIUS_STEP
        points = np.stack([rows, columns])
        padded = np.concatenate([table, table[:, :1]], axis=1)  # the last direction is the first one again
        return ndimage.map_coordinates(padded, points, order=1, mode="constant")

    def box(self, mask: np.ndarray) -> Box | None:
        """(x0, y0, x1, y1) in pixels of the whole image around the true pixels of an (h, w) mask; None if none."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return None
        x0, y0 = self.columns.start, self.rows.start
        return int(x0 + columns[0]), int(y0 + rows[0]), int(x0 + columns[-1] + 1), int(y0 + rows[-1] + 1)


def _span(centre: float, radius: float, pitch: float, size: int) -> slice:
    start = int(np.clip(np.floor((centre - radius) / pitch), 0, size))
    return slice(start, int(np.clip(np.ceil((centre + radius) / pitch), start, size)))


def radiating_lines(
    rng: np.random.Generator,
    count: int,
    inner: float,
    lengths: tuple[float, float],
    width: float,
    pitch: float,
) -> np.ndarray:
    """Polar table (rings, ANGLES) float32 in 0 … 1 of lines that radiate from a centre and taper outwards.

    inner: mm from the centre where they start; lengths: range of their ends in mm; width: at their root in mm.
    Lines that are thinner than a pixel are painted wider and fainter, as a detector would see them.
    """
    rho = np.arange(int(lengths[1] / RADIUS_STEP) + 2, dtype=np.float32)[:, None] * RADIUS_STEP
    theta = np.arange(ANGLES, dtype=np.float32)[None, :] * np.float32(2 * np.pi / ANGLES)
    table = np.zeros((rho.size, ANGLES), dtype=np.float32)
    for number in range(count):
        end = rng.uniform(*lengths)
        direction = 2 * np.pi * (number + rng.uniform(-0.4, 0.4)) / count
        bend = rng.normal(0, 0.12)
        taper = np.clip((end - rho) / (end - inner), 0, 1) * np.clip(
            (rho - 0.5 * inner) / (0.5 * inner), 0, 1
        )
        thick = width * rng.uniform(0.6, 1.3) * (0.35 + 0.65 * taper)
        seen = np.hypot(thick, 0.6 * pitch)
        turn = (theta - direction - bend * (rho - inner) / end + np.pi) % (2 * np.pi) - np.pi
        across = np.where(np.abs(turn) < 1.2, rho * np.sin(turn), 1e3)
        line = np.exp(-((across / seen) ** 2)) * (thick / seen) * np.sqrt(taper) * rng.uniform(0.6, 1)
        np.maximum(table, line, out=table)
    return table


def stamp(layer: np.ndarray, patch: Patch, x: float, y: float, radius: float, brightness: float) -> None:
    """Paint a soft disc at (x, y) mm from the patch's centre into an (h, w) layer, keeping the brighter value.

    A disc smaller than a pixel keeps its total light, so it fades and does not vanish at low resolution.
    """
    seen = np.hypot(radius, 0.55 * patch.pitch)
    peak = brightness * (radius / seen) ** 2
    x0, y0 = float(patch.x[0, 0]), float(patch.y[0, 0])
    reach = seen + patch.pitch
    rows = _span(y - y0 + patch.pitch / 2, reach, patch.pitch, layer.shape[0])
    columns = _span(x - x0 + patch.pitch / 2, reach, patch.pitch, layer.shape[1])
    window = layer[rows, columns]
    distance = np.hypot(patch.x[:, columns] - x, patch.y[rows] - y)
    np.maximum(window, peak * np.clip((seen - distance) / patch.pitch + 0.5, 0, 1), out=window)
