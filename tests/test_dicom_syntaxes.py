"""Every transfer syntax that a Python encoder can write is read, with the pixels that pydicom alone decodes; and what
is said of codecs that are missing, of codestreams that are cut short, and of files without a head.
"""

import io
import warnings

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_files import as_bytes, lookup, mammogram
from dicom_zoo import LOSSLESS, LOSSY, NATIVE, SYNTAXES, encoded, written
from pydicom import uid
from pydicom.encaps import encapsulate

from processing import MammogramError, dicom_decoding, read_dicom

FULL = 65535
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # about what these tests write
TOLERANCE = {
    "JPEGBaseline8Bit": 3,
    "JPEGExtended12Bit": 8,
    "JPEGLSNearLossless": 2,
    "JPEG2000": 40,
    "HTJ2K": 40,
}


def image(frames=None, top=4095):
    """(H, W) or (frames, H, W) uint16: waves, and noise in the lowest bits."""
    rng = np.random.default_rng(0)
    shape = (64, 48) if frames is None else (frames, 64, 48)
    y, x = np.mgrid[:64, :48]
    waves = 0.5 + 0.45 * np.sin(y / 9) * np.cos(x / 7)
    return (waves * top + rng.integers(0, 20, shape) * top / 4095).astype(np.uint16)


def stretched(values):
    values = values.astype(np.float64)
    return np.rint((values - values.min()) / np.ptp(values) * FULL)


def by_pydicom(content, syntax):
    """Stored values by pydicom alone, with the plugin that we take: two decoders of lossy JPEG may differ by one."""
    plugin = "" if syntax in NATIVE else dicom_decoding.CODECS[syntax][0][0]
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.pixel_array_options(decoding_plugin=plugin)
    return dataset.pixel_array


def stored_image(syntax, frames=None):
    return image(frames, 255 if syntax == "JPEGBaseline8Bit" else 4095)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_syntax_gives_the_pixels_that_pydicom_decodes(syntax):
    pixels = stored_image(syntax)
    content = written(pixels, syntax)
    decoded = by_pydicom(content, syntax)
    assert pydicom.dcmread(io.BytesIO(content)).file_meta.TransferSyntaxUID == getattr(uid, syntax)
    np.testing.assert_allclose(decoded.astype(int), pixels.astype(int), atol=TOLERANCE.get(syntax, 0))
    np.testing.assert_allclose(read_dicom(content).pixels, stretched(decoded), atol=1)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_syntax_may_have_several_frames(syntax):
    pixels = stored_image(syntax, frames=3)
    content = written(pixels, syntax)
    for index, decoded in enumerate(by_pydicom(content, syntax)):
        np.testing.assert_allclose(read_dicom(content, frame=index).pixels, stretched(decoded), atol=1)
    projected = stretched(by_pydicom(content, syntax).max(0))
    np.testing.assert_allclose(read_dicom(content, frame="max").pixels, projected, atol=1)


@pytest.mark.parametrize("syntax", [*NATIVE, *LOSSLESS])
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_lossless_syntaxes_keep_all_bits(syntax, bits):
    pixels = np.random.default_rng(bits).integers(0, 2**bits, (64, 48)).astype(np.uint16)
    np.testing.assert_array_equal(read_dicom(written(pixels, syntax, bits=bits)).pixels, stretched(pixels))


@pytest.mark.parametrize(
    "syntax", ["ExplicitVRBigEndian", "RLELossless", "JPEGLSLossless", "JPEG2000Lossless"]
)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_signed_values(syntax, bits):
    values = np.random.default_rng(bits).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (64, 48))
    content = written(values & (2**bits - 1), syntax, bits=bits, signed=True)
    np.testing.assert_array_equal(by_pydicom(content, syntax), values)
    np.testing.assert_array_equal(read_dicom(content).pixels, stretched(values))


@pytest.mark.parametrize("syntax", ["RLELossless", "ExplicitVRLittleEndian", "JPEGLosslessSV1"])
def test_bits_above_those_stored_are_left_out_of_every_syntax(syntax):
    pixels = image()
    overlaid = pixels | 0x8000
    dataset = pydicom.dcmread(io.BytesIO(written(overlaid, syntax, bits=16)))
    dataset.BitsStored, dataset.HighBit = 12, 11
    np.testing.assert_array_equal(read_dicom(as_bytes(dataset)).pixels, stretched(pixels))


def compressed(codestreams, syntax, pixels, bits):
    dataset = mammogram(pixels, bits=bits)
    dataset.PixelData = encapsulate(codestreams)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = getattr(uid, syntax)
    return as_bytes(dataset)


def test_jpeg_of_eight_bits_in_a_file_that_allocates_sixteen():
    pixels = image(top=255)
    content = compressed(
        [imagecodecs.jpeg8_encode(pixels.astype("u1"), level=97)], "JPEGBaseline8Bit", pixels, 12
    )
    np.testing.assert_allclose(read_dicom(content).pixels, stretched(pixels), atol=800)


def test_a_frame_may_lie_in_several_fragments():
    pixels = image()
    stream = encoded(pixels, "JPEGLosslessSV1", 12)
    dataset = mammogram(pixels)
    dataset.PixelData = encapsulate([stream], fragments_per_frame=3)
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    np.testing.assert_array_equal(read_dicom(as_bytes(dataset)).pixels, stretched(pixels))


@pytest.mark.parametrize("plain", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian"])
def test_a_file_without_a_head_is_read_as_it_is_written(plain, tmp_path):
    dataset = pydicom.dcmread(io.BytesIO(written(image(), plain)))
    del dataset.file_meta
    dataset.preamble = None
    path = tmp_path / "bare.dcm"
    order = {"implicit_vr": plain.startswith("Implicit"), "little_endian": "Little" in plain}
    pydicom.dcmwrite(path, dataset, **order)
    np.testing.assert_array_equal(read_dicom(path).pixels, stretched(image()))


@pytest.mark.parametrize("plain", NATIVE)
@pytest.mark.parametrize("vr", ["US", "OW"])
def test_tables_and_padding_are_read_in_every_byte_order(plain, vr):
    """Both are ambiguous where a file does not say their type: US or OW, US or SS."""
    stored = np.arange(-24, 24).reshape(8, 6)
    table = lookup([0, 1000, 3000, 4095], first=-2, bits=12)
    table[0]["LUTDescriptor"].VR = "SS"
    if vr == "OW":
        order = ">u2" if "BigEndian" in plain else "<u2"
        table[0].add_new("LUTData", "OW", np.array([0, 1000, 3000, 4095], order).tobytes())
    content = written(stored, plain, signed=True, VOILUTSequence=table, PixelPaddingValue=-1)
    expected = np.array([0, 1000, 3000, 4095])[np.clip(stored + 2, 0, 3)] / 4095 * FULL
    expected[stored == -1] = 0
    np.testing.assert_allclose(read_dicom(content, mode="voi").pixels, expected, atol=1)


# ---- refused


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_codestream_that_is_cut_short_is_refused(syntax, share):
    pixels = stored_image(syntax)
    bits = 8 if syntax == "JPEGBaseline8Bit" else 12
    stream = encoded(pixels, syntax, bits)
    content = compressed([stream[: int(share * len(stream))]], syntax, pixels, bits)
    with pytest.raises(MammogramError, match="damaged or cut short"):
        read_dicom(content)


@pytest.mark.parametrize("syntax", ["JPEGLosslessSV1", "JPEGLSLossless", "JPEG2000Lossless", "HTJ2KLossless"])
def test_a_codestream_of_another_size_than_the_tags_is_refused(syntax):
    content = compressed([encoded(image()[:40], syntax, 12)], syntax, image(), 12)
    with pytest.raises(
        MammogramError, match="of 40 × 48 pixels, where its tags Rows and Columns say 64 × 48"
    ):
        read_dicom(content)


def test_more_rows_than_the_run_lengths_give_are_refused():
    stream = encoded(image(), "RLELossless", 12)
    for pixels in (image()[:40], np.concatenate([image(), image()])):
        with pytest.raises(MammogramError, match="damaged or cut short"):
            read_dicom(compressed([stream], "RLELossless", pixels, 12))


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY])
def test_a_missing_codec_is_named_with_the_command_that_adds_it(syntax, monkeypatch):
    content = written(stored_image(syntax), syntax)
    monkeypatch.setattr(dicom_decoding, "installed_plugins", lambda _: ())
    package = {"R": "pylibjpeg pylibjpeg-rle", "H": "pylibjpeg pylibjpeg-openjpeg"}.get(syntax[0])
    package = package or {
        "JPEGL": "pylibjpeg pylibjpeg-libjpeg",
        "JPEG2": "pylibjpeg pylibjpeg-openjpeg",
    }.get(syntax[:5])
    package = "pyjpegls" if "JPEGLS" in syntax else package or "pylibjpeg pylibjpeg-libjpeg"
    name = getattr(uid, syntax).name
    with pytest.raises(MammogramError) as refusal:
        read_dicom(content)
    expected = f"the DICOM data is compressed as {name}, and no decoder for it is installed; run pip install {package}."
    assert str(refusal.value) == expected


def test_pillow_alone_is_no_decoder_of_twelve_bits(monkeypatch):
    monkeypatch.setattr(dicom_decoding, "installed_plugins", lambda _: ("pillow",))
    with pytest.raises(MammogramError, match="no decoder for it is installed"):
        read_dicom(written(image(), "JPEGExtended12Bit"))
    assert read_dicom(written(image(top=255), "JPEGBaseline8Bit")).pixels.max() == FULL
    np.testing.assert_array_equal(read_dicom(written(image(), "JPEG2000Lossless")).pixels, stretched(image()))


@pytest.mark.parametrize("plugin", ["pylibjpeg", "pyjpegls", "pillow", "pydicom"])
def test_the_plugins_agree(plugin, monkeypatch):
    """Whichever is installed, lossless pixels are the same."""
    before, seen = dicom_decoding.installed_plugins, 0
    monkeypatch.setattr(dicom_decoding, "installed_plugins", lambda syntax: {plugin} & set(before(syntax)))
    for syntax in LOSSLESS:
        if plugin in before(getattr(uid, syntax)):
            np.testing.assert_array_equal(read_dicom(written(image(), syntax)).pixels, stretched(image()))
            seen += 1
    assert seen


def test_films_and_private_syntaxes_are_refused_by_name():
    dataset = pydicom.dcmread(io.BytesIO(written(image(), "RLELossless")))
    for syntax, said in (
        (uid.MPEG2MPML, "is encoded as MPEG2 Main Profile / Main Level, which cannot be read"),
        ("1.2.3.4", "in a transfer syntax that is not DICOM's"),
    ):
        dataset.file_meta.TransferSyntaxUID = syntax
        with pytest.raises(MammogramError, match=said):
            read_dicom(as_bytes(dataset))


def test_pydicom_neither_warns_nor_logs_for_us(capfd):
    content = written(image(), "JPEGLSLossless", SeriesDate="no date")
    broken = compressed([b"\xff\xd8\xff\xd9"], "JPEGLSLossless", image(), 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_dicom(content)
        with pytest.raises(MammogramError):
            read_dicom(broken)
        with pytest.raises(UserWarning, match="heard"):
            warnings.warn("heard", UserWarning, stacklevel=1)
    assert capfd.readouterr() == ("", "")
