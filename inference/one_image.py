"""One mammogram that somebody shows: the bytes of a file → crop, scores, heatmaps, captions. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from dataset_builders.prepared_images import warnings_of
from evaluation.heatmaps import caption_map, class_map, on_original, overlay
from evaluation.pictures import crop_picture, small_picture
from modeling_mamclip import MamClipModel
from processing import (
    PROMPT_SETS,
    MamClipProcessor,
    MamClipZeroShotImageClassificationPipeline,
    Mammogram,
    MammogramError,
    Placement,
    read_image,
    to_uint8,
)

from .captions import NearestCaptions
from .classifier import Classifier

HEIGHT = 640  # of pictures, in pixels
MOST_SENTENCES, LONGEST_SENTENCE = 20, 400  # that are compared at a time, and characters of each
FEWEST_PIXELS = 32  # of a side: a smaller picture is none of a breast
HAS_FRAMES = "frame='central'"  # what the reader's sentence offers for files with several
NAMELESS = ("the image data ", "the DICOM data ")  # how the readers call a file that has no name


@dataclass(frozen=True, eq=False)
class OneImage:
    """A mammogram, read and prepared.

    pixels: (H0, W0) of the file. pixel_values: (1, 3, H, W) float32, as the model takes it. placement: of these in the
    file. view, laterality: as in Mammogram; no other tag is kept. warnings: what somebody should know.
    """

    pixels: np.ndarray = field(repr=False)
    pixel_values: Tensor = field(repr=False)
    placement: Placement
    view: str | None
    laterality: str | None
    warnings: tuple[str, ...] = ()

    @property
    def crop(self) -> np.ndarray:
        """The breast's pixels."""
        return self._cut(self.pixels)

    def framed(self, height: int = HEIGHT) -> bytes:
        """The whole image, reduced, with a frame around what the model sees: bytes of a PNG."""
        return crop_picture(to_uint8(self.pixels), self.placement.crop_box, height=height)

    def cropped(self, height: int = HEIGHT) -> bytes:
        """What the model sees, in its own proportions, reduced: bytes of a PNG."""
        return small_picture(Image.fromarray(to_uint8(self.crop)), height=height)

    def heated(self, heat: np.ndarray, height: int = HEIGHT) -> bytes:
        """A map over the model's input (h, w), in [0, 1], on the crop, reduced: bytes of an RGB PNG."""
        grey = Image.fromarray(to_uint8(self.crop))
        size = _reduced(grey.size, height)
        warm = Image.fromarray(self._cut(on_original(heat, self.placement)))
        warm = np.asarray(warm.resize(size, Image.Resampling.BOX)).clip(0, 1)
        small = np.asarray(grey.resize(size, Image.Resampling.BOX))
        return _png(Image.fromarray(overlay(small, warm)))

    def _cut(self, array: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = self.placement.crop_box
        return array[y0:y1, x0:x1]


@dataclass(frozen=True)
class Reader:
    """What reads a mammogram.

    classifier: of a release. aligned, processor: its two encoders and their processor, None where it has none.
    captions: an index of captions, or None. phantom: whether the weights have learnt from phantoms alone.
    """

    classifier: Classifier
    aligned: MamClipModel | None = None
    processor: MamClipProcessor | None = None
    captions: NearestCaptions | None = None
    phantom: bool = False

    @property
    def classes(self) -> dict[str, tuple[str, str]]:
        """Every class by a name for people → its task and its label, as `class_map` has them."""
        birads = {name: ("birads", name) for name in self.classifier.birads_classes}
        return birads | {f"density {name}": ("density", name) for name in self.classifier.densities}

    def read(self, data: bytes) -> OneImage:
        """A file's bytes → the mammogram, ready for everything below.

        Raises MammogramError, one sentence that quotes nothing of the file, for whatever is no mammogram.
        """
        mammogram, warnings = _opened(data)
        if min(mammogram.pixels.shape) < FEWEST_PIXELS:
            height, width = mammogram.pixels.shape
            raise MammogramError(f"The picture has {width} × {height} pixels, too few for a mammogram.")
        batch = self.classifier.processor(mammogram.pixels, return_tensors="pt")
        place = batch.placements[0]
        warnings = (*warnings, *warnings_of(mammogram, place.crop_source))
        return OneImage(
            mammogram.pixels, batch["pixel_values"], place, mammogram.view, mammogram.laterality, warnings
        )

    def scores(self, image: OneImage) -> dict[str, dict[str, float]]:
        """ "birads" (5 classes), "groups" (3) and "density" (4) → label → calibrated probability.

        Raises ValueError where the model gives no numbers.
        """
        scores, model = self.classifier.scores(image.pixel_values), self.classifier
        if not scores.finite.all():
            raise ValueError("The model gave no numbers for this image; its weights may be damaged.")
        return {
            "birads": _by_label(model.birads_classes, scores.birads),
            "groups": _by_label(model.groups, scores.groups),
            "density": _by_label(model.densities, scores.density),
        }

    def class_map(self, image: OneImage, name: str) -> np.ndarray:
        """What speaks for a class, by its name in `classes`: (H, W) in [0, 1], over the model's input."""
        if name not in self.classes:
            raise ValueError(f"There is no class {name!r}; there are {', '.join(self.classes)}.")
        task, label = self.classes[name]
        return class_map(self.classifier.model, image.pixel_values, label, task=task)

    def caption_map(self, image: OneImage, sentence: str) -> np.ndarray:
        """What matches a sentence: (H, W) in [0, 1], over the model's input."""
        model, processor = self._aligned()
        tokens = processor(text=_sentences(sentence, fewest=1)[:1], return_tensors="pt").to(model.device)
        return caption_map(model, image.pixel_values, tokens["input_ids"], tokens["attention_mask"])

    def compare(self, image: OneImage, text: str) -> list[tuple[str, float]]:
        """Sentences, one a line, or the name of a prompt set → (sentence or label, score), the best first.

        Of sentences, BI-RADS and density the scores add up to 1; each finding is scored for itself.
        """
        model, processor = self._aligned()
        labels = text if text in PROMPT_SETS else _sentences(text, fewest=2)
        compare = MamClipZeroShotImageClassificationPipeline(
            model=model, tokenizer=processor.tokenizer, image_processor=processor.image_processor
        )
        return [(fit["label"], fit["score"]) for fit in compare(image.pixels, candidate_labels=labels)]

    def nearest(self, image: OneImage) -> list[dict[str, Any]]:
        """The nearest captions of the index, as `NearestCaptions` gives them; none without an index."""
        return self.captions.of(image.pixel_values)[0] if self.captions else []

    def _aligned(self) -> tuple[MamClipModel, MamClipProcessor]:
        if self.aligned is None or self.processor is None:
            raise ValueError("This model reads no text: it is a classifier without the aligned text encoder.")
        return self.aligned, self.processor


def _opened(data: bytes) -> tuple[Mammogram, tuple[str, ...]]:
    """The file, and what was overlooked to get its pixels."""
    if not data:
        raise MammogramError("The file is empty (0 bytes); get a new copy of it.")
    try:
        return _read(data), ()
    except MammogramError as error:
        if HAS_FRAMES not in str(error):
            raise
    return _read(data, frame="central"), ("several frames, as of tomosynthesis; the central one is read",)


def _read(data: bytes, **options: str) -> Mammogram:
    try:
        return read_image(data, **options)
    except MammogramError as error:
        raise MammogramError(_in_plain_words(str(error))) from None
    except (
        Exception
    ) as error:  # a stranger's file can break a decoder in any way, and its words may be of the file
        raise MammogramError(
            f"The file cannot be read ({type(error).__name__}); get a new copy of it."
        ) from None


def _in_plain_words(said: str) -> str:
    """The readers' sentence without what only a program could do about it."""
    for name in NAMELESS:
        said = said.replace(name, "The file ", 1) if said.startswith(name) else said
    said = said.replace(" that Pillow knows", "")
    return said.partition("; any_modality=True")[0].rstrip(".") + "."


def _sentences(text: str, *, fewest: int) -> list[str]:
    """The lines that have words, each once. Raises ValueError for too few or too many, or too long ones."""
    lines = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if len(lines) < fewest:
        wanted = "a sentence" if fewest == 1 else "two sentences or more, one a line, to choose between"
        raise ValueError(f"Write {wanted}.")
    if len(lines) > MOST_SENTENCES or max(map(len, lines)) > LONGEST_SENTENCE:
        raise ValueError(
            f"That is too much to compare: at most {MOST_SENTENCES} sentences of {LONGEST_SENTENCE} characters each."
        )
    return lines


def _by_label(labels: Sequence[str], scores: np.ndarray) -> dict[str, float]:
    """(1, L) → label → score."""
    return dict(zip(labels, map(float, scores[0]), strict=True))


def _reduced(size: tuple[int, int], height: int) -> tuple[int, int]:
    """(width, height), at most so high, in the same proportions."""
    scale = min(1.0, height / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
