"""The pretrained model and the classifier that was trained from it, as one configuration and one set of tensors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from modeling_mamclip import MamClipConfig

from .initialization import read_weights

ALIGNED, HEADS = ("vision_model.", "text_model."), ("birads_head.", "density_head.")
# Fields of a configuration that only say how the classifier was made; all others must agree with the pretraining's.
CLASSIFIER_FIELDS = (
    *("classifier_encoder", "classifier_dropout", "birads_temperature", "density_temperature"),
    *("id2label", "label2id", "density_labels"),
)


def has_all(tensors: Iterable[str], prefixes: Iterable[str]) -> bool:
    """Whether there is a tensor under each of the prefixes."""
    return all(any(name.startswith(prefix) for name in tensors) for prefix in prefixes)


def merge_models(
    pretrained: str | Path, classifier: str | Path | None
) -> tuple[MamClipConfig, dict[str, Tensor]]:
    """One configuration and one set of tensors: the pretraining's, and the classifier's beside them."""
    config, tensors = read_config(pretrained), read_weights(pretrained)
    _need(tensors, ("vision_model.", "text_model."), pretrained, "pretrained")
    if classifier is None:
        return config, tensors
    other, added = read_config(classifier), read_weights(classifier)
    encoder = "classifier_vision_model." if other.classifier_encoder == "own" else "vision_model."
    _need(added, (*HEADS, encoder), classifier, "classifier")
    _compare_configs(config, other, pretrained, classifier)
    if other.classifier_encoder == "shared":
        _compare_encoders(tensors, added, pretrained, classifier)
    for field in CLASSIFIER_FIELDS:
        setattr(config, field, getattr(other, field))
    config.provenance = {**config.provenance, **other.provenance}
    parts = HEADS if other.classifier_encoder == "shared" else (*HEADS, encoder)
    tensors.update({key: value for key, value in added.items() if key.startswith(parts)})
    return config, tensors


def read_config(folder: str | Path) -> MamClipConfig:
    """The configuration of a MAM-CLIP folder with weights; ValueError or FileNotFoundError for any other."""
    file = Path(folder) / "config.json"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} is not a MAM-CLIP folder: it has no config.json.")
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type")
    if kind != MamClipConfig.model_type:
        raise ValueError(f"{folder} holds a model of type {kind!r}; expected {MamClipConfig.model_type!r}.")
    return MamClipConfig.from_pretrained(str(folder))


def _need(tensors: Mapping[str, Tensor], prefixes: tuple[str, ...], folder: str | Path, role: str) -> None:
    for prefix in prefixes:
        if not any(key.startswith(prefix) for key in tensors):
            raise ValueError(
                f"{folder} has no tensors {prefix}*, so it cannot be the {role} model of a release."
            )


def _compare_configs(
    config: MamClipConfig, other: MamClipConfig, pretrained: str | Path, classifier: str | Path
) -> None:
    """The two must have the same vision encoder."""
    ours = {**config.vision_config.to_dict(), "projection_dim": config.projection_dim}
    theirs = {**other.vision_config.to_dict(), "projection_dim": other.projection_dim}
    for field, value in ours.items():
        if theirs.get(field) != value:
            raise ValueError(
                f"{classifier} has {field} {theirs.get(field)!r} and {pretrained} has {value!r}; "
                "a release needs a classifier that was trained from its pretrained model."
            )


def _compare_encoders(tensors, added, pretrained: str | Path, classifier: str | Path) -> None:
    for key, value in added.items():
        if key.startswith("vision_model.") and not value.equal(tensors[key]):
            raise ValueError(
                f"{classifier} shares its encoder, but {key} differs from that in {pretrained}; "
                "it was trained from another model."
            )
