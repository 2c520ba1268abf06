"""What training will see of pairs, without training: each as it is and as epochs draw it, with its caption as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory

import datasets
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from .caption_sides import Flips, flipped
from .data import PairExamples
from .pretraining import augmentation, new_processor, pair_examples, resized_pairs
from .pretraining_options import PretrainingOptions

DONE = {
    Flips(False, False): "not flipped",
    Flips(True, False): "mirrored left to right",
    Flips(False, True): "upside down",
    Flips(True, True): "mirrored left to right, upside down",
}
View = tuple[Image.Image, str, str]  # mode L; what was done to its sides; its caption then


def preview_pairs(options: PretrainingOptions, pairs: datasets.Dataset, epochs: int) -> list[list[View]]:
    """For every pair: as it is, then as each of the first epochs draws it. Leaves no file behind."""
    processor = new_processor(options)
    with TemporaryDirectory() as cache:
        table = resized_pairs(replace(options, cache=cache), [pairs], processor.image_processor)
        examples = pair_examples(options, table, processor)
        examples = replace(examples, fixed=False, augmentation=augmentation(options))
        places = tqdm(range(len(examples)), "Augmenting", unit="pair")
        return [[_plain(examples, place), *_drawn(examples, place, epochs)] for place in places]


def unclear_captions(options: PretrainingOptions, captions: Iterable[str]) -> list[str]:
    """Those captions, each once, that cannot follow a flip of these options; none where captions need not follow."""
    ways: Sequence[Flips] = [] if options.augmentation == "published" else augmentation(options).ways()
    return [text for text in dict.fromkeys(captions) if any(flipped(text, way) is None for way in ways)]


def _plain(examples: PairExamples, row: int) -> View:
    image = examples.images.load(row, None, examples.rng(row))
    return _picture(image), "as it is", examples.captions[examples.caption_numbers[row]].text


def _drawn(examples: PairExamples, row: int, epochs: int) -> Iterator[View]:
    for epoch in range(epochs):
        examples.set_epoch(epoch)
        example = examples[row]
        done = DONE[examples.draw_flips(row, examples.rng(row))]
        yield _picture(example["pixel_values"]), done, examples.captions[example["caption_ids"]].text


def _picture(image: Tensor) -> Image.Image:
    """(H, W) float in [0, 1] → mode L."""
    return Image.fromarray((image * 255).round().byte().numpy())
