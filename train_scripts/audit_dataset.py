"""Look for leaks between the sides of a split, for contradictory labels, and for images that are no use."""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
from tqdm import tqdm

from dataset_builders.audit import (
    COLUMNS,
    KINDS,
    Copies,
    Problem,
    audit_table,
    copy_conflicts,
    copy_leaks,
    counts,
    label_conflicts,
    odd_images,
    patient_pairs,
    patients_of,
    shared_keys,
)
from dataset_builders.burned_in_text import what_is_missing
from dataset_builders.folds import split_by_case, write_groups
from dataset_builders.image_looks import Looks, grey_image, look_at_all
from dataset_builders.labelled_splits import class_indices, row_folds, who_belongs_together, with_class
from dataset_builders.near_duplicates import MOST
from evaluation.audit_page import write_audit
from evaluation.pictures import small_picture
from training.classification_options import ClassificationOptions
from training.cli import ScriptParser, run_script
from training.data import PAIR_COLUMNS, RECORD_COLUMNS
from training.pretraining_options import PretrainingOptions
from training.release import new_folder, refuse_existing
from training.runs import write_json
from training.sources import load_table

FOUND = 1  # the exit code where there is a leak, a conflict or an image that is no use
RESULT, PAGE, GROUPS = "audit.json", "audit.html", "groups.csv"
LISTED, SHOWN = 1000, 8  # problems of a kind in the JSON file, and with pictures on the page
MAKERS = "build_dataset.py or extract_pairs.py"
DEFAULT_FOLDS = 4


def main() -> None:
    args = parse_args()
    refuse_existing(args.output)
    datasets.disable_progress_bars()
    began = time.monotonic()
    text, note = text_reader(args)
    with new_folder(args.output) as folder, tempfile.TemporaryDirectory() as work:
        tables = load_all(args, Path(work))
        rows = audit_table([part(*named, args) for named in tables])
        looks = look_at_all([table for _, table in tables], Path(work), workers=args.workers, text=text)
        copies = Copies(looks, args.distance, progress("Comparing pairs of images"))
        problems = find_problems(rows, looks, copies)
        results = describe(args, note, rows, problems) | counts(rows, looks, copies)
        patients = patients_of(rows, tables[0][0])
        write_groups(folder / GROUPS, list(filter(None, patients)), patient_pairs(patients, copies))
        write_json(folder / RESULT, results | {"seconds": round(time.monotonic() - began, 1)})
        write_audit(folder / PAGE, results, list(pictured(problems, rows, tables)), KINDS)
    tell(args, results)
    sys.exit(FOUND if results["failed"] else 0)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog=f"OUTPUT gets {RESULT}, {PAGE} with the images side by side, and {GROUPS}: patients who share an image, "
        "for classify.py --groups, which keeps them in one fold. The sides of records are classify.py's folds, the "
        "values of a column, or whole data sets; those of pairs are pretrain.py's training, validation and held-out "
        "pairs, which cut pages where an atlas prints several cases on one: --allow pages. Exit "
        "code 1: something was found that --allow does not name; 2: the command is wrong. "
        "Kinds: " + "; ".join(f"{kind}: {title}" for kind, title in KINDS.items()) + ".",
    )
    parser.add_argument("--data", required=True, type=Path, help=f"folder of {MAKERS}, or of Parquet files")
    parser.add_argument(
        "--pairs", nargs="+", type=Path, default=[], help="folders of extract_pairs.py as well"
    )
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    sides = parser.add_mutually_exclusive_group()
    sides.add_argument(
        "--against", nargs="+", type=Path, default=[], help="data sets that must share nothing with it"
    )
    sides.add_argument("--split", metavar="COLUMN", help="the sides are the values of this column")
    sides.add_argument(
        "--folds", type=int, help=f"the sides are classify.py's folds, so many ({DEFAULT_FOLDS})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the folds and of the pairs' split (0)")
    parser.add_argument("--stratify", choices=["density"], help="as classify.py was given it")
    parser.add_argument("--groups", metavar="FILE", help="as classify.py was given it")
    parser.add_argument(
        "--allow",
        nargs="+",
        choices=list(KINDS),
        default=[],
        metavar="KIND",
        help="kinds that are reported only",
    )
    parser.add_argument(
        "--distance", type=int, default=4, help=f"bits by which hashes of candidates differ, 0 to {MOST} (4)"
    )
    parser.add_argument(
        "--text",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="read burned-in text with tesseract",
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes (all cores)"
    )
    parser.add_argument(
        "--phantom", action="store_true", help="the images are phantoms: say so in the report"
    )
    args = parser.parse_args()
    if args.workers < 1:
        parser.error(f"--workers is {args.workers}; expected 1 or more")
    if not 0 <= args.distance <= MOST:
        parser.error(f"--distance is {args.distance}; expected 0 to {MOST}")
    if (args.stratify or args.groups) and (args.against or args.split):
        parser.error("--stratify and --groups concern folds, which --against and --split take the place of")
    fold_options(args).check()
    return args


def fold_options(args: argparse.Namespace) -> ClassificationOptions:
    folds = DEFAULT_FOLDS if args.folds is None else args.folds
    return ClassificationOptions(folds=folds, seed=args.seed, stratify=args.stratify, groups=args.groups)


def text_reader(args: argparse.Namespace) -> tuple[bool, str]:
    """Whether burned-in text is read, and the sentence that says so."""
    if not args.text:
        return False, "Burned-in text was not looked for, as asked."
    if missing := what_is_missing():
        return False, f"Burned-in text was NOT looked for: {missing}."
    return True, "Bright, upright text was looked for with tesseract; dark, turned or mirrored text was not."


def load_all(args: argparse.Namespace, work: Path) -> list[tuple[str, datasets.Dataset]]:
    """The data sets with their names: the folders', numbered where two are the same."""
    names: Counter[str] = Counter()
    tables = []
    for folder in (args.data, *args.against, *args.pairs):
        name = folder.resolve().name
        names[name] += 1
        title = name if names[name] == 1 else f"{name} {names[name]}"
        tables.append((title, load_one(folder, work / title)))
    return tables


def load_one(folder: Path, cache: Path) -> datasets.Dataset:
    """A saved data set, or one of Parquet files. Raises ValueError where it has neither records' nor pairs' columns."""
    parquet = sorted(map(str, folder.rglob("*.parquet")))
    if parquet and not any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        table = datasets.Dataset.from_parquet(parquet, cache_dir=str(cache))
    else:
        table = load_table(folder, ("image", "source"), MAKERS)
    for columns in (RECORD_COLUMNS, PAIR_COLUMNS):
        if {*columns, "source"} <= set(table.column_names):
            return table
    raise ValueError(
        f"{folder} has the columns {', '.join(table.column_names)}; expected those of {MAKERS}, as documented there."
    )


def part(name: str, table: datasets.Dataset, args: argparse.Namespace) -> dict[str, Any]:
    """A data set as `audit_table` takes it."""
    known = [column for column in (*COLUMNS, "source") if column in table.column_names]
    columns = {column: table[column][:] for column in known}
    return {"name": name, "columns": columns, "sides": list(sides_of(name, table, args))}


def sides_of(name: str, table: datasets.Dataset, args: argparse.Namespace) -> Iterator[str | None]:
    """The side of every row; None for those in none, as of BI-RADS 3, which classify.py leaves out."""
    if args.against:
        yield from [name] * len(table)
    elif "patient_id" not in table.column_names:
        yield from pair_sides(table, args.seed)
    elif args.split:
        if args.split not in table.column_names:
            raise ValueError(f"{name} has no column {args.split!r}; found {', '.join(table.column_names)}.")
        yield from (value if value is None else f"{args.split} {value}" for value in table[args.split])
    else:
        yield from fold_sides(table, fold_options(args))


def fold_sides(table: datasets.Dataset, options: ClassificationOptions) -> list[str | None]:
    """The folds that classify.py makes with these options."""
    numbered = table.remove_columns("image").add_column("audited_row", list(range(len(table))))
    used = with_class(numbered)
    patients = who_belongs_together(used["patient_id"][:], options)
    folds = row_folds(patients, *class_indices(used), options)
    sides: list[str | None] = [None] * len(table)
    for row, fold in zip(used["audited_row"], folds, strict=True):
        sides[row] = f"fold {fold}"
    return sides


def pair_sides(table: datasets.Dataset, seed: int) -> list[str | None]:
    """The parts that pretrain.py makes with its default fractions."""
    options = PretrainingOptions()
    parts = split_by_case(table["case_id"][:], options.validation_fraction, options.held_out_fraction, seed)
    sides: list[str | None] = [None] * len(table)
    for title, rows in zip(("training pairs", "validation pairs", "held-out pairs"), parts, strict=True):
        for row in rows:
            sides[row] = title
    return sides


def progress(title: str):
    return lambda steps: tqdm(steps, desc=title, mininterval=1, disable=len(steps) < 2)


def find_problems(rows: pd.DataFrame, looks: Looks, copies: Copies) -> dict[str, list[Problem]]:
    """The problems of every kind."""
    problems: dict[str, list[Problem]] = {kind: [] for kind in KINDS}
    for source in (
        shared_keys(rows),
        label_conflicts(rows),
        copy_leaks(rows, copies),
        copy_conflicts(rows, copies),
        odd_images(looks),
    ):
        for problem in source:
            problems[problem.kind].append(problem)
    return problems


def describe(
    args: argparse.Namespace, note: str, rows: pd.DataFrame, problems: dict[str, list[Problem]]
) -> dict[str, Any]:
    """What was audited, and what was found: the names of folders, not their places on a disk."""
    found = {kind: len(those) for kind, those in problems.items()}
    return {
        "data": list(dict.fromkeys(rows["data"])),
        "phantom": args.phantom,
        "sides": {side: int(number) for side, number in rows["side"].value_counts().sort_index().items()},
        "seed": args.seed,
        "found": found,
        "allowed": args.allow,
        "failed": [kind for kind, number in found.items() if number and kind not in args.allow],
        "text": note,
        "problems": [
            {"kind": kind, "text": problem.text, "rows": [row_of(rows, number) for number in problem.rows]}
            for kind, those in problems.items()
            for problem in those[:LISTED]
        ],
    }


def row_of(rows: pd.DataFrame, number: int) -> dict[str, Any]:
    """Which row of which data set, and what is known of it; captions are long, and left out."""
    known = rows.loc[number].drop(["caption", "patient"]).dropna()
    return {name: value.item() if hasattr(value, "item") else value for name, value in known.items()}


def pictured(
    problems: dict[str, list[Problem]], rows: pd.DataFrame, tables: Sequence[tuple[str, datasets.Dataset]]
) -> Iterator[dict[str, Any]]:
    """The first problems of every kind, with a small PNG of each row's image."""
    by_name = dict(tables)
    for kind, those in problems.items():
        for problem in those[:SHOWN]:
            images = []
            for number in problem.rows[:4]:
                row = row_of(rows, number)
                about = ", ".join(f"{name} {value}" for name, value in row.items())
                images.append((about, picture(by_name[row["data"]], row["row"])))
            yield {"kind": kind, "text": problem.text, "images": images}


def picture(table: datasets.Dataset, row: int) -> bytes | None:
    try:
        return small_picture(grey_image(table[row]["image"]), height=220)
    except Exception:  # a damaged file can break a decoder in any way; it was counted as unreadable
        return None


def tell(args: argparse.Namespace, results: dict[str, Any]) -> None:
    if results["phantom"]:
        print("PHANTOM: the images are synthetic; what was found says nothing about real mammograms.")
    sides = ", ".join(f"{side}: {number}" for side, number in results["sides"].items())
    print(f"{results['images']} images, {results['patients']} patients. Sides: {sides}.")
    print(results["text"])
    for kind, number in results["found"].items():
        if number:
            allowed = " (allowed)" if kind in args.allow else ""
            print(f"  {kind}: {number} × {KINDS[kind]}{allowed}")
    verdict = "Found problems" if results["failed"] else "Nothing was found that is not allowed"
    print(
        f"{verdict}; {args.output / PAGE} shows them."
        if results["failed"]
        else f"{verdict}; see {args.output / PAGE}."
    )


if __name__ == "__main__":
    run_script(main)
