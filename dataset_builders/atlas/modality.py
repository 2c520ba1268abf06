"""Whether a figure's picture is a mammogram: by what the caption says that is shown, and by the picture itself.

The words decide where they are clear; the picture decides where it cannot be a mammogram whatever the words say. The
picture's rules were made on phantoms and real mammograms, which they let pass; they are no classifier of ultrasound.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from dataset_builders.atlas.sections import section_spans

MAMMOGRAM = "mammogram"
UNCLEAR = "unclear"  # the caption speaks of mammograms and of something else
# What a caption calls its picture. Words for a finding's proof ("histology showed …") are not among them.
DEPICTED = {
    "specimen": r"specimen (?:radiograph\w*|mammogra\w*|x-?rays?|films?)|radiographs? of (?:the|a) "
    r"(?:\w+ )?(?:specimen|slices?)",
    "ultrasound": r"ultraso(?:und|nogra\w+|nic)|sonogra\w+|echogra\w+|colou?r doppler|power doppler|elastogra\w+",
    "mri": r"\bMRI?\b|magnetic resonance|\bT[12]-weighted|\bSTIR\b",
    "histology": r"photomicrogra\w+|micrographs?|h\s?(?:&|and)\s?e\b|h(?:a?)ematoxylin|"
    r"histolog\w+ (?:sections?|slides?|images?|pictures?|preparations?)|histology of|cytolog\w+ (?:smears?|images?)",
    "drawing": r"drawings?\b|diagrams?\b|schematic\w*|sketch(?:es)?\b|illustrations?\b|flow ?charts?\b|\bgraphs?\b",
    "photograph": r"(?:clinical |gross )?photographs?\b|gross (?:specimen|section|pathology)",
    "other": r"\bCT\b|computed tomogra\w+|scintigra\w+|\bPET\b|chest (?:radiograph|x-?ray|film)\w*|"
    r"thermogra\w+|bone scans?",
    MAMMOGRAM: r"mammogra\w+|xeromammogra\w+|xerogra\w+|tomosynthes\w+|galactogra\w+|ductogra\w+|pneumocystogra\w+|"
    r"\bMLO\b|\bCC\b|\bML\b|\bXCCL\b|cranio-?caudal|medio-?lateral(?: oblique)?|latero-?medial|oblique|"
    r"spot[ -]compress\w+|magnif\w+(?: views?| films?)?|tangential view",
}
_WORDS = re.compile("|".join(f"(?P<{name}>{words})" for name, words in DEPICTED.items()), re.IGNORECASE)
# A mention that says that something is not shown here: "ultrasound-guided", "no sonogram", "MRI is recommended".
_NOT_BEFORE = re.compile(
    r"(?:\bno|\bnot (?:seen|visible|shown|found|detected|palpable)[\w ]*(?:on|by|at|in)|\bwithout|\bbefore|\bafter|"
    r"\bby|\bunder|\bneeds?|\bfurther|\badditional|\brequires?|\brecommend\w*|\badvis\w+|\bfor|\bnegative|\bnormal|"
    r"\bprior|\bprevious|\bsubsequent|\bviews and|\bcorrelat\w+ with|\bcompar\w+ with)(?: an?| the| on| at)?\s+$",
    re.IGNORECASE,
)
_NOT_AFTER = re.compile(
    r"^[\s-]?(?:guid\w+|correlat\w+|follow-?up|examination|screening|biops\w+)|"
    r"^[\w\s,/-]{0,40}?\b(?:(?:is|are|was|were|has been) (?:recommend\w+|advis\w+|need\w+|request\w+|indicat\w+|"
    r"suggest\w+|not (?:shown|performed|done)|negative|normal|unremarkable|cancel\w+)|not shown)",
    re.IGNORECASE,
)
_SEEN_ON = re.compile(
    r"\b(?:seen|visible|found|detected|noted|identified|apparent|palpable) (?:on|at|by|in|with)(?: an?| the)?\s+$",
    re.IGNORECASE,
)
UNTOLD_SECTIONS = ("history", "impression", "histopathology", "other")

ICON = 40  # pixels of the shorter side where the longer one has 256; figures are wider
COLOURED, COLOURFUL = 40, 0.08  # channels that far apart; that share of the pixels
PAPER, INK = 225, 40
MOST_GREY = 0.10  # of a line drawing is neither paper nor ink
LIT = 24
FAN_SPECKLE = 0.1  # standard deviation of a pixel to its neighbourhood's mean


@dataclass(frozen=True)
class Modality:
    """What a picture is. kind: "mammogram", "ultrasound", …; reason: what decided; doubtful: a person should look."""

    kind: str
    reason: str
    doubtful: bool = False

    @property
    def is_mammogram(self) -> bool:
        return self.kind == MAMMOGRAM


def judge(caption: str, own: str, seen: str | None) -> Modality:
    """The modality of one picture.

    own: what the caption says of this panel alone, or nothing; seen: what the picture looks like (`looks_like`).
    """
    said, word = told(own) if own else (None, "")
    if said in (None, UNCLEAR):
        said, word = told(caption)
    if seen and said != seen:
        doubtful = said in (MAMMOGRAM, UNCLEAR)
        return Modality(seen, f"picture: {SEEN[seen]}" + (f"; caption: {word!r}" if word else ""), doubtful)
    if said == UNCLEAR:
        return Modality(MAMMOGRAM, f"caption speaks of several ({word}); the picture does not tell", True)
    if said is None:
        return Modality(MAMMOGRAM, "nothing speaks against it")
    return Modality(said, f"caption: {word!r}" + (f"; picture: {SEEN[seen]}" if seen else ""))


def told(text: str) -> tuple[str | None, str]:
    """(kind, word) of what a text says that is shown; (None, "") where it says nothing, UNCLEAR where several things.

    History, impression and histopathology are not asked: what they mention is elsewhere.
    """
    shown: dict[str, str] = {}
    compared: dict[str, str] = {}  # "a cyst seen on ultrasound": shown only where nothing else is
    for match in _WORDS.finditer(_about_pictures(text)):
        before, after = match.string[: match.start()], match.string[match.end() :]
        sentence = re.split(r"(?<=[.;])\s", before)[-1]
        if not _NOT_BEFORE.search(sentence[-60:]) and not _NOT_AFTER.search(after[:80]):
            found = compared if _SEEN_ON.search(sentence[-60:]) else shown
            found.setdefault(match.lastgroup, match.group())
    found = shown or compared
    if len(found) > 1 and MAMMOGRAM in found:
        return UNCLEAR, ", ".join(found.values())
    return next(iter(found.items()), (None, ""))


def _about_pictures(text: str) -> str:
    """The text without the sections that speak of other things, and without headings."""
    for section in reversed(section_spans(text)):
        gone = section.end if section.name in UNTOLD_SECTIONS else section.start
        text = text[: section.heading] + text[gone:]
    return text


SEEN = {
    "icon": "a narrow strip",
    "histology": "colour, pink or purple",
    "photograph": "colour",
    "drawing": "white with few greys",
    "ultrasound": "a fan with speckle",
}


def looks_like(look: Image.Image) -> str | None:
    """What a picture must be by its pixels alone, where it cannot be a mammogram; None where it can."""
    pixels = np.asarray(look.convert("RGB")).astype(np.int16)  # (H, W, 3)
    if min(pixels.shape[:2]) < ICON:
        return "icon"
    apart = pixels.max(2) - pixels.min(2)
    coloured = apart > COLOURED
    if coloured.mean() > COLOURFUL:
        red, green, blue = (pixels[..., i][coloured].mean() for i in range(3))
        return "histology" if red > green + 8 and blue > green + 8 else "photograph"
    grey = pixels.mean(2)
    if _is_drawing(grey):
        return "drawing"
    return "ultrasound" if _is_fan(grey) else None


def _is_drawing(grey: np.ndarray) -> bool:
    """(H, W) 0–255: mostly paper, the rest ink, and little between."""
    between = ((grey > INK) & (grey < PAPER)).mean()
    return bool((grey >= PAPER).mean() > 0.6 and between < MOST_GREY)


def _is_fan(grey: np.ndarray) -> bool:
    """(H, W) 0–255: a lit sector that widens downwards from the top's middle, in dark corners, full of speckle."""
    smooth = ndimage.uniform_filter(grey, 7)
    lit = ndimage.binary_opening(smooth > LIT, np.ones((5, 5)))
    labels, count = ndimage.label(lit)
    if not count:
        return False
    lit = labels == 1 + int(np.argmax(ndimage.sum_labels(lit, labels, range(1, count + 1))))
    rows = np.flatnonzero(lit.any(1))
    widths = np.array([np.ptp(np.flatnonzero(lit[row])) for row in rows])
    middles = np.array([np.flatnonzero(lit[row]).mean() for row in rows])
    wide = grey.shape[1]
    top, third, half = len(rows) // 12, len(rows) // 3, len(rows) // 2
    widens = widths[half] > 1.25 * max(1, widths[top])
    centred = np.abs(middles[top : half + 1] - wide / 2).max() < 0.08 * wide
    edges = lit[rows[: third + 1]][:, [0, 1, -2, -1]]
    free = not edges.any()
    return bool(
        widens and centred and free and lit.mean() > 0.2 and _speckle(grey, smooth, lit) > FAN_SPECKLE
    )


def _speckle(grey: np.ndarray, smooth: np.ndarray, lit: np.ndarray) -> float:
    inner = ndimage.binary_erosion(lit, np.ones((9, 9)))
    return float((grey[inner] / smooth[inner]).std()) if inner.any() else 0.0
