"""What is kept beside the pixels, from whichever tag says it; and that nothing else of a file's text gets out."""

import io
import logging
import pickle
import traceback
import warnings
from dataclasses import fields

import numpy as np
import pytest
from dicom_files import as_bytes, forget_dicom_opener, functional_groups, lookup, mammogram, ramp, view_code
from PIL import Image
from planted_secrets import PLANTED, SECRETS, planted
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.sr._snomed_dict import mapping
from pydicom.sr.codedict import codes

from processing import MammogramError, read_dicom, register_dicom_opener
from processing.dicom_tags import MODIFIERS, VIEWS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # about what these tests write


def read(**tags):
    return read_dicom(as_bytes(mammogram(ramp(), **tags)))


@pytest.mark.parametrize(
    "tags, view, source",
    [
        ({"ViewPosition": "MLO"}, "MLO", "ViewPosition"),
        ({"ViewPosition": "ml", "SeriesDescription": "L MLO"}, "ML", "ViewPosition"),
        ({"ViewPosition": "XCCL"}, "XCCL", "ViewPosition"),
        ({"ViewPosition": "AP", "SeriesDescription": "L MLO"}, None, None),  # what is said is not guessed at
        ({"ViewPosition": "AP", "ViewCodeSequence": view_code("R-10226")}, "MLO", "ViewCodeSequence"),
        ({"ViewCodeSequence": view_code("399162004")}, "CC", "ViewCodeSequence"),
        ({"ViewCodeSequence": view_code("R-10226")}, "MLO", "ViewCodeSequence"),
        ({"ViewCodeSequence": view_code("127457009"), "SeriesDescription": "CC"}, None, None),  # a specimen
        ({"PatientOrientation": "CC"}, "CC", "PatientOrientation"),
        ({"PatientOrientation": ["A", "R"], "SeriesDescription": "LMLO"}, "MLO", "SeriesDescription"),
        ({"SeriesDescription": "RMLO screening"}, "MLO", "SeriesDescription"),
        ({"ProtocolName": "R-CC"}, "CC", "ProtocolName"),
        ({"SeriesDescription": "accession"}, None, None),
        ({}, None, None),
    ],
)
def test_view(tags, view, source):
    found = read(**tags)
    assert (found.view, found.view_source) == (view, source)


@pytest.mark.parametrize(
    "tags, laterality, source",
    [
        ({"ImageLaterality": "R", "Laterality": "L"}, "R", "ImageLaterality"),
        ({"Laterality": "l"}, "L", "Laterality"),
        ({"ImageLaterality": "B", "SeriesDescription": "RCC"}, None, None),
        ({"SeriesDescription": "RCC"}, "R", "SeriesDescription"),
        ({"SeriesDescription": "left breast"}, "L", "SeriesDescription"),
        ({"SeriesDescription": "MAMMO, L CC"}, "L", "SeriesDescription"),
        ({"AcquisitionDeviceProcessingDescription": "R_MLO"}, "R", "AcquisitionDeviceProcessingDescription"),
        ({"SeriesDescription": "Large breast"}, None, None),
        ({}, None, None),
    ],
)
def test_laterality(tags, laterality, source):
    found = read(**tags)
    assert (found.laterality, found.laterality_source) == (laterality, source)


def test_the_laterality_of_a_frame():
    dataset = mammogram(np.stack([ramp()] * 2), NumberOfFrames=2)
    sides = [{"FrameAnatomySequence": {"FrameLaterality": side}} for side in "LR"]
    functional_groups(dataset, shared={}, frames=sides)
    for index, side in enumerate("LR"):
        found = read_dicom(as_bytes(dataset), frame=index)
        assert (found.laterality, found.laterality_source) == (side, "FrameLaterality")


@pytest.mark.parametrize(
    "tags, modifiers",
    [
        (
            {"ViewCodeSequence": view_code("399162004", "399055006", "R-102D6")},
            ("magnification", "spot compression"),
        ),
        ({"ViewCodeSequence": view_code("399162004", "399209000", "0")}, ("implant displaced",)),
        (
            {"ViewPosition": "MLO", "ViewCodeSequence": view_code("399368009", "399055006")},
            ("spot compression",),
        ),
        ({"ViewPosition": "MLOID"}, ("implant displaced",)),
        ({"ViewPosition": "MLO"}, ()),
        ({"SeriesDescription": "RMCC"}, ("magnification",)),
        ({"SeriesDescription": "L SMLO"}, ("spot compression",)),
    ],
)
def test_view_modifiers(tags, modifiers):
    found = read(**tags)
    assert found.view_modifiers == modifiers and found.view in ("CC", "MLO")


def test_the_codes_of_views_and_modifiers_are_those_of_pydicoms_dictionary():
    for table, cid, left_out in ((VIEWS, "cid4014", {"127457009"}), (MODIFIERS, "cid4015", set())):
        group = getattr(codes, cid)
        known = {getattr(group, name).value for name in group.dir()}
        assert {modern for modern, _ in table.values()} == known - left_out
        assert all(mapping["SCT"][modern] == old for modern, old in table.values())
    named = {
        name: getattr(codes.cid4015, concept) for name, concept in [("spot compression", "SpotCompression")]
    }
    assert named["spot compression"].value == MODIFIERS["spot compression"][0]


@pytest.mark.parametrize(
    "tags, spacing",
    [
        ({"ImagerPixelSpacing": [0.07, 0.08], "PixelSpacing": [0.06, 0.06]}, (0.07, 0.08)),
        ({"PixelSpacing": [0.06, 0.05]}, (0.06, 0.05)),
        ({"NominalScannedPixelSpacing": [0.05, 0.05]}, (0.05, 0.05)),
        ({"ImagerPixelSpacing": [0, 0], "PixelSpacing": [0.06, 0.06]}, (0.06, 0.06)),
        ({}, None),
    ],
)
def test_spacing(tags, spacing):
    assert read(**tags).spacing == spacing


def test_device_and_intent():
    found = read(
        Manufacturer="HOLOGIC, Inc.",
        ManufacturerModelName="Selenia Dimensions",
        PresentationIntentType="FOR PROCESSING",
    )
    assert (found.vendor, found.model) == ("HOLOGIC, Inc.", "Selenia Dimensions")
    assert found.presentation == "FOR PROCESSING"
    assert read().presentation == "FOR PRESENTATION"  # by its storage class
    assert read(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2.1").presentation == "FOR PROCESSING"
    assert read(SOPClassUID="1.2.840.10008.5.1.4.1.1.7").presentation is None
    person = read(Manufacturer="QUENZIL^MARTHE", ManufacturerModelName="born 19640229")
    assert person.vendor is None and person.model is None


def test_identifiers_are_kept_under_a_salt_alone():
    names = {"PatientID": "MRN-0048213", "StudyInstanceUID": "1.2.3.4"}
    content = as_bytes(mammogram(ramp(), **names))
    plain, salted = read_dicom(content), read_dicom(content, salt="one")
    assert plain.patient is None and plain.study is None
    assert salted.patient == read_dicom(content, salt="one").patient != salted.study
    assert salted.patient != read_dicom(content, salt="two").patient
    other = as_bytes(mammogram(ramp(), PatientID="MRN-0048214", StudyInstanceUID="1.2.3.4"))
    assert read_dicom(other, salt="one").patient != salted.patient
    assert read_dicom(other, salt="one").study == salted.study
    assert len(salted.patient) == 32 and set(salted.patient) <= set("0123456789abcdef")
    assert read_dicom(as_bytes(mammogram(ramp())), salt="one").patient is None


# ---- nothing else gets out


def assert_clean(*texts):
    for text in texts:
        for secret in PLANTED:
            assert secret not in text.lower(), text


def everything_about(found):
    values = {field.name: getattr(found, field.name) for field in fields(found) if field.name != "pixels"}
    return f"{values} {found!r} {found} {vars(found).keys()}"


def test_nothing_that_was_planted_gets_out_of_a_file_that_is_read(capfd, caplog):
    caplog.set_level(logging.DEBUG)
    content = as_bytes(planted())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [read_dicom(content, mode=mode, salt="salt") for mode in ("min_max", "voi")]
        register_dicom_opener(salt="salt")
        image = Image.open(io.BytesIO(content))
        about = [str(image.info), repr(image), str(vars(image))]
        image.load()
        picture = io.BytesIO()
        image.save(picture, "PNG")
        forget_dicom_opener()
    assert found[0].view == "CC" and found[0].view_source == "ViewCodeSequence" and found[0].patient
    about += [str(image.info), str(vars(image)), picture.getvalue().decode("latin-1")]
    assert_clean(*map(everything_about, found), *about, *map(str, caught), *capfd.readouterr(), caplog.text)
    assert b"QUENZIL" not in pickle.dumps(found) + pickle.dumps(image)


@pytest.mark.parametrize(
    "tags",
    [
        {"Modality": "QUENZIL"},
        {"Modality": "CT"},
        {"SOPClassUID": SECRETS["UI"], "Modality": "CT"},
        {"PhotometricInterpretation": "QUENZIL"},
        {"VOILUTFunction": "QUENZIL", "WindowCenter": 3, "WindowWidth": 4},
        {"WindowCenter": 3, "WindowWidth": 4, "WindowCenterWidthExplanation": SECRETS["LO"]},
        {"VOILUTSequence": Sequence([Dataset()])},
        {"VOILUTSequence": lookup([1], 0, 99)},
        {"Rows": 4000},
        {"NumberOfFrames": 3},
    ],
)
def test_nothing_that_was_planted_gets_out_in_an_error(tags, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    content = as_bytes(planted(**tags))
    with pytest.raises(MammogramError) as refusal:
        read_dicom(content, mode="voi", window="nothing so")
    told = "".join(traceback.format_exception(refusal.value))
    assert_clean(str(refusal.value), told, *capfd.readouterr(), caplog.text)


@pytest.mark.parametrize("syntax", [b"1.2.48213777.19640229\0", b"1.2.840.10008.1.2.4.90"])
def test_nothing_that_was_planted_gets_out_where_decoders_fail(syntax, capfd, caplog):
    """A transfer syntax that is none, or that the pixels do not have."""
    caplog.set_level(logging.DEBUG)
    dataset = planted()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    content = as_bytes(dataset)
    old = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    new = b"\x02\x00\x10\x00UI" + bytes([len(syntax), 0]) + syntax
    assert old in content
    with pytest.raises(MammogramError) as refusal:
        read_dicom(content.replace(old, new))
    assert_clean("".join(traceback.format_exception(refusal.value)), *capfd.readouterr(), caplog.text)
