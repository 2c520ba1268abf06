"""What is bright outside the breast: film labels and markers, the edges of a film, the chest wall's side."""

import numpy as np
import torch
from torch.nn import functional as F

from .bright_regions import largest_component, reduced_by_area, tissue

GROWTH = 5  # pixels of the reduced image by which labels are grown, so that their glow goes with them
SIDE = 1 / 3  # of the width: as wide a part of the image is compared with its like on the other side


def without_labels(pixels: torch.Tensor) -> torch.Tensor:
    """(H, W) numbers, breast bright → the same as float32, what is bright outside the breast as dark as the background.

    The breast is the largest connected bright region. What touches it stays.
    """
    small = reduced_by_area(pixels.float())
    bright = _bright(small)
    breast = largest_component(bright)
    labels = _grown(bright & ~breast) & ~torch.from_numpy(breast)
    mask = F.interpolate(labels[None, None].float(), pixels.shape, mode="nearest")[0, 0].bool()
    return torch.where(mask.to(pixels.device), torch.quantile(small, 0.02), pixels.float())


def chest_wall_on_right(pixels: torch.Tensor) -> bool:
    """Whether there is more tissue along the right border of an (H, W) image than along the left one."""
    breast = largest_component(_bright(reduced_by_area(pixels.float())))
    part = max(1, round(SIDE * breast.shape[1]))
    return bool(breast[:, -part:].sum() > breast[:, :part].sum())


def _bright(small: torch.Tensor) -> np.ndarray:
    """Mask of what is brighter than the background of a reduced image; nothing of a blank one."""
    low, high = small.aminmax()
    return tissue((small - low) / (high - low).clamp(min=1e-12)).cpu().numpy()


def _grown(mask: np.ndarray) -> torch.Tensor:
    filled = torch.from_numpy(mask)[None, None].float()
    return F.max_pool2d(filled, GROWTH, stride=1, padding=GROWTH // 2)[0, 0].bool()
