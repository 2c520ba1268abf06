"""The options of classify.py, and those of learning_curve.py, which runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .options import RANDOM_TOWER, JsonFields, TrainingOptions, check_image_size, option, require


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
            check_image_size(self.image_size)
        require(self.folds >= 2, "folds", self.folds, "2 or more")
        require(0 <= self.fold < self.folds, "fold", self.fold, f"from 0 to {self.folds - 1}")
        require(self.stratify in (None, "density"), "stratify", self.stratify, "density or none")
        fraction = self.validation_fraction
        require(0 < fraction < 0.9, "validation_fraction", fraction, "between 0 and 0.9")
        samples = self.validation_samples
        require(samples is None or samples >= 1, "validation_samples", samples, "1 or more")
        right = bool(self.tasks) and sorted(set(self.tasks) & {"birads", "density"}) == sorted(self.tasks)
        require(right, "tasks", " ".join(self.tasks) or "empty", "birads, density, or both, each once")
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
            require(size is None or size >= 1, "train_samples", size, "1 or more")
        for name in ("extra_labels", "min_steps", "max_steps"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(self.evaluations >= 1, "evaluations", self.evaluations, "1 or more")
        require(
            not self.max_steps or self.min_steps <= self.max_steps,
            "min_steps",
            self.min_steps,
            f"max_steps or less, which is {self.max_steps}",
        )
        for fold in self.test_folds:
            require(0 <= fold < self.folds, "test_folds", fold, f"from 0 to {self.folds - 1}")
        for seed in self.seeds:
            require(seed >= 0, "seeds", seed, "0 or more")
        for name in ("encoders", "train_samples", "test_folds", "seeds"):
            given = getattr(self, name)
            require(len(set(given)) == len(given), name, given, "each value once")


def sample_count(text: str | int | None) -> int | None:
    """A number of labelled images: 500, "500", "5k" or "2.5k"; None for "all". ValueError for anything else."""
    words = str(text).lower()
    if words in ("all", "none"):
        return None
    number = words.removesuffix("k")
    if not number.replace(".", "", 1).isdecimal():
        raise ValueError(f"{text!r} is no number of labelled images; expected such as 500, 5k or all.")
    return round(float(number) * (1000 if words.endswith("k") else 1))
