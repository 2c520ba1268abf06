"""BI-RADS classes, breast density and how they are merged, in one place for builders, training and evaluation.

The five classes and the three groups are the paper's: BI-RADS 6 (known cancer) counts as 5, BI-RADS 3 is left out,
and the groups are 1 and 2 (benign), 0 (incomplete), 4 and 5 (malignant).
"""

from __future__ import annotations

BIRADS = (0, 1, 2, 3, 4, 5, 6)
FIVE_CLASSES = (0, 1, 2, 4, 5)
FIVE_NAMES = tuple(f"BI-RADS {value}" for value in FIVE_CLASSES)
THREE_GROUPS = ((1, 2), (0,), (4, 5))
THREE_NAMES = ("benign", "incomplete", "malignant")
DENSITIES = ("A", "B", "C", "D")

UNKNOWN = -100  # the class index that torch's cross-entropy leaves out
# From the most harmless to the worst; 0 asks for more images because something may be there, so it outranks 1 and 2
# and yields to a suspicion that has been assessed.
SEVERITY = (1, 2, 3, 0, 4, 5, 6)


def five_class_index(birads: int | None) -> int | None:
    """BI-RADS 0–6 → index in `FIVE_CLASSES`; 6 counts as 5; None for 3 and for an unknown assessment.

    Raises:
        ValueError: the number is not a BI-RADS assessment.
    """
    if birads is None:
        return None
    if birads not in BIRADS:
        raise ValueError(f"BI-RADS {birads!r} does not exist; expected a whole number from 0 to 6.")
    merged = 5 if birads == 6 else birads
    return FIVE_CLASSES.index(merged) if merged in FIVE_CLASSES else None


def three_group_index(five_class: int) -> int:
    """Index in `FIVE_CLASSES` → index in `THREE_GROUPS`: benign 0, incomplete 1, malignant 2."""
    birads = FIVE_CLASSES[five_class]
    return next(index for index, group in enumerate(THREE_GROUPS) if birads in group)


def density_index(density: str | None) -> int | None:
    """Breast density A–D → 0–3; None where it is unknown.

    Raises:
        ValueError: the letter is none of A, B, C and D.
    """
    if density is None:
        return None
    if density not in DENSITIES:
        raise ValueError(f"breast density {density!r} does not exist; expected A, B, C or D.")
    return DENSITIES.index(density)


def worst(assessments: list[int]) -> int:
    """The assessment that decides for a breast or an exam: the last of them in the order 1, 2, 3, 0, 4, 5, 6.

    Raises:
        ValueError: the list is empty or holds a number that is no BI-RADS assessment.
    """
    return max(assessments, key=SEVERITY.index)
