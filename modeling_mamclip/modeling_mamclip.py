"""MAM-CLIP: aligned image and caption encoders, their pretraining, and BI-RADS and density classification.

One checkpoint holds every part under its own prefix, and each class loads the parts that it has:

    vision_model.*  text_model.*  logit_scale        the aligned pair (MamClipModel, MamClipVisionModel)
    fusion.*  mlm_head.*                             for masked language modelling (MamClipForPreTraining)
    birads_head.*  density_head.*                    the classifier (MamClipForImageClassification)
    classifier_vision_model.*                        its own encoder, when it does not share the aligned one
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, initialization
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from .configuration_mamclip import MamClipConfig
from .encoders_mamclip import MamClipTextEncoder, MamClipVisionEncoder, pad_to
from .fusion_mamclip import FusionTransformer
from .losses_mamclip import IGNORED, bounded, classification_loss, contrastive_loss, known_cross_entropy
from .outputs_mamclip import (
    MamClipForPreTrainingOutput,
    MamClipImageClassifierOutput,
    MamClipOutput,
    MamClipVisionOutput,
)

PARTS = (
    "vision_model",
    "text_model",
    "logit_scale",
    "fusion",
    "mlm_head",
    "birads_head",
    "density_head",
    "classifier_vision_model",
)


class MamClipPreTrainedModel(PreTrainedModel):
    """What all MAM-CLIP models share: initialisation, loading just their own parts, gradient
    checkpointing."""

    config_class = MamClipConfig
    base_model_prefix = "mamclip"
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")
    supports_gradient_checkpointing = True
    # The losses are means over a batch: Trainer must not take them for sums that it has to divide.
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _no_split_modules = ["MamClipVisionEncoder", "FusionBlock"]

    def __init__(self, config: MamClipConfig):
        config.validate()  # also what was assigned after the configuration was made
        super().__init__(config)

    def post_init(self) -> None:
        """Finish a model's construction: the parts that it lacks may be in a checkpoint without a warning."""
        absent = [part for part in PARTS if not hasattr(self, part)]
        self._keys_to_ignore_on_load_unexpected = [rf"^{part}(\.|$)" for part in absent]
        super().post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, FusionTransformer):
            initialization.normal_(module.image_token, std=0.02)
        if getattr(module, "logit_scale", None) is not None:
            initialization.constant_(module.logit_scale, self.config.logit_scale_init_value)
        if hasattr(module, "init_non_persistent_buffers"):  # timm's tables that checkpoints leave out
            module.init_non_persistent_buffers()

    def _new_vision_encoder(self) -> MamClipVisionEncoder:
        return MamClipVisionEncoder(self.config.vision_config, self.config.projection_dim)


class MamClipAlignedModel(MamClipPreTrainedModel):
    """Both encoders and the temperature; the common part of MamClipModel and MamClipForPreTraining."""

    def __init__(self, config: MamClipConfig):
        super().__init__(config)
        self.vision_model = self._new_vision_encoder()
        self.text_model = MamClipTextEncoder(config.text_config, config.projection_dim, config.text_pooling)
        self.logit_scale = nn.Parameter(
            torch.tensor(float(config.logit_scale_init_value)), requires_grad=config.learn_temperature
        )

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.encoder.set_input_embeddings(value)

    @can_return_tuple
    def get_image_features(
        self, pixel_values: Tensor, output_hidden_states: bool = False
    ) -> BaseModelOutputWithPooling:
        """pixel_values (B, C, H, W), floats in [0, 1] → `pooler_output` (B, P): projected features, not
        normalised; `hidden_states`, if asked for: the feature map behind every stage."""
        encode = self.vision_model.with_stages if output_hidden_states else self.vision_model
        states, _, projected, *stages = encode(pixel_values)
        return BaseModelOutputWithPooling(states, projected, *stages)

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> BaseModelOutputWithPooling:
        """input_ids (B, T) → `pooler_output` (B, P): projected features, not normalised. Needs no image.
        `hidden_states`, if asked for: the states before the first layer and behind every one.

        attention_mask (B, T): 0 for padding; None: all tokens that are not the padding token.
        token_type_ids are accepted, because BERT's tokenizers make them, and not used: a caption is one
        segment.
        """
        input_ids, mask = self._prepare_text(input_ids, attention_mask)
        encode = self.text_model.with_layers if output_hidden_states else self.text_model
        return BaseModelOutputWithPooling(*encode(input_ids, mask))

    def _prepare_text(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Token ids and mask as the encoder is to see them: padding masked, or, as published, filled up and
        attended to."""
        longest, pad = self.config.context_length, getattr(self.config.text_config, "pad_token_id", None)
        if input_ids.shape[1] > longest:
            raise ValueError(
                f"a caption has {input_ids.shape[1]} tokens, but the model's context_length is {longest}; "
                f"tokenize with truncation=True, max_length={longest}."
            )
        if self.config.attend_to_padding:
            return pad_to(input_ids, longest, pad or 0), None
        if attention_mask is None and pad is not None:
            attention_mask = (input_ids != pad).long()
        return input_ids, attention_mask

    def _scale(self) -> Tensor:
        """exp(logit_scale) as a float32 scalar, at most `logit_scale_max`: the inverse temperature."""
        scale = self.logit_scale.float()
        if not self.config.learn_temperature:
            scale = scale.detach()
        if self.config.logit_scale_max is not None:
            scale = bounded(scale, math.log(self.config.logit_scale_max))
        return scale.exp()

    def compare_embeds(
        self, image_embeds: Tensor, text_embeds: Tensor, scale: Tensor | None = None
    ) -> Tensor:
        """image_embeds (images, P), text_embeds (captions, P), both of length 1 → logits (images, captions), float32:
        their cosines over the temperature, or times `scale`, a scalar."""
        scale = self._scale() if scale is None else scale
        return scale * (image_embeds @ text_embeds.T).float()

    def contrast(
        self, image_embeds: Tensor, text_embeds: Tensor, scale: Tensor, caption_ids: Tensor | None = None
    ) -> Tensor:
        """The contrastive loss of pairs, as the configuration reduces it: embeddings (B, P) of length 1; scale: a
        scalar, as outputs have it; caption_ids (B,), or None where all captions differ."""
        logits = self.compare_embeds(image_embeds, text_embeds, scale)
        return self._contrastive_loss(logits, caption_ids)

    def _contrastive_loss(self, logits_per_image: Tensor, caption_ids: Tensor | None) -> Tensor:
        images, captions = logits_per_image.shape
        if images != captions:
            raise ValueError(f"the loss needs pairs, but {images} images and {captions} captions were given.")
        if self.config.shared_captions == "negatives":
            caption_ids = None
        return contrastive_loss(logits_per_image, caption_ids, self.config.contrastive_reduction)


class MamClipModel(MamClipAlignedModel):
    """The aligned vision-language model: embeddings of mammograms and captions in one space."""

    def __init__(self, config: MamClipConfig):
        super().__init__(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        caption_ids: Tensor | None = None,
        return_loss: bool | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> MamClipOutput:
        """Embed captions, images or both, and compare them.

        input_ids (captions, T), attention_mask (captions, T): see `get_text_features`.
        pixel_values (images, C, H, W): floats in [0, 1]. One of the two may be missing; then so are the
            logits.
        caption_ids (B,): with return_loss=True, pairs with one id are each other's positives, unless the
            configuration's `shared_captions` has it otherwise.
        output_hidden_states: also give what the encoders made on the way, as `vision_model_output` and
            `text_model_output`.
        """
        if input_ids is None and pixel_values is None:
            raise ValueError("MamClipModel needs input_ids, pixel_values or both, but got neither.")
        if return_loss and (input_ids is None or pixel_values is None):
            raise ValueError("return_loss=True needs both input_ids and pixel_values.")
        output = MamClipOutput()
        if input_ids is not None:
            text = self.get_text_features(
                input_ids, attention_mask, output_hidden_states=output_hidden_states, return_dict=True
            )
            output.text_embeds = F.normalize(text.pooler_output, dim=-1)
            output.text_model_output = text if output_hidden_states else None
        if pixel_values is not None:
            image = self.get_image_features(pixel_values, output_hidden_states, return_dict=True)
            output.image_embeds = F.normalize(image.pooler_output, dim=-1)
            output.vision_model_output = image if output_hidden_states else None
        if input_ids is not None and pixel_values is not None:
            output.logits_per_image = self.compare_embeds(output.image_embeds, output.text_embeds)
            output.logits_per_text = output.logits_per_image.T
        if return_loss:
            output.loss = self._contrastive_loss(output.logits_per_image, caption_ids)
        return output


class MamClipForPreTraining(MamClipAlignedModel):
    """Contrastive alignment and image-conditioned masked language modelling (paper, section 2.1)."""

    def __init__(self, config: MamClipConfig):
        super().__init__(config)
        if config.mlm_weight > 0:
            width = config.text_config.hidden_size
            self.fusion = FusionTransformer(
                width, config.projection_dim, config.fusion_layers, config.fusion_heads
            )
            self.mlm_head = nn.Linear(width, config.mlm_width, bias=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
        mlm_labels: Tensor | None = None,
        caption_ids: Tensor | None = None,
        return_loss: bool = True,
        token_type_ids: Tensor | None = None,
        masked_input_ids: Tensor | None = None,
        pooled_captions: Tensor | None = None,
    ) -> MamClipForPreTrainingOutput:
        """One training step's outputs for B pairs.

        input_ids (B, T): captions, of which the embeddings are made. attention_mask (B, T) and token_type_ids: see
            `get_text_features`.
        pixel_values (B, C, H, W): floats in [0, 1].
        masked_input_ids (B, T): the captions with tokens masked, T and T^masked of the paper. None: input_ids are
            masked already, and one pass serves both losses, as in the published code.
        mlm_labels (B, T): the right token at positions that count, -100 elsewhere. None: no masked-language
            loss.
        caption_ids (B,): pairs with one id share their caption and are each other's positives, unless the
            configuration's `shared_captions` has it otherwise. The negatives are those of this batch alone:
            neither other processes nor accumulated batches add any.
        pooled_captions (B, D): what a frozen text encoder said of input_ids before, as its `pooled` gives it; the
            captions are then not read again. Masked words need masked_input_ids beside it.
        """
        if pooled_captions is None:
            token_states, text_features = self.text_model(*self._prepare_text(input_ids, attention_mask))
        else:
            token_states, text_features = None, self.text_model.projection(pooled_captions)
        text_embeds = F.normalize(text_features, dim=-1)
        image_embeds = F.normalize(self.vision_model(pixel_values)[2], dim=-1)
        scale = self._scale()
        output = MamClipForPreTrainingOutput(image_embeds=image_embeds, text_embeds=text_embeds, scale=scale)
        if mlm_labels is not None and self.config.mlm_weight > 0:
            words = (input_ids, masked_input_ids, attention_mask, mlm_labels)
            logits, known = self._read_masked(token_states, image_embeds, *words)
            output.mlm_logits, output.mlm_loss = logits, known_cross_entropy(logits, known)
        if return_loss:
            output.contrastive_loss = self.contrast(image_embeds, text_embeds, scale, caption_ids)
            output.loss = output.contrastive_loss
            if output.mlm_loss is not None:
                output.loss = output.loss + self.config.mlm_weight * output.mlm_loss
        return output

    def pool_captions(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Captions (B, T) → (B, D), the `pooled_captions` of `forward`."""
        input_ids, mask = self._prepare_text(input_ids, attention_mask)
        return self.text_model.pooled(self.text_model(input_ids, mask)[0], mask)

    def _read_masked(
        self,
        token_states: Tensor | None,
        image_embeds: Tensor,
        input_ids: Tensor,
        masked_input_ids: Tensor | None,
        attention_mask: Tensor | None,
        mlm_labels: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """What `_predict_words` gives, of the states at hand or, where they are of whole captions, of a second pass."""
        input_ids, mask = self._prepare_text(input_ids, attention_mask)
        labels = pad_to(mlm_labels, input_ids.shape[1], IGNORED)
        if masked_input_ids is None:
            if token_states is None:
                raise ValueError("pooled_captions hold no words to predict; give masked_input_ids as well.")
            return self._predict_words(token_states, image_embeds, mask, labels)
        rows = _rows_with_labels(labels)  # a caption without a masked token needs no second pass
        row_mask = None if attention_mask is None else attention_mask[rows]
        masked_ids, row_mask = self._prepare_text(masked_input_ids[rows], row_mask)
        states, _ = self.text_model(masked_ids, row_mask)
        return self._predict_words(states, image_embeds[rows], row_mask, labels[rows])

    def _predict_words(
        self, states: Tensor, image_embeds: Tensor, mask: Tensor | None, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits (M, V) at the M labelled tokens of captions and their images, and the labels (M,)."""
        counted = labels != IGNORED
        return self.mlm_head(self.fusion(states, image_embeds, mask, counted)), labels[counted]


def _rows_with_labels(labels: Tensor) -> Tensor:
    """labels (B, T) → (B,) bool, True for rows with a label; the first row where none has one, for a loss of 0."""
    rows = (labels != IGNORED).any(dim=1)
    rows[0] |= ~rows.any()
    return rows


class MamClipForImageClassification(MamClipPreTrainedModel):
    """BI-RADS and density of one view, from the projected image features (not normalised)."""

    input_modalities = ("image",)

    def __init__(self, config: MamClipConfig):
        super().__init__(config)
        own = config.classifier_encoder == "own"
        setattr(self, "classifier_vision_model" if own else "vision_model", self._new_vision_encoder())
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.birads_head = nn.Linear(config.projection_dim, config.num_labels)
        self.density_head = nn.Linear(config.projection_dim, len(config.density_labels))
        self.post_init()

    @property
    def encoder(self) -> MamClipVisionEncoder:
        """The vision encoder under the heads, whichever prefix it has."""
        return self.classifier_vision_model if self.config.classifier_encoder == "own" else self.vision_model

    @can_return_tuple
    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        density_labels: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> MamClipImageClassifierOutput:
        """Logits for B images, and the loss over the labels that are known.

        pixel_values (B, C, H, W): floats in [0, 1]. labels (B,): indices into `config.id2label`;
        density_labels (B,): indices into `config.density_labels`; -100 where unknown. loss = CE(BI-RADS) +
        CE(density), each a mean over its known labels; without any it is 0 and has a gradient of 0.
        """
        encode = self.encoder.with_stages if output_hidden_states else self.encoder
        _, _, projected, *stages = encode(pixel_values)
        features = self.dropout(projected)
        logits, density_logits = self.birads_head(features), self.density_head(features)
        loss = classification_loss((logits, labels), (density_logits, density_labels))
        return MamClipImageClassifierOutput(loss, logits, density_logits, *stages)


class MamClipVisionModel(MamClipPreTrainedModel):
    """The aligned vision encoder alone."""

    input_modalities = ("image",)

    def __init__(self, config: MamClipConfig):
        super().__init__(config)
        self.vision_model = self._new_vision_encoder()
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: Tensor, output_hidden_states: bool = False) -> MamClipVisionOutput:
        """pixel_values (B, C, H, W), floats in [0, 1] → feature map, pooled features, normalised
        embedding; the feature map of every stage, if asked for."""
        encode = self.vision_model.with_stages if output_hidden_states else self.vision_model
        states, pooled, projected, *stages = encode(pixel_values)
        return MamClipVisionOutput(states, pooled, F.normalize(projected, dim=-1), *stages)


__all__ = [
    "MamClipForImageClassification",
    "MamClipForPreTraining",
    "MamClipModel",
    "MamClipPreTrainedModel",
    "MamClipVisionModel",
]
