"""What lies outside the breast on a film: the side-and-view letters and the identification plate."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .anatomy import Outline
from .case import PhantomCase
from .grids import Grid

PLATE = (15.0, 7.0)  # mm, width and height


def draw_labels(image: np.ndarray, case: PhantomCase, laterality: str, shape: Outline, grid: Grid) -> None:
    """Write labels into a finished (H, W) brightness image, in place, where the breast is not.

    `image` is the image as shown (a right breast already mirrored), so that the letters read the right way.
    """
    rng = np.random.default_rng([case.seed, case.index, 301, ord(laterality), ord(shape.view[0])])
    letters = f"{laterality} {shape.view}" if rng.random() < 0.6 else f"{laterality}{shape.view}"
    upper = shape.view == "MLO" or rng.random() < 0.75
    _paste(image, _letters(letters, rng.uniform(6, 9) / grid.pitch), shape, laterality, grid, upper)
    if rng.random() < 0.45:
        _paste(image, _plate(rng, grid.pitch), shape, laterality, grid, not upper)


def _letters(text: str, height: float) -> np.ndarray:
    """The text `height` pixels high → (h, w) float32 in 0 … 1."""
    font = ImageFont.load_default(size=max(height, 6))
    x0, y0, x1, y1 = font.getbbox(text)
    canvas = Image.new("L", (int(x1 - x0) + 2, int(y1 - y0) + 2))
    ImageDraw.Draw(canvas).text((1 - x0, 1 - y0), text, fill=255, font=font)
    return np.asarray(canvas, dtype=np.float32) / 255


def _plate(rng: np.random.Generator, pitch: float) -> np.ndarray:
    """A bright rectangle with rows of dark unreadable marks."""
    width, height = (max(4, round(side / pitch)) for side in PLATE)
    plate = np.full((height, width), 0.85, dtype=np.float32)
    marks = rng.random((3, 12)) < 0.6
    for row, column in np.argwhere(marks):
        y, x = (row + 0.35) * height / 3.3, (column + 0.6) * width / 13
        plate[int(y) : int(y + 0.14 * height) + 1, int(x) : int(x + width / 22) + 1] = 0.25
    return plate


def _paste(image, label: np.ndarray, shape: Outline, laterality: str, grid: Grid, upper: bool) -> None:
    """Put a label near the border away from the chest wall; nowhere, when the breast reaches there."""
    height, width = label.shape
    gap = round(4 / grid.pitch)
    y = gap if upper else grid.height - gap - height
    x = grid.width - gap - width
    skin = shape.skin_x((np.arange(y - gap, y + height + gap) + 0.5) * grid.pitch).max()
    if y < 0 or y + height > grid.height or x * grid.pitch < skin + 3:
        return
    if laterality == "R":
        x = gap
    window = image[y : y + height, x : x + width]
    np.maximum(window, label * 0.92, out=window)
