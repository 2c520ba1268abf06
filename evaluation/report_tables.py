"""Results as tables and sentences: every number that the report shows as a picture is also here as text.

A table is {"caption": str, "columns": [str], "rows": [[str, ...]]}; its first column names the row.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from dataset_builders.birads import FIVE_NAMES

from .retrieval import RECALL_AT

MISSING = "–"
LOSSES = {
    "train_loss": "training",
    "eval_loss": "validation",
    "eval_contrastive_loss": "validation, contrastive",
    "eval_mlm_loss": "validation, masked language",
}
DIRECTIONS = {"image_to_text": "image → caption", "text_to_image": "caption → image"}
EXTRACTION = {
    "planted": "pairs planted",
    "found": "pairs found",
    "captions": "captions",
    "right": "right",
    "right_fraction": "right of planted",
    "character_error_rate": "character error rate",
}
Table = dict[str, Any]


def extraction_table(extraction: Mapping[str, Mapping[str, Any]]) -> Table:
    """PDF's name → `planted`, `found`, `right`, … ; columns that no PDF has are left out."""
    keys = [key for key in EXTRACTION if any(score.get(key) is not None for score in extraction.values())]
    rows = [[name, *(_cell(score.get(key)) for key in keys)] for name, score in extraction.items()]
    caption = "A pair is one image with its caption; right means right figure, image and caption."
    return {"caption": caption, "columns": ["PDF", *(EXTRACTION[key] for key in keys)], "rows": rows}


def loss_table(history: Sequence[Mapping[str, Any]]) -> Table:
    """History of `plots.loss_curves`; losses that no epoch has are left out."""
    keys = [key for key in LOSSES if any(row.get(key) is not None for row in history)]
    rows = [[f"{row['epoch']:g}", *(number(row.get(key)) for key in keys)] for row in history]
    return {
        "caption": "Mean loss of every epoch",
        "columns": ["epoch", *(LOSSES[key] for key in keys)],
        "rows": rows,
    }


def retrieval_table(retrieval: Mapping[str, Mapping[str, Any]], among: str = "all held-out ones") -> Table:
    """Both directions of `retrieval.retrieval_metrics`, chance in brackets; `among` says what the candidates are."""
    rows = []
    for direction, name in DIRECTIONS.items():
        scores = needed(retrieval, direction, "retrieval results")
        cells = [
            f"{number(scores.get(f'recall@{k}'))}{bounds(scores.get(f'recall@{k}_interval'))} "
            f"({number(scores.get(f'chance@{k}'), 4)})"
            for k in RECALL_AT
        ]
        counts = [_cell(scores.get(key)) for key in ("queries", "candidates")]
        rows.append([name, *cells, f"{needed(scores, 'median_rank', 'retrieval results'):g}", *counts])
    columns = ["direction", "recall@1 (chance)", "recall@5 (chance)", "recall@10 (chance)", "median rank"]
    intervals = any("recall@1_interval" in scores for scores in retrieval.values())
    caption = (
        f"Recall of the right caption or image among {among}{', [95 % interval over cases]' if intervals else ''}; "
        "in brackets a random order's."
    )
    return {"caption": caption, "columns": [*columns, "queries", "candidates"], "rows": rows}


def retrieval_lines(retrieval: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Both directions of `retrieval.retrieval_metrics`, one line each."""
    return [_retrieval_line(name, retrieval[direction]) for direction, name in DIRECTIONS.items()]


def _retrieval_line(name: str, scores: Mapping[str, Any]) -> str:
    recalls = [
        f"recall@{k} {number(scores[f'recall@{k}'])}{bounds(scores.get(f'recall@{k}_interval'))} "
        f"(chance {number(scores[f'chance@{k}'])})"
        for k in RECALL_AT
    ]
    rank = f"median rank {scores['median_rank']:g} of {scores['candidates']}"
    return f"{name}: {', '.join([*recalls, rank])}; {scores['queries']} queries"


def place_of(pair: Mapping[str, Any]) -> str:
    """Where a pair comes from, as far as its columns say it: figure, page and source, or else the case."""
    words = {"figure": "Figure ", "page": "page ", "source": ""}
    known = [f"{word}{pair[name]}" for name, word in words.items() if pair.get(name) is not None]
    return ", ".join(known) or f"Case {pair['case_id']}"


def score_table(arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """Name of a model → results of `metrics.birads_metrics` and `density_f1`: the macro F1 of each task."""
    rows = []
    for name, results in arms.items():
        scores = [
            number(needed(results, key, f"classification results {name!r}"))
            + bounds(results.get(f"{key}_interval"))
            for key in ("f1_five", "f1_three")
        ]
        rows.append([name, *scores, number(results.get("density_f1")), _cell(results.get("n_train"))])
    columns = ["model", "five classes", "three groups", "density", "training images"]
    caption = "Macro F1 on test patients; [95 % interval over patients] where it was computed"
    return {"caption": caption, "columns": columns, "rows": rows}


def class_table(arms: Mapping[str, Mapping[str, Any]]) -> Table:
    """F1 of the five classes, and how many test images each of them has."""
    rows = []
    for name, results in arms.items():
        rows.append(
            [
                name,
                *(
                    number(value)
                    for value in needed(results, "f1_per_class", f"classification results {name!r}")
                ),
            ]
        )
    matrices = [results["confusion_five"] for results in arms.values() if results.get("confusion_five")]
    if matrices and all(_row_sums(matrix) == _row_sums(matrices[0]) for matrix in matrices):
        rows.append(["test images", *_row_sums(matrices[0])])
    return {"caption": "F1 of each class", "columns": ["model", *FIVE_NAMES], "rows": rows}


def loss_text(history: Sequence[Mapping[str, Any]]) -> str:
    """The curves in words, for those who do not see them."""
    parts = [f"Losses over {len(history)} epochs"]
    for key, name in LOSSES.items():
        values = [row[key] for row in history if row.get(key) is not None]
        if values:
            parts.append(f"{name} from {number(values[0])} to {number(values[-1])}")
    return "; ".join(parts) + "."


def matrix_text(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """A confusion matrix in words: every label and what it was taken for, zeros left out."""
    rows = []
    for label, counts in zip(names, matrix, strict=True):
        taken = [f"{count} as {name}" for name, count in zip(names, counts, strict=True) if count]
        rows.append(f"Label {label}: {', '.join(taken) or 'none'}.")
    return " ".join(rows)


def number(value: float | None, digits: int = 3) -> str:
    """A score with fixed digits; a dash where there is none."""
    return MISSING if value is None or not isfinite(value) else f"{value:.{digits}f}"


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    return number(value, 4) if isinstance(value, float) else str(value)


def needed(results: Mapping[str, Any], key: str, what: str) -> Any:
    """results[key]; ValueError where it is missing, that says in what."""
    if key not in results:
        raise ValueError(f"The {what} have no {key!r}; run the script again that writes them.")
    return results[key]


def bounds(interval: Sequence[float] | None) -> str:
    """[low, high] behind a score; nothing where there is no interval."""
    return f" [{number(interval[0])}, {number(interval[1])}]" if interval else ""


def _row_sums(matrix: Sequence[Sequence[int]]) -> list[int]:
    return [sum(row) for row in matrix]
