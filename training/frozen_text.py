"""A text encoder that is not trained says the same of a caption in every epoch: it is asked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from tqdm import tqdm

from modeling_mamclip import MamClipForPreTraining

from .data import PairExamples, padded


def text_rests(model: MamClipForPreTraining) -> bool:
    """Whether nothing of the text encoder is trained (its projection aside) and nothing in it is random."""
    encoder = model.text_model.encoder
    dropouts = [module.p for module in encoder.modules() if isinstance(module, nn.Dropout)]
    config = encoder.config
    dropouts += [
        getattr(config, name, 0.0) or 0.0 for name in ("attention_probs_dropout_prob", "attention_dropout")
    ]
    return not any(p.requires_grad for p in encoder.parameters()) and not any(dropouts)


def with_pooled_captions(
    examples: PairExamples, model: MamClipForPreTraining, pad_token_id: int, batch_size: int = 64
) -> PairExamples:
    """The examples with what the text encoder says of each caption, flipped ones too; as they are if it is trained."""
    if not text_rests(model):
        return examples
    captions = [caption.input_ids for caption in examples.captions]
    pooled = pooled_captions(model, captions, pad_token_id, batch_size)
    return replace(examples, pooled=pooled)


@torch.no_grad()
def pooled_captions(
    model: MamClipForPreTraining, captions: Sequence, pad_token_id: int, batch_size: int
) -> Tensor:
    """N captions' token ids (T,) → (N, D) float32 on the CPU; captions of like length are read together."""
    training, width = model.training, model.config.text_config.hidden_size
    model.eval()
    pooled = torch.empty(len(captions), width)
    order = sorted(range(len(captions)), key=lambda place: len(captions[place]))
    for start in tqdm(range(0, len(order), batch_size), "Reading captions", unit="batch"):
        places = order[start : start + batch_size]
        ids = [torch.as_tensor(captions[place]) for place in places]
        masks = padded([torch.ones_like(row) for row in ids], 0).to(model.device)
        ids = padded(ids, pad_token_id).to(model.device)
        pooled[places] = model.pool_captions(ids, masks).float().cpu()
    model.train(training)
    return pooled
