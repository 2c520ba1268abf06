"""Extract image-caption pairs from atlas PDFs, with a text layer or scanned."""

import argparse
import json
import tempfile
from pathlib import Path

import datasets
from datasets.exceptions import DatasetGenerationError

from dataset_builders.atlas.pdf import open_pdf
from dataset_builders.atlas.truth import load_truth, score_pairs
from dataset_builders.atlas_pairs import extract_pairs
from dataset_builders.records import PAIR_FEATURES
from training.cli import ScriptParser, run_script


def main() -> None:
    args = parse_args()
    check(args)
    datasets.disable_progress_bars()  # the pages' own bar says how far it is
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output.parent, prefix=f".{args.output.name}-") as work:
        pairs = read_all(args.pdf, args.processes, Path(work) / "cache")
        report = {"pairs": len(pairs), "pdfs": score_all(pairs, args.pdf, args.truth)}
        folder = Path(work) / "pairs"
        pairs.save_to_disk(str(folder))
        (folder / "extraction.json").write_text(json.dumps(report, indent=2, ensure_ascii=False))
        folder.rename(args.output)
    tell(report, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The output is a folder for datasets.load_from_disk with the columns image, caption, caption_id (the "
        "same for all images of one caption), case_id (what a split must not cut), figure, page, source. "
        "extraction.json in it counts the pairs of each PDF.",
    )
    parser.add_argument("--pdf", required=True, nargs="+", type=Path, help="one atlas or more")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--truth", nargs="+", type=Path, help="what was planted in each phantom PDF (….truth.json)"
    )
    parser.add_argument(
        "--processes", type=int, default=None, help="scanned pages read side by side (one per CPU)"
    )
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before an hour of reading."""
    if args.output.exists():
        raise ValueError(f"{args.output} exists already; remove it, or choose another --output.")
    if args.truth and len(args.truth) != len(args.pdf):
        raise ValueError(
            f"{len(args.pdf)} PDFs and {len(args.truth)} truth files were given; expected one each."
        )
    stems = [path.stem for path in args.pdf]
    if len(set(stems)) < len(stems):
        raise ValueError(
            f"two PDFs have the same name ({', '.join(stems)}); rename one, as captions are told by it."
        )
    for path in args.pdf:
        open_pdf(path).close()
    for path in args.truth or ():
        load_truth(path)


def read_all(pdfs: list[Path], processes: int | None, cache: Path) -> datasets.Dataset:
    """All pairs of all PDFs; they go through a file, since an atlas may be larger than the memory."""

    def pairs():
        for path in pdfs:
            yield from extract_pairs(path, processes=processes, progress=True)

    try:
        return datasets.Dataset.from_generator(
            pairs, features=PAIR_FEATURES, cache_dir=str(cache), fingerprint="pairs"
        )
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None


def score_all(pairs: datasets.Dataset, pdfs: list[Path], truths: list[Path] | None) -> dict[str, dict]:
    """Pairs, figures and, where the truth is known, how many of the planted pairs were found right."""
    sources = pairs["source"]
    report = {}
    for i, path in enumerate(pdfs):
        own = pairs.select([row for row, source in enumerate(sources) if source == path.stem])
        report[path.stem] = {"pairs": len(own), "captions": len(set(own["caption_id"]))}
        if truths:
            report[path.stem]["truth"] = score_pairs(own, load_truth(truths[i]))
    return report


def tell(report: dict, output: Path) -> None:
    print(f"{output}: {report['pairs']} image-caption pairs")
    for name, pdf in report["pdfs"].items():
        line = f"  {name}: {pdf['pairs']} pairs of {pdf['captions']} captions"
        if "truth" in pdf:
            truth = pdf["truth"]
            line += f"; of {truth['planted']} planted (phantom) pairs {truth['right']} are right"
            line += (
                f" ({truth['right_fraction']:.1%}), character error rate {truth['character_error_rate']:.2%}"
            )
        print(line)


if __name__ == "__main__":
    run_script(main)
