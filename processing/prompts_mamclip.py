"""Prompts for zero-shot classification: BI-RADS, breast density and findings, each in several phrasings.

The words are those of the BI-RADS lexicon (ACR BI-RADS Atlas, 5th edition), in sentences as the captions of
mammography atlases have them. A label's phrasings are embedded, normalised, averaged and normalised again: the prompt
ensembling of CLIP (arXiv 2103.00020, section 3.1.4). A set is of one of two kinds:

    classes    label → phrasings; an image is of one of the labels, and the scores add up to 1
    findings   label → {"present": phrasings, "absent": phrasings}; every label has a score of its own in [0, 1]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SIDES = ("present", "absent")

BIRADS = {
    "BI-RADS 0": (
        "Incomplete assessment, BI-RADS 0: additional imaging is needed.",
        "A questionable finding on screening mammography; the patient is recalled for spot compression views.",
        "Indeterminate finding that needs further evaluation with additional views or ultrasound.",
        "The finding cannot be assessed from these views; magnification views are requested.",
        "IMPRESSION: Needs additional imaging evaluation or prior mammograms for comparison. BI-RADS category 0.",
    ),
    "BI-RADS 1": (
        "Normal mammogram, BI-RADS 1.",
        "Negative mammogram without any finding.",
        "No mass, architectural distortion or suspicious calcifications; there is nothing to comment on.",
        "The breast is symmetrical and its parenchyma is normal; routine screening is recommended.",
        "IMPRESSION: Negative examination, no evidence of malignancy. BI-RADS category 1.",
    ),
    "BI-RADS 2": (
        "Benign finding, BI-RADS 2.",
        "A typically benign finding, such as a calcified fibroadenoma or an intramammary lymph node.",
        "Coarse, popcorn-like or rim calcifications that are characteristically benign.",
        "A circumscribed, fat-containing mass such as a lipoma, an oil cyst or a hamartoma, definitely benign.",
        "IMPRESSION: Benign finding, no evidence of malignancy. BI-RADS category 2.",
    ),
    "BI-RADS 4": (
        "Suspicious abnormality, BI-RADS 4; biopsy is recommended.",
        "An irregular or indistinct mass of moderate suspicion for malignancy.",
        "Grouped amorphous or fine pleomorphic calcifications, suspicious; stereotactic biopsy is advised.",
        "A suspicious finding without the classic appearance of carcinoma, for which tissue diagnosis is needed.",
        "IMPRESSION: Suspicious finding, biopsy should be considered. BI-RADS category 4.",
    ),
    "BI-RADS 5": (
        "Highly suggestive of malignancy, BI-RADS 5.",
        "A spiculated, irregular, high-density mass, the typical appearance of invasive carcinoma.",
        "Fine linear branching calcifications in a segmental distribution, almost certainly malignant.",
        "A spiculated mass with pleomorphic calcifications and skin retraction, characteristic of breast cancer.",
        "IMPRESSION: Highly suggestive of malignancy, appropriate action should be taken. BI-RADS category 5.",
    ),
}
DENSITY = {
    "A": (
        "The breasts are almost entirely fatty.",
        "Mammogram of a fatty breast, density category A.",
        "The breast tissue consists almost entirely of fat and is radiolucent.",
        "Fatty replaced parenchyma with hardly any glandular tissue.",
    ),
    "B": (
        "There are scattered areas of fibroglandular density.",
        "Mammogram with scattered fibroglandular tissue, density category B.",
        "Mostly fatty tissue with scattered islands of glandular density.",
        "Scattered fibroglandular elements within fat.",
    ),
    "C": (
        "The breasts are heterogeneously dense, which may obscure small masses.",
        "Mammogram of heterogeneously dense tissue, density category C.",
        "A heterogeneously dense parenchymal pattern with much fibroglandular tissue.",
        "Heterogeneously dense glandular tissue in most of the breast.",
    ),
    "D": (
        "The breasts are extremely dense, which lowers the sensitivity of mammography.",
        "Mammogram of extremely dense tissue, density category D.",
        "An extremely dense parenchymal pattern with hardly any fat.",
        "Extremely dense fibroglandular tissue throughout the breast.",
    ),
}
FINDINGS = {
    "mass": {
        "present": (
            "There is a mass in the breast.",
            "A mass with an irregular shape and spiculated or indistinct margins is seen.",
            "An oval or round mass with circumscribed margins is present.",
            "Mammography shows a nodule, a space-occupying lesion seen in two projections.",
        ),
        "absent": (
            "There is no mass in the breast.",
            "No dominant or suspicious mass is seen.",
            "The breast is without any focal mass or nodule.",
            "Mammography shows no space-occupying lesion.",
        ),
    },
    "calcifications": {
        "present": (
            "There are calcifications in the breast.",
            "A group of fine pleomorphic or amorphous microcalcifications is seen.",
            "Coarse, round or popcorn-like calcifications are present.",
            "Mammography shows calcifications in a grouped, linear or segmental distribution.",
        ),
        "absent": (
            "There are no calcifications in the breast.",
            "No suspicious or grouped microcalcifications are seen.",
            "The breast is free of calcifications.",
            "Mammography shows no calcifications of any distribution.",
        ),
    },
    "architectural distortion": {
        "present": (
            "There is architectural distortion.",
            "An area of architectural distortion with radiating lines or spicules is seen.",
            "The normal architecture is distorted, with converging strands and no central mass.",
            "Mammography shows retraction and distortion of the parenchyma.",
        ),
        "absent": (
            "There is no architectural distortion.",
            "No area of architectural distortion or retraction is seen.",
            "The architecture of the parenchyma is preserved.",
            "Mammography shows an undisturbed, regular parenchymal pattern.",
        ),
    },
    "asymmetry": {
        "present": (
            "There is an asymmetry.",
            "A focal asymmetry without convex borders is seen.",
            "A global or developing asymmetry of glandular tissue is present.",
            "Mammography shows asymmetric fibroglandular tissue.",
        ),
        "absent": (
            "There is no asymmetry.",
            "No focal, global or developing asymmetry is seen.",
            "The glandular tissue is distributed symmetrically.",
            "Mammography shows symmetric fibroglandular tissue.",
        ),
    },
    "skin thickening": {
        "present": (
            "There is skin thickening.",
            "The skin of the breast is thickened, with edema and trabecular thickening.",
            "Mammography shows thickened skin over the breast.",
        ),
        "absent": (
            "There is no skin thickening.",
            "The skin of the breast is thin and unremarkable, without edema.",
            "Mammography shows normal skin over the breast.",
        ),
    },
    "nipple retraction": {
        "present": (
            "There is nipple retraction.",
            "The nipple is retracted or inverted.",
            "Mammography shows retraction of the nipple-areolar complex.",
        ),
        "absent": (
            "There is no nipple retraction.",
            "The nipple is in profile and not retracted.",
            "Mammography shows a normal nipple-areolar complex.",
        ),
    },
    "axillary adenopathy": {
        "present": (
            "There is axillary adenopathy.",
            "Enlarged, dense axillary lymph nodes are seen.",
            "Mammography shows lymph nodes in the axilla that have lost their fatty hilum.",
        ),
        "absent": (
            "There is no axillary adenopathy.",
            "The axillary lymph nodes are small and of normal appearance.",
            "Mammography shows an axilla that is free of enlarged lymph nodes.",
        ),
    },
}
PROMPT_SETS = {"birads": BIRADS, "density": DENSITY, "findings": FINDINGS}


@dataclass(frozen=True)
class Prompts:
    """L labels, and P groups of phrasings: one for each label, or all present ones and then all absent ones.

    labels: L names; phrasings: P groups, P = L for classes and 2 L for findings.
    """

    labels: tuple
    phrasings: tuple[tuple, ...]

    @property
    def separate(self) -> bool:
        """Whether every label is scored for itself, present against absent."""
        return len(self.phrasings) > len(self.labels)

    def embeddings(self, phrases: Tensor) -> Tensor:
        """Embeddings of all phrasings, one after the other (N, D) → (P, D): normalised, averaged, normalised."""
        groups = F.normalize(phrases, dim=-1).split([len(group) for group in self.phrasings])
        return F.normalize(torch.stack([group.mean(dim=0) for group in groups]), dim=-1)

    def scores(self, logits: Tensor) -> Tensor:
        """An image's logits at the P groups (…, P) → (…, L): softmax over the classes, or present against absent."""
        if not self.separate:
            return logits.softmax(dim=-1)
        present, absent = logits.chunk(2, dim=-1)
        return (present - absent).sigmoid()


def read_prompts(given: str | Sequence[Any] | Mapping[str, Any]) -> Prompts:
    """The name of a set, labels that are their own phrasings, or a mapping of either kind → Prompts.

    Raises ValueError for a name that is no set's, and for a mapping that is of neither kind.
    """
    if isinstance(given, str):
        given = _named(given)
    labels = tuple(given)
    if not labels:
        raise ValueError("there are no labels to choose from; give some, or the name of a prompt set.")
    if not isinstance(given, Mapping):
        return Prompts(labels, tuple((label,) for label in labels))
    if not any(isinstance(value, Mapping) for value in given.values()):
        return Prompts(labels, tuple(_phrasings(label, given[label]) for label in labels))
    for label, value in given.items():
        if not isinstance(value, Mapping) or set(value) != set(SIDES):
            raise ValueError(
                f"the prompts of {label!r} are {_short(value)}; beside labels with phrasings for present and absent, "
                "expected both, under these names."
            )
    groups = ((side, label) for side in SIDES for label in labels)
    return Prompts(
        labels, tuple(_phrasings(f"{label}: {side}", given[label][side]) for side, label in groups)
    )


def _named(name: str) -> Mapping[str, Any]:
    if name not in PROMPT_SETS:
        nearest = get_close_matches(name, PROMPT_SETS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"there is no prompt set {name!r}; did you mean {nearest!r}? The sets are {', '.join(PROMPT_SETS)}; "
            "labels of your own are given as a list."
        )
    return PROMPT_SETS[name]


def _phrasings(label: str, value: Any) -> tuple[str, ...]:
    phrasings = (value,) if isinstance(value, str) else value
    right = isinstance(phrasings, (list, tuple)) and all(isinstance(text, str) and text for text in phrasings)
    if not right or not phrasings:
        raise ValueError(
            f"the prompts of {label!r} are {_short(value)}; expected one sentence or a list of them."
        )
    return tuple(phrasings)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}…"
