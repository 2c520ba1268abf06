"""The parts of classification that the script puts together: processor, model, examples, class weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import torch
from torch import Tensor

from modeling_mamclip import MamClipForImageClassification
from processing import MamClipImageProcessor

from .adapters import add_adapters
from .classification_options import ClassificationOptions
from .compilation import compile_parts
from .data import Images, LabelledExamples
from .initialization import new_classifier
from .masking import IGNORED

PAPER_SIZE = (1024, 768)


def classifier_processor(options: ClassificationOptions) -> MamClipImageProcessor:
    """The encoder's image processor, in another size where the options ask for one."""
    size = options.image_size
    if options.encoder is None:
        height, width = size or PAPER_SIZE
        return MamClipImageProcessor(size={"height": height, "width": width}, do_crop=options.crop)
    if not Path(options.encoder).is_dir():
        raise FileNotFoundError(
            f"the encoder {options.encoder} is not a folder; give one that pretrain.py has written, or none."
        )
    processor = MamClipImageProcessor.from_pretrained(options.encoder)
    if size:
        processor.size = {"height": size[0], "width": size[1]}
    processor.do_crop = options.crop
    return processor


def classifier_model(
    options: ClassificationOptions, processor: MamClipImageProcessor
) -> MamClipForImageClassification:
    """The classifier from the encoder that the options name, or from an architecture."""
    size = (processor.size["height"], processor.size["width"])
    vision = {"image_size": size}
    if options.encoder is None:
        vision |= {"architecture": options.architecture, "model_args": dict(options.model_args)}
        vision |= {"pixel_mean": options.pixel_mean, "pixel_std": options.pixel_std}
    model = new_classifier(
        options.encoder,
        vision_weights=options.vision_weights if options.encoder is None else None,
        linear_probe=options.linear_probe,
        vision_config=vision,
        classifier_dropout=options.dropout,
    )
    add_adapters(model, options)
    model.encoder.to(memory_format=torch.channels_last)
    if options.compile:
        compile_parts(model)
    return model


def silence_heads(model: MamClipForImageClassification, tasks: Sequence[str]) -> None:
    """A head that is not among the tasks ("birads", "density") stays at 0: it finds every class equally probable."""
    for task, head in (("birads", model.birads_head), ("density", model.density_head)):
        if task not in tasks:
            head.requires_grad_(False)
            for parameter in head.parameters():
                parameter.data.zero_()
            origin = {f"{task}_head": "untrained, so that all classes are equally probable"}
            model.config.provenance = {**model.config.provenance, **origin}


def labelled_examples(
    options: ClassificationOptions,
    table: datasets.Dataset,
    processor: MamClipImageProcessor,
    labels: Sequence[int],
    density_labels: Sequence[int],
) -> LabelledExamples:
    """All rows of a table with resized images, unaugmented; splits are made from it with other `rows`."""
    size = (processor.size["height"], processor.size["width"])
    return LabelledExamples(
        images=Images(table, size, processor.scaling == "min_max"),
        rows=range(len(table)),
        seed=options.seed,
        fixed=True,
        labels=labels,
        density_labels=density_labels,
    )


def balanced_weights(labels: Sequence[int], classes: int) -> Tensor:
    """(classes,) weights, inverse to the frequency of each class; classes that do not occur weigh 0, the mean is 1."""
    known = np.array([label for label in labels if label != IGNORED], dtype=int)
    counts = np.bincount(known, minlength=classes)
    weights = np.where(counts > 0, len(known) / np.maximum(counts, 1), 0.0)
    return torch.tensor(weights / weights[weights > 0].mean(), dtype=torch.float32)
