"""Train a BI-RADS and density classifier on labelled mammograms, and test it on patients that it has not seen.

    accelerate launch train_scripts/classify.py --config configs/classify_paper.yaml --data RECORDS \\
        --encoder PRETRAINED --train-samples 5000 --fold 0 --output OUTPUT

Patients are dealt into folds; one fold is tested, a part of the others chooses the checkpoint by its macro-F1, and
--train-samples of the rest are learned from. The same seed gives the same patients to every encoder. --tasks says
whether BI-RADS, density or both are learned; an image with one label counts for that one. OUTPUT holds the best model,
its image processor, results.json, and with all probabilities predictions.parquet of the tested fold and
validation_predictions.parquet; with --lora vision, the adapters are merged into that model, and OUTPUT/adapter holds
them by themselves, for peft. --linear-probe trains the heads alone, on features that are extracted once and kept
beside the resized images.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import Dataset
from transformers import EvalPrediction, TrainingArguments, set_seed

from dataset_builders.birads import UNKNOWN
from dataset_builders.labelled_data import LabelledData, labelled_data
from dataset_builders.labelled_splits import CLASS_NAMES, TASKS
from evaluation.metrics import birads_metrics, density_metrics
from evaluation.prediction_table import prediction_table, write_predictions
from training.adapters import lora_facts
from training.callbacks import EpochLine, SetEpoch, epoch_history
from training.classification import (
    balanced_weights,
    classifier_model,
    classifier_processor,
    labelled_examples,
    silence_heads,
)
from training.classification_options import ClassificationOptions
from training.classification_trainer import ClassificationTrainer, lone_image
from training.cli import run_script
from training.data import RECORD_COLUMNS, Collator, LabelledExamples
from training.data_terms import data_terms, note_terms
from training.features import ProbeHeads, as_it_is, encoder_features, with_features
from training.mixing import balanced_order
from training.option_parser import parse_options
from training.origin import TrainingClock, origin
from training.pretraining import augmentation, save_pretrained
from training.resized_images import resized
from training.runs import finish_run, last_checkpoint, open_run, start_run
from training.sources import load_table
from training.trainers import best_epoch, training_arguments

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
CHOOSES = {"birads": "eval_f1_five", "density": "eval_density_f1"}  # the checkpoint, by the first task
LABELS = {"birads": "labels", "density": "density_labels"}  # as batches call them
SCORES = ("f1_five", "f1_three", "density_f1")


def main() -> None:
    if len(sys.argv) == 1:
        print(NEEDS)
        return
    options = parse_options(ClassificationOptions, text=__doc__)
    _check_folders(options)
    if open_run(options):
        print(f"{options.output} holds this run already, finished.")
        return
    began, clock = time.monotonic(), TrainingClock()
    arguments = training_arguments(options, best=CHOOSES[options.tasks[0]], greater_is_better=True)
    records = load_table(options.data, RECORD_COLUMNS, "build_dataset.py")
    data = labelled_data(records, options)
    set_seed(options.seed)
    processor = classifier_processor(options)
    model = classifier_model(options, processor)
    silence_heads(model, data.tasks)
    note_terms(model.config, [options.data])
    notes = [*data.notes, *batch_notes(arguments, model, len(data.split.train))]
    start_run(options)
    tell(notes, arguments)
    with arguments.main_process_first(desc="resizing the images"):
        examples = ready_examples(options, arguments, records, data, model, processor)
    trainer = new_trainer(options, arguments, model, examples, data)
    trainer.add_callback(clock)
    trainer.train(resume_from_checkpoint=last_checkpoint(options.output))
    tested = of_tasks(trainer.logits_of(replace(examples, rows=data.split.test)), data)
    validated = of_tasks(trainer.validation_logits(), data)
    best = model if on_features(options) else trainer.whole_model()
    if trainer.is_world_process_zero():
        results = {
            **test_scores(records, data, tested),
            **run_facts(options, data),
            **best_epoch(trainer.state),
            **lora_facts(best, options),
            **origin(records),
            "data_terms": data_terms(model.config.provenance),
            "history": epoch_history(trainer.state.log_history),
            "speed": trainer.meter.summary(),
            "training_seconds": round(clock.seconds, 1),
            "seconds": round(time.monotonic() - began, 1),
        }
        tables = {
            "predictions.parquet": table_of(options, records, data.split.test, tested),
            "validation_predictions.parquet": table_of(options, records, data.split.validation, validated),
        }
        write = partial(save, best, processor, tables, results["fingerprint"], options)
        finish_run(options, write, results)
        print_scores(results)


def _check_folders(options: ClassificationOptions) -> None:
    for name, value in (("data", options.data), ("encoder", options.encoder), ("output", options.output)):
        if not value and not (name == "encoder" and value is None):
            raise ValueError(f"--{name} was not given; --help says what it names.")


def batch_notes(arguments: TrainingArguments, model, images: int) -> Iterator[str]:
    """What is done about a last batch of one image; ValueError where there are no other batches."""
    size = arguments.train_batch_size
    if lone_image(model, images, size) and arguments.world_size == 1:
        yield (
            f"batch norms cannot learn from one image, which is what {images} images leave behind batches of {size}: "
            "every epoch leaves one image out, another one each time."
        )


def tell(notes: list[str], arguments: TrainingArguments) -> None:
    for note in notes if arguments.process_index == 0 else []:
        print(f"note: {note}", file=sys.stderr)


def ready_examples(
    options: ClassificationOptions, arguments, records: Dataset, data: LabelledData, model, processor
) -> LabelledExamples:
    """All rows, unaugmented: as resized images, or as features of these where the heads alone are trained."""
    images = resized(records, processor, cache=options.cache, processes=options.workers)
    examples = labelled_examples(options, images, processor, *data.labels.values())
    if not on_features(options):
        return examples
    rows = [*data.split.train, *data.split.validation, *data.split.test]
    features = encoder_features(
        model,
        examples,
        rows,
        batch_size=options.batch_size,
        device=arguments.device,
        workers=options.workers,
    )
    return with_features(examples, features)


def on_features(options: ClassificationOptions) -> bool:
    return options.linear_probe and not options.augment_probe


def new_trainer(
    options: ClassificationOptions, arguments, model, examples: LabelledExamples, data: LabelledData
) -> ClassificationTrainer:
    first = options.tasks[0]
    learned = [data.labels[first][row] for row in data.split.train]
    train = replace(examples, rows=data.split.train, fixed=False, augmentation=augmentation(options))
    rate = options.encoder_learning_rate
    weights = None
    if options.class_weights == "balanced":
        weights = balanced_weights(learned, len(CLASS_NAMES[first]))
    if on_features(options):
        arguments.dataloader_num_workers = 0  # a batch of features is a look-up
    return ClassificationTrainer(
        model=ProbeHeads(model) if on_features(options) else model,
        args=arguments,
        data_collator=as_it_is if on_features(options) else Collator(),
        train_dataset=train,
        eval_dataset=replace(examples, rows=data.split.validation),
        compute_metrics=validation_scores,
        callbacks=[SetEpoch(train), EpochLine(LINE)],
        rates={"vision_model.": rate, "classifier_vision_model.": rate} if rate else {},
        patience=options.patience,
        save_minutes=options.save_minutes,
        class_weights=weights,
        weighted=LABELS[first],
        order=balanced_order(learned, options.seed, train.epoch) if options.sampling == "balanced" else None,
    )


def validation_scores(outcome: EvalPrediction) -> dict[str, float]:
    """Macro-F1 of five classes, three groups, and density, each where it is known."""
    scores = known_scores(dict(zip(TASKS, outcome.label_ids, strict=True)), outcome.predictions)
    return {name: scores[name] for name in SCORES if name in scores}


def known_scores(
    labels: Mapping[str, np.ndarray], logits: tuple[np.ndarray, np.ndarray], patients: list[str] | None = None
) -> dict:
    """Scores over the rows where each label is known, with intervals over patients (N,); none where it is nowhere."""
    scores = {}
    for (task, column), guesses in zip(labels.items(), logits, strict=True):
        known = np.flatnonzero(np.asarray(column) != UNKNOWN)
        right, found = np.asarray(column)[known], guesses.argmax(axis=1)[known]
        if len(known) and task == "birads":
            whose = None if patients is None else [patients[row] for row in known]
            scores |= birads_metrics(right, found, whose)
        elif len(known):
            scores |= density_metrics(right, found)
    return scores


def of_tasks(logits: tuple[np.ndarray, ...], data: LabelledData) -> dict[str, np.ndarray]:
    """Task → logits (rows, classes); of tasks that were learned."""
    found = dict(zip(TASKS, logits, strict=True))
    return {task: found[task] for task in data.tasks}


def test_scores(records: Dataset, data: LabelledData, logits: Mapping[str, np.ndarray]) -> dict:
    """Scores of the tested fold, with intervals over patients."""
    labels = {task: np.array([data.labels[task][row] for row in data.split.test]) for task in logits}
    patients = records["patient_id"][:]
    return known_scores(labels, tuple(logits.values()), [patients[row] for row in data.split.test])


def table_of(
    options: ClassificationOptions, records: Dataset, rows: list[int], logits: Mapping[str, np.ndarray]
) -> pa.Table:
    return prediction_table(records, rows, logits, Path(options.data).resolve().name)


def run_facts(options: ClassificationOptions, data: LabelledData) -> dict:
    """What a table of several runs needs to know about this one."""
    return {
        "encoder": "none" if options.encoder is None else Path(options.encoder).name,
        "tasks": data.tasks,
        "linear_probe": options.linear_probe,
        "fold": options.fold,
        "folds": options.folds,
        "seed": options.seed,
        "n_train": len(data.split.train),
        "n_validation": len(data.split.validation),
        "n_test": len(data.split.test),
    }


def save(
    model,
    processor,
    tables: Mapping[str, pa.Table],
    fingerprint: str,
    options: ClassificationOptions,
    folder: Path,
) -> None:
    save_pretrained(folder, model, processor, options)
    for name, table in tables.items():
        write_predictions(table, folder / name, fingerprint)


def print_scores(results: dict) -> None:
    start = f"{results['n_train']} training images, encoder {results['encoder']}"
    print(f"fold {results['fold']} of {results['folds']}, {results['n_test']} images, {start}:")
    for name, title in (("f1_five", "5 classes"), ("f1_three", "3 classes")):
        if name in results:
            low, high = results[f"{name}_interval"]
            print(f"  macro-F1 of {title}: {results[name]:.3f} (95 % over patients: {low:.3f} to {high:.3f})")
    if "density_f1" in results:
        print(f"  macro-F1 of density:   {results['density_f1']:.3f}")


if __name__ == "__main__":
    run_script(main)
