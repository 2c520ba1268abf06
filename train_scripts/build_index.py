"""Embed image–caption pairs once, into an index that find_similar.py searches."""

import argparse
from pathlib import Path

import datasets
from transformers.utils.logging import disable_progress_bar

from evaluation.similar import write_index
from training.cli import ScriptParser, run_script
from training.embedding import load_aligned
from training.pair_embeddings import embed_pairs, load_pairs, model_fingerprint
from training.release import refuse_existing


def main() -> None:
    args = parse_args()
    refuse_existing(args.output)
    datasets.disable_progress_bars()
    disable_progress_bar()  # of the weights, which take no time
    pairs = load_pairs(args.pairs)
    model, processor = load_aligned(args.model)
    images, captions, numbers = embed_pairs(model, processor, pairs, args.batch_size)
    about = {
        "model": args.model,
        "fingerprint": model_fingerprint(model, processor),
        "pairs": [str(folder) for folder in args.pairs],
        "phantom": args.phantom,
        "images": len(pairs),
        "captions": len(set(numbers)),
    }
    rows = pairs if args.keep_images else pairs.remove_columns("image")
    write_index(args.output, rows, images, captions, about)
    print(f"{args.output}: {about['images']} images and {about['captions']} captions, {images.shape[1]} wide")


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The output is a folder for datasets.load_from_disk: the pairs' columns, image_embedding and "
        "caption_embedding, beside them an exact FAISS index of each, and index.json, which names the model. It holds "
        "the captions word for word, so it may be passed on no further than the pairs themselves.",
    )
    parser.add_argument(
        "--model", required=True, help="folder of pretrain.py or export_release.py, or a Hub id"
    )
    parser.add_argument("--pairs", required=True, nargs="+", type=Path, help="folders of extract_pairs.py")
    parser.add_argument("--output", required=True, type=Path, help="the index to write; must not exist")
    parser.add_argument(
        "--keep-images", action="store_true", help="copy the images too, for programs that show them"
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, help="images or captions embedded at a time (16)"
    )
    parser.add_argument(
        "--phantom", action="store_true", help="the pairs are phantoms: say so wherever they are found"
    )
    args = parser.parse_args()
    if args.batch_size < 1:
        parser.error(f"--batch-size is {args.batch_size}; expected 1 or more")
    return args


if __name__ == "__main__":
    run_script(main)
