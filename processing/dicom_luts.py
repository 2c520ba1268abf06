"""The functions that a DICOM file's tables, rescale and windows stand for, as functions of arrays in float64."""

from collections.abc import Callable

import numpy as np

from .dicom_values import frame_groups, items, number, numbers, text, whole, word
from .mammogram import MammogramError

Function = Callable[[np.ndarray], np.ndarray]
LUT_TAGS = (
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "PixelRepresentation"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    *("PixelIntensityRelationship", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)


# ---- modality (PS3.3 C.11.1)


def modality_function(dataset, frame: int) -> Function:
    """Stored → modality values, by the modality LUT, or by rescale slope and intercept of the file or the frame."""
    tables = items(dataset, "ModalityLUTSequence")
    if tables:
        return _lookup(dataset, tables[0], signed=whole(dataset, "PixelRepresentation", 0) == 1)[0]
    slope, intercept = rescale_of(dataset, frame)
    if slope == 0:
        raise MammogramError("has RescaleSlope 0, which leaves no image; get a new copy.")
    return lambda stored: stored.astype(np.float64) * slope + intercept


def rescale_of(dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept of the file or of its frame (PS3.3 C.7.6.16.2.9), (1, 0) where none are said."""
    for place in (dataset, *frame_groups(dataset, "PixelValueTransformationSequence", frame)):
        if numbers(place, "RescaleSlope") or numbers(place, "RescaleIntercept"):
            return number(place, "RescaleSlope", 1), number(place, "RescaleIntercept", 0)
    return 1, 0


def attenuation(dataset, modality: Function, low: float, high: float) -> tuple[Function, float, float]:
    """Exposures between low and high → their logarithms above the lowest, and these values' range.

    Only the inversion is left to do where the file says that its values are logarithms (PS3.3 C.8.11.3.1.2).
    """
    if word(dataset, "PixelIntensityRelationship") == "LOG":
        return modality, low, high
    return lambda stored: np.log1p(np.maximum(modality(stored) - low, 0)), 0.0, float(np.log1p(high - low))


# ---- values of interest (PS3.3 C.11.2)


def stretch(low: float, high: float) -> Function:
    """low … high → 0 … 1."""
    return lambda values: np.clip((values - low) / (high - low), 0, 1)


def voi_function(dataset, frame: int, window: int | str, *, signed: bool) -> Function | None:
    """Modality values → 0 … 1, by one of the file's VOI LUTs or windows; None where it has none at all.

    window: its number, LUTs before windows, or what its explanation says; explanations are not told to anybody, as
    they are free text. signed: there are modality values below 0.
    Raises MammogramError for one that is not there or cannot be computed.
    """
    places = (dataset, *frame_groups(dataset, "FrameVOILUTSequence", frame))
    choices = [choice for place in places for choice in _voi_luts(dataset, place, signed)]
    choices += [choice for place in places for choice in _windows(place)]
    if not choices and window == 0:
        return None
    if isinstance(window, str):
        found = [make for said, make in choices if said.casefold() == window.strip().casefold()]
    else:
        found = [make for _, make in choices[window : window + 1]]
    if not found:
        raise MammogramError(f"has {len(choices)} VOI LUTs and windows, and no {window!r} among them.")
    return found[0]()


def _voi_luts(dataset, place, signed: bool):
    """(explanation, what makes the function) of each VOI LUT."""
    for item in items(place, "VOILUTSequence"):
        yield text(item, "LUTExplanation"), lambda item=item: _unit_lookup(dataset, item, signed)


def _windows(place):
    """(explanation, what makes the function) of each window."""
    centers, widths = numbers(place, "WindowCenter"), numbers(place, "WindowWidth")
    said = text(place, "WindowCenterWidthExplanation").split("\\")
    kind = word(place, "VOILUTFunction") or "LINEAR"
    for i, (center, width) in enumerate(zip(centers, widths, strict=False)):
        explanation = said[i].strip() if i < len(said) else ""
        yield explanation, lambda center=center, width=width: window_function(kind, center, width)


def window_function(kind: str, center: float, width: float) -> Function:
    """The window of PS3.3 C.11.2.1.2 (LINEAR), C.11.2.1.3.1 (SIGMOID) or C.11.2.1.3.2 (LINEAR_EXACT), to 0 … 1."""
    narrowest = {"LINEAR": 1, "LINEAR_EXACT": 0, "SIGMOID": 0}.get(kind)
    if narrowest is None or width < narrowest or width == 0:
        raise MammogramError(
            f"has a window of width {width:g} whose function is {kind if narrowest is not None else 'unknown'}, which "
            "cannot be applied; mode='min_max' does without windows."
        )
    if kind == "SIGMOID":
        return lambda values: 1 / (1 + np.exp(np.minimum(-4 * (values - center) / width, 700)))
    if kind == "LINEAR_EXACT":
        return lambda values: np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:
        return lambda values: (values > center - 0.5).astype(np.float64)
    return lambda values: np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


# ---- tables


def _unit_lookup(dataset, item, signed: bool) -> Function:
    """A VOI LUT, its entries divided by the largest number of its bits."""
    look_up, bits = _lookup(dataset, item, signed=signed)
    return lambda values: look_up(values) / (2**bits - 1)


def _lookup(dataset, item, *, signed: bool) -> tuple[Function, int]:
    """A table of PS3.3 C.11.1.1, and its bits: values below its first and above its last entry take that entry.

    signed: the table's input may be negative, so that its first value is signed whatever its VR says.
    """
    descriptor = [int(value) for value in numbers(item, "LUTDescriptor")]
    if len(descriptor) != 3 or not 1 <= descriptor[2] <= 16:
        raise MammogramError("has a look-up table without a proper LUTDescriptor; get a new copy.")
    count, first, bits = descriptor[0] % 65536 or 65536, descriptor[1], descriptor[2]
    first = first - 65536 if signed and first > 32767 else first
    entries = _entries(dataset, item, count, bits)
    last = len(entries) - 1
    return lambda values: entries[np.clip(np.rint(values) - first, 0, last).astype(np.int64)], bits


def _entries(dataset, item, count: int, bits: int) -> np.ndarray:
    """The (N,) entries of a table in float64: numbers (VR US), or words, which hold two entries of 8 bits each where
    they are so few (VR OW, PS3.3 C.11.1.1.1).
    """
    try:
        data = item.LUTData
    except Exception:  # pydicom raises whatever a broken tag leads to
        data = b""
    if isinstance(data, bytes):
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if _is_little_endian(dataset) else ">u2")
        halves = bits <= 8 and len(words) < count
        entries = words.astype("<u2").view("u1") if halves else words
    else:
        entries = np.array(numbers(item, "LUTData"))
    if len(entries) < count:
        raise MammogramError(f"has a look-up table of {len(entries)} entries, which should have {count}.")
    return entries[:count].astype(np.float64)


def _is_little_endian(dataset) -> bool:
    return dataset.original_encoding[1] is not False
