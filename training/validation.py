"""Validation of pretraining over all processes: the same numbers as one process has, whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from modeling_mamclip import MamClipForPreTraining

from .masking import IGNORED

Recall = Callable[[Tensor, Tensor, list[int]], float]


@torch.no_grad()
def validate(
    accelerator: Accelerator,
    model: nn.Module,
    batches: DataLoader | Iterable[Mapping[str, Tensor]],
    *,
    batch_size: int,
    recall: Recall | None = None,
) -> dict[str, float]:
    """`contrastive_loss`, `mlm_loss` where words are predicted, their whole `loss`, and `recall` if asked for.

    model: a MamClipForPreTraining, as the trainer has it, in evaluation mode. batches: of `batch_size` pairs each, as
    the accelerator prepared them; at an epoch's end it repeats pairs so that all processes have as many, and these do
    not count. The contrastive loss is a mean over pairs, whose negatives are those of their batch; the
    masked-language loss one over masked words. recall(image embeddings (N, P), caption embeddings (N, P), N caption
    numbers) is asked once, of all pairs, in every process.
    """
    core: MamClipForPreTraining = accelerator.unwrap_model(model)
    gathered, words = [], torch.zeros(2, device=accelerator.device)
    for inputs in batches:
        inputs = _without_repeats(accelerator, inputs)
        with accelerator.autocast():
            output = model(**inputs, return_loss=False)
        if output.mlm_loss is not None:
            count = (inputs["mlm_labels"] != IGNORED).sum()
            words += torch.stack((output.mlm_loss.float() * count, count.float()))
        rows = (output.image_embeds.float(), output.text_embeds.float(), inputs["caption_ids"])
        gathered.append(accelerator.gather_for_metrics(rows))
    images, texts, captions = (torch.cat(column) for column in zip(*gathered, strict=True))
    values = {"contrastive_loss": _contrastive(core, images, texts, output.scale, captions, batch_size)}
    mlm, count = accelerator.reduce(words, "sum").tolist()
    if core.config.mlm_weight > 0:
        values["mlm_loss"] = mlm / max(count, 1)
    values["loss"] = values["contrastive_loss"] + core.config.mlm_weight * values.get("mlm_loss", 0.0)
    if recall is not None:
        values["recall"] = recall(images.cpu(), texts.cpu(), captions.tolist())
    return values


def _without_repeats(accelerator: Accelerator, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The batch, with no word to predict in pairs that are there for the second time."""
    state = accelerator.gradient_state
    if "mlm_labels" not in inputs or not state.end_of_dataloader or state.remainder <= 0:
        return inputs
    labels = inputs["mlm_labels"].clone()
    labels[max(state.remainder - accelerator.process_index * len(labels), 0) :] = IGNORED
    return {**inputs, "mlm_labels": labels}


def _contrastive(
    core: MamClipForPreTraining, images: Tensor, texts: Tensor, scale: Tensor, captions: Tensor, size: int
) -> float:
    """The mean over N pairs, of which `size` and then `size` more are each other's negatives."""
    total = 0.0
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        loss = core.contrast(images[rows], texts[rows], scale, captions[rows])
        total += float(loss) * len(images[rows])
    return total / len(images)


def mean_recall(metrics: Mapping[str, Mapping[str, float]]) -> float:
    """What `retrieval_metrics` of evaluation gives → the mean of recall@1, @5 and @10 in both directions."""
    values = [metrics[way][f"recall@{k}"] for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]
    return sum(values) / len(values)
