"""All texts that a run can see of its captions, each once: as they are, and as flips of their images change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .caption_sides import Flips, flipped

UNCLEAR = -1  # in the place of a number: the caption cannot follow such a flip


@dataclass(frozen=True)
class CaptionForms:
    """texts: each different one once; numbers: for each way to flip, the place of every row's caption among them.

    Equal texts have equal numbers, however they came about: they must not be each other's negatives.
    """

    texts: Sequence[str]
    numbers: Mapping[Flips, Sequence[int]]


def caption_forms(captions: Sequence[str], ways: Sequence[Flips] = (), *, swap: bool = True) -> CaptionForms:
    """The captions of a table's rows as they are, numbered in order of appearance, and flipped in these ways.

    swap: change the texts with the images; without it captions stay as they are, as in the published code.
    """
    places: dict[str, int] = {}
    numbers = {Flips(): [places.setdefault(caption, len(places)) for caption in captions]}
    originals = list(places)
    for flips in ways:
        texts = [flipped(text, flips) if swap else text for text in originals]
        of_text = [UNCLEAR if text is None else places.setdefault(text, len(places)) for text in texts]
        numbers[flips] = [of_text[number] for number in numbers[Flips()]]
    return CaptionForms(list(places), numbers)
