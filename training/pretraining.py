"""The parts of pretraining that the script puts together: processor, model, examples, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import datasets
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from modeling_mamclip import MamClipForPreTraining
from processing import MamClipImageProcessor, MamClipProcessor

from .adapters import ADAPTER, add_adapters, merge_adapters, write_adapter
from .augmentation import Augmentation
from .caption_forms import caption_forms
from .caption_sides import Flips
from .compilation import compile_parts
from .data import Collator, Images, PairExamples
from .gradient_cache import refuse_batch_norms
from .initialization import continued_model, new_pretraining_model
from .masking import WordMasking, encode_captions
from .mixing import MixedOrder
from .options import TrainingOptions
from .pretraining_options import PretrainingOptions
from .release import load_processor
from .resized_images import RESIZED, resized


def image_processor(options: TrainingOptions, size: Sequence[int]) -> MamClipImageProcessor:
    """The image processor of a run, for (height, width)."""
    return MamClipImageProcessor(size={"height": size[0], "width": size[1]}, do_crop=options.crop)


def new_processor(options: PretrainingOptions) -> MamClipProcessor:
    """Image processor and tokenizer; the tokenizer comes with the text encoder, or both with what is continued."""
    if options.start_from is not None:
        return load_processor(options.start_from)
    if options.text_weights is None:
        raise ValueError(
            "text_weights is none; give the folder or Hub id of a text encoder, for its tokenizer."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(options.text_weights)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise OSError(f"the tokenizer of {options.text_weights!r} could not be loaded ({reason})") from error
    tokenizer.model_max_length = options.context_length
    return MamClipProcessor(image_processor(options, options.image_size), tokenizer)


def new_model(options: PretrainingOptions) -> MamClipForPreTraining:
    """The model as the options have it, with the weights that they name."""
    model = _unadapted(options)
    freeze_text_layers(model, options.frozen_text_layers)
    add_adapters(model, options)
    model.vision_model.to(memory_format=torch.channels_last)
    if 0 < options.micro_batch < options.batch_size:
        refuse_batch_norms(model)
    if options.compile:
        compile_parts(model)
    return model


def _unadapted(options: PretrainingOptions) -> MamClipForPreTraining:
    if options.start_from is not None:
        return continued_model(options.start_from, mlm_weight=options.mlm_weight, **options.model)
    vision = {
        "architecture": options.architecture,
        "model_args": dict(options.model_args),
        "image_size": tuple(options.image_size),
        "pixel_mean": options.pixel_mean,
        "pixel_std": options.pixel_std,
    }
    return new_pretraining_model(
        vision_weights=options.vision_weights,
        text_weights=options.text_weights,
        vision_config=vision,
        projection_dim=options.projection_dim,
        context_length=options.context_length,
        mlm_weight=options.mlm_weight,
        **options.model,
    )


def freeze_text_layers(model: MamClipForPreTraining, count: int) -> None:
    """Leave the lowest `count` layers of the text encoder, and its embeddings, as they are; 0 trains all of it."""
    if not count:
        return
    encoder = model.text_model.encoder
    layers = max((m for m in encoder.modules() if isinstance(m, nn.ModuleList)), key=len, default=[])
    if count > len(layers):
        raise ValueError(f"frozen_text_layers is {count}, but the text encoder has {len(layers)} layers.")
    for module in (encoder.get_input_embeddings(), getattr(encoder, "embeddings", None), *layers[:count]):
        if module is not None:
            module.requires_grad_(False)


def pair_examples(
    options: PretrainingOptions, table: datasets.Dataset, processor: MamClipProcessor
) -> PairExamples:
    """All rows of the table as fixed examples with whole captions; the splits are made from it with other `rows`.

    Captions are encoded once, in all the forms that the flips of the augmentation can give them.
    """
    ways = augmentation(options).ways()
    forms = caption_forms(table["caption"], ways, swap=options.augmentation != "published")
    encoded = encode_captions(processor.tokenizer, forms.texts, options.context_length)
    return PairExamples(
        images=Images(table, tuple(options.image_size), processor.image_processor.scaling == "min_max"),
        rows=range(len(table)),
        seed=options.seed,
        fixed=True,
        captions=[encoded[text] for text in forms.texts],
        caption_numbers=forms.numbers[Flips()],
        flipped={flips: forms.numbers[flips] for flips in ways},
    )


def resized_pairs(
    options: PretrainingOptions, tables: Sequence[datasets.Dataset], processor: MamClipImageProcessor
) -> datasets.Dataset:
    """The tables in one: resized images and captions, which atlas pairs and captioned records have alike."""
    ready = [resized(table, processor, cache=options.cache, processes=options.workers) for table in tables]
    return datasets.concatenate_datasets([table.select_columns([RESIZED, "caption"]) for table in ready])


def mixed_order(
    options: PretrainingOptions, tables: Sequence[datasets.Dataset], train: PairExamples
) -> MixedOrder | None:
    """The order in which the tables' training pairs are drawn by the options' weights; None without weights.

    Raises ValueError where a table has no pair in the training part.
    """
    if not options.pairs_weights:
        return None
    ends = np.cumsum([len(table) for table in tables])
    of_place = np.searchsorted(ends, train.rows, side="right")  # the table of each training pair
    sources = [np.flatnonzero(of_place == number) for number in range(len(tables))]
    for folder, places in zip(options.pairs, sources, strict=True):
        if not len(places):
            raise ValueError(f"{folder} has no pair to train on; leave it out, or give more pairs.")
    return MixedOrder(sources, options.pairs_weights, options.seed, train.epoch)


def augmentation(options: TrainingOptions) -> Augmentation:
    """The augmentation that the options describe."""
    if options.augmentation == "published":
        return Augmentation.published()
    ranges = {entry.name: getattr(options, entry.name) for entry in fields(Augmentation)}
    return Augmentation(**ranges)


def masking(options: PretrainingOptions, tokenizer: PreTrainedTokenizerBase) -> WordMasking | None:
    """The masking that the options describe; None where the masked-language loss is left out."""
    if options.mlm_weight == 0:
        return None
    return WordMasking.of(tokenizer, options.mask_probability, options.mask_share)


@torch.inference_mode()
def embed_examples(
    model: MamClipForPreTraining, examples: PairExamples, collator: Collator, batch_size: int
) -> tuple[Tensor, Tensor, list[int]]:
    """Pairs as they are → image embeddings (N, P), caption embeddings (N, P), caption numbers (N)."""
    model.eval()
    images, texts, numbers = [], [], []
    for batch in DataLoader(examples, batch_size, collate_fn=collator):
        numbers += batch["caption_ids"].tolist()
        batch = {
            name: batch[name].to(model.device) for name in ("input_ids", "attention_mask", "pixel_values")
        }
        output = model(**batch, return_loss=False)
        images.append(output.image_embeds.float().cpu())
        texts.append(output.text_embeds.float().cpu())
    return torch.cat(images), torch.cat(texts), numbers


def save_pretrained(folder: Path, model, processor, options: TrainingOptions) -> None:
    """Model and processor into one folder; the adapters, if any, into a folder in it, and merged into the model."""
    if options.lora:
        write_adapter(model, folder / ADAPTER, options)
        merge_adapters(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
