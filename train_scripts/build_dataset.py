"""Build one data set of labelled mammograms from an archive as it was downloaded.

    python train_scripts/build_dataset.py --dataset embed --data-dir /data/EMBED --describe
    python train_scripts/build_dataset.py --dataset embed --data-dir /data/EMBED --output records

Images are encoded once, into the cache folder: a build that was interrupted, or that is done again with other labels,
reads only what is missing. --dataset NAME --help lists the options of that archive's builder.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from dataset_builders.builder_options import add_flags, option_fields
from dataset_builders.building import BUILDERS, FORMATS, new_builder, save_dataset
from dataset_builders.engines import ENGINES
from dataset_builders.publishing import open_private, push_private
from dataset_builders.record_builder import FEW, SHARE, RecordConfig
from training.cli import ScriptParser, run_script


def main() -> None:
    args = parse_args()
    if args.describe:
        print(new_builder(args.dataset, args.data_dir, args.cache_dir, **builder_options(args)).describe())
        return
    if args.push_to_hub:
        open_private(args.push_to_hub)  # or fail before the work
    about = save_dataset(
        args.dataset,
        args.data_dir,
        args.output,
        file_format=args.format,
        phantom=args.phantom,
        cache_dir=args.cache_dir,
        num_proc=args.processes,
        engine=args.engine,
        max_unreadable=args.max_unreadable,
        **builder_options(args),
    )
    tell(about, args.output)
    if args.push_to_hub:
        print(f"uploaded to {push_private(args.output, args.push_to_hub)}, which is private")


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="OUTPUT is a folder for datasets.load_from_disk (Parquet: for datasets.load_dataset) with the columns "
        "image (grey PNG), patient_id, exam_id, laterality, view, birads, density, source, and what the archive alone "
        "has. build_report.json in it counts them, says why images were left out and names every one that could not "
        "be read; README.md is its card.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", required=True, choices=sorted(BUILDERS), help="which archive it is")
    parser.add_argument("--data-dir", type=Path, help="the archive's folder, as downloaded")
    parser.add_argument("--output", type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--describe", action="store_true", help="say what each rule leaves out, open no image, write nothing"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="folder",
        help="folder (Arrow), or Parquet with the images in it; training reads both (default: %(default)s)",
    )
    parser.add_argument(
        "--push-to-hub",
        metavar="NAME",
        help="then upload it to this private repository of the Hub (with --format parquet)",
    )
    parser.add_argument(
        "--phantom", action="store_true", help="the archive holds phantoms: nobody's terms bind what is built"
    )
    parser.add_argument(
        "--cache-dir", type=Path, help="where encoded images are kept (default: the cache of datasets)"
    )
    parser.add_argument(
        "--max-unreadable",
        type=float,
        metavar="SHARE",
        help=f"of the images, above which the build fails (default: {SHARE}, or {FEW} images if that is more)",
    )
    parser.add_argument(
        "--engine", choices=sorted(ENGINES), default="local", help="ray: on a Ray cluster (default: local)"
    )
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=cores, help="that encode (default: one a core)")
    add_flags(parser, config_class())
    args = parser.parse_args()
    check(parser, args)
    return args


def config_class() -> type[RecordConfig]:
    """The configuration of the builder that the command line names; of all builders where it names none."""
    words = [part for word in sys.argv[1:] for part in word.split("=", 1)]
    names = [value for word, value in zip(words, words[1:], strict=False) if word == "--dataset"]
    return BUILDERS[names[-1]].BUILDER_CONFIG_CLASS if names and names[-1] in BUILDERS else RecordConfig


def check(parser: ScriptParser, args: argparse.Namespace) -> None:
    if not args.output and not args.describe:
        parser.error("no output folder was given; name one with --output, or ask with --describe")
    if args.push_to_hub and args.format != "parquet":
        parser.error("the Hub gets Parquet; give --format parquet beside --push-to-hub")
    if args.processes < 1:
        parser.error(f"--processes is {args.processes}; expected 1 or more")


def builder_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the builder that were given."""
    names = (entry.name for entry in option_fields(config_class()))
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def tell(about: dict, output: Path) -> None:
    print(f"{output}: {about['images']} images of {about['patients']} patients")
    for name in ("birads", "density", "view"):
        print(f"  {name}: " + ", ".join(f"{label} × {count}" for label, count in about[name].items()))
    for reason, count in about["left_out"].items():
        print(f"  {count} images left out: {reason}")
    for remark, count in about["remarks"].items():
        print(f"  {count} {remark}")
    if about["terms"]:
        print(f"  terms: {about['terms']['licence']}; publishing weights: {about['terms']['weights']}")
    unreadable = about["unreadable"]
    if unreadable:
        print(f"  {len(unreadable)} images cannot be read; build_report.json names them. The first:")
        print(f"  {unreadable[0]['reason']}")


if __name__ == "__main__":
    run_script(main)
