"""Where the breast is in a mammogram: a detector, or, where that is unsure, a threshold and the largest component."""

from dataclasses import dataclass

import numpy as np
import torch

from .breast_detector import SIZE, SURE, detect, load_detector, reduced
from .bright_regions import box_of, largest_component, opened, reduced_by_area, tissue, without_border_bands
from .yolox import Yolox

REACH = 0.08  # of the detector's box: how far beyond it its edges may be corrected
# How far x0, y0, x1, y1 are drawn in; outwards they go the whole way.
INWARDS = np.array([0.6, 1.0, 0.6, 1.0])
# By how much of its size a box grows where it cuts the breast, and how often at most.
GROWTH, GROWTHS = 0.25, 8
CROSSING = 0.25  # of the component's extent along a border of the window: so much says that it goes on there
FLAT = 0.05  # of the range: so near to black or white is black or white
SKIP = 3  # of so many pixels each way one is enough to tell grey levels
OUTWARDS = np.array([-1, -1, 1, 1])
NARROW = 3  # the opening there, as OPENING
TAIL_OUT, TAIL_IN = 0.05, 0.03  # as TAIL, where an upper or lower edge goes outwards, and inwards
FAINT = 0.04  # there, as DARK
BLACK = 0.004  # of the range: what is no brighter than this lies beyond the film
MARGIN = 0.01  # of the sides of the threshold's box, added on every side
WHOLE = 0.97  # a box that covers so much of both sides is an image that was cropped before


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

    The detector's own where that would newly span the image: fog and grain stand out of the background from one border
    to the opposite one, and a breast does so where the detector saw it nearly do so.
    """
    drawn = _drawn_to_edges(image, box)
    return drawn if (_spans(drawn, image.shape) <= _spans(box, image.shape, REACH)).all() else box


def _spans(box: np.ndarray, shape: tuple[int, int], reach: float = 0.0) -> np.ndarray:
    """Whether a box goes from left to right, and from top to bottom, to a pixel or to `reach` of its sides."""
    sides = box[2:] - box[:2]
    room = np.maximum(reach * sides, 1)
    return (box[:2] <= room) & (box[2:] >= np.array(shape[::-1]) - room)


def _drawn_to_edges(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Its edges at those of the component in it.

    The component is what stands out of the background in the box and a little around it; where the breast is cut by
    the window that is looked at, the window grows. An edge that is far from the detector's is left where that is.
    """
    sign = -1 if _is_dark(image, box) else 1
    for _ in range(GROWTHS):
        reach = REACH * np.tile(box[2:] - box[:2], 2)
        window = np.rint(np.clip(box + reach * OUTWARDS, 0, image.shape[::-1] * 2)).astype(int)
        x0, y0, x1, y1 = window
        component = largest_component(opened(_stands_out(sign * image[y0:y1, x0:x1]), NARROW))
        if not component.any():
            return box
        cut = _cut(component) & (window != (0, 0, *image.shape[::-1]))
        if not cut.any():
            break
        box = np.where(cut, np.clip(box + GROWTH / REACH * reach * OUTWARDS, 0, image.shape[::-1] * 2), box)
    far, near = (np.array(box_of(component, tail)) + (x0, y0, x0, y0) - box for tail in (TAIL_OUT, TAIL_IN))
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
    background, breast = np.quantile(film, (0.02, 0.8))
    return window > background + FAINT * (breast - background)


def find_by_threshold(pixels: np.ndarray) -> BreastBox:
    """The box of the largest bright component, without film labels; the breast must be bright on a dark background."""
    image = torch.from_numpy(pixels.astype(np.float32))
    height, width = image.shape
    whole = BreastBox(0, 0, width, height, 0.0, "whole")
    small = reduced_by_area(image)
    low, high = float(small.min()), float(small.max())
    if high <= low:
        return whole
    bright = without_border_bands(tissue((small - low) / (high - low)).numpy())
    component = largest_component(opened(bright))
    if not component.any():
        return whole
    share = float(component.sum() / max(bright.sum(), component.sum()))
    return _scaled(box_of(component), small.shape, (height, width), (share, "threshold"), MARGIN)


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
