"""DICOM files with a patient's name, numbers and dates in every place that DICOM has for text."""

from dicom_files import mammogram, ramp, view_code
from pydicom import datadict
from pydicom.sequence import Sequence

SECRETS = {
    "AE": "QUENZIL",
    "AS": "057Y",
    "CS": "QUENZIL",
    "DA": "19640229",
    "DS": "48213.5",
    "DT": "19640229101112",
    "IS": "48213",
    "LO": "QUENZIL^MARTHE 48213777",
    "LT": "QUENZIL MARTHE, born 19640229, MRN 48213777",
    "PN": "QUENZIL^MARTHE^ODA",
    "SH": "QUENZIL^M 48213777",
    "ST": "QUENZIL MARTHE 48213777",
    "TM": "101112",
    "UC": "QUENZIL MARTHE 48213777",
    "UI": "1.2.48213777.19640229",
    "UR": "http://quenzilmarthe.example/48213777",
    "UT": "QUENZIL MARTHE 48213777",
}
PLANTED = ("quenzil", "marthe", "48213", "19640229", "101112", "057y")
# What makes the file an image of known shape; everything else is planted.
NEEDED = {
    *("SOPClassUID", "Modality", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelData"),
    *("PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "SpecificCharacterSet"),
}


def plant(dataset, without=NEEDED):
    """Put a secret into every text tag that DICOM's dictionary has, into private ones, and into an item."""
    for tag, (vr, _, _, _, keyword) in datadict.DicomDictionary.items():
        if vr in SECRETS and keyword and keyword not in without and tag >> 16 > 2:
            dataset.add_new(tag, vr, SECRETS[vr])
    block = dataset.private_block(0x0019, SECRETS["LO"], create=True)
    for offset, vr in enumerate(SECRETS):
        block.add_new(offset, vr, SECRETS[vr])
    item = view_code("399162004")[0]
    item.CodeMeaning, item.PatientName = SECRETS["LO"], SECRETS["PN"]
    dataset.ViewCodeSequence = Sequence([item])
    return dataset


def planted(without=NEEDED, **tags):
    """A mammogram full of secrets; tags are added."""
    dataset = plant(mammogram(ramp()), without)
    for name, value in tags.items():
        setattr(dataset, name, value)
    return dataset
