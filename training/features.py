"""Linear probes without running the encoder again: features of the images as they are, extracted once and kept.

A probe's encoder stays as it is and so gives an image the same features in every epoch, every fold and every run of a
learning curve, as long as the image is not augmented. They are kept in one file for each encoder and data set, beside
the resized images, and the heads are trained on them by the same trainer, losses and choice of the checkpoint.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from modeling_mamclip import MamClipForImageClassification
from modeling_mamclip.losses_mamclip import classification_loss
from modeling_mamclip.outputs_mamclip import MamClipImageClassifierOutput

from .data import Collator, LabelledExamples

VERSION = "features 1"  # of what is kept, and how it is computed


class ProbeHeads(nn.Module):
    """A classifier's own dropout and heads, on features that its encoder has given."""

    def __init__(self, model: MamClipForImageClassification):
        super().__init__()
        self.dropout, self.birads_head, self.density_head = (
            model.dropout,
            model.birads_head,
            model.density_head,
        )

    def forward(
        self, features: Tensor, labels: Tensor | None = None, density_labels: Tensor | None = None
    ) -> MamClipImageClassifierOutput:
        """features (B, P), the projected features of B images → as the classifier's own forward."""
        features = self.dropout(features)
        logits, density_logits = self.birads_head(features), self.density_head(features)
        loss = classification_loss((logits, labels), (density_logits, density_labels))
        return MamClipImageClassifierOutput(loss, logits, density_logits)


@dataclass
class FeatureExamples(LabelledExamples):
    """Labelled examples that come as features in the place of pixels, a whole batch at a time.

    features (rows of the whole table, P) float32: those of `encoder_features`.
    """

    features: np.ndarray | None = None

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {name: values[0] for name, values in self.__getitems__([place]).items()}

    def __getitems__(self, places: Sequence[int]) -> dict[str, Tensor]:
        """What a DataLoader asks for, where it is there: a batch in one go."""
        rows = [self.rows[place % len(self)] for place in places]
        return {
            "features": torch.from_numpy(self.features[rows]),
            "labels": torch.tensor([self.labels[row] for row in rows]),
            "density_labels": torch.tensor([self.density_labels[row] for row in rows]),
        }


def as_it_is(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The collator of `FeatureExamples`, which come as batches."""
    return batch


def with_features(examples: LabelledExamples, features: np.ndarray) -> FeatureExamples:
    """The same rows and labels, with features in the place of the images."""
    return FeatureExamples(**vars(examples), features=features)


def encoder_features(
    model: MamClipForImageClassification,
    examples: LabelledExamples,
    rows: Sequence[int],
    *,
    batch_size: int,
    device: torch.device,
    workers: int = 0,
) -> np.ndarray:
    """(rows of the whole table, P) float32: the projected features of images as they are, in full precision.

    Only `rows` are there for sure; others are where another run has asked for them. Those that are not yet in the file
    are extracted, and stay there whatever happens, so that an extraction that was interrupted goes on.
    """
    kept = _opened(_file(model, examples), (len(examples.images.table), model.config.projection_dim))
    missing = [row for row in rows if np.isnan(kept[row]).any()]
    if not missing:
        return kept
    encoder = model.encoder.to(device).eval()
    images = replace(examples, rows=missing, fixed=True, augmentation=None)
    batches = DataLoader(images, batch_size, collate_fn=Collator(), num_workers=workers)
    with torch.inference_mode(), tqdm(total=len(missing), desc="extracting features", unit="image") as bar:
        done = 0
        for batch in batches:
            projected = encoder(batch["pixel_values"].to(device))[2].float().cpu().numpy()
            kept[missing[done : done + len(projected)]] = projected
            done += len(projected)
            bar.update(len(projected))
    kept.flush()
    return kept


def _opened(file: Path, shape: tuple[int, int]) -> np.memmap:
    """The file of features, to read and write; a new one holds NaN, which says that a row's are missing."""
    if not file.is_file():
        beside = file.with_name(f".{file.name}.{os.getpid()}.part")
        new = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float32, shape=shape)
        new[:] = np.nan
        new.flush()
        try:
            os.link(beside, file)  # which leaves the file of a run that was faster as it is
        except FileExistsError:
            pass
        finally:
            beside.unlink()
    return np.lib.format.open_memmap(file, mode="r+")


def _file(model: MamClipForImageClassification, examples: LabelledExamples) -> Path:
    """Where features of this encoder and of these resized images lie: beside the images, named by a fingerprint."""
    table = examples.images.table
    vision: dict[str, Any] = model.config.vision_config.to_dict()
    digest = hashlib.sha256(repr((VERSION, table._fingerprint, examples.images.stretch, vision)).encode())
    for name, tensor in model.encoder.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    folder = Path(table.cache_files[0]["filename"]).parent
    return folder / f"features-{digest.hexdigest()[:32]}.npy"
