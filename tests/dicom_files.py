"""DICOM files for the tests, written with pydicom: what the reader has to get right, one tag at a time."""

import io

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"


def ramp(height=8, width=6, top=4095):
    """(H, W) uint16 from 0 to top."""
    return np.linspace(0, top, height * width).round().astype(np.uint16).reshape(height, width)


def mammogram(pixels, *, bits=12, signed=False, **tags):
    """A dataset with these stored values; tags are added, and those that are None are taken away."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MAMMOGRAPHY
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = MAMMOGRAPHY, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = "MG", "MONOCHROME2"
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, int(signed)
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    size = 1 if bits <= 8 else 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * size, bits, bits - 1
    dataset.PixelData = pixels.astype(f"<{'i' if signed else 'u'}{size}").tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def lookup(entries, first, bits):
    """An item of a modality or VOI LUT sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return Sequence([item])


def view_code(code, *modifiers):
    """A sequence of one coded view, with the codes of its modifiers within."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "a view"
    if modifiers:
        item.ViewModifierCodeSequence = Sequence([view_code(modifier)[0] for modifier in modifiers])
    return Sequence([item])


def functional_groups(dataset, shared, frames):
    """Give an image of several frames its functional groups: {sequence: {tag: value}}, shared and for each frame."""
    dataset.SharedFunctionalGroupsSequence = Sequence([_group(shared)])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_group(group) for group in frames])


def _group(sequences):
    group = Dataset()
    for name, tags in sequences.items():
        item = Dataset()
        for tag, value in tags.items():
            setattr(item, tag, value)
        setattr(group, name, Sequence([item]))
    return group


def as_bytes(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def forget_dicom_opener():
    """Make Pillow as it was before register_dicom_opener."""
    Image.ID.remove("DICOM")
    for registry in (Image.OPEN, Image.MIME):
        del registry["DICOM"]
    for suffix in [suffix for suffix, name in Image.EXTENSION.items() if name == "DICOM"]:
        del Image.EXTENSION[suffix]
