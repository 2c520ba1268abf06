"""Losses of MAM-CLIP, as functions of tensors alone. All are computed in float32, whatever the model's
dtype."""

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100  # the label of what is unknown or not to be counted, everywhere in transformers


def contrastive_loss(
    logits_per_image: Tensor, caption_ids: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """InfoNCE in both directions over one batch of pairs (paper, section 2.1).

    logits_per_image (B, B): scaled cosine similarities, image i (row) against caption j (column); pair i is
        (i, i).
    caption_ids (B,): pairs with one id share their caption; they are left out of each other's denominators,
        so that no image is pushed away from its own caption. None: all captions differ.
    reduction: "mean" of the two directions' cross-entropies, or their "sum", the paper's formula.

    The negatives are those of the batch that the caller holds: under several processes each one's loss sees
    its own pairs only, and gradient accumulation does not add any either.
    """
    logits = logits_per_image.float()
    if caption_ids is not None:
        logits = logits.masked_fill(_shared_captions(caption_ids), float("-inf"))
    targets = torch.arange(len(logits), device=logits.device)
    both = F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)
    return both if reduction == "sum" else both / 2


def _shared_captions(caption_ids: Tensor) -> Tensor:
    """(B, B) bool, True where two different pairs have one caption. The diagonal is False."""
    same = caption_ids[:, None] == caption_ids[None, :]
    return same & ~torch.eye(len(caption_ids), dtype=torch.bool, device=caption_ids.device)


def known_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the rows whose label is known; 0, with a gradient of 0, when none is.

    logits (N, C); labels (N,) class indices, -100 where unknown.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


def classification_loss(*heads: tuple[Tensor, Tensor | None]) -> Tensor | None:
    """Sum of the heads' `known_cross_entropy`; None when no head was given labels.

    heads: logits (N, C) and labels (N,), or None, of each.
    """
    losses = [known_cross_entropy(logits, labels) for logits, labels in heads if labels is not None]
    return torch.stack(losses).sum() if losses else None


class _UpperBound(torch.autograd.Function):
    """min(x, bound), whose gradient is blocked only where it would push x further beyond the bound.

    A plain clamp has no gradient there at all, so a temperature that has reached its bound could never leave
    it.
    """

    @staticmethod
    def forward(ctx, value: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(value >= bound)
        return value.clamp(max=bound)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (at_bound,) = ctx.saved_tensors
        return gradient.masked_fill(at_bound & (gradient < 0), 0.0), None


def bounded(value: Tensor, bound: float) -> Tensor:
    """`value`, at most `bound`, with a gradient that can lead back below the bound."""
    return _UpperBound.apply(value, bound) if value.requires_grad else value.clamp(max=bound)
