"""The authors' published checkpoints → our configuration and our tensors.

There are two kinds. Pretraining checkpoints are Lightning's: weights under "VLModel.", the run's settings beside them.
Fine-tuned ones are bare: a timm encoder, and the BI-RADS and density layers. What the file says counts: its settings
where it has them, the shapes of its tensors otherwise. Its choices that new models do not make are switched on in the
configuration: `attend_to_padding`, `mlm_vocab_size`, `logit_scale_max`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from modeling_mamclip import MamClipConfig, MamClipForImageClassification, MamClipForPreTraining

from .initialization import some
from .torch_file import StoredTensor, TorchFile, setting

PREFIX = "VLModel."
PAPER_SIZE = (1024, 768)
PAPER_FUSION_HEADS, PAPER_MLM_WEIGHT = 8, 0.5  # where a checkpoint has lost its settings
BERT_HEADS = {768: 12, 1024: 16}  # by width: BERT-base (BiomedBERT's shape) and BERT-large
FIRST_ARCHITECTURES = ("convnext_small", "convnext_tiny")  # the published ones
LISTED = 12  # tensors that an error names, at most
NEAR = 0.9  # a trunk that has so much in common with an architecture is a damaged one of it

# Beginnings of our names → those of the published names; the first that fits counts.
PRETRAINED_NAMES = {
    "vision_model.projection.": "vision_encoder.head.fc.",
    "vision_model.trunk.": "vision_encoder.",
    "text_model.projection.weight": "text_projection",
    "text_model.encoder.": "text_encoder.",
    "fusion.image_token": "img_special_token",
    "fusion.blocks.": "fusion_module.resblocks.",
    "mlm_head.weight": "mlm_projection",
    "logit_scale": "logit_scale",
}
FUSION_NAMES = {
    ".attention.qkv.": ".attn.in_proj_",
    ".attention.out.": ".attn.out_proj.",
    ".norm": ".ln_",
    ".fc1.": ".mlp.c_fc.",
    ".fc2.": ".mlp.c_proj.",
}
FINETUNED_NAMES = {
    "classifier_vision_model.projection.": "head.fc.",
    "classifier_vision_model.trunk.": "",
    "birads_head.": "birads_layer.0.",
    "density_head.": "density_layer.0.",
}
TRANSPOSED = ("text_projection", "mlm_projection")  # the published code multiplies by them from the right
# What published checkpoints have and no output depends on.
UNUSED = ("positional_embedding", "ln_final.", "text_encoder.pooler.", "text_encoder.embeddings.position_ids")
MLM_PARTS = ("mlm_projection", "img_special_token", "fusion_module.")


@dataclass(frozen=True)
class Published:
    """A published checkpoint, read.

    aligned: whether it is a pretraining checkpoint; otherwise it is a fine-tuned classifier.
    tensors: float32, under our names. dropped: published names of tensors that no output depends on.
    text_model: the Hub id of the text encoder, and so of its tokenizer, where the settings name it.
    """

    config: MamClipConfig
    tensors: dict[str, Tensor]
    dropped: list[str]
    aligned: bool
    text_model: str | None


def read_published(path: str | Path, text_config: str | Path | None = None) -> Published:
    """Read a published checkpoint of either kind; nothing in it is executed.

    text_config: a config.json of the text encoder, where the checkpoint does not say all of it (its number of heads).

    Raises ValueError for what is no such checkpoint, and for unknown, missing and misshapen tensors, which it lists.
    """
    with TorchFile(path) as file:
        content = file.content if isinstance(file.content, dict) else {}
        stored = _tensors_of(content, path)
        checkpoint = _Checkpoint(Path(path), stored, content.get("hyper_parameters"))
        config = checkpoint.config(text_config)
        sources, dropped = _matched(checkpoint, config)
        tensors = {ours: _ours(file.read(stored[theirs]), theirs) for ours, theirs in sources.items()}
    config.provenance = _provenance(checkpoint)
    return Published(config, tensors, dropped, checkpoint.aligned, checkpoint.text_model)


def _tensors_of(content: Mapping[str, Any], path: str | Path) -> dict[str, StoredTensor]:
    """The state dict, which is the whole of a fine-tuned checkpoint; told by the names that both kinds have."""
    state = content.get("state_dict", content)
    state = state if isinstance(state, dict) else {}
    tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, StoredTensor)}
    if not any(name.startswith((PREFIX, "birads_layer.")) for name in tensors):
        found = f"its tensors are {some(tensors, LISTED)}" if tensors else "it has no tensors"
        raise ValueError(
            f"{path} is no published MAM-CLIP checkpoint: it has neither {PREFIX}* nor birads_layer.*, "
            f"and {found}."
        )
    if len(tensors) < len(state):
        others = [str(name) for name, value in state.items() if not isinstance(value, StoredTensor)]
        raise ValueError(f"{path} has values among its weights that are no tensors: {some(others, LISTED)}.")
    return tensors


@dataclass(frozen=True)
class _Checkpoint:
    """What a checkpoint says about its model: its settings, and its tensors' shapes."""

    path: Path
    stored: Mapping[str, StoredTensor]
    settings: Any

    @property
    def aligned(self) -> bool:
        return any(name.startswith(PREFIX) for name in self.stored)

    @property
    def prefix(self) -> str:
        return PREFIX if self.aligned else ""

    @property
    def text_model(self) -> str | None:
        return self._setting(str, "text_model", "bert_model_name")

    def config(self, text_config: str | Path | None) -> MamClipConfig:
        if self.aligned:
            return self._pretraining_config(text_config)
        if text_config is not None:
            raise ValueError(f"{self.path} is a classifier, which reads no text; leave out --text-config.")
        return MamClipConfig(
            vision_config=self._vision_config(""),
            projection_dim=self.size("head.fc.weight", 0),
            classifier_encoder="own",
        )

    def _pretraining_config(self, text_config: str | Path | None) -> MamClipConfig:
        has_mlm = f"{PREFIX}mlm_projection" in self.stored
        return MamClipConfig(
            vision_config=self._vision_config("vision_encoder."),
            text_config=_json_object(text_config) if text_config else self._text_config(),
            projection_dim=self._setting(int, "embed_dim") or self.size("text_projection", 1),
            text_pooling="cls",
            context_length=self._setting(int, "text_model", "context_length")
            or self.size("positional_embedding", 0),
            attend_to_padding=True,
            logit_scale_max=None,
            contrastive_reduction="mean",
            fusion_layers=self._count("fusion_module.resblocks.") or 1,
            fusion_heads=self._setting(int, "text_model", "heads") or PAPER_FUSION_HEADS,
            mlm_vocab_size=self.size("mlm_projection", 1) if has_mlm else None,
            mlm_weight=self._mlm_weight(),
        )

    def _mlm_weight(self) -> float:
        if self._setting(bool, "text_model", "mlm") is False:
            return 0.0
        weight = self._setting((int, float), "text_model", "mlm_coeff")
        return PAPER_MLM_WEIGHT if weight is None else weight

    def _vision_config(self, prefix: str) -> dict[str, Any]:
        size = self._setting(list, "data", "image_size")
        name = self._setting(str, "vision_model", "name") or self._architecture(prefix)
        return {"architecture": name, "image_size": size or PAPER_SIZE}

    def _architecture(self, prefix: str) -> str:
        trunk = {name.removeprefix(prefix): shape for name, shape in self._shapes(prefix).items()}
        others = ("head.fc.", "birads_layer.", "density_layer.")
        name = nearest_architecture({k: v for k, v in trunk.items() if not k.startswith(others)})
        if name is None:
            raise ValueError(
                f"{self.path} has an image encoder that is no ConvNeXt of timm {timm.__version__}: "
                f"its tensors are {some(trunk, LISTED)}."
            )
        return name

    def _text_config(self) -> dict[str, Any]:
        """BERT's fields, from the shapes of its tensors."""
        embeddings = "text_encoder.embeddings."
        width = self.size(f"{embeddings}word_embeddings.weight", 1)
        if width not in BERT_HEADS:
            raise ValueError(
                f"{self.path} does not say how many heads its text encoder of width {width} has; "
                "give its config.json as --text-config."
            )
        return {
            "vocab_size": self.size(f"{embeddings}word_embeddings.weight", 0),
            "hidden_size": width,
            "num_attention_heads": BERT_HEADS[width],
            "num_hidden_layers": self._count("text_encoder.encoder.layer."),
            "intermediate_size": self.size("text_encoder.encoder.layer.0.intermediate.dense.weight", 0),
            "max_position_embeddings": self.size(f"{embeddings}position_embeddings.weight", 0),
            "type_vocab_size": self.size(f"{embeddings}token_type_embeddings.weight", 0),
        }

    def _setting(self, kind: type | tuple[type, ...], *path: str) -> Any:
        """A setting, where the checkpoint has it and it is of the right kind."""
        value = setting(self.settings, *path)
        return value if isinstance(value, kind) else None

    def size(self, name: str, dimension: int) -> int:
        tensor = self.stored.get(self.prefix + name)
        if tensor is None:
            raise ValueError(f"{self.path} lacks the tensor {self.prefix + name}.")
        if len(tensor.shape) <= dimension:
            raise ValueError(f"{self.path}: {self.prefix + name} has the wrong shape {tensor.shape}.")
        return tensor.shape[dimension]

    def _shapes(self, prefix: str) -> dict[str, tuple[int, ...]]:
        names = {name.removeprefix(self.prefix): tensor.shape for name, tensor in self.stored.items()}
        return {name: shape for name, shape in names.items() if name.startswith(prefix)}

    def _count(self, prefix: str) -> int:
        """How many numbers follow the prefix: layers of a stack."""
        return len({name.removeprefix(prefix).partition(".")[0] for name in self._shapes(prefix)})


def _json_object(path: str | Path) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); give the text encoder's config.json.") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}; give the text encoder's config.json, an object."
        )
    return content


# ---- architectures


def nearest_architecture(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """The ConvNeXt of timm that has a trunk of these names and shapes, or nearly (NEAR) these; None: there is none."""
    best, most = None, 0.0
    names = sorted(timm.list_models("*convnext*"), key=lambda name: name not in FIRST_ARCHITECTURES)
    for name in names:
        expected = trunk_shapes(name).items()
        shared = len(expected & shapes.items()) / max(len(expected | shapes.items()), 1)
        if shared > most:
            best, most = name, shared
        if shared == 1:
            break
    return best if most >= NEAR else None


@cache
def trunk_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an architecture's tensors, without its classifier."""
    with torch.device("meta"):
        trunk = timm.create_model(name, pretrained=False, num_classes=0)
    return {key: tuple(tensor.shape) for key, tensor in trunk.state_dict().items()}


# ---- names and shapes


def _matched(checkpoint: _Checkpoint, config: MamClipConfig) -> tuple[dict[str, str], list[str]]:
    """Our names → the checkpoint's, one for one; and the names that are dropped. Raises ValueError, or all fits."""
    kind = MamClipForPreTraining if checkpoint.aligned else MamClipForImageClassification
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in kind(config).state_dict().items()}
    theirs = {name: checkpoint.prefix + published_name(name) for name in shapes}
    unused = UNUSED if config.mlm_weight > 0 else (*UNUSED, *MLM_PARTS)
    stored, beginnings = checkpoint.stored, tuple(checkpoint.prefix + name for name in unused)
    others = [name for name in stored if name not in theirs.values()]
    dropped = [name for name in others if checkpoint.aligned and name.startswith(beginnings)]
    problems = {
        "lacks": [name for name in theirs.values() if name not in stored],
        "also has": [name for name in others if name not in dropped],
        "has other shapes for": list(_misshapen(shapes, theirs, stored)),
    }
    found = [f"{verb} {some(names, LISTED)}" for verb, names in problems.items() if names]
    if found:
        raise ValueError(f"{checkpoint.path} does not fit its architecture: it {', and '.join(found)}.")
    return theirs, dropped


def _misshapen(
    shapes: Mapping[str, tuple[int, ...]], theirs: Mapping[str, str], stored: Mapping[str, StoredTensor]
) -> Iterable[str]:
    for ours, shape in shapes.items():
        name = theirs[ours]
        expected = shape[::-1] if name.removeprefix(PREFIX) in TRANSPOSED else shape
        if name in stored and stored[name].shape != expected:
            yield f"{name} ({stored[name].shape} instead of {expected})"
        elif name in stored and not stored[name].storage.dtype.is_floating_point:
            yield f"{name} ({stored[name].storage.dtype} instead of floats)"


def published_name(ours: str) -> str:
    """The name that a tensor of ours has in a published checkpoint, without "VLModel."."""
    names = {**PRETRAINED_NAMES, **FINETUNED_NAMES}
    beginning = next((start for start in names if ours.startswith(start)), None)
    if beginning is None:  # a part that published models never have, which will be missed under our name
        return ours
    theirs = names[beginning] + ours.removeprefix(beginning)
    if beginning == "fusion.blocks.":
        for part, other in FUSION_NAMES.items():
            theirs = theirs.replace(part, other, 1)
    return theirs


def _ours(tensor: Tensor, theirs: str) -> Tensor:
    tensor = tensor.to(torch.float32)
    return tensor.T.contiguous() if theirs.removeprefix(PREFIX) in TRANSPOSED else tensor


def _provenance(checkpoint: _Checkpoint) -> dict[str, str]:
    """Which file the weights were in; under a key of its kind, since a release may be made of two."""
    with checkpoint.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kind = "pretraining" if checkpoint.aligned else "classifier"
    origin = {f"converted_{kind}": f"{checkpoint.path.name}, sha256 {digest}"}
    return {**origin, "text_weights": checkpoint.text_model} if checkpoint.text_model else origin
