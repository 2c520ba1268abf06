"""Build one data set of labelled mammograms from an archive as it was downloaded."""

import argparse
import os
from pathlib import Path

from dataset_builders.birads import BIRADS
from dataset_builders.building import BUILDERS, save_dataset
from training.cli import ScriptParser, run_script


def main() -> None:
    args = parse_args()
    about = save_dataset(
        args.name,
        args.data,
        args.output,
        num_proc=args.processes if args.processes > 1 else None,
        crop=not args.no_crop,
        limits=dict(args.limit),
        seed=args.seed,
    )
    tell(about, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The output is a folder for datasets.load_from_disk, with the columns image (8-bit grey, cropped to the "
        "breast), patient_id, exam_id, laterality, view, birads, density, source. build_report.json in it "
        "counts them, says why images were left out and names every one that could not be read. The paper's EMBED: "
        "--limit 1=25000 2=25000.",
    )
    parser.add_argument("--name", required=True, choices=sorted(BUILDERS), help="which archive it is")
    parser.add_argument("--data", required=True, type=Path, help="the archive's folder, as downloaded")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument("--no-crop", action="store_true", help="keep whole images")
    parser.add_argument(
        "--limit",
        nargs="*",
        type=class_limit,
        default=[],
        metavar="BIRADS=IMAGES",
        help="at most so many images of a BI-RADS class, patient by patient",
    )
    parser.add_argument("--seed", type=int, default=0, help="decides whose images a limit leaves out (0)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="read images side by side (one per CPU)"
    )
    return parser.parse_args()


def class_limit(text: str) -> tuple[int, int]:
    birads, _, images = text.partition("=")
    if not (birads.isdecimal() and images.isdecimal() and int(birads) in BIRADS and int(images)):
        raise argparse.ArgumentTypeError(f"{text!r} is no limit; expected BIRADS=IMAGES such as 1=25000")
    return int(birads), int(images)


def tell(about: dict, output: Path) -> None:
    print(f"{output}: {about['images']} images of {about['patients']} patients")
    for name in ("birads", "density", "view"):
        print(f"  {name}: " + ", ".join(f"{label} × {count}" for label, count in about[name].items()))
    for reason, count in about["left_out"].items():
        print(f"  {count} images left out: {reason}")
    for remark, count in about["remarks"].items():
        print(f"  {count} {remark}")
    unreadable = about["unreadable"]
    if unreadable:
        print(f"  {len(unreadable)} images cannot be read; build_report.json names them. The first:")
        print(f"  {unreadable[0]['reason']}")


if __name__ == "__main__":
    run_script(main)
