"""Images that look the same: found by a perceptual hash, confirmed by what is in them at the same places.

The hash (`imagehash.phash`, 64 bits) makes few candidates out of all pairs, among them breasts that merely have the
same outline. `share_alike` tells those apart: it compares what is fine in two images, place by place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import imagehash
import numpy as np
from PIL import Image
from scipy import ndimage

BITS = 64
MOST = 7  # bits that may differ
SIDE, BLOCK = 64, 8  # pixels: of an image's detail, and of the blocks that are compared
COARSE = 3.0  # pixels: what is larger than about this is outline, not detail
LEAST_DETAIL = 2.0  # grey levels: the standard deviation of a block in which there is something to compare
LEAST_BLOCKS = 4
ALIKE = 0.75  # the correlation from which two blocks are alike
SAME = 0.75  # the share of blocks from which two images are the same picture


def perceptual_hash(image: Image.Image) -> int:
    """The hash of an image, 0 … 2⁶⁴−1: the signs of its 8 × 8 lowest frequencies."""
    return int(str(imagehash.phash(image)), 16)


def near_pairs(hashes: Sequence[int], distance: int = 4) -> np.ndarray:
    """Places (i, j), i < j, of all pairs of hashes that differ in at most `distance` bits: (P, 2) int64, sorted.

    The bits are dealt into distance + 1 bands. Hashes that agree in no band differ in more bits than that and are
    never compared, so that hundreds of thousands need no comparison of all with all. Raises ValueError for a distance
    beyond 7.
    """
    if not 0 <= distance <= MOST:
        raise ValueError(f"a distance of {distance} bits was asked for; expected 0 to {MOST}.")
    values = np.asarray(hashes, dtype=np.uint64)
    bands = distance + 1
    found = [np.empty((0, 2), dtype=np.int64)]
    for band in range(bands):
        # Neighbouring bits depend on each other; dealt out, they make bands of which each tells much.
        mask = np.uint64(sum(1 << bit for bit in range(band, BITS, bands)))
        found += _near_in_band(values, values & mask, distance)
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _near_in_band(values: np.ndarray, keys: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """Pairs (P, 2) of near values among those of one key: each with its next in order, then its next but one …"""
    order = np.argsort(keys, kind="stable")
    values, keys = values[order], keys[order]
    ends = np.searchsorted(keys, keys, side="right")
    first, lag = np.arange(len(values)), 1
    while len(first := first[first + lag < ends[first]]):
        near = first[np.bitwise_count(values[first] ^ values[first + lag]) <= distance]
        yield order[np.stack([near, near + lag], axis=1)]
        lag += 1


def fine_detail(image: Image.Image) -> np.ndarray:
    """What is fine in an image: (64, 64) int8, grey levels above what surrounds each pixel; outlines are left out."""
    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float32)
    return np.clip(np.rint(grey - ndimage.gaussian_filter(grey, COARSE)), -127, 127).astype(np.int8)


def share_alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In which share of their places N pairs of images agree: (N, 64, 64) int8 twice → (N,) in [0, 1].

    The details of blocks of 8 × 8 are correlated; blocks count in which one image at least has any. From SAME on, two
    images are the same picture: resized, compressed, with other contrast, most often also where one was cut by another
    percent. Different breasts stay well below; whole films of one scanner, which share its borders, come nearer. Images
    with hardly any detail agree in nothing.
    """
    first, second = _blocks(first), _blocks(second)
    lengths = np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1)
    correlation = (first * second).sum(axis=-1) / np.maximum(lengths[0] * lengths[1], 1e-6)
    counts = np.maximum(*lengths) > LEAST_DETAIL * BLOCK
    alike = (counts & (correlation >= ALIKE)).sum(axis=1)
    number = counts.sum(axis=1)
    return np.where(number >= LEAST_BLOCKS, alike / np.maximum(number, 1), 0.0)


def _blocks(details: np.ndarray) -> np.ndarray:
    """(N, 64, 64) → (N, 64 blocks, 64 pixels), each block of mean 0."""
    cells = details.reshape(-1, SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK).swapaxes(2, 3)
    cells = cells.reshape(len(cells), -1, BLOCK * BLOCK).astype(np.float32)
    return cells - cells.mean(axis=-1, keepdims=True)
