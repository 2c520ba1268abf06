"""Captions for images whose archive has labels and no text: composed in the style of a mammography atlas.

A caption says of a record and its findings what they hold and nothing else: side, view, breast density, each finding in
BI-RADS's words, the assessment with what the lexicon advises, and the outcome. Absence is said only of what the archive
calls negative. The same record and seed give the same words.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dataset_builders import report_phrases as phrases
from dataset_builders.birads import worst
from dataset_builders.findings import Finding
from dataset_builders.phantom.grammar import capitalised, choose, expand, with_article

NUMBERS = ("", "", "two ", "three ", "four ")
STANDARD_SIDE = {"L": "left", "R": "right"}  # of the image, where the chest wall is when it is not flipped
MIDDLE = (0.4, 0.6)  # of the breast: neither upper nor lower, neither lateral nor medial
DISCORDANT = {"malignant": (1, 2, 3), "benign": (5, 6)}  # assessments that such an outcome contradicts


@dataclass(frozen=True)
class BreastPlace:
    """Where the breast lies in its file: box x0, y0, x1, y1 in pixels, and the side where the chest wall is."""

    box: tuple[int, int, int, int]
    chest_wall: Literal["left", "right"]


def compose_caption(
    record: Mapping[str, Any], findings: Sequence[Finding], seed: int, breast: BreastPlace | None = None
) -> str:
    """The caption of one image: one to three paragraphs' worth of sentences, in one line.

    record: laterality, view, birads, density, exam_id, and mini-MIAS's own columns where it is from there; findings:
    those in this image; breast: where it is known, findings with a box are placed in it. Raises ValueError for a
    laterality or view that is none.
    """
    side, view = _named(record, "laterality", phrases.SIDES), _named(record, "view", phrases.VIEWS)
    rng = random.Random(f"{seed} {record['exam_id']} {record['laterality']} {record['view']}")
    groups = _grouped(findings)
    described = _description(record, groups, side, rng.choice(view), rng, breast)
    impression = _impression(record, groups, rng)
    outcome = _outcome(record, findings)
    if rng.random() < 0.5:
        diagnosis = expand(phrases.DIAGNOSIS_SECTION, rng, **_both("pathology", outcome)) if outcome else ""
        parts = {"MAMMOGRAPHY": described, "IMPRESSION": impression, "DIAGNOSIS": diagnosis}
        return " ".join(f"{name}: {text}" for name, text in parts.items() if text)
    diagnosis = choose(phrases.DIAGNOSIS, rng, pathology=outcome) if outcome else ""
    return " ".join(text for text in (described, impression, diagnosis) if text)


def place_in_breast(finding: Finding, breast: BreastPlace | None, laterality: str, view: str) -> str | None:
    """upper or lower in an MLO view, lateral or medial in a CC view; None in the middle and where it is not known.

    In an image as it is hung the chest wall of a left breast is at the left, and lateral is up in a CC view. Where the
    chest wall is at the other side, the image was flipped or turned, and up may be anything.
    """
    if breast is None or finding.box is None or breast.chest_wall != STANDARD_SIDE[laterality]:
        return None
    _, top, _, bottom = breast.box
    height = ((finding.box[1] + finding.box[3]) / 2 - top) / (bottom - top)
    above, below = ("upper", "lower") if view == "MLO" else ("lateral", "medial")
    return above if height < MIDDLE[0] else below if height > MIDDLE[1] else None


def _named(record: Mapping[str, Any], column: str, names: Mapping[str, Any]) -> Any:
    if record[column] not in names:
        raise ValueError(f"{column} is {record[column]!r}; expected one of {', '.join(names)}.")
    return names[record[column]]


def _both(name: str, text: str) -> dict[str, str]:
    """A field of a template, and the same with a capital to begin a sentence with."""
    return {name: text, capitalised(name): capitalised(text)}


def _grouped(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Findings of the same words together, in order of appearance: they are said once."""
    groups: dict[Finding, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(replace(finding, box=None, birads=None, pathology=None), []).append(finding)
    return list(groups.values())


def _description(record, groups, side: str, view: str, rng: random.Random, breast) -> str:
    """What is seen: the view, the tissue, and every finding or that there is none."""
    tissue = _tissue(record, rng)
    later = tissue and groups and rng.random() < 0.3
    fields = {**_both("side", side), "view": view, "tissue": tissue}
    sentences = [choose(phrases.OPENING if tissue and not later else phrases.OPENING_BARE, rng, **fields)]
    for number, group in enumerate(groups):
        noun, are = _noun_phrase(group, rng)
        templates = phrases.ALSO_SEEN if number else phrases.SEEN
        fields = {**_both("finding", noun), "are": are, "place": _place(record, group, side, rng, breast)}
        sentences.append(choose(templates, rng, **fields))
    if later:
        sentences.append(choose(phrases.TISSUE_LATER, rng, tissue=tissue))
    if not groups and _is_negative(record):
        sentences.append(choose(phrases.NEGATIVE, rng))
    elif not groups and record["birads"] == 2:
        sentences.append(choose(phrases.NOT_SUSPICIOUS, rng))
    return " ".join(filter(None, sentences))


def _tissue(record: Mapping[str, Any], rng: random.Random) -> str:
    if record["density"] is not None:
        return choose(phrases.TISSUE[record["density"]], rng)
    mias = record.get("mini_mias_tissue")
    return choose(phrases.MIAS_TISSUE[mias], rng) if mias else ""


def _is_negative(record: Mapping[str, Any]) -> bool:
    """Whether the archive itself says that there is nothing."""
    return record["birads"] == 1 or record.get("mini_mias_abnormality") == "NORM"


def _place(record, group: Sequence[Finding], side: str, rng: random.Random, breast) -> str:
    parts = {place_in_breast(finding, breast, record["laterality"], record["view"]) for finding in group}
    if len(parts) == 1 and None not in parts:
        return choose(phrases.PLACE_PART, rng, side=side, part=parts.pop())
    return choose(phrases.PLACE, rng, side=side)


def _noun_phrase(group: Sequence[Finding], rng: random.Random) -> tuple[str, str]:
    """Findings of the same words as a noun with its article or number, and is or are."""
    finding, number = group[0], len(group)
    if finding.kind == "mass":
        phrase = _mass(finding, "mass" if number == 1 else "masses", rng)
        if number == 1:
            return with_article(phrase), "is"
        return (NUMBERS[number] if number < len(NUMBERS) else "several ") + phrase, "are"
    if finding.kind == "calcifications":
        known = finding.morphology is not None, finding.distribution is not None
        morphology = (finding.morphology or "").replace("milk of calcium", "milk-of-calcium")
        fields = {"morphology": morphology, "distribution": finding.distribution}
        return choose(phrases.CALCIFICATIONS[known], rng, **fields), "are"
    return choose(phrases.OTHERS[finding.kind], rng), "is"


def _mass(finding: Finding, noun: str, rng: random.Random) -> str:
    """The words that are known, before the noun or after it; each of them once."""
    template, margin, shape, density = (
        rng.choice(phrases.MASS),
        finding.margin,
        finding.shape,
        finding.density,
    )
    if noun == "masses" or not margin:
        with_margin = margin and f"with {margin} margins"
    else:
        with_margin = expand(phrases.WITH_MARGIN, rng, margin=margin, a_margin=with_article(margin))
    fields = {
        "noun": noun,
        "shape": shape,
        "margin": margin,
        "density": density and phrases.MASS_DENSITIES.get(density, density),
        "with_margin": with_margin,
        "of_shape": shape and expand(phrases.OF_SHAPE, rng, shape=shape),
        "and_density": density and phrases.MASS_DENSITY_NOUN.get(density, f"of {density} density"),
    }
    return expand(template, rng, **{name: value or "" for name, value in fields.items()})


def _assessment(record: Mapping[str, Any], findings: Iterable[Finding]) -> int | None:
    """The breast's; where the archive assesses findings alone, the worst of them, if all are assessed."""
    if record["birads"] is not None:
        return record["birads"]
    each = [finding.birads for finding in findings]
    return worst(each) if each and None not in each else None


def _impression(record: Mapping[str, Any], groups: list[list[Finding]], rng: random.Random) -> str:
    """The category in words, what follows from it, and its number; the first two are sometimes left out."""
    birads = _assessment(record, [finding for group in groups for finding in group])
    if birads is None:
        return choose(phrases.NORMAL, rng) if not groups and _is_negative(record) else ""
    number = choose(phrases.NUMBER, rng, birads=birads) + "."
    if birads == 1 and groups:  # something is marked, and "negative" beside it would sound like a denial
        return number
    thing = _thing(groups, rng)
    if thing and birads in phrases.CATEGORY_OF and rng.random() < 0.7:
        words = choose(phrases.CATEGORY_OF[birads], rng, **_both("thing", thing))
    else:
        words = choose(phrases.CATEGORY[birads], rng)
    if rng.random() < 0.7:
        words += "; " + choose(phrases.ADVICE[birads], rng)
    return rng.choice((f"{words}. {number}", f"{words}.", f"{number} {words}."))


def _thing(groups: list[list[Finding]], rng: random.Random) -> str | None:
    """What an impression calls the findings: by name where they are of one kind, and never by a new one."""
    kinds = {finding.kind for group in groups for finding in group}
    if not kinds or "suspicious lymph node" in kinds:  # no "benign suspicious lymph node"
        return None
    if len(kinds) > 1:
        return rng.choice(("findings", "changes"))
    (kind,) = kinds
    if kind == "mass" and sum(map(len, groups)) > 1:
        return "masses"
    return "finding" if kind == "other" else kind


def _outcome(record: Mapping[str, Any], findings: Sequence[Finding]) -> str | None:
    """benign or malignant, where all findings are so and the assessment does not say the opposite."""
    outcomes = {finding.pathology for finding in findings}
    outcome = outcomes.pop() if len(outcomes) == 1 else None
    contradicted = _assessment(record, findings) in DISCORDANT.get(outcome, ())
    return None if contradicted else outcome
