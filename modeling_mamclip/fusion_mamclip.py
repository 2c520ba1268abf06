"""The transformer that reads a caption and its image together, for image-conditioned masked language
modelling."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer


class FusionAttention(nn.Module):
    """Multi-head self-attention, one matrix for queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """states (B, T, D); mask (B, 1, 1, T) bool, True where a key may be attended to, or None → (B, T,
        D)."""
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
        """states (B, T, D), mask as in FusionAttention → (B, T, D), or (M, D) at the M wanted positions.

        wanted (B, T) bool: where a state is needed. The others need no network behind the attention.
        """
        states = states + self.attention(self.norm1(states), mask)
        if wanted is not None:
            states = states[wanted]  # (M, D)
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
        batch = len(token_states)
        image_state = self.image_projection(image_embeds).to(token_states.dtype)[:, None]  # (B, 1, D)
        image_token = self.image_token.expand(batch, -1, -1)
        states = torch.cat(
            [token_states, image_token.to(token_states.dtype), image_state], dim=1
        )  # (B, T + 2, D)
        mask = None
        if attention_mask is not None:
            mask = F.pad(attention_mask.bool(), (0, 2), value=True)[:, None, None, :]
        for block in self.blocks[:-1]:
            states = block(states, mask)
        return self.blocks[-1](states, mask, F.pad(wanted, (0, 2), value=False))
