"""A page on which a person sees what augmentation makes of pairs, and whether their captions are still true."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from .pages import embedded_picture, write_page
from .pictures import small_picture

HEIGHT = 256  # pixels of a picture
LISTED = 50  # captions that cannot follow


@dataclass(frozen=True)
class Drawn:
    """One draw of a pair: its image (mode L), what was done to its sides in a word or two, and its caption then."""

    image: Image.Image
    done: str
    caption: str


@dataclass(frozen=True)
class AugmentedPair:
    """A pair. name: where it comes from; draws: first as it is, then as training draws it."""

    name: str
    draws: Sequence[Drawn]


def write_augmented_pairs(
    path: str | os.PathLike,
    pairs: Sequence[AugmentedPair],
    *,
    notes: Sequence[str] = (),
    unclear: Sequence[str] = (),
) -> None:
    """Write the page, whole or not at all, with all pictures in it.

    notes: sentences for the top. unclear: captions that cannot follow a flip, whose images are therefore not flipped.
    """
    context = {
        "notes": list(notes),
        "pairs": [
            {"name": pair.name, "draws": [_context(draw, pair) for draw in pair.draws]} for pair in pairs
        ],
        "unclear": list(unclear[:LISTED]),
        "unclear_count": len(unclear),
    }
    write_page(path, "augmented_pairs.jinja", context)


def changed_words(before: str, after: str) -> list[tuple[str, bool]]:
    """The words of a caption, each with whether it differs from the one in its place before."""
    words, others = after.split(" "), before.split(" ")
    if len(words) != len(others):
        raise ValueError(
            f"{after!r} has another number of words than {before!r}: a flip replaces words one by one."
        )
    return [(word, word != other) for word, other in zip(words, others, strict=True)]


def _context(draw: Drawn, pair: AugmentedPair) -> dict[str, Any]:
    alt = f"Mammogram, {pair.name}, {draw.done}"
    return {
        "picture": embedded_picture(small_picture(draw.image, height=HEIGHT), alt),
        "done": draw.done,
        "words": changed_words(pair.draws[0].caption, draw.caption),
    }
