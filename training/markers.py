"""Letters and labels beside the breast, blanked: they tell side and view to a model that looks at nothing else."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from processing.bright_regions import tissue

BLOCKS = 128  # along the longer side; markers are looked for in the brightest pixel of each block
HIGHEST, WIDEST = 1 / 6, 1 / 3  # of the image: what is larger is no marker
BRIGHT = 0.3  # of the image's brightest pixel: what is darker may be a faint edge of the breast
NEIGHBOURS = np.ones((3, 3), bool)


def without_markers(image: Tensor) -> Tensor:
    """(H, W) uint8, breast bright → the same with small bright parts beside the breast as dark as the background.

    The image itself where there is none. In doubt a marker stays: the breast is the largest bright part, and whatever
    touches it, lies nearer to the chest wall than its edge, is large or is not bright counts as breast.
    """
    block = max(1, max(image.shape) // BLOCKS)
    blocks = F.max_pool2d(image[None], block, ceil_mode=True)[0].numpy()
    bright = tissue(torch.from_numpy(blocks) / 255).numpy()
    parts, _ = ndimage.label(bright, NEIGHBOURS)
    markers = np.isin(parts, _marker_numbers(parts, blocks))
    if not markers.any():
        return image
    glow = ndimage.binary_dilation(markers, NEIGHBOURS) & (markers | ~bright)
    mask = np.repeat(np.repeat(glow, block, axis=0), block, axis=1)[: image.shape[0], : image.shape[1]]
    background = int(np.median(blocks[~bright]))
    return image.masked_fill(torch.from_numpy(mask), background)


def _marker_numbers(parts: np.ndarray, blocks: np.ndarray) -> list[int]:
    """The numbers of those connected parts that are markers."""
    sizes = np.bincount(parts.ravel())
    if len(sizes) < 3:  # the background and at most one part
        return []
    breast = ndimage.binary_dilation(_silhouette(parts == 1 + sizes[1:].argmax()), NEIGHBOURS)
    on_breast = set(parts[breast])
    height, width = parts.shape
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
        small = rows.stop - rows.start <= HIGHEST * height and columns.stop - columns.start <= WIDEST * width
        if small and number not in on_breast:
            brightest = blocks[rows, columns][parts[rows, columns] == number].max()
            if brightest >= BRIGHT * blocks.max():
                found.append(number)
    return found


def _silhouette(breast: np.ndarray) -> np.ndarray:
    """A mask of the breast, filled from its chest wall to its edge in each row; rows without breast: the chest wall."""
    third = max(1, breast.shape[1] // 3)
    on_right = breast[:, -third:].sum() > breast[:, :third].sum()
    from_left = breast[:, ::-1] if on_right else breast
    filled = np.maximum.accumulate(from_left[:, ::-1], axis=1)[:, ::-1].copy()
    filled[:, 0] = True
    return filled[:, ::-1] if on_right else filled
