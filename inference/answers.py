"""What a page answers to a dropped file, a choice or a sentence: HTML, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from io import BytesIO
from random import randrange
from typing import Any

from PIL import Image

from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_view

from . import one_image_page as pieces
from .one_image import OneImage, Reader
from .uploads import taken

FORGOT = "There is no image; drop a mammogram first (an image is forgotten after half an hour)."
PHANTOM = "a phantom: synthetic, of no patient"

Looked = tuple[OneImage | None, str, str | None]


def in_one_sentence(answer: Callable[..., str]) -> Callable[..., str]:
    """An answer in HTML; what the user can put right, and that there is no image, is one sentence."""

    @wraps(answer)
    def told(self: Answers, image: OneImage | None, *words: str) -> str:
        if image is None:
            return pieces.problem(FORGOT)
        try:
            return answer(self, image, *words)
        except ValueError as error:
            return pieces.problem(str(error))

    return told


@dataclass(frozen=True)
class Answers:
    """reader: of a release. max_mb: the largest file that is read, in megabytes."""

    reader: Reader
    max_mb: float

    def look(self, upload: Mapping[str, Any] | None) -> Looked:
        """An uploaded file, see `taken` → the image, what is shown, and its likeliest BI-RADS class."""
        if upload is None:
            return None, pieces.empty(), None
        return self._look(lambda: self.reader.read(taken(upload, self.max_mb)))

    def look_at_phantom(self) -> Looked:
        """A synthetic mammogram, another one each time → the same."""
        return self._look(lambda: replace(self.reader.read(_phantom_file()), warnings=(PHANTOM,)))

    def _look(self, read: Callable[[], OneImage]) -> Looked:
        try:
            image = read()
            scores = self.reader.scores(image)
        except ValueError as error:
            return None, pieces.problem(str(error)), None
        shown = pieces.seen(image, scores, self.reader.classifier.config)
        return image, shown, max(scores["birads"], key=scores["birads"].get)

    @in_one_sentence
    def class_heat(self, image: OneImage, name: str) -> str:
        return pieces.heat(image, self.reader.class_map(image, name), name)

    @in_one_sentence
    def sentence_heat(self, image: OneImage, sentence: str) -> str:
        return pieces.heat(image, self.reader.caption_map(image, sentence), f"“{sentence.strip()}”")

    @in_one_sentence
    def compare(self, image: OneImage, text: str) -> str:
        return pieces.fits(self.reader.compare(image, text), separate=text == "findings")

    @in_one_sentence
    def nearest(self, image: OneImage) -> str:
        captions = self.reader.captions
        return pieces.captions(
            self.reader.nearest(image), bool(captions and captions.index.about.get("phantom"))
        )


def _phantom_file() -> bytes:
    """A PNG of 16 bits."""
    case, buffer = draw_case(randrange(10**6), 0), BytesIO()
    pixels = render_view(case, "LR"[randrange(2)], ("CC", "MLO")[randrange(2)]).pixels
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
