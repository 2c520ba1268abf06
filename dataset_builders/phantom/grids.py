"""Pixel grids in millimetres, smooth enlargement between them, and random fields that every resolution shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, sparse

FIELD_HEIGHT, FIELD_WIDTH = 180.0, 135.0  # mm shown by an image of 4:3
COARSE_PITCH = FIELD_HEIGHT / 256  # mm; smooth things are computed at this pitch and enlarged


@dataclass(frozen=True)
class Grid:
    """An image of height × width pixels of `pitch` mm; x runs from the chest wall, y from the upper border."""

    height: int
    width: int
    pitch: float

    @classmethod
    def covering_the_field(cls, height: int, width: int) -> Grid:
        """The grid of an image that shows at least FIELD_HEIGHT × FIELD_WIDTH mm with square pixels."""
        return cls(height, width, max(FIELD_HEIGHT / height, FIELD_WIDTH / width))

    @property
    def coarse(self) -> Grid:
        """The same field at COARSE_PITCH."""
        rows, columns = (round(n * self.pitch / COARSE_PITCH) for n in (self.height, self.width))
        return Grid(max(rows, 2), max(columns, 2), COARSE_PITCH)

    @property
    def y(self) -> np.ndarray:
        """(H, 1) float32, mm of the pixel centres."""
        return ((np.arange(self.height, dtype=np.float32) + 0.5) * np.float32(self.pitch))[:, None]

    @property
    def x(self) -> np.ndarray:
        """(1, W) float32, mm of the pixel centres."""
        return ((np.arange(self.width, dtype=np.float32) + 0.5) * np.float32(self.pitch))[None, :]


@lru_cache(maxsize=64)
def _cubic_matrix(n: int, pitch: float, source_n: int, source_pitch: float, wrap: bool) -> sparse.csr_array:
    """(n, source_n) Catmull–Rom weights that sample a line of `source_n` values at another pitch."""
    position = (np.arange(n) + 0.5) * (pitch / source_pitch) - 0.5
    base = np.floor(position).astype(int)
    t = position - base
    weights = np.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ],
        axis=1,
    )
    columns = base[:, None] + np.arange(-1, 3)
    columns = columns % source_n if wrap else columns.clip(0, source_n - 1)
    rows = np.repeat(np.arange(n), 4)
    entries = (weights.ravel().astype(np.float32), (rows, columns.ravel()))
    return sparse.csr_array(entries, shape=(n, source_n))


def enlarge(field: np.ndarray, pitch: float, grid: Grid, *, wrap: bool = False) -> np.ndarray:
    """Sample a (h, w) field of `pitch` mm at the pixels of `grid` → (H, W) float32, by cubic convolution.

    wrap: the field is periodic (a random field), otherwise it is continued by its border.
    """
    if field.shape == (grid.height, grid.width) and np.isclose(pitch, grid.pitch):
        return np.ascontiguousarray(field, dtype=np.float32)
    rows = _cubic_matrix(grid.height, grid.pitch, field.shape[0], pitch, wrap)
    columns = _cubic_matrix(grid.width, grid.pitch, field.shape[1], pitch, wrap)
    wide = (columns @ np.ascontiguousarray(field.T, dtype=np.float32)).T
    return rows @ np.ascontiguousarray(wide)


def _coefficients(seed: tuple[int, ...], rows: int) -> np.ndarray:
    """Unit white spectrum (rows, 3·rows/8 + 1) complex64; a finer grid keeps the coarser one's low frequencies."""
    spectrum, size = None, 128
    while size <= rows:
        rng = np.random.default_rng([*seed, size])
        parts = rng.standard_normal((2, size, 3 * size // 8 + 1), dtype=np.float32)
        finer = parts[0] + 1j * parts[1]
        if spectrum is not None:
            low, columns = size // 4, spectrum.shape[1] - 1
            finer[:low, :columns] = spectrum[:low, :columns]
            finer[1 - low :, :columns] = spectrum[1 - low :, :columns]
        spectrum, size = finer, size * 2
    return spectrum


@lru_cache(maxsize=16)
def _power_law_amplitude(rows: int, beta: float, longest: float, shortest: float) -> np.ndarray:
    """(rows, 3·rows/8 + 1) float32 amplitudes of a power spectrum f^−β, unit variance up to 0.7 cycles/mm."""
    fy = fft.fftfreq(rows, FIELD_HEIGHT / rows)[:, None]
    fx = fft.rfftfreq(3 * rows // 4, FIELD_HEIGHT / rows)[None, :]
    f = np.hypot(fy, fx)
    amplitude = np.hypot(f, 1 / longest) ** (-beta / 2) * np.exp(-((f * shortest) ** 2))
    amplitude[0, 0] = 0
    power = (amplitude[(f < 0.7)] ** 2).sum() * 2 * 2  # complex coefficients, and their mirror images
    return (amplitude * rows * (3 * rows // 4) / np.sqrt(power)).astype(np.float32)


def power_law_field(
    seed: tuple[int, ...], grid: Grid, *, beta: float, longest: float, shortest: float = 0.0
) -> np.ndarray:
    """A periodic Gaussian field with power spectrum f^−β, about unit variance → (H, W) float32.

    It is one fixed trigonometric polynomial of the seed, so every resolution shows the same texture.
    longest: wavelength in mm beyond which the spectrum is flat; shortest: below which it fades (0: never).
    """
    rows = 128
    while FIELD_HEIGHT / rows > grid.pitch * 1.001 and rows < 4096:
        rows *= 2
    spectrum = _coefficients(seed, rows) * _power_law_amplitude(rows, beta, longest, shortest)
    field = fft.irfft2(spectrum, s=(rows, 3 * rows // 4))
    return enlarge(field, FIELD_HEIGHT / rows, grid, wrap=True)


def smooth_step(value: np.ndarray, width: float) -> np.ndarray:
    """A logistic step from 0 to 1 at value 0; `width` (in the value's unit) holds 10–90 % of the rise."""
    scaled = np.clip(value * np.float32(4.4 / width), -30, 30)
    return 1 / (1 + np.exp(-scaled))
