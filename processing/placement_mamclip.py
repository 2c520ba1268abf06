"""Where a mammogram lies in the model's input, and the way back from there to the file's own pixels."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Placement:
    """One image on its way: a box of it was cut out, mirrored or not, and resized into a window of the model's input.

    image_size: (height, width) of the image as it was given.
    crop_box: (x0, y0, x1, y1) in its pixels, x1 and y1 exclusive; not mirrored.
    flipped: whether left and right were exchanged, so that the chest wall is on the left.
    input_size: (height, width) of the model's input.
    window: (x0, y0, x1, y1) in its pixels: where the cut lies; the rest is padding.
    crop_source: how the box was found, as `BreastBox.source`; None where nothing was looked for.
    """

    image_size: tuple[int, int]
    crop_box: tuple[int, int, int, int]
    flipped: bool
    input_size: tuple[int, int]
    window: tuple[int, int, int, int]
    crop_source: str | None = None

    def to_original(self, box_or_mask):
        """A box or a map over the model's input → the same in the original image.

        A box: four numbers (x0, y0, x1, y1) in pixels of the model's input → a tuple of floats in pixels of the
        image; what lies in the padding is clipped to the cut's border.
        A mask or heatmap: an (h, w) array or tensor that covers the whole input, in any resolution → the same kind
        of (H, W) array or tensor, float32, or bool for bool; zero outside the cut. Values in between are bilinear.
        """
        if getattr(box_or_mask, "ndim", 1) == 2:
            return self._map(box_or_mask)
        box = [float(value) for value in box_or_mask]
        if len(box) != 4:
            raise ValueError(
                f"a box has {len(box)} numbers; expected x0, y0, x1, y1, or an (h, w) mask over the input."
            )
        return self._box(*box)

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        left, top, right, bottom = self.crop_box
        across = [_along(x, self.window[0], self.window[2], right - left) for x in (x0, x1)]
        down = [_along(y, self.window[1], self.window[3], bottom - top) for y in (y0, y1)]
        if self.flipped:
            across = [right - left - x for x in reversed(across)]
        return left + across[0], top + down[0], left + across[1], top + down[1]

    def _map(self, values):
        array = torch.as_tensor(values)
        if not array.numel():
            raise ValueError(f"a mask of shape {tuple(array.shape)} is empty; expected one value or more.")
        x0, y0, x1, y1 = self.window
        whole = _resized(array.float(), self.input_size)
        left, top, right, bottom = self.crop_box
        cut = _resized(whole[y0:y1, x0:x1], (bottom - top, right - left))
        original = torch.zeros(self.image_size, device=cut.device)
        original[top:bottom, left:right] = cut.flip(-1) if self.flipped else cut
        original = original > 0.5 if array.dtype == torch.bool else original
        return original.cpu().numpy() if isinstance(values, np.ndarray) else original


def window_of(
    cut: tuple[int, int], target: tuple[int, int], *, pad: bool, at_right: bool = False
) -> tuple[int, int, int, int]:
    """The window (x0, y0, x1, y1) of a `target` (height, width) that a `cut` (height, width) is resized to.

    pad=False: all of it, whatever the proportions. pad=True: the largest of the cut's proportions, in the middle of
    the height, at the left or right border, so that the chest wall stays at the border.
    """
    if not pad:
        return 0, 0, target[1], target[0]
    scale = min(target[0] / cut[0], target[1] / cut[1])
    height, width = (max(1, min(whole, round(side * scale))) for side, whole in zip(cut, target, strict=True))
    top, left = (target[0] - height) // 2, target[1] - width if at_right else 0
    return left, top, left + width, top + height


def _along(position: float, start: float, end: float, length: int) -> float:
    """A position between `start` and `end` → the same between 0 and `length`, clipped to them."""
    return min(max((position - start) / (end - start), 0.0), 1.0) * length


def _resized(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(h, w) → (H, W), bilinear."""
    return F.interpolate(values[None, None], size, mode="bilinear", align_corners=False)[0, 0]
