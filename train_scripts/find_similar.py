"""Find the captions or images of an index that are nearest to a mammogram or to a text."""

import argparse
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from evaluation.report_tables import place_of
from evaluation.similar import Hit, find_similar, open_index
from processing import read_image
from training.cli import ScriptParser, run_script
from training.embedding import embed_images, embed_texts, load_aligned
from training.pair_embeddings import model_fingerprint

LINE = 100  # characters of a line of a caption


def main() -> None:
    args = parse_args()
    disable_progress_bar()  # of the weights, which take no time
    index = open_index(args.index)
    images = [read_image(path).pixels for path in args.image or ()]
    model, processor = load_aligned(args.model)
    index.check_model(model_fingerprint(model, processor), args.model)
    queries = embed_queries(model, processor, images, args.text)
    among = args.among or ("captions" if images else "images")
    found = find_similar(index, queries, args.k, among)
    names = [str(path) for path in args.image or args.text]
    if args.json:
        results = [{"query": name, "hits": as_json(hits)} for name, hits in zip(names, found, strict=True)]
        about = {"index": str(args.index), "phantom": bool(index.about.get("phantom")), "among": among}
        print(json.dumps({**about, "results": results}, ensure_ascii=False))
        return
    if index.about.get("phantom"):
        print("PHANTOM: the captions are synthetic; the scores mean nothing on a real mammogram.")
    for name, hits in zip(names, found, strict=True):
        print_hits(name, among, hits)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The score is the cosine similarity, at most 1. A caption that several images share is shown once, with "
        "the figure and page of its first image. Research use only: similar is not the same as diagnosed alike.",
    )
    parser.add_argument("--model", required=True, help="the model that made the index")
    parser.add_argument("--index", required=True, type=Path, help="folder of build_index.py")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--image", nargs="+", type=Path, help="mammograms: DICOM, PNG, JPEG or TIFF files")
    query.add_argument("--text", nargs="+", help='texts, each in quotation marks: "spiculated mass"')
    parser.add_argument(
        "--among",
        choices=("captions", "images"),
        help="what to look for (captions for an image, images for a text)",
    )
    parser.add_argument("--k", type=int, default=5, help="how many to show (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    if args.k < 1:
        parser.error(f"--k is {args.k}; expected 1 or more")
    if args.text and not all(text.strip() for text in args.text):
        parser.error("a --text is empty; expected words")
    return args


def embed_queries(model: Any, processor: Any, images: Sequence, texts: Sequence[str] | None) -> Tensor:
    """(Q, P), one at a time: whole mammograms are large."""
    if images:
        return embed_images(model, processor, images, 1)
    return embed_texts(model, processor, texts, 1)


def as_json(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [
        {
            "rank": hit.rank,
            "score": hit.score,
            "row": hit.row,
            **{name: value for name, value in hit.fields.items() if name != "image"},
        }
        for hit in hits
    ]


def print_hits(name: str, among: str, hits: Sequence[Hit]) -> None:
    print(f"{name}: nearest {among}")
    for hit in hits:
        print(f"  {hit.rank:>2}  {hit.score:6.3f}  {place_of(hit.fields)}")
        print(textwrap.indent(textwrap.fill(hit.fields["caption"], LINE, break_on_hyphens=False), " " * 12))


if __name__ == "__main__":
    run_script(main)
