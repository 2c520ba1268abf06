"""Grey pictures as PNG (W3C, Portable Network Graphics Specification, third edition), much faster than by zlib.

The deflate is ISA-L's at its level 1, by python-isal. Every row is filtered by "sub", each byte less the one of the
pixel before it: on mammograms files are as large as OpenCV's, in a quarter of its time.
"""

from __future__ import annotations

import struct

import numpy as np
from isal import isal_zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"  # section 5.2
GREY, SUB = 0, 1  # colour type (11.2.1) and filter type (9.2)
LEVEL = 1  # of ISA-L's 0 to 3


def encode_png(pixels: np.ndarray) -> bytes:
    """(H, W) uint8 or uint16 → the bytes of a grey PNG of as many bits, without loss.

    Raises ValueError for other arrays.
    """
    if pixels.ndim != 2 or not pixels.size or pixels.dtype.kind != "u" or pixels.itemsize > 2:
        raise ValueError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no grey picture; "
            "expected (height, width) of uint8 or uint16."
        )
    height, width = pixels.shape
    head = struct.pack(">2I5B", width, height, 8 * pixels.itemsize, GREY, 0, 0, 0)
    data = isal_zlib.compress(_filtered(pixels), LEVEL)
    return b"".join((SIGNATURE, *_chunk(b"IHDR", head), *_chunk(b"IDAT", data), *_chunk(b"IEND", b"")))


def _filtered(pixels: np.ndarray) -> np.ndarray:
    """Rows of bytes, high ones first, each after its filter's type and filtered by it: (H, 1 + W × bytes) uint8."""
    size = pixels.itemsize
    rows = pixels.astype(f">u{size}", order="C", copy=False).view(np.uint8) if size > 1 else pixels
    filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = SUB
    filtered[:, 1 : 1 + size] = rows[:, :size]
    np.subtract(rows[:, size:], rows[:, :-size], out=filtered[:, 1 + size :])
    return filtered


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    """Length, type, data, and the CRC of both (5.3)."""
    checked = isal_zlib.crc32(data, isal_zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", checked)
