"""What happens at an epoch's ends: the examples are told its number, the user gets a line, the history a row."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from .data import SeededExamples


class SetEpoch(TrainerCallback):
    """Tells the examples which epoch begins, before workers are started for it."""

    def __init__(self, examples: SeededExamples):
        self.examples = examples

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.examples.set_epoch(int(state.epoch or 0))  # 1.6 where the second epoch goes on


class FindBest(TrainerCallback):
    """The best checkpoint lies in the run's folder, also where that was moved before the run was continued."""

    def on_train_begin(self, args, state, control, **kwargs):
        folder = Path(args.output_dir, f"checkpoint-{state.best_global_step}")
        if folder.is_dir():
            state.best_model_checkpoint = str(folder)


class EpochLine(TrainerCallback):
    """Prints a line an epoch: its number, the training loss, what was measured on validation, and the time."""

    def __init__(self, names: Mapping[str, str]):
        self.names = names  # metric → how the line calls it
        self.began = time.monotonic()

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.began = time.monotonic()

    def on_evaluate(self, args, state, control, metrics=None, **kwargs):
        if not state.is_world_process_zero or state.epoch is None:
            return
        rows = epoch_history(state.log_history)
        values = {**(metrics or {}), **(rows[-1] if rows else {})}
        parts = [f"{label} {values[name]:.3f}" for name, label in self.names.items() if name in values]
        seconds = time.monotonic() - self.began
        total = f"{args.num_train_epochs:g}"
        tqdm.write(f"epoch {round(state.epoch)}/{total}  {'  '.join(parts)}  {seconds:.0f} s")  # above a bar
        sys.stdout.flush()


def epoch_history(log: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Trainer's log → a row an epoch: `epoch`, `train_loss`, `learning_rate`, and the metrics named `eval_…`.

    Where the loss was logged several times in an epoch, the row has the mean over its steps.
    """
    rows: dict[int, dict[str, float]] = {}
    losses: dict[
        int, list[tuple[float, int]]
    ] = {}  # of every epoch: a loss, and of how many steps it is the mean
    before = 0
    for entry in log:
        if "epoch" not in entry or "train_runtime" in entry:
            continue
        epoch = math.ceil(entry["epoch"])
        row = rows.setdefault(epoch, {"epoch": epoch})
        if "loss" in entry:
            losses.setdefault(epoch, []).append((entry["loss"], entry["step"] - before))
            before = entry["step"]
            row |= {"train_loss": _weighted_mean(losses[epoch]), "learning_rate": entry["learning_rate"]}
        row |= {
            name: value for name, value in entry.items() if name.startswith("eval_") and not _is_speed(name)
        }
    return [rows[epoch] for epoch in sorted(rows)]


def _weighted_mean(values: list[tuple[float, int]]) -> float:
    if len(values) == 1:
        return values[0][0]
    return sum(value * weight for value, weight in values) / sum(weight for _, weight in values)


def _is_speed(name: str) -> bool:
    return name.endswith(("_runtime", "_per_second", "_preparation_time"))
