"""What the breast detector sees of a mammogram, and the box that it finds: YOLOX-nano at 416 × 416, one class.

About the weights, breast_detector.safetensors: trained from scratch by train_scripts/train_breast_detector.py on
phantoms, eight films of CBIS-DDSM (CC BY 3.0) with boxes drawn by eye, and half of the Mini-MIAS database (J. Suckling
et al., 1994; the images are for research use only, and none of them is here) with the boxes of hand-drawn masks
(Sharma, 2019). The file's metadata tell the sources, seeds, steps and date of each stage of the training. Research use.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional as F

from .yolox import Yolox, fused

WEIGHTS_NAME = "breast_detector.safetensors"
SIZE = 416  # pixels of the network's input
PADDING = 114.0  # grey beside an image that is not square, as Megvii's networks are used to
LEVELS = 4096  # grey levels that an image's histogram is made of
WINDOW = (0.005, 0.995)  # shares of the pixels between which the first two channels stretch
BESIDE = 64  # pixels of padding that the network sees beside an image; more move a box by a pixel at most
STRIDE = 32  # of the coarsest cells, of which each side of the input has to be a multiple
COARSEST = (2,)  # level of these cells
SURE = 0.35  # of the score; below it a box is not believed
AGREEING = 0.8  # cells whose score is at least so much of the best one's have a say in the box


def detector_file(weights: str | None = None) -> Path:
    """The given path; None: that of the weights beside this file, where they may be or not."""
    return Path(weights) if weights else Path(__file__).with_name(WEIGHTS_NAME)


@lru_cache(maxsize=4)
def load_detector(weights: str | None = None) -> Yolox:
    """The network of a safetensors file, ready for inference; None: the one that lies beside this file."""
    return fused(load_network(weights)).to(memory_format=torch.channels_last)


def load_network(weights: str | None = None) -> Yolox:
    """The same as it was trained, with its batch norms.

    Raises FileNotFoundError where there is no such file, ValueError where it holds no such network.
    """
    file = detector_file(weights)
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is missing, and the breast crop needs it; copy {WEIGHTS_NAME} from the release or from "
            "processing/, or set do_crop=False."
        )
    network = Yolox()
    try:
        network.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(f"{file} holds no YOLOX-nano of one class.") from error
    return network


def detect(image: np.ndarray, network: Yolox) -> tuple[np.ndarray, float]:
    """(h, w) float32, at most SIZE a side and not constant → the best box (x0, y0, x1, y1) and its score (0–1).

    The box is not rounded, and lies within the image. As a breast is large, the coarsest cells know it, and all are
    asked only where these are unsure.
    """
    rows, columns = (min(SIZE, -(-(side + BESIDE) // STRIDE) * STRIDE) for side in image.shape)
    pixels = network_input(image, SIZE)[None, :, :rows, :columns]
    with torch.inference_mode():
        features = network.backbone(pixels.contiguous(memory_format=torch.channels_last))
        box, score = best_box(network.predict(features, (rows, columns), COARSEST)[0])
        if score < SURE:
            box, score = best_box(network.predict(features, (rows, columns))[0])
    return np.clip(box, 0, image.shape[::-1] * 2), score


def reduced(pixels: np.ndarray, size: int) -> np.ndarray:
    """(H, W) numbers → (h, w) float32, exactly `size` on the longer side: averaged, or made larger bilinearly.

    Of a very large image every second, third … row and column is looked at, which saves most of the time.
    """
    step = max(1, max(pixels.shape) // (2 * size))
    target = [max(1, round(side * size / max(pixels.shape))) for side in pixels.shape]
    seen = np.array(pixels[step // 2 :: step, step // 2 :: step], np.float32, order="C")
    if pixels.dtype.kind == "f":
        np.nan_to_num(seen, copy=False, posinf=0, neginf=0)
    image = torch.from_numpy(seen)[None, None]
    if max(seen.shape) >= size:
        return F.adaptive_avg_pool2d(image, target)[0, 0].numpy()
    return F.interpolate(image, target, mode="bilinear", align_corners=False)[0, 0].numpy()


def network_input(image: np.ndarray, size: int) -> torch.Tensor:
    """(h, w) numbers, at most `size` a side and not constant → (3, size, size) float32 in 0 … 255, at the upper left.

    The channels are the image between its WINDOW, the square root of that, and the ranks of its pixels: faint skin
    shows in one of them, however bright a label is.
    """
    low, high = float(image.min()), float(image.max())
    levels = ((image - low) * ((LEVELS - 1) / (high - low))).astype(np.int64)
    counts = np.bincount(levels.ravel(), minlength=LEVELS)
    shares = np.cumsum(counts) / levels.size
    first, last = np.searchsorted(shares, WINDOW)
    stretched = np.clip((np.arange(LEVELS) - first) / max(last - first, 1), 0, 1)
    ranks = shares - counts / (2 * levels.size)
    canvas = np.full((3, size, size), PADDING, np.float32)
    for channel, curve in zip(canvas, (stretched, np.sqrt(stretched), ranks), strict=True):
        channel[: image.shape[0], : image.shape[1]] = np.take(255 * curve.astype(np.float32), levels)
    return torch.from_numpy(canvas)


def best_box(output: torch.Tensor) -> tuple[np.ndarray, float]:
    """A network's output (A, 6) → the best cell's box, averaged with those that agree (x0, y0, x1, y1); its score."""
    scores = output[:, 4] * output[:, 5]
    best = scores.max()
    sure = scores >= AGREEING * best
    weights = scores[sure] / scores[sure].sum()
    x, y, width, height = (weights[:, None] * output[sure, :4]).sum(dim=0).tolist()
    return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2]), float(best)
