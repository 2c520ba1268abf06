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
    padded = F.pad(torch.from_numpy(mask)[None, None].float(), (half,) * 4, mode="replicate")
    eroded = -_largest(-padded, width, 0)
    return (_largest(eroded, width, half)[0, 0] > 0.5).numpy()


def _largest(values: torch.Tensor, width: int, padding: int) -> torch.Tensor:
    """The maximum in a square around each pixel: first of rows, then of columns."""
    rows = F.max_pool2d(values, (width, 1), stride=1, padding=(padding, 0))
    return F.max_pool2d(rows, (1, width), stride=1, padding=(0, padding))


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 8-connected component of an (h, w) mask, as a mask: runs of each row joined by a union-find."""
    parent: list[int] = []
    runs: list[tuple[int, int, int]] = []  # row, first and last-but-one column
    above: list[int] = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
        here = []
        for x0, x1 in edges.reshape(-1, 2).tolist():
            run = len(runs)
            parent.append(run)
            runs.append((y, x0, x1))
            for other in above:
                if runs[other][1] <= x1 and runs[other][2] >= x0:
                    parent[_root(parent, other)] = _root(parent, run)
            here.append(run)
        above = here
    return _painted(mask.shape, runs, [_root(parent, run) for run in range(len(runs))])


def _painted(shape: tuple[int, int], runs: list[tuple[int, int, int]], roots: list[int]) -> np.ndarray:
    """A mask of the runs whose root has most pixels."""
    mask = np.zeros(shape, bool)
    if runs:
        areas = np.bincount(roots, weights=[x1 - x0 for _, x0, x1 in runs])
        for (y, x0, x1), root in zip(runs, roots, strict=True):
            mask[y, x0:x1] = root == areas.argmax()
    return mask


def _root(parent: list[int], run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


def box_of(component: np.ndarray, tail: float = TAIL) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of a mask, without the thin tails above and below: the glow of a film's chest wall edge."""
    widths = component.sum(axis=1)
    rows = np.flatnonzero(widths >= tail * widths.max())
    columns = np.flatnonzero(component[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] + 1), int(rows[-1] + 1)
