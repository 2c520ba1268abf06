"""The tags that are kept beside a mammogram's pixels. Nothing else of a file's text leaves the reader.

Codes, code strings and free text are translated into a fixed vocabulary, so that what somebody typed in their place is
dropped. Vendor and model alone stay as they are written, unless they look like a person or a number of one.
"""

import hashlib
import hmac
import math
import re

from .dicom_file import storage_class
from .dicom_values import frame_groups, items, numbers, text, word
from .mammogram import MammogramError

# PS3.16 CID 4014 "View for Mammography": acronym of PS3.3 C.8.11.7.1.1 → code in SNOMED CT, and in SNOMED-RT.
VIEWS = {
    "CC": ("399162004", "R-10242"),
    "MLO": ("399368009", "R-10226"),
    "ML": ("399260004", "R-10224"),
    "LM": ("399352003", "R-10228"),
    "LMO": ("399099002", "R-10230"),
    "FB": ("399196006", "R-10244"),
    "SIO": ("399188001", "R-102D0"),
    "ISO": ("441555000", "R-40AAA"),
    "XCCL": ("399192008", "R-1024A"),
    "XCCM": ("399101009", "R-1024B"),
}
# PS3.16 CID 4015 "View Modifier for Mammography", likewise.
MODIFIERS = {
    "cleavage": ("399161006", "R-102D2"),
    "axillary tail": ("399011000", "R-102D1"),
    "rolled lateral": ("399197002", "R-102D3"),
    "rolled medial": ("399226006", "R-102D4"),
    "rolled inferior": ("414493004", "R-102CA"),
    "rolled superior": ("415670009", "R-102C9"),
    "implant displaced": ("399209000", "R-102D5"),
    "magnification": ("399163009", "R-102D6"),
    "spot compression": ("399055006", "R-102D7"),
    "tangential": ("399110001", "R-102C2"),
    "nipple in profile": ("442581004", "R-40AB3"),
    "anterior compression": ("441752004", "P2-00161"),
    "infra-mammary fold": ("442593008", "R-40ABE"),
    "axillary tissue": ("442580003", "R-40AB2"),
}
VIEW_BY_CODE = {code: view for view, codes in VIEWS.items() for code in codes}
MODIFIER_BY_CODE = {code: modifier for modifier, codes in MODIFIERS.items() for code in codes}
# What a technologist writes around a view: side, spot or magnification before it, implant displaced after it.
BEFORE, AFTER = {"S": "spot compression", "M": "magnification"}, {"ID": "implant displaced"}
LABEL = re.compile(rf"([LR]?)([SM]?)({'|'.join(sorted(VIEWS, key=len, reverse=True))})((?:ID)?)")
WORDS = re.compile(r"[A-Z]+")
SIDES = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription")
SPACINGS = ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing")
PRESENTATIONS = ("FOR PRESENTATION", "FOR PROCESSING")
BY_STORAGE = {
    "1.2": PRESENTATIONS[0],
    "1.2.1": PRESENTATIONS[1],
    "13.1.4": PRESENTATIONS[0],
    "13.1.5": PRESENTATIONS[1],
}
STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
DEVICE = re.compile(r"(?!.*\d{6})[^\^=\\]{1,64}")
KEPT_TAGS = (
    *("ViewPosition", "ViewCodeSequence", "PatientOrientation", "ImageLaterality", "Laterality"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *DESCRIPTIONS, *SPACINGS),
    *("Manufacturer", "ManufacturerModelName", "PresentationIntentType", "PatientID", "StudyInstanceUID"),
)


def kept_tags(dataset, frame: int, salt: str | None) -> dict:
    """The fields of a Mammogram but its pixels."""
    view, view_source, modifiers = view_of(dataset)
    laterality, laterality_source = laterality_of(dataset, frame)
    return {
        "view": view,
        "view_source": view_source,
        "laterality": laterality,
        "laterality_source": laterality_source,
        "view_modifiers": modifiers,
        "spacing": spacing_of(dataset, frame),
        "vendor": _device(dataset, "Manufacturer"),
        "model": _device(dataset, "ManufacturerModelName"),
        "presentation": presentation_of(dataset),
        "patient": pseudonym(dataset, "PatientID", salt),
        "study": pseudonym(dataset, "StudyInstanceUID", salt),
    }


# ---- view and laterality


def view_of(dataset) -> tuple[str | None, str | None, tuple[str, ...]]:
    """(view, the tag that said so, modifiers): from ViewPosition, else the view's code, else free text.

    Free text is not asked where one of the first two says a view that we do not know.
    """
    position, codes = word(dataset, "ViewPosition"), items(dataset, "ViewCodeSequence")
    modifiers = _modifiers(codes)
    label = LABEL.fullmatch(re.sub(r"[\s_-]", "", position))
    if label:
        return label[3], "ViewPosition", tuple(sorted({*modifiers, *_label_modifiers(label)}))
    view = next((view for view in map(_view_by_code, codes) if view), None)
    if view or position or codes:
        return view, "ViewCodeSequence" if view else None, modifiers
    # CBIS-DDSM and other digitised films write the view into PatientOrientation.
    for keyword in ("PatientOrientation", *DESCRIPTIONS):
        for label in filter(None, map(LABEL.fullmatch, WORDS.findall(word(dataset, keyword)))):
            return label[3], keyword, _label_modifiers(label)
    return None, None, ()


def _view_by_code(item) -> str | None:
    return VIEW_BY_CODE.get(text(item, "CodeValue"))


def _modifiers(views: list) -> tuple[str, ...]:
    """What the View Modifier Code Sequence within a view's code says (PS3.3 C.8.11.7.1.2)."""
    codes = {text(item, "CodeValue") for view in views for item in items(view, "ViewModifierCodeSequence")}
    return tuple(sorted(MODIFIER_BY_CODE[code] for code in codes & MODIFIER_BY_CODE.keys()))


def _label_modifiers(label: re.Match) -> tuple[str, ...]:
    found = (BEFORE.get(label[2]), AFTER.get(label[4]))
    return tuple(sorted(filter(None, found)))


def laterality_of(dataset, frame: int) -> tuple[str | None, str | None]:
    """("L", "R" or None, the tag that said so): from the image's, the series' or the frame's tag, else free text.

    Free text is not asked where a tag says something else, such as B for both.
    """
    said = [(keyword, word(dataset, keyword)) for keyword in ("ImageLaterality", "Laterality")]
    for item in frame_groups(dataset, "FrameAnatomySequence", frame):
        said.append(("FrameLaterality", word(item, "FrameLaterality")))
    for keyword, value in said:
        if value:
            return (value, keyword) if value in ("L", "R") else (None, None)
    for keyword in DESCRIPTIONS:
        words = WORDS.findall(word(dataset, keyword))
        labels = (label[1] for label in map(LABEL.fullmatch, words) if label)
        side = next(filter(None, (*labels, *map(SIDES.get, words))), None)
        if side:
            return side, keyword
    return None, None


# ---- spacing, device, intent


def spacing_of(dataset, frame: int) -> tuple[float, float] | None:
    """(row, column) distances in mm: at the detector, else calibrated, else of a scanned film (PS3.3 10.7.1.3)."""
    places = [(dataset, keyword) for keyword in SPACINGS]
    places += [(item, "PixelSpacing") for item in frame_groups(dataset, "PixelMeasuresSequence", frame)]
    for place, keyword in places:
        try:
            found = numbers(place, keyword)
        except MammogramError:  # the pixels do not depend on it
            continue
        if len(found) == 2 and all(0 < value < math.inf for value in found):
            return found[0], found[1]
    return None


def presentation_of(dataset) -> str | None:
    """Presentation Intent Type (PS3.3 C.8.11.1), or what the storage class says of it."""
    said = word(dataset, "PresentationIntentType")
    if said in PRESENTATIONS:
        return said
    return BY_STORAGE.get(storage_class(dataset).removeprefix(STORAGE_ROOT))


def _device(dataset, keyword: str) -> str | None:
    """A device's text; none that has the signs of a person's name (PS3.5 6.2.1.1) or a date's or identity's digits."""
    said = text(dataset, keyword)
    return said if DEVICE.fullmatch(said) else None


def pseudonym(dataset, keyword: str, salt: str | None) -> str | None:
    """HMAC-SHA256 of an identifier under the salt, its first 128 bits: equal for equal identifiers, and not to be
    found by trying all identifiers without the salt. None without a salt, or without an identifier.
    """
    identifier = text(dataset, keyword)
    if salt is None or not identifier:
        return None
    return hmac.new(salt.encode(), f"{keyword}\0{identifier}".encode(), hashlib.sha256).hexdigest()[:32]
