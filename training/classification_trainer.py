"""The classification trainer: class weights, and frozen parts that stay as they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from .masking import IGNORED
from .trainers import PartwiseTrainer, rest_frozen_statistics


class ClassificationTrainer(PartwiseTrainer):
    """BI-RADS and density together.

    class_weights (classes,): weigh the classes of one of the two; weighted: the name of its labels in a batch.
    """

    def __init__(
        self,
        *args: Any,
        class_weights: Tensor | None = None,
        weighted: str = "labels",
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.class_weights, self.weighted = class_weights, weighted

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        self._rest_frozen_parts()
        if self.class_weights is None:
            return super().compute_loss(model, inputs, return_outputs=return_outputs)
        rest_frozen_statistics(self.model)
        labels = inputs[self.weighted]
        output = model(**{name: value for name, value in inputs.items() if name != self.weighted})
        logits = output.logits if self.weighted == "labels" else output.density_logits
        output.loss = output.loss + weighted_cross_entropy(logits, labels, self.class_weights)
        return (output.loss, output) if return_outputs else output.loss

    def _rest_frozen_parts(self) -> None:
        """A linear probe's encoder stays as it is, batch statistics included, and drops nothing."""
        for part in self.model.children():
            trained = [parameter.requires_grad for parameter in part.parameters()]
            if trained and not any(trained):
                part.eval()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of logits (N, C), each known label (N,) counted with its class's weight (C,)."""
    weights = weights.to(logits.device)
    total = F.cross_entropy(logits.float(), labels, weights, ignore_index=IGNORED, reduction="sum")
    return total / weights[labels[labels != IGNORED]].sum().clamp(min=1e-6)
