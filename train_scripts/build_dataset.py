"""Build one data set of labelled mammograms from an archive as it was downloaded."""

import argparse
import json
from pathlib import Path

from dataset_builders.building import BUILDERS, save_dataset
from training.cli import run_script


def main() -> None:
    args = parse_args()
    if args.output.exists():
        raise ValueError(f"{args.output} exists already; remove it, or choose another --output.")
    report = save_dataset(args.name, args.data, args.output, num_proc=args.processes, crop=not args.no_crop)
    (args.output / "build_report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False))
    tell(report, args.output)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="The output is a folder for datasets.load_from_disk, with the columns image (8-bit grey, cropped to the "
        "breast), patient_id, exam_id, laterality, view, birads, density, source. build_report.json in it "
        "counts them and names every image that could not be read.",
    )
    parser.add_argument("--name", required=True, choices=sorted(BUILDERS), help="which archive it is")
    parser.add_argument("--data", required=True, type=Path, help="the archive's folder, as downloaded")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument("--no-crop", action="store_true", help="keep whole images")
    parser.add_argument(
        "--processes", type=int, default=None, help="read images side by side (default: one process)"
    )
    return parser.parse_args()


def tell(report: dict, output: Path) -> None:
    print(f"{output}: {report['images']} images of {report['patients']} patients")
    for name in ("birads", "density", "view"):
        print(f"  {name}: " + ", ".join(f"{label} × {count}" for label, count in report[name].items()))
    unreadable = report["unreadable"]
    if unreadable:
        print(f"  {len(unreadable)} images could not be read; build_report.json names them. The first:")
        print(f"  {unreadable[0]['reason']}")


if __name__ == "__main__":
    run_script(main)
