"""A scanned page as a picture: its paper, by how much it was turned, upright again, evenly lit."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

INK = 0.72  # of the paper's brightness: darker is print
MOST_SKEW = 4.0  # degrees; more is no longer an accident of the scanner
COARSE, FINE = 0.2, 0.02  # steps in degrees
NO_SKEW = 0.05  # degrees; less moves nothing by more than half a point
SIDE = 1600  # pixels of the page's longer side that the angle is measured on
LIGHT_SCALE = 8  # light is measured on a page this much smaller …
LIGHT_WINDOW = 9  # … in squares of so many of its pixels, which are larger than a letter


def paper_white(grey: np.ndarray) -> float:
    """The paper's brightness on a page (H, W) uint8."""
    return float(np.percentile(grey[::4, ::4], 90))


def skew_angle(grey: np.ndarray) -> float:
    """Degrees by which a page (H, W) uint8 was turned counterclockwise; 0.0 where there is nothing to go by.

    The angle at which the upper edges of letters and pictures fall on the fewest rows (projection profile).
    """
    small = np.asarray(Image.fromarray(grey).reduce(max(1, round(max(grey.shape) / SIDE))))
    ink = small < INK * paper_white(small)
    rows, columns = np.nonzero(ink[1:] & ~ink[:-1])
    if len(rows) < 50:
        return 0.0
    coarse = _sharpest(rows, columns, np.arange(-MOST_SKEW, MOST_SKEW + COARSE, COARSE))
    fine = _sharpest(rows, columns, coarse + np.arange(-COARSE, COARSE + FINE, FINE))
    return 0.0 if abs(fine) < NO_SKEW else round(fine, 2)


def _sharpest(rows: np.ndarray, columns: np.ndarray, angles: np.ndarray) -> float:
    """The angle whose profile of edges by row has the largest sum of squares; the middle one of equals."""
    slopes = np.tan(np.deg2rad(angles))
    levels = (np.rint(rows + slope * (columns - columns.mean())).astype(np.int64) for slope in slopes)
    sharpness = np.array([np.square(np.bincount(level - level.min())).sum() for level in levels])
    return float(angles[sharpness >= 0.999 * sharpness.max()].mean())


def upright(page: Image.Image, angle: float) -> Image.Image:
    """A page ("L") that was turned by `angle` degrees, turned back about its middle; corners get paper."""
    if not angle:
        return page
    return page.rotate(-angle, Image.Resampling.BICUBIC, fillcolor=int(paper_white(np.asarray(page))))


def fill_margins(grey: np.ndarray, box: tuple[float, float, float, float], dpi: float) -> np.ndarray:
    """Paint what lies outside a scan (box in points) on its page with the scan's paper, or it would pass for it."""
    x0, y0, x1, y1 = (round(value * dpi / 72) for value in box)
    scan = grey[max(0, y0) : y1, max(0, x0) : x1]
    filled = np.full_like(grey, round(paper_white(scan)))
    filled[max(0, y0) : y1, max(0, x0) : x1] = scan
    return filled


def even_light(grey: np.ndarray) -> np.ndarray:
    """A page of text (H, W) uint8 → the same with its paper white everywhere, whatever shadow lay on it."""
    small = np.asarray(Image.fromarray(grey).reduce(LIGHT_SCALE))
    # Closing, not the maximum alone, which would take the light for stronger than it is wherever it falls off.
    closed = ndimage.grey_closing(small, LIGHT_WINDOW)
    paper = ndimage.gaussian_filter(closed.astype(np.float32), LIGHT_WINDOW / 2)
    size = grey.shape[1], grey.shape[0]
    light = np.asarray(Image.fromarray(paper).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    return np.clip(grey * (255 / np.maximum(light, 1)), 0, 255).astype(np.uint8)
