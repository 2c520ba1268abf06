"""Where the breast is in a mammogram: a detector, or, where that is unsure, a threshold and the largest component."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from .breast_detector import SIZE, detect, load_detector, reduced
from .yolox import Yolox

SURE = 0.5  # of the detector's score; below it the threshold decides
REACH = 0.08  # of the detector's box: how far beyond it its edges may be corrected
INWARDS = np.array(
    [0.6, 1.0, 0.6, 1.0]
)  # how far x0, y0, x1, y1 are drawn in; outwards they go the whole way
GROWTH, GROWTHS = (
    0.25,
    8,
)  # by how much of its size a box grows where it cuts the breast, and how often at most
CROSSING = 0.25  # of the component's extent along a border of the window: so much says that it goes on there
FLAT = 0.05  # of the range: so near to black or white is black or white
SKIP = 3  # of so many pixels each way one is enough to tell grey levels
OUTWARDS = np.array([-1, -1, 1, 1])
NARROW = 3  # the opening there, as OPENING
TAIL_OUT, TAIL_IN = 0.05, 0.03  # as TAIL, where an upper or lower edge goes outwards, and inwards
FAINT = 0.04  # there, as DARK
BLACK = 0.004  # of the range: what is no brighter than this lies beyond the film
LONG_SIDE = 256  # pixels of the reduced image in which the breast is looked for
OPENING = 5  # pixels of it: thinner bridges, as between breast and label, are cut
MARGIN = 0.01  # of the sides of the threshold's box, added on every side
FAINTEST = 0.02  # of the image's range: fainter than this is noise
BAND, BAND_DROP = 0.04, 0.3  # a band's depth, of the image; by how much of the border its end is emptier
TAIL = 0.1  # of the breast's widest row: rows that are thinner are no breast
WHOLE = 0.97  # a box that covers so much of both sides is an image that was cropped before
DARK = 0.05  # of the way from background to tissue: where tissue begins


@dataclass(frozen=True)
class BreastBox:
    """A box in pixels, x1 and y1 exclusive.

    source: "detector"; "threshold" where the detector was unsure; "whole" where no breast stands out (a blank image,
    or one that was cropped before). score (0–1): the detector's, or the share of all bright pixels that lie in the
    component that the threshold found.
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


def find_breast(pixels, detector: Yolox | None = None) -> BreastBox:
    """The breast's box in an (H, W) array or tensor of numbers of any range; the breast may be bright or dark.

    detector: the network to ask; None: the one of `breast_detector.safetensors` beside this file.
    """
    pixels = pixels.detach().cpu().numpy() if torch.is_tensor(pixels) else np.asarray(pixels)
    small = reduced(pixels, SIZE)
    if small.max() <= small.min():
        return BreastBox(0, 0, pixels.shape[1], pixels.shape[0], 0.0, "whole")
    box, score = detect(small, detector or load_detector())
    if score < SURE:
        return find_by_threshold(pixels)
    return _scaled(refined(small, box), small.shape, pixels.shape, (score, "detector"))


def refined(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The detector's box (x0, y0, x1, y1) in an (h, w) image, its edges drawn to those of the component within it.

    The component is what stands out of the background in the box and a little around it; where the breast is cut by
    the window that is looked at, the window grows. An edge that is far from the detector's is left where that is.
    """
    sign = -1 if _is_dark(image, box) else 1
    for _ in range(GROWTHS):
        reach = REACH * np.tile(box[2:] - box[:2], 2)
        window = np.rint(np.clip(box + reach * OUTWARDS, 0, image.shape[::-1] * 2)).astype(int)
        x0, y0, x1, y1 = window
        component = largest_component(_opened(_stands_out(sign * image[y0:y1, x0:x1]), NARROW))
        if not component.any():
            return box
        cut = _cut(component) & (window != (0, 0, *image.shape[::-1]))
        if not cut.any():
            break
        box = np.where(cut, np.clip(box + GROWTH / REACH * reach * OUTWARDS, 0, image.shape[::-1] * 2), box)
    far, near = (np.array(_box(component, tail)) + (x0, y0, x0, y0) - box for tail in (TAIL_OUT, TAIL_IN))
    moves = np.where(far * OUTWARDS > 0, far, np.where(near * OUTWARDS < 0, near, 0))
    steps = np.where(moves * OUTWARDS > 0, 1.0, INWARDS)
    return box + np.where(np.abs(moves) <= 1.5 * reach, steps * moves, 0)


def _cut(component: np.ndarray) -> np.ndarray:
    """Which borders (left, upper, right, lower) of an (h, w) mask it crosses in good part of its own extent."""
    high, wide = (component.any(axis=axis).sum() for axis in (1, 0))
    lines = (component[:, 0], component[0], component[:, -1], component[-1])
    return np.array([line.sum() for line in lines]) > CROSSING * np.array([high, wide, high, wide])


def _is_dark(image: np.ndarray, box: np.ndarray) -> bool:
    """Whether this is a negative: the box's middle is darker than what surrounds it, and more is white than black."""
    image, box = image[::SKIP, ::SKIP], box / SKIP
    x0, y0, x1, y1 = np.rint(box).astype(int)
    outside = np.ones(image.shape, bool)
    outside[y0:y1, x0:x1] = False
    height, width = (y1 - y0) // 4, (x1 - x0) // 4
    middle = image[y0 + height : y1 - height, x0 + width : x1 - width]
    around = image[outside]
    if not middle.size or not around.size or np.median(middle) >= np.median(around):
        return False
    low, high = np.quantile(image, (0.005, 0.995))
    near = FLAT * (high - low)
    return bool((image > high - near).sum() > (image < low + near).sum())


def _stands_out(window: np.ndarray) -> np.ndarray:
    """(h, w) → mask of what is brighter than the film beside the breast; a scanner's blackest black is not counted."""
    low, high = window.min(), window.max()
    film = window[::SKIP, ::SKIP]
    film = film[film > low + BLACK * (high - low)]
    if not film.size:
        return np.zeros(window.shape, bool)
    background, tissue = np.quantile(film, (0.02, 0.8))
    return window > background + FAINT * (tissue - background)


def find_by_threshold(pixels: np.ndarray) -> BreastBox:
    """The box of the largest bright component, without film labels; the breast must be bright on a dark background."""
    image = torch.from_numpy(pixels.astype(np.float32))
    height, width = image.shape
    whole = BreastBox(0, 0, width, height, 0.0, "whole")
    small = _reduced(image)
    low, high = float(small.min()), float(small.max())
    if high <= low:
        return whole
    bright = without_border_bands(_tissue((small - low) / (high - low)).numpy())
    component = largest_component(_opened(bright))
    if not component.any():
        return whole
    share = float(component.sum() / max(bright.sum(), component.sum()))
    return _scaled(_box(component), small.shape, (height, width), (share, "threshold"), MARGIN)


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


def _box(component: np.ndarray, tail: float = TAIL) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of a mask, without the thin tails above and below: the glow of a film's chest wall edge."""
    widths = component.sum(axis=1)
    rows = np.flatnonzero(widths >= tail * widths.max())
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


def _opened(mask: np.ndarray, width: int = OPENING) -> np.ndarray:
    """Morphological opening of an (h, w) mask by a square; beyond the border counts as what is at the border."""
    half = width // 2
    padded = F.pad(torch.from_numpy(mask)[None, None].float(), (half,) * 4, mode="replicate")
    eroded = -_largest(-padded, width, 0)
    return (_largest(eroded, width, half)[0, 0] > 0.5).numpy()


def _largest(values: torch.Tensor, width: int, padding: int) -> torch.Tensor:
    """The maximum in a square around each pixel: first of rows, then of columns."""
    rows = F.max_pool2d(values, (width, 1), stride=1, padding=(padding, 0))
    return F.max_pool2d(rows, (1, width), stride=1, padding=(0, padding))


def _scaled(
    box, small: tuple[int, int], full: tuple[int, int], verdict: tuple[float, str], margin: float = 0.0
):
    """A box in the reduced image → in the full one, with a margin; the whole image where that is nearly the same."""
    scale = np.array([full[1] / small[1], full[0] / small[0]] * 2)
    x0, y0, x1, y1 = np.array(box) * scale
    across, down = margin * (x1 - x0), margin * (y1 - y0)
    x0, x1 = max(0, int(x0 - across)), min(full[1], int(np.ceil(x1 + across)))
    y0, y1 = max(0, int(y0 - down)), min(full[0], int(np.ceil(y1 + down)))
    if (x1 - x0) >= WHOLE * full[1] and (y1 - y0) >= WHOLE * full[0]:
        return BreastBox(0, 0, full[1], full[0], verdict[0], "whole")
    return BreastBox(x0, y0, x1, y1, *verdict)
