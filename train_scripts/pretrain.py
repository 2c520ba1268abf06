"""Pretrain MAM-CLIP on image–caption pairs: contrastive alignment and masked language modelling.

    accelerate launch train_scripts/pretrain.py --config configs/pretrain_paper.yaml --pairs PAIRS --output OUTPUT

Every option can be a field of the YAML file. --start-from FOLDER goes on from a pretrained model, or from a published
one that convert_published.py has converted; what that folder settles, such as the architecture, is left out then.
Pairs are split by whole cases: a part chooses the checkpoint by its loss or, with --best recall, by retrieval; another
measures retrieval at the end. Pairs whose column is_mammogram says no are left out. --pairs A B --pairs-weights 2 1
draws twice as often from A as from B, whatever their sizes. A run that was interrupted goes on from its last checkpoint
when it is started again with the same options; SIGTERM saves one first. --preview FILE.html shows what augmentation
makes of some pairs and their captions, and trains nothing. OUTPUT holds the best model, its
processor and results.json; with --lora, the adapters are merged into that model, and OUTPUT/adapter holds them by
themselves, for peft.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
from torch import Tensor
from transformers import set_seed

from dataset_builders.folds import split_by_case
from evaluation.augmented_pairs import AugmentedPair, Drawn, write_augmented_pairs
from evaluation.pictures import spread_rows
from evaluation.report_tables import place_of
from evaluation.retrieval import retrieval_metrics
from training.adapters import lora_facts
from training.callbacks import EpochLine, SetEpoch, epoch_history
from training.cli import run_script
from training.continuation import with_start
from training.data import PAIR_COLUMNS, Collator, PairExamples, only_mammograms
from training.data_terms import data_terms, note_terms
from training.frozen_text import with_pooled_captions
from training.option_parser import parse_options
from training.pretraining import (
    augmentation,
    embed_examples,
    masking,
    mixed_order,
    new_model,
    new_processor,
    pair_examples,
    resized_pairs,
    save_pretrained,
)
from training.pretraining_options import PretrainingOptions
from training.preview import preview_pairs, unclear_captions
from training.runs import finish_run, last_checkpoint, note_held_out, open_run, start_run
from training.sources import load_table
from training.trainers import PretrainingTrainer, best_epoch, training_arguments
from training.validation import mean_recall

NEEDS = """Pretraining needs image–caption pairs and a folder for its result:

    accelerate launch train_scripts/pretrain.py --config configs/pretrain_paper.yaml --pairs PAIRS --output OUTPUT

PAIRS is made from atlas PDFs. Without an atlas, a phantom one shows how it goes, on two CPU cores in minutes:

    python train_scripts/make_phantom.py --output demo/phantom --text-cases 1000 --patients 150 --height 384
    python train_scripts/extract_pairs.py --pdf demo/phantom/atlas_text.pdf --output demo/pairs
    python train_scripts/unpack_minilm.py --output demo/minilm
    accelerate launch train_scripts/pretrain.py --config configs/pretrain_demo.yaml --pairs demo/pairs --output OUTPUT

All of that is `make demo`. --help lists the options; without a configuration they are the paper's."""
PREVIEWED, PREVIEWED_EPOCHS = 12, 5  # pairs and, of each, draws
LINE = {
    "train_loss": "training",
    "eval_loss": "validation",
    "eval_contrastive_loss": "contrastive",
    "eval_mlm_loss": "masked words",
    "eval_recall": "recall",
}


def main() -> None:
    if len(sys.argv) == 1:
        print(NEEDS)
        return
    options = with_start(parse_options(PretrainingOptions, text=__doc__))
    _check_folders(options)
    if options.preview:
        write_preview(options)
        return
    if open_run(options):
        print(f"{options.output} holds this run already, finished.")
        return
    began = time.monotonic()
    arguments = training_arguments(
        options, best=f"eval_{options.best}", greater_is_better=options.best == "recall", shared_batch=True
    )
    tables = [load_table(folder, PAIR_COLUMNS, "extract_pairs.py") for folder in options.pairs]
    fractions = (options.validation_fraction, options.held_out_fraction)
    cases = [case for table in tables for case in table["case_id"]]
    splits = only_mammograms(tables, split_by_case(cases, *fractions, options.seed))
    set_seed(options.seed)
    processor, model = new_processor(options), new_model(options)
    note_terms(model.config, options.pairs)
    start_run(options)
    with arguments.main_process_first(desc="resizing the images"):
        table = resized_pairs(options, tables, processor.image_processor)
    examples = pair_examples(options, table, processor)
    examples = with_pooled_captions(examples, model, processor.tokenizer.pad_token_id)
    train, validation, held_out = (replace(examples, rows=rows) for rows in splits)
    collator = Collator(processor.tokenizer.pad_token_id)
    parts = training_parts(options, processor, train, validation)
    order = mixed_order(options, tables, train)
    trainer = new_trainer(options, arguments, model, parts, collator, order)
    trainer.train(resume_from_checkpoint=last_checkpoint(options.output))
    best = trainer.whole_model()
    if trainer.is_world_process_zero():
        retrieval = retrieval_metrics(*embed_examples(best, held_out, collator, options.batch_size))
        results = {
            "history": epoch_history(trainer.state.log_history),
            "retrieval": retrieval,
            **best_epoch(trainer.state),
            **lora_facts(best, options),
            "data_terms": data_terms(model.config.provenance),
            "n_train": len(splits[0]),
            "n_validation": len(validation),
            "n_held_out": len(held_out),
            **({} if order is None else {"draws": dict(zip(options.pairs, order.draws, strict=True))}),
            "held_out": note_held_out(cases, held_out.rows),
            "speed": trainer.meter.summary(),
            "seconds": round(time.monotonic() - began, 1),
        }
        save = partial(save_pretrained, model=best, processor=processor, options=options)
        finish_run(options, save, results)
        print_retrieval(retrieval)


def _check_folders(options: PretrainingOptions) -> None:
    if not options.pairs:
        raise ValueError(
            "no pairs were given; name their folder with --pairs, as extract_pairs.py writes it."
        )
    if options.preview and Path(options.preview).is_dir():
        raise ValueError(f"{options.preview} is a folder; name a page with --preview, such as preview.html.")
    if not (options.output or options.preview):
        raise ValueError("no output folder was given; name one with --output.")


def write_preview(options: PretrainingOptions) -> None:
    """Some training pairs of evenly spread cases, as they are and as epochs draw them, on a page; trains nothing."""
    tables = [load_table(folder, PAIR_COLUMNS, "extract_pairs.py") for folder in options.pairs]
    table = datasets.concatenate_datasets(tables)
    fractions = (options.validation_fraction, options.held_out_fraction)
    rows = only_mammograms(tables, split_by_case(table["case_id"][:], *fractions, options.seed))[0]
    train = table.select(rows)
    shown = train.select(spread_rows(train["case_id"][:], PREVIEWED))
    views = preview_pairs(options, shown, PREVIEWED_EPOCHS)
    pairs = [
        AugmentedPair(place_of(pair), [Drawn(*view) for view in draws])
        for pair, draws in zip(shown.remove_columns("image"), views, strict=True)
    ]
    note = (
        f"{len(pairs)} of {len(train)} training pairs, of evenly spread cases: each as it is, then as it is drawn "
        f"in {PREVIEWED_EPOCHS} epochs. Words that a flip has changed are marked."
    )
    unclear = unclear_captions(options, train["caption"][:])
    write_augmented_pairs(options.preview, pairs, notes=[note], unclear=unclear)
    print(f"{options.preview} shows {len(pairs)} augmented pairs; nothing was trained.")


def training_parts(
    options: PretrainingOptions, processor, train: PairExamples, validation: PairExamples
) -> tuple[PairExamples, PairExamples]:
    """Training pairs, masked and augmented anew every epoch, and validation pairs, masked once."""
    words = masking(options, processor.tokenizer)
    return (
        replace(train, fixed=False, masking=words, augmentation=augmentation(options)),
        replace(validation, masking=words),
    )


def new_trainer(options, arguments, model, parts, collator, order) -> PretrainingTrainer:
    train, validation = parts
    rates = {
        "text_model.encoder.": options.text_learning_rate,
        "vision_model.trunk.": options.vision_learning_rate,
    }
    return PretrainingTrainer(
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=train,
        eval_dataset=validation,
        callbacks=[SetEpoch(train), EpochLine(LINE)],
        rates={part: rate for part, rate in rates.items() if rate},
        patience=options.patience,
        order=order,
        save_minutes=options.save_minutes,
        micro_batch=options.micro_batch,
        recall=validation_recall if options.best == "recall" else None,
    )


def validation_recall(images: Tensor, texts: Tensor, captions: list[int]) -> float:
    """What `best: recall` goes by."""
    return mean_recall(retrieval_metrics(images, texts, captions))


def print_retrieval(retrieval: dict[str, dict[str, float]]) -> None:
    for name, title in (("image_to_text", "image → caption"), ("text_to_image", "caption → image")):
        scores = retrieval[name]
        print(
            f"held-out {title}: recall@1 {scores['recall@1']:.3f} (chance {scores['chance@1']:.3f}), "
            f"recall@5 {scores['recall@5']:.3f}, recall@10 {scores['recall@10']:.3f}, "
            f"median rank {scores['median_rank']:g} of {scores['candidates']}"
        )


if __name__ == "__main__":
    run_script(main)
