"""Options of the training scripts: dataclasses whose fields are the YAML fields and the command line's options.

Defaults are the paper's (section 4.1), with the published code's values where the paper is silent: AdamW at 1e-4,
weight decay 1e-6, no schedule, batches of 64 pairs, 25 epochs, 1024 × 768 pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import inf
from typing import Any, Literal

BIOMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"
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
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("patience", "workers", "seed", "rotation", "weight_decay", "save_minutes"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        for name in ("scale", "shift", "brightness", "gamma", "downscaling", "warmup", "lora_dropout"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "a fraction from 0 to below 1")
        _require(
            0 <= self.distortion < 0.5,
            "distortion",
            self.distortion,
            "from 0 to below 0.5: nodes stay in order",
        )
        _require(0 <= self.marker_dropout <= 1, "marker_dropout", self.marker_dropout, "from 0 to 1")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "a number above 0")
        self._check_lora()
        self._check_reports()

    def _check_reports(self) -> None:
        for name in self.report_to:
            _require(name in REPORTS, "report_to", name, f"{', '.join(REPORTS)}, or none")
            if find_spec(name) is None:
                raise ValueError(
                    f"report_to {name} needs the package {name}, which is not installed; pip install {name}."
                )

    def _check_lora(self) -> None:
        right = set(self.lora) <= set(self.towers) and len(set(self.lora)) == len(self.lora)
        expected = f"{' or '.join(self.towers)}, each at most once, or none"
        _require(right, "lora", " ".join(self.lora), expected)
        if self.lora and find_spec("peft") is None:  # which looks for it without importing it
            raise ValueError("lora needs the package peft, which is not installed; pip install peft.")


@dataclass
class PretrainingOptions(TrainingOptions):
    """Contrastive and masked-language pretraining on image–caption pairs."""

    pairs: list[str] = option(
        [],
        "image–caption pairs: folders as extract_pairs.py or build_dataset.py --captions write them, also Parquet, "
        "or data sets of the Hub",
    )
    pairs_weights: list[float] = option(
        [],
        "one for each of pairs: their shares of the draws of an epoch, which is as long as all training pairs "
        "together; by default each pair comes once",
    )
    preview: str | None = option(
        None, "HTML file: show some augmented pairs with their captions in it, and do not train"
    )
    image_size: list[int] = option([1024, 768], "height and width of the model's input, in pixels")
    validation_fraction: float = option(0.1, "of the pairs, by whole cases: chooses the checkpoint")
    held_out_fraction: float = option(0.1, "of the pairs, by whole cases: measures retrieval at the end")
    architecture: str = option("convnext_small", "timm's name of the vision encoder")
    model_args: JsonFields = option(JsonFields(), "further arguments of that architecture, as JSON")
    vision_weights: str | None = option("imagenet", "imagenet, a .safetensors file, a folder, or none")
    text_weights: str | None = option(BIOMEDBERT, "folder or Hub id of the text encoder and its tokenizer")
    context_length: int = option(256, "longest caption in tokens; the rest is cut")
    projection_dim: int = option(768, "width of the space in which images and captions meet")
    mlm_weight: float = option(0.5, "λ of the masked-language loss")
    mask_probability: float = option(0.15, "fraction of a caption's words that are to be predicted")
    mask_share: float = option(1.0, "fraction of the captions that have words masked; fewer take less time")
    text_learning_rate: float | None = option(None, "of the text encoder; by default learning_rate")
    vision_learning_rate: float | None = option(None, "of the vision encoder; by default learning_rate")
    best: Literal["loss", "recall"] = option(
        "loss",
        "what chooses the checkpoint, and what patience watches, on validation pairs: loss, or the mean of recall@1, "
        "@5 and @10 in both directions",
    )
    start_from: str | None = option(
        None,
        "MAM-CLIP folder, pretrained or converted, to go on from: all its weights, processor and tokenizer",
    )
    frozen_text_layers: int = option(0, "lowest layers of the text encoder (and its embeddings) that stay")
    micro_batch: int = option(
        0,
        "pairs that go through the model at once, for the same gradient in less memory; 0: all of a process",
    )
    model: JsonFields = option(JsonFields(), "further fields of MamClipConfig, as JSON")

    def check(self) -> None:
        super().check()
        self._check_weights()
        _check_image_size(self.image_size)
        _require(self.micro_batch >= 0, "micro_batch", self.micro_batch, "0 or more")
        _require(0 < self.mask_probability < 1, "mask_probability", self.mask_probability, "between 0 and 1")
        _require(0 < self.mask_share <= 1, "mask_share", self.mask_share, "above 0, at most 1")
        self._check_weights()
        parts = (self.validation_fraction, self.held_out_fraction)
        for name, value in zip(("validation_fraction", "held_out_fraction"), parts, strict=True):
            _require(0 < value < 0.5, name, value, "between 0 and 0.5")
        _require(self.frozen_text_layers >= 0, "frozen_text_layers", self.frozen_text_layers, "0 or more")
        if "text" in self.lora and self.frozen_text_layers:
            raise ValueError(
                "lora text keeps the weights of all text layers as they are; leave out frozen_text_layers."
            )
        if "vision" in self.lora and self.vision_weights is None:
            raise ValueError(RANDOM_TOWER)

    def _check_weights(self) -> None:
        given, wanted = (
            self.pairs_weights,
            f"one number above 0 for each of the {len(self.pairs)} pairs, or none",
        )
        right = len(given) in (0, len(self.pairs)) and all(0 < weight < inf for weight in given)
        _require(right, "pairs_weights", given, wanted)


@dataclass
class ClassificationOptions(TrainingOptions):
    """BI-RADS and density classification on labelled images."""

    towers = ("vision",)

    data: str | None = option(
        None,
        "labelled images: a folder as build_dataset.py writes it, also Parquet, or a data set of the Hub",
    )
    encoder: str | None = option(
        "", "pretraining or release folder whose vision encoder to start from, or none"
    )
    image_size: list[int] = option([], "height and width; by default the encoder's, 1024 768 without one")
    architecture: str = option("convnext_small", "timm's name of the vision encoder, where encoder is none")
    model_args: JsonFields = option(JsonFields(), "further arguments of that architecture, as JSON")
    vision_weights: str | None = option(
        "imagenet", "where encoder is none: imagenet, a .safetensors file, or none"
    )
    train_samples: int | None = option(
        None, "labelled images to train on; by default all of the training folds; below 0: all but so many"
    )
    folds: int = option(4, "folds of the cross-validation, none of which cuts a patient")
    fold: int = option(0, "the fold that is tested, counted from 0")
    groups: str | None = option(
        None,
        "CSV file of patient_id and group, as audit_dataset.py writes it: folds cut no group of patients",
    )
    stratify: str | None = option(None, "what folds share out evenly beside BI-RADS: density, or none")
    validation_fraction: float = option(
        0.2, "of the training folds, by whole patients: chooses the checkpoint"
    )
    validation_samples: int | None = option(
        None, "at most so many images of these choose it: few take less time in every epoch; by default all"
    )
    tasks: list[str] = option(
        ["birads", "density"],
        "birads, density, or both: what is learned; the first chooses the checkpoint and is spread over the folds",
    )
    linear_probe: bool = option(
        False, "train the heads alone, on features of unaugmented images, which are extracted once and kept"
    )
    augment_probe: bool = option(
        False, "linear_probe on augmented images: the encoder sees all of them in every epoch"
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "balanced: weigh the classes of the first task by the inverse of their frequency"
    )
    sampling: Literal["shuffled", "balanced"] = option(
        "shuffled", "balanced: an epoch has each class of the first task equally often"
    )
    dropout: float = option(0.0, "before the heads")
    encoder_learning_rate: float | None = option(None, "of the vision encoder; by default learning_rate")

    def check(self) -> None:
        super().check()
        if self.image_size:
            _check_image_size(self.image_size)
        _require(self.folds >= 2, "folds", self.folds, "2 or more")
        _require(0 <= self.fold < self.folds, "fold", self.fold, f"from 0 to {self.folds - 1}")
        _require(self.stratify in (None, "density"), "stratify", self.stratify, "density or none")
        fraction = self.validation_fraction
        _require(0 < fraction < 0.9, "validation_fraction", fraction, "between 0 and 0.9")
        samples = self.validation_samples
        _require(samples is None or samples >= 1, "validation_samples", samples, "1 or more")
        right = bool(self.tasks) and sorted(set(self.tasks) & {"birads", "density"}) == sorted(self.tasks)
        _require(right, "tasks", " ".join(self.tasks) or "empty", "birads, density, or both, each once")
        if self.augment_probe and not self.linear_probe:
            raise ValueError("augment_probe was given without linear_probe; give both, or neither.")
        if self.class_weights == "balanced" and self.sampling == "balanced":
            raise ValueError(
                "class_weights and sampling are both balanced, which counts rare classes twice; choose one of them."
            )
        if self.lora and self.linear_probe:
            raise ValueError(
                "linear_probe trains the heads alone, and lora the encoder too; choose one of them."
            )
        if self.lora and self.encoder is None and self.vision_weights is None:
            raise ValueError(RANDOM_TOWER)


@dataclass
class LearningCurveOptions(ClassificationOptions):
    """Classification from every start with every number of labels, on every tested fold, with every seed."""

    output: str | None = option(None, "folder for the runs, results.json, the tables and the figures")
    encoders: list[str] = option(
        [],
        "what to start from: pretraining or release folders, imagenet, a .safetensors file with timm's names, or none "
        "(random weights); the first is compared with each other one",
    )
    train_samples: list[str] | None = option(
        None, "numbers of labelled images to train on, such as 500 5k all; by default all"
    )
    extra_labels: int = option(
        0,
        "Table 2: give all but the pretrained encoders so many labels more, in further runs; 0: no such runs",
    )
    extra_at: list[str] | None = option(
        None, "numbers of labelled images at which Table 2 compares; by default train_samples"
    )
    test_folds: list[int] = option([], "folds that are tested, counted from 0; by default fold alone")
    seeds: list[int] = option([], "one for every repetition, three or more are good; by default seed alone")
    min_steps: int = option(0, "no run has fewer steps, however few its epochs make; 0: no bound")
    max_steps: int = option(0, "no run has more steps, however many its epochs make; 0: no bound")
    evaluations: int = option(
        10, "how often the checkpoint is judged in a run that min_steps or max_steps bounds"
    )
    shard: str | None = option(None, "do every k-th run alone, from the i-th on: i/k, such as 1/4")
    slurm: bool = option(False, "print a SLURM array script that does every run as a job, and do nothing")
    report: bool = option(False, "gather the finished runs, and train nothing")
    phantom: bool = option(False, "the images are phantoms: say so wherever a score is written")

    def __post_init__(self):
        super().__post_init__()
        self.train_samples = [sample_count(word) for word in self.train_samples or ["all"]]
        self.extra_at = (
            [sample_count(word) for word in self.extra_at] if self.extra_at else self.train_samples
        )

    def check(self) -> None:
        super().check()
        if not all(self.encoders or [self.encoder is None or self.encoder]):
            raise ValueError("--encoders was not given; expected folders of pretrain.py, imagenet or none.")
        for size in (*self.train_samples, *self.extra_at):
            _require(size is None or size >= 1, "train_samples", size, "1 or more")
        for name in ("extra_labels", "min_steps", "max_steps"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        _require(self.evaluations >= 1, "evaluations", self.evaluations, "1 or more")
        _require(
            not self.max_steps or self.min_steps <= self.max_steps,
            "min_steps",
            self.min_steps,
            f"max_steps or less, which is {self.max_steps}",
        )
        for fold in self.test_folds:
            _require(0 <= fold < self.folds, "test_folds", fold, f"from 0 to {self.folds - 1}")
        for seed in self.seeds:
            _require(seed >= 0, "seeds", seed, "0 or more")
        for name in ("encoders", "train_samples", "test_folds", "seeds"):
            given = getattr(self, name)
            _require(len(set(given)) == len(given), name, given, "each value once")


def sample_count(text: str | int | None) -> int | None:
    """A number of labelled images: 500, "500", "5k" or "2.5k"; None for "all". ValueError for anything else."""
    words = str(text).lower()
    if words in ("all", "none"):
        return None
    number = words.removesuffix("k")
    if not number.replace(".", "", 1).isdecimal():
        raise ValueError(f"{text!r} is no number of labelled images; expected such as 500, 5k or all.")
    return round(float(number) * (1000 if words.endswith("k") else 1))


def _check_image_size(size: Sequence[int]) -> None:
    if len(size) != 2 or min(size) < 32:
        raise ValueError(f"image_size is {list(size)}; expected height and width, each 32 pixels or more.")


def _require(right: bool, name: str, value: Any, expected: str) -> None:
    if not right:
        raise ValueError(f"{name} is {value}; expected {expected}.")
