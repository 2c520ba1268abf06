"""Images that look the same, found by a perceptual hash of 64 bits (`imagehash.phash`) and its Hamming distance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import imagehash
from PIL import Image

BITS, BANDS = 64, 8
MOST = BANDS - 1  # of bits that may differ: then one of the bands, at least, is the same


def perceptual_hash(image: Image.Image) -> int:
    """The hash of an image, 0 … 2⁶⁴−1: the signs of its 8 × 8 lowest frequencies."""
    return int(str(imagehash.phash(image)), 16)


def near_pairs(hashes: Sequence[int], distance: int = 4) -> list[tuple[int, int]]:
    """Places (i, j), i < j, of all pairs of hashes that differ in at most `distance` bits, sorted.

    Hashes that agree in none of eight bands differ in eight bits or more and are never compared, so that a hundred
    thousand images take seconds. Raises ValueError for a distance beyond 7.
    """
    if not 0 <= distance <= MOST:
        raise ValueError(f"a distance of {distance} bits was asked for; expected 0 to {MOST}.")
    places = defaultdict(list)  # many images may have the very same hash: those are compared once
    for place, value in enumerate(hashes):
        places[value].append(place)
    near = {pair for same in places.values() for pair in combinations(same, 2)}
    for first, second in _candidates(places):
        if (first ^ second).bit_count() <= distance:
            near |= {(min(i, j), max(i, j)) for i in places[first] for j in places[second]}
    return sorted(near)


def _candidates(values: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Pairs of different hashes that agree in one band at least; a pair may come more than once."""
    width = BITS // BANDS
    bands = defaultdict(list)
    for value in values:
        for band in range(BANDS):
            bands[band, value >> band * width & (1 << width) - 1].append(value)
    for same in bands.values():
        yield from combinations(same, 2)
