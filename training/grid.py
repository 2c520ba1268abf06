"""The cells of a learning curve: what to start from × number of labels × fold × seed, each a run of classify.py."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import datasets

from .classification_options import ClassificationOptions, LearningCurveOptions
from .initialization import IMAGENET
from .origin import LABELS, data_fingerprint

RUNS = "runs"
FILE = ".safetensors"


@dataclass(frozen=True)
class Cell:
    """One run: `arm` is what it starts from, `size` how many labels it has (None: all, below 0: all but so many)."""

    arm: str
    size: int | None
    options: ClassificationOptions

    @property
    def name(self) -> str:
        return f"{self.arm}-{size_word(self.size)}-fold{self.options.fold}-seed{self.options.seed}"


@dataclass(frozen=True)
class Arm:
    """What a run starts from: a folder whose encoder was pretrained, or an architecture and its weights."""

    name: str
    encoder: str | None
    vision_weights: str | None

    @property
    def pretrained(self) -> bool:
        return self.encoder is not None


def arms(options: LearningCurveOptions) -> list[Arm]:
    """The arms in the order of the options; ValueError where two would have the same name."""
    found = [_arm(word, options) for word in options.encoders or [None]]
    names = [arm.name for arm in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two encoders are called {name!r}; rename the folder of one of them.")
    return found


def _arm(word: str | None, options: LearningCurveOptions) -> Arm:
    if word is None:  # the options of classify.py say it
        word = options.encoder or (options.vision_weights if options.vision_weights else "none")
    if word.lower() in ("none", "null"):
        return Arm("none", None, None)
    if word == IMAGENET or word.endswith(FILE):
        return Arm(Path(word).name.removesuffix(FILE), None, word)
    return Arm(Path(word).name, word, options.vision_weights)


def plan(options: LearningCurveOptions) -> list[Cell]:
    """All cells, each with a folder of its own; what is compared comes one after the other."""
    found = []
    for seed in options.seeds or [options.seed]:
        for fold in options.test_folds or [options.fold]:
            found += [_cell(options, arm, size, fold, seed) for size, arm in _sizes(options)]
    for cell in found:
        cell.options.check()
    return found


def _sizes(options: LearningCurveOptions) -> Iterator[tuple[int | None, Arm]]:
    """Every size with every arm, then those that Table 2 has besides."""
    every = arms(options)
    wanted = [(size, arm) for size in options.train_samples for arm in every]
    for ours, theirs in table2_sizes(options):
        wanted += [(ours, arm) for arm in every if arm.pretrained]
        wanted += [(theirs, arm) for arm in every if not arm.pretrained]
    yield from dict.fromkeys(wanted)


def table2_sizes(options: LearningCurveOptions) -> list[tuple[int | None, int | None]]:
    """(labels of the pretrained encoders, labels of the others), as in Table 2 of the paper.

    Beside all labels, the pretrained encoders do without the extra ones: there are no more for the others.
    """
    extra = options.extra_labels
    if not extra:
        return []
    return [(-extra, None) if size is None else (size, size + extra) for size in options.extra_at]


def _cell(options: LearningCurveOptions, arm: Arm, size: int | None, fold: int, seed: int) -> Cell:
    shared = {entry.name: getattr(options, entry.name) for entry in fields(ClassificationOptions)}
    own = {"encoder": arm.encoder, "vision_weights": arm.vision_weights, "train_samples": size}
    own |= {"fold": fold, "seed": seed, "config": None, "trainer": _trainer_fields(options, size)}
    cell = Cell(arm.name, size, ClassificationOptions(**{**shared, **own}))
    cell.options.output = str(Path(options.output or "", RUNS, cell.name))
    return cell


def _trainer_fields(options: LearningCurveOptions, size: int | None) -> Any:
    """What turns epochs into a bounded number of steps: as many as the epochs make, or the bound.

    A run on all labels has as many as `max_steps` says. Without a bound, epochs are counted as ever.
    """
    known = size is not None and size > 0
    if not (options.min_steps or options.max_steps) or not (known or options.max_steps):
        return options.trainer
    batch = options.batch_size * options.accumulation * int(os.environ.get("WORLD_SIZE", 1))
    steps = options.max_steps
    if known:
        steps = max(options.epochs * math.ceil(size / batch), options.min_steps)
        steps = min(steps, options.max_steps or steps)
    every = max(1, round(steps / options.evaluations))
    kinds = ("eval", "save", "logging")
    bounded = {"max_steps": max(steps // every, 1) * every}
    bounded |= {f"{kind}_strategy": "steps" for kind in kinds} | {f"{kind}_steps": every for kind in kinds}
    return type(options.trainer)({**bounded, **options.trainer})


def size_word(size: int | None) -> str:
    """A number of labelled images as folders and tables have it: 500, all, all-2000."""
    return "all" if size is None else f"all{size}" if size < 0 else str(size)


def shard_of(cells: list[Cell], shard: str | None) -> list[Cell]:
    """The cells of shard i/k, counted from 1: every k-th from the i-th on. ValueError for anything else."""
    if shard is None:
        return cells
    place, slash, count = shard.partition("/")
    if not (slash and place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count)):
        raise ValueError(f"shard is {shard!r}; expected i/k with i from 1 to k, such as 1/4.")
    return cells[int(place) - 1 :: int(count)]


def data_facts(table: datasets.Dataset, columns: Sequence[str] = LABELS) -> dict[str, Any]:
    """What tells a data set from another one: rows, patients, and the fingerprint of these columns and the images."""
    patients = len(set(table["patient_id"][:]))
    return {"rows": len(table), "patients": patients, "sha256": data_fingerprint(table, columns)}
