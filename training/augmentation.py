"""Small changes of a view: one resampling and one table of greys, cheap enough for a single core to keep up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import cos, radians, sin

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as V

from .caption_sides import Flips
from .markers import without_markers

CELLS = 5  # of the distortion's grid, in height and in width
GREYS = torch.arange(256).reshape(1, 1, 256) / 255


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the changes; all of them 0 and no flip leaves images as they are.

    rotation: degrees, either way; scale: fraction, larger or smaller; shift: fraction of the image, either way;
    distortion: fraction of a cell of a 5 × 5 grid by which its nodes move; brightness: fraction, brighter or darker,
    cut at white; gamma: exponents from 1 − gamma to 1 / (1 − gamma); downscaling: fraction of the rows and columns that
    is lost at most; flip, vertical_flip: mirror half of the images; marker_dropout: fraction of the images that lose
    the letters beside the breast. Unless it is 0 mirrored images always lose them, for a mirrored letter would tell.
    """

    rotation: float = 5.0
    scale: float = 0.1
    shift: float = 0.03
    distortion: float = 0.1
    brightness: float = 0.1
    gamma: float = 0.15
    downscaling: float = 0.0
    marker_dropout: float = 0.5
    flip: bool = False
    vertical_flip: bool = False

    @classmethod
    def published(cls) -> Augmentation:
        """What the published code does to images; its paper does not say how strongly, so the strengths are ours."""
        return cls(
            **{
                "rotation": 0.0,
                "scale": 0.0,
                "shift": 0.0,
                "brightness": 0.0,
                "gamma": 0.0,
                "marker_dropout": 0.0,
            },
            **{"distortion": 0.3, "downscaling": 0.25, "flip": True, "vertical_flip": True},
        )

    def ways(self) -> list[Flips]:
        """All ways in which it can flip an image."""
        sides, heights = ({False, switch} for switch in (self.flip, self.vertical_flip))
        return [Flips(*flips) for flips in product(sorted(sides), sorted(heights)) if any(flips)]

    def draw_flips(self, rng: np.random.Generator) -> Flips:
        """Flips for one image; what its caption cannot follow has to be left out."""
        return Flips(self.flip and rng.random() < 0.5, self.vertical_flip and rng.random() < 0.5)

    def __call__(self, image: Tensor, rng: np.random.Generator, flips: Flips | None = None) -> Tensor:
        """image (H, W) uint8 → the same size, float32 in [0, 1]. flips: those of this image, drawn where None."""
        flips = self.draw_flips(rng) if flips is None else flips
        if self.marker_dropout and (rng.random() < self.marker_dropout or any(flips)):
            image = without_markers(image)
        if flips.horizontal:
            image = V.horizontal_flip(image)
        if flips.vertical:
            image = V.vertical_flip(image)
        shape = image.shape
        nodes, greys, size = self._nodes(shape, rng), self._greys(rng), self._size(shape, rng)
        if size != list(shape):
            image = V.resize(image[None], size)[0]
        return _sampled(torch.from_numpy(np.take(greys, image.numpy())), nodes, shape)

    def _nodes(self, shape: torch.Size, rng: np.random.Generator) -> np.ndarray:
        """(CELLS + 1, CELLS + 1, 2): where each node of the grid takes its pixel from, x and y, −1 to 1."""
        angle = radians(rng.uniform(-self.rotation, self.rotation))
        zoom = (1 + self.scale) ** rng.uniform(-1, 1)
        shift = rng.uniform(-2 * self.shift, 2 * self.shift, 2)  # the image runs from −1 to 1
        nodes = _upright(*shape)
        moved = nodes @ _affine(angle, zoom, shape[0] / shape[1]).T + shift
        if self.distortion:
            moved += 2 / CELLS * rng.uniform(-self.distortion, self.distortion, nodes.shape)
        return moved

    def _greys(self, rng: np.random.Generator) -> np.ndarray:
        """(256,) float32: what becomes of each grey value."""
        exponent = (1 - self.gamma) ** rng.uniform(-1, 1)
        factor = 1 + rng.uniform(-self.brightness, self.brightness)
        return V.adjust_brightness(V.adjust_gamma(GREYS, exponent), factor).numpy().ravel()

    def _size(self, shape: torch.Size, rng: np.random.Generator) -> list[int]:
        kept = 1 - rng.uniform(0, self.downscaling) if self.downscaling else 1
        return [max(1, round(length * kept)) for length in shape]


def _upright(height: int, width: int) -> np.ndarray:
    """The grid's nodes where nothing moves: the outer ones are the centres of the outer pixels."""
    x, y = (np.linspace(-1, 1, CELLS + 1) * (1 - 1 / length) for length in (width, height))
    return np.stack(np.meshgrid(x, y), axis=-1)


def _affine(angle: float, zoom: float, ratio: float) -> np.ndarray:
    """(2, 2) map from output to input coordinates; `ratio` = height / width keeps a rotation a rotation."""
    c, s = cos(angle) / zoom, sin(angle) / zoom
    return np.array([[c, -s * ratio], [s / ratio, c]])


def _sampled(image: Tensor, nodes: np.ndarray, shape: torch.Size) -> Tensor:
    """(h, w) → `shape`, sampled where the grid's nodes say and, between them, in proportion; black beyond the image."""
    if image.shape == shape and np.array_equal(nodes, _upright(*shape)):
        return image
    coarse = torch.from_numpy(nodes).float().permute(2, 0, 1)[None]
    grid = F.interpolate(coarse, shape, mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    moved = F.grid_sample(image[None, None], grid, padding_mode="zeros", align_corners=False)
    return moved[0, 0].clamp_(0, 1)
