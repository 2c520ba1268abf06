"""A phantom patient: age, density, two breasts with findings, and the anatomy that her four views share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .findings import Finding, draw_findings

__all__ = ["Anatomy", "Breast", "Finding", "PhantomCase", "draw_case", "worst_birads"]

BIRADS = (0, 1, 2, 3, 4, 5, 6)
BIRADS_MIX = (0.17, 0.28, 0.21, 0.03, 0.16, 0.13, 0.02)
SEVERITY = (1, 2, 3, 0, 4, 5, 6)  # from the most harmless to the worst assessment
DENSITIES = ("A", "B", "C", "D")
GLANDULAR_RANGE = {"A": (0.01, 0.06), "B": (0.12, 0.24), "C": (0.36, 0.54), "D": (0.70, 0.90)}


@dataclass(frozen=True)
class Anatomy:
    """What the four views of a patient share; lengths in mm, angles in degrees, fractions 0–1."""

    nipple_distance: float  # chest wall to nipple
    cc_height: float  # inner to outer skin at the chest wall, in the CC view
    mlo_drop: float  # nipple to inframammary fold, in the MLO view
    nipple_height: float  # of the nipple in the CC view, from the middle, towards the outer side positive
    pectoral_width: float  # of the pectoral muscle at the upper border of the MLO view
    pectoral_length: float  # how far down the chest wall it is seen
    subcutaneous_fat: float  # thickness of the fat between skin and gland
    skin: float  # thickness of the skin
    nipple_size: float
    glandular_fraction: float  # of the breast's volume
    upper_outer_bias: float  # how much more gland the upper outer quadrant has, 0 = evenly spread
    thickness: float  # compressed


@dataclass(frozen=True)
class Breast:
    """One breast: its findings, the decisive one first, and its assessment (that of the worst finding)."""

    laterality: str
    findings: tuple[Finding, ...]
    birads: int


@dataclass(frozen=True)
class PhantomCase:
    """One patient. `breasts` maps "L" and "R"; every pixel of her views follows from this object."""

    seed: int
    index: int
    case_id: str
    age: int
    density: str
    breasts: dict[str, Breast]
    anatomy: Anatomy

    @property
    def birads(self) -> int:
        """The worse assessment of the two breasts."""
        return worst_birads(breast.birads for breast in self.breasts.values())


def worst_birads(categories) -> int:
    """The worst of some BI-RADS categories, in the order 1 < 2 < 3 < 0 < 4 < 5 < 6; 1 when there are none."""
    return max(categories, key=SEVERITY.index, default=1)


def draw_case(seed: int, index: int, *, birads: int | None = None) -> PhantomCase:
    """The patient number `index` of the collection `seed`; always the same one for the same arguments.

    birads: the wanted assessment of the worse breast (0–6); None draws one from BIRADS_MIX.
    Raises ValueError for another category or for a negative seed or index.
    """
    if birads is not None and birads not in BIRADS:
        raise ValueError(f"birads is {birads!r}; expected one of the categories 0 to 6, or None to draw one")
    if seed < 0 or index < 0:
        raise ValueError(f"seed {seed} and index {index} must both be 0 or more")
    rng = np.random.default_rng([seed, index, 7 if birads is None else birads])
    worst = int(rng.choice(BIRADS, p=BIRADS_MIX)) if birads is None else int(birads)
    age = int(np.clip(rng.normal(56, 10), 35, 84))
    density = _draw_density(rng, age)
    breasts = _draw_breasts(rng, worst)
    return PhantomCase(seed, index, f"P{index:05d}", age, density, breasts, _draw_anatomy(rng, density, age))


def _draw_density(rng: np.random.Generator, age: int) -> str:
    """Density falls with age: women of 40 are mostly C, women of 75 mostly B."""
    young = np.clip((70 - age) / 30, 0, 1)
    odds = (1 - young) * np.array([0.24, 0.42, 0.25, 0.09]) + young * np.array([0.08, 0.26, 0.42, 0.24])
    return str(rng.choice(DENSITIES, p=odds / odds.sum()))


def _draw_breasts(rng: np.random.Generator, worst: int) -> dict[str, Breast]:
    """One breast with the wanted assessment; the other is negative, or benign when that is not worse."""
    sides = ("L", "R") if rng.random() < 0.5 else ("R", "L")
    other = 2 if worst != 1 and rng.random() < 0.28 else 1
    breasts = {}
    for laterality, category in zip(sides, (worst, other), strict=True):
        findings = draw_findings(rng, category)
        breasts[laterality] = Breast(laterality, findings, worst_birads(f.birads for f in findings))
    return dict(sorted(breasts.items()))


def _draw_anatomy(rng: np.random.Generator, density: str, age: int) -> Anatomy:
    """Fatty breasts tend to be larger and thicker than dense ones; a little of everything varies freely."""
    fatty = DENSITIES[::-1].index(density) / 3
    distance = float(np.clip(rng.normal(74 + 16 * fatty, 9), 55, 108))
    return Anatomy(
        nipple_distance=distance,
        cc_height=float(np.clip(distance * rng.normal(1.62, 0.12), 105, 168)),
        mlo_drop=float(np.clip(distance * rng.normal(0.68, 0.05), 42, 70)),
        nipple_height=float(rng.normal(-2, 4)),
        pectoral_width=float(rng.uniform(26, 52)),
        pectoral_length=float(rng.uniform(70, 125)),
        subcutaneous_fat=float(rng.uniform(4, 8) + 4 * fatty),
        skin=float(rng.uniform(1.2, 2.0)),
        nipple_size=float(rng.uniform(7, 11)),
        glandular_fraction=float(rng.uniform(*GLANDULAR_RANGE[density])),
        upper_outer_bias=float(rng.uniform(0.1, 0.7)),
        thickness=float(np.clip(rng.normal(48 + 14 * fatty, 8), 30, 85)),
    )
