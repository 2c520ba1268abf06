"""Small changes of a view that leave its caption true: no flips unless asked, since captions name sides."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the changes; all of them 0 and no flip leaves images as they are.

    rotation: degrees, either way; scale: fraction, larger or smaller; shift: fraction of the image, either way;
    brightness: fraction, brighter or darker, cut at white; gamma: exponents from 1 − gamma to 1 / (1 − gamma);
    flip: mirror left and right in half of the images.
    """

    rotation: float = 5.0
    scale: float = 0.1
    shift: float = 0.03
    brightness: float = 0.1
    gamma: float = 0.15
    flip: bool = False

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """image (H, W) float in [0, 1] → the same shape and range."""
        return self._tone(self._move(image, rng), rng)

    def _move(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        angle = radians(rng.uniform(-self.rotation, self.rotation))
        zoom = (1 + self.scale) ** rng.uniform(-1, 1)
        shift = rng.uniform(-2 * self.shift, 2 * self.shift, 2)  # the grid runs from −1 to 1
        mirror = -1 if self.flip and rng.random() < 0.5 else 1
        theta = _affine(angle, zoom, shift, mirror, image.shape[0] / image.shape[1])
        if np.array_equal(theta, np.eye(2, 3)):
            return image
        grid = F.affine_grid(torch.from_numpy(theta).float()[None], (1, 1, *image.shape), align_corners=False)
        moved = F.grid_sample(image[None, None], grid, padding_mode="zeros", align_corners=False)
        return moved[0, 0].clamp_(0, 1)

    def _tone(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        exponent = (1 - self.gamma) ** rng.uniform(-1, 1)
        factor = 1 + rng.uniform(-self.brightness, self.brightness)
        return (image.pow(exponent) * factor).clamp_(0, 1)


def _affine(angle: float, zoom: float, shift: np.ndarray, mirror: int, ratio: float) -> np.ndarray:
    """(2, 3) map from output to input coordinates; `ratio` = height / width keeps a rotation a rotation."""
    c, s = cos(angle) / zoom, sin(angle) / zoom
    return np.array([[mirror * c, -s * ratio, shift[0]], [mirror * s / ratio, c, shift[1]]])
