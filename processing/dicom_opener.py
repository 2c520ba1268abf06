"""Teaching Pillow to open DICOM: afterwards `Image.open("x.dcm")`, `datasets.Image()` and whatever else opens pictures
by Pillow sees mammograms as 8-bit grey pictures.
"""

from PIL import Image, ImageFile

from .dicom import TAGS, check_options, plan, read_named
from .dicom_decoding import image_shape
from .dicom_file import HEAD, SUFFIXES, has_mark, named, open_dataset, quiet
from .dicom_tags import kept_tags

DEFAULTS = {
    "mode": "voi",
    "frame": None,
    "window": 0,
    "for_processing": "as_stored",
    "any_modality": False,
    "salt": None,
}


def register_dicom_opener(**options) -> None:
    """Let Pillow open DICOM files, in this process and from now on.

    options: those of `read_dicom` but `bits`, which are 8; mode is "voi" unless given, pixels for presentation.
    A file is told by its mark "DICM". What `read_dicom` refuses raises MammogramError when it is opened, and damaged
    pixels when they are loaded. `info` has the tags that are kept, and nothing else of the file.
    """
    options = {**DEFAULTS, **options}
    if options.keys() != DEFAULTS.keys():
        unknown = ", ".join(sorted(options.keys() - DEFAULTS.keys()))
        raise TypeError(f"register_dicom_opener has no option {unknown}; it has {', '.join(DEFAULTS)}.")
    check_options(bits=8, **{name: options[name] for name in options.keys() - {"any_modality"}})
    DicomImageFile.options = options
    Image.register_open(DicomImageFile.format, DicomImageFile)
    Image.register_extensions(DicomImageFile.format, list(SUFFIXES))
    Image.register_mime(DicomImageFile.format, "application/dicom")


class DicomImageFile(ImageFile.ImageFile):
    """A mammogram that Pillow opens: its size and tags at once, its pixels when they are asked for."""

    format = "DICOM"
    format_description = "DICOM mammogram"
    options = DEFAULTS

    def _open(self) -> None:
        if not has_mark(self.fp.read(HEAD)):
            raise SyntaxError("not a DICOM file")  # Pillow tries its next format
        options = self.options
        with quiet, named(self._name()):
            dataset = open_dataset(self._bytes(), TAGS, pixels=False)
            choice = {name: options[name] for name in ("frame", "for_processing", "any_modality")}
            frames, _ = plan(dataset, **choice, pixels=False)
            rows, columns = image_shape(dataset)
            kept = kept_tags(dataset, frames[0], options["salt"])
        self._size, self._mode = (columns, rows), "L"
        self.info = {name: value for name, value in kept.items() if value}

    def load(self):
        """Decode, where that has not been done yet, and let the file go."""
        if self._im is None and self.fp is not None:
            pixels = read_named(self._name(), self._bytes(), bits=8, **self.options).pixels
            self.im = Image.fromarray(pixels).im
            if self._exclusive_fp:
                self.fp.close()
            self.fp = None
        return super().load()

    def _bytes(self) -> bytes:
        self.fp.seek(0)
        return self.fp.read()

    def _name(self) -> str:
        return str(self.filename or "the DICOM data")
