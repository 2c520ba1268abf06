"""What the options of all training scripts share: dataclasses whose fields are the YAML fields and the command line's.

Defaults are the paper's (section 4.1), with the published code's values where the paper is silent: AdamW at 1e-4,
weight decay 1e-6, no schedule, batches of 64 pairs, 25 epochs, 1024 × 768 pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

REPORTS = ("tensorboard", "trackio", "wandb")
RANDOM_TOWER = (
    "lora keeps the vision encoder's weights as they are, and vision_weights is none, so they would stay random; "
    "give pretrained ones, or leave vision out of lora."
)


class JsonFields(dict):
    """A mapping, or the JSON text of one, as an option's type."""

    def __init__(self, given: str | Mapping[str, Any] = ()):
        value = json.loads(given) if isinstance(given, str) else given
        if isinstance(value, (list, str, int, float)):
            raise ValueError(f"{given!r} is not a mapping of names to values")
        super().__init__(value)


def option(default: Any, text: str) -> Any:
    """A dataclass field with a help text; a mutable default is copied for every instance."""
    text = text.replace("%", "%%")
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class TrainingOptions:
    """What pretraining and classification share."""

    towers = ("text", "vision")  # that adapters can be put on
    given = frozenset()  # fields that a file or the command line names, whatever their values

    output: str | None = option(None, "folder for the model, its processor and results.json")
    config: str | None = option(None, "YAML file of these options; the command line wins over it")
    seed: int = option(0, "of the split, the weights, the order, the masking and the augmentation")
    crop: bool = option(True, "crop images to the breast before they are resized")
    epochs: int = option(25, "at most this many passes over the training images")
    batch_size: int = option(
        64, "images in a batch of each process; in pretraining: pairs of all together, each other's negatives"
    )
    accumulation: int = option(1, "batches before a step; in pretraining this adds no negatives")
    learning_rate: float = option(1e-4, "of AdamW")
    weight_decay: float = option(1e-6, "of AdamW, on matrices and kernels alone")
    schedule: Literal["constant", "linear", "cosine"] = option("constant", "of the learning rate")
    warmup: float = option(0.0, "fraction of the steps in which the learning rate rises from 0")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = option(
        "auto", "mixed precision; auto: bf16 or else fp16 on a GPU, fp32 without one"
    )
    compile: bool = option(
        False, "compile the encoders by torch.compile; minutes at first, then faster steps"
    )
    report_to: list[str] = option([], "where losses, rates and speed are logged: tensorboard, trackio, wandb")
    gradient_checkpointing: bool = option(False, "recompute activations: less memory, a third more time")
    patience: int = option(0, "stop after so many epochs without a better validation score; 0: never")
    workers: int = option(4, "processes that load and augment images")
    lora: list[str] = option(
        [],
        "encoders that keep their weights and learn low-rank adapters: text, vision (classification: vision)",
    )
    lora_rank: int = option(8, "of the adapters: columns of the two thin matrices beside each weight matrix")
    lora_alpha: int = option(16, "the adapters' output is multiplied by lora_alpha / lora_rank")
    lora_dropout: float = option(0.0, "of the adapters' inputs")
    pixel_mean: float = option(0.0, "a new vision encoder subtracts it from its pixels (0 to 1)")
    pixel_std: float = option(1.0, "and divides by this; 0 and 1 are as published")
    augmentation: Literal["standard", "published"] = option(
        "standard",
        "published: both flips, grid distortion and downscaling, captions unchanged; the ranges below are not used",
    )
    flip: bool = option(
        True, "augmentation: mirror half of the images left to right, and the sides that captions name"
    )
    vertical_flip: bool = option(
        False, "augmentation: turn half of the images upside down, and upper and lower in captions"
    )
    rotation: float = option(5.0, "augmentation: rotate by up to so many degrees, either way")
    scale: float = option(0.1, "augmentation: enlarge or shrink by up to this fraction")
    shift: float = option(0.03, "augmentation: shift by up to this fraction of the image")
    distortion: float = option(
        0.1, "augmentation: move the nodes of a 5 × 5 grid by up to this fraction of a cell"
    )
    downscaling: float = option(0.0, "augmentation: lose up to this fraction of the rows and columns")
    marker_dropout: float = option(
        0.5, "augmentation: blank letters and labels beside the breast in this fraction of the images"
    )
    brightness: float = option(0.1, "augmentation: brighten or darken by up to this fraction")
    gamma: float = option(0.15, "augmentation: exponent of the grey values, from 1 − x to 1 / (1 − x)")
    cache: str | None = option(
        None, "folder for the resized images, where any have to be made; by default beside the data set"
    )
    keep_checkpoints: bool = option(False, "keep OUTPUT/checkpoints when training has ended")
    save_minutes: float = option(
        30.0, "a checkpoint after so many minutes, beside that of every epoch; 0: epochs alone"
    )
    trainer: JsonFields = option(JsonFields(), "further fields of transformers' TrainingArguments, as JSON")

    def __post_init__(self):
        if self.lora in (["none"], ["null"]):  # so that --lora none undoes what a file says
            self.lora = []
        if self.report_to in (["none"], ["null"]):
            self.report_to = []

    def check(self) -> None:
        """Raise ValueError for a value that no training can have."""
        for name in ("epochs", "batch_size", "accumulation", "lora_rank", "lora_alpha"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("patience", "workers", "seed", "rotation", "weight_decay", "save_minutes"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("scale", "shift", "brightness", "gamma", "downscaling", "warmup", "lora_dropout"):
            require(0 <= getattr(self, name) < 1, name, getattr(self, name), "a fraction from 0 to below 1")
        require(
            0 <= self.distortion < 0.5,
            "distortion",
            self.distortion,
            "from 0 to below 0.5: nodes stay in order",
        )
        require(0 <= self.marker_dropout <= 1, "marker_dropout", self.marker_dropout, "from 0 to 1")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a number above 0")
        self._check_lora()
        self._check_reports()

    def _check_reports(self) -> None:
        for name in self.report_to:
            require(name in REPORTS, "report_to", name, f"{', '.join(REPORTS)}, or none")
            if find_spec(name) is None:
                raise ValueError(
                    f"report_to {name} needs the package {name}, which is not installed; pip install {name}."
                )

    def _check_lora(self) -> None:
        right = set(self.lora) <= set(self.towers) and len(set(self.lora)) == len(self.lora)
        expected = f"{' or '.join(self.towers)}, each at most once, or none"
        require(right, "lora", " ".join(self.lora), expected)
        if self.lora and find_spec("peft") is None:  # which looks for it without importing it
            raise ValueError("lora needs the package peft, which is not installed; pip install peft.")


def check_image_size(size: Sequence[int]) -> None:
    """Raise ValueError where `size` is no height and width that an encoder can have."""
    if len(size) != 2 or min(size) < 32:
        raise ValueError(f"image_size is {list(size)}; expected height and width, each 32 pixels or more.")


def require(right: bool, name: str, value: Any, expected: str) -> None:
    """Raise ValueError, which says what option `name` was and what was expected, where it is not right."""
    if not right:
        raise ValueError(f"{name} is {value}; expected {expected}.")
