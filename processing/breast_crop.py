"""Where the breast is in a mammogram: a detector, or, where that is unsure, a threshold and the largest component."""

from dataclasses import dataclass

import numpy as np
import torch

from .breast_detector import SIZE, SURE, detect, load_detector, reduced
from .breast_edges import refined
from .bright_regions import box_of, largest_component, opened, reduced_by_area, tissue, without_border_bands
from .yolox import Yolox

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
    box = box if _is_whole(box, small.shape) else refined(small, box)
    return _scaled(box, small.shape, pixels.shape, (score, "detector"))


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
    if _is_whole((x0, y0, x1, y1), full):
        return BreastBox(0, 0, full[1], full[0], verdict[0], "whole")
    return BreastBox(x0, y0, x1, y1, *verdict)


def _is_whole(box, shape: tuple[int, int]) -> bool:
    return box[2] - box[0] >= WHOLE * shape[1] and box[3] - box[1] >= WHOLE * shape[0]
