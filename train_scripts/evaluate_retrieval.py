"""Measure how well a model finds the caption of an image, and the images of a caption, among image–caption pairs."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from transformers.utils.logging import disable_progress_bar

from evaluation.examples import retrieval_examples, write_examples
from evaluation.report_tables import retrieval_lines
from evaluation.retrieval import retrieval_metrics
from training.cli import ScriptParser, run_script
from training.embedding import load_aligned
from training.pair_embeddings import embed_pairs, load_pairs, model_fingerprint
from training.release import new_folder, refuse_existing
from training.runs import RESULTS, held_out_rows, write_json

EXAMPLES = "examples.html"


def main() -> None:
    args = parse_args()
    refuse_existing(args.output)
    datasets.disable_progress_bars()
    disable_progress_bar()  # of the weights, which take no time
    pairs = load_pairs(args.pairs)
    if args.held_out:
        pairs = pairs.select(held_out_rows(args.held_out, pairs["case_id"][:]))
    model, processor = load_aligned(args.model)
    about = describe(args, pairs, model_fingerprint(model, processor))
    embeddings = embed_pairs(model, processor, pairs, args.batch_size)
    retrieval = retrieval_metrics(*embeddings, pairs["case_id"][:])
    examples = retrieval_examples(pairs, *embeddings)
    write_results(args.output, {**about, "retrieval": retrieval}, examples)
    tell(args.output, about, retrieval)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="Pairs that the model was trained on flatter it. pretrain.py keeps a tenth of the cases out of "
        "training: give its output folder as --held-out, and the very same --pairs, to measure on those cases alone. "
        "Captions of one text count as one, images that share a caption are all right for it, and intervals are over "
        "cases. "
        f"OUTPUT gets {RESULTS} and {EXAMPLES}, eight images beside their three nearest captions.",
    )
    parser.add_argument(
        "--model", required=True, help="folder of pretrain.py or export_release.py, or a Hub id"
    )
    parser.add_argument("--pairs", required=True, nargs="+", type=Path, help="folders of extract_pairs.py")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="RUN",
        help="output folder of pretrain.py: measure on the cases alone that this run held out",
    )
    parser.add_argument(
        "--batch-size", type=int, default=16, help="images or captions embedded at a time (16)"
    )
    parser.add_argument(
        "--phantom", action="store_true", help="the pairs are phantoms: say so wherever a score is written"
    )
    args = parser.parse_args()
    if args.batch_size < 1:
        parser.error(f"--batch-size is {args.batch_size}; expected 1 or more")
    return args


def describe(args: argparse.Namespace, pairs: datasets.Dataset, fingerprint: str) -> dict[str, Any]:
    """What the scores are of, and whether they can be believed."""
    seen, note = may_be_trained_on(args, fingerprint)
    return {
        "model": args.model,
        "fingerprint": fingerprint,
        "pairs": [str(folder) for folder in args.pairs],
        "held_out_by": str(args.held_out) if args.held_out else None,
        "may_be_trained_on": seen,
        "note": note,
        "phantom": args.phantom,
        "n_pairs": len(pairs),
        "n_cases": len(set(pairs["case_id"])),
    }


def may_be_trained_on(args: argparse.Namespace, fingerprint: str) -> tuple[bool, str]:
    """Whether the model may have been trained on the pairs, and the sentence that says so."""
    if not args.held_out:
        return True, (
            "The model may have been trained on these pairs, which would flatter it; "
            "--held-out measures on the cases that a pretraining run held out."
        )
    if fingerprint != model_fingerprint(*load_aligned(args.held_out)):
        return True, (
            f"{args.held_out} held these cases out, but {args.model} is another model, "
            "which may have been trained on them."
        )
    return False, "These cases were held out when the model was pretrained."


def write_results(output: Path, results: dict[str, Any], examples: Sequence) -> None:
    """The folder, whole or not at all."""
    with new_folder(output) as folder:
        write_json(folder / RESULTS, results)
        notes, phantom = [results["note"]], results["phantom"]
        write_examples(folder / EXAMPLES, examples, results["retrieval"], notes=notes, phantom=phantom)


def tell(output: Path, about: dict[str, Any], retrieval: dict[str, Any]) -> None:
    if about["phantom"]:
        print("PHANTOM: images and captions are synthetic; the scores say nothing about real mammograms.")
    print(f"{about['n_pairs']} pairs of {about['n_cases']} cases. {about['note']}")
    for line in retrieval_lines(retrieval):
        print(line)
    print(f"{output / RESULTS} has the numbers, {output / EXAMPLES} shows examples.")


if __name__ == "__main__":
    run_script(main)
