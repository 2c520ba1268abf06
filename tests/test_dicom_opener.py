"""Pillow opens DICOM once it has been taught to, and so does all that opens pictures by Pillow."""

import copy
import io
import pickle

import datasets
import numpy as np
import pytest
from dicom_files import as_bytes, forget_dicom_opener, mammogram, ramp
from PIL import Image, UnidentifiedImageError
from transformers.image_utils import load_image

from processing import MamClipImageProcessor, MammogramError, read_dicom, read_image, register_dicom_opener
from processing.dicom_opener import DicomImageFile

WINDOW = {"WindowCenter": 2000, "WindowWidth": 1001, "ImageLaterality": "L", "ViewPosition": "CC"}


@pytest.fixture(autouse=True)
def opener():
    """The opener with its own defaults; importing it registers nothing, and Pillow forgets it afterwards."""
    assert "DICOM" not in Image.OPEN
    register_dicom_opener()
    yield
    forget_dicom_opener()


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "x.dcm"
    file.write_bytes(as_bytes(mammogram(ramp(64, 48), **WINDOW)))
    return file


def shown(path, **options):
    return read_dicom(path, **{"mode": "voi", "bits": 8, **options}).pixels


def test_image_open_gives_pixels_for_presentation_in_eight_bits(path):
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("DICOM", "L", (48, 64))
        assert image.get_format_mimetype() == "application/dicom"
        assert image.info == {
            "view": "CC",
            "view_source": "ViewPosition",
            "laterality": "L",
            "laterality_source": "ImageLaterality",
            "presentation": "FOR PRESENTATION",
        }
        np.testing.assert_array_equal(np.asarray(image), shown(path))


def test_from_bytes_and_whatever_the_name(path, tmp_path):
    other = tmp_path / "x.png"
    other.write_bytes(path.read_bytes())
    for source in (io.BytesIO(path.read_bytes()), other, str(path)):
        np.testing.assert_array_equal(np.asarray(Image.open(source)), shown(path))
    with path.open("rb") as file:
        image = Image.open(file)
        image.load()
        assert not file.closed  # it is the caller's
    np.testing.assert_array_equal(np.asarray(image), shown(path))


def test_pictures_are_opened_as_before_and_other_files_are_not(tmp_path):
    Image.fromarray(ramp(64, 48, top=255).astype(np.uint8)).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").format == "PNG"
    (tmp_path / "a.dcm").write_bytes(b"\0" * 500)
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "a.dcm")


def test_loading_lets_the_file_go_and_copies_are_pictures(path):
    image = Image.open(path)
    copies = [
        image.copy(),
        image.convert("RGB").convert("L"),
        copy.deepcopy(image),
        pickle.loads(pickle.dumps(image)),
    ]
    assert image.fp is None
    path.unlink()
    for picture in (image, *copies):
        np.testing.assert_array_equal(np.asarray(picture), copies[0])
    assert image.resize((24, 32)).size == (24, 32) and image.crop((0, 0, 9, 5)).size == (9, 5)


def test_options(path):
    register_dicom_opener(mode="min_max", frame="max", salt="salt")
    image = Image.open(path)
    np.testing.assert_array_equal(np.asarray(image), shown(path, mode="min_max"))
    register_dicom_opener()
    assert DicomImageFile.options["mode"] == "voi" and DicomImageFile.options["salt"] is None
    with pytest.raises(TypeError, match="has no option bits, colour; it has mode, frame"):
        register_dicom_opener(bits=16, colour=True)
    with pytest.raises(ValueError, match="expected one of min_max, voi"):
        register_dicom_opener(mode="window")


def test_what_is_refused_is_said_when_it_is_opened_or_loaded(tmp_path):
    file = tmp_path / "x.dcm"
    for tags, said in (
        ({"Modality": "CT"}, "x.dcm is no mammogram"),
        ({"NumberOfFrames": 3}, "x.dcm has 3 frames"),
        ({"Rows": 0}, "x.dcm has 0 × 6 pixels"),
    ):
        file.write_bytes(as_bytes(mammogram(ramp(), **tags)))
        with pytest.raises(MammogramError, match=said):
            Image.open(file)
    file.write_bytes(as_bytes(mammogram(ramp(), Rows=9)))
    image = Image.open(file)
    with pytest.raises(MammogramError, match="x.dcm has pixels .* cut short"):
        image.load()


def test_datasets_and_transformers_open_it(path):
    table = datasets.Dataset.from_dict({"image": [str(path)]}).cast_column("image", datasets.Image())
    np.testing.assert_array_equal(np.asarray(table[0]["image"]), shown(path))
    by_bytes = datasets.Dataset.from_dict({"image": [{"bytes": path.read_bytes(), "path": None}]})
    image = by_bytes.cast_column("image", datasets.Image())[0]["image"]
    np.testing.assert_array_equal(np.asarray(image), shown(path))
    np.testing.assert_array_equal(np.asarray(load_image(str(path)))[..., 0], shown(path))
    np.testing.assert_array_equal(read_image(image).pixels, shown(path))
    processor = MamClipImageProcessor(size={"height": 64, "width": 48}, do_crop=False)
    values = processor(image, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(values[0, 0], shown(path) / 255, atol=1e-6)
