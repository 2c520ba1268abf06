"""Mammograms → model input: breast crop, stretch to 1024 × 768, per-image min–max to [0, 1], three equal channels."""

import os
import shutil
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from huggingface_hub.dataclasses import validate_typed_dict
from torch.nn import functional as F
from transformers import BatchFeature
from transformers.image_processing_backends import TorchvisionBackend
from transformers.utils import TensorType, cached_file

from .antialias import resize_antialias
from .breast_crop import find_breast
from .breast_detector import WEIGHTS_NAME, detector_file, load_detector
from .film_labels import chest_wall_on_right, without_labels
from .image_files import grey_array, read_image
from .mammogram import MammogramError
from .opencv_resize import resize_8bit
from .placement_mamclip import Placement, window_of
from .yolox import Yolox

WHERE = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")
SCALINGS = ("min_max", "imagenet", "none")
FITS = ("stretch", "pad")
# The mean and deviation of ImageNet's three channels, which timm's ImageNet weights were trained with.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What an image processor does, and what the published code did.
DEFAULTS = {"do_crop": True, "scaling": "min_max", "antialias": True}
PUBLISHED = {"do_crop": False, "scaling": "min_max", "antialias": False}


class MamClipImagesKwargs(TypedDict, total=False):
    """The options of MamClipImageProcessor, which says what they mean."""

    size: dict[str, int] | None
    do_crop: bool | None
    remove_labels: bool | None
    orient: bool | None
    fit: str | None
    scaling: str | None
    antialias: bool | None
    published: bool | None
    device: str | torch.device | None
    return_tensors: str | TensorType | None


class MamClipBatch(BatchFeature):
    """`pixel_values` for the model, and beside them where every image lies in its row.

    placements: one `Placement` an image; `batch.placements[0].to_original(box_or_mask)` leads back to its pixels.
    """

    placements: list[Placement]

    @property
    def crop_boxes(self) -> list[tuple[int, int, int, int]]:
        """(x0, y0, x1, y1) of every image: what was cut out of it, in its own pixels."""
        return [placement.crop_box for placement in self.placements]


class MamClipImageProcessor(TorchvisionBackend):
    """From any form of a mammogram to `pixel_values`.

    size: {"height": 1024, "width": 768} as published.
    do_crop: crop to the breast first (`find_breast`). The detector's weights lie in the folder that the processor
        was loaded from, or beside this code; they travel with `save_pretrained`, and the network is no attribute.
    remove_labels: darken what is bright outside the breast: film labels, markers, the scanner's border.
    orient: mirror images whose chest wall is on the right, so that it is on the left.
    fit: "stretch" gives the breast the whole input, whatever its proportions, as published; "pad" keeps them, with
        the chest wall at its border, and leaves the rest as dark as the darkest pixel.
    scaling: "min_max" stretches each image to [0, 1], as published; "imagenet" then normalises by ImageNet's mean
        and deviation; "none" divides unsigned integers by their type's largest value and leaves floats, which
        should be in [0, 1], as they are.
    antialias: average when an image is made smaller. The published code did not, which loses calcifications.
    published: prepare images as the published code did, for its weights: no crop, no antialias, min–max, and 8-bit
        images stretched in OpenCV's own arithmetic. Options that are given beside it win.
    """

    model_input_names = ["pixel_values"]
    valid_kwargs = MamClipImagesKwargs
    size = {"height": 1024, "width": 768}
    remove_labels = False
    orient = False
    fit = "stretch"
    published = False
    _detector_weights: str | None = None  # a path; None: beside the code

    def __init__(self, **kwargs):
        unknown = sorted(set(kwargs) - set(MamClipImagesKwargs.__annotations__) - _SAVED)
        if unknown:
            raise TypeError(f"MamClipImageProcessor has no option {', '.join(unknown)}; it has {_NAMES}.")
        validate_typed_dict(MamClipImagesKwargs, {name: kwargs[name] for name in set(kwargs) - _SAVED})
        for name, value in (PUBLISHED if kwargs.get("published") else DEFAULTS).items():
            kwargs[name] = value if kwargs.get(name) is None else kwargs[name]
        super().__init__(**kwargs)
        _check(self.size, self.scaling, self.fit)

    def _standardize_kwargs(self, **kwargs) -> dict:
        """Options stay as they are: sizes in other forms than height and width are refused, not guessed at."""
        return kwargs

    def _validate_preprocess_kwargs(self, *, size, scaling, fit, **kwargs) -> None:
        _check(size, scaling, fit)

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

    def preprocess(self, images, **kwargs) -> MamClipBatch:
        """One image or a list of them → {"pixel_values": (B, 3, H, W) float32}, and `placements` beside it.

        An image is a path, the bytes of a file, a PIL image (8 or 16 bits), or an array or tensor of shape
        (H, W), (H, W, 1 or 3) or (1 or 3, H, W); an array of four dimensions is a batch. The breast is bright.
        Sizes and types may be mixed. Options that are given hold for this call alone.
        device: where the work is done; by default where a tensor is, and the CPU for everything else.
        A blank image becomes 0 everywhere; colours become luminance.

        Raises MammogramError for what is no image, or has NaN or infinite values.
        """
        unknown = sorted(set(kwargs) - set(MamClipImagesKwargs.__annotations__))
        if unknown:
            raise TypeError(f"MamClipImageProcessor has no option {', '.join(unknown)}; it has {_NAMES}.")
        return super().preprocess(images, **kwargs)

    def _prepare_images_structure(self, images, expected_ndims: int = 3) -> list:
        images = self.fetch_images(images)
        if isinstance(images, (list, tuple)):
            return list(images)
        return list(images) if getattr(images, "ndim", 0) == 4 else [images]

    def process_image(self, image, device=None, **kwargs) -> torch.Tensor:
        """One image in any form → (H, W) tensor of its own type."""
        pixels = _pixels(image).to(device)
        if pixels.is_floating_point() and not bool(torch.isfinite(pixels).all()):
            raise MammogramError("the image has NaN or infinite values; expected numbers alone.")
        return pixels

    def _preprocess(self, images: list[torch.Tensor], return_tensors=None, **options) -> MamClipBatch:
        options = {name: options[name] for name in _STEPS}
        options["detector"] = load_detector(self._detector_weights) if options.pop("do_crop") else None
        prepared = [_prepare(pixels, **options) for pixels in images]
        rows = [values for values, _ in prepared]
        data = torch.stack(rows) if return_tensors else [row.cpu().numpy() for row in rows]
        batch = MamClipBatch({"pixel_values": data}, tensor_type=return_tensors)
        batch.placements = [placement for _, placement in prepared]
        return batch


def _weights_in(folder, where: dict) -> str | None:
    """The detector's weights in a local folder or a repository of the Hub, or None."""
    try:
        return cached_file(str(folder), WEIGHTS_NAME, **where)
    except OSError:
        return None


_STEPS = ("size", "do_crop", "remove_labels", "orient", "fit", "scaling", "antialias", "published")
_NAMES = ", ".join(MamClipImagesKwargs.__annotations__)
# What a saved image processor's file has beside the options.
_SAVED = {"image_processor_type", "processor_class", "auto_map", "feature_extractor_type"}


def _check(size: dict[str, int], scaling: str, fit: str) -> None:
    if set(size) != {"height", "width"} or min(size.values()) < 1:
        raise ValueError(
            f"size is {size}; expected positive numbers of pixels as {{'height': …, 'width': …}}."
        )
    for name, value, allowed in (("scaling", scaling, SCALINGS), ("fit", fit, FITS)):
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(allowed)}.")


def _pixels(image) -> torch.Tensor:
    """Any form of an image → (H, W) tensor; a tensor stays on its device."""
    if torch.is_tensor(image):
        image = image.detach()
        return image if image.ndim == 2 else _grey_tensor(image)
    pixels = grey_array(image) if isinstance(image, np.ndarray) else read_image(image).pixels
    if pixels.dtype.kind not in "uif":
        raise MammogramError(
            f"an image of type {pixels.dtype} has no grey values; expected integers or floats."
        )
    return torch.from_numpy(np.require(pixels, pixels.dtype.newbyteorder("="), ["C", "W"]))


def _grey_tensor(image: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(grey_array(image.cpu().numpy())).to(image.device)


def _prepare(
    pixels: torch.Tensor,
    *,
    size: dict[str, int],
    detector: Yolox | None,
    remove_labels: bool,
    orient: bool,
    fit: str,
    scaling: str,
    antialias: bool,
    published: bool,
) -> tuple[torch.Tensor, Placement]:
    """One image → (3, H, W) float32, and where it lies in it."""
    target = (size["height"], size["width"])
    box, source = _box(pixels, detector)
    cut = pixels[box[1] : box[3], box[0] : box[2]]
    at_right = (orient or fit == "pad") and chest_wall_on_right(cut)
    flipped = orient and at_right
    window = window_of(tuple(cut.shape), target, pad=fit == "pad", at_right=at_right and not orient)
    values = without_labels(cut) if remove_labels else cut
    values = _resized(values, window, antialias, published)
    values = _scaled(values.flip(-1) if flipped else values, scaling, pixels.dtype)
    values = _padded(values, window, target).expand(3, -1, -1)
    values = _as_imagenet(values) if scaling == "imagenet" else values
    return values, Placement(tuple(pixels.shape), box, flipped, target, window, source)


def _box(pixels: torch.Tensor, detector: Yolox | None) -> tuple[tuple[int, int, int, int], str | None]:
    """What is cut out, and how it was found; without a detector the whole image, and None."""
    if detector is None:
        return (0, 0, pixels.shape[1], pixels.shape[0]), None
    box = find_breast(pixels, detector)
    return (box.x0, box.y0, box.x1, box.y1), box.source


def _resized(cut: torch.Tensor, window: tuple[int, ...], antialias: bool, published: bool) -> torch.Tensor:
    """(h, w) of any type → (height, width) of the window, float32, between the same values."""
    target = (window[3] - window[1], window[2] - window[0])
    if published and not antialias and cut.dtype == torch.uint8:
        return torch.from_numpy(resize_8bit(cut.cpu().numpy(), *target)).float().to(cut.device)
    if cut.shape == target:
        return cut.float()
    if antialias:
        return resize_antialias(cut, target)
    return F.interpolate(cut.float()[None, None], target, mode="bilinear", align_corners=False)[0, 0]


def _scaled(values: torch.Tensor, scaling: str, kind: torch.dtype) -> torch.Tensor:
    if scaling == "none":
        unsigned = not kind.is_floating_point and not kind.is_signed
        return values / torch.iinfo(kind).max if unsigned else values
    low, high = values.aminmax()
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)  # a blank image is black


def _padded(values: torch.Tensor, window: tuple[int, ...], target: tuple[int, int]) -> torch.Tensor:
    """The window's values (h, w) within the model's input (H, W), the rest as dark as the darkest of them."""
    padding = (window[0], target[1] - window[2], window[1], target[0] - window[3])
    return F.pad(values, padding, value=float(values.min())) if any(padding) else values


def _as_imagenet(values: torch.Tensor) -> torch.Tensor:
    mean, std = (
        torch.tensor(three, device=values.device)[:, None, None] for three in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (values - mean) / std
