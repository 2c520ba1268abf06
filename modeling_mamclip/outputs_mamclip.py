"""What the models return. B: batch, P: projection_dim, M: labelled tokens of the batch, V: outputs of the MLM
head."""

from dataclasses import dataclass

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput


@dataclass
class MamClipOutput(ModelOutput):
    """Output of MamClipModel.

    loss (): contrastive loss, with return_loss=True.
    logits_per_image (images, captions): cosine similarities times exp(logit_scale); logits_per_text its
    transpose. text_embeds (captions, P), image_embeds (images, P): of length 1. None for what was not given.
    vision_model_output, text_model_output: with output_hidden_states=True, what `get_image_features` and
    `get_text_features` give.
    """

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    vision_model_output: BaseModelOutputWithPooling | None = None
    text_model_output: BaseModelOutputWithPooling | None = None


@dataclass
class MamClipForPreTrainingOutput(ModelOutput):
    """Output of MamClipForPreTraining.

    loss (): contrastive_loss + mlm_weight · mlm_loss. contrastive_loss (), mlm_loss (): the two, unweighted.
    image_embeds (B, P), text_embeds (B, P): of length 1. scale (): the inverse temperature, float32.
    mlm_logits (M, V): at the labelled tokens only, in the order of `mlm_labels[mlm_labels != -100]`.
    """

    loss: Tensor | None = None
    contrastive_loss: Tensor | None = None
    mlm_loss: Tensor | None = None
    image_embeds: Tensor | None = None
    text_embeds: Tensor | None = None
    scale: Tensor | None = None
    mlm_logits: Tensor | None = None


@dataclass
class MamClipImageClassifierOutput(ModelOutput):
    """Output of MamClipForImageClassification.

    loss (): BI-RADS plus density cross-entropy over the known labels, when labels were given.
    logits (B, BI-RADS classes), density_logits (B, density classes).
    hidden_states: with output_hidden_states=True, the feature map behind every stage.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    density_logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None


@dataclass
class MamClipVisionOutput(ModelOutput):
    """Output of MamClipVisionModel.

    last_hidden_state: the trunk's last feature map as timm gives it, (B, F, h, w) for a ConvNeXt.
    pooler_output (B, F): its pooled features, before the projection.
    image_embeds (B, P): projected, of length 1.
    hidden_states: with output_hidden_states=True, the feature map behind every stage.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    image_embeds: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
