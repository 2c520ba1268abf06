"""Opening a DICOM file: only the tags that the reader needs, or a sentence that says what the file is instead."""

import io
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from .dicom_values import text, whole, word
from .mammogram import MammogramError

try:  # pydicom is needed for DICOM alone; ordinary pictures are read without it
    import pydicom
    import pydicom.pixels  # new in its version 3
except ImportError:
    pydicom = None

# Storage classes of PS3.4 B.5 that are mammograms, also where Modality says another kind of radiograph, or nothing:
# digital mammography for presentation and for processing, breast tomosynthesis, breast projections likewise.
MAMMOGRAPHY = (
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.13.1.3",
    "1.2.840.10008.5.1.4.1.1.13.1.4",
    "1.2.840.10008.5.1.4.1.1.13.1.5",
)
RADIOGRAPHS = ("", "CR", "DX", "OT", "RG")
# PS3.3 C.7.3.1.1.1: what else archives of breast images hold.
MODALITIES = {
    "CR": "computed radiography",
    "CT": "computed tomography",
    "DOC": "a document",
    "DX": "digital radiography",
    "KO": "a key object selection",
    "MR": "magnetic resonance",
    "NM": "nuclear medicine",
    "OT": "another kind",
    "PR": "a presentation state",
    "PT": "positron emission tomography",
    "REG": "a registration",
    "SEG": "a segmentation",
    "SR": "a report",
    "US": "ultrasound",
    "XA": "X-ray angiography",
}
HEAD = 132  # bytes: a preamble of 128, and DICOM's mark (PS3.10 7.1)
SUFFIXES = (".dcm", ".dicom", ".ima")
FILE_TAGS = (
    *("SOPClassUID", "Modality", "Rows", "NumberOfFrames", "PixelData"),
    *("SamplesPerPixel", "PhotometricInterpretation"),
)


def has_mark(start: bytes) -> bool:
    """Whether a file that starts so (HEAD bytes of it) has DICOM's mark."""
    return start[128:HEAD] == b"DICM"


class _Quiet:
    """Keeps pydicom's warnings and log to itself while a file is read: they are about tags that we do not use, and
    quote them. Python's warning filters are the whole process's, so the last of several threads puts them back.
    """

    def __init__(self) -> None:
        self.lock, self.readers = Lock(), 0
        self.logger = logging.getLogger("pydicom")

    def __enter__(self) -> None:
        with self.lock:
            self.readers += 1
            if self.readers == 1:
                self.before, self.level = warnings.catch_warnings(), self.logger.level
                self.before.__enter__()
                warnings.simplefilter("ignore")
                self.logger.setLevel(logging.CRITICAL + 1)

    def __exit__(self, *error) -> None:
        with self.lock:
            self.readers -= 1
            if not self.readers:
                self.logger.setLevel(self.level)
                self.before.__exit__(*error)


quiet = _Quiet()


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put a file's name before the sentence that an error within says of it."""
    try:
        yield
    except MammogramError as error:
        raise MammogramError(f"{name} {error}") from None


def open_dataset(source: str | os.PathLike | bytes, keywords: Iterable[str], *, pixels: bool = True):
    """A pydicom dataset with no other tags than these; without the pixels where they are not wanted.

    Raises MammogramError for what is no DICOM, OSError for a file that is missing or may not be read.
    """
    if pydicom is None:
        raise MammogramError(
            "is a DICOM file, and pydicom 3 is not installed; run pip install pydicom --upgrade."
        )
    if not isinstance(source, bytes):
        _check_path(Path(source))
    options = {"specific_tags": list(keywords), "stop_before_pixels": not pixels}
    with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        try:
            return pydicom.dcmread(file, force=True, **options)
        except Exception as error:  # a damaged file leads pydicom to errors of every kind
            reason = type(error).__name__
    raise MammogramError(f"cannot be read as DICOM ({reason}); get a new copy of it.")


def _check_path(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of a DICOM file.")
    if path.is_dir():
        raise MammogramError("is a folder; give the path of one DICOM file.")
    if path.stat().st_size == 0:
        raise MammogramError("is an empty file (0 bytes); get a new copy of it.")


def check_mammogram(dataset, *, any_modality: bool, pixels: bool = True) -> None:
    """Refuse what is no grey mammogram, and say what it is. pixels: whether they were read as well."""
    storage, modality = storage_class(dataset), word(dataset, "Modality")
    if not storage and not modality and "Rows" not in dataset:
        raise MammogramError("is not a DICOM image; expected a mammogram (.dcm).")
    is_mammogram = modality == "MG" or (storage in MAMMOGRAPHY and modality in RADIOGRAPHS)
    if not is_mammogram and not (any_modality and "Rows" in dataset):
        raise MammogramError(_what_else(storage, modality, "Rows" in dataset))
    if "Rows" not in dataset or (pixels and "PixelData" not in dataset):
        raise MammogramError("holds no pixels (no PixelData); it may be cut short, so get a new copy.")
    interpretation = word(dataset, "PhotometricInterpretation")
    if whole(dataset, "SamplesPerPixel", 1) != 1 or interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise MammogramError(
            "is a colour image, or does not say which of its grey values are bright; "
            "expected PhotometricInterpretation MONOCHROME1 or MONOCHROME2."
        )


def _what_else(storage: str, modality: str, has_pixels: bool) -> str:
    kinds = [f"{modality}, {MODALITIES[modality]}"] if modality in MODALITIES else []
    uid = pydicom.uid.UID(storage)
    kinds += [uid.name] if uid.name != storage else []
    override = "; any_modality=True reads its pixels all the same" if has_pixels else ""
    return f"is no mammogram ({'; '.join(kinds) or 'unknown modality'}); expected Modality MG{override}."


def storage_class(dataset) -> str:
    """The SOP Class UID, or that of the file's head (a DICOMDIR has no other); empty where neither is there."""
    return text(dataset, "SOPClassUID") or text(getattr(dataset, "file_meta", {}), "MediaStorageSOPClassUID")


def count_frames(dataset) -> int:
    """NumberOfFrames (PS3.3 C.7.6.6), 1 where it is not said. Raises MammogramError for none or fewer."""
    frames = whole(dataset, "NumberOfFrames", 1)
    if frames < 1:
        raise MammogramError(f"says that it has {frames} frames; expected 1 or more, so get a new copy.")
    return frames
