"""Captions of unlike lengths laid end to end in rows, so that a transformer reads hardly any padding."""

import torch
from torch import Tensor

ROOM = 256  # tokens of a row: attention costs more with every one, the other layers do not


class PackedRows:
    """Where each token of a padded batch goes in fewer, fuller rows.

    attention_mask (B, T): 1 for tokens and 0 for padding, wherever it is. There are R rows of L places, where each
    sequence lies in one piece. `places` (B, T) int64 counts the places row by row, -1 for padding; `mask` (R, 1, L, L)
    bool is True where a place may attend to another: to those of its own sequence, and unused ones to each other.
    """

    def __init__(self, attention_mask: Tensor):
        self.real = attention_mask.bool()
        lengths = self.real.sum(dim=1)
        starts, self.shape = laid_out(lengths.tolist())
        within = self.real.long().cumsum(dim=1) - 1
        self.places = (starts.to(lengths.device)[:, None] + within).masked_fill(~self.real, -1)
        numbers = torch.arange(len(lengths), device=lengths.device)[:, None].expand_as(self.places)
        owners = self.pack(numbers, fill=-1)
        self.mask = (owners[:, None, :, None] == owners[:, None, None, :]).contiguous()

    @property
    def saving(self) -> bool:
        """Whether the rows have fewer places than the padded batch."""
        return self.shape[0] * self.shape[1] < self.real.numel()

    def pack(self, values: Tensor, fill: int = 0) -> Tensor:
        """values (B, T, …) → (R, L, …), `fill` in places without a token."""
        rest = values.shape[2:]
        flat = values.new_full((self.shape[0] * self.shape[1], *rest), fill)
        return flat.index_copy(0, self.places[self.real], values[self.real]).view(*self.shape, *rest)

    def unpack(self, rows: Tensor) -> Tensor:
        """rows (R, L, …) → (B, T, …), 0 at padding."""
        rest = rows.shape[2:]
        flat = rows.new_zeros((self.real.numel(), *rest))
        tokens = rows.flatten(0, 1)[self.places[self.real]]
        return flat.index_copy(0, self.real.flatten().nonzero()[:, 0], tokens).view(*self.real.shape, *rest)


def laid_out(lengths: list[int], room: int = ROOM) -> tuple[Tensor, tuple[int, int]]:
    """Lengths of sequences → where each starts, counted row by row, and (rows, places of a row).

    As few rows as have room for all tokens; the longest sequences first, each into the emptiest row.
    """
    filled = [0] * max(1, -(-sum(lengths) // room))
    where = [(0, 0)] * len(lengths)
    for number in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        row = filled.index(min(filled))
        where[number] = (row, filled[row])
        filled[row] += lengths[number]
    longest = max(1, *filled)
    return torch.tensor([row * longest + start for row, start in where]), (len(filled), longest)
