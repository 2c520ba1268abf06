"""What do frozen encoders know of real films? Tissue class and normal against abnormal on mini-MIAS, four folds.

    python train_scripts/build_dataset.py --dataset mini_mias --data-dir DIR --captions --output RECORDS
    python train_scripts/mini_mias_experiment.py --data RECORDS --encoders phantoms=PRETRAINED --output OUTPUT

Some hundred films are too few to fine-tune an encoder on, and mini-MIAS's tissue classes (fatty, fatty-glandular,
dense-glandular) are no BI-RADS density: so encoders stay as they are, and a logistic regression on their features is
fitted to three folds and tested on the fourth; its strength is chosen within the three. Both films of a woman are in
one fold. Beside the encoders stand the same architecture with random weights (several draws), the commonest class, and
a logistic regression on intensity and texture statistics.

Captions composed from the labels tell the labels, so an encoder that is pretrained on them must not have seen the
tested fold's. --write-pairs PAIRS writes PAIRS/fold0 … fold3, each of the films outside that fold, for pretrain.py; an
encoder named captions=PRETRAINED{fold} is then the folder PRETRAINED0 where fold 0 is tested, and so on.
"""

import argparse
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dataset_builders.folds import patient_folds
from evaluation.comparison import markdown, mean_and_std
from evaluation.contrasts import add_intervals, contrasts
from evaluation.curve_tables import p_value, signed
from evaluation.notices import RESEARCH
from evaluation.patient_bootstrap import Predicted
from evaluation.report_tables import bounds, number
from training.cli import ScriptParser, run_script
from training.embedding import load_aligned
from training.film_features import (
    RANDOM,
    Features,
    Films,
    encoder_features,
    random_features,
    texture_features,
)
from training.grid import data_facts
from training.runs import RESULTS, write_json, write_whole
from training.sources import load_table

COLUMNS = ("image", "patient_id", "mini_mias_tissue", "mini_mias_abnormality")
TASKS = {"tissue": ("F", "G", "D"), "abnormal": ("normal", "abnormal")}
TITLES = {"tissue": "tissue F, G, D", "abnormal": "normal, abnormal"}
FOLDS = 4
TEXTURE, MAJORITY = "texture statistics", "commonest class"
STRENGTHS = np.logspace(-4, 0, 5)
PACKAGES = ("torch", "transformers", "timm", "scikit-learn", "numpy", "scipy")


def main() -> None:
    args = parse_args()
    films = load_table(args.data, COLUMNS, "build_dataset.py --dataset mini_mias")
    labels = task_labels(films)
    folds = film_folds(films["patient_id"][:], labels, args.seed)
    if args.write_pairs:
        write_pairs(films, folds, args.write_pairs)
        return
    check_output(args.output)
    arms = all_features(args.encoders, films, args.draws)
    runs, predictions = probe(arms, films["patient_id"][:], labels, folds)
    results = summarise(list(arms), runs, predictions) | facts(args, films)
    write(args.output, results)
    print(tables(results))


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="mini-MIAS's records, as build_dataset.py writes them")
    parser.add_argument(
        "--encoders",
        nargs="+",
        default=[],
        metavar="NAME=FOLDER",
        help="folders of pretrain.py; {fold} is a number",
    )
    parser.add_argument("--output", type=Path, help="folder for results.json and table.md")
    parser.add_argument(
        "--write-pairs", type=Path, help="write the pairs outside each fold here, and do nothing else"
    )
    parser.add_argument("--draws", type=int, default=5, help="encoders with random weights (5)")
    parser.add_argument("--seed", type=int, default=0, help="of the folds (0)")
    args = parser.parse_args()
    if not args.write_pairs and not (args.output and args.encoders):
        parser.error("--encoders and --output were not given, nor --write-pairs")
    if args.draws < 1 or args.seed < 0:
        parser.error(f"--draws is {args.draws} and --seed {args.seed}; expected 1 or more, and 0 or more")
    names = [word.partition("=")[0] for word in args.encoders]
    wrong = next((word for word in args.encoders if not all(word.partition("="))), None)
    if wrong or len(set(names)) < len(names):
        parser.error(f"--encoders has {wrong or ' '.join(names)!r}; expected NAME=FOLDER, each name once")
    return args


def task_labels(films: datasets.Dataset) -> dict[str, np.ndarray]:
    """(N,) class indices of each task; ValueError for a tissue that mini-MIAS does not have."""
    unknown = set(films["mini_mias_tissue"]) - set(TASKS["tissue"])
    if unknown:
        raise ValueError(f"the films have the tissue {min(map(str, unknown))!r}; expected F, G or D.")
    return {
        "tissue": np.array([TASKS["tissue"].index(tissue) for tissue in films["mini_mias_tissue"]]),
        "abnormal": np.array([int(name != "NORM") for name in films["mini_mias_abnormality"]]),
    }


def film_folds(patients: list[str], labels: Mapping[str, np.ndarray], seed: int) -> np.ndarray:
    """The fold of every film; ValueError where a class is missing from one."""
    tissue, abnormal = (labels[task].tolist() for task in TASKS)
    folds = np.array(patient_folds(patients, tissue, folds=FOLDS, seed=seed, also=[abnormal]))
    for task, names in TASKS.items():
        for fold in range(FOLDS):
            missing = set(range(len(names))) - set(labels[task][folds == fold].tolist())
            if missing:
                raise ValueError(
                    f"fold {fold} has no film of {names[min(missing)]}; give more films or another --seed."
                )
    return folds


def write_pairs(films: datasets.Dataset, folds: np.ndarray, output: Path) -> None:
    """For each fold the captioned films of the other ones, as pretrain.py reads them."""
    if "caption" not in films.column_names:
        raise ValueError("the records have no captions; build them with build_dataset.py --captions.")
    if output.exists():
        raise ValueError(f"{output} exists already; remove it, or choose another --write-pairs.")
    for fold in range(FOLDS):
        kept = np.flatnonzero(folds != fold)
        films.select(kept).save_to_disk(output / f"fold{fold}")
        print(f"{output / f'fold{fold}'}: {len(kept)} pairs, none of them tested in fold {fold}")


def check_output(output: Path) -> None:
    if output.is_file():
        raise ValueError(f"{output} is a file; give another --output.")
    if output.is_dir() and any(output.iterdir()) and not (output / RESULTS).is_file():
        raise ValueError(f"{output} is not empty and holds no such experiment; give another --output.")


def all_features(
    encoders: Sequence[str], table: datasets.Dataset, draws: int
) -> dict[str, tuple[Features, int]]:
    """Arm → its features and how often it is repeated; every encoder is opened before a film is read."""
    films = Films(table)
    folders = dict(word.split("=", 1) for word in encoders)
    for folder in folders.values():
        for name in dict.fromkeys(folder.replace("{fold}", str(fold)) for fold in range(FOLDS)):
            if not Path(name).is_dir():
                raise FileNotFoundError(
                    f"the encoder {name} is not a folder; give one that pretrain.py has written."
                )
            load_aligned(name)
    arms = {name: (encoder_features(folder, films), 1) for name, folder in folders.items()}
    arms[RANDOM] = (random_features(next(iter(folders.values())), films), draws)
    arms[TEXTURE] = (texture_features(films), 1)
    arms[MAJORITY] = (lambda fold, draw: np.zeros((len(table), 1)), 1)
    return arms


def probe(
    arms: Mapping[str, tuple[Features, int]],
    patients: list[str],
    labels: Mapping[str, np.ndarray],
    folds: np.ndarray,
) -> tuple[list[dict[str, Any]], dict[tuple[str, None], dict[str, list[Predicted]]]]:
    """Fit and test every arm in every fold → scores of each run, and predictions."""
    runs, predictions = [], {}
    groups = np.array(patients)
    for name, (features, repetitions) in arms.items():
        for draw, fold in np.ndindex(repetitions, FOLDS):
            matrix, test = features(fold, draw), folds == fold
            run = {"encoder": name, "size": None, "fold": fold, "seed": draw}
            for task, known in labels.items():
                model = fitted(name, matrix[~test], known[~test], groups[~test])
                predicted = model.predict(matrix[test])
                run[task] = float(f1_score(known[test], predicted, average="macro", zero_division=0))
                one = Predicted(draw, fold, groups[test].tolist(), known[test], predicted)
                predictions.setdefault((name, None), {}).setdefault(task, []).append(one)
            runs.append(run)
    return runs, predictions


def fitted(name: str, features: np.ndarray, labels: np.ndarray, groups: np.ndarray):
    """A logistic regression whose strength is chosen by folds of patients within the training films."""
    if name == MAJORITY:
        return DummyClassifier(strategy="most_frequent").fit(features, labels)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    search = GridSearchCV(
        model, {"logisticregression__C": STRENGTHS}, scoring="f1_macro", cv=GroupKFold(FOLDS)
    )
    return search.fit(features, labels, groups=groups)


def summarise(arms: list[str], runs: list[dict[str, Any]], predictions) -> dict[str, Any]:
    """Means over folds, intervals by patient, and every encoder against what is no pretraining."""
    classes = {task: len(names) for task, names in TASKS.items()}
    rows = []
    for arm in arms:
        own = [run for run in runs if run["encoder"] == arm]
        scores = {task: mean_and_std([run[task] for run in own]) for task in TASKS}
        rows.append({"encoder": arm, "size": None, **scores})
    add_intervals(rows, predictions, classes)
    paired = by_repetition(predictions)
    first = [run for run in runs if run["seed"] == 0]
    wanted = [(arm, None, other, None) for arm in arms[:-3] for other in arms[-3:]]
    return {"summary": rows, "contrasts": contrasts(first, paired, wanted, classes), "runs": runs}


def by_repetition(predictions):
    """The first repetition alone: what is compared pair by pair."""
    return {
        arm: {task: [run for run in runs if run.seed == 0] for task, runs in tasks.items()}
        for arm, tasks in predictions.items()
    }


def facts(args: argparse.Namespace, films: datasets.Dataset) -> dict[str, Any]:
    return {
        "notices": [RESEARCH],
        "command": shlex.join(["python", *sys.argv]),
        "data": data_facts(films, COLUMNS[1:]),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seed": args.seed,
    }


def tables(results: Mapping[str, Any]) -> str:
    """Scores and differences in Markdown."""
    films = f"{results['data']['rows']} films of {results['data']['patients']} women"
    caption = f"mini-MIAS, {films}: macro F1, mean ± standard deviation over folds [95 % interval by patient]"
    scores = [[row["encoder"], *(_score(row[task]) for task in TASKS)] for row in results["summary"]]
    first = {"caption": caption, "columns": ["logistic regression on", *TITLES.values()], "rows": scores}
    caption = (
        "Difference in macro F1 of the pooled predictions [95 % interval by patient], p of the bootstrap with Holm's "
        "correction; random weights: the first draw"
    )
    rows = [
        [f"{row['first']} − {row['other']}", *(_difference(row[task]) for task in TASKS)]
        for row in results["contrasts"]
    ]
    second = {"caption": caption, "columns": ["difference", *TITLES.values()], "rows": rows}
    return "\n".join([f"{RESEARCH}\n", *map(markdown, (first, second))])


def _score(value: Mapping[str, Any]) -> str:
    return f"{number(value['mean'])} ± {number(value['std'])}{bounds(value['interval'])}"


def _difference(found: Mapping[str, Any]) -> str:
    return f"{signed(found['pooled_difference'])}{bounds(found['interval'])}, p {p_value(found['p_bootstrap_holm'])}"


def write(output: Path, results: Mapping[str, Any]) -> None:
    """The tables, then results.json, which says that all is there."""
    output.mkdir(parents=True, exist_ok=True)
    write_whole(output / "table.md", tables(results).encode())
    write_json(output / RESULTS, results)


if __name__ == "__main__":
    run_script(main)
