"""What every reader of the project gives: a mammogram's pixels and the little that is kept beside them."""

from dataclasses import dataclass, field

import numpy as np


class MammogramError(ValueError):
    """A file that cannot be read, or is no mammogram. The message is one sentence: what was found, what to do."""


@dataclass(frozen=True, eq=False)
class Mammogram:
    """One mammogram. Of a picture that is no DICOM file only the pixels are known.

    pixels: (H, W) uint8 or uint16, breast tissue bright whatever the file's photometric interpretation.
    view: "CC", "MLO" or another acronym of PS3.16 CID 4014 ("ML", "LM", "XCCL", …), or None where none is said.
    laterality: "L", "R" or None. view_source, laterality_source: the tag that said so, "ViewPosition" for example.
    view_modifiers: of PS3.16 CID 4015, in words: "spot compression", "magnification", "implant displaced", …
    spacing: (row, column) distance of pixels in mm, at the detector where the file has it, or None.
    vendor, model: of the device, as written.
    presentation: "FOR PRESENTATION", "FOR PROCESSING" or None.
    patient, study: 32 hexadecimal digits that stand for the identifiers, where a salt was given, or None.
    """

    pixels: np.ndarray = field(repr=False)
    view: str | None = None
    view_source: str | None = None
    laterality: str | None = None
    laterality_source: str | None = None
    view_modifiers: tuple[str, ...] = ()
    spacing: tuple[float, float] | None = None
    vendor: str | None = None
    model: str | None = None
    presentation: str | None = None
    patient: str | None = None
    study: str | None = None
