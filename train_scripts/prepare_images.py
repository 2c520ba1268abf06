"""Turn folders of mammograms into cropped 8- or 16-bit PNGs, with a manifest that has a row a file.

    python train_scripts/prepare_images.py --input archive/ --output prepared

OUTPUT/images has the pictures, OUTPUT/manifest.csv what is known of each: its box, the tags that are kept, warnings, or
why it could not be read. The same command goes on where an interrupted one stopped, and tries bad files again.
"""

import argparse
import os
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from dataset_builders.mammogram_files import list_files
from dataset_builders.prepared_images import MANIFEST, Preparation, open_output, prepare_files
from processing.dicom import MODES
from training.cli import ScriptParser, run_script
from training.image_arguments import add_frame_argument, add_input_argument


def main() -> None:
    args = parse_args()
    files = list_files(args.input)
    how = Preparation(args.bits, args.crop, args.mode, args.frame, args.salt)
    done = open_output(args.output, how)
    todo = {name: path for name, path in files.items() if name not in done}
    rows = prepare_files(todo, args.output, how, workers=args.workers)
    counts = Counter()
    for row in tqdm(rows, total=len(files), initial=len(files) - len(todo), desc="preparing", unit="file"):
        counts.update(kind for kind in ("error", "warnings") if row.get(kind))
    report(args.output, len(files), len(todo), counts)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="Names, dates and numbers of patients stay behind: of a DICOM file's text, view, laterality, vendor and "
        "the like are kept. Paths are kept as they are.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_input_argument(parser)
    parser.add_argument("--output", required=True, type=Path, help="the folder to write, or to go on with")
    parser.add_argument(
        "--bits", type=int, choices=(8, 16), default=16, help="of the PNGs (default: %(default)s)"
    )
    parser.add_argument(
        "--crop", action=argparse.BooleanOptionalAction, default=True, help="keep the breast alone (default)"
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="min_max",
        help="of DICOM: all values, as published, or the file's own window (default: %(default)s)",
    )
    add_frame_argument(parser)
    parser.add_argument(
        "--salt", help="a secret text; with it, the manifest has pseudonyms of patients and studies"
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (default: one a core)"
    )
    args = parser.parse_args()
    if args.workers < 1:
        parser.error(f"--workers is {args.workers}; expected 1 or more")
    return args


def report(output: Path, files: int, tried: int, counts: Counter) -> None:
    if counts["error"] == files:
        raise ValueError(
            f"none of {files} files could be read; the column 'error' of {output / MANIFEST} says why."
        )
    print(
        f"{output}: {files - counts['error']} of {files} files prepared, {files - tried} of them before; "
        f"{counts['warnings']} with a warning, {counts['error']} could not be read"
    )


if __name__ == "__main__":
    run_script(main)
