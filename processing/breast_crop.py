"""Where the breast is in a mammogram: a threshold and the largest connected component, away from film labels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

LONG_SIDE = 256  # pixels of the reduced image in which the breast is looked for
OPENING = 5  # pixels of it: thinner bridges, as between breast and label, are cut
MARGIN = 0.01  # of the box's sides, added on every side
FAINTEST = 0.02  # of the image's range: fainter than this is noise
BAND, BAND_DROP = 0.04, 0.3  # a band's depth, of the image; by how much of the border its end is emptier
TAIL = 0.1  # of the breast's widest row: rows that are thinner are no breast
WHOLE = 0.97  # a box that covers so much of both sides is an image that was cropped before
DARK = 0.05  # of the way from background to tissue: where tissue begins


@dataclass(frozen=True)
class BreastBox:
    """A box in pixels, x1 and y1 exclusive. score: the share (0–1) of all bright pixels that lie in the breast.

    source: "threshold", or "whole" where no breast stands out (a blank image, or one that was cropped before).
    """

    x0: int
    y0: int
    x1: int
    y1: int
    score: float
    source: str

    def crop(self, array):
        """The box of an (..., H, W) array or tensor."""
        return array[..., self.y0 : self.y1, self.x0 : self.x1]


def find_breast(pixels) -> BreastBox:
    """The breast's box in an (H, W) array or tensor of numbers, breast bright on a dark background."""
    image = torch.as_tensor(np.asarray(pixels, dtype=np.float32) if not torch.is_tensor(pixels) else pixels)
    height, width = image.shape
    whole = BreastBox(0, 0, width, height, 0.0, "whole")
    small = _reduced(image.float())
    low, high = float(small.min()), float(small.max())
    if high <= low:
        return whole
    bright = without_border_bands(_tissue((small - low) / (high - low)).numpy())
    component = largest_component(_opened(bright))
    if not component.any():
        return whole
    share = float(component.sum() / max(bright.sum(), component.sum()))
    return _scaled(_box(component), small.shape, (height, width), share)


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


def _box(component: np.ndarray) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of a mask, without the thin tails above and below: the glow of a film's chest wall edge."""
    widths = component.sum(axis=1)
    rows = np.flatnonzero(widths >= TAIL * widths.max())
    columns = np.flatnonzero(component[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] + 1), int(rows[-1] + 1)


def _reduced(image: torch.Tensor) -> torch.Tensor:
    """(H, W) → at most LONG_SIDE pixels on the longer side, by area."""
    scale = LONG_SIDE / max(image.shape)
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape]
    return F.adaptive_avg_pool2d(image[None], size)[0]


def _tissue(scaled: torch.Tensor) -> torch.Tensor:
    """(h, w) in 0 … 1 → mask of what is brighter than the background, judged by the image's own quantiles."""
    background, tissue = (float(torch.quantile(scaled, level)) for level in (0.02, 0.95))
    return scaled > background + max(DARK * (tissue - background), FAINTEST)


def _opened(mask: np.ndarray) -> np.ndarray:
    """Morphological opening of an (h, w) mask; beyond the border counts as what is at the border."""
    half = OPENING // 2
    padded = F.pad(torch.from_numpy(mask)[None, None].float(), (half,) * 4, mode="replicate")
    eroded = -F.max_pool2d(-padded, OPENING, stride=1)
    return (F.max_pool2d(eroded, OPENING, stride=1, padding=half)[0, 0] > 0.5).numpy()


def _scaled(box: tuple, small: torch.Size, full: tuple[int, int], share: float) -> BreastBox:
    """A box in the reduced image → in the full one, with a margin; the whole image where that is nearly the same."""
    scale = np.array([full[1] / small[1], full[0] / small[0]] * 2)
    x0, y0, x1, y1 = np.array(box) * scale
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    x0, x1 = max(0, int(x0 - across)), min(full[1], int(np.ceil(x1 + across)))
    y0, y1 = max(0, int(y0 - down)), min(full[0], int(np.ceil(y1 + down)))
    if (x1 - x0) >= WHOLE * full[1] and (y1 - y0) >= WHOLE * full[0]:
        return BreastBox(0, 0, full[1], full[0], share, "whole")
    return BreastBox(x0, y0, x1, y1, share, "threshold")
