"""The published training step, plainly: what `pretrain_step.py` measures against.

Written from what is known of the published code: captions filled up to 100 tokens and attended to as such, one masked
pass for both losses, words predicted at all 100 positions and over the head's full width of 49408, and everything of a
micro-batch in one graph. The towers are those of our own model, so that only the step differs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from modeling_mamclip import MamClipForPreTraining

CONTEXT, WIDTH = 100, 49408  # tokens of every caption, and outputs at each of them
FIELDS = {
    "context_length": CONTEXT,
    "mlm_vocab_size": WIDTH,
    "logit_scale_max": None,
    "attend_to_padding": True,
}  # of MamClipConfig: the published model
IGNORED = -100


def published_loss(model: MamClipForPreTraining, batch: Mapping[str, Tensor]) -> Tensor:
    """The loss of a micro-batch; only its own pairs are negatives, shared captions among them.

    batch: pixel_values (B, 3, H, W), input_ids (B, T ≤ 100) with words masked, mlm_labels (B, T).
    """
    captions, labels = filled_up(batch["input_ids"], 0), filled_up(batch["mlm_labels"], IGNORED)
    states, text = model.text_model(captions, None)
    images = F.normalize(model.vision_model(batch["pixel_values"])[2], dim=-1)
    logits = model.logit_scale.exp() * images @ F.normalize(text, dim=-1).T
    targets = torch.arange(len(logits), device=logits.device)
    contrastive = (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
    everywhere = torch.ones_like(captions, dtype=torch.bool)
    fused = model.fusion(states, images, None, everywhere).view(*captions.shape, -1)
    words = F.log_softmax(model.mlm_head(fused), dim=-1)  # (B, 100, 49408)
    mlm = F.nll_loss(words.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    return contrastive + model.config.mlm_weight * mlm


def filled_up(ids: Tensor, value: int) -> Tensor:
    """(B, T) → (B, 100)."""
    return F.pad(ids, (0, CONTEXT - ids.shape[1]), value=value)
