"""Where a model looked: heatmaps of a class or of a caption, led back to the mammogram's own pixels.

A map is HiResCAM (Draelos and Carin, https://arxiv.org/abs/2011.08891), as Captum computes it, on a stage of the vision
encoder: activations times their gradients, summed over channels, of a class's logit or of the cosine between the
image's and a caption's embeddings; what speaks against it is left out. Grad-CAM, which averages the gradients over
the image first, pointed no better than chance at masses planted in phantoms (docs/evaluation.md).

A map shows what raised the score and proves nothing about the breast: research use only, not a medical device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from captum.attr import LayerGradientXActivation
from matplotlib import colormaps
from torch import Tensor, nn
from torch.nn import functional as F

# The deepest stage is taken that has so many cells along the input's longer side: a mass of 2 cm is two or three of
# them. At 1024 × 768 that is ConvNeXt's last stage (32 × 24), at 160 × 120 its second (20 × 15).
CELLS = 20
TASKS = ("birads", "density")
OPACITY = 0.6  # of the hottest place, so that the tissue below stays visible
COLOURS, DARKEST = "winter", 0.4  # Matplotlib's blue to green: far from the orange of frames, for most eyes


def class_map(
    model: nn.Module,
    pixel_values: Tensor,
    label: int | str,
    *,
    task: str = "birads",
    stage: int | None = None,
) -> np.ndarray:
    """What speaks for a class: (h, w) float32 in [0, 1], of the model input's size; 0 everywhere where nothing does.

    model: a MamClipForImageClassification (or what opens as one by remote code). pixel_values: (1, 3, H, W), or without
    the 1, floats as the image processor gives them. label: a class's name, as in `config.id2label` or
    `config.density_labels`, or its index. task: "birads" or "density". stage: of the encoder, counted as Python counts;
    None: the deepest of CELLS cells or more.

    Captum's hooks are on the model meanwhile: one map at a time.

    Raises:
        ValueError: another shape, task or label, or a model without gradients or stages, such as an ONNX export.
    """
    index = _class_index(model, label, task)
    output = "logits" if task == "birads" else "density_logits"

    def score(pixels: Tensor) -> Tensor:
        return getattr(model(pixel_values=pixels), output)[:, index]

    return _relevance(model, _encoder(model, "encoder"), score, pixel_values, stage)


def caption_map(
    model: nn.Module,
    pixel_values: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    stage: int | None = None,
) -> np.ndarray:
    """What matches a caption: (h, w) float32 in [0, 1], of the model input's size; 0 everywhere where nothing does.

    model: a MamClipModel. pixel_values and stage: see `class_map`. input_ids, attention_mask: (n, T) as the tokenizer
    gives them; of several phrasings the mean of the embeddings counts.

    Raises:
        ValueError: see `class_map`; or captions that are too long for the model.
    """
    encoder = _encoder(model, "vision_model")
    wanted = _text_direction(model, input_ids, attention_mask)

    def score(pixels: Tensor) -> Tensor:
        image = model.get_image_features(pixels).pooler_output
        return F.cosine_similarity(image.float(), wanted[None], dim=-1)

    return _relevance(model, encoder, score, pixel_values, stage)


def on_original(heat: np.ndarray, placement: Any) -> np.ndarray:
    """A map over the model's input (h, w) → over the image as it was given, (H0, W0) float32, 0 outside the crop.

    placement: of the image processor's batch, `batch.placements[0]`.
    """
    original = placement.to_original(np.ascontiguousarray(heat, dtype=np.float32))
    return np.clip(original, 0, 1)  # bilinear weights add up to 1 but for rounding


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A mammogram with its map in colours: (H0, W0, 3) uint8.

    pixels: (H0, W0) integers or floats, shown from their darkest to their brightest. heat: (H0, W0) in [0, 1]; where it
    is 0, the mammogram is as it was.

    Raises:
        ValueError: two shapes, values outside [0, 1], or NaN.
    """
    if pixels.ndim != 2 or pixels.shape != heat.shape:
        raise ValueError(
            f"the image is {pixels.shape} and the map {heat.shape}; expected one (height, width)."
        )
    if not (np.isfinite(pixels).all() and ((heat >= 0) & (heat <= 1)).all()):
        raise ValueError("a map has values in [0, 1] and an image finite ones; found others.")
    grey = pixels.astype(np.float32) - float(pixels.min())
    grey = (grey / max(float(grey.max()), 1e-12))[..., None]
    colour = colormaps[COLOURS](DARKEST + (1 - DARKEST) * heat)[..., :3].astype(np.float32)
    opacity = OPACITY * heat.astype(np.float32)[..., None]
    return np.rint(255 * ((1 - opacity) * grey + opacity * colour)).astype(np.uint8)


def _text_direction(model: nn.Module, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """(n, T) → (P,), the mean of the n captions' embeddings."""
    with _still(model), torch.inference_mode(False), torch.no_grad():
        mask = None if attention_mask is None else attention_mask.clone().to(model.device)
        captions = model.get_text_features(input_ids.clone().to(model.device), mask).pooler_output
        return F.normalize(captions.float(), dim=-1).mean(dim=0)


def _class_index(model: nn.Module, label: int | str, task: str) -> int:
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; expected one of {', '.join(TASKS)}.")
    config = model.config
    names = (
        list(config.density_labels)
        if task == "density"
        else [config.id2label[i] for i in sorted(config.id2label)]
    )
    if label in names:
        return names.index(label)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        return label
    raise ValueError(f"the model has no class {label!r} of {task}; it has {', '.join(names)}.")


def _encoder(model: nn.Module, name: str) -> nn.Module:
    """The vision encoder of a model of the right kind: `encoder` of a classifier, `vision_model` of an aligned one."""
    encoder = getattr(model, name, None)
    reads = name == "encoder" or hasattr(model, "get_text_features")
    if not reads or not isinstance(encoder, nn.Module) or not hasattr(encoder, "trunk"):
        kind = "a classifier" if name == "encoder" else "an aligned model"
        raise ValueError(
            f"{type(model).__name__} is not {kind} in PyTorch, whose gradients a map is made of."
        )
    return encoder


def _relevance(
    model: nn.Module,
    encoder: nn.Module,
    score: Callable[[Tensor], Tensor],
    pixel_values: Tensor,
    stage: int | None,
) -> np.ndarray:
    """HiResCAM of a score on a stage, upsampled to the input's size, from 0 to 1."""
    pixels = _one_image(pixel_values)
    with _still(model), torch.inference_mode(False), torch.enable_grad():
        pixels = pixels.detach().clone().to(model.device).requires_grad_()
        layer = _layer(encoder, max(pixels.shape[-2:]), stage)
        product = LayerGradientXActivation(score, layer).attribute(pixels).detach().float()
    if product.ndim != 4:
        raise ValueError(f"a stage of the encoder gives {product.ndim} dimensions; a map needs (B, C, h, w).")
    coarse = product.sum(dim=1, keepdim=True).relu()
    return _to_unit(F.interpolate(coarse, pixels.shape[-2:], mode="bilinear")[0, 0]).cpu().numpy()


def _one_image(pixel_values: Tensor) -> Tensor:
    pixels = pixel_values[None] if pixel_values.ndim == 3 else pixel_values
    if pixels.ndim != 4 or len(pixels) != 1:
        raise ValueError(
            f"pixel_values has the shape {tuple(pixel_values.shape)}; expected one image, (1, 3, H, W)."
        )
    return pixels


@contextmanager
def _still(model: nn.Module) -> Iterator[None]:
    """Without dropout and without batch norms that learn from the image; then as it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _layer(encoder: nn.Module, longer: int, stage: int | None) -> nn.Module:
    """A stage of a timm trunk, which lists them and by how much each reduces the image in `feature_info`."""
    stages = list(getattr(encoder.trunk, "feature_info", ()))
    if stage is None:
        stage = max((i for i, one in enumerate(stages) if longer >= CELLS * one["reduction"]), default=0)
    if not -len(stages) <= stage < len(stages):
        raise ValueError(f"stage is {stage}, but the vision encoder has {len(stages)} of them.")
    return encoder.trunk.get_submodule(stages[stage]["module"])


def _to_unit(values: Tensor) -> Tensor:
    """Non-negative values, divided by their largest; zeros stay zeros."""
    largest = values.max()
    return values / largest if largest > 0 else torch.zeros_like(values)
