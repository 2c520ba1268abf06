"""A run in one HTML file: extraction, pretraining, classification, and real mammograms through the release.

The page holds its styles and pictures and asks for nothing from elsewhere. Every text that comes in is escaped. What
was not run is said to be missing; what is there but incomplete is refused.
"""

import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from dataset_builders.birads import DENSITIES, FIVE_CLASSES, FIVE_NAMES, THREE_NAMES

from .plots import confusion, loss_curves

TITLE = "MAM-CLIP: a run from atlas PDF to real mammograms"
MISSING = "–"
IMAGE_PIXELS_PER_INCH = 150 / 96  # plots are drawn at 150 dpi, a CSS inch has 96 pixels
LOSSES = {
    "train_loss": "training",
    "eval_loss": "validation",
    "eval_contrastive_loss": "validation, contrastive",
    "eval_mlm_loss": "validation, masked language",
}
SIZES = {"n_train": "for training", "n_validation": "for validation", "n_held_out": "held out"}
DIRECTIONS = {"image_to_text": "image → caption", "text_to_image": "caption → image"}
EXTRACTION = {
    "planted": "pairs planted",
    "found": "pairs found",
    "captions": "captions",
    "right": "right",
    "right_fraction": "right of planted",
    "character_error_rate": "character error rate",
}
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
        "extraction": _extraction_table(extraction) if extraction else None,
        "pretraining": _pretraining(pretraining) if pretraining else None,
        "scores": _score_table(arms) if arms else None,
        "class_scores": _class_table(arms) if arms else None,
        "arms": [_arm(name, results) for name, results in (arms or {}).items()],
        "exams": _exams(readings),
        "real_introduction": _introduction(readings),
        "image_credit": IMAGE_CREDIT,
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    _write_whole(Path(path), environment.get_template("report.jinja").render(context))


def summary_sentences(
    extraction: Mapping | None, pretraining: Mapping | None, arms: Mapping | None, readings: Sequence[Reading]
) -> list[str]:
    """The run in a few plain sentences, one for each part that was run."""
    sentences = []
    if extraction:
        sentences += [_extraction_sentence(name, score) for name, score in extraction.items()]
    if pretraining and pretraining.get("retrieval"):
        found = pretraining["retrieval"]["image_to_text"]
        recall, chance = found["recall@1"], found["chance@1"]
        times = f", {recall / chance:.0f} times chance ({number(chance, 4)})" if chance else ""
        sentences.append(
            f"Pretraining: for a held-out image its own caption comes first with recall@1 {number(recall)}{times}."
        )
    for name, results in (arms or {}).items():
        five, three = number(_score(results, "f1_five", name)), number(_score(results, "f1_three", name))
        sentences.append(
            f"Classification {name}: macro F1 {five} over five BI-RADS classes, {three} over three groups."
        )
    if readings:
        exams = len({reading.exam for reading in readings})
        sentences.append(f"Real files: {len(readings)} mammograms of {exams} exams went through the release.")
    return sentences


def number(value: float | None, digits: int = 3) -> str:
    """A score with fixed digits; a dash where there is none."""
    return MISSING if value is None or not isfinite(value) else f"{value:.{digits}f}"


def _extraction_sentence(name: str, score: Mapping[str, Any]) -> str:
    if score.get("planted"):
        return f"Extraction, {name}: {score['right']} of {score['planted']} planted pairs came out right."
    return f"Extraction, {name}: {score['found']} pairs were found."


def _extraction_table(extraction: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    keys = [key for key in EXTRACTION if any(score.get(key) is not None for score in extraction.values())]
    rows = [[name, *(_cell(score.get(key)) for key in keys)] for name, score in extraction.items()]
    caption = "A pair is one image with its caption; right means right figure, image and caption."
    return {"caption": caption, "columns": ["PDF", *(EXTRACTION[key] for key in keys)], "rows": rows}


def _pretraining(results: Mapping[str, Any]) -> dict[str, Any]:
    history, retrieval = results.get("history"), results.get("retrieval")
    sizes = [f"{results[key]} {name}" for key, name in SIZES.items() if results.get(key) is not None]
    return {
        "sizes": f"Image–caption pairs: {', '.join(sizes)}." if sizes else "",
        "curves": _picture(loss_curves(history), _loss_text(history)) if history else None,
        "losses": _loss_table(history) if history else None,
        "retrieval": _retrieval_table(retrieval) if retrieval else None,
    }


def _loss_text(history: Sequence[Mapping[str, Any]]) -> str:
    """The curves in words, for those who do not see them."""
    parts = [f"Losses over {len(history)} epochs"]
    for key, name in LOSSES.items():
        values = [row[key] for row in history if row.get(key) is not None]
        if values:
            parts.append(f"{name} from {number(values[0])} to {number(values[-1])}")
    return "; ".join(parts) + "."


def _loss_table(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = [key for key in LOSSES if any(row.get(key) is not None for row in history)]
    rows = [[f"{row['epoch']:g}", *(number(row.get(key)) for key in keys)] for row in history]
    return {
        "caption": "Mean loss of every epoch",
        "columns": ["epoch", *(LOSSES[key] for key in keys)],
        "rows": rows,
    }


def _retrieval_table(retrieval: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    rows = []
    for direction, name in DIRECTIONS.items():
        scores = retrieval[direction]
        cells = [
            f"{number(scores.get(f'recall@{k}'))} ({number(scores.get(f'chance@{k}'), 4)})"
            for k in (1, 5, 10)
        ]
        counts = [_cell(scores.get(key)) for key in ("queries", "candidates")]
        rows.append([name, *cells, f"{scores['median_rank']:g}", *counts])
    columns = ["direction", "recall@1 (chance)", "recall@5 (chance)", "recall@10 (chance)", "median rank"]
    caption = "Recall of the right caption or image among all held-out ones; in brackets a random order's."
    return {"caption": caption, "columns": [*columns, "queries", "candidates"], "rows": rows}


def _score_table(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = []
    for name, results in arms.items():
        scores = [
            number(_score(results, key, name)) + _interval(results.get(f"{key}_interval"))
            for key in ("f1_five", "f1_three")
        ]
        rows.append([name, *scores, number(results.get("density_f1")), _cell(results.get("n_train"))])
    columns = ["model", "five classes", "three groups", "density", "training images"]
    caption = "Macro F1 on test patients; [95 % interval over patients] where it was computed"
    return {"caption": caption, "columns": columns, "rows": rows}


def _class_table(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """F1 of the five classes, and how many test images each of them has."""
    rows = []
    for name, results in arms.items():
        rows.append([name, *(number(value) for value in _score(results, "f1_per_class", name))])
    matrices = [results["confusion_five"] for results in arms.values() if results.get("confusion_five")]
    if matrices and all(_row_sums(matrix) == _row_sums(matrices[0]) for matrix in matrices):
        rows.append(["test images", *_row_sums(matrices[0])])
    return {"caption": "F1 of each class", "columns": ["model", *FIVE_NAMES], "rows": rows}


def _row_sums(matrix: Sequence[Sequence[int]]) -> list[int]:
    return [sum(row) for row in matrix]


def _interval(bounds: Sequence[float] | None) -> str:
    return f" [{number(bounds[0])}, {number(bounds[1])}]" if bounds else ""


def _score(results: Mapping[str, Any], key: str, name: str) -> Any:
    if key not in results:
        raise ValueError(
            f"The classification results {name!r} have no {key!r}: expected classify.py's results."
        )
    return results[key]


def _arm(name: str, results: Mapping[str, Any]) -> dict[str, Any]:
    pictures = []
    for key, (names, short, caption) in MATRICES.items():
        if results.get(key) is not None:
            alt = f"Confusion matrix {name}, {caption}. {_matrix_text(results[key], names)}"
            pictures.append(_picture(confusion(results[key], short), alt) | {"caption": caption})
    return {"name": name, "pictures": pictures}


def _matrix_text(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix in words: every label and what it was taken for, zeros left out."""
    rows = []
    for label, counts in zip(names, matrix, strict=True):
        taken = [f"{count} as {name}" for name, count in zip(names, counts, strict=True) if count]
        rows.append(f"Label {label}: {', '.join(taken) or 'none'}.")
    return " ".join(rows)


def _exams(readings: Sequence[Reading]) -> list[dict[str, Any]]:
    exams: dict[str, list[dict[str, Any]]] = {}
    for reading in readings:
        exams.setdefault(reading.exam, []).append(_view(reading))
    return [{"name": name, "views": views} for name, views in exams.items()]


def _view(reading: Reading) -> dict[str, Any]:
    alt = f"Mammogram, {reading.title}, {reading.exam}, with the breast crop as a frame."
    return {
        "title": reading.title,
        "picture": _picture(reading.picture, alt, scale=1),
        "crop": reading.crop,
        "birads": _bars(reading.birads),
        "density": _bars(reading.density),
        "reference": reading.reference,
        "spread": reading.spread,
        "neighbours": [
            {"caption": text, "similarity": number(cosine)} for text, cosine in reading.neighbours
        ],
    }


def _bars(scores: Mapping[str, float]) -> list[dict[str, Any]]:
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


def _picture(png: bytes, alt: str, *, scale: float = IMAGE_PIXELS_PER_INCH) -> dict[str, Any]:
    """A PNG as a data URI, with its size in CSS pixels, so that the page does not jump while it loads."""
    width, height = Image.open(BytesIO(png)).size
    source = "data:image/png;base64," + b64encode(png).decode("ascii")
    return {"source": source, "alt": alt, "width": round(width / scale), "height": round(height / scale)}


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    return number(value, 4) if isinstance(value, float) else str(value)


def _write_whole(path: Path, text: str) -> None:
    """Write beside the file, then rename: readers see the old page or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
