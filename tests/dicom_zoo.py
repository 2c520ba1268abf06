"""One image in every transfer syntax that a Python encoder can write: what the tests read back."""

import io

import imagecodecs
import numpy as np
from dicom_files import as_bytes, mammogram
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite

NATIVE = (
    "ImplicitVRLittleEndian",
    "ExplicitVRLittleEndian",
    "ExplicitVRBigEndian",
    "DeflatedExplicitVRLittleEndian",
)
LOSSLESS = (
    *("RLELossless", "JPEGLossless", "JPEGLosslessSV1", "JPEGLSLossless", "JPEG2000Lossless"),
    *("HTJ2KLossless", "HTJ2KLosslessRPCL"),
)
LOSSY = ("JPEGBaseline8Bit", "JPEGExtended12Bit", "JPEGLSNearLossless", "JPEG2000", "HTJ2K")
SYNTAXES = NATIVE + LOSSLESS + LOSSY


def written(pixels, syntax: str, *, bits=12, **tags) -> bytes:
    """A mammogram's file in a transfer syntax by pydicom's name of it. pixels: (H, W), or (F, H, W) for frames."""
    if syntax == "JPEGBaseline8Bit":
        bits = 8
    dataset = mammogram(pixels, bits=bits, **tags)
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    if syntax in NATIVE:
        return _in_syntax(dataset, syntax)
    frames = pixels if pixels.ndim == 3 else pixels[None]
    dataset.PixelData = encapsulate([encoded(frame, syntax, bits) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = getattr(uid, syntax)
    return as_bytes(dataset)


def encoded(pixels, syntax: str, bits: int) -> bytes:
    """One frame's codestream, of uint8 for up to 8 bits and of uint16 for more."""
    pixels = np.ascontiguousarray(pixels, "u1" if bits <= 8 else "<u2")
    match syntax:
        case "RLELossless" | "JPEGLSLossless" | "JPEGLSNearLossless" | "JPEG2000Lossless" | "JPEG2000":
            return _by_pydicom(pixels, syntax, bits)
        case "JPEGBaseline8Bit":
            return imagecodecs.jpeg8_encode(pixels, level=97)
        case "JPEGExtended12Bit":
            return imagecodecs.jpeg8_encode(pixels, level=97, bitspersample=12)
        case "JPEGLossless":
            return imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=6, bitspersample=bits)
        case "JPEGLosslessSV1":
            return imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=bits)
        case "HTJ2KLossless" | "HTJ2KLosslessRPCL":
            return imagecodecs.htj2k_encode(pixels, reversible=True)
        case "HTJ2K":
            return imagecodecs.htj2k_encode(pixels, level=0.0002, reversible=False)
    raise ValueError(f"nothing here encodes {syntax}")


def _by_pydicom(pixels, syntax: str, bits: int) -> bytes:
    options = {"JPEGLSNearLossless": {"jls_error": 2}, "JPEG2000": {"j2k_cr": [4]}}.get(syntax, {})
    dataset = mammogram(pixels, bits=bits)
    dataset.compress(getattr(uid, syntax), generate_instance_uid=False, **options)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def _in_syntax(dataset, syntax: str) -> bytes:
    """Not compressed, or deflated as a whole (PS3.5 A.5)."""
    chosen = getattr(uid, syntax)
    dataset.file_meta.TransferSyntaxUID = chosen
    if not chosen.is_little_endian:
        padded = dataset.PixelData + b"\0" * (len(dataset.PixelData) % 2)  # to whole words (PS3.5, 8.1.1)
        dataset.PixelData = np.frombuffer(padded, "<u2").byteswap().tobytes()
    buffer = io.BytesIO()
    order = {"implicit_vr": chosen.is_implicit_VR, "little_endian": chosen.is_little_endian}
    dcmwrite(buffer, dataset, force_encoding=True, **order)
    return buffer.getvalue()
