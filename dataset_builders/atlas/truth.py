"""Extracted pairs against what was planted: which are right, and how many characters are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from rapidfuzz.distance import Levenshtein

THUMBNAIL = 16  # pixels a side
NEEDED_SIMILARITY = 0.9  # of a caption's characters
SAME_PICTURE = 1e-5  # thumbnails whose correlations with a third differ by less are of the same picture


def thumbnail(image: Image.Image) -> list[int]:
    """A picture as 16 × 16 grey levels (0–255), row by row: enough to tell planted pictures apart."""
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small).ravel().tolist()


def normalised_figure(number: str) -> str:
    """Figure numbers as they compare: "3-12", "3–12" and "3.12" are one."""
    return re.sub(r"[-\u2010-\u2015.]+", ".", number.strip()).strip(".")


def load_truth(path: str | Path) -> list[dict]:
    """The planted figures of a truth file: figure, caption and thumbnails are needed."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give the .truth.json from beside the PDF")
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no truth file: it is not JSON with a list `figures`") from error
    for figure in figures:
        missing = {"figure", "caption", "thumbnails"} - set(figure)
        if missing:
            raise ValueError(f"{path}: a figure has no {', '.join(sorted(missing))}; write the atlas again")
    return figures


@dataclass
class Score:
    """The tally of one PDF; a planted pair is one picture with its caption."""

    truth: Sequence[dict]
    found: int = 0
    right: int = 0
    distance: int = 0
    characters: int = 0
    wrong: list[str] = field(default_factory=list)

    def summary(self) -> dict:
        planted = sum(len(figure["thumbnails"]) for figure in self.truth)
        return {
            "planted": planted,
            "found": self.found,
            "right": self.right,
            "right_fraction": round(self.right / planted, 4) if planted else 0.0,
            "precision": round(self.right / self.found, 4) if self.found else 0.0,
            "character_error_rate": round(self.distance / max(1, self.characters), 5),
            "wrong": self.wrong,
        }


def score_pairs(pairs: Iterable[dict], truth: Sequence[dict]) -> dict:
    """How many planted pairs were found right, over the pairs of one PDF.

    A pair is right when its figure number is the planted one, its caption agrees in at least 90 % of the
    characters, and the planted picture that it resembles most (of all in the PDF) is one of that figure, not
    taken before. The character error rate counts every figure whose number was found.
    """
    score = Score(truth)
    by_number = {normalised_figure(figure["figure"]): figure for figure in truth}
    owners = [(number, i) for number, figure in by_number.items() for i in range(len(figure["thumbnails"]))]
    planted = _standardised([t for figure in by_number.values() for t in figure["thumbnails"]])
    taken, captions = set(), {}
    for pair in pairs:
        score.found += 1
        number = normalised_figure(pair["figure"])
        if number not in by_number:
            score.wrong.append(f"figure {pair['figure']} on page {pair['page']} was not planted")
            continue
        distance = captions.setdefault(
            number, Levenshtein.distance(by_number[number]["caption"], pair["caption"])
        )
        similarity = (planted @ _standardised([thumbnail(pair["image"])]).T)[:, 0]
        owner = _owner(similarity, owners, number, taken)
        problem = _problem(number, owner, owner in taken, distance, len(by_number[number]["caption"]))
        taken.add(owner)
        score.right += problem is None
        if problem:
            score.wrong.append(f"figure {pair['figure']} on page {pair['page']}: {problem}")
    score.wrong += [
        f"figure {number} picture {i + 1} not found" for number, i in owners if (number, i) not in taken
    ]
    score.distance = sum(captions.values())
    score.characters = sum(len(by_number[number]["caption"]) for number in captions)
    return score.summary()


def _owner(similarity: np.ndarray, owners: Sequence[tuple], number: str, taken: set) -> tuple[str, int]:
    """The planted picture that is most like the pair's; of several equal ones, a free one of its own figure.

    A view of a patient may be planted twice, in two of her figures.
    """
    alike = np.flatnonzero(similarity >= similarity.max() - SAME_PICTURE)
    return min((owners[i] for i in alike), key=lambda owner: (owner[0] != number, owner in taken))


def _problem(number: str, owner: tuple[str, int], again: bool, distance: int, length: int) -> str | None:
    if distance > (1 - NEEDED_SIMILARITY) * length:
        return f"{distance} of {length} characters of the caption are wrong"
    if owner[0] != number:
        return f"the picture is that of figure {owner[0]}"
    return "the picture was there before" if again else None


def _standardised(thumbnails: Sequence[Sequence[int]]) -> np.ndarray:
    """(N, 256) thumbnails → float32, each of mean 0 and length 1, so that a product is a correlation."""
    rows = np.asarray(thumbnails, dtype=np.float32).reshape(len(thumbnails), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
