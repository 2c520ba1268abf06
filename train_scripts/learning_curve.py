"""With few labels, does the pretrained encoder beat the unpretrained one in the mean of several seeds?

    python train_scripts/learning_curve.py --config configs/classify_demo.yaml --data RECORDS \\
        --encoders PRETRAINED none --train-samples 50 100 200 --seeds 0 1 2 --output OUTPUT

Every encoder is trained and tested by classify.py with every number of labelled images, on every tested fold, with
every seed; all options of classify.py hold here as well. A seed decides the folds, the training images and their
order, new weights and the augmentation, and the same seed gives the same images to every encoder: so runs of the same
size, fold and seed are pairs. Each run is a folder in OUTPUT/runs: a finished one is taken as it is, an interrupted
one goes on, and a deleted one is made anew when the same command is given again. OUTPUT holds results.json (all
scores, means, standard deviations and paired differences), table.md, and the learning curves as pictures. On several
GPUs, start it by `accelerate launch` in the place of `python`.
"""

import io
import json
import os
import platform
import runpy
import shlex
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from dataset_builders.labelled_splits import class_indices, split_patients, who_belongs_together, with_class
from evaluation.comparison import (
    SCORES,
    comparison_table,
    comparisons,
    curve,
    markdown,
    size_name,
    summaries,
    summary_table,
    verdict,
)
from evaluation.plots import learning_curve
from training.classification import classifier_model, classifier_processor
from training.cli import run_script
from training.data import RECORD_COLUMNS, load_table
from training.option_parser import option_words, parse_options
from training.options import ClassificationOptions, LearningCurveOptions
from training.runs import RESULTS, open_run, write_json, write_whole

NEEDS = """A learning curve needs labelled images, encoders to compare (folders, or none), and a folder for its result:

    python train_scripts/learning_curve.py --config configs/classify_demo.yaml --data RECORDS \\
        --encoders PRETRAINED none --train-samples 50 100 200 --seeds 0 1 2 --output OUTPUT

build_dataset.py makes RECORDS from an archive, pretrain.py makes PRETRAINED. Without an archive, phantoms show how it
goes: `make demo`, then `make compare`. --help lists the options."""
TELLS = os.environ.get("RANK", "0") == "0"  # one of several processes writes and prints
CLASSIFY = Path(__file__).with_name("classify.py")
RUNS = "runs"
PICTURES = {"learning_curve.png": "f1_three", "learning_curve_five.png": "f1_five"}
PACKAGES = ("torch", "transformers", "timm", "accelerate", "datasets", "numpy")


def main() -> None:
    if len(sys.argv) == 1:
        print(NEEDS)
        return
    options = parse_options(LearningCurveOptions, text=__doc__)
    check_folders(options)
    runs = planned_runs(options)
    check_runs([run for run in runs if not open_run(run)])
    for place, run in enumerate(runs, start=1):
        do_run(run, f"run {place} of {len(runs)}", options.phantom)
    if not TELLS:
        return
    results = gather(options, runs)
    tables = tables_of(results)
    write(Path(options.output), results, tables)
    print("\n".join([*tables, *results["verdict"]]))


def check_folders(options: LearningCurveOptions) -> None:
    """Raise ValueError for a folder that was not named, or an output folder that holds something else."""
    for name in ("data", "output"):
        if not getattr(options, name):
            raise ValueError(f"--{name} was not given; --help says what it names.")
    output = Path(options.output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; give another --output.")
    if output.is_dir() and any(output.iterdir()) and not (output / RUNS).is_dir():
        raise ValueError(f"{output} is not empty and holds no learning curve; give another --output.")


def planned_runs(options: LearningCurveOptions) -> list[ClassificationOptions]:
    """All runs, each with a folder of its own; ValueError if two would have the same."""
    runs = options.runs()
    encoders: dict[str, str | None] = {}
    for run in runs:
        name = encoder_name(run.encoder)
        if encoders.setdefault(name, run.encoder) != run.encoder:
            raise ValueError(f"two encoders are called {name!r}; rename the folder of one of them.")
        size = size_name(run.train_samples)
        run.output = str(Path(options.output, RUNS, f"{name}-{size}-fold{run.fold}-seed{run.seed}"))
    return runs


def encoder_name(encoder: str | None) -> str:
    """What classify.py calls it in its results."""
    return "none" if encoder is None else Path(encoder).name


def check_runs(runs: Sequence[ClassificationOptions]) -> None:
    """Raise what any of these runs would end with for the user's fault, before the first of them is trained."""
    if not runs:
        return
    table = with_class(load_table(runs[0].data, RECORD_COLUMNS, "build_dataset.py"))
    labels = class_indices(table)
    patients = who_belongs_together(table["patient_id"][:], runs[0])
    for run in {run.encoder: run for run in runs}.values():
        classifier_model(run, classifier_processor(run))
    for run in largest(runs):
        try:
            split_patients(patients, *labels, run)
        except ValueError as error:
            raise ValueError(f"fold {run.fold} with seed {run.seed}: {error}") from error


def largest(runs: Sequence[ClassificationOptions]) -> list[ClassificationOptions]:
    """A run with most training images for every fold and seed: smaller subsets lie in larger ones."""
    by_size = sorted(runs, key=lambda run: run.train_samples or 0)
    return list({(run.fold, run.seed): run for run in by_size}.values())


def do_run(run: ClassificationOptions, title: str, phantom: bool) -> None:
    """Train and test as the command classify.py would, but in this process, which has loaded the libraries."""
    finished = open_run(run)
    if TELLS:
        print(f"{title}: {Path(run.output).name}{' is finished already' if finished else ''}", flush=True)
    if finished:
        return
    before = sys.argv
    sys.argv = [str(CLASSIFY), *option_words(run)]
    try:
        with redirect_stdout(MarkedLines(sys.stdout, "phantom  " if phantom else "  ")):
            runpy.run_path(str(CLASSIFY), run_name="__main__")
    finally:
        sys.argv = before


class MarkedLines(io.TextIOBase):
    """Writes to another stream, with a mark before every line."""

    def __init__(self, stream: TextIO, mark: str):
        self.stream, self.mark = stream, mark
        self.begins = True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            self.stream.write(self.mark + line if self.begins else line)
            self.begins = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def gather(options: LearningCurveOptions, runs: Sequence[ClassificationOptions]) -> dict[str, Any]:
    """Everything that results.json holds."""
    scored = [read_run(run) for run in runs]
    sizes = list(dict.fromkeys(run.train_samples for run in runs))
    compared = comparisons(scored)
    return {
        "phantom": options.phantom,
        "verdict": [verdict(comparison, sizes, options.phantom) for comparison in compared],
        "summary": summaries(scored),
        "comparisons": compared,
        "runs": scored,
        "command": shlex.join(["python", *sys.argv]),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def read_run(run: ClassificationOptions) -> dict[str, Any]:
    """A finished run: its size, its folder, and all of its results but the history, which is in the folder."""
    results = json.loads(Path(run.output, RESULTS).read_text(encoding="utf-8"))
    results.pop("history", None)
    return {"size": run.train_samples, "folder": f"{RUNS}/{Path(run.output).name}", **results}


def tables_of(results: dict[str, Any]) -> list[str]:
    """The tables in Markdown: means, and paired differences where there are encoders to compare."""
    tables = [summary_table(results["summary"], results["phantom"])]
    if results["comparisons"]:
        tables.append(comparison_table(results["comparisons"], results["phantom"]))
    return [markdown(table) for table in tables]


def write(output: Path, results: dict[str, Any], tables: Sequence[str]) -> None:
    """Pictures and table, then results.json, which says that all is there."""
    for name, score in PICTURES.items():
        metric = f"macro F1, {SCORES[score]}" + (" (phantom data)" if results["phantom"] else "")
        write_whole(output / name, learning_curve(curve(results["runs"], score), metric))
    write_whole(output / "table.md", "\n".join([*tables, *results["verdict"], ""]).encode())
    write_json(output / RESULTS, results)


if __name__ == "__main__":
    run_script(main)
