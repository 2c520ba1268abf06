"""Mammograms → model input: breast crop, stretch to 1024 × 768, per-image min–max to [0, 1], three equal channels."""

import os
import shutil
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import TensorType, cached_file

from .breast_crop import find_breast
from .breast_detector import WEIGHTS_NAME, detector_file, load_detector
from .image_files import grey_array, read_image
from .opencv_resize import resize_8bit

SCALINGS = ("min_max", "none")
# What an image processor does, and what the published code did.
DEFAULTS = {"do_crop": True, "scaling": "min_max", "antialias": True}
PUBLISHED = {"do_crop": False, "scaling": "min_max", "antialias": False}
# What from_pretrained may be told about where files are.
WHERE = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


class MamClipImageProcessor(BaseImageProcessor):
    """From any form of a mammogram to `pixel_values`.

    size: {"height": 1024, "width": 768} as published; the breast is stretched to it, whatever its proportions.
    do_crop: crop to the breast first (`find_breast`). The detector's weights lie in the folder that the processor
        was loaded from, or beside this code; they travel with `save_pretrained`, and the network is no attribute.
    scaling: "min_max" stretches each image to [0, 1], as published; "none" divides unsigned integers by their
        type's largest value and leaves floats, which should be in [0, 1], as they are.
    antialias: average when an image is made smaller. The published code did not, which loses calcifications.
    published: prepare images as the published code did, for its weights: no crop, no antialias, min–max, and 8-bit
        images stretched in OpenCV's own arithmetic. Options that are given beside it win.
    """

    model_input_names = ["pixel_values"]
    _detector_weights: str | None = None  # a path; None: beside the code

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

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As usual; besides, the detector's weights are looked for in the same folder or repository."""
        where = {name: kwargs[name] for name in WHERE if name in kwargs}
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        processor = loaded[0] if isinstance(loaded, tuple) else loaded
        processor._detector_weights = _weights_in(pretrained_model_name_or_path, where)
        return loaded

    def save_pretrained(self, save_directory, *args, **kwargs):
        """As usual, with the detector's weights beside the configuration."""
        self.copy_detector(save_directory)
        return super().save_pretrained(save_directory, *args, **kwargs)

    def copy_detector(self, folder) -> None:
        """Put the detector's weights into a folder, unless they lie there or are not needed."""
        source, target = detector_file(self._detector_weights), Path(folder) / WEIGHTS_NAME
        if self.do_crop and source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def to_dict(self) -> dict:
        """Without the path of the detector's weights, which is this machine's own."""
        return {name: value for name, value in super().to_dict().items() if name != "_detector_weights"}

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
        options["detector"] = load_detector(self._detector_weights) if options.pop("do_crop") else None
        rows = [_prepare(image, size, **options, opencv=self.published) for image in _as_list(images)]
        pixel_values = [row.expand(3, -1, -1) for row in rows]
        data = torch.stack(pixel_values) if return_tensors else [row.numpy() for row in pixel_values]
        return BatchFeature({"pixel_values": data}, tensor_type=return_tensors)


def _weights_in(folder, where: dict) -> str | None:
    """The detector's weights in a local folder or a repository of the Hub, or None."""
    try:
        return cached_file(str(folder), WEIGHTS_NAME, **where)
    except OSError:
        return None


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


def _prepare(image, size: dict[str, int], scaling: str, antialias: bool, detector, opencv: bool):
    """One image → (1, H, W) float32; it is cropped where there is a detector."""
    pixels = _pixels(image)
    if detector is not None:
        pixels = find_breast(pixels, detector).crop(pixels)
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
