"""Score saved predictions of labelled images: everything that the evaluation knows, with intervals over patients.

    python train_scripts/evaluate_predictions.py --predictions fold0 fold1 fold2 fold3 --output scores

Give one run of classify.py, or the folds of one. OUTPUT gets metrics.json, tables.md, and pictures (PNG and SVG) of
reliability, ROC curves and confusion matrices.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from evaluation.bootstrap import LEVEL, SAMPLES
from evaluation.calibration import BINS
from evaluation.comparison import markdown
from evaluation.level_scores import add_calibrated, labelled_levels, score_levels
from evaluation.notices import SYNTHETIC, notices
from evaluation.pooling import RULES
from evaluation.prediction_origin import data_of, refuse_mixed_data, refuse_other_data
from evaluation.predictions import fitted_temperatures, read_predictions
from evaluation.score_pictures import score_pictures
from evaluation.score_tables import all_tables, cell
from evaluation.subgroups import MIN_PATIENTS, with_attributes
from evaluation.task_scores import SPECIFICITY
from training.cli import ScriptParser, run_script
from training.data import RECORD_COLUMNS
from training.origin import data_fingerprint
from training.release import new_folder, refuse_existing
from training.runs import write_json, write_whole
from training.sources import load_table

PREDICTIONS, VALIDATION = "predictions.parquet", "validation_predictions.parquet"
EPILOG = """\
The label of a breast or exam is the worst of its images. With --pooling mean, a breast's BI-RADS probabilities are the
mean of its views, and an exam's are those of its more suspicious breast; with max, the most suspicious image decides
for both. Density's are the mean of all images. Each level is scored for each density, view, vendor, age band and race
too, where the data have them; a group's difference from all, and the largest gaps, have intervals of their own.
--validation shows calibration with the temperatures that export_release.py would store."""


def main() -> None:
    args = parse_args()
    refuse_existing(args.output)
    files = files_of(args.predictions, PREDICTIONS)
    table = with_attributes(read_predictions(files))
    validation = files_of(args.validation, VALIDATION)
    temperatures = fit_on_validation(validation, table)
    check_data([*files, *validation], args.data)
    data = labelled_levels(table, args.pooling, args.samples, args.seed)
    scored = score_levels(data, args.min_patients, partial(tqdm, desc="scoring", unit="table"))
    add_calibrated(scored["image"], data["image"], temperatures)
    results = {**describe(args, files, table), "levels": scored}
    write(args.output, results, score_pictures(scored, data, phantom=args.phantom))
    tell(results, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--predictions",
        metavar="RUN",
        required=True,
        nargs="+",
        type=Path,
        help=f"{PREDICTIONS} of classify.py, or the folders that hold it: one run, or the folds of one",
    )
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--validation",
        metavar="RUN",
        nargs="+",
        type=Path,
        default=[],
        help=f"{VALIDATION} of the same runs in the same order, or their folders: fit temperatures on them",
    )
    parser.add_argument(
        "--data",
        metavar="RECORDS",
        nargs="+",
        default=[],
        help="the records that the runs were given: predictions of other ones are refused",
    )
    parser.add_argument(
        "--pooling", choices=RULES, default="mean", help="how images become breasts and exams (%(default)s)"
    )
    parser.add_argument(
        "--min-patients",
        type=int,
        default=MIN_PATIENTS,
        help="subgroups with fewer patients are counted, not scored (%(default)s)",
    )
    parser.add_argument("--samples", type=int, default=SAMPLES, help="bootstrap resamples (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (%(default)s)")
    parser.add_argument(
        "--phantom", action="store_true", help="the images are phantoms: say so wherever a score is written"
    )
    args = parser.parse_args()
    check(args, parser)
    return args


def check(args: argparse.Namespace, parser: ScriptParser) -> None:
    for name, least in (("min_patients", 1), ("samples", 100), ("seed", 0)):
        if getattr(args, name) < least:
            option = f"--{name.replace('_', '-')}"
            parser.error(f"{option} is {getattr(args, name)}; expected {least} or more")
    if args.validation and len(args.validation) != len(args.predictions):
        parser.error(
            f"--predictions names {len(args.predictions)} runs, --validation {len(args.validation)}; expected as many"
        )


def files_of(paths: list[Path], name: str) -> list[Path]:
    return [path / name if path.is_dir() else path for path in paths]


def fit_on_validation(files: list[Path], table: pd.DataFrame) -> list[dict[str, float]]:
    """Task → temperature, for each of the files; a file shares no patient with the predictions that it belongs to."""
    found = []
    for number, file in enumerate(files):
        validation = read_predictions([file])
        shared = set(validation["patient"]) & set(table.loc[table["file"] == number, "patient"])
        if shared:
            raise ValueError(
                f"{file} holds patient {sorted(shared)[0]}, who is among the predictions that are scored; "
                "give the run's predictions on validation images."
            )
        found.append(fitted_temperatures(validation))
    return found


def check_data(files: list[Path], folders: list[str]) -> None:
    """ValueError for predictions of different data sets of one name, or of others than the given ones."""
    refuse_mixed_data(files, [set(pd.read_parquet(file, columns=["source"])["source"]) for file in files])
    if folders:
        tables = {folder: load_table(folder, RECORD_COLUMNS, "build_dataset.py") for folder in folders}
        refuse_other_data(files, {folder: data_fingerprint(table) for folder, table in tables.items()})


def describe(args: argparse.Namespace, files: list[Path], table: pd.DataFrame) -> dict[str, Any]:
    """What the scores are of, and how they were made: names, not places on a disk."""
    return {
        "predictions": [f"{file.resolve().parent.name}/{file.name}" for file in files],
        "phantom": args.phantom,
        "notices": notices(args.phantom),
        "data": sorted({told for file in files if (told := data_of(file))}),
        "sources": sorted(table["source"].unique()),
        "n_images": len(table),
        "n_patients": table["patient"].nunique(),
        "pooling": args.pooling,
        "intervals": {"samples": args.samples, "seed": args.seed, "level": LEVEL, "drawn": "patients"},
        "specificity": SPECIFICITY,
        "calibration_bins": BINS,
        "min_patients": args.min_patients,
    }


def write(output: Path, results: dict[str, Any], pictures: dict[str, dict[str, bytes]]) -> None:
    """The folder, whole or not at all."""
    above = [f"{sentence}\n" for sentence in results["notices"]]
    tables = [markdown(table) for table in all_tables(results)]
    with new_folder(output) as folder:
        write_json(folder / "metrics.json", results)
        write_whole(folder / "tables.md", "\n".join([*above, *tables]).encode())
        for name, formats in pictures.items():
            for kind, content in formats.items():
                write_whole(folder / f"{name}.{kind}", content)


def tell(results: dict[str, Any], output: Path) -> None:
    if results["phantom"]:
        print(SYNTHETIC)
    print(f"{results['n_images']} images of {results['n_patients']} patients:")
    shown = {
        "f1_five": "macro-F1 of 5 classes",
        "f1_three": "of 3 classes",
        "recall_auroc": "AUROC of recall",
    }
    shown |= {"density_f1": "macro-F1 of density"}
    for level, tasks in results["levels"].items():
        scores = {key: found[key] for found in tasks.values() for key in shown if key in found}
        print(f"  {level}: " + ", ".join(f"{shown[key]} {cell(score)}" for key, score in scores.items()))
    print(f"{output / 'metrics.json'} has the numbers, {output / 'tables.md'} the tables.")


if __name__ == "__main__":
    run_script(main)
