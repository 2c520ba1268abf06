"""Stored values → brightness, in the order of PS3.4 N.2: modality LUT or rescale, VOI LUT or window, presentation
shape. Padding stays out of every statistic.

The whole path is one function of a stored value. For values of 8 or 16 bits it is worked out once for each possible
value, in float64, and the pixels are looked up in that table: one pass over them, whatever the path is made of.
"""

from collections.abc import Iterable

import numpy as np

from .dicom_decoding import Stored
from .dicom_luts import LUT_TAGS, Function, attenuation, modality_function, rescale_of, stretch, voi_function
from .dicom_values import items, numbers, whole, word
from .mammogram import MammogramError

BLOCK = 1 << 16  # pixels that are looked up at a time: they stay in the processor's cache
PIXEL_TAGS = (
    *LUT_TAGS,
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "BitsAllocated"),
    *("PhotometricInterpretation", "PresentationLUTShape", "PixelIntensityRelationshipSign"),
)


def render(
    dataset, stored: Stored, *, frame: int, mode: str, window: int | str, bits: int, log: bool
) -> np.ndarray:
    """Stored values (H, W) → uint8 or uint16 (H, W), as `bits` says, breast bright, padding 0.

    mode, window: as in `read_dicom`. log: the image is one of exposures, which are to become attenuations.
    May write over the stored values.
    """
    modality, padding = modality_function(dataset, frame), padding_range(dataset)
    low, high = modality_range(dataset, modality, stored, padding)
    inverted, voi = is_inverted(dataset, log=log), None
    if log:
        modality, low, high = attenuation(dataset, modality, low, high)
    elif mode == "voi":
        voi = voi_function(dataset, frame, window, signed=low < 0)
    dtype, top = np.dtype(f"u{bits // 8}"), 2**bits - 1
    if voi is None and high <= low:
        return np.zeros(stored.values.shape, dtype)  # a blank image is black
    shown = voi or stretch(low, high)

    def brightness(values: np.ndarray) -> np.ndarray:
        unit = shown(modality(values))
        pixels = np.rint((1 - unit if inverted else unit) * top).astype(dtype)
        pixels[is_padding(values, padding)] = 0
        return pixels

    return apply(brightness, stored.values, dtype)


def apply(function: Function, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`function` of every value, as `dtype`; by a table where there are few possible values, and in place where the
    pixels fit.
    """
    flat, small = values.reshape(-1), values.itemsize <= 2
    if small:
        codes = np.arange(1 << 8 * values.itemsize).astype(f"u{values.itemsize}")
        table, flat = function(codes.view(values.dtype)), flat.view(codes.dtype)
    in_place = small and flat.dtype == dtype and flat.flags.writeable
    if in_place and np.array_equal(table, codes):
        return flat.reshape(values.shape)  # all bits are used as they are, as in many digitised films
    pixels = flat if in_place else np.empty(flat.size, dtype)
    for start in range(0, flat.size, BLOCK):
        part = slice(start, start + BLOCK)
        if small:
            np.take(table, flat[part], out=pixels[part], mode="clip")
        else:
            pixels[part] = function(flat[part])
    return pixels.reshape(values.shape)


def is_inverted(dataset, *, log: bool = False) -> bool:
    """Whether higher values are darker: MONOCHROME1 (PS3.3 C.7.6.3.1.2) or the shape INVERSE (C.8.11.3.1), which says
    the same again. Of exposures (log) it is their sign that says so: +1, higher where more X-rays came through
    (C.8.11.3.1.2), and only without it the former.
    """
    sign = whole(dataset, "PixelIntensityRelationshipSign", 0) if log else 0
    if sign:
        return sign > 0
    monochrome1 = word(dataset, "PhotometricInterpretation") == "MONOCHROME1"
    return monochrome1 or word(dataset, "PresentationLUTShape") == "INVERSE"


# ---- padding and ranges


def padding_range(dataset) -> tuple[int, int] | None:
    """Lowest and highest stored value that is no part of the image (PS3.3 C.7.5.1.1.2); None where none is said."""
    value = numbers(dataset, "PixelPaddingValue")[:1]
    if not value:
        return None
    ends = value + numbers(dataset, "PixelPaddingRangeLimit")[:1]
    allocated, signed = whole(dataset, "BitsAllocated", 16), whole(dataset, "PixelRepresentation", 0)
    stored = [_as_stored(int(end), allocated, signed) for end in ends]
    return min(stored), max(stored)


def _as_stored(value: int, allocated: int, signed: int) -> int:
    """A value of VR US where the pixels are SS, or the other way round, which vendors mix up, as the pixels are."""
    value &= (1 << allocated) - 1
    return value - (1 << allocated) if signed and value >> allocated - 1 else value


def is_padding(values: np.ndarray, padding: tuple[int, int] | None) -> np.ndarray:
    if padding is None:
        return np.zeros(values.shape, bool)
    return (values >= padding[0]) & (values <= padding[1])


def modality_range(dataset, modality: Function, stored: Stored, padding) -> tuple[float, float]:
    """Lowest and highest modality value of the image without its padding; (0, 0) where all is padding."""
    if items(dataset, "ModalityLUTSequence"):  # need not rise or fall throughout: its ends say little
        codes = np.unique(stored.values)
        codes = codes[~is_padding(codes, padding)]
    else:
        codes = np.array(unpadded_range(stored, padding) or (), np.int64)
    values = modality(codes)
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def unpadded_range(stored: Stored, padding: tuple[int, int] | None) -> tuple[int, int] | None:
    """Lowest and highest stored value outside the padding; None where all is padding."""
    low, high = stored.low, stored.high
    first, last = padding or (high + 1, high + 1)
    if first <= low and high <= last:
        return None
    if first <= low <= last:
        low = last + 1 + _nearest(stored.values, last + 1, upwards=True)
    if first <= high <= last:
        high = first - 1 - _nearest(stored.values, first - 1, upwards=False)
    return (low, high) if low <= high else None


def _nearest(values: np.ndarray, start: int, *, upwards: bool) -> int:
    """How far from `start` the nearest value at or above it lies, or at or below it; there has to be one.

    In unsigned arithmetic a value on the other side wraps around to a distance beyond all others, so that one minimum
    answers it, without a mask of the image.
    """
    flat = values.reshape(-1).view(f"u{values.itemsize}")
    origin = np.array(start % (1 << 8 * values.itemsize), flat.dtype)
    blocks = (flat[at : at + BLOCK] for at in range(0, flat.size, BLOCK))
    return min(int((block - origin if upwards else origin - block).min()) for block in blocks)


# ---- several frames


def project(dataset, frames: Iterable[Stored], *, log: bool) -> Stored:
    """The brightest of all frames' values at each place; padding loses against every value.

    Raises MammogramError where one stored value means different things in different frames.
    """
    padding, best = padding_range(dataset), None
    for index, (values, *_) in enumerate(frames):
        if best is None:
            ends = modality_function(dataset, 0)(np.array([0, np.iinfo(values.dtype).max]))
            rising = (ends[1] >= ends[0]) != is_inverted(dataset, log=log)
            best = values.copy()
        elif values.dtype != best.dtype or rescale_of(dataset, index) != rescale_of(dataset, 0):
            raise MammogramError(
                "has frames of different scales, which cannot be projected; choose one of them."
            )
        elif padding is None:
            (np.maximum if rising else np.minimum)(best, values, out=best)
        else:
            brighter = (values > best if rising else values < best) | is_padding(best, padding)
            np.copyto(best, values, where=brighter & ~is_padding(values, padding))
    return Stored(best, int(best.min()), int(best.max()))
