"""One contrastive batch over all processes, in the memory of a few pairs: its gradient from two passes over its parts.

InfoNCE needs the embeddings of the whole batch at once, but only these. So they are made without a graph, part by part,
and gathered over all processes; the loss gives the embeddings' gradients; a second pass over the same parts, with the
same dropout, leads them into the weights (Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited
Setup, arXiv 2101.06983, section 3). The masked-language loss goes through the second pass alone. Summed over parts and
processes this is the gradient of the whole batch in one process, to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from modeling_mamclip import MamClipForPreTraining

from .lean_activations import lean_activations
from .masking import IGNORED

Batch = Mapping[str, Tensor]
Note = Callable[[Tensor, Tensor, Tensor], None]
TOKENS = ("input_ids", "attention_mask", "token_type_ids", "masked_input_ids", "mlm_labels")  # (B, T)
WORDS = ("mlm_labels", "masked_input_ids")  # what embeddings do not need


def cached_backward(
    accelerator: Accelerator,
    model: nn.Module,
    inputs: Batch,
    *,
    micro_batch: int = 0,
    real: int | None = None,
    weight: float = 1.0,
    note: Note | None = None,
) -> Tensor:
    """Add the gradient of weight × the loss of the batch to the parameters, and return that loss, a scalar.

    model: as the accelerator prepared it; inputs: this process's part of the batch, as `MamClipForPreTraining.forward`
    takes it, with as many pairs in every process; micro_batch: how many pairs go through the model at once, 0: all of
    this process's. real: how many pairs of all processes count, the first process's first; the others only fill up an
    epoch's last batch. None: all count. note(contrastive loss, masked-language loss, scale): told of the whole batch's.

    Raises ValueError for parts of a model with batch norms: what those compute depends on the part.
    """
    core: MamClipForPreTraining = accelerator.unwrap_model(model)
    inputs = _without_fillers(accelerator, inputs, real)
    parts = _parts(core, inputs, micro_batch)
    words = _count(accelerator, inputs).clamp(min=1)
    run = _Replay(accelerator, model, inputs, parts)
    contrast = _contrast(accelerator, core, run.embeddings(), inputs.get("caption_ids"), real)
    mlm = torch.zeros((), device=accelerator.device)
    for number, rows in enumerate(parts):
        last = number == len(parts) - 1
        with nullcontext() if last else accelerator.no_sync(model):
            output = run.output(number)
            share = _mlm_share(output, inputs, rows, words)
            # Processes average their gradients, where the loss is a sum over their pairs and words.
            loss = contrast.along(output, rows) + core.config.mlm_weight * share
            loss = loss * accelerator.num_processes
            if last:
                loss = loss + output.scale * contrast.scale  # the same in every process
            accelerator.backward(weight * loss)
            mlm += share.detach()
    mlm = accelerator.reduce(mlm, "sum")
    if note is not None:
        note(contrast.loss, mlm, output.scale)
    return contrast.loss + core.config.mlm_weight * mlm


# ---- the batch and its parts


def _parts(core: MamClipForPreTraining, inputs: Batch, size: int) -> list[Tensor]:
    """The batch in parts of at most `size` pairs: row numbers (≤ size,) of each.

    Where captions are padded, those of like length go together, the longest first, so that memory peaks at once. Where
    they are read end to end, every part has about as many tokens: they are dealt out, the longest first, to and fro.
    """
    ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    if not 0 < size < len(ids):
        return [torch.arange(len(ids), device=ids.device)]
    lengths = ids.new_zeros(len(ids)) if mask is None else mask.sum(dim=1)
    order = lengths.argsort(descending=True, stable=True)
    if not core.text_model.packs(mask):
        return list(order.split(size))
    count = -(-len(ids) // size)
    rounds = order.split(count)
    turns = [row.flip(0) if number % 2 else row for number, row in enumerate(rounds)]
    return [torch.stack([row[part] for row in turns if part < len(row)]) for part in range(count)]


def _part(inputs: Batch, rows: Tensor) -> Batch:
    """Some rows of the batch, without the tokens that are padding in all of them."""
    if len(rows) == len(inputs["input_ids"]):
        return inputs
    part = {name: value[rows] for name, value in inputs.items()}
    if "attention_mask" in part:
        longest = int(part["attention_mask"].sum(dim=1).max())  # captions are padded on the right
        part |= {name: part[name][:, :longest] for name in TOKENS if name in part}
    return part


def _without_fillers(accelerator: Accelerator, inputs: Batch, real: int | None) -> Batch:
    """The batch, with no word to predict in pairs that do not count."""
    if real is None or "mlm_labels" not in inputs:
        return inputs
    labels = inputs["mlm_labels"].clone()
    labels[max(real - accelerator.process_index * len(labels), 0) :] = IGNORED
    return {**inputs, "mlm_labels": labels}


def _count(accelerator: Accelerator, inputs: Batch) -> Tensor:
    """How many words all processes predict."""
    labels = inputs.get("mlm_labels")
    own = torch.zeros((), device=accelerator.device) if labels is None else (labels != IGNORED).sum().float()
    return accelerator.reduce(own, "sum")


def _mlm_share(output: Any, inputs: Batch, rows: Tensor, words: Tensor) -> Tensor:
    """What a part adds to the mean loss over all words."""
    if output.mlm_loss is None:
        return torch.zeros_like(words)
    return output.mlm_loss * (inputs["mlm_labels"][rows] != IGNORED).sum() / words


# ---- the two passes


class _Replay:
    """The model's outputs for each part: embeddings of all of them first, then one by one with a graph.

    A part is run twice, from the same random state, unless it is the only one.
    """

    def __init__(self, accelerator: Accelerator, model: nn.Module, inputs: Batch, parts: list[Tensor]):
        self.accelerator, self.model, self.inputs, self.parts = accelerator, model, inputs, parts
        self.states: list[list[Tensor]] = []
        self.only = self._run(inputs) if len(parts) == 1 else None

    def embeddings(self) -> tuple[Tensor, Tensor, Tensor]:
        """Image and text embeddings (B, P) of this process's pairs, and the scale, without a graph."""
        if self.only is not None:
            return tuple(_embeddings(self.only))
        refuse_batch_norms(self.model)
        outputs = []
        unmasked = {name: value for name, value in self.inputs.items() if name not in WORDS}
        for rows in self.parts:
            self.states.append(_random_state(self.accelerator.device))
            with torch.no_grad():
                outputs.append(_embeddings(self._run(_part(unmasked, rows))))
        images, texts, scales = zip(*outputs, strict=True)
        places = torch.cat(self.parts).argsort()
        return torch.cat(images)[places], torch.cat(texts)[places], scales[0]

    def output(self, number: int) -> Any:
        """The output of a part, with a graph."""
        if self.only is not None:
            return self.only
        _set_random_state(self.accelerator.device, self.states[number])
        return self._run(_part(self.inputs, self.parts[number]))

    def _run(self, part: Batch) -> Any:
        with self.accelerator.autocast(), lean_activations():
            return self.model(**part, return_loss=False)


def _embeddings(output: Any) -> list[Tensor]:
    return [value.detach().float() for value in (output.image_embeds, output.text_embeds, output.scale)]


def refuse_batch_norms(model: nn.Module) -> None:
    """Raise ValueError for a model with batch norms, unless their weights, and so their statistics, are frozen."""
    for module in model.modules():
        weights = [parameter.requires_grad for parameter in module.parameters(recurse=False)]
        if getattr(module, "running_mean", None) is not None and (any(weights) or not weights):
            raise ValueError(
                "the model has batch norms, whose statistics depend on how a batch is cut; leave out micro_batch, or "
                "choose an architecture with layer norms."
            )


def _random_state(device: torch.device) -> list[Tensor]:
    """Of the CPU and, where it is one, the GPU: what dropout draws from."""
    cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *cuda]


def _set_random_state(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


# ---- the loss of the whole batch


@dataclass
class _Contrast:
    """The contrastive loss, and its gradients by this process's embeddings (B, P) and by the scale."""

    loss: Tensor
    images: Tensor
    texts: Tensor
    scale: Tensor

    def along(self, output: Any, rows: Tensor) -> Tensor:
        """A scalar that has, by a part's embeddings, the gradients of the loss."""
        images = (output.image_embeds.float() * self.images[rows]).sum()
        return images + (output.text_embeds.float() * self.texts[rows]).sum()


def _contrast(
    accelerator: Accelerator,
    core: MamClipForPreTraining,
    embeddings: tuple[Tensor, Tensor, Tensor],
    caption_ids: Tensor | None,
    real: int | None,
) -> _Contrast:
    own = [value.requires_grad_() for value in embeddings]
    images, texts = (_joined(accelerator, value)[:real] for value in own[:2])
    captions = None if caption_ids is None else accelerator.gather(caption_ids)[:real]
    loss = core.contrast(images, texts, own[2], captions)
    return _Contrast(loss.detach(), *torch.autograd.grad(loss, own))


def _joined(accelerator: Accelerator, own: Tensor) -> Tensor:
    """(B, P) of each process → (processes × B, P); a gradient goes into this process's rows alone."""
    everyone = accelerator.gather(own.detach())
    start = accelerator.process_index * len(own)
    return torch.cat((everyone[:start], own, everyone[start + len(own) :]))
