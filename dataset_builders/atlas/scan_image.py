"""A scanned page as a picture: its paper, by how much it was turned, upright again, evenly lit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image
from scipy import ndimage

from dataset_builders.atlas.layout import Box

INK = 0.72  # of the paper's brightness: darker is print
MOST_SKEW = 4.0  # degrees; more is no longer an accident of the scanner
COARSE, FINE = 0.2, 0.02  # steps in degrees
NO_SKEW = 0.05  # degrees; less moves nothing by more than half a point
LAYOUT_DPI = 144  # what is looked at for layout: two pixels a point, or a little more
SIDE = 1600  # pixels of the page's longer side that the angle is measured on
TILE = 6.0  # points a side, in which the paper's brightness is looked for
DIMMEST = 0.6  # of the page's paper: what is darker is no paper in the shade
EDGE = 50.0  # points: what is dark at the page's border for less is the scanner's lid
EDGE_DARK = 0.6  # of the paper
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


def fill_margins(grey: np.ndarray, boxes: Iterable[Box], dpi: float) -> np.ndarray:
    """Paint what no scan (boxes in points) covers of a page with the scans' paper, or their paper would look grey."""
    covered = np.zeros(grey.shape, bool)
    for box in boxes:
        x0, y0, x1, y1 = (max(0, round(value * dpi / 72)) for value in box)
        covered[y0:y1, x0:x1] = True
    if covered.all() or not covered.any():
        return grey
    return np.where(covered, grey, np.uint8(np.percentile(grey[covered], 90)))


def even_light(grey: np.ndarray) -> np.ndarray:
    """A page of text (H, W) uint8 → the same with its paper white everywhere, whatever shadow lay on it."""
    small = np.asarray(Image.fromarray(grey).reduce(LIGHT_SCALE))
    # Closing, not the maximum alone, which would take the light for stronger than it is wherever it falls off.
    closed = ndimage.grey_closing(small, LIGHT_WINDOW)
    paper = ndimage.gaussian_filter(closed.astype(np.float32), LIGHT_WINDOW / 2)
    size = grey.shape[1], grey.shape[0]
    light = np.asarray(Image.fromarray(paper).resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    return np.clip(grey * (255 / np.maximum(light, 1)), 0, 255).astype(np.uint8)


def reduced(grey: np.ndarray, dpi: float) -> tuple[np.ndarray, float]:
    """A page (H, W) uint8 → the same at LAYOUT_DPI to twice of it, and its pixels' size in points."""
    factor = max(1, int(dpi / LAYOUT_DPI))
    return np.asarray(Image.fromarray(grey).reduce(factor)), 72 / dpi * factor


def levelled(grey: np.ndarray, unit: float) -> np.ndarray:
    """A page (H, W) uint8 → float32, its brightness as a share of the paper's, 1.0 also in the shade of a fold.

    The paper's brightness falls off by columns and by rows, as it does at a book's spine and under a lid.
    """
    side = max(4, round(TILE / unit))
    tiles = np.asarray(Image.fromarray(grey).reduce(side), np.float32)
    across = _profile(tiles, 0)
    light = across[None, :] * _profile(tiles / across[None, :], 1)[:, None]
    size = grey.shape[1], grey.shape[0]
    spread = Image.fromarray(light.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return grey / np.maximum(np.asarray(spread, np.float32), 1)


def _profile(tiles: np.ndarray, axis: int) -> np.ndarray:
    """The paper's brightness along the other axis; where there is none to be seen, that of the page."""
    bright = np.percentile(tiles, 90, axis=axis)
    page = np.percentile(bright, 75)
    return ndimage.gaussian_filter1d(np.where(bright < DIMMEST * page, page, bright), 2, mode="nearest")


def scanner_edge(grey: np.ndarray, unit: float) -> np.ndarray:
    """Mask (H, W) bool of the dark bands and wedges at the four sides of a page (H, W) uint8.

    A film that touches such a band is dark for further than a band is wide, and keeps its place.
    """
    dark = grey < EDGE_DARK * paper_white(grey)
    edge = np.zeros_like(dark)
    for side in range(4):
        turned, mask = np.rot90(dark, side), np.rot90(edge, side)  # views: mask is written through
        mask |= np.arange(turned.shape[1]) < _band(turned, unit)[:, None]
    return edge


def _band(dark: np.ndarray, unit: float) -> np.ndarray:
    """Width in pixels (H,) of the dark band at the left side; rows that are dark for longer take their neighbours'."""
    limit = min(round(EDGE / unit), dark.shape[1])
    start = dark[:, :limit]
    width = np.where(start.all(axis=1), limit, start.argmin(axis=1))
    rows = np.flatnonzero(width < limit)
    if len(rows) < 0.1 * len(width):
        return np.zeros(len(width))
    usual = ndimage.percentile_filter(width[rows], 20, max(3, round(2 * EDGE / unit)))
    return np.interp(np.arange(len(width)), rows, np.where(usual > 0, usual + 2 / unit, 0))
