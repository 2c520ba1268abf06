"""What a result came from, as results.json notes it: the data, the command, the versions, and the time it took."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import datasets
import pyarrow.compute as pc
from transformers import TrainerCallback

from .cli import command_line

PACKAGES = ("torch", "transformers", "timm", "accelerate", "datasets", "numpy")
LABELS = ("patient_id", "exam_id", "laterality", "view", "birads", "density")


def data_fingerprint(table: datasets.Dataset, columns: Sequence[str] = LABELS) -> str:
    """SHA-256 of who was imaged, how, with which labels (`columns`), and of each stored image's length, in hex digits.

    The same for a data set that was built anew or moved; another one where a row, a label or the order differs. Images
    are not read, so that half a million of them take seconds.
    """
    digest = hashlib.sha256()
    for name in columns:
        digest.update(json.dumps([name, table[name][:]]).encode())
    for batch in table.select_columns("image").with_format("arrow").iter(batch_size=10_000):
        digest.update(
            json.dumps(pc.binary_length(pc.struct_field(batch["image"], "bytes")).to_pylist()).encode()
        )
    return digest.hexdigest()


def origin(table: datasets.Dataset) -> dict[str, Any]:
    """`fingerprint` of the data, `command` and `versions` for results.json."""
    return {
        "fingerprint": data_fingerprint(table),
        "command": command_line(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


class TrainingClock(TrainerCallback):
    """Adds up the time of the epochs' steps: their data and the model, without evaluation and checkpoints."""

    def __init__(self):
        self.seconds, self.began = 0.0, 0.0

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.began = time.monotonic()

    def on_epoch_end(self, args, state, control, **kwargs):
        self.seconds += time.monotonic() - self.began
