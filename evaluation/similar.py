"""An index of precomputed embeddings: the captions or images of a collection that are nearest to an image or a text.

An index is a folder for `datasets.load_from_disk`: a row for every image–caption pair, with the columns of the pairs
(the images themselves only if asked for) and the two embeddings. Beside the rows lie an exact FAISS index of each
embedding column, written by `datasets`, and index.json, which says what model made them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import datasets
import numpy as np
from datasets import List, Value

from .retrieval import TIE, group_rows, unit_rows

ABOUT = "index.json"
COLUMNS = {"images": "image_embedding", "captions": "caption_embedding"}
BATCH = 256  # rows that are in memory at a time while an index is written
MAKER = "train_scripts/build_index.py"


@dataclass(frozen=True)
class EmbeddingIndex:
    """An index as `open_index` gives it.

    table: the rows, on disk, with FAISS indices named as their columns. pairs: the same rows without embeddings.
    about: `model` (a name), `fingerprint` (of its weights and image preparation) and whatever else was noted when it
    was made.
    """

    table: datasets.Dataset
    pairs: datasets.Dataset
    about: Mapping[str, Any]

    @property
    def width(self) -> int:
        """Numbers in an embedding."""
        return self.table.features[COLUMNS["images"]].length

    @cached_property
    def caption_of(self) -> np.ndarray:
        """(N,) number of every row's caption, the same where the text is the same."""
        return group_rows(self.pairs["caption"][:])[0]

    def check_model(self, fingerprint: str, name: str) -> None:
        """Refuse a model that did not make this index; `name` is how the sentence calls it.

        Raises:
            ValueError: another fingerprint.
        """
        if fingerprint != self.about["fingerprint"]:
            raise ValueError(
                f"{name} has other weights, or prepares images otherwise, than {self.about['model']}, which made the "
                f"index, so their embeddings cannot be compared; make an index of its own with {MAKER}."
            )


@dataclass(frozen=True)
class Hit:
    """A row that was found. rank: from 1; score: cosine similarity, −1 to 1; row: its number in the index; fields: its
    columns but the embeddings, such as caption, figure, page and source."""

    rank: int
    score: float
    row: int
    fields: dict[str, Any]


def find_similar(
    index: EmbeddingIndex,
    query_embeddings: Any,
    k: int = 5,
    among: Literal["captions", "images"] = "captions",
) -> list[list[Hit]]:
    """The k nearest captions, or images, of every query: an exact search by cosine similarity.

    Args:
        index: see `open_index`.
        query_embeddings: (Q, P) torch tensor or array, of images or of texts; need not be normalised.
        k: how many hits a query gets; fewer where the index holds fewer.
        among: "captions" gives every caption once, by the first of its rows, however many images share it; "images"
            gives every image.

    Returns:
        Q lists of hits, best first; of equal scores, the lower row comes first. Scores are computed in double
        precision, so they are those of the stored float32 embeddings within 1e-6.

    Raises:
        ValueError: queries of another width, NaN or all zero; k below 1; an unknown `among`.
    """
    if among not in COLUMNS:
        raise ValueError(f"among is {among!r}; expected {' or '.join(COLUMNS)}.")
    if k < 1:
        raise ValueError(f"k is {k}; expected 1 or more.")
    queries = unit_rows("query_embeddings", query_embeddings)
    if queries.shape[1] != index.width:
        raise ValueError(
            f"the queries are {queries.shape[1]} numbers wide and the index, made by {index.about['model']}, "
            f"{index.width}; embed them with the model that made the index."
        )
    return [_hits(index, query, k, among) for query in queries]


def _hits(index: EmbeddingIndex, query: np.ndarray, k: int, among: str) -> list[Hit]:
    # No caption has more rows than `shared`, so k times as many rows hold at least k captions.
    shared = int(np.bincount(index.caption_of).max()) if among == "captions" else 1
    rows, scores = _nearest(index.table.get_index(COLUMNS[among]).faiss_index, query, k * shared)
    if among == "captions":
        _, first = np.unique(index.caption_of[rows], return_index=True)
        rows, scores = rows[np.sort(first)], scores[np.sort(first)]
    rows, scores = rows[:k], scores[:k]
    found = index.pairs[rows.tolist()]
    fields = [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    return [
        Hit(rank, float(score), int(row), own)
        for rank, (score, row, own) in enumerate(zip(scores, rows, fields, strict=True), 1)
    ]


def _nearest(flat: Any, query: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and cosines of the `wanted` nearest and of all that tie with the last of them, best and lowest row first.

    FAISS leaves open which of several equal scores it gives, so it is asked a second time for all that reach the last.
    """
    narrow = query.astype(np.float32)[None]
    last = flat.search(narrow, min(wanted, flat.ntotal))[0][0, -1]
    rows = np.sort(flat.range_search(narrow, float(last) - TIE)[2])
    scores = (flat.reconstruct_batch(rows).astype(np.float64) * query).sum(axis=1)
    order = np.argsort(-scores, kind="stable")
    return rows[order], scores[order]


def open_index(folder: str | Path) -> EmbeddingIndex:
    """An index from its folder. The rows stay on disk, the embeddings are read into memory.

    Raises FileNotFoundError where there is none, ValueError where it is not whole.
    """
    folder = Path(folder)
    if not (folder / ABOUT).is_file():
        raise FileNotFoundError(f"{folder} holds no index of embeddings; make one with {MAKER}.")
    _faiss()
    about = _read_about(folder)
    table = _load_rows(folder)
    missing = [name for name in ("caption", *COLUMNS.values()) if name not in table.column_names]
    if missing:
        raise ValueError(f"{folder} has no column {missing[0]!r}; make it anew with {MAKER}.")
    pairs = table.remove_columns(list(COLUMNS.values()))
    for column in COLUMNS.values():
        _load_faiss(table, column, folder / f"{column}.faiss")
    return EmbeddingIndex(table, pairs, about)


def _load_rows(folder: Path) -> datasets.Dataset:
    try:
        return datasets.load_from_disk(str(folder))
    except ValueError as error:  # Arrow's, which names no file
        raise ValueError(f"the rows of {folder} are damaged ({error}); make it anew with {MAKER}.") from error


def _load_faiss(table: datasets.Dataset, column: str, file: Path) -> None:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing, so the index is not whole; make it anew with {MAKER}.")
    try:
        table.load_faiss_index(
            column, str(file)
        )  # a ValueError for another number of embeddings than of rows
        right = table.get_index(column).faiss_index.d == table.features[column].length
    except (RuntimeError, ValueError):
        right = False
    if not right:
        raise ValueError(
            f"{file} is damaged or does not belong to the rows beside it; make the index anew with {MAKER}."
        )


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return {**about, "model": about["model"], "fingerprint": about["fingerprint"]}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{folder / ABOUT} does not name a model; make it anew with {MAKER}.") from error


def write_index(
    folder: str | Path,
    pairs: datasets.Dataset,
    image_embeddings: Any,
    caption_embeddings: Any,
    about: Mapping[str, Any],
) -> None:
    """Write an index, whole or not at all.

    Args:
        folder: must not exist.
        pairs: N rows with `caption`, and whatever columns hits are to show; read from disk a batch at a time.
        image_embeddings, caption_embeddings: (N, P) torch tensors or arrays, row i of the image and of the caption of
            pair i; need not be normalised.
        about: `model` and `fingerprint`, see EmbeddingIndex, and what else is worth noting, as JSON.

    Raises:
        ValueError: the folder exists, or embeddings that do not fit the pairs, are NaN or all zero.
    """
    folder, faiss = Path(folder), _faiss()
    if folder.exists():
        raise ValueError(f"{folder} exists already; remove it, or choose another folder for the index.")
    given = {"images": image_embeddings, "captions": caption_embeddings}
    embeds = {COLUMNS[name]: unit_rows(name, rows).astype(np.float32) for name, rows in given.items()}
    shapes = {rows.shape for rows in embeds.values()}
    if len(shapes) != 1 or len(embeds[COLUMNS["images"]]) != len(pairs):
        raise ValueError(
            f"{len(pairs)} pairs and embeddings {sorted(shapes)} do not fit; expected (N, P) of both."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as work:
        whole = Path(work) / "index"
        _with_columns(pairs, embeds, Path(work) / "rows.arrow").save_to_disk(str(whole))
        table = datasets.load_from_disk(str(whole))
        for column in embeds:
            table.add_faiss_index(column, metric_type=faiss.METRIC_INNER_PRODUCT)
            table.save_faiss_index(column, str(whole / f"{column}.faiss"))
        (whole / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        whole.rename(folder)


def _with_columns(pairs: datasets.Dataset, columns: Mapping[str, np.ndarray], file: Path) -> datasets.Dataset:
    """The pairs with embedding columns, (N, P) float32 each, in an Arrow file; images pass through undecoded."""
    kinds = {name: List(Value("float32"), length=rows.shape[1]) for name, rows in columns.items()}
    return pairs.map(
        lambda _, numbers: {name: rows[numbers] for name, rows in columns.items()},
        with_indices=True,
        batched=True,
        batch_size=BATCH,
        writer_batch_size=BATCH,
        features=datasets.Features({**pairs.features, **kinds}),
        cache_file_name=str(file),
        new_fingerprint="index",  # the file is this index's alone, so nothing needs to be found again
        desc="writing the index",
    )


def _faiss() -> ModuleType:
    try:
        import faiss
    except ImportError as error:
        raise ValueError("an index of embeddings needs faiss; pip install faiss-cpu.") from error
    return faiss
