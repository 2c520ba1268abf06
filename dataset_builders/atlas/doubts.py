"""Which entries a person should look at first, by their captions alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

from dataset_builders.atlas.entries import Entry

SHORTEST = 25  # characters
MUCH_LONGER, MUCH_SHORTER = 4.0, 0.15  # of the book's median caption
GARBLED = 0.12  # of a caption's words
USUALLY = 0.8  # of a book's captions: what they have in common is its habit
# What no English word is: letters around digits or signs, five consonants of one kind, a stray sign.
_STRANGE = re.compile(
    r"[A-Za-z][\d|~^{}<>\\_@#$]+[A-Za-z]|[bcdfgjkmpqvwxz]{5}|^[|~^{}<>\\_@#$*=]+$|(.)\1\1", re.IGNORECASE
)


def doubt_captions(entries: Sequence[Entry]) -> None:
    """Add what is odd about captions, one book after the other; entries of one caption share it."""
    for source in dict.fromkeys(entry.source for entry in entries):
        _doubt_book([entry for entry in entries if entry.source == source])


def _doubt_book(book: Sequence[Entry]) -> None:
    captions = list(dict.fromkeys(entry.caption for entry in book))
    usual = median(len(caption) for caption in captions)
    stops = sum(caption.endswith((".", "!", "?", ")")) for caption in captions) > USUALLY * len(captions)
    doubts = {caption: list(_doubts(caption, usual, stops)) for caption in captions}
    for entry in book:
        entry.doubts += doubts[entry.caption]


def _doubts(caption: str, usual: float, stops: bool):
    if len(caption) < max(min(SHORTEST, usual / 2), MUCH_SHORTER * usual):
        yield f"a short caption ({len(caption)} characters)"
    if len(caption) > MUCH_LONGER * usual:
        yield f"a long caption ({len(caption)} characters)"
    if stops and not caption.endswith((".", "!", "?", ")")):
        yield "the caption ends without a full stop, unlike the others"
    if caption[:1].islower():
        yield "the caption begins with a small letter"
    words = caption.split()
    strange = [word for word in words if _STRANGE.search(word)]
    if len(strange) > GARBLED * max(1, len(words)):
        yield f"words that may be misread: {', '.join(strange[:4])}"
