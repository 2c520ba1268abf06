"""OpenCV's bilinear resize of 8-bit images, to the last bit and without OpenCV: how the published code stretched.

`cv2.resize(…, interpolation=cv2.INTER_LINEAR)` has no antialias and works in fixed point: weights of 11 bits, and
two truncations between rows (modules/imgproc/src/resize.cpp). A later min–max multiplies the difference that any
other arithmetic makes, so the arithmetic is kept.
"""

import numpy as np

ONE = 1 << 11  # the weight 1


def resize_8bit(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) uint8 → (height, width) uint8."""
    left, right, to_left, to_right = _columns(pixels.shape[1], width)
    wide = pixels.astype(np.int32)
    rows = (wide[:, left] * to_left + wide[:, right] * to_right) >> 4  # (H, width)
    above, below, to_above, to_below = _neighbours(pixels.shape[0], height)
    upper = (to_above[:, None] * rows[above]) >> 16
    lower = (to_below[:, None] * rows[below]) >> 16
    return ((upper + lower + 2) >> 2).astype(np.uint8)


def _neighbours(old: int, new: int) -> tuple[np.ndarray, ...]:
    """For every new pixel the two old ones that it lies between, and their weights of 2048."""
    position = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
    first = np.floor(position).astype(np.int64)
    weights = _weights(position - first.astype(np.float32))
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), *weights


def _columns(old: int, new: int) -> tuple[np.ndarray, ...]:
    """As `_neighbours`; across, OpenCV gives a pixel beyond the border's centres to the border alone."""
    left, right, to_left, to_right = _neighbours(old, new)
    beyond = left == right
    return left, right, np.where(beyond, ONE, to_left), np.where(beyond, 0, to_right)


def _weights(fraction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.rint(part * ONE).astype(np.int32) for part in (1 - fraction, fraction))
