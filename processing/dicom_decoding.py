"""Encoded frames → stored values, for every transfer syntax of PS3.5 A.4 that mammography archives hold.

pydicom and its plugins decode. What is ours: which plugin goes first, what is said where none is installed, a look at
the dimensions in a codestream's head before a decoder trusts them, and the bits that are stored (PS3.5 8.1.1).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .dicom_codestreams import is_cut_short, read_head
from .dicom_values import text, whole
from .mammogram import MammogramError

try:
    from pydicom import uid
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder
except ImportError:  # said when a file is opened
    uid = None

MOST_PIXELS = 200_000_000  # of a frame; a mammogram has about 30 million, and a digitised film at most 80
LIBJPEG = "pylibjpeg pylibjpeg-libjpeg"
OPENJPEG = "pylibjpeg pylibjpeg-openjpeg"
# Transfer syntax → pydicom's plugins, best first, and what to install where none of them is there. Pillow's libjpeg
# decodes 8 bits only; Pillow widens JPEG 2000 to 16 bits, so it comes second there.
CODECS = {
    "JPEGBaseline8Bit": (("pillow", "pylibjpeg", "gdcm"), LIBJPEG),
    "JPEGExtended12Bit": (("pylibjpeg",), LIBJPEG),
    "JPEGLossless": (("pylibjpeg", "gdcm"), LIBJPEG),
    "JPEGLosslessSV1": (("pylibjpeg", "gdcm"), LIBJPEG),
    "JPEGLSLossless": (("pyjpegls", "pylibjpeg", "gdcm"), "pyjpegls"),
    "JPEGLSNearLossless": (("pyjpegls", "pylibjpeg", "gdcm"), "pyjpegls"),
    "JPEG2000Lossless": (("pylibjpeg", "gdcm", "pillow"), OPENJPEG),
    "JPEG2000": (("pylibjpeg", "gdcm", "pillow"), OPENJPEG),
    "HTJ2KLossless": (("pylibjpeg",), OPENJPEG),
    "HTJ2KLosslessRPCL": (("pylibjpeg",), OPENJPEG),
    "HTJ2K": (("pylibjpeg",), OPENJPEG),
    "RLELossless": (("pylibjpeg", "pydicom"), "pylibjpeg pylibjpeg-rle"),  # pydicom's own is slow
}
DECODING_TAGS = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("NumberOfFrames", "PhotometricInterpretation", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)


class Stored(NamedTuple):
    """Stored values (H, W), integers as PixelRepresentation says, and the lowest and the highest of them."""

    values: np.ndarray
    low: int
    high: int


def decode_frame(dataset, index: int) -> Stored:
    """One frame's stored values. Raises MammogramError for damaged pixels and for a missing codec."""
    syntax, (rows, columns), bits = _transfer_syntax(dataset), image_shape(dataset), _bits(dataset)
    if syntax.is_encapsulated:
        container, bits = _decompressed(dataset, syntax, index)
    else:
        container = _native(dataset, syntax, index)
    if container.size != rows * columns:
        raise _damaged(syntax)
    return _stored(container.reshape(rows, columns), *bits, bool(whole(dataset, "PixelRepresentation", 0)))


# ---- what the tags say


def _transfer_syntax(dataset):
    """The file's, or where a file has no head that of PS3.5 10.1: Implicit VR Little Endian, or as it was read."""
    syntax = uid.UID(text(getattr(dataset, "file_meta", {}), "TransferSyntaxUID"))
    if not syntax:
        if dataset["PixelData"].is_undefined_length:
            raise MammogramError("does not say how its pixels are compressed (no TransferSyntaxUID).")
        implicit, little = dataset.original_encoding
        plain = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        return uid.ImplicitVRLittleEndian if implicit else plain
    try:
        get_decoder(syntax)
        return syntax
    except NotImplementedError:
        said = (
            f"as {syntax.name}" if syntax.name != str(syntax) else "in a transfer syntax that is not DICOM's"
        )
    raise MammogramError(f"is encoded {said}, which cannot be read; expected a still image.")


def image_shape(dataset) -> tuple[int, int]:
    rows, columns = whole(dataset, "Rows", 0), whole(dataset, "Columns", 0)
    if not 0 < rows * columns <= MOST_PIXELS:
        raise MammogramError(f"has {rows} × {columns} pixels; expected 1 to {MOST_PIXELS // 10**6} million.")
    return rows, columns


def _bits(dataset) -> tuple[int, int]:
    """BitsStored, and by how much they lie above the lowest bit (files from before 2014 may choose HighBit)."""
    allocated, stored = whole(dataset, "BitsAllocated", 16), whole(dataset, "BitsStored", 16)
    high = whole(dataset, "HighBit", stored - 1)
    if allocated not in (8, 16, 32) or not 1 <= stored <= high + 1 <= allocated:
        raise MammogramError(
            f"has BitsAllocated {allocated}, BitsStored {stored} and HighBit {high}, which cannot be; get a new copy."
        )
    return stored, high + 1 - stored


# ---- decoding


def _native(dataset, syntax, index: int) -> np.ndarray:
    """A frame that is not compressed, as unsigned integers of the machine's byte order; a view where possible."""
    options = {"raw": True, "view_only": True, "correct_unused_bits": False}
    decoded = _attempt(get_decoder(syntax).as_array, dataset, index=index, **options)
    if decoded is None:
        raise _damaged(syntax)
    array = decoded[0]
    return array.astype(array.dtype.newbyteorder("="), copy=False).view(f"u{array.dtype.itemsize}")


def _decompressed(dataset, syntax, index: int) -> tuple[np.ndarray, tuple[int, int]]:
    """A compressed frame as unsigned integers, and its bits as `_bits` has them.

    The codestream knows its precision best: plugins give bytes for up to 8 bits whatever BitsAllocated is.
    """
    (stored, shift), plugin = _bits(dataset), _plugin(syntax)
    options: dict = {}
    if syntax != uid.RLELossless:
        precision = _checked_precision(dataset, syntax, index)
        allocated = 8 if precision <= 8 else 16
        options = {"bits_allocated": allocated, "bits_stored": min(stored, precision)}
        masked = syntax in uid.JPEGTransferSyntaxes or whole(dataset, "PixelRepresentation", 0)
        stored, shift = min(stored, precision) if masked else precision, 0
    decode = get_decoder(syntax).as_buffer
    decoded = _attempt(decode, dataset, index=index, decoding_plugin=plugin, **options)
    if decoded is None:
        raise _damaged(syntax)
    buffer, about = decoded
    return np.frombuffer(buffer, f"<u{about['bits_allocated'] // 8}"), (stored, shift)


def _attempt(decode: Callable, *arguments, **options):
    """What a decoder gives, or None where it fails: decoders raise whatever they like, and quote what they like."""
    try:
        return decode(*arguments, **options)
    except Exception:
        return None
    except BaseException as error:  # a panic of Rust code, such as pylibjpeg-rle's, is no Exception
        if type(error).__name__ != "PanicException":
            raise
        return None


def _checked_precision(dataset, syntax, index: int) -> int:
    """Bits of a codestream's samples, after its dimensions have been found to be those of the tags."""
    try:
        frames = whole(dataset, "NumberOfFrames", 1)
        offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
        frame = get_frame(
            dataset.PixelData,
            index,
            number_of_frames=frames,
            extended_offsets=offsets if all(offsets) else None,
        )
    except Exception:
        frame = b""
    head = read_head(frame)
    if head is None or is_cut_short(frame) or head.samples != 1 or not 2 <= head.precision <= 16:
        raise _damaged(syntax)
    if (head.rows, head.columns) != image_shape(dataset):
        raise MammogramError(
            f"has a {syntax.name} image of {head.rows} × {head.columns} pixels, where its tags Rows and Columns say "
            f"{' × '.join(map(str, image_shape(dataset)))}; get a new copy."
        )
    return head.precision


def _plugin(syntax) -> str:
    """The best plugin that is installed. Raises MammogramError with what to install."""
    plugins, packages = next(codec for name, codec in CODECS.items() if getattr(uid, name) == syntax)
    installed = installed_plugins(syntax)
    for plugin in plugins:
        if plugin in installed:
            return plugin
    raise MammogramError(
        f"is compressed as {syntax.name}, and no decoder for it is installed; run pip install {packages}."
    )


def installed_plugins(syntax) -> tuple[str, ...]:
    return get_decoder(syntax).available_plugins


def _damaged(syntax) -> MammogramError:
    return MammogramError(f"has pixels ({syntax.name}) that are damaged or cut short; get a new copy.")


# ---- stored bits


def _stored(container: np.ndarray, bits: int, shift: int, signed: bool) -> Stored:
    """Containers → the integers in `bits` bits of them, `shift` above the lowest.

    Other bits may hold anything, such as overlays of old (PS3.5 8.1.2); mostly they hold nothing, and no pass over
    the pixels is needed but that for their extremes. A HighBit is wrong where nothing lies above `bits`.
    """
    values = container >> shift if shift and int(container.max()) >> bits else container
    bottom, top = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    values = values.view(f"{'i' if signed else 'u'}{values.dtype.itemsize}")
    low, high = int(values.min()), int(values.max())
    if low < bottom or high > top:
        unused = 8 * values.dtype.itemsize - bits
        values = (values << unused) >> unused  # leaves the sign where there is one
        low, high = int(values.min()), int(values.max())
    return Stored(values, low, high)
