"""Any image file → a Mammogram with all its bits: DICOM, or whatever Pillow opens (16-bit PNG and TIFF whole)."""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .dicom import read_dicom
from .dicom_file import HEAD, SUFFIXES, has_mark
from .mammogram import Mammogram, MammogramError

WIDE_MODES = ("I", "F")  # 32 bits a pixel; "I;16" and its byte orders have 16


def read_image(source, **options) -> Mammogram:
    """Read a mammogram.

    source: a path (str or PathLike) or the bytes of a file, a `PIL.Image`, or an (H, W) array of numbers.
    options: of `read_dicom`, for files that are DICOM. These are told by their content, so a wrong name does no harm.
    → pixels (H, W) uint8 or uint16; view, laterality and the rest are known for DICOM alone.

    Raises MammogramError for what cannot be read, FileNotFoundError for a missing file.
    """
    if isinstance(source, Image.Image):
        return Mammogram(grey_pixels(source))
    if isinstance(source, np.ndarray):
        return Mammogram(grey_array(source))
    if not isinstance(source, (str, os.PathLike, bytes)):
        raise MammogramError(
            f"a {type(source).__name__} is no image; give a path, bytes, a PIL image or an array."
        )
    if is_dicom(source):
        return read_dicom(source, **options)
    return Mammogram(_read_picture(source))


def is_dicom(source: str | os.PathLike | bytes) -> bool:
    """Whether a file (or its bytes) has DICOM's mark at byte 128 (PS3.10 7.1), or its suffix."""
    if isinstance(source, bytes):
        return has_mark(source)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; give the path of a mammogram (DICOM, PNG, JPEG or TIFF)."
        )
    if path.is_dir():
        raise MammogramError(f"{path} is a folder; give the path of one image.")
    with path.open("rb") as file:
        return has_mark(file.read(HEAD)) or path.suffix.lower() in SUFFIXES


def grey_pixels(image: Image.Image) -> np.ndarray:
    """A picture's grey values (H, W), uint8 or uint16 as stored; colours become luminance."""
    if image.mode in ("L", "I;16", "I;16L", "I;16B", "I;16N", *WIDE_MODES):
        return grey_array(np.asarray(image))
    return np.asarray(image.convert("L"))


def grey_array(array: np.ndarray) -> np.ndarray:
    """An (H, W), (H, W, 1 or 3) or (1 or 3, H, W) array → (H, W) of its own type; wide integers that fit → uint16."""
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] in (1, 3):
        same = (array == array[..., :1]).all()
        array = array[..., 0] if same else array.mean(axis=2).astype(array.dtype)
    if array.ndim != 2 or not array.size:
        raise MammogramError(f"an array of shape {array.shape} is no grey image; expected (height, width).")
    if array.dtype.kind in "iu" and array.dtype.itemsize > 2 and array.min() >= 0 and array.max() <= 65535:
        return array.astype(np.uint16)
    return array


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Grey values (H, W) of any type → uint8, lowest 0 and highest 255; a blank image is black."""
    low, high = float(pixels.min()), float(pixels.max())
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    return np.rint((pixels.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)


def _read_picture(source: str | os.PathLike | bytes) -> np.ndarray:
    name = "the image data" if isinstance(source, bytes) else str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return grey_pixels(image)
    except UnidentifiedImageError as error:
        raise MammogramError(
            f"{name} is neither DICOM nor a picture that Pillow knows; expected DICOM, PNG, JPEG or TIFF."
        ) from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())[:160]
        raise MammogramError(f"{name} cannot be read ({reason}); get a new copy of it.") from error
