"""The heads of JPEG, JPEG-LS and JPEG 2000 codestreams: what they say of the image, before a decoder believes it."""

import struct
from typing import NamedTuple

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"  # SOI and EOI (ISO/IEC 10918-1 B.1.1.3)
J2K_START = b"\xff\x4f\xff\x51"  # SOC and SIZ, the first two markers (ISO/IEC 15444-1 A.4.1, A.5.1)
SIZ = struct.Struct(">2H8IHB")
HEADER_BOXES = 1024  # bytes that JP2's boxes may take before the codestream, against PS3.5 A.4.4
# Start-of-frame markers (ISO/IEC 10918-1 B.1.1.3, 14495-1 C.1.1); C4, C8 and CC are other things.
FRAME_STARTS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


class Head(NamedTuple):
    rows: int
    columns: int
    precision: int  # bits a sample
    samples: int  # a pixel


def read_head(codestream: bytes) -> Head | None:
    """What a codestream says of its image; None for what is neither JPEG, JPEG-LS nor JPEG 2000."""
    if codestream.startswith(JPEG_START):
        return _jpeg_head(codestream)
    start = codestream.find(J2K_START, 0, HEADER_BOXES)
    return _j2k_head(codestream[start + 4 : start + 4 + SIZ.size]) if start >= 0 else None


def is_cut_short(codestream: bytes) -> bool:
    """Whether a JPEG or JPEG-LS codestream lacks its end: some decoders make up the missing rows, others take long.

    Decoders of JPEG 2000 say so themselves.
    """
    return codestream.startswith(JPEG_START) and not codestream.rstrip(b"\0").endswith(JPEG_END)


def _jpeg_head(codestream: bytes) -> Head | None:
    """The first frame's: segments are skipped by their length until one starts a frame (10918-1 B.2.2)."""
    at = 2
    while at + 4 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in FRAME_STARTS and at + 10 <= len(codestream):
            precision, samples = codestream[at + 4], codestream[at + 9]
            return Head(
                _number(codestream[at + 5 : at + 7]), _number(codestream[at + 7 : at + 9]), precision, samples
            )
        else:
            at += 2 + _number(codestream[at + 2 : at + 4])
    return None


def _j2k_head(size: bytes) -> Head | None:
    """From the SIZ segment after its marker: lengths, image and tile areas, number of components, first precision."""
    if len(size) < SIZ.size:
        return None
    _, _, across, down, left, above, _, _, _, _, samples, depth = SIZ.unpack_from(size)
    return Head(down - above, across - left, (depth & 0x7F) + 1, samples)


def _number(big_endian: bytes) -> int:
    return int.from_bytes(big_endian, "big")
