"""Image–caption pairs as embeddings of an aligned model, and what tells two models apart that embed differently."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import datasets
import torch
from torch import Tensor

from modeling_mamclip import MamClipModel
from processing import MamClipProcessor

from .data import PAIR_COLUMNS, number_captions
from .embedding import embed_images, embed_texts
from .sources import load_table

# What decides an embedding beside the weights.
CONFIG_FIELDS = ("attend_to_padding", "context_length", "text_pooling")
VISION_FIELDS = ("architecture", "model_args", "pixel_mean", "pixel_std")
IMAGE_FIELDS = ("size", "do_crop", "remove_labels", "orient", "fit", "scaling", "antialias", "published")
ENCODERS = ("vision_model.", "text_model.")


def load_pairs(folders: Sequence[str | Path]) -> datasets.Dataset:
    """The pairs of all folders in one table, in order, with the columns that all of them have.

    Raises what `load_table` does, and ValueError where a column is of another type in another folder.
    """
    tables = [load_table(folder, PAIR_COLUMNS, "extract_pairs.py") for folder in folders]
    shared = [name for name in tables[0].column_names if all(name in t.column_names for t in tables)]
    for folder, table in zip(folders, tables, strict=True):
        for name in shared:
            if table.features[name] != tables[0].features[name]:
                raise ValueError(
                    f"column {name!r} is {table.features[name]} in {folder} and {tables[0].features[name]} in "
                    f"{folders[0]}; give pairs that were extracted alike."
                )
    return datasets.concatenate_datasets([table.select_columns(shared) for table in tables])


def embed_pairs(
    model: MamClipModel, processor: MamClipProcessor, pairs: datasets.Dataset, batch_size: int
) -> tuple[Tensor, Tensor, list[int]]:
    """N pairs → image embeddings (N, P), caption embeddings (N, P), caption numbers (N).

    Embeddings are float32 and of length 1. Each text is embedded once: rows with one text have one number, as in
    pretraining, and the same embedding to the bit. Images are read from the table a batch at a time.
    """
    images = embed_images(model, processor, pairs["image"], batch_size)
    numbers = number_captions(pairs["caption"][:])
    texts = embed_texts(model, processor, list(dict.fromkeys(pairs["caption"][:])), batch_size)
    return images, texts[numbers], numbers


def model_fingerprint(model: MamClipModel, processor: MamClipProcessor) -> str:
    """SHA-256 of both encoders' weights and of all settings that decide an embedding, as hexadecimal digits.

    A pretraining folder and the release that was exported from it have the same.
    """
    settings = [getattr(model.config, name) for name in CONFIG_FIELDS]
    settings += [getattr(model.config.vision_config, name) for name in VISION_FIELDS]
    settings += [getattr(processor.image_processor, name) for name in IMAGE_FIELDS]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(ENCODERS):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
