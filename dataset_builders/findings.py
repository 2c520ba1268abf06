"""What a radiologist marked in a breast, in BI-RADS's words, whatever the archive that it comes from."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = (
    "mass",
    "calcifications",
    "architectural distortion",
    "asymmetry",
    "focal asymmetry",
    "global asymmetry",
    "skin thickening",
    "skin retraction",
    "nipple retraction",
    "suspicious lymph node",
    "other",
)


@dataclass(frozen=True)
class Finding:
    """One finding in one image; what is not known is None.

    kind: one of KINDS. The words for shape, margin and density (of a mass), morphology and distribution (of
    calcifications) are BI-RADS's, in lower case, several joined by "and". birads: 0–6; pathology: "benign" or
    "malignant". box: x0, y0, x1, y1 in pixels of the file, x1 and y1 exclusive.
    """

    kind: str
    shape: str | None = None
    margin: str | None = None
    density: str | None = None
    morphology: str | None = None
    distribution: str | None = None
    birads: int | None = None
    pathology: str | None = None
    box: tuple[int, int, int, int] | None = None
