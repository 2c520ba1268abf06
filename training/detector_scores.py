"""How well a breast detector's boxes agree with those drawn by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from processing import BreastBox, find_breast, read_image
from processing.breast_detector import reduced
from processing.bright_regions import DARK, largest_component
from processing.yolox import Yolox

from .detector_films import BoxedFile

MEASURED = 512  # pixels of an image's longer side when areas are measured


@dataclass(frozen=True)
class Judgement:
    """One image. iou: with the drawn box; covered, tissue: the share of that box, and of the breast in it, inside."""

    file: str
    found: BreastBox
    iou: float
    covered: float
    tissue: float


def judge(files: Iterable[BoxedFile], detector: Yolox) -> list[Judgement]:
    """Find the breast in each file as `find_breast` does; of several drawn boxes the one that fits best counts."""
    judgements = []
    for file in files:
        if not file.boxes:
            continue
        pixels = read_image(file.path).pixels
        found = find_breast(pixels, detector)
        box = np.array([found.x0, found.y0, found.x1, found.y1], float)
        truth = max(
            (np.array(drawn, float) for drawn in file.boxes), key=lambda drawn: overlap(box, drawn)[0]
        )
        tissue = tissue_inside(pixels, truth, box)
        judgements.append(Judgement(str(file.path), found, *overlap(box, truth), tissue))
    return judgements


def overlap(box: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Two boxes (x0, y0, x1, y1) → intersection over union, and the share of the second that lies in the first."""
    sides = np.minimum(box[2:], truth[2:]) - np.maximum(box[:2], truth[:2])
    both = float(np.clip(sides, 0, None).prod())
    area, wanted = ((corners[2:] - corners[:2]).prod() for corners in (box, truth))
    return both / float(area + wanted - both), both / float(wanted)


def tissue_inside(pixels: np.ndarray, truth: np.ndarray, box: np.ndarray) -> float:
    """The share of the breast's area that lies in the found box: what is bright in the drawn one and hangs together."""
    small = reduced(pixels, MEASURED)
    scale = small.shape[1] / pixels.shape[1]
    background, tissue = np.quantile(small, (0.02, 0.95))
    drawn, found = _inside(small.shape, truth * scale), _inside(small.shape, box * scale)
    breast = largest_component(drawn & (small > background + DARK * (tissue - background)))
    return float((breast & found).sum() / max(breast.sum(), 1))


def _inside(shape: tuple[int, int], box: np.ndarray) -> np.ndarray:
    """Which pixels' centres lie in a box."""
    y, x = (np.arange(side) + 0.5 for side in shape)
    return ((y > box[1]) & (y < box[3]))[:, None] & ((x > box[0]) & (x < box[2]))[None, :]


def folds_of(files: Sequence[BoxedFile], folds: int, seed: int = 0) -> list[int]:
    """Each file's fold; files of one group, a patient, are in one fold."""
    groups = sorted({file.group for file in files})
    order = np.random.default_rng(seed).permutation(len(groups))
    fold = {group: int(place) % folds for group, place in zip(groups, order, strict=True)}
    return [fold[file.group] for file in files]


def summary(judgements: Sequence[Judgement]) -> dict:
    """Numbers for JSON: IoU and covered shares, who decided, and the five worst files."""
    ious = np.array([one.iou for one in judgements])
    sources = [one.found.source for one in judgements]
    worst = sorted(judgements, key=lambda one: one.iou)[:5]
    return {
        "images": len(judgements),
        "mean_iou": round(float(ious.mean()), 4),
        "iou_at_least_0.90": round(float((ious >= 0.9).mean()), 4),
        "lowest_iou": round(float(ious.min()), 4),
        "lowest_share_of_drawn_box_inside": round(min(one.covered for one in judgements), 4),
        "lowest_share_of_breast_inside": round(min(one.tissue for one in judgements), 4),
        "breast_inside_at_least_0.98": round(float(np.mean([one.tissue >= 0.98 for one in judgements])), 4),
        "sources": {source: sources.count(source) for source in sorted(set(sources))},
        "worst": [{"file": one.file, "iou": round(one.iou, 4)} for one in worst],
    }
