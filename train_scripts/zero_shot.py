"""Measure what an aligned model can tell by prompts alone: BI-RADS and breast density of records, findings of pairs."""

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers.utils.logging import disable_progress_bar

from dataset_builders.caption_findings import findings_of
from evaluation.notices import SYNTHETIC
from evaluation.plots import confusion
from evaluation.zero_shot import TASKS, findings_zero_shot
from training.cli import ScriptParser, run_script
from training.data import PAIR_COLUMNS, RECORD_COLUMNS
from training.embedding import embed_images, load_aligned
from training.release import new_folder, refuse_existing
from training.runs import RESULTS, held_out_rows, write_json
from training.sources import load_table
from training.zero_shot import as_mapping, prompt_sets, zero_shot_scores

COLUMNS = ("patient_id", "exam_id", "laterality", "view", "birads", "density")
FINDINGS = "findings"


def main() -> None:
    args = parse_args()
    refuse_existing(args.output)
    datasets.disable_progress_bars()
    disable_progress_bar()
    prompts = prompt_sets(args.prompts, args.tasks)
    records = load_records(args) if args.data else None
    pairs = load_pairs(args, prompts[FINDINGS].labels) if args.pairs else None
    model, processor = load_aligned(args.model)
    if args.crop is not None:
        processor.image_processor.do_crop = args.crop
    results = describe(args, processor, prompts)
    with new_folder(args.output) as folder:
        if records is not None:
            images = embed_images(model, processor, records["image"], args.batch_size)
            scores = {
                name: zero_shot_scores(model, processor, images, prompts[name]) for name in wanted(args)
            }
            results |= score_records(records, scores, folder, args.phantom)
        if pairs is not None:
            images = embed_images(model, processor, pairs["image"], args.batch_size)
            scores = zero_shot_scores(model, processor, images, prompts[FINDINGS])
            results[FINDINGS] = score_findings(pairs, prompts[FINDINGS].labels, scores, folder)
        write_json(folder / RESULTS, results)
    tell(results, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="No label is learned from: each class is a few sentences, whose embeddings are averaged, and an image "
        "is of the class that it is nearest to. OUTPUT gets results.json, predictions.csv and a confusion matrix for "
        "each task. Labels of findings are read off the captions by a rule (dataset_builders/caption_findings.py): "
        "what a caption asserts against what it denies; findings.csv has them. Pairs that the model was pretrained on "
        "flatter it: --held-out keeps to those that a pretraining run held out.",
    )
    parser.add_argument(
        "--model", required=True, help="folder of pretrain.py or export_release.py, or a Hub id"
    )
    parser.add_argument("--data", type=Path, help="folder of build_dataset.py, for birads and density")
    parser.add_argument(
        "--pairs", nargs="+", type=Path, default=[], help="folders of extract_pairs.py, for findings"
    )
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="RUN",
        help="output folder of pretrain.py: findings only of the cases among --pairs that this run held out",
    )
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=[*TASKS, FINDINGS],
        default=list(TASKS),
        help="what to predict (birads density)",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        help="YAML file of own prompts: task, label, phrasings (results.json has ours)",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="images embedded at a time (16)")
    parser.add_argument(
        "--crop",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="crop images to the breast, as well as build_dataset.py did; by default as the model's processor has it",
    )
    parser.add_argument(
        "--phantom",
        action="store_true",
        help="the images are phantoms: say so wherever a score is written",
    )
    args = parser.parse_args()
    check(args, parser)
    return args


def check(args: argparse.Namespace, parser: ScriptParser) -> None:
    """Refuse options that do not belong together: each task has a kind of data of its own."""
    needed = {"--data": bool(wanted(args)), "--pairs": FINDINGS in args.tasks}
    given = {"--data": bool(args.data), "--pairs": bool(args.pairs)}
    for name, folder in (("--data", "build_dataset.py"), ("--pairs", "extract_pairs.py")):
        if needed[name] and not given[name]:
            parser.error(f"--tasks {' '.join(args.tasks)} needs {name}, a folder of {folder}")
        if given[name] and not needed[name]:
            parser.error(f"--tasks {' '.join(args.tasks)} has no use for {name}")
    if args.held_out and not args.pairs:
        parser.error("--held-out is a choice among --pairs, which were not given")
    if args.batch_size < 1:
        parser.error(f"--batch-size is {args.batch_size}; expected 1 or more")


def load_records(args: argparse.Namespace) -> datasets.Dataset:
    """The records that have a label of one of the tasks; BI-RADS 3 is none of the five classes."""
    table = load_table(args.data, RECORD_COLUMNS, "build_dataset.py")
    names = wanted(args)
    known = np.array([[index is not None for index in class_indices(table, name)] for name in names])
    for name, labelled in zip(names, known, strict=True):
        if not labelled.any():
            others = [other for other in names if other != name]
            advice = f"give --tasks {' '.join(others)}" if others else "give data that has some"
            raise ValueError(f"no image in {args.data} has a label for {name}; {advice}.")
    return table.select(np.flatnonzero(known.any(axis=0)))


def wanted(args: argparse.Namespace) -> list[str]:
    """The tasks that records have labels for."""
    return [name for name in args.tasks if name in TASKS]


def class_indices(table: datasets.Dataset, name: str) -> list[int | None]:
    return [TASKS[name].index(value) for value in table[name]]


def load_pairs(args: argparse.Namespace, findings: Sequence[str]) -> datasets.Dataset:
    """The pairs whose captions assert or deny one of the findings; of the held-out cases alone, if asked for."""
    tables = [load_table(folder, PAIR_COLUMNS, "extract_pairs.py") for folder in args.pairs]
    pairs = datasets.concatenate_datasets([table.select_columns(list(PAIR_COLUMNS)) for table in tables])
    if args.held_out:
        pairs = pairs.select(held_out_rows(args.held_out, pairs["case_id"][:]))
    said = [findings_of(caption) for caption in pairs["caption"]]
    rows = [row for row, labels in enumerate(said) if any(labels[name] is not None for name in findings)]
    if not rows:
        raise ValueError(f"no caption asserts or denies any of {', '.join(findings)}; give other --pairs.")
    return pairs.select(rows)


def describe(args: argparse.Namespace, processor, prompts: dict) -> dict[str, Any]:
    """What the scores are of: names, not places on a disk."""
    return {
        "model": Path(args.model).resolve().name if Path(args.model).exists() else args.model,
        "data": args.data and args.data.resolve().name,
        "pairs": [folder.resolve().name for folder in args.pairs],
        "held_out_by": args.held_out and args.held_out.resolve().name,
        "phantom": args.phantom,
        "crop": processor.image_processor.do_crop,
        "prompts": {task: as_mapping(prompts[task]) for task in args.tasks},
    }


def score_records(
    records: datasets.Dataset, scores: dict[str, np.ndarray], folder: Path, phantom: bool
) -> dict[str, Any]:
    """Metrics of each task; predictions.csv and the confusion matrices go into the folder."""
    rows = [
        dict(zip(COLUMNS, values, strict=True))
        for values in zip(*map(records.__getitem__, COLUMNS), strict=True)
    ]
    patients = records["patient_id"][:]
    results = {"n_images": len(records), "n_patients": len(set(patients))}
    for name, of_task in scores.items():
        task, labels = TASKS[name], class_indices(records, name)
        known = [row for row, label in enumerate(labels) if label is not None]
        found = task.metrics([labels[row] for row in known], of_task[known], [patients[row] for row in known])
        results[name] = {"n_images": len(known), "classes": list(task.names), **found}
        for row, values in zip(rows, of_task, strict=True):
            row[f"predicted_{name}"] = task.values[int(values.argmax())]
            row |= {title: f"{value:.6f}" for title, value in zip(task.names, values, strict=True)}
        title = f"Zero-shot {task.title}{', phantoms' if phantom else ''}"
        picture = confusion(found[task.confusion], task.names, title)
        (folder / f"confusion_{name}.png").write_bytes(picture)
    write_table(folder / "predictions.csv", rows)
    return results


def score_findings(
    pairs: datasets.Dataset, findings: Sequence[str], scores: np.ndarray, folder: Path
) -> dict[str, Any]:
    """Metrics of each finding; findings.csv goes into the folder."""
    said = [findings_of(caption) for caption in pairs["caption"]]
    cases = pairs["case_id"][:]
    labels = {name: [row[name] for row in said] for name in findings}
    rows = []
    for case, caption, known, values in zip(cases, pairs["caption_id"], said, scores, strict=True):
        rows.append({"case_id": case, "caption_id": caption})
        for name, value in zip(findings, values, strict=True):
            label = {True: "present", False: "absent", None: ""}[known[name]]
            rows[-1] |= {name: label, f"{name} score": f"{value:.6f}"}
    write_table(folder / "findings.csv", rows)
    return {
        "n_images": len(pairs),
        "n_cases": len(set(cases)),
        "per_finding": findings_zero_shot(labels, scores, cases),
    }


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def tell(results: dict[str, Any], output: Path) -> None:
    if results["phantom"]:
        print(SYNTHETIC)
    for name in results["prompts"]:
        title = TASKS[name].title if name in TASKS else name
        print(f"{title}, by {results['model']} from prompts alone, {results[name]['n_images']} images:")
        for line in finding_lines(results[name]) if name == FINDINGS else task_lines(name, results[name]):
            print(f"  {line}")
    if FINDINGS in results and not results["held_out_by"]:
        print("The model may have been pretrained on these pairs, which would flatter it; see --held-out.")
    print(f"{output / RESULTS} has the numbers.")


def task_lines(name: str, scores: dict[str, Any]) -> Iterator[str]:
    for key, title in TASKS[name].f1.items():
        low, high = scores[f"{key}_interval"]
        yield (
            f"macro-F1 of {title}: {scores[key]:.3f} (95 % over patients: {low:.3f} to {high:.3f}; "
            f"always the commonest: {scores[f'majority_{key}']:.3f})"
        )
    areas = zip(scores["classes"], scores["auroc_per_class"], strict=True)
    yield "AUROC " + ", ".join(f"{title} {area:.3f}" for title, area in areas if area is not None)


def finding_lines(scores: dict[str, Any]) -> Iterator[str]:
    for title, found in scores["per_finding"].items():
        counts = f"{title}, {found['present']} present, {found['absent']} absent:"
        yield (
            f"{counts} AUROC {found['auroc']:.3f}" if "auroc" in found else f"{counts} no score without both"
        )


if __name__ == "__main__":
    run_script(main)
