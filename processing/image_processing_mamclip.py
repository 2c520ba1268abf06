"""Mammograms → model input: breast crop, stretch to 1024 × 768, per-image min–max to [0, 1], three equal channels."""

import os

import numpy as np
import torch
from torch.nn import functional as F
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import TensorType

from .breast_crop import find_breast
from .image_files import grey_array, read_image
from .opencv_resize import resize_8bit

SCALINGS = ("min_max", "none")
# What an image processor does, and what the published code did.
DEFAULTS = {"do_crop": True, "scaling": "min_max", "antialias": True}
PUBLISHED = {"do_crop": False, "scaling": "min_max", "antialias": False}


class MamClipImageProcessor(BaseImageProcessor):
    """From any form of a mammogram to `pixel_values`.

    size: {"height": 1024, "width": 768} as published; the breast is stretched to it, whatever its proportions.
    do_crop: crop to the breast first (`find_breast`).
    scaling: "min_max" stretches each image to [0, 1], as published; "none" divides unsigned integers by their
        type's largest value and leaves floats, which should be in [0, 1], as they are.
    antialias: average when an image is made smaller. The published code did not, which loses calcifications.
    published: prepare images as the published code did, for its weights: no crop, no antialias, min–max, and 8-bit
        images stretched in OpenCV's own arithmetic. Options that are given beside it win.
    """

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        size: dict[str, int] | None = None,
        do_crop: bool | None = None,
        scaling: str | None = None,
        antialias: bool | None = None,
        published: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        given = {"do_crop": do_crop, "scaling": scaling, "antialias": antialias}
        self.size = dict(size or {"height": 1024, "width": 768})
        self.published = published
        for name, value in _options(given, PUBLISHED if published else DEFAULTS).items():
            setattr(self, name, value)
        _check(self.size, self.scaling)

    def fetch_images(self, images):
        """Paths → pixels with all their bits: what the base class does is to open them as 8-bit RGB."""
        if isinstance(images, (list, tuple)):
            return [self.fetch_images(image) for image in images]
        return read_image(images).pixels if isinstance(images, (str, os.PathLike, bytes)) else images

    def preprocess(
        self,
        images,
        return_tensors: str | TensorType | None = None,
        size: dict[str, int] | None = None,
        do_crop: bool | None = None,
        scaling: str | None = None,
        antialias: bool | None = None,
        **kwargs,
    ) -> BatchFeature:
        """One image or a list of them → {"pixel_values": (B, 3, H, W) float32 in [0, 1]}.

        An image is a path, the bytes of a file, a PIL image (8 or 16 bits), or an array or tensor of shape
        (H, W), (H, W, 1 or 3) or (1 or 3, H, W); an array of four dimensions is a batch. The breast is bright.
        Options that are given hold for this call alone.
        """
        if kwargs.pop("device", None) is not None or kwargs:
            unknown = ", ".join(sorted(kwargs)) or "device"
            raise TypeError(
                f"MamClipImageProcessor has no option {unknown}; it has size, do_crop, scaling, antialias."
            )
        size = dict(size or self.size)
        given = {"do_crop": do_crop, "scaling": scaling, "antialias": antialias}
        options = _options(given, {name: getattr(self, name) for name in given})
        _check(size, options["scaling"])
        rows = [_prepare(image, size, **options, opencv=self.published) for image in _as_list(images)]
        pixel_values = [row.expand(3, -1, -1) for row in rows]
        data = torch.stack(pixel_values) if return_tensors else [row.numpy() for row in pixel_values]
        return BatchFeature({"pixel_values": data}, tensor_type=return_tensors)


def _options(given: dict, defaults: dict) -> dict:
    """`defaults`, with those options that were given."""
    return {name: value if given[name] is None else given[name] for name, value in defaults.items()}


def _check(size: dict[str, int], scaling: str) -> None:
    if set(size) != {"height", "width"} or min(size.values()) < 1:
        raise ValueError(
            f"size is {size}; expected positive numbers of pixels as {{'height': …, 'width': …}}."
        )
    if scaling not in SCALINGS:
        raise ValueError(f"scaling is {scaling!r}; expected one of {', '.join(SCALINGS)}.")


def _as_list(images) -> list:
    if isinstance(images, (list, tuple)):
        return list(images)
    return list(images) if getattr(images, "ndim", 0) == 4 else [images]


def _prepare(image, size: dict[str, int], do_crop: bool, scaling: str, antialias: bool, opencv: bool):
    """One image → (1, H, W) float32."""
    pixels = _pixels(image)
    if do_crop:
        pixels = find_breast(pixels).crop(pixels)
    target = (size["height"], size["width"])
    if opencv and not antialias and pixels.dtype == np.uint8:
        values = torch.from_numpy(resize_8bit(pixels, *target)).float()[None]
    else:
        values = _stretched(pixels, target, antialias)
    return _scaled(values, scaling, pixels.dtype)


def _stretched(pixels: np.ndarray, target: tuple[int, int], antialias: bool) -> torch.Tensor:
    """(h, w) of any type → (1, H, W) float32, between the same values."""
    values = torch.from_numpy(pixels.astype(np.float32, order="C"))[None, None]
    if values.shape[-2:] != target:
        values = F.interpolate(values, target, mode="bilinear", align_corners=False, antialias=antialias)
    return values[0]


def _pixels(image) -> np.ndarray:
    if torch.is_tensor(image):
        image = image.detach().cpu().numpy()
    if isinstance(image, np.ndarray):
        return grey_array(image)
    return read_image(image).pixels


def _scaled(values: torch.Tensor, scaling: str, dtype: np.dtype) -> torch.Tensor:
    if scaling == "none":
        return values / np.iinfo(dtype).max if dtype.kind == "u" else values
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)  # a blank image is black
