"""The pointing game: does the hottest pixel of a map lie on what was marked there? (Zhang et al., ECCV 2016,
https://arxiv.org/abs/1608.00507)

A hit is a maximum within the box of a finding of that kind, or so near to it that nobody would look elsewhere: the
tolerance. The authors allowed 15 pixels on photographs whose longer side is mostly 500. The same share here, 3 %, is as
many pixels of a mammogram of 512 × 384, and 5 mm of one that shows 18 cm; what chance would hit is counted with it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bootstrap import Estimate, GroupDraws

TOLERANCE = 15 / 500  # of the image's longer side
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pointed:
    """One map of one image, and what it should point at: the findings of one kind in it.

    patient: whose views are drawn together. kind: of the finding, which scores are given for. hit: whether the map's
    maximum is on one of them. chance: the share of the breast, 0–1, where a point would be a hit.
    """

    patient: str
    kind: str
    hit: bool
    chance: float


def peak(heat: np.ndarray) -> tuple[int, int] | None:
    """The hottest pixel (x, y) of an (H, W) map, None where nothing is above 0.

    Of several equally hot ones that next to their middle: upsampling leaves plateaus at the borders.
    """
    largest = heat.max()
    if not largest > 0:
        return None
    places = np.argwhere(heat == largest)
    y, x = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return int(x), int(y)


def is_hit(point: tuple[float, float] | None, boxes: Sequence[Box], tolerance: float = 0.0) -> bool:
    """Whether a pixel lies in one of the boxes (x0, y0, x1, y1), ends exclusive, or at most `tolerance` pixels away."""
    return point is not None and bool(distances(np.array([point]), boxes)[0] <= tolerance)


def chance_of(boxes: Sequence[Box], breast: np.ndarray, tolerance: float = 0.0) -> float:
    """The share of a breast's pixels, an (H, W) mask, that would be hits: what a map that knows nothing gets.

    Raises ValueError for a mask without a breast.
    """
    rows, columns = np.nonzero(breast)
    if not len(rows):
        raise ValueError("the mask has no pixel of a breast, so there is no chance to compute.")
    return float((distances(np.stack([columns, rows], axis=1), boxes) <= tolerance).mean())


def distances(points: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """(N, 2) pixels as x, y → (N,) how far each is from the nearest pixel of the nearest box, 0 within one."""
    corners = np.array(boxes, float)[:, None]  # (boxes, 1, 4)
    low, high = corners[..., :2], corners[..., 2:] - 1
    beyond = np.maximum(np.maximum(low - points, points - high), 0)  # (boxes, N, 2)
    return np.hypot(beyond[..., 0], beyond[..., 1]).min(axis=0)


def pointing_scores(
    maps: Sequence[Pointed], *, samples: int = 2000, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """For every kind of finding: how many there are, the share of hits, of chance, and their difference, with 95 %
    intervals over patients.

    Raises ValueError where there are no maps.
    """
    if not maps:
        raise ValueError("there are no maps to score.")
    kinds = dict.fromkeys(one.kind for one in maps)
    return {kind: _scores([one for one in maps if one.kind == kind], samples, seed) for kind in kinds}


def _scores(maps: Sequence[Pointed], samples: int, seed: int) -> dict[str, Any]:
    draws = GroupDraws([one.patient for one in maps], samples, seed)
    values = np.array([(one.hit, one.chance, 1.0) for one in maps], float)  # (maps, 3)
    sums = draws.sums(values, np.arange(len(maps)))  # (samples, 3)
    hits, chance = (Estimate(float(values[:, i].mean()), sums[:, i] / sums[:, 2]) for i in (0, 1))
    return {
        "findings": len(maps),
        "patients": len({one.patient for one in maps}),
        "hits": hits.as_dict(),
        "chance": chance.as_dict(),
        "above_chance": (hits - chance).as_dict(),
    }
