"""A run in one HTML file: extraction, pretraining, classification, and real mammograms through the release.

The page holds its styles and pictures and asks for nothing from elsewhere. Every text that comes in is escaped. What
was not run is said to be missing; what is there but incomplete is refused.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset_builders.birads import DENSITIES, FIVE_CLASSES, FIVE_NAMES, THREE_NAMES

from .pages import embedded_picture, write_page
from .plots import confusion, loss_curves
from .report_tables import (
    class_table,
    extraction_table,
    loss_table,
    loss_text,
    matrix_text,
    needed,
    number,
    retrieval_table,
    score_table,
)

TITLE = "MAM-CLIP: a run from atlas PDF to real mammograms"
IMAGE_PIXELS_PER_INCH = 150 / 96  # plots are drawn at 150 dpi, a CSS inch has 96 pixels
SIZES = {"n_train": "for training", "n_validation": "for validation", "n_held_out": "held out"}
MATRICES = {  # key of the results → (class names in words, in the picture, caption)
    "confusion_five": (FIVE_NAMES, [str(value) for value in FIVE_CLASSES], "BI-RADS, five classes"),
    "confusion_three": (THREE_NAMES, THREE_NAMES, "BI-RADS, three groups"),
    "confusion_density": (DENSITIES, DENSITIES, "Breast density"),
}
# The citations that the collection asks for, and its licence, as the Cancer Imaging Archive states them.
IMAGE_CREDIT = (
    "Real mammograms: CBIS-DDSM, shown reduced and with the breast crop drawn in, CC BY 3.0 "
    "(creativecommons.org/licenses/by/3.0). R. Sawyer-Lee, F. Gimenez, A. Hoogi and D. Rubin, Curated Breast Imaging "
    "Subset of Digital Database for Screening Mammography, The Cancer Imaging Archive, 2016, "
    "doi:10.7937/K9/TCIA.2016.7O02S9CY. R. S. Lee, F. Gimenez, A. Hoogi, K. K. Miyake, M. Gorovoy and D. L. Rubin, "
    "A curated mammography data set for use in computer-aided detection and diagnosis research, Scientific Data 4, "
    "170177, 2017, doi:10.1038/sdata.2017.177."
)


@dataclass(frozen=True)
class Reading:
    """One real mammogram as the release sees it.

    picture: PNG bytes, the crop drawn in. birads, density: label → score in [0, 1]. neighbours: (caption, cosine
    similarity), nearest first. spread: a sentence on how similar all captions are. reference: what the data set says.
    """

    exam: str
    view: str | None
    laterality: str | None
    picture: bytes
    crop: str
    birads: Mapping[str, float]
    density: Mapping[str, float] = field(default_factory=dict)
    neighbours: Sequence[tuple[str, float]] = ()
    spread: str = ""
    reference: str = ""

    @property
    def title(self) -> str:
        side = {"L": "Left", "R": "Right"}.get(self.laterality, "Side not said")
        return f"{side}, {self.view or 'view not said'}"


def write_report(
    path: str | os.PathLike,
    *,
    summary: Sequence[str] = (),
    extraction: Mapping[str, Mapping[str, Any]] | None = None,
    pretraining: Mapping[str, Any] | None = None,
    arms: Mapping[str, Mapping[str, Any]] | None = None,
    readings: Sequence[Reading] = (),
    phantom: bool = True,
    title: str = TITLE,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the HTML file; its folder is made.
        summary: sentences for the top; without them `summary_sentences` of the rest.
        extraction: PDF's name → `planted`, `found`, `right`, …; None: not run.
        pretraining: `history`, `retrieval`, `n_train`, … as pretrain.py writes them; None: not run.
        arms: name of a model → results of classify.py; None or empty: not run.
        readings: real mammograms, those of one exam one after the other.
        phantom: whether the numbers come from phantoms, which the page then says wherever they stand.

    Raises:
        ValueError: results that lack a score, named with what lacks it.
    """
    context = {
        "title": title,
        "phantom": phantom,
        "summary": list(summary) or summary_sentences(extraction, pretraining, arms, readings),
        "extraction": extraction_table(extraction) if extraction else None,
        "pretraining": _pretraining(pretraining) if pretraining else None,
        "scores": score_table(arms) if arms else None,
        "class_scores": class_table(arms) if arms else None,
        "arms": [_arm(name, results) for name, results in (arms or {}).items()],
        "exams": _exams(readings),
        "real_introduction": _introduction(readings),
        "image_credit": IMAGE_CREDIT,
    }
    write_page(path, "report.jinja", context)


def summary_sentences(
    extraction: Mapping | None, pretraining: Mapping | None, arms: Mapping | None, readings: Sequence[Reading]
) -> list[str]:
    """The run in a few plain sentences, one for each part that was run."""
    sentences = []
    if extraction:
        sentences += [_extraction_sentence(name, score) for name, score in extraction.items()]
    if pretraining and pretraining.get("retrieval"):
        found = needed(pretraining["retrieval"], "image_to_text", "retrieval results")
        recall, chance = (needed(found, f"{key}@1", "retrieval results") for key in ("recall", "chance"))
        times = f", {recall / chance:.0f} times chance ({number(chance, 4)})" if chance else ""
        sentences.append(
            f"Pretraining: for a held-out image its own caption comes first with recall@1 {number(recall)}{times}."
        )
    for name, results in (arms or {}).items():
        what = f"classification results {name!r}"
        five, three = (
            number(needed(results, "f1_five", what)),
            number(needed(results, "f1_three", what)),
        )
        sentences.append(
            f"Classification {name}: macro F1 {five} over five BI-RADS classes, {three} over three groups."
        )
    if readings:
        exams = len({reading.exam for reading in readings})
        sentences.append(f"Real files: {len(readings)} mammograms of {exams} exams went through the release.")
    return sentences


def _extraction_sentence(name: str, score: Mapping[str, Any]) -> str:
    if score.get("planted"):
        return f"Extraction, {name}: {score['right']} of {score['planted']} planted pairs came out right."
    return f"Extraction, {name}: {score['found']} pairs were found."


def _pretraining(results: Mapping[str, Any]) -> dict[str, Any]:
    history, retrieval = results.get("history"), results.get("retrieval")
    sizes = [f"{results[key]} {name}" for key, name in SIZES.items() if results.get(key) is not None]
    return {
        "sizes": f"Image–caption pairs: {', '.join(sizes)}." if sizes else "",
        "curves": _plot(loss_curves(history), loss_text(history)) if history else None,
        "losses": loss_table(history) if history else None,
        "retrieval": retrieval_table(retrieval) if retrieval else None,
    }


def _arm(name: str, results: Mapping[str, Any]) -> dict[str, Any]:
    pictures = []
    for key, (names, short, caption) in MATRICES.items():
        if results.get(key) is not None:
            alt = f"Confusion matrix {name}, {caption}. {matrix_text(results[key], names)}"
            pictures.append(_plot(confusion(results[key], short), alt) | {"caption": caption})
    return {"name": name, "pictures": pictures}


def _exams(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    exams: dict[str, list[dict[str, Any]]] = {}
    for reading in readings:
        exams.setdefault(reading.exam, []).append(_view(reading))
    return [{"name": name, "views": views} for name, views in exams.items()]


def _view(reading: Reading) -> dict[str, Any]:
    alt = f"Mammogram, {reading.title}, {reading.exam}, with the breast crop as a frame."
    return {
        "title": reading.title,
        "picture": embedded_picture(reading.picture, alt),
        "crop": reading.crop,
        "birads": bars(reading.birads),
        "density": bars(reading.density),
        "reference": reading.reference,
        "spread": reading.spread,
        "neighbours": [
            {"caption": text, "similarity": number(cosine)} for text, cosine in reading.neighbours
        ],
    }


def bars(scores: Mapping[str, float]) -> list[dict[str, Any]]:
    """Probabilities by label, for the macro in bars.jinja."""
    best = max(scores.values(), default=0)
    return [
        {"label": label, "text": number(score), "percent": f"{100 * score:.1f}", "best": score == best}
        for label, score in scores.items()
    ]


def _introduction(readings: Sequence[Reading]) -> str:
    return (
        f"{len(readings)} film mammograms of CBIS-DDSM, read from their DICOM files by the release's own pipeline. "
        "The orange frame is the breast crop, which is all that the model sees."
    )


def _plot(png: bytes, alt: str) -> dict[str, Any]:
    return embedded_picture(png, alt, scale=IMAGE_PIXELS_PER_INCH)
