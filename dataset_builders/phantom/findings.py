"""Findings of a phantom breast in the BI-RADS lexicon's words, and the rules that give a class its findings.

The rules overlap on purpose, as readers do: a spiculated mass is mostly category 5 but now and then 4, a
circumscribed one of equal density mostly 3 but now and then 2, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

KINDS = ("mass", "calcifications", "distortion", "asymmetry")
SHAPES = ("oval", "round", "irregular")
MARGINS = ("circumscribed", "obscured", "microlobulated", "indistinct", "spiculated")
MASS_DENSITIES = ("fat-containing", "low", "equal", "high")
BENIGN_MORPHOLOGIES = ("round", "punctate", "coarse/popcorn-like", "rim", "vascular")
SUSPICIOUS_MORPHOLOGIES = ("amorphous", "coarse heterogeneous", "fine pleomorphic", "fine linear")
MORPHOLOGIES = BENIGN_MORPHOLOGIES + SUSPICIOUS_MORPHOLOGIES
DISTRIBUTIONS = ("diffuse", "regional", "grouped", "linear", "segmental")
ASYMMETRY_TYPES = ("asymmetry", "focal asymmetry", "global asymmetry", "developing asymmetry")
SPREAD = {  # mm: most of a breast, a part of more than 2 cm, about 2 cm
    "diffuse": (60, 75),
    "regional": (26, 45),
    "grouped": (14, 24),
}
CENTRAL_RADIUS = 0.25  # of the breast's half width: closer to the nipple's axis than this is "central"

CANCERS = (
    "invasive ductal carcinoma",
    "invasive ductal carcinoma, grade 2",
    "invasive ductal carcinoma, grade 3",
    "invasive lobular carcinoma",
    "tubular carcinoma",
)
IN_SITU = (
    "ductal carcinoma in situ",
    "high-grade ductal carcinoma in situ",
    "ductal carcinoma in situ, comedo type",
)
BENIGN_BIOPSIES = ("fibrocystic change", "sclerosing adenosis", "radial scar", "fibroadenoma", "fat necrosis")


@dataclass(frozen=True)
class Finding:
    """One finding and its place in the breast. A word that does not apply to the kind is None.

    outer: −1 inner … 1 outer, in half widths of the breast at that depth (seen in the CC view)
    upper: −1 lower … 1 upper, likewise (seen in the MLO view)
    depth: 0 behind the nipple … 1 at the chest wall (seen in both)
    size_mm: the longest diameter in mm; of a spiculated mass that of its centre, without the spicules
    birads: the assessment that this finding alone would get
    pathology: histology, "" when nothing was sampled
    only_view: "CC" or "MLO" for an asymmetry that is seen in one projection only, else None
    seed: draws the finding's own outline, particles and lines
    """

    kind: str
    outer: float
    upper: float
    depth: float
    size_mm: float
    shape: str | None = None
    margin: str | None = None
    density: str | None = None
    morphology: str | None = None
    distribution: str | None = None
    asymmetry_type: str | None = None
    birads: int = 2
    pathology: str = ""
    only_view: str | None = None
    seed: int = 0

    @property
    def quadrant(self) -> str:
        """ "upper outer", "upper inner", "lower outer", "lower inner" or "central"."""
        if np.hypot(self.outer, self.upper) < CENTRAL_RADIUS:
            return "central"
        return f"{'upper' if self.upper >= 0 else 'lower'} {'outer' if self.outer >= 0 else 'inner'}"

    def visible_in(self, view: str) -> bool:
        """Whether the projection "CC" or "MLO" shows the finding at all."""
        return self.only_view in (None, view)


def _place(rng: np.random.Generator) -> dict[str, float]:
    """A position, half of the time in the upper outer quadrant, where half of the glandular tissue is."""
    quadrant = rng.choice(5, p=(0.46, 0.15, 0.14, 0.1, 0.15))
    if quadrant == 4:
        outer, upper = rng.uniform(-0.16, 0.16, 2)
    else:
        outer, upper = rng.uniform(0.24, 0.68, 2) * ((1, 1), (-1, 1), (1, -1), (-1, -1))[quadrant]
    return {"outer": float(outer), "upper": float(upper), "depth": float(rng.uniform(0.2, 0.8))}


def _common(rng: np.random.Generator, smallest: float, largest: float) -> dict:
    size = round(float(rng.uniform(smallest, largest)), 1)
    return {**_place(rng), "size_mm": size, "seed": int(rng.integers(2**31))}


def _mass(rng, sizes, shapes, margins, densities, **more) -> Finding:
    shape, margin, density = (str(rng.choice(words)) for words in (shapes, margins, densities))
    return Finding("mass", **_common(rng, *sizes), shape=shape, margin=margin, density=density, **more)


def _calcifications(rng, sizes, morphologies, distributions, **more) -> Finding:
    morphology, distribution = str(rng.choice(morphologies)), str(rng.choice(distributions))
    return Finding(
        "calcifications", **_common(rng, *sizes), morphology=morphology, distribution=distribution, **more
    )


def _benign_mass(rng: np.random.Generator) -> Finding:
    density = ("fat-containing",) * 4 + ("low", "equal")
    return _mass(rng, (12, 30), ("oval", "oval", "round"), ("circumscribed",), density, birads=2)


def _benign_calcifications(rng: np.random.Generator) -> Finding:
    morphologies = ("coarse/popcorn-like", "rim", "round", "vascular", "punctate")
    morphology = str(rng.choice(morphologies, p=(0.35, 0.2, 0.25, 0.15, 0.05)))
    if morphology == "coarse/popcorn-like":
        return _calcifications(rng, (10, 20), (morphology,), ("grouped",), birads=2)
    if morphology == "vascular":
        return _calcifications(rng, (35, 60), (morphology,), ("linear",), birads=2)
    distributions = ("grouped", "regional") if morphology == "rim" else ("diffuse", "regional")
    distribution = str(rng.choice(distributions))
    return _calcifications(rng, SPREAD[distribution], (morphology,), (distribution,), birads=2)


def _probably_benign(rng: np.random.Generator) -> Finding:
    if rng.random() < 0.85:
        return _mass(
            rng, (12, 26), ("oval", "oval", "round"), ("circumscribed",), ("equal", "equal", "low"), birads=3
        )
    return _calcifications(rng, (10, 18), ("punctate", "round"), ("grouped",), birads=3)


def _incomplete(rng: np.random.Generator) -> Finding:
    if rng.random() < 0.45:
        return _mass(rng, (14, 28), ("oval", "round"), ("obscured",), ("equal", "equal", "high"), birads=0)
    kind = str(rng.choice(ASYMMETRY_TYPES, p=(0.2, 0.6, 0.08, 0.12)))
    only_view = str(rng.choice(("CC", "MLO"))) if kind == "asymmetry" else None
    sizes = (45, 60) if kind == "global asymmetry" else (22, 38)
    return Finding("asymmetry", **_common(rng, *sizes), asymmetry_type=kind, birads=0, only_view=only_view)


def _biopsied(rng: np.random.Generator, cancer_rate: float, cancers: tuple[str, ...] = CANCERS) -> str:
    return str(rng.choice(cancers if rng.random() < cancer_rate else BENIGN_BIOPSIES))


def _suspicious(rng: np.random.Generator) -> Finding:
    draw = rng.random()
    if draw < 0.5:
        margins = ("indistinct",) * 4 + ("microlobulated",) * 4 + ("spiculated",)
        shapes, densities = ("irregular", "irregular", "oval", "round"), ("equal", "equal", "high")
        return _mass(rng, (12, 28), shapes, margins, densities, birads=4, pathology=_biopsied(rng, 0.45))
    if draw < 0.78:
        morphologies = ("amorphous", "coarse heterogeneous", "fine pleomorphic")
        distributions = ("grouped", "grouped", "grouped", "linear", "segmental")
        pathology = _biopsied(rng, 0.35, IN_SITU)
        return _calcifications(rng, (12, 26), morphologies, distributions, birads=4, pathology=pathology)
    return Finding("distortion", **_common(rng, 20, 36), birads=4, pathology=_biopsied(rng, 0.4))


def _malignant(rng: np.random.Generator, birads: int = 5) -> Finding:
    if rng.random() < 0.74:
        margins = ("spiculated",) * 8 + ("indistinct", "microlobulated")
        density, pathology = ("high", "high", "high", "high", "equal"), _biopsied(rng, 0.97)
        return _mass(rng, (13, 32), ("irregular",), margins, density, birads=birads, pathology=pathology)
    morphologies, pathology = (
        ("fine linear", "fine linear", "fine pleomorphic"),
        _biopsied(rng, 0.97, IN_SITU),
    )
    distributions = ("segmental", "segmental", "linear")
    return _calcifications(rng, (26, 48), morphologies, distributions, birads=birads, pathology=pathology)


def _known_cancer(rng: np.random.Generator) -> Finding:
    return _malignant(rng, birads=6)


def _benign(rng: np.random.Generator) -> Finding:
    return _benign_mass(rng) if rng.random() < 0.55 else _benign_calcifications(rng)


RULES: dict[int, Callable[[np.random.Generator], Finding]] = {
    0: _incomplete,
    2: _benign,
    3: _probably_benign,
    4: _suspicious,
    5: _malignant,
    6: _known_cancer,
}


def draw_findings(rng: np.random.Generator, birads: int) -> tuple[Finding, ...]:
    """The findings of one breast of a class (0–6), the decisive one first; none for class 1."""
    if birads == 1:
        return ()
    findings = [RULES[birads](rng)]
    if birads in (5, 6) and findings[0].kind == "mass" and rng.random() < 0.3:
        findings.append(_companion_calcifications(rng, findings[0]))
    if rng.random() < (0.25 if birads == 2 else 0.12):
        findings.append(_apart(rng, _benign, findings[0]))
    return tuple(findings)


def _companion_calcifications(rng: np.random.Generator, mass: Finding) -> Finding:
    """Pleomorphic calcifications in and around a malignant mass."""
    where = {"outer": mass.outer, "upper": mass.upper, "depth": mass.depth, "seed": int(rng.integers(2**31))}
    words = {"morphology": "fine pleomorphic", "distribution": "grouped"}
    more = {"birads": mass.birads, "pathology": mass.pathology}
    return Finding("calcifications", **where, size_mm=round(1.3 * mass.size_mm, 1), **words, **more)


def _apart(rng: np.random.Generator, rule: Callable, first: Finding) -> Finding:
    """A second finding that no projection shows on top of the first."""
    for _ in range(50):
        second = rule(rng)
        if min(abs(second.outer - first.outer), abs(second.upper - first.upper)) > 0.45:
            return second
    return second
