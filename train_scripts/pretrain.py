"""Pretrain MAM-CLIP on image–caption pairs: contrastive alignment and masked language modelling.

    accelerate launch train_scripts/pretrain.py --config configs/pretrain_paper.yaml --pairs PAIRS --output OUTPUT

Every option can be a field of the YAML file. Pairs are split by whole cases: a part chooses the checkpoint by its
loss, another measures retrieval at the end. Pairs whose column is_mammogram says no are left out. --pairs A B
--pairs-weights 2 1 draws twice as often from A as from B, whatever their sizes. A run that was
interrupted goes on from its last epoch when it is started again with the same options. OUTPUT holds the best model, its
processor and results.json; with --lora, the adapters are merged into that model, and OUTPUT/adapter holds them by
themselves, for peft.
"""

import sys
import time
from dataclasses import replace
from functools import partial

from transformers import set_seed

from dataset_builders.folds import split_by_case
from evaluation.retrieval import retrieval_metrics
from training.adapters import lora_facts
from training.callbacks import EpochLine, SetEpoch, epoch_history
from training.cli import run_script
from training.data import PAIR_COLUMNS, Collator, PairExamples, load_table, only_mammograms
from training.data_terms import data_terms, note_terms
from training.frozen_text import with_pooled_captions
from training.mixing import mixed
from training.option_parser import parse_options
from training.options import PretrainingOptions
from training.pretraining import (
    augmentation,
    embed_pairs,
    image_processor,
    masking,
    new_model,
    new_processor,
    pair_examples,
    resized_pairs,
    save_pretrained,
)
from training.runs import finish_run, last_checkpoint, note_held_out, open_run, start_run
from training.trainers import PretrainingTrainer, best_epoch, training_arguments

NEEDS = """Pretraining needs image–caption pairs and a folder for its result:

    accelerate launch train_scripts/pretrain.py --config configs/pretrain_paper.yaml --pairs PAIRS --output OUTPUT

PAIRS is made from atlas PDFs. Without an atlas, a phantom one shows how it goes, on two CPU cores in minutes:

    python train_scripts/make_phantom.py --output demo/phantom --text-cases 1000 --patients 150 --height 384
    python train_scripts/extract_pairs.py --pdf demo/phantom/atlas_text.pdf --output demo/pairs
    python train_scripts/unpack_minilm.py --output demo/minilm
    accelerate launch train_scripts/pretrain.py --config configs/pretrain_demo.yaml --pairs demo/pairs --output OUTPUT

All of that is `make demo`. --help lists the options; without a configuration they are the paper's."""
LINE = {
    "train_loss": "training",
    "eval_loss": "validation",
    "eval_contrastive_loss": "contrastive",
    "eval_mlm_loss": "masked words",
}


def main() -> None:
    if len(sys.argv) == 1:
        print(NEEDS)
        return
    options = parse_options(PretrainingOptions, text=__doc__)
    _check_folders(options)
    if open_run(options):
        print(f"{options.output} holds this run already, finished.")
        return
    began = time.monotonic()
    arguments = training_arguments(options, best="eval_loss", greater_is_better=False, shared_batch=True)
    tables = [load_table(folder, PAIR_COLUMNS, "extract_pairs.py") for folder in options.pairs]
    fractions = (options.validation_fraction, options.held_out_fraction)
    cases = [case for table in tables for case in table["case_id"]]
    splits = only_mammograms(tables, split_by_case(cases, *fractions, options.seed))
    set_seed(options.seed)
    processor, model = new_processor(options), new_model(options)
    note_terms(model.config, options.pairs)
    start_run(options)
    with arguments.main_process_first(desc="resizing the images"):
        table = resized_pairs(options, tables, image_processor(options, options.image_size))
    examples = pair_examples(options, table, processor)
    examples = with_pooled_captions(examples, model, processor.tokenizer.pad_token_id)
    train, validation, held_out = (replace(examples, rows=rows) for rows in splits)
    collator = Collator(processor.tokenizer.pad_token_id)
    train, validation = training_parts(options, processor, train, validation)
    train = mixed(train, [len(table) for table in tables], options.pairs_weights, options.pairs)
    trainer = new_trainer(options, arguments, model, (train, validation), collator)
    trainer.train(resume_from_checkpoint=last_checkpoint(options.output))
    if trainer.is_world_process_zero():
        retrieval = retrieval_metrics(*embed_pairs(trainer.model, held_out, collator, options.batch_size))
        results = {
            "history": epoch_history(trainer.state.log_history),
            "retrieval": retrieval,
            **best_epoch(trainer.state),
            **lora_facts(trainer.model, options),
            "data_terms": data_terms(model.config.provenance),
            "n_train": len(splits[0]),
            "n_validation": len(validation),
            "n_held_out": len(held_out),
            **({"sources": train.facts(options.pairs)} if options.pairs_weights else {}),
            "held_out": note_held_out(cases, held_out.rows),
            "seconds": round(time.monotonic() - began, 1),
        }
        save = partial(save_pretrained, model=trainer.model, processor=processor, options=options)
        finish_run(options, save, results)
        print_retrieval(retrieval)


def _check_folders(options: PretrainingOptions) -> None:
    if not options.pairs:
        raise ValueError(
            "no pairs were given; name their folder with --pairs, as extract_pairs.py writes it."
        )
    if not options.output:
        raise ValueError("no output folder was given; name one with --output.")


def training_parts(
    options: PretrainingOptions, processor, train: PairExamples, validation: PairExamples
) -> tuple[PairExamples, PairExamples]:
    """Training pairs, masked and augmented anew every epoch, and validation pairs, masked once."""
    words = masking(options, processor.tokenizer)
    return (
        replace(train, fixed=False, masking=words, augmentation=augmentation(options)),
        replace(validation, masking=words),
    )


def new_trainer(options, arguments, model, parts, collator) -> PretrainingTrainer:
    train, validation = parts
    rate = options.text_learning_rate
    return PretrainingTrainer(
        model=model,
        args=arguments,
        data_collator=collator,
        train_dataset=train,
        eval_dataset=validation,
        callbacks=[SetEpoch(train), EpochLine(LINE)],
        rates={"text_model.encoder.": rate} if rate else {},
        patience=options.patience,
        micro_batch=options.micro_batch,
    )


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
