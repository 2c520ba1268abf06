"""Bright regions of a mammogram: what stands out of the background, cleaned, and the largest of it: the breast."""

import numpy as np
import torch
from torch.nn import functional as F

LONG_SIDE = 256  # pixels of the reduced image in which the breast is looked for
OPENING = 5  # pixels of it: thinner bridges, as between breast and label, are cut
FAINTEST = 0.02  # of the image's range: fainter than this is noise
BAND, BAND_DROP = 0.04, 0.3  # a band's depth, of the image; by how much of the border its end is emptier
TAIL = 0.1  # of the breast's widest row: rows that are thinner are no breast
DARK = 0.05  # of the way from background to tissue: where tissue begins


def reduced_by_area(image: torch.Tensor) -> torch.Tensor:
    """(H, W) → at most LONG_SIDE pixels on the longer side, by area."""
    scale = LONG_SIDE / max(image.shape)
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape]
    return F.adaptive_avg_pool2d(image[None], size)[0]


def tissue(scaled: torch.Tensor) -> torch.Tensor:
    """(h, w) in 0 … 1 → mask of what is brighter than the background, judged by the image's own quantiles."""
    background, tissue = (float(torch.quantile(scaled, level)) for level in (0.02, 0.95))
    return scaled > background + max(DARK * (tissue - background), FAINTEST)


def without_border_bands(mask: np.ndarray) -> np.ndarray:
    """Clear thin bands along the borders of an (h, w) mask: the edge of a film on its scanner.

    A band covers its border and ends within BAND of the image, where the breast at its chest wall goes on.
    """
    mask = mask.copy()
    for turns in range(4):
        side = np.rot90(mask, turns)  # a view: its first row is one of the four borders in turn
        depth = max(1, round(BAND * len(side)))
        filled = side[: depth + 1].mean(axis=1)
        end = int(np.argmin(filled))
        if filled[:end].max(initial=0) - filled[end] > BAND_DROP:
            side[:end] = False
    return mask


def opened(mask: np.ndarray, width: int = OPENING) -> np.ndarray:
    """Morphological opening of an (h, w) mask by a square; beyond the border counts as what is at the border."""
    half = width // 2
    eroded = ~_spread(~np.pad(mask, half, mode="edge"), width)
    return _spread(np.pad(eroded, half), width)


def _spread(mask: np.ndarray, width: int) -> np.ndarray:
    """(h, w) mask → whether any pixel of a square is set, for each of the (h - width + 1, …) squares within it."""
    rows = _any([mask[shift : len(mask) - width + 1 + shift] for shift in range(width)])
    return _any([rows[:, shift : rows.shape[1] - width + 1 + shift] for shift in range(width)])


def _any(masks: list[np.ndarray]) -> np.ndarray:
    found = masks[0].copy()
    for mask in masks[1:]:
        found |= mask
    return found


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected component of an (h, w) mask, as a mask: runs of each row joined by a union-find."""
    starts, ends = _runs(mask)
    if not len(starts):
        return np.zeros(mask.shape, bool)
    roots = _joined(starts, ends, mask.shape[1] + 1)
    areas = np.bincount(roots, weights=ends - starts)
    largest = roots == areas.argmax()
    return _painted(mask.shape, starts[largest], ends[largest])


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last-but-one pixel of all runs, row by row, counted through a mask with a column more, an empty one."""
    line = np.pad(mask, ((0, 0), (0, 1))).ravel()
    edges = np.flatnonzero(np.diff(line, prepend=False, append=False))
    return edges[::2], edges[1::2]


def _joined(starts: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    """For every run the last run of its component. A run touches those of the row above that end at its start or later
    and start at its end or earlier, corners included.
    """
    parent = list(range(len(starts)))
    first = np.searchsorted(ends, starts - width).tolist()
    beyond = np.searchsorted(starts, ends - width, side="right").tolist()
    for run in parent[:]:
        for other in range(first[run], beyond[run]):
            parent[_root(parent, other)] = run
    return np.array([_root(parent, run) for run in parent[:]])


def _root(parent: list[int], run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


def _painted(shape: tuple[int, int], starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """A mask of runs that are counted as `_runs` does."""
    steps = np.zeros((shape[0], shape[1] + 1), np.int8)
    steps.ravel()[starts] = 1
    steps.ravel()[ends] = -1
    return np.cumsum(steps, axis=1, dtype=np.int8)[:, :-1].astype(bool)


def box_of(component: np.ndarray, tail: float = TAIL) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of a mask, without the thin tails above and below: the glow of a film's chest wall edge."""
    widths = component.sum(axis=1)
    rows = np.flatnonzero(widths >= tail * widths.max())
    columns = np.flatnonzero(component[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] + 1), int(rows[-1] + 1)
