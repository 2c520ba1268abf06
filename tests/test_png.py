"""Our PNGs as other programs read them: every bit of every shape, chunk by chunk, and what is no grey picture."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from processing.png import SIGNATURE, decode_png, encode_png

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(deadline=None)
@given(pixels=st.sampled_from([np.uint8, np.uint16]).flatmap(lambda kind: arrays(kind, SHAPES)))
def test_pillow_and_opencv_read_what_was_written(pixels):
    data = encode_png(pixels)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert by_opencv.dtype == pixels.dtype
    np.testing.assert_array_equal(by_opencv, pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == ("L" if pixels.dtype == np.uint8 else "I;16")
        np.testing.assert_array_equal(np.asarray(image), pixels)


def film(dtype):
    """A large, noisy slope, so that the deflated data are of many blocks."""
    noise = np.random.default_rng(0).integers(0, 40, (900, 700))
    return (
        np.add.outer(np.arange(900) * 30, np.arange(700) * 40) // (257 if dtype == np.uint8 else 1) + noise
    ).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_large_picture_and_any_view_of_it_are_whole_and_no_larger_than_opencvs(dtype):
    whole = film(dtype)
    for pixels in (
        whole,
        whole[5:-9:2, 3:-4],
        whole[:, ::-1],
        whole.T,
        whole.astype(whole.dtype.newbyteorder()),
    ):
        read = cv2.imdecode(np.frombuffer(encode_png(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, pixels)
    assert len(encode_png(whole)) < 1.15 * len(cv2.imencode(".png", whole)[1])


def test_the_chunks_are_those_of_the_specification():
    data, found = encode_png(film(np.uint16)), []
    assert data.startswith(SIGNATURE)
    at = len(SIGNATURE)
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 4 : at + 8 + length]
        assert zlib.crc32(body) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        found.append((kind, body[4:]))
        at += 12 + length
    assert [kind for kind, _ in found] == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">2I5B", found[0][1]) == (700, 900, 16, 0, 0, 0, 0)
    assert len(zlib.decompress(found[1][1])) == 900 * (1 + 2 * 700)


@pytest.mark.parametrize(
    "shape, dtype", [((4, 4, 3), np.uint8), ((4, 4), np.float32), ((4, 4), np.int16), ((0, 4), np.uint8)]
)
def test_what_is_no_grey_picture_is_refused(shape, dtype):
    with pytest.raises(ValueError, match="expected \\(height, width\\) of uint8 or uint16"):
        encode_png(np.zeros(shape, dtype))


# Reading


@settings(deadline=None)
@given(pixels=arrays(np.uint8, SHAPES))
def test_our_own_files_are_read_as_pillow_reads_them(pixels):
    data = encode_png(pixels)
    np.testing.assert_array_equal(decode_png(data, *pixels.shape).numpy(), pixels)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("level", [0, 1, 6])
def test_files_of_other_programs_are_read_too(level):
    """Pillow filters rows in all five ways, and libpng cuts the data into chunks of 8 kB."""
    pixels, file = film(np.uint8), io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=level)
    np.testing.assert_array_equal(decode_png(file.getvalue(), *pixels.shape).numpy(), pixels)
    by_opencv = cv2.imencode(".png", pixels)[1].tobytes()
    np.testing.assert_array_equal(decode_png(by_opencv, *pixels.shape).numpy(), pixels)


def test_a_small_file_of_another_program_in_one_chunk_is_read():
    pixels, file = film(np.uint8)[:20, :30], io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    np.testing.assert_array_equal(decode_png(file.getvalue(), 20, 30).numpy(), pixels)


def test_pictures_of_another_size_or_type_are_refused():
    for pixels in (np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint16)):
        with pytest.raises(ValueError, match="expected a grey 8-bit PNG of 5 × 4 pixels"):
            decode_png(encode_png(pixels), 5, 4)


@pytest.mark.parametrize("cut", [60, 200, -200])
def test_a_damaged_file_is_an_error_and_no_picture(cut):
    data = encode_png(film(np.uint8))
    for damaged in (data[:cut], data[:100] + bytes(50) + data[150:]):
        with pytest.raises(OSError):
            decode_png(damaged, 900, 700)
