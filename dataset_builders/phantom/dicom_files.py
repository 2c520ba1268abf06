"""Phantom mammograms as DICOM files in the manner of several vendors."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

from dataset_builders.phantom.render import MAXIMUM

PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"  # Digital Mammography X-Ray Image Storage – For Presentation
SYNTAXES = (ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless)
VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
FIELD = 180.0  # mm that the image's height shows
STAMP = ("20240101", "120000")


def phantom_dicom(
    pixels: np.ndarray, *, patient: str, exam: str, laterality: str, view: str, age: int, style: int
) -> FileDataset:
    """A mammogram as a vendor might write it; the same arguments always give the same bytes.

    pixels: (H, W) uint16, 0 … 4095, breast bright. style: any number; it chooses the compression, whether the
    stored values are inverted (MONOCHROME1), and where view and window are said.
    """
    inverted = style % 10 in (1, 4, 8)
    names = (patient, exam, laterality, view)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = PRESENTATION
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["image", *names])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    _identify(dataset, patient, exam, age)
    _describe(dataset, laterality, view, style)
    _put_pixels(dataset, MAXIMUM - pixels if inverted else pixels, inverted)
    if style % 2:
        dataset.WindowCenter, dataset.WindowWidth = (MAXIMUM + 1) // 2, MAXIMUM + 1
    syntax = SYNTAXES[style % len(SYNTAXES)]
    if syntax != ExplicitVRLittleEndian:
        dataset.compress(syntax, generate_instance_uid=False)
    return dataset


def _identify(dataset: Dataset, patient: str, exam: str, age: int) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID = "PHANTOM", patient
    dataset.PatientAge = f"{age:03d}Y"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["exam", patient, exam])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", patient, exam])
    dataset.AccessionNumber = exam
    dataset.StudyDate, dataset.StudyTime = STAMP
    dataset.Manufacturer, dataset.ManufacturerModelName = "PHANTOM", "Synthetic mammogram"


def _describe(dataset: Dataset, laterality: str, view: str, style: int) -> None:
    dataset.Modality, dataset.PresentationIntentType = "MG", "FOR PRESENTATION"
    dataset.ImageLaterality = laterality
    dataset.SeriesDescription = f"PHANTOM {laterality} {view}"
    if style % 7:
        dataset.ViewPosition = view
    code = Dataset()
    code.CodeValue, code.CodeMeaning = VIEW_CODES[view]
    code.CodingSchemeDesignator = "SCT"
    dataset.ViewCodeSequence = Sequence([code])
    dataset.PatientOrientation = ["A", "R"] if laterality == "L" else ["P", "L"]


def _put_pixels(dataset: Dataset, pixels: np.ndarray, inverted: bool) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.ImagerPixelSpacing = [round(FIELD / len(pixels), 4)] * 2
    dataset.PixelData = pixels.astype("<u2").tobytes()
