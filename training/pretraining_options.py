"""The options of pretrain.py, with the paper's values (section 4.1) as defaults."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from .options import RANDOM_TOWER, JsonFields, TrainingOptions, check_image_size, option, require

BIOMEDBERT = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"


@dataclass
class PretrainingOptions(TrainingOptions):
    """Contrastive and masked-language pretraining on image–caption pairs."""

    pairs: list[str] = option(
        [],
        "image–caption pairs: folders as extract_pairs.py or build_dataset.py --captions write them, also Parquet, "
        "or data sets of the Hub",
    )
    pairs_weights: list[float] = option(
        [],
        "one for each of pairs: their shares of the draws of an epoch, which is as long as all training pairs "
        "together; by default each pair comes once",
    )
    preview: str | None = option(
        None, "HTML file: show some augmented pairs with their captions in it, and do not train"
    )
    image_size: list[int] = option([1024, 768], "height and width of the model's input, in pixels")
    validation_fraction: float = option(0.1, "of the pairs, by whole cases: chooses the checkpoint")
    held_out_fraction: float = option(0.1, "of the pairs, by whole cases: measures retrieval at the end")
    architecture: str = option("convnext_small", "timm's name of the vision encoder")
    model_args: JsonFields = option(JsonFields(), "further arguments of that architecture, as JSON")
    vision_weights: str | None = option("imagenet", "imagenet, a .safetensors file, a folder, or none")
    text_weights: str | None = option(BIOMEDBERT, "folder or Hub id of the text encoder and its tokenizer")
    context_length: int = option(256, "longest caption in tokens; the rest is cut")
    projection_dim: int = option(768, "width of the space in which images and captions meet")
    mlm_weight: float = option(0.5, "λ of the masked-language loss")
    mask_probability: float = option(0.15, "fraction of a caption's words that are to be predicted")
    mask_share: float = option(1.0, "fraction of the captions that have words masked; fewer take less time")
    text_learning_rate: float | None = option(None, "of the text encoder; by default learning_rate")
    vision_learning_rate: float | None = option(None, "of the vision encoder; by default learning_rate")
    best: Literal["loss", "recall"] = option(
        "loss",
        "what chooses the checkpoint, and what patience watches, on validation pairs: loss, or the mean of recall@1, "
        "@5 and @10 in both directions",
    )
    start_from: str | None = option(
        None,
        "MAM-CLIP folder, pretrained or converted, to go on from: all its weights, processor and tokenizer",
    )
    frozen_text_layers: int = option(0, "lowest layers of the text encoder (and its embeddings) that stay")
    micro_batch: int = option(
        0,
        "pairs that go through the model at once, for the same gradient in less memory; 0: all of a process",
    )
    model: JsonFields = option(JsonFields(), "further fields of MamClipConfig, as JSON")

    def check(self) -> None:
        super().check()
        self._check_weights()
        check_image_size(self.image_size)
        require(self.micro_batch >= 0, "micro_batch", self.micro_batch, "0 or more")
        require(0 < self.mask_probability < 1, "mask_probability", self.mask_probability, "between 0 and 1")
        require(0 < self.mask_share <= 1, "mask_share", self.mask_share, "above 0, at most 1")
        self._check_weights()
        parts = (self.validation_fraction, self.held_out_fraction)
        for name, value in zip(("validation_fraction", "held_out_fraction"), parts, strict=True):
            require(0 < value < 0.5, name, value, "between 0 and 0.5")
        require(self.frozen_text_layers >= 0, "frozen_text_layers", self.frozen_text_layers, "0 or more")
        if "text" in self.lora and self.frozen_text_layers:
            raise ValueError(
                "lora text keeps the weights of all text layers as they are; leave out frozen_text_layers."
            )
        if "vision" in self.lora and self.vision_weights is None:
            raise ValueError(RANDOM_TOWER)

    def _check_weights(self) -> None:
        given, wanted = (
            self.pairs_weights,
            f"one number above 0 for each of the {len(self.pairs)} pairs, or none",
        )
        right = len(given) in (0, len(self.pairs)) and all(0 < weight < inf for weight in given)
        require(right, "pairs_weights", given, wanted)
