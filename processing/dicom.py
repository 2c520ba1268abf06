"""A mammogram's pixels and the few tags that we keep, from a DICOM file.

The pixel path is that of PS3.3 C.11 and PS3.4 N.2, in its order: stored values → modality LUT or rescale →
(in mode "voi") VOI LUT or window → inversion of MONOCHROME1. Padding is kept out of every statistic.
"""

import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

try:  # pydicom is needed for DICOM alone; ordinary pictures are read without it
    import pydicom
    from pydicom.errors import InvalidDicomError
except ImportError:
    pydicom = None
    InvalidDicomError = ValueError

MODES = ("min_max", "voi")
BRIGHTEST = 65535
INSTALL_CODECS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pylibjpeg-rle"
# PS3.16 CID 4014 "View for Mammography": SNOMED CT and SNOMED-RT codes of the two screening views.
VIEW_CODES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")


class MammogramError(ValueError):
    """A file that cannot be read, or is no mammogram. The message is one sentence: what was found, what to do."""


@dataclass(frozen=True)
class Mammogram:
    """One mammogram.

    pixels: (H, W) uint8 or uint16, breast tissue bright whatever the file's photometric interpretation.
    view: "CC", "MLO" or None (another view, or not said); laterality: "L", "R" or None.
    spacing: (row, column) distance of pixels in mm at the detector, or None.
    presentation: "FOR PRESENTATION", "FOR PROCESSING" or None.
    """

    pixels: np.ndarray
    view: str | None = None
    laterality: str | None = None
    spacing: tuple[float, float] | None = None
    vendor: str | None = None
    model: str | None = None
    presentation: str | None = None


def read_dicom(path_or_bytes: str | os.PathLike | bytes, *, mode: str = "min_max") -> Mammogram:
    """Read a single-frame mammogram.

    mode: "min_max" stretches the modality values to 0 … 65535, as the published model was trained on;
        "voi" applies the file's VOI LUT or its first window, and falls back to nothing: without either the
        modality values are stretched, as PS3.4 N.2.3 has it.
    → pixels (H, W) uint16.

    Raises MammogramError for what is unreadable or no mammogram, FileNotFoundError for a missing file.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; expected one of {', '.join(MODES)}.")
    name = "the DICOM data" if isinstance(path_or_bytes, bytes) else str(path_or_bytes)
    dataset = _open(path_or_bytes, name)
    _check_mammogram(dataset, name)
    stored = _decode(dataset, name)
    padded = _padding(dataset, stored)
    values = _modality_values(dataset, stored)
    known = values[~padded]
    if mode == "voi" and _has_voi(dataset):
        values = _voi_values(dataset, values)
        low, high = 0.0, 1.0
    else:
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    return Mammogram(
        pixels=_stretch(values, low, high, padded, inverted=_is_inverted(dataset)),
        view=_view(dataset),
        laterality=_laterality(dataset),
        spacing=_spacing(dataset),
        vendor=_text(dataset, "Manufacturer"),
        model=_text(dataset, "ManufacturerModelName"),
        presentation=_text(dataset, "PresentationIntentType"),
    )


# ---- opening and refusing


def _open(source: str | os.PathLike | bytes, name: str):
    if pydicom is None:
        raise MammogramError(
            f"{name} is a DICOM file, and pydicom is not installed; run pip install pydicom."
        )
    if not isinstance(source, bytes):
        _check_file(Path(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities in tags that we do not read
            return pydicom.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source, force=True)
    except (InvalidDicomError, EOFError, ValueError, KeyError, NotImplementedError, AttributeError) as error:
        raise MammogramError(
            f"{name} cannot be read as DICOM ({_reason(error)}); get a new copy of it."
        ) from error


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a DICOM file.")
    if path.is_dir():
        raise MammogramError(f"{path} is a folder; give the path of one DICOM file.")
    if path.stat().st_size == 0:
        raise MammogramError(f"{path} is an empty file (0 bytes); get a new copy of it.")


def _check_mammogram(dataset, name: str) -> None:
    """Refuse what is no single grey mammogram, and say what it is."""
    modality = dataset.get("Modality")
    if "Rows" not in dataset and modality is None:
        raise MammogramError(f"{name} is not a DICOM image; expected a mammogram (.dcm).")
    if modality != "MG":
        raise MammogramError(f"{name} has Modality {modality or 'empty'!r}; expected MG, a mammogram.")
    if "PixelData" not in dataset:
        raise MammogramError(
            f"{name} holds no pixels (no PixelData tag); it may be cut short, so get a new copy."
        )
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames > 1:
        raise MammogramError(
            f"{name} has {frames} frames, as tomosynthesis does; expected a single image: give its 2D view."
        )
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise MammogramError(
            f"{name} is a colour image ({dataset.get('PhotometricInterpretation')}); expected MONOCHROME1 or 2."
        )


def _decode(dataset, name: str) -> np.ndarray:
    """Stored values (H, W), integers; bits above BitsStored are left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = dataset.pixel_array
    except Exception as error:  # decoders raise whatever they like
        raise MammogramError(_decoding_failure(dataset, name, error)) from error
    bits = int(dataset.get("BitsStored", 16))
    if not int(dataset.get("PixelRepresentation", 0)) and bits < int(dataset.get("BitsAllocated", 16)):
        stored = stored & ((1 << bits) - 1)
    return stored


def _decoding_failure(dataset, name: str, error: Exception) -> str:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        return f"{name} does not say how its pixels are encoded (no TransferSyntaxUID); get a new copy of it."
    if syntax.is_compressed and not _has_decoder(syntax):
        return f"{name} is compressed as {syntax.name}, and no decoder for it is installed; run {INSTALL_CODECS}."
    return (
        f"the pixels of {name} ({syntax.name}) are damaged or cut short ({_reason(error)}); get a new copy."
    )


def _has_decoder(syntax) -> bool:
    try:
        return pydicom.pixels.get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


# ---- the pixel path


def _padding(dataset, stored: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels that are no part of the image (PS3.3 C.7.5.1.1.2: a value, or a range to its limit)."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((int(value), int(value if limit is None else limit)))
    return (stored >= ends[0]) & (stored <= ends[1])


def _modality_values(dataset, stored: np.ndarray) -> np.ndarray:
    """Stored values → float32 by the modality LUT, or by rescale slope and intercept (PS3.3 C.11.1)."""
    sequence = dataset.get("ModalityLUTSequence")
    if sequence:
        return _look_up(sequence[0], stored)
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _look_up(table, values: np.ndarray) -> np.ndarray:
    """A LUT of PS3.3 C.11.1.1: values below its first and above its last entry take that entry. → float32"""
    count, first, bits = (int(number) for number in table.LUTDescriptor)
    data = table.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if bits > 8 or len(data) >= 2 * (count or 65536) else "u1")
    entries = np.asarray(data, np.float32)[: count or 65536]
    return entries[np.clip(np.rint(values).astype(np.int64) - first, 0, len(entries) - 1)]


def _has_voi(dataset) -> bool:
    return bool(dataset.get("VOILUTSequence")) or dataset.get("WindowCenter") not in (None, "")


def _voi_values(dataset, values: np.ndarray) -> np.ndarray:
    """Modality values → float32 in [0, 1] by the VOI LUT, else by the first window (PS3.3 C.11.2)."""
    sequence = dataset.get("VOILUTSequence")
    if sequence:
        return _look_up(sequence[0], values) / np.float32(2 ** int(sequence[0].LUTDescriptor[2]) - 1)
    center, width = _number(dataset, "WindowCenter", 0.0), _number(dataset, "WindowWidth", 1.0)
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width <= 1:  # C.11.2.1.2.1: a step
        return (values > center - 0.5).astype(np.float32)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _is_inverted(dataset) -> bool:
    """MONOCHROME1: the lowest value is shown white. Its Presentation LUT Shape INVERSE says the same again."""
    return dataset.get("PhotometricInterpretation") == "MONOCHROME1"


def _stretch(
    values: np.ndarray, low: float, high: float, padded: np.ndarray, *, inverted: bool
) -> np.ndarray:
    """low … high → 0 … 65535, reversed where the file is inverted; padding → 0, the background's darkness."""
    span = np.float32(high - low)
    scaled = (values - np.float32(low)) / span if span > 0 else np.zeros_like(values, np.float32)
    if inverted and span > 0:
        scaled = 1 - scaled
    pixels = np.rint(np.clip(scaled, 0, 1) * BRIGHTEST).astype(np.uint16)
    pixels[padded] = 0
    return pixels


# ---- tags


def _view(dataset) -> str | None:
    """From ViewPosition, the view's code, or free text; a view that is said and neither CC nor MLO gives None."""
    position = str(dataset.get("ViewPosition") or "").strip().upper()
    if position:
        return position if position in ("CC", "MLO") else None
    for code in dataset.get("ViewCodeSequence") or ():
        return VIEW_CODES.get(str(code.get("CodeValue")))
    # CBIS-DDSM and other digitised films write the view into PatientOrientation.
    orientation = dataset.get("PatientOrientation")
    orientation = [orientation] if isinstance(orientation, str) else orientation or ()
    texts = [*map(str, orientation), *(str(dataset.get(name) or "") for name in DESCRIPTIONS)]
    return next((view for view in map(_view_in, texts) if view), None)


def _view_in(text: str) -> str | None:
    found = re.search(r"(?:^|[^A-Z])[LR]?(CC|MLO)(?![A-Z])", text.upper())
    return found.group(1) if found else None


def _laterality(dataset) -> str | None:
    """From ImageLaterality, Laterality, the frame's anatomy, or free text; "B" and other values give None."""
    for name in ("ImageLaterality", "Laterality"):
        value = str(dataset.get(name) or "").strip().upper()
        if value:
            return value if value in ("L", "R") else None
    for group in dataset.get("SharedFunctionalGroupsSequence") or ():
        for anatomy in group.get("FrameAnatomySequence") or ():
            value = str(anatomy.get("FrameLaterality") or "")
            if value in ("L", "R"):
                return value
    texts = (str(dataset.get(name) or "") for name in DESCRIPTIONS)
    return next((side for side in map(_laterality_in, texts) if side), None)


def _laterality_in(text: str) -> str | None:
    pattern = r"(?:^|[^A-Z])(?:(LEFT|RIGHT)|([LR])[ _-]?(?:CC|MLO)?)(?![A-Z])"
    found = re.search(pattern, text.upper())
    return (found.group(1) or found.group(2))[0] if found else None


def _spacing(dataset) -> tuple[float, float] | None:
    for name in ("ImagerPixelSpacing", "PixelSpacing"):
        value = dataset.get(name)
        if value is not None and len(value) == 2:
            return float(value[0]), float(value[1])
    return None


def _text(dataset, name: str) -> str | None:
    return str(dataset.get(name) or "").strip() or None


def _number(dataset, name: str, default: float) -> float:
    """A number, the first of several, or the default where the tag is missing or empty."""
    value = dataset.get(name)
    if value is None or value == "":
        return default
    values = value if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]
    return float(values[0])
