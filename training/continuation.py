"""Pretraining that starts from a whole MAM-CLIP model: what its folder settles is not a choice any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from modeling_mamclip import MamClipConfig
from processing import MamClipImageProcessor

from .pretraining_options import PretrainingOptions
from .release import load_processor

# Fields of MamClipConfig that concern the loss, and neither the weights nor what the network computes of them.
_OF_THE_LOSS = ("learn_temperature", "logit_scale_max", "contrastive_reduction")


def with_start(options: PretrainingOptions) -> PretrainingOptions:
    """The options with what the folder `start_from` settles; as they are where none is named.

    Raises ValueError for an option that contradicts the folder, OSError where it holds no such model.
    """
    if options.start_from is None:
        return options
    folder = Path(options.start_from)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"start_from is {folder}, which has no config.json; give a folder that pretrain.py or "
            "convert_published.py has written."
        )
    config, processor = MamClipConfig.from_pretrained(str(folder)), load_processor(folder)
    settled = _settled(config, processor.image_processor)
    for name in sorted(options.given & {*settled, "vision_weights", "text_weights"}):
        value = getattr(options, name)
        if value != settled.get(name):
            said = f"has {settled[name]}" if name in settled else "brings its own"
            raise ValueError(f"{name} is {value}, but start_from {folder} {said}; leave out {name}.")
    for name in options.model:
        if name not in _OF_THE_LOSS:
            raise ValueError(
                f"model names {name}, which start_from {folder} settles; it may name {', '.join(_OF_THE_LOSS)}."
            )
    weight = {} if "mlm_weight" in options.given else {"mlm_weight": config.mlm_weight}
    whole = replace(options, **settled, **weight, vision_weights=None, text_weights=None)
    whole.given = options.given
    return whole


def _settled(config: MamClipConfig, images: MamClipImageProcessor) -> dict[str, Any]:
    vision = config.vision_config
    return {
        "architecture": vision.architecture,
        "model_args": dict(vision.model_args),
        "pixel_mean": vision.pixel_mean,
        "pixel_std": vision.pixel_std,
        "projection_dim": config.projection_dim,
        "context_length": config.context_length,
        "image_size": [images.size["height"], images.size["width"]],
        "crop": images.do_crop,
    }
