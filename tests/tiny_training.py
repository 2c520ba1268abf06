"""What a training run needs, whole and tiny: a BERT with its tokenizer, pairs, labelled records, and how to run it."""

import json
import runpy
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import VISION
from transformers import BertConfig, BertModel, BertTokenizerFast

from training.callbacks import SetEpoch
from training.trainers import PartwiseTrainer

SCRIPTS = Path(__file__).resolve().parent.parent / "train_scripts"
WORDS = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"),
    *("a", "spic", "##ula", "##ted", "mass", "with", "mild", "calci", "##fica", "##tions"),
    *("left", "right", "breast", "density", "no", "find", "##ings"),
)
VOCABULARY = {word: i for i, word in enumerate(WORDS)}
CAPTIONS = (
    "a spiculated mass",
    "mild calcifications left",
    "no findings right breast",
    "a mass with calcifications",
    "left breast density",
)
# The CPU everywhere, and the smallest of everything.
SMALL = {
    "architecture": VISION["architecture"],
    "model_args": VISION["model_args"],
    "image_size": VISION["image_size"],
    "vision_weights": None,
    "epochs": 2,
    "batch_size": 8,
    "workers": 0,
    "learning_rate": 1e-3,
    "trainer": {"use_cpu": True},
}
SMALL_PAIRS = {
    "projection_dim": 12,
    "context_length": 16,
    "validation_fraction": 0.3,
    "held_out_fraction": 0.2,
    "model": {"fusion_heads": 2},
}


def bert_tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(vocab=VOCABULARY)


def text_encoder(folder: Path) -> Path:
    """A BERT with dropout, which a continued run has to draw as an uninterrupted one does, and its tokenizer."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    return folder


def mammogram(seed: int) -> Image.Image:
    """A bright half disc at the left border on a dark background, with a texture of its own."""
    y, x = np.mgrid[:50, :40]
    breast = ((y - 25) / 22) ** 2 + (x / (20 + seed % 7)) ** 2 < 1
    texture = np.random.default_rng(seed).integers(80, 250, (50, 40))
    return Image.fromarray(np.where(breast, texture, 0).astype(np.uint8))


def pairs(folder: Path, cases: int = 12) -> Path:
    """Two figures of every case; captions are shared between cases."""
    rows = [(case, CAPTIONS[case % len(CAPTIONS)]) for case in range(cases) for _ in range(2)]
    table = {
        "image": [mammogram(i) for i in range(len(rows))],
        "caption": [caption for _, caption in rows],
        "caption_id": [CAPTIONS.index(caption) for _, caption in rows],
        "case_id": [f"case {case}" for case, _ in rows],
    }
    return saved(table, folder)


def records(folder: Path, patients: int = 16, birads=(0, 1, 2, 4, 5), **columns) -> Path:
    """Both CC views of every patient, with one assessment; `columns` replace some, or leave them out by None."""
    rows = [(patient, side) for patient in range(patients) for side in "LR"]
    table = {
        "image": [mammogram(100 + i) for i in range(len(rows))],
        "patient_id": [f"patient {patient}" for patient, _ in rows],
        "exam_id": [f"exam {patient}" for patient, _ in rows],
        "laterality": [side for _, side in rows],
        "view": ["CC"] * len(rows),
        "birads": [birads[patient % len(birads)] for patient, _ in rows],
        "density": ["ABCD"[patient % 4] for patient, _ in rows],
    }
    return saved(
        {name: column for name, column in {**table, **columns}.items() if column is not None}, folder
    )


def saved(table: dict, folder: Path) -> Path:
    datasets.Dataset.from_dict(table).cast_column("image", datasets.Image()).save_to_disk(folder)
    return folder


def words(**options) -> list[str]:
    """Options as the command line has them."""
    result = []
    for name, value in options.items():
        result.append(f"--{name}")
        if isinstance(value, list):
            result += map(str, value)
        else:
            result.append(json.dumps(value) if isinstance(value, dict) else str(value))
    return result


def run(script: str, monkeypatch, *arguments: str) -> int:
    """Run a training script in this process → its exit code."""
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    try:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    except SystemExit as stop:
        return stop.code or 0
    return 0


def interrupt_at(monkeypatch, epoch):
    """End the process, as it were, when this epoch's checkpoint has been written."""

    def on_save(self, args, state, control, **kwargs):
        if round(state.epoch) == epoch:
            raise KeyboardInterrupt

    monkeypatch.setattr(SetEpoch, "on_save", on_save)


class Started(Exception):
    """Training was about to begin."""


def before_training(script, monkeypatch, *arguments):
    """The trainer of a script, just before it trains."""
    found = []

    def train(self, **kwargs):
        found.append(self)
        raise Started

    with monkeypatch.context() as patch, pytest.raises(Started):
        patch.setattr(PartwiseTrainer, "train", train)
        run(script, patch, *arguments)
    return found[0]
