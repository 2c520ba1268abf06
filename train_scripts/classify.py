"""Train a BI-RADS and density classifier on labelled mammograms, and test it on patients that it has not seen.

    accelerate launch train_scripts/classify.py --config configs/classify_paper.yaml --data RECORDS \\
        --encoder PRETRAINED --train-samples 5000 --fold 0 --output OUTPUT

Patients are dealt into folds; one fold is tested, a part of the others chooses the checkpoint by its macro-F1, and
--train-samples of the rest are learned from. The same seed gives the same patients to every encoder. OUTPUT holds
the best model, its image processor, predictions.csv of the tested fold and results.json; with --lora vision, the
adapters are merged into that model, and OUTPUT/adapter holds them by themselves, for peft.
"""

import csv
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
from transformers import EvalPrediction, set_seed

from dataset_builders.birads import FIVE_CLASSES, FIVE_NAMES, UNKNOWN
from dataset_builders.labelled_splits import (
    Split,
    class_indices,
    split_patients,
    who_belongs_together,
    with_class,
)
from dataset_builders.png import encode_png
from evaluation.metrics import birads_metrics, density_metrics
from training.adapters import lora_facts
from training.callbacks import EpochLine, SetEpoch, epoch_history
from training.classification import (
    balanced_weights,
    classifier_model,
    classifier_processor,
    labelled_examples,
)
from training.cli import run_script
from training.data import RECORD_COLUMNS, Collator, LabelledExamples, load_table, resized
from training.data_terms import data_terms, note_terms
from training.option_parser import parse_options
from training.options import ClassificationOptions
from training.pretraining import augmentation, save_pretrained
from training.runs import finish_run, last_checkpoint, open_run, start_run
from training.trainers import ClassificationTrainer, best_epoch, training_arguments

NEEDS = """Classification needs labelled images, an encoder to start from (or none), and a folder for its result:

    accelerate launch train_scripts/classify.py --config configs/classify_paper.yaml --data RECORDS \\
        --encoder PRETRAINED --output OUTPUT

build_dataset.py makes RECORDS from an archive, pretrain.py makes PRETRAINED. Without an archive, a phantom one
shows how it goes: `make demo`, or make_phantom.py. --help lists the options."""
LINE = {
    "train_loss": "training",
    "eval_loss": "validation",
    "eval_f1_five": "F1 of five",
    "eval_f1_three": "of three",
    "eval_density_f1": "of density",
}
COLUMNS = ("patient_id", "exam_id", "laterality", "view", "birads", "density")


def main() -> None:
    if len(sys.argv) == 1:
        print(NEEDS)
        return
    options = parse_options(ClassificationOptions, text=__doc__)
    _check_folders(options)
    if open_run(options):
        print(f"{options.output} holds this run already, finished.")
        return
    began = time.monotonic()
    arguments = training_arguments(options, best="eval_f1_five", greater_is_better=True)
    table = with_class(load_table(options.data, RECORD_COLUMNS, "build_dataset.py"))
    labels, density_labels = class_indices(table)
    _check_classes(labels)
    patients = who_belongs_together(table["patient_id"][:], options)
    split = split_patients(patients, labels, density_labels, options)
    set_seed(options.seed)
    processor = classifier_processor(options)
    model = classifier_model(options, processor)
    note_terms(model.config, [options.data])
    start_run(options)
    with arguments.main_process_first(desc="resizing the images"):
        images = resized(table, processor, encode_png, cache=options.cache, processes=options.workers)
    examples = labelled_examples(options, images, processor, labels, density_labels)
    trainer = new_trainer(options, arguments, model, examples, split)
    trainer.train(resume_from_checkpoint=last_checkpoint(options.output))
    test = replace(examples, rows=split.test)
    logits, density_logits = trainer.predict(test).predictions
    if trainer.is_world_process_zero():
        scores = test_scores(test, logits, density_logits, [table["patient_id"][row] for row in split.test])
        results = {
            **scores,
            **run_facts(options, split),
            **best_epoch(trainer.state),
            **lora_facts(trainer.model, options),
            "data_terms": data_terms(model.config.provenance),
            "history": epoch_history(trainer.state.log_history),
            "speed": trainer.meter.summary(),
            "seconds": round(time.monotonic() - began, 1),
        }
        predictions = prediction_rows(table.select(split.test), logits, density_logits)
        finish_run(options, partial(save, trainer.model, processor, predictions, options), results)
        print_scores(results)


def _check_folders(options: ClassificationOptions) -> None:
    for name, value in (("data", options.data), ("encoder", options.encoder), ("output", options.output)):
        if not value and not (name == "encoder" and value is None):
            raise ValueError(f"--{name} was not given; --help says what it names.")


def _check_classes(labels: list[int]) -> None:
    classes = set(labels) - {UNKNOWN}
    if not classes:
        raise ValueError("no image has a BI-RADS class; expected two classes or more.")
    if len(classes) == 1:
        raise ValueError(
            f"all labelled images are {FIVE_NAMES[classes.pop()]}; expected two classes or more."
        )


def new_trainer(
    options: ClassificationOptions, arguments, model, examples: LabelledExamples, split: Split
) -> ClassificationTrainer:
    train = replace(examples, rows=split.train, fixed=False, augmentation=augmentation(options))
    rate = options.encoder_learning_rate
    weights = None
    if options.class_weights == "balanced":
        weights = balanced_weights([examples.labels[row] for row in split.train], len(FIVE_CLASSES))
    return ClassificationTrainer(
        model=model,
        args=arguments,
        data_collator=Collator(),
        train_dataset=train,
        eval_dataset=replace(examples, rows=split.validation),
        compute_metrics=validation_scores,
        callbacks=[SetEpoch(train), EpochLine(LINE)],
        rates={"vision_model.": rate, "classifier_vision_model.": rate} if rate else {},
        patience=options.patience,
        save_minutes=options.save_minutes,
        class_weights=weights,
    )


def validation_scores(outcome: EvalPrediction) -> dict[str, float]:
    """Macro-F1 of five classes, three groups, and density where it is known."""
    (logits, density_logits), (labels, density_labels) = outcome.predictions, outcome.label_ids
    scores = birads_metrics(labels, logits.argmax(axis=1))
    scores |= density_scores(density_labels, density_logits)
    return {name: scores[name] for name in ("f1_five", "f1_three", "density_f1") if name in scores}


def density_scores(labels: np.ndarray, logits: np.ndarray) -> dict:
    """Density's scores over the rows where it is known; empty where it is known nowhere."""
    known = np.asarray(labels) != UNKNOWN
    return density_metrics(np.asarray(labels)[known], logits.argmax(axis=1)[known]) if known.any() else {}


def test_scores(
    test: LabelledExamples, logits: np.ndarray, density_logits: np.ndarray, patients: list[str]
) -> dict:
    """Scores of the tested fold, with intervals over patients."""
    labels, density = (
        np.array([column[row] for row in test.rows]) for column in (test.labels, test.density_labels)
    )
    return birads_metrics(labels, logits.argmax(axis=1), patients) | density_scores(density, density_logits)


def run_facts(options: ClassificationOptions, split: Split) -> dict:
    """What a table of several runs needs to know about this one."""
    return {
        "encoder": "none" if options.encoder is None else Path(options.encoder).name,
        "linear_probe": options.linear_probe,
        "fold": options.fold,
        "folds": options.folds,
        "seed": options.seed,
        "n_train": len(split.train),
        "n_validation": len(split.validation),
        "n_test": len(split.test),
    }


def prediction_rows(table: datasets.Dataset, logits: np.ndarray, density_logits: np.ndarray) -> list[dict]:
    """A row for each tested image: who it is, what is right, what was predicted, and all probabilities."""
    scores = torch.from_numpy(logits).float().softmax(dim=1).numpy()
    rows = []
    for row, columns in enumerate(zip(*(table[name] for name in COLUMNS), strict=True)):
        rows.append(dict(zip(COLUMNS, columns, strict=True)))
        rows[-1]["predicted_birads"] = FIVE_CLASSES[int(logits[row].argmax())]
        rows[-1]["predicted_density"] = "ABCD"[int(density_logits[row].argmax())]
        rows[-1] |= {name: f"{score:.4f}" for name, score in zip(FIVE_NAMES, scores[row], strict=True)}
    return rows


def save(model, processor, predictions: list[dict], options: ClassificationOptions, folder: Path) -> None:
    save_pretrained(folder, model, processor, options)
    with Path(folder, "predictions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(predictions[0]))
        writer.writeheader()
        writer.writerows(predictions)


def print_scores(results: dict) -> None:
    start = f"{results['n_train']} training images, encoder {results['encoder']}"
    print(f"fold {results['fold']} of {results['folds']}, {results['n_test']} images, {start}:")
    for name, title in (("f1_five", "5 classes"), ("f1_three", "3 classes")):
        low, high = results[f"{name}_interval"]
        print(f"  macro-F1 of {title}: {results[name]:.3f} (95 % over patients: {low:.3f} to {high:.3f})")
    if "density_f1" in results:
        print(f"  macro-F1 of density:   {results['density_f1']:.3f}")


if __name__ == "__main__":
    run_script(main)
