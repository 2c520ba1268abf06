"""From a saved data set to model input: images cropped and resized once, captions masked anew in every epoch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from datasets.fingerprint import Hasher
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.io import decode_png

from processing import MamClipImageProcessor

from .augmentation import Augmentation
from .caption_forms import UNCLEAR
from .caption_sides import Flips
from .masking import IGNORED, EncodedCaption, WordMasking

PAIR_COLUMNS = ("image", "caption", "caption_id", "case_id")
RECORD_COLUMNS = ("image", "patient_id", "exam_id", "laterality", "view", "birads", "density")
RESIZED = "pixels"  # the column that holds a resized image: a grey PNG of 8 bits
Augment = Callable[[Tensor, np.random.Generator], Tensor]
HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
MANY = 500  # images from which on several processes resize faster than one


def load_table(folder: str | Path, columns: Sequence[str], maker: str) -> datasets.Dataset:
    """A data set with random access; `maker` is the script that writes such folders, for the error message.

    folder: as `save_to_disk` writes it, or with Parquet files in it or in its folder `data`, or the name of a data set
    on the Hub, OWNER/NAME, of which the split "train" is taken. It is memory-mapped, never streamed: an epoch is then
    shuffled as a whole, and a run that was interrupted goes on at its very row. Parquet is unpacked into the cache of
    `datasets` for that, once.

    Raises FileNotFoundError where there is none, ValueError where it is empty or lacks a column.
    """
    no_rows = f"{folder} holds no rows; make it anew with train_scripts/{maker}."
    try:
        table = _opened(str(folder), maker)
    except IndexError as error:  # what datasets raises for a table that was saved without rows
        raise ValueError(no_rows) from error
    if not isinstance(table, datasets.Dataset):
        raise ValueError(f"{folder} holds the splits {', '.join(table)}; give the folder of one of them.")
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ValueError(f"{folder} has no column {missing[0]!r}; found {', '.join(table.column_names)}.")
    if not len(table):
        raise ValueError(no_rows)
    return table


def _opened(name: str, maker: str) -> datasets.Dataset | datasets.DatasetDict:
    folder = Path(name)
    if any((folder / file).is_file() for file in ("dataset_info.json", "dataset_dict.json")):
        return datasets.load_from_disk(name)
    if not folder.parent.is_dir() and HUB_NAME.fullmatch(name):  # else it is a misspelt folder
        return _from_hub(name, maker)
    files = sorted(str(file) for place in (folder, folder / "data") for file in place.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no data set; make one with train_scripts/{maker}.")
    try:
        return datasets.load_dataset("parquet", data_files=files, split="train")
    except (
        ValueError,
        datasets.exceptions.DatasetGenerationError,
    ) as error:  # Arrow's errors are ValueErrors
        reason = " ".join(str(error.__cause__ or error).split())
        raise ValueError(
            f"the Parquet files in {folder} cannot be read ({reason}); make them anew."
        ) from error


def _from_hub(name: str, maker: str) -> datasets.Dataset:
    try:
        return datasets.load_dataset(name, split="train")
    except (ValueError, OSError) as error:  # of which datasets' own errors are
        reason = " ".join(str(error).split())[:200]
        raise FileNotFoundError(
            f"{name} is no folder, and not to be had from the Hub ({reason}); make one with train_scripts/{maker}."
        ) from error


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


def resized(
    table: datasets.Dataset,
    processor: MamClipImageProcessor,
    encode: Callable[[np.ndarray], bytes],
    *,
    cache: str | Path | None = None,
    processes: int = 1,
) -> datasets.Dataset:
    """The table with its images made ready once: the column RESIZED in the place of `image`.

    encode: (H, W) uint8 → the bytes of a PNG. The result is kept beside the table's own files, or in the folder
    `cache`, and found again by a fingerprint of the table and of the processor's settings; it is read from disk as it
    is needed. An image of 1024 × 768 pixels takes about a quarter of a megabyte.
    """
    key = Hasher.hash((table._fingerprint, processor.to_dict(), datasets.__version__, "resized 2"))
    file = None if cache is None else Path(cache) / f"resized-{key}.arrow"
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    shared = processes > 1 and len(table) >= MANY
    return table.map(
        _resize,
        batched=True,
        batch_size=16,
        remove_columns=["image"],
        fn_kwargs={"processor": processor, "encode": encode, "forked": shared},
        num_proc=processes if shared else None,
        cache_file_name=None if file is None else str(file),
        new_fingerprint=key,
        desc="Resizing images",
    )


def _resize(
    rows: Mapping[str, list],
    processor: MamClipImageProcessor,
    encode: Callable[[np.ndarray], bytes],
    forked: bool = False,
) -> dict[str, list[bytes]]:
    if forked:  # torch's threads do not survive a fork: a process that waited for them would wait for ever
        torch.set_num_threads(1)
    pixels = processor(images=rows["image"], return_tensors="pt")["pixel_values"][:, 0]
    return {RESIZED: [encode(image.numpy()) for image in (pixels * 255).round().byte()]}


@dataclass
class Images:
    """The resized images of a table, as floats.

    stretch: whether each image is stretched to [0, 1] after its augmentation, as published.
    """

    table: datasets.Dataset
    stretch: bool = True

    def load(self, row: int, augment: Augment | None, rng: np.random.Generator) -> Tensor:
        """Image number `row` of the table → (H, W) float32 in [0, 1]; augment: (H, W) uint8 → the like."""
        stored = torch.frombuffer(bytearray(self.table[row][RESIZED]), dtype=torch.uint8)
        image = decode_png(stored)[0]
        image = image / 255 if augment is None else augment(image, rng)
        low, high = image.min(), image.max()
        return (image - low) / (high - low) if self.stretch and high > low else image


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
        grey = torch.stack(batch.pop("pixel_values"))[:, None]
        result = {"pixel_values": grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)}
        if "input_ids" in batch:
            result["attention_mask"] = padded([torch.ones_like(row) for row in batch["input_ids"]], 0)
        if "pooled_captions" in batch:
            result["pooled_captions"] = torch.stack(batch.pop("pooled_captions"))
        fills = {"input_ids": self.pad_token_id, "masked_input_ids": self.pad_token_id, "mlm_labels": IGNORED}
        for name in fills.keys() & batch.keys():
            result[name] = padded(batch.pop(name), fills[name])
        return result | {name: torch.tensor(values, dtype=torch.long) for name, values in batch.items()}


def padded(rows: list[Tensor], value: int) -> Tensor:
    """Rows (T,) of any lengths → (B, longest), filled with `value` on the right."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def number_captions(captions: Sequence[str]) -> list[int]:
    """A number for every caption, the same for equal texts: they must not be each other's negatives."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(caption, len(numbers)) for caption in captions]
