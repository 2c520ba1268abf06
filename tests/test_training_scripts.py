"""Both training scripts, end to end on tiny models: results, continuation, the best checkpoint, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sklearn.utils.class_weight import compute_class_weight
from tiny_training import (
    SMALL,
    SMALL_PAIRS,
    before_training,
    interrupt_at,
    pairs,
    records,
    run,
    text_encoder,
    words,
)

from dataset_builders.labelled_splits import split_patients
from modeling_mamclip import MamClipForPreTraining
from processing import MamClipProcessor
from training.classification import balanced_weights
from training.classification_options import ClassificationOptions
from training.classification_trainer import weighted_cross_entropy
from training.masking import IGNORED

CLASSIFY = "classify.py"
BATCH_NORMS = {**SMALL["model_args"], "norm_layer": "batchnorm2d", "conv_mlp": True}
PRETRAIN = "pretrain.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A text encoder, pairs and records, shared by all runs."""
    root = tmp_path_factory.mktemp("training")
    text_encoder(root / "text")
    pairs(root / "pairs")
    records(root / "records")
    return root


@pytest.fixture
def pretraining(place):
    def command(output, **changes):
        given = {
            "pairs": place / "pairs",
            "text_weights": place / "text",
            "output": output,
            "cache": place / "cache",
        }
        return words(**{**SMALL, **SMALL_PAIRS, **given, **changes})

    return command


@pytest.fixture
def classification(place):
    def command(output, **changes):
        given = {"data": place / "records", "encoder": None, "output": output, "cache": place / "cache"}
        options = {**SMALL, "folds": 3, **given, **changes}
        return words(**{name: value for name, value in options.items() if value != "leave out"})

    return command


@pytest.fixture(scope="module")
def pretrained(place):
    """A pretraining run that was not interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        output = place / "pretrained"
        given = {
            "pairs": place / "pairs",
            "text_weights": place / "text",
            "output": output,
            "cache": place / "cache",
        }
        assert run(PRETRAIN, patch, *words(**{**SMALL, **SMALL_PAIRS, **given, "epochs": 3})) == 0
    return output


@pytest.fixture(scope="module")
def classified(place):
    """A classification run that was not interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        output = place / "classified"
        given = {
            "data": place / "records",
            "encoder": None,
            "output": output,
            "cache": place / "cache",
            "folds": 3,
        }
        assert run(CLASSIFY, patch, *words(**{**SMALL, **given, "epochs": 3})) == 0
    return output


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Results


def test_pretraining_writes_what_it_promises(pretrained):
    found = results(pretrained)
    assert [row["epoch"] for row in found["history"]] == [1, 2, 3]
    names = {"epoch", "train_loss", "learning_rate", "eval_loss", "eval_contrastive_loss", "eval_mlm_loss"}
    assert all(set(row) == names and np.isfinite(list(row.values())).all() for row in found["history"])
    assert {"recall@1", "chance@1", "median_rank", "candidates"} <= set(found["retrieval"]["image_to_text"])
    assert found["retrieval"]["text_to_image"]["candidates"] == found["n_held_out"]
    assert found["n_train"] + found["n_validation"] + found["n_held_out"] == 24
    assert found["seconds"] > 0
    assert not list(pretrained.glob(".*")) and not (pretrained / "checkpoints").exists()


def test_the_whole_validation_loss_is_that_of_its_parts(pretrained):
    for row in results(pretrained)["history"]:
        assert row["eval_loss"] == pytest.approx(row["eval_contrastive_loss"] + 0.5 * row["eval_mlm_loss"])


def test_a_pretrained_folder_opens_with_its_processor(pretrained):
    model = MamClipForPreTraining.from_pretrained(pretrained)
    processor = MamClipProcessor.from_pretrained(pretrained)
    assert same_weights(model.state_dict(), weights(pretrained))
    assert processor.image_processor.size == {"height": 64, "width": 48}
    assert processor.tokenizer("a spiculated mass")["input_ids"][0] == processor.tokenizer.cls_token_id


def test_classification_writes_what_it_promises(classified):
    found = results(classified)
    promised = {
        "f1_five",
        "f1_three",
        "f1_five_interval",
        "f1_three_interval",
        "density_f1",
        "confusion_five",
    }
    promised |= {
        "encoder",
        "fold",
        "folds",
        "seed",
        "linear_probe",
        "n_train",
        "n_validation",
        "n_test",
        "seconds",
    }
    assert promised | {"best_epoch", "best_validation", "history"} <= set(found)
    assert [row["epoch"] for row in found["history"]] == [1, 2, 3]
    assert all({"eval_f1_five", "eval_f1_three", "eval_density_f1"} <= set(row) for row in found["history"])
    assert found["n_train"] + found["n_validation"] + found["n_test"] == 32
    assert sum(found["support_five"]) == found["n_test"] and found["encoder"] == "none"


# Continuing


@pytest.mark.parametrize("script, folder", [(PRETRAIN, "pretrained"), (CLASSIFY, "classified")])
def test_a_finished_run_says_so_and_changes_nothing(
    script, folder, request, pretraining, classification, monkeypatch, capsys
):
    output = request.getfixturevalue(folder)
    before = contents(output)
    command = pretraining if script == PRETRAIN else classification
    assert run(script, monkeypatch, *command(output, epochs=3)) == 0
    assert "holds this run already, finished" in capsys.readouterr().out
    assert contents(output) == before


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_interrupted_pretraining_ends_as_an_uninterrupted_one(
    epoch, pretrained, pretraining, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt_at(patch, epoch)
        assert run(PRETRAIN, patch, *pretraining(tmp_path / "run", epochs=3)) == 130
    assert not (tmp_path / "run" / "results.json").exists()
    assert run(PRETRAIN, monkeypatch, *pretraining(tmp_path / "run", epochs=3)) == 0
    assert_same_run(tmp_path / "run", pretrained)


def test_an_interrupted_classification_ends_as_an_uninterrupted_one(
    classified, classification, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert run(CLASSIFY, patch, *classification(tmp_path / "run", epochs=3)) == 130
    assert run(CLASSIFY, monkeypatch, *classification(tmp_path / "run", epochs=3)) == 0
    assert_same_run(tmp_path / "run", classified)
    for name in ("predictions.parquet", "validation_predictions.parquet"):
        found, expected = (pq.read_table(folder / name) for folder in (tmp_path / "run", classified))
        assert found.equals(expected)


def assert_same_run(found, expected):
    assert same_weights(weights(found), weights(expected))
    times = {"seconds": 0, "training_seconds": 0, "speed": 0, "command": ""}
    one, other = ({**results(folder), **times} for folder in (found, expected))
    assert one == other


def test_patience_counts_on_after_an_interruption(pretraining, tmp_path, monkeypatch):
    """Steps that only do harm: the first epoch stays the best, and the third is the last with a patience of 2."""
    harm = {"learning_rate": 0.3, "patience": 2, "epochs": 6}
    assert run(PRETRAIN, monkeypatch, *pretraining(tmp_path / "whole", **harm)) == 0
    epochs = len(results(tmp_path / "whole")["history"])
    assert epochs < 6 and results(tmp_path / "whole")["best_epoch"] == epochs - 2
    with monkeypatch.context() as patch:
        interrupt_at(patch, epochs - 1)
        assert run(PRETRAIN, patch, *pretraining(tmp_path / "run", **harm)) == 130
    assert run(PRETRAIN, monkeypatch, *pretraining(tmp_path / "run", **harm)) == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_run_that_was_moved_knows_its_best_checkpoint(pretraining, tmp_path, monkeypatch):
    """Moved after its last epoch, where no other checkpoint is written that would tell."""
    harm = {"learning_rate": 0.3, "epochs": 2, "keep_checkpoints": True}
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        assert run(PRETRAIN, patch, *pretraining(tmp_path / "run", **harm)) == 130
    (tmp_path / "run").rename(tmp_path / "moved")
    assert run(PRETRAIN, monkeypatch, *pretraining(tmp_path / "moved", **harm)) == 0
    assert results(tmp_path / "moved")["best_epoch"] == 1
    best = min((tmp_path / "moved" / "checkpoints").iterdir(), key=lambda f: int(f.name.rpartition("-")[2]))
    assert same_weights(weights(tmp_path / "moved"), weights(best))


def test_workers_change_nothing(pretrained, pretraining, tmp_path, monkeypatch):
    assert run(PRETRAIN, monkeypatch, *pretraining(tmp_path / "run", epochs=3, workers=2)) == 0
    assert_same_run(tmp_path / "run", pretrained)


def test_accumulated_batches_make_the_step_of_one_large_batch(classification, tmp_path, monkeypatch):
    """Shown by an optimizer that is linear in the gradient."""
    arguments = {"train_samples": 8, "epochs": 1}
    arguments |= {"trainer": {"use_cpu": True, "optim": "sgd", "max_grad_norm": 100}, "learning_rate": 0.1}
    for name, sizes in (("one", (8, 1)), ("two", (4, 2))):
        command = classification(tmp_path / name, batch_size=sizes[0], accumulation=sizes[1], **arguments)
        assert run(CLASSIFY, monkeypatch, *command) == 0
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


def test_a_text_encoder_that_rests_reads_each_caption_once(pretraining, tmp_path, monkeypatch):
    """With all layers frozen and nothing dropped, training is the same as with captions read in every step."""
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    options = {"frozen_text_layers": 2, "model": {"fusion_heads": 2, "text_config": still}, "epochs": 1}
    trainer = before_training(PRETRAIN, monkeypatch, *pretraining(tmp_path / "look", **options))
    captions = trainer.train_dataset.captions  # in all their forms, mirrored ones too
    assert trainer.train_dataset.pooled.shape == (len(captions), 16) and len(captions) == 8
    assert run(PRETRAIN, monkeypatch, *pretraining(tmp_path / "once", **options)) == 0
    with monkeypatch.context() as patch:
        patch.setattr("training.frozen_text.text_rests", lambda model: False)
        assert run(PRETRAIN, patch, *pretraining(tmp_path / "again", **options)) == 0
    once, again = weights(tmp_path / "once"), weights(tmp_path / "again")
    torch.testing.assert_close(once, again, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"frozen_text_layers": 1, "model": {"fusion_heads": 2}},
        {"frozen_text_layers": 2, "model": {"fusion_heads": 2}},  # which has dropout
    ],
)
def test_a_text_encoder_that_changes_or_drops_is_asked_in_every_step(
    pretraining, tmp_path, monkeypatch, options
):
    trainer = before_training(PRETRAIN, monkeypatch, *pretraining(tmp_path / "run", **options))
    assert trainer.train_dataset.pooled is None


def test_parts_have_learning_rates_of_their_own(pretraining, classification, tmp_path, monkeypatch):
    pairs_of = pretraining(tmp_path / "a", text_learning_rate=0.5, frozen_text_layers=1)
    records_of = classification(tmp_path / "b", encoder_learning_rate=0.5)
    for script, command, own in (
        (PRETRAIN, pairs_of, "text_model.encoder."),
        (CLASSIFY, records_of, "classifier_vision_model."),
    ):
        trainer = before_training(script, monkeypatch, *command)
        groups = trainer.create_optimizer().param_groups
        rates = {id(p): group["lr"] for group in groups for p in group["params"]}
        for name, parameter in trainer.model.named_parameters():
            expected = 0.5 if name.startswith(own) else 1e-3
            assert rates.get(id(parameter)) == (expected if parameter.requires_grad else None), name
        frozen = {name for name, p in trainer.model.named_parameters() if not p.requires_grad}
        assert all(n.startswith((f"{own}embeddings.", f"{own}encoder.layer.0.")) for n in frozen)
        assert bool(frozen) == (script == PRETRAIN)


def test_class_weights_are_those_of_torch_and_scikit_learn():
    labels = torch.tensor([0, 0, 0, 1, 1, 3, IGNORED])
    balanced = balanced_weights(labels.tolist(), 5)
    known = labels[labels != IGNORED]
    expected = compute_class_weight("balanced", classes=np.unique(known), y=known.numpy())
    assert balanced[[0, 1, 3]] / balanced[0] == pytest.approx(expected / expected[0])
    assert balanced[[2, 4]].tolist() == [0, 0] and balanced[balanced > 0].mean() == pytest.approx(1)
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    right = torch.nn.functional.cross_entropy(logits, labels, balanced, ignore_index=IGNORED)
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, balanced), right)
    assert weighted_cross_entropy(logits, torch.full((7,), IGNORED), balanced) == 0


def test_the_checkpoint_of_the_best_validation_loss_is_kept(pretraining, tmp_path, monkeypatch):
    """With so large a step, the best epoch is not the last one."""
    output = tmp_path / "run"
    command = pretraining(output, learning_rate=0.3, epochs=3, keep_checkpoints=True)
    assert run(PRETRAIN, monkeypatch, *command) == 0
    found = results(output)
    losses = [row["eval_loss"] for row in found["history"]]
    assert found["best_epoch"] == 1 + int(np.argmin(losses)) < 3
    assert found["best_validation"] == min(losses)
    kept = [folder for folder in (output / "checkpoints").iterdir() if folder.is_dir()]
    of = {int(folder.name.rpartition("-")[2]) // -(-found["n_train"] // 8): folder for folder in kept}
    assert of.keys() == {found["best_epoch"], 2, 3}
    assert same_weights(weights(output), weights(of[found["best_epoch"]]))


# Where a classifier starts from, and whom it sees


@pytest.mark.parametrize("probe", [False, True])
def test_a_classifier_starts_from_the_pretrained_encoder(
    probe, pretrained, classification, tmp_path, monkeypatch
):
    command = classification(
        tmp_path / "run",
        encoder=pretrained,
        linear_probe=probe,
        augment_probe=probe,
        image_size="leave out",
        architecture="leave out",
    )
    model = before_training(CLASSIFY, monkeypatch, *command).model
    expected = {name: t for name, t in weights(pretrained).items() if name.startswith("vision_model.")}
    found = {f"vision_model.{name}": t for name, t in model.encoder.state_dict().items()}
    assert same_weights(found, expected)
    assert {p.requires_grad for p in model.encoder.parameters()} == {not probe}


def test_an_encoder_from_nothing_has_the_pixel_scale_that_was_asked_for(
    classification, tmp_path, monkeypatch
):
    command = classification(tmp_path / "run", pixel_mean=0.25, pixel_std=0.5)
    vision = before_training(CLASSIFY, monkeypatch, *command).model.config.vision_config
    assert (vision.pixel_mean, vision.pixel_std) == (0.25, 0.5)


def test_the_same_seed_gives_the_same_patients_to_every_encoder(
    pretrained, classification, tmp_path, monkeypatch
):
    trainers = [
        before_training(CLASSIFY, monkeypatch, *classification(tmp_path / name, train_samples=9, **changes))
        for name, changes in (("a", {}), ("b", {"encoder": pretrained}), ("c", {"seed": 1}))
    ]
    rows = [(list(t.train_dataset.rows), list(t.eval_dataset.rows)) for t in trainers]
    assert rows[0] == rows[1] != rows[2]
    assert len(rows[0][0]) == 9


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_no_patient_is_in_two_parts_and_every_labelled_row_is_tested_once(fold):
    options = ClassificationOptions(folds=3, fold=fold)
    patients = [f"p{i // 3}" for i in range(60)]
    labels = [(i // 3) % 5 if i % 4 else -100 for i in range(60)]
    unknown = [-100] * len(labels)
    split = split_patients(patients, labels, unknown, options)
    parts = [{patients[row] for row in rows} for rows in (split.train, split.validation, split.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert all(labels[row] != -100 for row in split.test + split.validation)
    everyone = [split_patients(patients, labels, unknown, replace(options, fold=f)) for f in range(3)]
    tested = sorted(row for part in everyone for row in part.test)
    assert tested == [row for row in range(60) if labels[row] != -100]


def test_birads_3_is_left_out(place, classification, tmp_path, monkeypatch):
    folder = records(tmp_path / "records", patients=24, birads=(0, 1, 2, 3, 4, 5))
    trainer = before_training(CLASSIFY, monkeypatch, *classification(tmp_path / "run", data=folder))
    data = trainer.train_dataset
    assessed = {data.images.table["birads"][row] for row in data.rows}
    assert assessed == {0, 1, 2, 4, 5}


# What the user hears


@pytest.mark.parametrize("script", [PRETRAIN, CLASSIFY])
def test_without_arguments_a_script_says_what_it_needs(script, monkeypatch, capsys):
    assert run(script, monkeypatch) == 0
    text = capsys.readouterr().out
    assert "needs" in text and f"train_scripts/{script}" in text and "make demo" in text


def refused(script, monkeypatch, capsys, tmp_path, arguments):
    """The one sentence with which a script ends, having written nothing."""
    before = sorted(tmp_path.rglob("*"))
    assert run(script, monkeypatch, *arguments) == 2
    text = capsys.readouterr().err
    sentence = text.splitlines()[-1]
    assert sentence.startswith("error: ") and "Traceback" not in text
    assert sorted(tmp_path.rglob("*")) == before
    return sentence


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"pairs": "nowhere"}, "nowhere holds no data set; make one with train_scripts/extract_pairs.py."),
        ({"text_weights": "./nowhere"}, "the tokenizer of './nowhere' could not be loaded"),
        ({"text_weights": None}, "text_weights is none"),
        (
            {"architecture": "convnext_smal"},
            "has no model 'convnext_smal'; the nearest name is 'convnext_small'",
        ),
        ({"vision_weights": "nowhere"}, "there are no weights at nowhere"),
        ({"frozen_text_layers": 9}, "frozen_text_layers is 9, but the text encoder has 2 layers"),
        ({"context_length": 17}, "context_length is 17, but the text encoder has 16 positions"),
        ({"model": {"fusion_head": 2}}, "has no field 'fusion_head'; did you mean 'fusion_heads'?"),
        ({"trainer": {"use_gpu": True}}, "trainer has the unknown field 'use_gpu'"),
        ({"epoch": 2}, "there is no option '--epoch'; did you mean --epochs?"),
        (
            {"micro_batch": 2, "model_args": BATCH_NORMS},
            "batch norms, whose statistics depend on how a batch is cut",
        ),
    ],
)
def test_pretraining_refuses_in_one_sentence(changes, said, pretraining, tmp_path, monkeypatch, capsys):
    command = pretraining(tmp_path / "run", **changes)
    assert said in refused(PRETRAIN, monkeypatch, capsys, tmp_path, command)


def test_pretraining_without_pairs_says_how_to_name_them(tmp_path, monkeypatch, capsys):
    said = refused(PRETRAIN, monkeypatch, capsys, tmp_path, ["--output", str(tmp_path / "run")])
    assert "no pairs were given; name their folder with --pairs" in said


def test_pretraining_without_an_output_folder_says_how_to_name_it(pretraining, tmp_path, monkeypatch, capsys):
    said = refused(PRETRAIN, monkeypatch, capsys, tmp_path, pretraining(""))
    assert "no output folder was given; name one with --output" in said


def test_two_cases_are_too_few(pretraining, tmp_path, monkeypatch, capsys):
    command = pretraining(tmp_path / "run", pairs=pairs(tmp_path / "pairs", cases=2))
    said = refused(PRETRAIN, monkeypatch, capsys, tmp_path, command)
    assert "the pairs come from 2 cases; expected at least three" in said


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"data": "nowhere"}, "nowhere holds no data set; make one with train_scripts/build_dataset.py."),
        ({"encoder": "nowhere"}, "the encoder nowhere is not a folder"),
        ({"encoder": "leave out"}, "--encoder was not given"),
        ({"data": "leave out"}, "--data was not given"),
        ({"train_samples": 500}, "500 training samples were asked for"),
        ({"folds": 40}, "16 patients cannot fill 40 folds"),
        ({"dropout": 1}, "classifier_dropout is 1.0, but it must be in [0, 1)"),
        ({"fold": 3}, "fold is 3; expected from 0 to 2"),
        ({"learnin_rate": 1}, "there is no option '--learnin_rate'; did you mean --learning_rate?"),
    ],
)
def test_classification_refuses_in_one_sentence(changes, said, classification, tmp_path, monkeypatch, capsys):
    command = classification(tmp_path / "run", **changes)
    assert said in refused(CLASSIFY, monkeypatch, capsys, tmp_path, command)


@pytest.mark.parametrize(
    "table, said",
    [
        ({"birads": [1] * 32}, "all labelled images are BI-RADS 1"),
        ({"birads": [None] * 32}, "no image has a BI-RADS class"),
        ({"birads": [7] * 32}, "BI-RADS 7 does not exist"),
        ({"density": ["E"] * 32}, "breast density 'E' does not exist"),
        ({"view": None}, "has no column 'view'"),
        ({"patients": 2}, "2 patients cannot fill 3 folds"),
    ],
)
def test_records_that_teach_nothing_are_refused(table, said, classification, tmp_path, monkeypatch, capsys):
    command = classification(tmp_path / "run", data=records(tmp_path / "records", **table))
    assert said in refused(CLASSIFY, monkeypatch, capsys, tmp_path, command)


def test_another_run_s_folder_is_refused(pretrained, pretraining, monkeypatch, capsys, tmp_path):
    before = contents(pretrained)
    said = refused(PRETRAIN, monkeypatch, capsys, tmp_path, pretraining(pretrained, epochs=4))
    assert "holds a run with epochs 3, not 4" in said and contents(pretrained) == before
