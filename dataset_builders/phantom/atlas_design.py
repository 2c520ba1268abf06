"""What a phantom atlas is made of before it has pages: its figures, and the look that all its pages share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builders.phantom.captions import BILATERAL, write_caption
from dataset_builders.phantom.case import PhantomCase, worst_birads
from dataset_builders.phantom.prose import CHAPTERS
from dataset_builders.phantom.typeset import Setting, Typeface

BOOK = "Phantom Atlas of Mammography"
LABELS = ("Figure {}", "Figure {}.", "Fig. {}", "FIGURE {}", "Figure {}:")
NUMBERS = ("{chapter}.{number}", "{chapter}-{number}", "{running}")
FIGURES_A_CHAPTER = (20, 45)
SECOND_FIGURE = 0.06  # of the cases: another figure of the same patient, which its caption says
PANELS = ((1, 0.42), (2, 0.5), (4, 0.08))


@dataclass(frozen=True)
class Figure:
    """One figure: panels (laterality, view) in reading order, and the caption without its label."""

    number: str
    chapter: int
    case: PhantomCase
    laterality: str
    panels: tuple[tuple[str, str], ...]
    caption: str


@dataclass(frozen=True)
class Design:
    """The look of one atlas. Lengths in points."""

    body: Setting
    caption: Setting
    label: str
    number: str
    bold_label: bool
    bold_sections: bool
    sections_on_lines: bool
    letters: str  # "inside" the picture or "below" it
    panel_gap: float
    folio: str  # page number in the "head" or at the "foot"
    logo: bool
    templates: dict[str, float]
    dpi: int  # of the scanner


def draw_design(rng: random.Random) -> Design:
    face = Typeface(rng.choice(("times", "helvetica")), ligatures=rng.random() < 0.7)
    body, caption = rng.choice((9.5, 10.0, 10.5)), rng.choice((8.5, 9.0))
    justify = rng.random() < 0.6
    return Design(
        body=Setting(face, body, body * 1.2, justify),
        caption=Setting(face, caption, caption * 1.18, justify and rng.random() < 0.7),
        label=rng.choice(LABELS),
        number=rng.choice(NUMBERS),
        bold_label=rng.random() < 0.8,
        bold_sections=rng.random() < 0.5,
        sections_on_lines=rng.random() < 0.3,
        letters=rng.choice(("inside", "inside", "below")),
        panel_gap=rng.choice((4.0, 6.0, 9.0)),
        folio=rng.choice(("head", "foot")),
        logo=rng.random() < 0.6,
        templates={name: rng.uniform(0.5, 1.5) for name in ("columns", "wide", "beside", "grid")},
        dpi=rng.choice((240, 270, 300)),
    )


def plan_figures(cases: Sequence[PhantomCase], design: Design, rng: random.Random, seed: int) -> list[Figure]:
    """One figure for each case, for a few of them a second one, numbered by chapter."""
    figures: list[Figure] = []
    chapter, number, size = 1, 0, rng.randint(*FIGURES_A_CHAPTER)
    for case in cases:
        previous = None
        for _ in range(1 + (rng.random() < SECOND_FIGURE)):
            number += 1
            name = design.number.format(chapter=chapter, number=number, running=len(figures) + 1)
            figures.append(_plan_figure(case, name, chapter, previous, rng, seed))
            previous = figures[-1]
        if number >= size:
            chapter, number, size = chapter + 1, 0, rng.randint(*FIGURES_A_CHAPTER)
    return figures


def chapter_title(chapter: int) -> str:
    return CHAPTERS[(chapter - 1) % len(CHAPTERS)]


def _plan_figure(
    case: PhantomCase, number: str, chapter: int, previous: Figure | None, rng: random.Random, seed: int
) -> Figure:
    laterality = _worse_side(case) if previous is None else _other_side(previous.laterality, rng)
    count = rng.choices([count for count, _ in PANELS], [weight for _, weight in PANELS])[0]
    if count == 4 and previous is None and not all(breast.findings for breast in case.breasts.values()):
        laterality, panels = BILATERAL, (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
    else:
        panels = tuple((laterality, view) for view in _views(case, laterality, min(count, 2), rng))
    caption = write_caption(case, laterality, [view for _, view in panels], seed)
    if previous is not None:
        caption += f" Same patient as in Figure {previous.number}."
    return Figure(number, chapter, case, laterality, panels, caption)


def _worse_side(case: PhantomCase) -> str:
    worst = worst_birads(breast.birads for breast in case.breasts.values())
    return next(side for side, breast in sorted(case.breasts.items()) if breast.birads == worst)


def _other_side(laterality: str, rng: random.Random) -> str:
    return {"L": "R", "R": "L"}.get(laterality) or rng.choice("LR")


def _views(case: PhantomCase, laterality: str, count: int, rng: random.Random) -> list[str]:
    """Both views in either order, or one that shows the breast's main finding."""
    views = rng.sample(("CC", "MLO"), 2)
    if count == 2:
        return views
    findings = case.breasts[laterality].findings
    return [next(view for view in views if not findings or findings[0].visible_in(view))]
