"""An aligned model from a folder or the Hub, and images and captions as points of its common space, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm
from transformers import PreTrainedConfig

from modeling_mamclip import MamClipConfig, MamClipModel
from processing import MamClipProcessor

from .initialization import quiet, some
from .release import load_processor


def load_aligned(folder: str | Path) -> tuple[MamClipModel, MamClipProcessor]:
    """The aligned encoders and their processor, ready to embed: eval mode, float32, on the GPU if there is one.

    folder: a release, what pretrain.py has written, or a Hub id. Code files in it are not executed: ours is used.

    Raises FileNotFoundError where there is no model, ValueError for a model that is no aligned MAM-CLIP.
    """
    name = str(folder)
    _check_kind(name)
    try:
        with quiet("transformers"):
            model, report = MamClipModel.from_pretrained(name, dtype=torch.float32, output_loading_info=True)
    except OSError as error:
        raise FileNotFoundError(f"the weights of {name} could not be read ({_reason(error)}).") from error
    except SafetensorError as error:
        raise ValueError(f"the weights of {name} are damaged ({_reason(error)}).") from error
    if report["missing_keys"]:
        raise ValueError(
            f"{name} holds no aligned vision-language model: it lacks {some(sorted(report['missing_keys']))}; "
            "give a folder of pretrain.py, or a release that was exported from one."
        )
    processor = load_processor(name)
    device = torch.accelerator.current_accelerator(check_available=True)
    return model.eval().to(device or "cpu"), processor


def embed_images(
    model: MamClipModel,
    processor: MamClipProcessor,
    images: Iterable[Any],
    batch_size: int = 16,
    desc: str = "Embedding images",
) -> Tensor:
    """N images → (N, P) float32 on the CPU, each row of length 1.

    images: whatever the image processor takes (PIL images, arrays, paths of files), such as a column of a data set;
    they are read as they are needed, and cropped or not as the processor's `do_crop` says.
    """
    parts = [torch.empty(0, model.config.projection_dim)]
    total = len(images) if hasattr(images, "__len__") else None
    with tqdm(total=total, desc=desc, unit="image") as bar:
        for batch in _batches(images, batch_size):
            inputs = processor(images=batch, return_tensors="pt").to(model.device)
            parts.append(_unit(model.get_image_features, inputs))
            bar.update(len(batch))
    return torch.cat(parts)


def embed_texts(
    model: MamClipModel, processor: MamClipProcessor, texts: Sequence[str], batch_size: int = 64
) -> Tensor:
    """N texts → (N, P) float32 on the CPU, each row of length 1; what exceeds the context length is cut."""
    parts = [torch.empty(0, model.config.projection_dim)]
    for batch in _batches(texts, batch_size):
        inputs = processor(text=batch, return_tensors="pt").to(model.device)
        parts.append(_unit(model.get_text_features, inputs))
    return torch.cat(parts)


@torch.inference_mode()
def _unit(encode: Any, inputs: Any) -> Tensor:
    """Model input → (B, P) float32 on the CPU, each row of length 1."""
    return F.normalize(encode(**inputs).pooler_output.float(), dim=-1).cpu()


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _check_kind(name: str) -> None:
    """Refuse what is no MAM-CLIP model, before its weights are read."""
    try:
        fields, _ = PreTrainedConfig.get_config_dict(name)
    except OSError:
        fields = {}
    if not fields:  # what an existing folder without config.json gives
        raise FileNotFoundError(
            f"{name} is no model (no config.json); give a folder of pretrain.py or export_release.py, or a Hub id "
            "that this machine can reach."
        )
    if fields.get("model_type") != MamClipConfig.model_type:
        raise ValueError(
            f"{name} holds a model of type {fields.get('model_type')!r}; expected {MamClipConfig.model_type!r}."
        )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
