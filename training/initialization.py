"""A step of its own: new models, with ImageNet and biomedical text weights loaded into them.

A MAM-CLIP model is always made with random weights (transformers builds models on the meta device, and
initialises what it builds), so pretrained ones are copied in afterwards, and here alone. Nothing is
unpickled: weights from files are safetensors.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from modeling_mamclip import MamClipConfig, MamClipForImageClassification, MamClipForPreTraining

IMAGENET = "imagenet"
WEIGHTS_FILE = "model.safetensors"
# Written by an export; a model that goes on training has neither code files nor a pipeline beside it.
_RELEASE_FIELDS = ("auto_map", "custom_pipelines")


def new_pretraining_model(
    config: MamClipConfig | Mapping[str, Any] | None = None,
    *,
    vision_weights: str | Path | None = None,
    text_weights: str | Path | None = None,
    **fields: Any,
) -> MamClipForPreTraining:
    """A model to pretrain.

    config, fields: a configuration, or fields of one. Fields of the text encoder that are not named come from
        text_weights.
    vision_weights: "imagenet" (fetched by timm), a .safetensors file with timm's names, a folder that holds
        one as model.safetensors, a MAM-CLIP folder, or None for random weights.
    text_weights: a folder or a Hub id of a BERT-like model, or None for random weights.

    Raises ValueError where weights do not fit the configuration, OSError where they cannot be read or
    fetched.
    """
    if not isinstance(config, MamClipConfig):
        given = {**(config or {}), **fields}
        if text_weights is not None and not isinstance(given.get("text_config"), PreTrainedConfig):
            given["text_config"] = text_config_of(text_weights, given.get("text_config"))
        config = MamClipConfig(**given)
    elif fields:
        raise ValueError(
            f"a whole configuration and the fields {sorted(fields)} were given; give one of the two."
        )
    model = MamClipForPreTraining(config)
    if vision_weights is None:
        draw_weights(model.vision_model.trunk)
    else:
        load_vision_weights(model.vision_model, config.vision_config, vision_weights)
    if text_weights is not None:
        load_text_weights(model.text_model.encoder, text_weights)
    _note_origin(config, vision_weights=vision_weights, text_weights=text_weights)
    return model


def continued_model(source: str | Path, **fields: Any) -> MamClipForPreTraining:
    """A model to pretrain further, with all weights of a MAM-CLIP folder: a pretraining run, a release, or a
    converted checkpoint, whose published choices its configuration keeps.

    fields: of MamClipConfig, to change.

    Raises ValueError where the folder lacks a part, as classifiers do, or OSError where it cannot be read.
    """
    config = _config_from(source, fields)
    model = MamClipForPreTraining(config)
    own = {name.partition(".")[0] for name in model.state_dict()}  # a release may hold a classifier as well
    tensors = {k: v for k, v in read_weights(source).items() if k.partition(".")[0] in own}
    copy_weights(model, tensors, f"the weights in {source}")
    _note_origin(config, start_from=source)
    return model


def new_classifier(
    source: str | Path | None = None,
    *,
    vision_weights: str | Path | None = None,
    linear_probe: bool = False,
    **fields: Any,
) -> MamClipForImageClassification:
    """A classifier to train.

    source: a pretraining or release folder, whose aligned vision encoder it starts from; or the folder of a
        classifier alone, as convert_published.py makes of published ones, which gives its heads too; None: a new
        encoder, with vision_weights as in `new_pretraining_model`.
    linear_probe: train the heads alone, on the aligned encoder, which stays as it is and can be shared in a
        release. Otherwise the encoder is trained as well and becomes the classifier's own.
    fields: of MamClipConfig, such as vision_config, id2label, density_labels, classifier_dropout; beside a
        source, those of vision_config are merged into the source's.
    """
    if source is not None and vision_weights is not None:
        raise ValueError(
            f"both the source {str(source)!r} and vision_weights were given; give one of the two."
        )
    fields.setdefault("classifier_encoder", "shared" if linear_probe else "own")
    if linear_probe and fields["classifier_encoder"] != "shared":
        raise ValueError("a linear probe trains no encoder, so classifier_encoder must be 'shared'.")
    config = MamClipConfig(**fields) if source is None else _config_from(source, fields)
    model = MamClipForImageClassification(config)
    weights = source if source is not None else vision_weights
    if weights is None:
        draw_weights(model.encoder.trunk)
    else:
        load_vision_weights(model.encoder, config.vision_config, weights)
    if source is not None:
        _load_heads(model, source)
    _note_origin(config, vision_weights=vision_weights)
    if linear_probe:
        model.encoder.requires_grad_(False)
    return model


def _load_heads(model: MamClipForImageClassification, source: str | Path) -> None:
    """Copy the heads of a folder that holds a classifier alone: they belong to the encoder that was copied from it."""
    tensors = read_weights(source)
    if _under(tensors, "vision_model."):
        return
    for name in ("birads_head", "density_head"):
        copy_weights(getattr(model, name), _under(tensors, f"{name}."), f"the {name} in {source}")


def draw_weights(trunk: nn.Module) -> None:
    """Random weights whose size follows each layer's inputs (He et al., arXiv 1502.01852, equation 10).

    timm draws a ConvNeXt's with one small deviation, 0.02, which suits wide networks and long training: in a narrow
    one the blocks add next to nothing at first.
    """
    for module in trunk.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)


def load_vision_weights(encoder: nn.Module, config: PreTrainedConfig, weights: str | Path) -> None:
    """Copy weights into a vision encoder: a whole MAM-CLIP encoder, or timm's trunk (the projection stays
    random).

    encoder: a MamClipVisionEncoder; config: its MamClipVisionConfig; weights: see `new_pretraining_model`.
    """
    if str(weights) == IMAGENET:
        copy_weights(
            encoder.trunk, _imagenet_weights(config), f"the ImageNet weights of {config.architecture}"
        )
        return
    tensors = read_weights(weights)
    aligned = _under(tensors, "vision_model.") or _under(tensors, "classifier_vision_model.")
    if aligned:
        copy_weights(encoder, aligned, f"the vision encoder in {weights}")
    else:
        copy_weights(encoder.trunk, _without_classifier(tensors, config), f"the vision weights {weights}")


def load_text_weights(encoder: nn.Module, weights: str | Path) -> None:
    """Copy a pretrained BERT-like model into a text encoder of the same shape; its pooler, if any, is left
    out."""
    try:
        with quiet("transformers"):
            pretrained, report = AutoModel.from_pretrained(
                str(weights), output_loading_info=True, dtype=torch.float32
            )
    except (OSError, ValueError) as error:
        raise OSError(_text_failure(weights, error)) from error
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ValueError(f"the text weights {str(weights)!r} lack {some(missing)}.")
    tensors = {key: value for key, value in pretrained.state_dict().items() if not key.startswith("pooler.")}
    copy_weights(encoder, tensors, f"the text weights {weights}")


def text_config_of(weights: str | Path, changes: Mapping[str, Any] | None = None) -> PreTrainedConfig:
    """The configuration beside text weights, with some of its fields changed."""
    try:
        config = AutoConfig.from_pretrained(str(weights))
    except (OSError, ValueError) as error:
        raise OSError(_text_failure(weights, error)) from error
    for name, value in (changes or {}).items():
        if not hasattr(config, name):
            nearest = get_close_matches(name, config.to_dict(), n=1, cutoff=0.0)[0]
            raise ValueError(
                f"the text encoder of {str(weights)!r} has no field {name!r}; did you mean {nearest!r}?"
            )
        setattr(config, name, value)
    return config


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a .safetensors file, or of the model.safetensors in a folder."""
    file = Path(path)
    file = file / WEIGHTS_FILE if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(
            f"there are no weights at {file}; expected a .safetensors file or a folder with {WEIGHTS_FILE}."
        )
    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(
            f"{file} is not a readable safetensors file ({error}); convert the weights to safetensors."
        ) from error


def copy_weights(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Copy tensors into a module whose parameters and buffers have exactly their names and shapes, or raise
    ValueError."""
    own = module.state_dict()
    problems = {
        "lack": sorted(set(own) - set(tensors)),
        "also have": sorted(set(tensors) - set(own)),
        "have other shapes for": sorted(
            k for k in set(own) & set(tensors) if own[k].shape != tensors[k].shape
        ),
    }
    found = [f"{verb} {some(keys)}" for verb, keys in problems.items() if keys]
    if found:
        raise ValueError(f"{name} do not fit the configuration: they {', and '.join(found)}.")
    module.load_state_dict(dict(tensors))


def _imagenet_weights(config: PreTrainedConfig) -> dict[str, Tensor]:
    """timm's default pretrained weights for an architecture, fetched by timm (from its cache, when they are
    there)."""
    if not timm.is_model_pretrained(config.architecture):
        raise ValueError(
            f"timm has no pretrained weights for {config.architecture!r}; choose another vision_weights."
        )
    try:
        arguments = {"num_classes": 0, "in_chans": config.num_channels, **config.model_args}
        return timm.create_model(config.architecture, pretrained=True, **arguments).state_dict()
    except Exception as error:  # timm lets through whatever its downloaders raise
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"the ImageNet weights of {config.architecture!r} could not be loaded ({type(error).__name__}: {reason}); "
            "connect to the Hub, or give a .safetensors file as vision_weights."
        ) from error


def _without_classifier(tensors: Mapping[str, Tensor], config: PreTrainedConfig) -> dict[str, Tensor]:
    """timm's tensors but those of the classification layer, which `num_classes=0` does not have."""
    named = timm.get_pretrained_cfg(config.architecture).classifier or "head.fc"
    prefixes = tuple(f"{name}." for name in ([named] if isinstance(named, str) else named))
    return {key: value for key, value in tensors.items() if not key.startswith(prefixes)}


def _config_from(source: str | Path, changes: dict[str, Any]) -> MamClipConfig:
    """The configuration of a MAM-CLIP folder with some fields changed, as that of a new model."""
    if not (Path(source) / "config.json").is_file():
        raise FileNotFoundError(f"{source} is not a MAM-CLIP folder: it has no config.json.")
    fields = MamClipConfig.from_pretrained(str(source)).to_dict()
    if fields.get("model_type") != MamClipConfig.model_type:
        raise ValueError(
            f"{source} holds a model of type {fields.get('model_type')!r}, not {MamClipConfig.model_type!r}."
        )
    if isinstance(changes.get("vision_config"), Mapping):
        changes = {**changes, "vision_config": {**fields["vision_config"], **changes["vision_config"]}}
    if "id2label" in changes:
        fields.pop("label2id", None)
    for name in _RELEASE_FIELDS:
        fields.pop(name, None)
    return MamClipConfig(**{**fields, **changes})


def _note_origin(config: MamClipConfig, **weights: str | Path | None) -> None:
    """Record in the provenance which weights a model started from."""
    names = {key: name_of(value) for key, value in weights.items() if value}
    config.provenance = {**config.provenance, **names}


def name_of(weights: str | Path) -> str:
    """What to call weights where others read it: a name, not a place on a disk."""
    return Path(weights).name if Path(weights).exists() else str(weights)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _text_failure(weights: str | Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return (
        f"the text model {str(weights)!r} could not be loaded ({reason}); give a folder with config.json and "
        f"{WEIGHTS_FILE}, or a Hub id that this machine can reach."
    )


def some(names: Iterable[str], limit: int = 4) -> str:
    """Names for a message: the first of them, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Silence a logger below errors: the report on weights that are missing or left out, which we judge ourselves."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
