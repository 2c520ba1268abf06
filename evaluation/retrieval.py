"""Image-text retrieval in both directions, where several images may share one caption.

An atlas figure often has two or four panels under one caption, so plain "row i belongs to row i" scoring
counts right answers as wrong. Here an image looks for its caption among the **unique** captions, and a
caption looks for **any** of its images among all images.
"""

from collections.abc import Hashable, Sequence
from math import comb
from typing import Any

import numpy as np

from .bootstrap import LEVEL, SAMPLES, GroupDraws, percentile_interval

RECALL_AT = (1, 5, 10)
# Cosines closer than this are a tie, and a tie counts against the model: embeddings that collapsed to one
# point, equal up to rounding, must not look like a perfect model because the right row happened to come
# first.
TIE = 1e-6
# Two rows of one caption id must carry one text; half precision and padding move its cosine by far less than
# this.
SAME_TEXT = 0.01


def retrieval_metrics(
    image_embeds: Any,
    text_embeds: Any,
    caption_ids: Sequence[Hashable] | np.ndarray,
    case_ids: Sequence[Hashable] | None = None,
) -> dict[str, dict[str, Any]]:
    """Recall, median rank and chance for image → text and text → image.

    Args:
        image_embeds: (N, D) torch tensor or array; need not be normalised, cosine similarity is used.
        text_embeds: (N, D), row i is the embedding of the caption of image i.
        caption_ids: (N,) ids; rows with one id share one caption.
        case_ids: (N,) ids; with them, each recall has its interval: `recall@1_interval`, … are [low, high], 95 %
            bootstrap over cases. A caption that several cases share counts with the first of them. The candidates
            stay the same in every sample.

    Returns:
        {"image_to_text": {...}, "text_to_image": {...}}, each with `recall@1`, `recall@5`, `recall@10` in [0,
        1], `median_rank` (best is 1), `chance@1`, `chance@5`, `chance@10` (exact expected recall of a random
        order), `queries` and `candidates`.

    Raises:
        ValueError: shapes that do not fit, no rows, NaN or infinity, an all-zero embedding, a missing caption
            id, or rows of one caption id whose text embeddings are not the same text.
    """
    images, texts = unit_rows("image_embeds", image_embeds), unit_rows("text_embeds", text_embeds)
    if images.shape != texts.shape or len(caption_ids) != len(images):
        raise ValueError(
            f"image_embeds {images.shape}, text_embeds {texts.shape} and {len(caption_ids)} caption_ids "
            "do not fit: expected (N, D), (N, D) and N."
        )
    if case_ids is not None and len(case_ids) != len(images):
        raise ValueError(f"{len(case_ids)} case_ids and {len(images)} pairs do not fit: expected one each.")
    caption_of, first = group_rows(caption_ids)
    _check_one_text_each(texts, caption_of, first, caption_ids)
    scores = images @ texts[first].T  # (N images, U captions)
    own = caption_of[:, None] == np.arange(len(first))[None, :]  # (N, U): this image belongs to this caption
    sizes = own.sum(axis=0)  # images of every caption
    image_ranks, caption_ranks = right_ranks(scores, own), right_ranks(scores.T, own.T)
    result = {
        "image_to_text": _summary(image_ranks, len(first), np.ones(len(images), dtype=int)),
        "text_to_image": _summary(caption_ranks, len(images), sizes),
    }
    if case_ids is not None:
        result["image_to_text"] |= _intervals(image_ranks, case_ids)
        result["text_to_image"] |= _intervals(caption_ranks, [case_ids[row] for row in first])
    return result


def chance_recall(k: int, candidates: int, right: int) -> float:
    """Probability that a random order of `candidates` has one of the `right` ones among its first k.

    1 - C(candidates - right, k) / C(candidates, k): the hypergeometric chance of drawing none of them.
    """
    k = min(k, candidates)
    return 1 - comb(candidates - right, k) / comb(candidates, k)


def right_ranks(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Scores (Q, C) and which candidates are right (Q, C) → (Q,) rank of the best right one, from 1.

    It is 1 + how many wrong ones score as high, ties included.
    """
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    return 1 + ((scores >= best - TIE) & ~right).sum(axis=1)


def _summary(ranks: np.ndarray, candidates: int, right: np.ndarray) -> dict[str, float]:
    """Numbers of one direction; `right` (Q,) says how many candidates are right for every query."""
    sizes, counts = np.unique(right, return_counts=True)
    result: dict[str, float] = {f"recall@{k}": float((ranks <= k).mean()) for k in RECALL_AT}
    result["median_rank"] = float(np.median(ranks))
    for k in RECALL_AT:
        chances = [chance_recall(k, candidates, int(size)) for size in sizes]
        result[f"chance@{k}"] = float(np.average(chances, weights=counts))
    return result | {"queries": len(ranks), "candidates": candidates}


def _intervals(
    ranks: np.ndarray, cases: Sequence[Hashable], samples: int = SAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, list[float]]:
    """Percentile bootstrap [low, high] of every recall; cases are drawn, so that their queries stay together."""
    draws = GroupDraws(group_rows(cases, "case_ids")[0].tolist(), samples, seed)
    found = np.stack([np.ones(len(ranks)), *(ranks <= k for k in RECALL_AT)], axis=1)
    queries, *hits = draws.sums(found, np.arange(len(ranks))).T  # (samples,) each
    return {
        f"recall@{k}_interval": percentile_interval(hit / queries, level)
        for k, hit in zip(RECALL_AT, hits, strict=True)
    }


def group_rows(
    ids: Sequence[Hashable] | np.ndarray, name: str = "caption_ids"
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) number of every row's group by first appearance, and (G,) the row where each appears first.

    Raises ValueError for an id that is missing; `name` says in it what the ids are.
    """
    numbers: dict[Hashable, int] = {}
    first, group_of = [], []
    for row, group in enumerate(ids.tolist() if hasattr(ids, "tolist") else ids):
        if group is None or group != group:
            raise ValueError(f"{name}[{row}] is {group!r}: every pair needs one.")
        if group not in numbers:
            numbers[group] = len(numbers)
            first.append(row)
        group_of.append(numbers[group])
    return np.array(group_of), np.array(first)


def _check_one_text_each(texts: np.ndarray, caption_of: np.ndarray, first: np.ndarray, ids: Sequence) -> None:
    cosine = (texts * texts[first][caption_of]).sum(axis=1)
    different = np.flatnonzero(cosine < 1 - SAME_TEXT)
    if different.size:
        row = int(different[0])
        raise ValueError(
            f"text_embeds[{row}] and text_embeds[{int(first[caption_of[row]])}] share caption id "
            f"{ids[row]!r} but are different texts: expected one caption for one id, embedded in eval mode."
        )


def unit_rows(name: str, embeds: Any) -> np.ndarray:
    """(N, D) tensor or array → float64 rows of length 1.

    Raises ValueError for another shape, no rows, NaN or infinity, or a row of zeros; `name` says in it what they are.
    """
    if hasattr(embeds, "detach"):  # torch, without importing it; .float() because numpy has no bfloat16
        embeds = embeds.detach().float().cpu().numpy()
    rows = np.asarray(embeds, dtype=np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"{name} has shape {rows.shape}: expected (N, D) with at least one row.")
    if not np.isfinite(rows).all():
        raise ValueError(
            f"{name} has NaN or infinite values: the model diverged or overflowed its precision."
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"{name}[{int(np.argmin(lengths))}] is all zero: it has no direction to compare.")
    return rows / lengths
