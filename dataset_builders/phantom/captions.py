"""Captions of phantom cases in the form of an atlas: HISTORY, MAMMOGRAPHY, IMPRESSION, HISTOPATHOLOGY."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dataset_builders.phantom import phrases
from dataset_builders.phantom.grammar import capitalised, choose, expand, with_article

if TYPE_CHECKING:
    from dataset_builders.phantom.case import Breast, Finding, PhantomCase

SHORTEST, LONGEST = 40, 90  # words, section names included
SIDE_NAMES = {"L": "left", "R": "right"}
BILATERAL = "B"  # four panels: right and left CC, right and left MLO
URGENCY = (1, 2, 3, 0, 4, 5, 6)  # BI-RADS categories, from the one that worries least
BIOPSIED = (4, 5, 6)


def write_caption(case: PhantomCase, laterality: str, views: Sequence[str], seed: int) -> str:
    """A caption of 40 to 90 words for one figure; the same for the same case, panels and seed.

    laterality: "L" or "R", or "B" for four panels that show right CC, left CC, right MLO and left MLO;
    views: "CC" or "MLO" for each panel, in the panels' order. A ValueError says which of them is wrong.
    """
    _check_panels(laterality, views)
    rng = random.Random(f"caption {seed} {case.case_id} {laterality} {'-'.join(views)}")
    for attempt in range(200):
        text = _draw_caption(case, laterality, views, rng, terse=attempt >= 20)
        if SHORTEST <= len(text.split()) <= LONGEST:
            return text
    raise ValueError(f"case {case.case_id}: no caption of {SHORTEST} to {LONGEST} words fits its findings")


def _check_panels(laterality: str, views: Sequence[str]) -> None:
    if laterality not in (*SIDE_NAMES, BILATERAL):
        raise ValueError(f"laterality is {laterality!r}; expected L, R or B")
    if not views or set(views) - set(phrases.VIEW_NAMES):
        raise ValueError(f"views are {list(views)!r}; expected one of CC, MLO for each panel")
    if laterality == BILATERAL and list(views) != ["CC", "CC", "MLO", "MLO"]:
        raise ValueError(f"a bilateral figure has the views CC, CC, MLO, MLO; these are {list(views)!r}")


def _draw_caption(
    case: PhantomCase, laterality: str, views: Sequence[str], rng: random.Random, terse: bool
) -> str:
    """One draw of every section; its length may still be wrong."""
    sides = ["R", "L"] if laterality == BILATERAL else [laterality]
    findings = [(side, finding) for side in sides for finding in _visible(case.breasts[side], views)]
    findings.sort(key=lambda item: -URGENCY.index(item[1].birads))
    breast = max((case.breasts[side] for side in sides), key=lambda breast: URGENCY.index(breast.birads))
    main_side = findings[0][0] if findings else breast.laterality
    main = findings[0][1] if findings else None
    sections = [
        "HISTORY: " + _history(case.age, breast, main, SIDE_NAMES[main_side], rng, terse),
        "MAMMOGRAPHY: " + _mammography(case.density, laterality, views, findings[: 1 if terse else 2], rng),
        "IMPRESSION: " + _impression(breast, main, rng),
    ]
    if breast.birads in BIOPSIED and main is not None and main.pathology:
        pathology = main.pathology
        text = choose(phrases.HISTOPATHOLOGY, rng, pathology=pathology, Pathology=capitalised(pathology))
        sections.append("HISTOPATHOLOGY: " + text)
    return _padded(sections, rng)


def _visible(breast: Breast, views: Sequence[str]) -> list[Finding]:
    return [finding for finding in breast.findings if any(finding.visible_in(view) for view in views)]


def _padded(sections: list[str], rng: random.Random) -> str:
    """Sections → caption; a short one gets sentences about what is normal, at the end of MAMMOGRAPHY."""
    fillers = rng.sample(phrases.FILLERS, len(phrases.FILLERS))
    while fillers and len(" ".join(sections).split()) < SHORTEST + 4:
        sections[1] += " " + expand(fillers.pop(), rng)
    return " ".join(sections)


def _history(
    age: int, breast: Breast, main: Finding | None, side: str, rng: random.Random, terse: bool
) -> str:
    fields = {"an_age": with_article(str(age)), "An_age": capitalised(with_article(str(age))), "side": side}
    if rng.random() < 0.15:
        fields["An_age"] = f"This {age}"
        templates = _history_kind(breast, main, rng)
        templates = tuple(t for t in templates if t.startswith("{An_age}"))
    else:
        templates = _history_kind(breast, main, rng)
    text = choose(templates, rng, **fields)
    if not terse and rng.random() < 0.4:
        text += " " + choose(phrases.HISTORY_MORE, rng)
    return text


def _history_kind(breast: Breast, main: Finding | None, rng: random.Random) -> tuple[str, ...]:
    """Why she came: only masses are felt, only what is unsettled is recalled."""
    if breast.birads == 6:
        return phrases.HISTORY_KNOWN
    if breast.birads in (4, 5) and main is not None and main.kind == "mass" and rng.random() < 0.6:
        return phrases.HISTORY_PALPABLE
    if breast.birads in (0, 3, 4, 5) and rng.random() < 0.5:
        return phrases.HISTORY_RECALL
    return phrases.HISTORY_SCREENING


def _mammography(
    density: str,
    laterality: str,
    views: Sequence[str],
    findings: list[tuple[str, Finding]],
    rng: random.Random,
) -> str:
    sentences = [_opening(density, laterality, views, rng)]
    for number, (side, finding) in enumerate(findings):
        templates = phrases.ALSO_SEEN if number else phrases.SEEN
        sentences.append(_finding_sentence(finding, SIDE_NAMES[side], templates, rng))
        if finding.only_view and len(set(views)) > 1:
            sentences.append(
                expand(phrases.ONE_VIEW, rng, view=rng.choice(phrases.VIEW_NAMES[finding.only_view]))
            )
    if not findings:
        sentences.append(choose(phrases.NOTHING, rng))
    elif laterality == BILATERAL and len({side for side, _ in findings}) == 1:
        other = "left" if findings[0][0] == "R" else "right"
        sentences.append(expand("The {other} breast [is|appears] [unremarkable|normal].", rng, other=other))
    return " ".join(sentences)


def _opening(density: str, laterality: str, views: Sequence[str], rng: random.Random) -> str:
    """'Left MLO (A) and CC (B) views show heterogeneously dense tissue.'"""
    several = len(views) > 1
    style = rng.randrange(len(phrases.VIEW_NAMES["CC"]))
    noun = choose(phrases.DENSITY_NOUN[density], rng)
    names = [phrases.VIEW_NAMES[view][style] for view in views]
    if laterality == BILATERAL:
        order = "Right (A) and left (B)", "right (C) and left (D)"
        template = "{first} {cc} and {second} {mlo} views [show|demonstrate|reveal] {density}."
        return expand(template, rng, first=order[0], second=order[1], cc=names[0], mlo=names[2], density=noun)
    text = " and ".join(f"{name} ({'ABCD'[i]})" for i, name in enumerate(names)) if several else names[0]
    side = SIDE_NAMES[laterality]
    fields = {
        "side": side,
        "Side": capitalised(side),
        "views": text,
        "Views": capitalised(text),
        "density": noun,
    }
    fields |= {"view": "views" if several else "view", "s": "" if several else "s", "breast": "breast"}
    return choose(phrases.VIEWS_OPENING_SEVERAL if several else phrases.VIEWS_OPENING, rng, **fields)


def _finding_sentence(finding: Finding, side: str, templates: tuple[str, ...], rng: random.Random) -> str:
    phrase = _noun_phrase(finding, rng)
    place = _place(finding, side, rng)
    singular = phrase.startswith(("a ", "an ", "architectural"))
    fields = {"finding": phrase, "Finding": capitalised(phrase), "place": place, "Place": capitalised(place)}
    return choose(templates, rng, are="is" if singular else "are", **fields)


def _noun_phrase(finding: Finding, rng: random.Random) -> str:
    """The finding with descriptors and article: 'an irregular, high-density mass with spiculated margins'."""
    size_mm = max(1, round(finding.size_mm))
    size_noun = f"{size_mm / 10:.1f} cm" if size_mm >= 10 and rng.random() < 0.5 else f"{size_mm} mm"
    fields = {"size_noun": size_noun, "size": size_noun.replace(" ", "-")}
    if finding.kind == "mass":
        fields |= {
            "shape": finding.shape,
            "margin": finding.margin,
            "a_margin": with_article(finding.margin),
            "density": _mass_density(finding.density, rng),
        }
        return with_article(choose(phrases.MASS, rng, **fields))
    if finding.kind == "calcifications":
        fields |= {"morphology": finding.morphology, "distribution": finding.distribution}
        return choose(phrases.CALCIFICATIONS, rng, **fields)
    if finding.kind == "distortion":
        return choose(phrases.DISTORTION, rng, **fields)
    kind = finding.asymmetry_type or "asymmetry"
    kind = kind if "asymmetry" in kind else f"{kind} asymmetry"
    return choose(phrases.ASYMMETRY, rng, type=kind, a_type=with_article(kind), **fields)


def _mass_density(density: str, rng: random.Random) -> str:
    if density == "fat-containing":
        return density
    return "isodense" if density == "equal" and rng.random() < 0.5 else f"{density}-density"


def _place(finding: Finding, side: str, rng: random.Random) -> str:
    """'in the upper outer quadrant of the left breast at 2 o'clock'."""
    central = finding.quadrant == "central"
    fields = {
        "hour": clock_hour(finding.outer, finding.upper, side),
        "depth": ("anterior", "middle", "posterior")[min(2, int(3 * finding.depth))],
    }
    more = choose(phrases.PLACE_MORE[2 * central :], rng, **fields)
    more = f" {more}" if more and not more.startswith(",") else more
    templates = phrases.PLACE_CENTRAL if central else phrases.PLACE
    return choose(templates, rng, quadrant=finding.quadrant, side=side, more=more)


def clock_hour(outer: float, upper: float, side: str) -> int:
    """Position on the clock face as the examiner sees it: outer is at 3 (left breast) or 9 (right)."""
    toward_three = outer if side == "left" else -outer
    hour = round(math.degrees(math.atan2(toward_three, upper)) / 30) % 12
    return hour or 12


def _impression(breast: Breast, main: Finding | None, rng: random.Random) -> str:
    thing = _short_name(main, rng)
    article = thing if thing.endswith(("calcifications", "distortion")) else with_article(thing)
    text = choose(
        phrases.IMPRESSION[breast.birads], rng, thing=thing, Thing=capitalised(thing), thing_a=article
    )
    return f"{text} {choose(phrases.CATEGORY, rng, birads=breast.birads)}" if rng.random() < 0.5 else text


def _short_name(finding: Finding | None, rng: random.Random) -> str:
    """The finding in two or three words, as an impression names it."""
    if finding is None:
        return "finding"
    if finding.kind == "mass":
        return f"{rng.choice((finding.margin, finding.shape))} {rng.choice(('mass', 'nodule', 'lesion'))}"
    if finding.kind == "calcifications":
        noun = rng.choice(("calcifications", "microcalcifications"))
        return f"{rng.choice((finding.morphology, finding.distribution))} {noun}"
    if finding.kind == "distortion":
        return "architectural distortion"
    kind = finding.asymmetry_type or "asymmetry"
    return kind if "asymmetry" in kind else f"{kind} asymmetry"
