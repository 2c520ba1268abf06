"""Losses of MAM-CLIP, as functions of tensors alone. All are computed in float32, whatever the model's
dtype."""

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100  # the label of what is unknown or not to be counted, everywhere in transformers


def contrastive_loss(
    logits_per_image: Tensor, caption_ids: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """InfoNCE in both directions over one batch of pairs (paper, section 2.1), with several positives where captions
    are shared.

    logits_per_image (B, B): scaled cosine similarities, image i (row) against caption j (column); pair i is
        (i, i).
    caption_ids (B,): pairs with one id share their caption. Each image is drawn to every copy of its caption, and a
        caption to each of its images, as a mean over them; none of these is in another's denominator, so that no
        image is pushed away from its own caption. None: all captions differ.
    reduction: "mean" of the two directions' cross-entropies, or their "sum", the paper's formula.

    The negatives are those of the batch that the caller holds: under several processes each one's loss sees
    its own pairs only, and gradient accumulation does not add any either.
    """
    logits = logits_per_image.float()
    if caption_ids is None:
        caption_ids = torch.arange(len(logits), device=logits.device)
    positive = caption_ids[:, None] == caption_ids[None, :]  # (B, B), symmetric
    both = _toward_positives(logits, positive) + _toward_positives(logits.T, positive)
    return both if reduction == "sum" else both / 2


def _toward_positives(logits: Tensor, positive: Tensor) -> Tensor:
    """Mean over rows (B,) of the mean over a row's positives of −log(e^positive / (e^positive + Σ e^negative))."""
    negatives = logits.masked_fill(positive, float("-inf")).logsumexp(dim=1, keepdim=True)  # (B, 1)
    losses = -F.logsigmoid(logits - negatives).masked_fill(~positive, 0)
    return (losses.sum(dim=1) / positive.sum(dim=1)).mean()


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
