"""Features of whole collections of films: what frozen encoders say of them, encoders with random weights, and texture.

Features are functions of (fold, repetition), since an encoder may be another one for every fold, or for every draw of
random weights; each encoder reads the films once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache

import datasets
import numpy as np
import torch
from tqdm import tqdm

from processing import MamClipImageProcessor

from .embedding import load_aligned
from .initialization import new_classifier
from .texture_statistics import texture_statistics

RANDOM = "random weights"
SIZE = (256, 192)  # of the images whose texture is measured
Features = Callable[[int, int], np.ndarray]  # fold, repetition → (N, F) of all films


class Films:
    """The films as image processors make them, each way once."""

    def __init__(self, table: datasets.Dataset):
        self.table = table
        self.ready: dict[str, torch.Tensor] = {}

    def pixels(self, processor: MamClipImageProcessor) -> torch.Tensor:
        """(N, 1, H, W) float32 in [0, 1]."""
        key = json.dumps(processor.to_dict(), sort_keys=True, default=str)
        if key not in self.ready:
            images = tqdm(self.table["image"], "preparing films", leave=False)
            found = [processor(images=image, return_tensors="pt")["pixel_values"][:, :1] for image in images]
            self.ready[key] = torch.cat(found)
        return self.ready[key]


def encoder_features(folder: str, films: Films) -> Features:
    """Of a folder of pretrain.py; `{fold}` in its name becomes the number of the fold."""

    @cache
    def read(name: str) -> np.ndarray:
        model, processor = load_aligned(name)
        return embed(model.vision_model.eval(), films.pixels(processor.image_processor), name)

    return lambda fold, draw: read(folder.replace("{fold}", str(fold)))


def random_features(folder: str, films: Films) -> Features:
    """Features of the same architecture, with weights of its own for every repetition."""

    @cache
    def read(draw: int) -> np.ndarray:
        model, processor = load_aligned(folder.replace("{fold}", "0"))
        torch.manual_seed(draw)
        encoder = new_classifier(vision_config=model.config.vision_config.to_dict()).encoder.eval()
        return embed(encoder, films.pixels(processor.image_processor), f"{RANDOM} {draw + 1}")

    return lambda fold, draw: read(draw)


@torch.inference_mode()
def embed(encoder: torch.nn.Module, pixels: torch.Tensor, title: str, batch: int = 16) -> np.ndarray:
    """pixels (N, 1, H, W) → (N, F): what the encoder's head pools of every film, before the projection."""
    device = next(encoder.parameters()).device
    parts = tqdm(pixels.split(batch), f"films through {title}", leave=False)
    return torch.cat(
        [encoder(part.expand(-1, 3, -1, -1).to(device))[1].float().cpu() for part in parts]
    ).numpy()


def texture_features(films: Films) -> Features:
    """Intensity and texture statistics of the cropped films."""

    @cache
    def read() -> np.ndarray:
        pixels = films.pixels(MamClipImageProcessor(size={"height": SIZE[0], "width": SIZE[1]}))
        return np.stack([texture_statistics(image) for image in pixels[:, 0].numpy()])

    return lambda fold, draw: read()
