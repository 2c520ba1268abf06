"""Images in the model's size, compressed without loss: read from the data set itself where they are, else made once.

A table is ready when its images are grey 8-bit PNGs of the wanted size and nothing is to be cropped: then nothing is
written. Otherwise the images go once through the image processor, in all worker processes, into shards of PNGs beside
the data set. A shard is in its place whole or not at all, so work that was interrupted goes on behind the last one.
Either way the values are the processor's, `round(255 × pixel_values)`, to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets.arrow_writer import ArrowWriter
from datasets.fingerprint import Hasher
from filelock import FileLock
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from processing import MamClipImageProcessor
from processing.breast_detector import detector_file
from processing.png import encode_png, png_head

RESIZED = "pixels"  # the column that holds an image in the model's size: a grey 8-bit PNG
FEATURES = datasets.Features({RESIZED: datasets.Image(decode=False)})
SHARD = 2000  # images of a file: about 600 MB at 1024 × 768, and few enough files for 480,000
MANY = 500  # images from which on several processes are faster than one


def resized(
    table: datasets.Dataset,
    processor: MamClipImageProcessor,
    *,
    cache: str | Path | None = None,
    processes: int = 1,
) -> datasets.Dataset:
    """The table with its images as the model wants them: the column RESIZED in the place of `image`.

    What has to be made is kept beside the table's own files, or in the folder `cache`, and found again by a fingerprint
    of the table, the processor's settings and its breast detector. Raises ValueError for an image that cannot be
    read, and for a processor whose values are not in [0, 1].
    """
    if processor.scaling == "imagenet":
        raise ValueError(
            "the image processor normalises by ImageNet's mean, which no byte can hold; "
            "give scaling min_max or none, and pixel_mean and pixel_std to the model."
        )
    if is_ready(table, processor):
        return table.cast_column("image", FEATURES[RESIZED]).rename_column("image", RESIZED)
    folder = _folder(table, cache) / f"resized-{_key(table, processor)}"
    shards = [range(start, min(start + SHARD, len(table))) for start in range(0, len(table), SHARD)]
    files = [folder / f"{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # another run, or another machine on the same disk, may be at it
        missing = [(file, rows) for file, rows in zip(files, shards, strict=True) if not file.is_file()]
        _make(table, processor, missing, processes)
    images = datasets.concatenate_datasets([datasets.Dataset.from_file(str(file)) for file in files])
    others = table.remove_columns("image")
    if (
        others._indices is not None
    ):  # else datasets would write them anew beside the table, wherever the cache is
        others = others.flatten_indices(keep_in_memory=True)
    return datasets.concatenate_datasets([others, images], axis=1)


def is_ready(table: datasets.Dataset, processor: MamClipImageProcessor) -> bool:
    """Whether the processor would leave all images of the table as they are, but for the stretch of their greys.

    Of every image the first 33 bytes are looked at.
    """
    if processor.do_crop or processor.remove_labels or processor.orient or processor.published:
        return False
    head = png_head(processor.size["height"], processor.size["width"])
    for chunk in table.data.column("image").chunks:
        if not pa.types.is_struct(chunk.type) or chunk.type.get_field_index("bytes") < 0:
            return False
        heads = pc.binary_slice(chunk.field("bytes"), 0, len(head))
        if not pc.all(pc.equal(heads, head), skip_nulls=False).as_py():
            return False
    return True


def stretched(image: Tensor) -> Tensor:
    """(H, W) uint8 → the same, its darkest value 0 and its brightest 255 as the processor's min–max has them.

    A blank image becomes 0 everywhere.
    """
    low, high = int(image.min()), int(image.max())
    if (low, high) == (0, 255):
        return image
    greys = torch.arange(256, dtype=torch.float32)
    greys = (greys - low) / (high - low) if high > low else torch.zeros(256)
    table = (greys.clamp(0, 1) * 255).round().byte()
    return torch.from_numpy(table.numpy()[image.numpy()])


def _folder(table: datasets.Dataset, cache: str | Path | None) -> Path:
    if cache is not None:
        return Path(cache)
    files = table.cache_files
    return Path(files[0]["filename"]).parent if files else Path(datasets.config.HF_DATASETS_CACHE)


def _key(table: datasets.Dataset, processor: MamClipImageProcessor) -> str:
    """A name for what this processor makes of this table: other data, settings or weights have another one."""
    detector = detector_file(processor._detector_weights)
    weights = (
        hashlib.sha256(detector.read_bytes()).hexdigest() if processor.do_crop and detector.is_file() else ""
    )
    return Hasher.hash((table._fingerprint, len(table), processor.to_dict(), weights, "resized 2"))


@dataclass
class _Encoded(Dataset):
    """The rows of a table as PNGs in the model's size, or as a sentence where that fails, for worker processes."""

    table: datasets.Dataset
    processor: MamClipImageProcessor
    rows: list[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> bytes | str:
        row = self.rows[place]
        try:
            image = self.table[row]["image"]
            pixels = self.processor(images=[image], return_tensors="pt")["pixel_values"][0, 0]
        except Exception as error:  # a stranger's file can break a decoder in any way
            return f"image {row} of {len(self.table)} cannot be read ({' '.join(str(error).split())[:200]})."
        return encode_png((pixels * 255).round().byte().numpy())


def _make(table: datasets.Dataset, processor, missing: list[tuple[Path, range]], processes: int) -> None:
    """Write shards, in order; `missing` are their files and rows."""
    if not missing:
        return
    rows = [row for _, shard in missing for row in shard]
    encoded = _Encoded(table.select_columns("image"), processor, rows)
    workers = processes if processes > 1 and len(rows) >= MANY else 0
    loader = DataLoader(encoded, batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None)
    with tqdm(total=len(rows), desc="Resizing images", unit="image") as bar:
        images = iter(loader)
        for file, shard in missing:
            _write(file, shard, images, bar)


def _write(file: Path, shard: range, images: Iterator[bytes | str], bar: tqdm) -> None:
    part = file.with_name(f".{file.name}.part")
    try:
        with ArrowWriter(features=FEATURES, path=str(part), writer_batch_size=50) as writer:
            for _ in shard:
                image = next(images)
                if isinstance(image, str):
                    raise ValueError(image)
                writer.write({RESIZED: {"bytes": image, "path": None}})
                bar.update()
            writer.finalize()
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
