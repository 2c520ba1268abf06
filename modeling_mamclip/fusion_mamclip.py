"""The transformer that reads a caption and its image together, for image-conditioned masked language
modelling."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer

from .packing_mamclip import PackedRows


class FusionAttention(nn.Module):
    """Multi-head self-attention, one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """states (B, T, D); mask (B, 1, 1 or T, T) bool, True where a key may be attended to, or None → (B, T, D)."""
        batch, length, width = states.shape
        qkv = self.qkv(states).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, T, D / heads)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(attended.transpose(1, 2).reshape(batch, length, width))


class FusionBlock(GradientCheckpointingLayer):
    """Pre-norm transformer block: attention, then a GELU network four times as wide."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = FusionAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, states: Tensor, mask: Tensor | None, wanted: Tensor | None = None) -> Tensor:
        """states (B, T, D), mask as in FusionAttention → (B, T, D), or (M, D) at the M wanted places.

        wanted (M,) int64: where a state is needed, counted row by row. The others need no network behind the attention.
        """
        states = states + self.attention(self.norm1(states), mask)
        if wanted is not None:
            states = states.flatten(0, 1)[wanted]  # (M, D)
        return states + self.fc2(F.gelu(self.fc1(self.norm2(states))))


class FusionTransformer(nn.Module):
    """Caption tokens, one learned image token and the image feature through transformer blocks (Φ_fusion of
    the paper).

    There are no position embeddings: the token states carry their positions from the text encoder.
    """

    def __init__(self, width: int, image_width: int, layers: int, heads: int):
        super().__init__()
        self.image_token = nn.Parameter(torch.zeros(1, 1, width))
        self.image_projection = nn.Linear(image_width, width) if image_width != width else nn.Identity()
        self.blocks = nn.ModuleList(FusionBlock(width, heads) for _ in range(layers))

    def forward(
        self, token_states: Tensor, image_embeds: Tensor, attention_mask: Tensor | None, wanted: Tensor
    ) -> Tensor:
        """States of the wanted tokens that have seen the image.

        token_states (B, T, D); image_embeds (B, P), of length 1; attention_mask (B, T), 1 for tokens and 0
        for padding, or None to attend to padding as well; wanted (B, T) bool → (M, D), in the order of
        `token_states[wanted]`.
        """
        image_state = self.image_projection(image_embeds).to(token_states.dtype)[:, None]  # (B, 1, D)
        image_token = self.image_token.to(token_states.dtype).expand(len(token_states), -1, -1)
        states = torch.cat([image_token, image_state, token_states], dim=1)  # (B, 2 + T, D)
        if attention_mask is not None:
            attention_mask = F.pad(attention_mask, (2, 0), value=1)
        states, mask, places = self._laid_out(states, attention_mask)
        for block in self.blocks[:-1]:
            states = block(states, mask)
        return self.blocks[-1](states, mask, places[F.pad(wanted, (2, 0), value=False)])

    def _laid_out(
        self, states: Tensor, attention_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """States (B, T, D) as the blocks are to see them, their mask, and (B, T) int64, where each state is.

        While the model is trained, end to end without padding, as MamClipTextEncoder reads captions.
        """
        places = torch.arange(states.shape[0] * states.shape[1], device=states.device).view(states.shape[:2])
        if attention_mask is None:
            return states, None, places
        if self.training and not torch.compiler.is_compiling():
            packed = PackedRows(attention_mask)
            if packed.saving:
                return packed.pack(states), packed.mask, packed.places
        return states, attention_mask.bool()[:, None, None, :], places
