"""The classification trainer: class weights, frozen parts that stay as they are, no batch norm on a single image."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Dataset
from transformers.trainer_utils import EvalLoopOutput

from .masking import IGNORED
from .trainers import PartwiseTrainer, rest_frozen_statistics


class ClassificationTrainer(PartwiseTrainer):
    """BI-RADS and density together.

    class_weights (classes,): weigh the classes of one of the two; weighted: the name of its labels in a batch. Where
    batch norms learn, an epoch's last batch is left out if it would have one image (`lone_image`).

    evaluated: step → what the model said of the validation images then; of the last evaluation and the best one.
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
        self.evaluated: dict[int, Any] = {}

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        if metric_key_prefix == "eval":
            best = self.state.best_global_step
            kept = {step: said for step, said in self.evaluated.items() if step == best}
            self.evaluated = {**kept, self.state.global_step: output.predictions}
        return output

    def logits_of(self, examples: Dataset) -> tuple[np.ndarray, ...]:
        """What the best model says of the examples: BI-RADS (N, 5) and density (N, 4) logits."""
        return self.predict(examples).predictions

    def validation_logits(self) -> tuple[np.ndarray, ...]:
        """The same of the validation images: as said when the checkpoint was chosen, if this process was there."""
        known = self.evaluated.get(self.state.best_global_step)
        return self.logits_of(self.eval_dataset) if known is None else known

    def get_train_dataloader(self) -> DataLoader:
        images, alone = len(self.train_dataset), self.accelerator.num_processes == 1
        asked = self.args.dataloader_drop_last
        if alone and lone_image(self.model, images, self._train_batch_size):
            self.args.dataloader_drop_last = (
                True  # which holds for evaluation as well, so for this loader alone
            )
        try:
            return super().get_train_dataloader()
        finally:
            self.args.dataloader_drop_last = asked

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


def lone_image(model: nn.Module, images: int, batch_size: int) -> bool:
    """Whether batch norms would learn from an epoch's last batch of one image, which has no statistics where a map is
    one pixel, as behind pooling. Several processes fill up their last batches, and have none such.

    Raises ValueError where every batch would be one image.
    """
    if not learns_batch_statistics(model):
        return False
    if min(images, batch_size) == 1:
        raise ValueError(
            f"the model has batch norms, which learn from two images at least; batch_size is {batch_size}, and "
            f"{images} to train on in all: give 2 or more of both, or an architecture with layer norms."
        )
    return images % batch_size == 1


def learns_batch_statistics(model: nn.Module) -> bool:
    """Whether a batch norm normalises by its batch in training: not in a frozen part, nor with frozen weights."""
    for part in model.children():
        if _any_learned(part):
            norms = [module for module in part.modules() if isinstance(module, _BatchNorm)]
            if any(_any_learned(norm) or not list(norm.parameters()) for norm in norms):
                return True
    return False


def _any_learned(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of logits (N, C), each known label (N,) counted with its class's weight (C,)."""
    weights = weights.to(logits.device)
    total = F.cross_entropy(logits.float(), labels, weights, ignore_index=IGNORED, reduction="sum")
    return total / weights[labels[labels != IGNORED]].sum().clamp(min=1e-6)
