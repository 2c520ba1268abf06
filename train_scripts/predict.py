"""Read mammograms with a release: BI-RADS and breast density of images, breasts and exams, as tables and a page.

    python train_scripts/predict.py --model mamclip --input archive/ LCC.dcm --output results

OUTPUT gets predictions.csv and predictions.jsonl (a row a file), breasts.csv, exams.csv, report.html and about.json.
The same command goes on where an interrupted one stopped.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers.utils.logging import disable_progress_bar

from dataset_builders.mammogram_files import list_files
from evaluation.notices import RESEARCH
from evaluation.pooling import RULES
from evaluation.similar import open_index
from inference.captions import NearestCaptions
from inference.classifier import DTYPES, Classifier
from inference.journal import Journal, files_fingerprint, finished, model_fingerprint
from inference.predicting import batch_rows
from inference.provenance import from_phantoms, notes_on, notice_on
from inference.reading import EXAMS, ReadingOptions, deadly_files, read_batches
from inference.report import REPORT, write_page_of
from inference.tables import CSV, numbered, write_tables
from training.cli import ScriptParser, run_script
from training.embedding import load_aligned
from training.image_arguments import add_frame_argument, add_input_argument
from training.pair_embeddings import model_fingerprint as aligned_fingerprint

PREFETCHED = 2  # batches that a worker of torch's DataLoader reads ahead


def main() -> None:
    args = parse_args()
    disable_progress_bar()  # of the weights, which take no time
    files = input_files(args)
    classifier = Classifier.open(args.model, device=args.device, dtype=args.dtype, onnx=args.onnx)
    captions = open_captions(args)
    options = decisive_options(args, files, str(classifier.model.device), captions)
    about = finished(args.output, options)
    if about is None:
        journal = Journal.open(args.output, options, args.batch_size)
        predict(args, files, classifier, captions, journal)
        about = write_results(args, classifier, captions, journal)
    else:
        print(f"{args.output} is finished already; nothing to do.")
    tell(args.output, about)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="A file that cannot be read gets its reason in the column 'error'; the exit code is 2 only if none can. "
        "Patients and exams are numbered; no tag that identifies them is written, and names of files are kept as they "
        f"are. {RESEARCH}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        help="folder of export_release.py or export_onnx.py with a classifier",
    )
    add_input_argument(parser)
    parser.add_argument("--output", required=True, type=Path, help="the folder to write, or to go on with")
    parser.add_argument(
        "--index", type=Path, help="folder of build_index.py: show the nearest captions of each image"
    )
    parser.add_argument("--captions", type=int, default=3, help="how many of them (default: %(default)s)")
    parser.add_argument(
        "--exams",
        choices=EXAMS,
        default="tags",
        help="what tells exams: DICOM tags, and names of pictures (default), or the folder that files lie in",
    )
    parser.add_argument(
        "--pooling",
        choices=RULES,
        default="mean",
        help="scores of breasts and exams from those of images: see docs/evaluation.md (default: %(default)s)",
    )
    add_frame_argument(parser)
    parser.add_argument(
        "--any-modality",
        action="store_true",
        help="read grey DICOM images that are no mammograms, with a warning",
    )
    add_computing_arguments(parser)
    add_page_arguments(parser)
    return checked(parser, parser.parse_args())


def add_computing_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="float32", help="of the network (default: %(default)s)"
    )
    parser.add_argument(
        "--onnx", type=Path, help="folder of export_onnx.py: compute with it instead of the weights"
    )
    parser.add_argument("--batch-size", type=int, default=4, help="images at a time (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that read ahead, for GPUs (default: %(default)s)"
    )


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report-images", type=int, default=200, help="pictures in the page, at most (default: %(default)s)"
    )
    parser.add_argument(
        "--credit", default="", help="whose images they are and under which licence, for the page"
    )


def checked(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    """The arguments, where their numbers can be."""
    for name, least in (("batch_size", 1), ("captions", 1), ("workers", 0), ("report_images", 0)):
        if getattr(args, name) < least:
            parser.error(
                f"--{name.replace('_', '-')} is {getattr(args, name)}, but it must be at least {least}"
            )
    return args


def input_files(args: argparse.Namespace) -> dict[str, Path]:
    """The files to read, by name; what this script writes is not among them."""
    output = args.output.absolute()
    files = {name: path for name, path in list_files(args.input).items() if not path.is_relative_to(output)}
    if not files:
        raise ValueError(
            f"there is no file in {', '.join(map(str, args.input))} beside --output; expected mammograms."
        )
    return files


def open_captions(args: argparse.Namespace) -> NearestCaptions | None:
    if args.index is None:
        return None
    index = open_index(args.index)
    model, processor = load_aligned(args.model)
    index.check_model(aligned_fingerprint(model, processor), str(args.model))
    return NearestCaptions(index, model, args.captions)


def decisive_options(
    args: argparse.Namespace, files: dict[str, Path], device: str, captions: NearestCaptions | None
) -> dict[str, Any]:
    """All that decides what the tables hold, as JSON has it, by the option that a user would have to change."""
    return {
        "--model": model_fingerprint(args.model),
        "--onnx": args.onnx and model_fingerprint(args.onnx),
        "--input": files_fingerprint(files),
        "--index": captions and [captions.index.about["fingerprint"], captions.index.table._fingerprint],
        "--captions": captions and args.captions,
        "--exams": args.exams,
        "--pooling": args.pooling,
        "--frame": args.frame,
        "--any-modality": args.any_modality,
        "--device": device,
        "--dtype": args.dtype,
        "--batch-size": args.batch_size,
        "--report-images": args.report_images,
        "--credit": args.credit,
        "count": len(files),
    }


def predict(args: argparse.Namespace, files: dict[str, Path], classifier, captions, journal: Journal) -> None:
    """Note a row for every file that has none yet."""
    how = ReadingOptions(journal.salt, args.exams, args.frame, args.any_modality, args.report_images)
    batches = read_batches(
        files,
        classifier.processor,
        how,
        batch_size=args.batch_size,
        start=journal.done,
        workers=args.workers,
        deadly=find_deadly(args, files, classifier, how, journal),
    )
    with tqdm(total=len(files), initial=journal.done, desc="predicting", unit="file") as bar:
        for readings in batches:
            pictures = {
                number: one.thumbnail
                for number, one in enumerate(readings, journal.done)
                if one.thumbnail is not None
            }
            journal.append(batch_rows(classifier, readings, captions), pictures)
            bar.update(len(readings))


def find_deadly(args, files: dict[str, Path], classifier, how: ReadingOptions, journal: Journal) -> list[str]:
    """Where a run before ended without getting on: which of the next files may have ended it."""
    if journal.attempts < 2:
        return []
    ahead = args.batch_size * (1 + PREFETCHED * args.workers)
    print(
        "the run before did not get on from here; the next files are first tried one by one", file=sys.stderr
    )
    return list(
        deadly_files(
            dict(islice(files.items(), journal.done, journal.done + ahead)), classifier.processor, how
        )
    )


def write_results(args: argparse.Namespace, classifier, captions, journal: Journal) -> dict[str, Any]:
    """Tables and page from the journal, which is then given up → what about.json says."""
    phantom = from_phantoms(classifier.config)
    tables = write_tables(args.output, journal.rows(), args.pooling, notice_on(phantom))
    about = {
        "note": RESEARCH,
        "model": args.model.resolve().name,
        "phantom": phantom,
        "phantom_captions": bool(captions and captions.index.about.get("phantom")),
        "provenance": classifier.config.provenance,
        "notes": notes_on(classifier.config, exams=args.exams, pooling=args.pooling),
        "credit": args.credit,
        "files": journal.options["count"],
        "errors": tables.counts["error"],
        "warnings": tables.counts["warnings"],
        "breasts": len(tables.breasts),
        "exams": len(tables.exams),
    }
    write_page_of(args.output, numbered(journal.rows()), tables, journal.thumbnail, about, args.report_images)
    journal.finish(about)
    return about


def tell(output: Path, about: dict[str, Any]) -> None:
    if about["errors"] == about["files"]:
        raise ValueError(
            f"no file could be read, of {about['files']}; the column 'error' of {output / CSV} says why."
        )
    if about["phantom"]:
        print(
            "PHANTOM: the model has learnt from synthetic mammograms; its scores of real ones mean nothing."
        )
    print(
        f"{output}: {about['files'] - about['errors']} of {about['files']} files predicted, "
        f"{about['errors']} could not be read, {about['warnings']} with a warning; {about['exams']} exams, "
        f"{about['breasts']} breasts. The page is {output / REPORT}. {RESEARCH}"
    )


if __name__ == "__main__":
    run_script(main)
