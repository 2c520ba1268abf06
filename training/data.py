"""From a table of images to batches: pixels decoded, images augmented and captions masked anew in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from processing.png import decode_png

from .augmentation import Augmentation
from .caption_forms import UNCLEAR
from .caption_sides import Flips
from .masking import IGNORED, EncodedCaption, WordMasking
from .resized_images import RESIZED, stretched

PAIR_COLUMNS = ("image", "caption", "caption_id", "case_id")
RECORD_COLUMNS = ("image", "patient_id", "exam_id", "laterality", "view", "birads", "density")
Augment = Callable[[Tensor, np.random.Generator], Tensor]


def only_mammograms(tables: Sequence[datasets.Dataset], splits: Sequence[Sequence[int]]) -> list[list[int]]:
    """Row numbers of all tables in one, in splits → the same without the rows whose is_mammogram is False.

    A table without that column, as older ones are, keeps all its rows. Raises ValueError where a split keeps none.
    """
    wanted: list[bool] = []
    for table in tables:
        told = table["is_mammogram"] if "is_mammogram" in table.column_names else [None] * len(table)
        wanted += [value is not False for value in told]
    kept = [[row for row in rows if wanted[row]] for rows in splits]
    if not all(kept):
        raise ValueError(
            f"of {len(wanted)} pairs {sum(wanted)} are mammograms (column is_mammogram), too few to train, choose and "
            "measure with; correct the others with extract_pairs.py --corrections."
        )
    return kept


@dataclass
class Images:
    """The resized images of a table, decoded as they are asked for.

    size: (height, width); stretch: whether each image is stretched to [0, 1], before and after its augmentation, as
    published.
    """

    table: datasets.Dataset
    size: tuple[int, int]
    stretch: bool = True

    def load(self, row: int, augment: Augment | None, rng: np.random.Generator) -> Tensor:
        """Image number `row` of the table → (H, W) float32 in [0, 1]; augment: (H, W) uint8 → the like."""
        image = self.pixels(row)
        image = image / 255 if augment is None else augment(image, rng)
        low, high = image.aminmax()
        return image.sub_(low).div_(high - low) if self.stretch and high > low else image

    def pixels(self, row: int) -> Tensor:
        """Image number `row` of the table → (H, W) uint8, as the image processor gives it."""
        image = decode_png(self.table[row][RESIZED]["bytes"], *self.size)
        return stretched(image) if self.stretch else image


@dataclass
class SeededExamples(Dataset):
    """Some rows of a table, where what is random follows from the seed, the epoch and the row alone.

    So an example does not depend on the batch, the worker or the process that loads it, and a run that was
    interrupted goes on as if it had not been. `fixed` examples are the same in every epoch, for validation.
    The epoch lies in shared memory, since workers hold copies of this object.
    """

    images: Images
    rows: Sequence[int]
    seed: int = 0
    fixed: bool = False
    augmentation: Augmentation | None = None
    epoch: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.long).share_memory_())

    def __len__(self) -> int:
        return len(self.rows)

    def set_epoch(self, epoch: int) -> None:
        """Draw anew for this epoch, counted from 0."""
        self.epoch[0] = epoch

    def rng(self, row: int, again: int = 0) -> np.random.Generator:
        """The generator for one row in this epoch; again: how often the epoch has had it already."""
        return np.random.default_rng([self.seed, 0 if self.fixed else 1 + int(self.epoch), row, again])


@dataclass
class PairExamples(SeededExamples):
    """Image–caption pairs; an image is flipped only where its caption can say so.

    captions: one for every number; caption_numbers: one for every row of the table, the same where the caption is the
    same; flipped: for each way to flip, the number of every row's caption then, UNCLEAR where such an image must not be
    flipped. masking: None leaves captions whole. pooled (N, D): what a frozen text encoder says of each caption number;
    None: the captions are read in every epoch.
    """

    captions: Sequence[EncodedCaption] = ()
    caption_numbers: Sequence[int] = ()
    flipped: Mapping[Flips, Sequence[int]] = field(default_factory=dict)
    masking: WordMasking | None = None
    pooled: Tensor | None = None

    def __getitem__(self, place: int) -> dict[str, Any]:
        """place: of one of the pairs; or that + n × pairs, for its n-th repetition in an epoch (see mixing.py)."""
        again, place = divmod(place, len(self))
        row = self.rows[place]
        rng = self.rng(row, again)
        flips = self.draw_flips(row, rng)
        number = self.flipped[flips][row] if any(flips) else self.caption_numbers[row]
        caption = self.captions[number]
        example = {"input_ids": torch.from_numpy(caption.input_ids), "caption_ids": number}
        if self.masking is not None:
            masked, labels = self.masking(caption.input_ids, caption.word_ids, rng)
            example |= {"masked_input_ids": torch.from_numpy(masked), "mlm_labels": torch.from_numpy(labels)}
        if self.pooled is not None:
            example["pooled_captions"] = self.pooled[number]
        augment = None if self.augmentation is None else partial(self.augmentation, flips=flips)
        return example | {"pixel_values": self.images.load(row, augment, rng)}

    def draw_flips(self, row: int, rng: np.random.Generator) -> Flips:
        """The first that is drawn for an example: its flips, as far as its caption can follow them."""
        drawn = Flips() if self.augmentation is None else self.augmentation.draw_flips(rng)
        horizontal = drawn.horizontal and self._can_follow(row, Flips(True, False))
        return Flips(horizontal, drawn.vertical and self._can_follow(row, Flips(horizontal, True)))

    def _can_follow(self, row: int, flips: Flips) -> bool:
        return flips in self.flipped and self.flipped[flips][row] != UNCLEAR


@dataclass
class LabelledExamples(SeededExamples):
    """Images with class indices, IGNORED where unknown; one for every row of the whole table.

    Place N + i of N rows is the i-th once more, differently augmented: a balanced order asks for it (see mixing.py).
    """

    labels: Sequence[int] = ()
    density_labels: Sequence[int] = ()

    def __getitem__(self, place: int) -> dict[str, Any]:
        again, place = divmod(place, len(self))
        row = self.rows[place]
        return {
            "pixel_values": self.images.load(row, self.augmentation, self.rng(row, again)),
            "labels": self.labels[row],
            "density_labels": self.density_labels[row],
        }


@dataclass(frozen=True)
class Collator:
    """Examples → a batch: three equal channels, captions padded to the longest of the batch.

    pixel_values (B, 3, H, W) float32, in memory by channels last, which convolutions run faster on; input_ids,
    attention_mask, masked_input_ids, mlm_labels (B, T) and whatever else the examples have (B,), int64;
    pooled_captions (B, D) float32, where the examples have them.
    """

    pad_token_id: int = 0

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = {name: [example[name] for example in examples] for name in examples[0]}
        result = {"pixel_values": three_channels(batch.pop("pixel_values"))}
        if "input_ids" in batch:
            result["attention_mask"] = padded([torch.ones_like(row) for row in batch["input_ids"]], 0)
        if "pooled_captions" in batch:
            result["pooled_captions"] = torch.stack(batch.pop("pooled_captions"))
        fills = {"input_ids": self.pad_token_id, "masked_input_ids": self.pad_token_id, "mlm_labels": IGNORED}
        for name in fills.keys() & batch.keys():
            result[name] = padded(batch.pop(name), fills[name])
        return result | {name: torch.tensor(values, dtype=torch.long) for name, values in batch.items()}


def three_channels(images: list[Tensor]) -> Tensor:
    """Grey images (H, W) float32 → (B, 3, H, W), in memory by channels last.

    NumPy asks for huge pages, and each image is written three times where it belongs: a third of the time of
    `expand` and `contiguous`, which cost more than decoding.
    """
    pixels = np.empty((len(images), *images[0].shape, 3), np.float32)
    for place, image in enumerate(images):
        for channel in range(3):
            pixels[place, ..., channel] = image.numpy()
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def padded(rows: list[Tensor], value: int) -> Tensor:
    """Rows (T,) of any lengths → (B, longest), filled with `value` on the right."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def number_captions(captions: Sequence[str]) -> list[int]:
    """A number for every caption, the same for equal texts: they must not be each other's negatives."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(caption, len(numbers)) for caption in captions]
