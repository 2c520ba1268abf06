"""With few labels, does the pretrained encoder beat the others, and are captions worth more than labels?

    python train_scripts/learning_curve.py --config configs/experiment_teknofest.yaml --data RECORDS \\
        --encoders PRETRAINED imagenet --output OUTPUT

Figures 3 and 4 and Table 2 of the paper, on the records of any archive: classify.py trains and tests from every start,
with every number of labelled images, on every tested fold, with every seed; all options of classify.py hold here as
well. A seed decides the folds, the training images and their order, new weights and the augmentation; the same seed
gives the same images to every start, and fewer images lie in more: so runs of the same size, fold and seed are pairs.
--extra-labels 2000 is Table 2: further runs, in which all but the pretrained encoders have so many labels more.

Each run is a cell, a folder in OUTPUT/runs: a finished one is taken as it is, an interrupted one goes on, and a deleted
one is made anew when the same command is given again. Several processes may work in one OUTPUT, on one machine or many,
and none does what another one is doing: start the command several times, or with --shard 1/4 … 4/4, or hand in what
--slurm prints. The one that ends last, or --report, gathers: results.json (all scores, statistics, commands, versions,
and what data it was), tables in Markdown, LaTeX and CSV, and the learning curves as PNG and SVG. For cells on several
GPUs each, start it by `accelerate launch` in the place of `python`.
"""

import json
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset

from dataset_builders.labelled_data import labelled_data
from evaluation.comparison import comparisons, summaries, verdict
from evaluation.contrasts import Contrast, add_intervals, contrasts
from evaluation.curve_files import curve_files, markdown_page
from evaluation.curve_predictions import PREDICTIONS, read_predictions
from evaluation.notices import notices
from evaluation.prediction_origin import refuse_other_data
from training.cell_runs import do_cell, prepare_images, tells
from training.classification import classifier_model, classifier_processor
from training.classification_options import LearningCurveOptions
from training.classification_trainer import lone_image
from training.cli import run_script
from training.data import RECORD_COLUMNS
from training.grid import RUNS, Cell, arms, data_facts, plan, shard_of, table2_sizes
from training.option_parser import option_words, parse_options
from training.runs import RESULTS, open_run, read_json, write_json, write_whole
from training.slurm import array_script
from training.sources import load_table

NEEDS = """A learning curve needs labelled images, encoders to compare, and a folder for its result:

    python train_scripts/learning_curve.py --config configs/classify_demo.yaml --data RECORDS \\
        --encoders PRETRAINED none --train-samples 50 100 200 --seeds 0 1 2 --output OUTPUT

build_dataset.py makes RECORDS from an archive, pretrain.py makes PRETRAINED. configs/experiment_teknofest.yaml is the
paper's section 4. Without an archive, phantoms show how it goes: `make demo`, then `make compare`. --help lists the
options."""
DATA = "data.json"
CLASSIFY = Path(__file__).with_name("classify.py")
PACKAGES = ("torch", "transformers", "timm", "accelerate", "datasets", "numpy", "scipy")


def main() -> None:
    if len(sys.argv) == 1:
        print(NEEDS)
        return
    options = parse_options(LearningCurveOptions, text=__doc__)
    check_folders(options)
    cells = plan(options)
    if options.slurm:
        print(array_script(command("--slurm"), len(cells), options.workers + 1), end="")
        return
    if not options.report:
        do_cells(options, shard_of(cells, options.shard))
    if options.shard or not tells():
        return
    if not all_finished(options, cells):
        return
    results = gather(options, cells)
    write(Path(options.output), results)
    print(markdown_page(results), end="")


def command(*without: str) -> list[str]:
    """The words that started this script, but for some."""
    return ["python", *(word for word in sys.argv if word not in without)]


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


def do_cells(options: LearningCurveOptions, cells: Sequence[Cell]) -> None:
    """Do what is not finished and nobody else is doing."""
    todo = [cell for cell in cells if not open_run(cell.options)]
    if todo:
        check_cells(options, todo)
        prepare_images(options, todo)
    for place, cell in enumerate(cells, start=1):
        do_cell(options, cell, CLASSIFY, f"run {place} of {len(cells)}: {cell.name}")


def check_cells(options: LearningCurveOptions, cells: Sequence[Cell]) -> None:
    """Raise what any of these runs would end with for the user's fault, before the first of them is trained."""
    table = load_table(options.data, RECORD_COLUMNS, "build_dataset.py")
    facts, noted = refuse_other_facts(options, table), Path(options.output, DATA)
    fewest = min(images_of(cell, facts["rows"]) for cell in cells)
    for cell in {cell.arm: cell for cell in cells}.values():
        model = classifier_model(cell.options, classifier_processor(cell.options))
        lone_image(model, fewest, cell.options.batch_size)
    for cell in largest(cells):
        check_split(table, cell)
    if tells() and not noted.is_file():
        Path(options.output, RUNS).mkdir(parents=True, exist_ok=True)
        write_json(noted, facts)


def refuse_other_facts(options: LearningCurveOptions, table: Dataset) -> dict[str, Any]:
    """What tells this data set from others; ValueError where the runs in the output folder were given another one."""
    facts, noted = data_facts(table), Path(options.output, DATA)
    if noted.is_file() and read_json(noted, "learning_curve.py") != facts:
        raise ValueError(
            f"{options.output} holds runs on other data than {options.data}; give another --output."
        )
    return facts


def images_of(cell: Cell, rows: int) -> int:
    """How many images a run trains on at most, of a data set of so many rows."""
    return cell.size if cell.size and cell.size > 0 else rows


def check_split(table: Dataset, cell: Cell) -> None:
    """Raise ValueError where a fold cannot be tested, or there are not as many images to train on."""
    run = cell.options
    try:
        labelled_data(table, run)
    except ValueError as error:
        raise ValueError(f"fold {run.fold} with seed {run.seed}: {error}") from error


def largest(cells: Sequence[Cell]) -> list[Cell]:
    """A cell with most training images for every fold and seed: smaller subsets lie in larger ones."""
    by_size = sorted(cells, key=lambda cell: cell.size or 0)
    return list({(cell.options.fold, cell.options.seed): cell for cell in by_size}.values())


def all_finished(options: LearningCurveOptions, cells: Sequence[Cell]) -> bool:
    """Whether the runs can be gathered; ValueError where that was asked for and they cannot."""
    left = [cell.name for cell in cells if not open_run(cell.options)]
    if not left:
        return True
    said = f"{len(left)} of {len(cells)} runs are not finished, such as {left[0]}"
    if options.report:
        raise ValueError(f"{said}; give the command without --report first, or wait for those who do them.")
    print(f"{said}; give the command with --report when the others are done.")
    return False


def gather(options: LearningCurveOptions, cells: Sequence[Cell]) -> dict[str, Any]:
    """Everything that results.json holds."""
    scored = [read_run(cell) for cell in cells]
    tested: dict[tuple, dict[str, list]] = {}
    for cell in cells:
        run = cell.options
        for score, found in read_predictions(run.output, run.fold, run.seed).items():
            tested.setdefault((cell.arm, cell.size), {}).setdefault(score, []).append(found)
    data, sizes = check_data(options, cells), options.train_samples
    means = summaries(scored)
    add_intervals(means, tested)
    compared = comparisons([run for run in scored if run["size"] in sizes])
    return {
        "phantom": options.phantom,
        "notices": notices(options.phantom),
        "verdict": [verdict(comparison, sizes, options.phantom) for comparison in compared],
        "sizes": sizes,
        "summary": means,
        "comparisons": compared,
        "contrasts": contrasts(scored, tested, size_contrasts(options)),
        "table2": contrasts(scored, tested, table2_contrasts(options)),
        "runs": scored,
        "command": shlex.join(command("--report")),
        "data": data,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


def check_data(options: LearningCurveOptions, cells: Sequence[Cell]) -> dict[str, Any]:
    """What DATA says; ValueError where a run, or the given data set as far as it is still there, is of other data."""
    facts = read_json(Path(options.output, DATA), "learning_curve.py")
    refuse_other_data(
        [Path(cell.options.output, PREDICTIONS) for cell in cells], {options.data: facts["sha256"]}
    )
    if Path(options.data).exists():
        refuse_other_facts(options, load_table(options.data, RECORD_COLUMNS, "build_dataset.py"))
    return facts


def size_contrasts(options: LearningCurveOptions) -> list[Contrast]:
    """The first arm against each other one, at every size."""
    first, *others = arms(options)
    return [(first.name, size, other.name, size) for other in others for size in options.train_samples]


def table2_contrasts(options: LearningCurveOptions) -> list[Contrast]:
    """Every pretrained arm against every other one with more labels."""
    every = arms(options)
    return [
        (ours.name, fewer, theirs.name, more)
        for ours in every
        for theirs in every
        if ours.pretrained and not theirs.pretrained
        for fewer, more in table2_sizes(options)
    ]


def read_run(cell: Cell) -> dict[str, Any]:
    """A finished run: arm, size, folder, the command that makes it, and its results but the history."""
    results = json.loads(Path(cell.options.output, RESULTS).read_text(encoding="utf-8"))
    results.pop("history", None)
    words = shlex.join(["python", f"train_scripts/{CLASSIFY.name}", *option_words(cell.options)])
    return results | {
        "encoder": cell.arm,
        "size": cell.size,
        "folder": f"{RUNS}/{cell.name}",
        "command": words,
    }


def write(output: Path, results: dict[str, Any]) -> None:
    """Figures and tables, then results.json, which says that all is there."""
    for name, content in curve_files(results).items():
        write_whole(output / name, content)
    write_json(output / RESULTS, results)


if __name__ == "__main__":
    run_script(main)
