"""Running text for a phantom atlas: what stands between the figures and must not end up in a caption."""

from __future__ import annotations

import random
from collections.abc import Sequence

from dataset_builders.phantom.grammar import choose

CHAPTERS = (
    "The Normal Breast",
    "Circumscribed Masses",
    "Spiculated Masses",
    "Calcifications",
    "Architectural Distortion",
    "Asymmetries",
    "The Dense Breast",
    "The Fatty Breast",
    "Carcinoma in Situ",
    "Invasive Carcinoma",
    "Benign Lesions",
    "Follow-up and Comparison",
)
SENTENCES = (
    "[Careful|Systematic|Unhurried] [reading|interpretation] begins with the [technical "
    "quality|positioning] of the "
    "[image|film|study], because a [fold|blur|poorly compressed breast] can hide [a small lesion|subtle "
    "change].",
    "[Masses|Lesions|Densities] are described by their shape, their margin and their density, [in that "
    "order|and all "
    "three matter].",
    "The [margin|outline|border] is the [most telling|most useful|most specific] [feature|property] of a "
    "mass, and "
    "[magnification|spot compression] [often clarifies|may clarify|helps to clarify] it.",
    "[Fat|Radiolucent fat] within a lesion is [reassuring|a sign of benignity|nearly always benign] and "
    "[needs no work-up|ends the search].",
    "[Calcifications|Microcalcifications] deserve a [lens|second look|magnified view]: their form and "
    "their distribution "
    "[are judged together|weigh equally|must agree].",
    "[Distortion|Architectural distortion] without a [history of surgery|scar] is [suspicious|a reason "
    "for biopsy].",
    "An asymmetry that is seen in [one projection|a single view] is [often|frequently|usually] the "
    "[summation|overlap|superimposition] of normal tissue.",
    "In [dense|glandular] breasts the [sensitivity|accuracy] of mammography [falls|is limited|declines], and "
    "[ultrasound|tomosynthesis] [helps|adds information|is a useful complement].",
    "[Comparison|Careful comparison] with [earlier|previous] [studies|examinations|films] is worth more "
    "than any "
    "[single sign|other aid], since [stability|lack of change] over [two|three] years speaks for a benign "
    "process.",
    "The two [standard projections|routine views] are the craniocaudal and the mediolateral oblique, and "
    "[every lesion|each finding] should be [located|sought|traced] in both.",
    "[The pectoral muscle|The muscle] should reach the level of the nipple in [a well-positioned|an "
    "adequate] oblique view.",
    "A [reader|radiologist] [profits|learns most] from [knowing the outcome|follow-up], which is why "
    "histology "
    "[is given|is quoted|accompanies the image] [wherever it was obtained|in these cases].",
    "[Statistics|Numbers] from [screening programs|large series] [show|suggest] that [most|the majority "
    "of] recalled women "
    "have [no cancer|a benign explanation|a harmless finding].",
    "The [terms|words] of the [lexicon|standard vocabulary] are used [throughout|here as defined] so that "
    "[reports are comparable|readers mean the same thing].",
)
REFERENCES = (
    "An example is [given|shown|reproduced] in Figure {number}.",
    "[Compare|See also] Figure {number} for a [similar|typical|related] [case|appearance|lesion].",
    "This is [illustrated|well seen|apparent] in a case of our own (Figure {number}).",
    "[Figure {number} shows|Figure {number} illustrates|Figure {number} demonstrates] how "
    "[subtle|striking|variable] the "
    "[appearance|finding|sign] can be.",
)
OPENING_REFERENCES = (
    "Figure {number} [shows|illustrates|is an example of] a [finding|pattern|problem] that is "
    "[common|often overlooked] in "
    "[daily practice|screening].",
)
HEADINGS = (
    "Technique",
    "Reading the Image",
    "Margins",
    "Pitfalls",
    "Differential Diagnosis",
    "Work-up",
    "Points to Keep",
)


def sentence(rng: random.Random, numbers: Sequence[str] = ()) -> str:
    """One sentence; now and then it mentions one of the figure numbers."""
    if numbers and rng.random() < 0.18:
        return choose(REFERENCES, rng, number=rng.choice(numbers))
    return choose(SENTENCES, rng)


def opening(rng: random.Random, numbers: Sequence[str] = ()) -> str:
    """A paragraph's first sentence; some begin with the very words that begin a caption."""
    if numbers and rng.random() < 0.12:
        return choose(OPENING_REFERENCES, rng, number=rng.choice(numbers))
    return choose(SENTENCES, rng)
