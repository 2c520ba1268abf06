"""The two encoders: a timm trunk for images, a BERT-like transformer for captions, each with its
projection."""

import inspect

import timm
import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from .packing_mamclip import PackedRows


def create_trunk(config: PreTrainedConfig) -> nn.Module:
    """timm's architecture without its classifier, with random weights. `config` is a MamClipVisionConfig."""
    arguments = dict(config.model_args)
    if timm.get_pretrained_cfg(config.architecture).fixed_input_size:
        arguments.setdefault("img_size", tuple(config.image_size))
    try:
        trunk = timm.create_model(
            config.architecture, pretrained=False, num_classes=0, in_chans=config.num_channels, **arguments
        )
    except TypeError as error:
        raise ValueError(
            f"timm's {config.architecture} does not take the model_args {config.model_args}: {error}"
        ) from error
    return _keep_initialisation(trunk)


def _keep_initialisation(trunk: nn.Module) -> nn.Module:
    """Mark timm's own initialisation as done, so that transformers' post_init leaves it alone.

    On the meta device there is nothing to keep: from_pretrained fills the tensors, and initialises missing
    ones.
    """
    if not any(tensor.is_meta for tensor in trunk.state_dict().values()):
        for module in trunk.modules():
            module._is_hf_initialized = True
    return trunk


class MamClipVisionEncoder(nn.Module):
    """Φ_vis: a timm trunk, pooled, and a linear projection (with bias) into the common space."""

    def __init__(self, config: PreTrainedConfig, projection_dim: int):
        super().__init__()
        self.architecture = config.architecture
        self.num_channels = config.num_channels
        self.pixel_mean, self.pixel_std = config.pixel_mean, config.pixel_std
        self.trunk = create_trunk(config)
        self.width = getattr(self.trunk, "head_hidden_size", self.trunk.num_features)
        self.projection = nn.Linear(self.width, projection_dim)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pixel_values (B, C, H, W) float → last feature map as timm gives it, pooled (B, F), projected (B,
        P)."""
        features = self.trunk.forward_features(self._scaled(pixel_values))
        pooled = self.trunk.forward_head(features)
        return features, pooled, self.projection(pooled)

    def with_stages(self, pixel_values: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        """As `forward`, and the feature map behind every stage, (B, F_i, h_i, w_i) each."""
        if not hasattr(self.trunk, "forward_intermediates"):
            raise ValueError(f"timm's {self.architecture} does not give out its hidden states.")
        features, stages = self.trunk.forward_intermediates(self._scaled(pixel_values))
        pooled = self.trunk.forward_head(features)
        return features, pooled, self.projection(pooled), tuple(stages)

    def _scaled(self, pixel_values: Tensor) -> Tensor:
        """The pixels, checked, in the encoder's type, shifted and divided."""
        check_pixels(pixel_values, self.num_channels, "height", "width")
        return (pixel_values.to(self.projection.weight.dtype) - self.pixel_mean) / self.pixel_std

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether activations are recomputed in the backward pass; transformers sets it on every module that
        has it."""
        return getattr(self, "_checkpointing", False)

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, enable: bool) -> None:
        try:
            self.trunk.set_grad_checkpointing(enable)
        except (AssertionError, AttributeError) as error:
            if enable:
                raise ValueError(f"timm's {self.architecture} has no gradient checkpointing.") from error
        self._checkpointing = enable


def check_pixels(pixel_values: Tensor, *shape: int | str) -> None:
    """Raise ValueError for what is no float of the shape (batch, *shape); a name stands for any number."""
    found = tuple(pixel_values.shape)
    if len(found) != 4 or any(
        size != got for size, got in zip(shape, found[1:], strict=True) if isinstance(size, int)
    ):
        raise ValueError(
            f"pixel_values has the shape {found}, but (batch, {', '.join(map(str, shape))}) is expected; "
            "the image processor makes it."
        )
    if not pixel_values.is_floating_point():
        raise ValueError(
            f"pixel_values is {pixel_values.dtype}, but floats in [0, 1] are expected; "
            "the image processor makes them."
        )


class MamClipTextEncoder(nn.Module):
    """Φ_text: a BERT-like encoder, pooled, and a linear projection (without bias) into the common space.

    pooling: "cls", the state at the first token, or "mean", over all tokens that are attended to. While it is trained,
    BERT reads captions end to end rather than padded (see `PackedRows`): the same states in less time and memory.
    """

    def __init__(self, config: PreTrainedConfig, projection_dim: int, pooling: str):
        super().__init__()
        self.pooling = pooling
        self.encoder = AutoModel.from_config(config, **_without_pooler(config))
        self.projection = nn.Linear(config.hidden_size, projection_dim, bias=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """input_ids (B, T); attention_mask (B, T), or None to attend to all → states (B, T, D), projected (B,
        P)."""
        packed = PackedRows(attention_mask) if self.packs(attention_mask) else None
        if packed is not None and packed.saving:
            states = self._packed_states(input_ids, packed)
        else:
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states, self.projection(self.pooled(states, attention_mask))

    def packs(self, attention_mask: Tensor | None) -> bool:
        """Whether captions may be read end to end: BERT alone takes positions and masks for it as they are, its fused
        attention a mask of booleans; a compiled model wants shapes that do not change with every batch."""
        config = self.encoder.config
        able = config.model_type == "bert" and config._attn_implementation == "sdpa"
        return able and self.training and attention_mask is not None and not torch.compiler.is_compiling()

    def _packed_states(self, input_ids: Tensor, packed: PackedRows) -> Tensor:
        """(B, T) → (B, T, D), 0 at padding."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
        rows = self.encoder(
            input_ids=packed.pack(input_ids), attention_mask=packed.mask, position_ids=packed.pack(positions)
        )
        return packed.unpack(rows.last_hidden_state)

    def with_layers(
        self, input_ids: Tensor, attention_mask: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """As `forward`, and the states before the first layer and behind every one, (B, T, D) each."""
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        states = output.last_hidden_state
        return states, self.projection(self.pooled(states, attention_mask)), output.hidden_states

    def pooled(self, states: Tensor, attention_mask: Tensor | None) -> Tensor:
        """states (B, T, D), attention_mask (B, T) or None → (B, D), what the projection sees of a text."""
        return states[:, 0] if self.pooling == "cls" else mean_state(states, attention_mask)


def mean_state(states: Tensor, attention_mask: Tensor | None) -> Tensor:
    """states (B, T, D), attention_mask (B, T) with 0 for padding, or None → (B, D), the mean over the tokens."""
    if attention_mask is None:
        return states.mean(dim=1)
    weights = attention_mask.to(states.dtype)[..., None]
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _without_pooler(config: PreTrainedConfig) -> dict[str, bool]:
    """The argument that leaves out BERT's pooler, where the model has one: it would be trained for
    nothing."""
    if type(config) not in MODEL_MAPPING:
        raise ValueError(
            f"text_config of type {type(config).__name__} has no encoder in transformers' AutoModel."
        )
    parameters = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}


def pad_to(input_ids: Tensor, length: int, value: int) -> Tensor:
    """input_ids (B, T ≤ length) → (B, length), filled with `value` on the right."""
    return torch.nn.functional.pad(input_ids, (0, length - input_ids.shape[1]), value=value)
