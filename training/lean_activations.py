"""Less memory for a forward pass: what takes next to no time to compute again is not kept for the backward pass.

A GELU and a layer norm each keep their input, and the layer behind them keeps their output as well. Of two tensors that
say the same, the second is made again from the first when the backward pass asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

Again = Callable[[], Tensor]
VIEWS = ("ViewBackward0", "UnsafeViewBackward0")


def lean_activations() -> saved_tensors_hooks:
    """A context for forward passes: outputs of GELUs and layer norms that a later layer would keep are made again.

    A GELU's come out to the same bits, a layer norm's to rounding. What has been cast or transposed since is kept.
    """
    return saved_tensors_hooks(_pack, _unpack)


def _pack(kept: Tensor) -> Tensor | Again:
    maker = kept.grad_fn
    while maker is not None and maker.name() in VIEWS:
        maker = maker.next_functions[0][0]
    recipe = RECIPES.get(maker.name()) if maker is not None else None
    if recipe is None or (maker is not kept.grad_fn and not kept.is_contiguous()):
        return kept
    again, shape = recipe(maker), kept.shape
    return lambda: again().view(shape)


def _unpack(kept: Tensor | Again) -> Tensor:
    if isinstance(kept, Tensor):
        return kept
    with torch.no_grad():
        return kept()


# ---- how an output is made again from what its layer keeps of its input


def _gelu(layer: Any) -> Again:
    given, approximate = layer._saved_self.detach(), layer._saved_approximate
    return lambda: F.gelu(given, approximate=approximate)


def _layer_norm(layer: Any) -> Again:
    given, mean, deviation = layer._saved_input.detach(), layer._saved_result1, layer._saved_result2
    weight, bias = layer._saved_weight, layer._saved_bias

    def again() -> Tensor:
        normal = (given - mean).mul_(deviation)
        scaled = normal if weight is None else normal.mul_(weight)
        return scaled if bias is None else scaled.add_(bias)

    return again


RECIPES = {"GeluBackward0": _gelu, "NativeLayerNormBackward0": _layer_norm}
