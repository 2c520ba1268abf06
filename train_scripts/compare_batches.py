"""Compare an exact batch with small batches that are accumulated: held-out retrieval, several seeds.

    python train_scripts/compare_batches.py --config configs/compare_batches.yaml --pairs PAIRS --seeds 0 1 2 \\
        --output OUTPUT

Both arms take as many pairs a step, in as many steps, a micro-batch at a time, and differ in one thing: what an image
is told apart from. Exact: all other captions of the step. Accumulated, as published: those of its own micro-batch. Each
run is one of pretrain.py, in OUTPUT/exact_0, OUTPUT/accumulated_0, and so on; a finished one is not repeated. OUTPUT
holds table.md and results.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from evaluation.notices import NOTICE
from training.cli import ScriptParser, run_script
from training.runs import write_json, write_whole

ARMS = ("exact", "accumulated")
DIRECTIONS = {"image_to_text": "image → caption", "text_to_image": "caption → image"}
SCORES = ("recall@1", "recall@5", "recall@10")
PRETRAIN = Path(__file__).with_name("pretrain.py")


def main() -> None:
    options = parsed()
    Path(options.output).mkdir(parents=True, exist_ok=True)
    runs = [(arm, seed) for seed in options.seeds for arm in ARMS]
    for arm, seed in tqdm(runs, "Runs", unit="run"):
        pretrain(options, arm, seed)
    found = {arm: [retrieval(folder_of(options, arm, seed)) for seed in options.seeds] for arm in ARMS}
    lines = [NOTICE, "", *table(found, options)]
    write_json(Path(options.output, "results.json"), {**vars(options), "arms": found})
    write_whole(Path(options.output, "table.md"), ("\n".join(lines) + "\n").encode())
    print("\n".join(lines))


def parsed() -> argparse.Namespace:
    parser = ScriptParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", required=True, help="YAML file of pretrain.py's options, the same for all"
    )
    parser.add_argument("--pairs", required=True, help="folder of pairs, as extract_pairs.py writes it")
    parser.add_argument("--output", required=True, help="folder for the runs and the table")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="one for every pair of runs")
    parser.add_argument("--batch", type=int, default=64, help="pairs of a step")
    parser.add_argument("--micro-batch", type=int, default=8, help="pairs that go through the model at once")
    options = parser.parse_args()
    if options.micro_batch < 1 or options.batch % options.micro_batch:
        raise ValueError(
            f"--batch is {options.batch} and --micro-batch {options.micro_batch}; expected a multiple of it."
        )
    return options


def folder_of(options: argparse.Namespace, arm: str, seed: int) -> Path:
    return Path(options.output, f"{arm}_{seed}")


def pretrain(options: argparse.Namespace, arm: str, seed: int) -> None:
    """A run of one arm, in a process of its own; ValueError where it fails, which has then said why."""
    size, count = options.micro_batch, options.batch // options.micro_batch
    own = {
        "exact": ("--batch_size", options.batch, "--micro_batch", size),
        "accumulated": ("--batch_size", size, "--accumulation", count),
    }[arm]
    shared = ("--config", options.config, "--pairs", options.pairs, "--seed", seed)
    command = [sys.executable, PRETRAIN, *shared, *own, "--output", folder_of(options, arm, seed)]
    if subprocess.run([str(word) for word in command]).returncode:
        raise ValueError(f"the run {arm}_{seed} failed; its own message is above.")


def retrieval(folder: Path) -> dict[str, dict[str, float]]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["retrieval"]


def table(found: dict[str, list[dict]], options: argparse.Namespace) -> list[str]:
    """The lines of a Markdown table: mean ± standard deviation over seeds, then each seed."""
    titles = {
        "exact": f"exact batch of {options.batch}",
        "accumulated": f"{options.micro_batch} at a time, accumulated to {options.batch}",
    }
    lines = ["| held-out retrieval | " + " | ".join(titles[arm] for arm in ARMS) + " | chance |"]
    lines.append("| --- " * (len(ARMS) + 2) + "|")
    for direction, name in DIRECTIONS.items():
        for score in SCORES:
            cells = [spread([run[direction][score] for run in found[arm]]) for arm in ARMS]
            chances = [run[direction][score.replace("recall", "chance")] for run in found[ARMS[0]]]
            lines.append(f"| {name}, {score} | {' | '.join(cells)} | {statistics.mean(chances):.3f} |")
    return lines


def spread(values: list[float]) -> str:
    """mean ± standard deviation (single values)."""
    singles = ", ".join(f"{value:.3f}" for value in values)
    if len(values) == 1:
        return singles
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f} ({singles})"


if __name__ == "__main__":
    run_script(main)
