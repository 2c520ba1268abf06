"""What classify.py costs beside the model's bare training step, on phantoms of 256 × 192 pixels; no score is measured.

First images a second of whole epochs, with their data, in turns with the bare step on the same batch shape, in one
process with one thread: without workers, and with one. Then a cell of a learning curve as a command of its own: what
start-up, data and evaluation add to its training time.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from unittest.mock import patch

import datasets
import numpy as np
import torch
from machine import print_result
from PIL import Image
from transformers.utils.logging import disable_progress_bar

import training.origin
from dataset_builders.birads import FIVE_CLASSES
from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_many
from training.initialization import new_classifier
from training.origin import TrainingClock

SCRIPT = Path(__file__).resolve().parent.parent / "train_scripts" / "classify.py"
ARCHITECTURE, HEIGHT, WIDTH, BATCH = "convnext_atto", 256, 192, 16
PATIENTS = 120  # of two views each
STEP_IMAGES, STEP_EPOCHS = 96, 5  # the first epoch warms up
CELL = {"validation_samples": 32, "epochs": 12}  # all labels of the training folds


class BareSteps(TrainingClock):
    """Times every epoch, and then as many bare steps, so that a slow moment of the machine meets both."""

    epochs: list[tuple[float, float]] = []  # seconds of the epoch, of the bare steps

    def on_epoch_end(self, args, state, control, **kwargs):
        before = self.seconds
        super().on_epoch_end(args, state, control, **kwargs)
        self.epochs.append((self.seconds - before, bare_seconds(STEP_IMAGES // BATCH)))


def bare_seconds(steps: int) -> float:
    """Seconds of forward, backward and optimizer on one batch that is there already, after two steps to warm up."""
    torch.manual_seed(0)
    model = new_classifier(
        vision_config={"architecture": ARCHITECTURE, "image_size": [HEIGHT, WIDTH]}
    ).train()
    model.encoder.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    pixels = torch.rand(BATCH, 3, HEIGHT, WIDTH).contiguous(memory_format=torch.channels_last)
    labels, density_labels = torch.randint(0, 5, (BATCH,)), torch.randint(0, 4, (BATCH,))
    for step in range(steps + 2):
        if step == 2:
            began = time.monotonic()
        optimizer.zero_grad()
        model(pixels, labels=labels, density_labels=density_labels).loss.backward()
        optimizer.step()
    return time.monotonic() - began


def write_phantoms(folder: Path) -> None:
    """Records of phantom patients, the CC views of both breasts of each; every class is there."""
    cases = [draw_case(7, index, birads=FIVE_CLASSES[index % 5]) for index in range(PATIENTS)]
    shots = [(case, side) for case in cases for side in "LR"]
    views = render_many(
        [(case, side, "CC", {"height": 512, "width": 384}) for case, side in shots], processes=1
    )
    rows = {
        "image": [Image.fromarray((view.pixels >> 4).astype(np.uint8)) for view in views],
        "patient_id": [case.case_id for case, _ in shots],
        "exam_id": [case.case_id for case, _ in shots],
        "laterality": [side for _, side in shots],
        "view": ["CC"] * len(shots),
        "birads": [case.birads for case, _ in shots],
        "density": [case.density for case, _ in shots],
    }
    datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image()).save_to_disk(folder)


def words(place: Path, output: str, **options: object) -> list[str]:
    """The command line of a run."""
    given = {
        "data": place / "records",
        "cache": place / "cache",
        "output": place / output,
        "encoder": "none",
        "architecture": ARCHITECTURE,
        "vision-weights": "none",
        "batch-size": BATCH,
        "trainer": '{"use_cpu": true}',
        **options,
    }
    shared = [str(SCRIPT), "--image-size", str(HEIGHT), str(WIDTH)]
    return shared + [
        str(word) for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)
    ]


def epoch_to_bare(place: Path, workers: int) -> tuple[float, float]:
    """Images a second of whole epochs, and that by the bare step's: medians over epochs in turns with bare steps."""
    BareSteps.epochs.clear()
    options = {
        "train_samples": STEP_IMAGES,
        "validation_samples": 8,
        "epochs": STEP_EPOCHS,
        "workers": workers,
    }
    argv = words(place, f"workers{workers}", **options)
    clock = patch.object(training.origin, "TrainingClock", BareSteps)
    with patch.object(sys, "argv", argv), clock, redirect_stdout(StringIO()):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    pairs = BareSteps.epochs[1:]
    return STEP_IMAGES / median(whole for whole, _ in pairs), median(bare / whole for whole, bare in pairs)


def cell_seconds(place: Path) -> dict[str, float]:
    """Seconds of a cell as a command of its own, its images resized before: start-up, training, and the rest."""
    command = [sys.executable, *words(place, "cell", workers=0, **CELL)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent), "OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    whole = time.monotonic() - began
    results = json.loads((place / "cell" / "results.json").read_text(encoding="utf-8"))
    trained = results["training_seconds"]
    return {"start_up": whole - results["seconds"], "training": trained, "rest": results["seconds"] - trained}


def main() -> None:
    disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_phantoms(place / "records")
        rates = {workers: epoch_to_bare(place, workers) for workers in (0, 1)}
        cell = cell_seconds(place)
    added = {name: cell[name] / cell["training"] for name in ("start_up", "rest")}
    for workers, (rate, ratio) in rates.items():
        print(f"phantoms, {workers} workers: {rate:.1f} images/s, {ratio:.2f} of the bare step's")
    print(
        f"a cell: {cell['training']:.0f} s of training; start-up adds {added['start_up']:.0%}, "
        f"data, evaluation and saving {added['rest']:.0%}"
    )
    print_result(
        benchmark="classify.py's epochs to the bare training step, phantoms, one thread",
        images_per_second={f"workers_{workers}": round(rate, 1) for workers, (rate, _) in rates.items()},
        to_bare_step={f"workers_{workers}": round(ratio, 3) for workers, (_, ratio) in rates.items()},
        cell_seconds={name: round(value, 1) for name, value in cell.items()},
        added_to_training={name: round(value, 3) for name, value in added.items()},
    )


if __name__ == "__main__":
    main()
