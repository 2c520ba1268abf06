"""A page of retrieval examples: images beside their three nearest captions, the right one marked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from .pages import embedded_picture, write_page
from .pictures import small_picture, spread_rows
from .report_tables import number, place_of, retrieval_table
from .retrieval import group_rows, right_ranks, unit_rows

COUNT = 8
NEAREST = 3


@dataclass(frozen=True)
class Example:
    """An image and its nearest captions.

    picture: PNG bytes. name: where the pair comes from. caption: its own. neighbours: (caption, cosine similarity,
    whether it is the right one), nearest first. rank: of its own caption among `captions` captions, from 1.
    """

    picture: bytes
    name: str
    caption: str
    neighbours: Sequence[tuple[str, float, bool]]
    rank: int
    captions: int


def retrieval_examples(
    pairs: datasets.Dataset, image_embeds: Any, text_embeds: Any, caption_ids: Sequence[int]
) -> list[Example]:
    """Eight examples, of cases that are evenly spread over the pairs: their place alone chooses them, not their score.

    pairs: N rows with the columns of extract_pairs.py. The rest is as for `retrieval.retrieval_metrics`.
    """
    images, texts = unit_rows("image_embeds", image_embeds), unit_rows("text_embeds", text_embeds)
    caption_of, first = group_rows(caption_ids)
    rows = spread_rows(pairs["case_id"], COUNT)
    scores = images[rows] @ texts[first].T  # (examples, U captions)
    own = caption_of[rows][:, None] == np.arange(len(first))
    captions = pairs["caption"][first]
    return [
        _example(pairs[row], *parts, captions)
        for row, *parts in zip(rows, scores, own, right_ranks(scores, own), strict=True)
    ]


def _example(
    pair: Mapping[str, Any], scores: np.ndarray, own: np.ndarray, rank: int, captions: Sequence[str]
) -> Example:
    nearest = np.argsort(-scores, kind="stable")[:NEAREST]
    return Example(
        picture=small_picture(pair["image"]),
        name=place_of(pair),
        caption=pair["caption"],
        neighbours=[(captions[i], float(scores[i]), bool(own[i])) for i in nearest],
        rank=int(rank),
        captions=len(captions),
    )


def write_examples(
    path: str | os.PathLike,
    examples: Sequence[Example],
    retrieval: Mapping[str, Mapping[str, Any]],
    *,
    notes: Sequence[str] = (),
    phantom: bool,
) -> None:
    """Write the page, whole or not at all.

    retrieval: as `retrieval_metrics` gives it. notes: sentences above the numbers. phantom: whether images and captions
    are phantoms, which the page then says.
    """
    context = {
        "notes": list(notes),
        "phantom": phantom,
        "retrieval": retrieval_table(retrieval, "all of these pairs"),
        "examples": [_context(example) for example in examples],
    }
    write_page(path, "examples.jinja", context)


def _context(example: Example) -> dict[str, Any]:
    alt = f"Mammogram, {example.name}. Its caption: {example.caption}"
    return {
        "name": example.name,
        "picture": embedded_picture(example.picture, alt),
        "rank": f"Its own caption comes number {example.rank} of {example.captions}.",
        "caption": example.caption,
        "found": any(right for _, _, right in example.neighbours),
        "neighbours": [
            {"caption": text, "similarity": number(cosine), "right": right}
            for text, cosine, right in example.neighbours
        ],
    }
