"""One run of classify.py: where it starts, which labels count, balanced epochs, probes on features, what it saves."""

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from accelerate.data_loader import BatchSamplerShard
from safetensors.torch import load_file, save_file
from tiny_models import VISION, pretraining_model, processor
from tiny_training import SMALL, before_training, interrupt_at, records, run, words
from torch import nn
from torch.utils.data import BatchSampler
from transformers import AutoImageProcessor

from dataset_builders.birads import FIVE_CLASSES, UNKNOWN
from dataset_builders.labelled_data import labelled_data
from dataset_builders.labelled_splits import split_patients
from evaluation.metrics import birads_metrics, density_metrics
from evaluation.prediction_table import prediction_table
from modeling_mamclip import MamClipForImageClassification
from modeling_mamclip.encoders_mamclip import MamClipVisionEncoder
from training.classification_options import ClassificationOptions
from training.classification_trainer import ClassificationTrainer, lone_image
from training.data import RECORD_COLUMNS
from training.features import ProbeHeads
from training.mixing import balanced_order
from training.origin import data_fingerprint
from training.sources import load_table
from training.trainers import PartwiseTrainer

CLASSIFY = "classify.py"
BATCH_NORMS = {**VISION["model_args"], "norm_layer": "batchnorm2d", "conv_mlp": True}
FINETUNED = Path(__file__).resolve().parent / "golden" / "published_tiny" / "finetune_tiny.pth"
PROBABILITIES = {
    "birads": [f"p_birads_{value}" for value in FIVE_CLASSES],
    "density": [f"p_density_{letter}" for letter in "abcd"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """80 records: one lacks both labels, one BI-RADS, one density, two are BI-RADS 3; and a pretrained encoder."""
    root = tmp_path_factory.mktemp("classify")
    birads = [(0, 1, 2, 4, 5)[patient % 5] for patient in range(40)]
    birads[5], birads[30] = None, 3
    density = ["ABCD"[row // 2 % 4] for row in range(80)]
    density[10], density[20] = None, None
    own = {"source": ["phantom"] * 80, "phantom_age": [40.0 + row for row in range(80)]}
    records(root / "records", patients=40, birads=birads, density=density, **own)
    pretraining_model().save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    return root


@pytest.fixture
def command(place):
    def words_of(output, **changes):
        given = {"data": place / "records", "encoder": None, "output": output, "cache": place / "cache"}
        options = {**SMALL, "folds": 3, "epochs": 1, **given, **changes}
        return words(**{name: value for name, value in options.items() if value != "leave out"})

    return words_of


@pytest.fixture(scope="module")
def whole_run(place):
    """A run of both tasks, fully fine-tuned."""
    output = place / "run"
    given = {"data": place / "records", "encoder": None, "output": output, "cache": place / "cache"}
    with pytest.MonkeyPatch.context() as patch:
        assert run(CLASSIFY, patch, *words(**{**SMALL, "folds": 3, **given})) == 0
    return output


@pytest.fixture(scope="module")
def probe_run(place):
    """A linear probe of three epochs."""
    output = place / "probe"
    given = {"data": place / "records", "encoder": place / "pretrained", "output": output}
    options = {**SMALL, "folds": 3, "epochs": 3, "linear_probe": True, "cache": place / "cache", **given}
    with pytest.MonkeyPatch.context() as patch:
        assert run(CLASSIFY, patch, *words(**options)) == 0
    return output


def results(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def refused(monkeypatch, capsys, tmp_path, arguments):
    """The one sentence with which the script ends, having written nothing."""
    before = sorted(tmp_path.rglob("*"))
    assert run(CLASSIFY, monkeypatch, *arguments) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text and sorted(tmp_path.rglob("*")) == before
    return text.splitlines()[-1]


# What is saved


@pytest.mark.parametrize("name", ["predictions.parquet", "validation_predictions.parquet"])
def test_predictions_say_who_what_and_how_sure(name, whole_run, place):
    table = pq.read_table(whole_run / name)
    whole = load_table(place / "records", RECORD_COLUMNS, "build_dataset.py")
    expected = ["row", "patient_id", "exam_id", "laterality", "view", "source", "birads", "density"]
    expected += ["predicted_birads", "predicted_density", *PROBABILITIES["birads"], *PROBABILITIES["density"]]
    assert table.column_names == [*expected, "phantom_age"]
    for row in table.to_pylist():
        same = ("patient_id", "exam_id", "laterality", "view", "source", "birads", "density", "phantom_age")
        assert {key: row[key] for key in same} == {key: whole[row["row"]][key] for key in same}
    for task, classes in (("birads", FIVE_CLASSES), ("density", "ABCD")):
        assert {table.schema.field(column).type for column in PROBABILITIES[task]} == {pa.float32()}
        scores = np.array([table[column] for column in PROBABILITIES[task]]).T
        assert scores.sum(axis=1) == pytest.approx(np.ones(len(table)), abs=1e-5)
        assert [classes[place] for place in scores.argmax(axis=1)] == table[f"predicted_{task}"].to_pylist()


def test_predictions_are_those_of_results(whole_run):
    found = pq.read_table(whole_run / "predictions.parquet").to_pylist()
    known = [row for row in found if row["birads"] is not None]
    columns = [[FIVE_CLASSES.index(row[name]) for row in known] for name in ("birads", "predicted_birads")]
    assert birads_metrics(*columns)["f1_five"] == pytest.approx(results(whole_run)["f1_five"])
    known = [row for row in found if row["density"] is not None]
    columns = [["ABCD".index(row[name]) for row in known] for name in ("density", "predicted_density")]
    assert density_metrics(*columns)["density_f1"] == pytest.approx(results(whole_run)["density_f1"])


@pytest.mark.parametrize("name", ["predictions.parquet", "validation_predictions.parquet"])
def test_predictions_are_those_of_the_saved_model(name, whole_run, place):
    found = pq.read_table(whole_run / name).to_pylist()
    model = MamClipForImageClassification.from_pretrained(whole_run).eval()
    images = load_table(place / "records", RECORD_COLUMNS, "build_dataset.py")["image"]
    prepared = AutoImageProcessor.from_pretrained(whole_run)(
        images=[images[row["row"]] for row in found], return_tensors="pt"
    )
    with torch.no_grad():
        output = model(**prepared)
    for task, logits in (("birads", output.logits), ("density", output.density_logits)):
        written = torch.tensor([[row[name] for name in PROBABILITIES[task]] for row in found])
        torch.testing.assert_close(written, logits.softmax(dim=1), atol=5e-3, rtol=0)  # images have 8 bits


@pytest.mark.parametrize(("first_step", "expected"), [(10, "said at 20"), (30, "asked again")])
def test_validation_logits_are_those_of_the_best_checkpoint(first_step, expected, monkeypatch):
    """The second case is a run that went on from a checkpoint behind the best one."""
    trainer = object.__new__(ClassificationTrainer)
    trainer.evaluated, trainer.eval_dataset = {}, None
    trainer.state = SimpleNamespace(best_global_step=None if first_step == 10 else 20, global_step=0)

    def said(self, **how):
        return SimpleNamespace(predictions=f"said at {self.state.global_step}")

    monkeypatch.setattr(PartwiseTrainer, "evaluation_loop", said, raising=False)
    monkeypatch.setattr(ClassificationTrainer, "logits_of", lambda self, examples: "asked again")
    for step in range(first_step, 50, 10):
        trainer.state.global_step = step
        trainer.evaluation_loop()
        if step == 20:  # which is when the Trainer finds out
            trainer.state.best_global_step = 20
    assert trainer.validation_logits() == expected and len(trainer.evaluated) <= 2


def test_tested_and_validating_rows_are_no_patient_s_twice(whole_run):
    tested, validating = (
        pq.read_table(whole_run / name) for name in ("predictions.parquet", "validation_predictions.parquet")
    )
    assert not set(tested["patient_id"].to_pylist()) & set(validating["patient_id"].to_pylist())
    assert (len(tested), len(validating)) == tuple(
        results(whole_run)[name] for name in ("n_test", "n_validation")
    )


def test_results_say_what_they_came_from(whole_run, place):
    found = results(whole_run)
    assert found["fingerprint"] == data_fingerprint(load_table(place / "records", RECORD_COLUMNS, ""))
    for name in ("predictions.parquet", "validation_predictions.parquet"):
        assert pq.read_schema(whole_run / name).metadata[b"data_fingerprint"].decode() == found["fingerprint"]
    assert found["versions"]["timm"] == timm.__version__ and "classify.py --architecture" in found["command"]
    assert found["tasks"] == ["birads", "density"] and 0 < found["training_seconds"] <= found["seconds"] + 0.1


def test_a_fingerprint_is_that_of_the_content(place, tmp_path):
    def fingerprint(name, **columns):
        folder = records(tmp_path / name, patients=4, **columns)
        return data_fingerprint(load_table(folder, RECORD_COLUMNS, ""))

    first = fingerprint("first")
    assert first == fingerprint("again")
    assert first != fingerprint("label", birads=(0, 1, 2, 5))
    assert first != fingerprint("view", view=["CC"] * 7 + ["MLO"])
    assert first != data_fingerprint(load_table(place / "records", RECORD_COLUMNS, ""))


def test_records_without_a_source_are_named_by_their_folder():
    row = {"patient_id": "p", "exam_id": "e", "laterality": "L", "view": "CC", "birads": None, "density": "C"}
    logits = {"density": np.array([[0.0, 0.0, 1.0, 0.0]])}
    (found,) = prediction_table(datasets.Dataset.from_list([row] * 2), [1], logits, "records").to_pylist()
    assert (found["row"], found["source"], found["predicted_density"]) == (1, "records", "C")
    assert found["predicted_birads"] is None and found["p_birads_0"] is None and found["birads"] is None


# Which labels count


def test_a_row_with_one_label_counts_for_that_one(place):
    table = load_table(place / "records", RECORD_COLUMNS, "")
    for fold in range(3):
        data = labelled_data(table, ClassificationOptions(folds=3, fold=fold))
        parts = (data.split.train, data.split.validation, data.split.test)
        used = [row for part in parts for row in part]
        # All but both images of BI-RADS 3, and the one that says nothing.
        assert sorted(used) == [row for row in range(80) if row not in (10, 60, 61)]
        labels, density = ([column[row] for row in used] for column in data.labels.values())
        assert [labels.count(UNKNOWN), density.count(UNKNOWN)] == [1, 1]


@pytest.mark.parametrize("task, rows", [("birads", 76), ("density", 78)])
def test_a_task_alone_leaves_the_other_head_silent(task, rows, place, command, tmp_path, monkeypatch):
    """Its rows are those with its label: for density alone, also those of BI-RADS 3."""
    output = tmp_path / "run"
    assert run(CLASSIFY, monkeypatch, *command(output, tasks=[task])) == 0
    found, other = results(output), {"birads": "density", "density": "birads"}[task]
    split = [found[f"n_{part}"] for part in ("train", "validation", "test")]
    assert sum(split) == rows and found["tasks"] == [task]
    chosen = {"birads": "eval_f1_five", "density": "eval_density_f1"}
    assert found["best_validation"] == max(row[chosen[task]] for row in found["history"])
    assert all(chosen[other] not in row for row in found["history"])
    assert ("f1_five" in found, "density_f1" in found) == (task == "birads", task == "density")
    weights = load_file(output / "model.safetensors")
    assert weights[f"{task}_head.weight"].any() and not weights[f"{other}_head.weight"].any()
    table = pq.read_table(output / "predictions.parquet")
    assert table[PROBABILITIES[other][0]].null_count == table[f"predicted_{other}"].null_count == len(table)
    assert table[PROBABILITIES[task][0]].null_count == 0


def test_the_first_task_chooses_the_checkpoint(place, command, tmp_path, monkeypatch):
    trainer = before_training(CLASSIFY, monkeypatch, *command(tmp_path / "run", tasks=["density", "birads"]))
    assert trainer.args.metric_for_best_model == "eval_density_f1"


def test_a_task_without_labels_is_not_learned_and_that_is_said(command, tmp_path, monkeypatch, capsys):
    data = records(tmp_path / "records", density=[None] * 32)
    assert run(CLASSIFY, monkeypatch, *command(tmp_path / "run", data=data)) == 0
    assert "note: no image has a label of density, which is not learned." in capsys.readouterr().err
    assert results(tmp_path / "run")["tasks"] == ["birads"]


def test_few_validation_images_are_whole_patients_of_the_validation_part(
    place, command, tmp_path, monkeypatch
):
    all_, few = (
        before_training(CLASSIFY, monkeypatch, *command(tmp_path / name, **changes)).eval_dataset.rows
        for name, changes in (("all", {}), ("few", {"validation_samples": 4}))
    )
    assert len(few) == 4 and set(few) < set(all_)


@pytest.mark.parametrize("task", ["birads", "density"])
def test_class_weights_are_those_of_the_first_task(task, command, tmp_path, monkeypatch):
    options = {"class_weights": "balanced", "tasks": [task]}
    trainer = before_training(CLASSIFY, monkeypatch, *command(tmp_path / "run", **options))
    assert len(trainer.class_weights) == {"birads": 5, "density": 4}[task]
    batch = next(iter(trainer.get_eval_dataloader()))
    trainer.model.eval()
    loss, output = trainer.compute_loss(trainer.model, dict(batch), return_outputs=True)
    labels, logits = {"birads": ("labels", "logits"), "density": ("density_labels", "density_logits")}[task]
    expected = torch.nn.functional.cross_entropy(output[logits], batch[labels], trainer.class_weights)
    torch.testing.assert_close(loss, expected)


# Balanced epochs


def test_a_balanced_epoch_has_every_class_equally_often_and_goes_through_it_from_end_to_end():
    labels = [0] * 40 + [1] * 7 + [4] * 3 + [UNKNOWN] * 5
    epoch = torch.zeros(1, dtype=torch.long)
    sampler = balanced_order(labels, 3, epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 55
    counts = Counter(labels[place % 55] for place in drawn)
    assert (
        counts.pop(UNKNOWN) == 5
        and sum(counts.values()) == 50
        and max(counts.values()) - min(counts.values()) <= 1
    )
    for label in (1, 4):
        times = Counter(place % 55 for place in drawn if labels[place % 55] == label)
        assert len(times) == labels.count(label) and max(times.values()) - min(times.values()) <= 1
    assert len(set(drawn)) == 55  # a repetition has a number of its own
    assert list(balanced_order(labels, 3, epoch)) == drawn  # as another process or a continued run draws it
    epoch[0] = 1
    assert list(sampler) != drawn and list(balanced_order(labels, 4, epoch)) != list(sampler)


def test_what_comes_again_in_an_epoch_is_augmented_anew(command, tmp_path, monkeypatch):
    data = before_training(
        CLASSIFY, monkeypatch, *command(tmp_path / "run", sampling="balanced")
    ).train_dataset
    first, again, thrice, next_one = (data[place] for place in (0, len(data), 2 * len(data), 1))
    assert first["labels"] == again["labels"] == thrice["labels"]
    assert not torch.equal(first["pixel_values"], again["pixel_values"])
    assert not torch.equal(again["pixel_values"], thrice["pixel_values"])
    torch.testing.assert_close(again["pixel_values"], data[len(data)]["pixel_values"])


def test_an_interrupted_balanced_run_ends_as_an_uninterrupted_one(command, tmp_path, monkeypatch):
    options = {"sampling": "balanced", "epochs": 3}
    assert run(CLASSIFY, monkeypatch, *command(tmp_path / "whole", **options)) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert run(CLASSIFY, patch, *command(tmp_path / "run", **options)) == 130
    assert run(CLASSIFY, monkeypatch, *command(tmp_path / "run", **options)) == 0
    assert_same_model(tmp_path / "run", tmp_path / "whole")


def assert_same_model(found, expected):
    one, other = (load_file(folder / "model.safetensors") for folder in (found, expected))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert results(found)["history"] == results(expected)["history"]


def test_batch_norms_meet_no_single_image_and_every_image_is_still_predicted(
    command, tmp_path, monkeypatch, capsys
):
    options = {"model_args": BATCH_NORMS, "train_samples": 9, "batch_size": 8, "epochs": 3}
    trainer = before_training(CLASSIFY, monkeypatch, *command(tmp_path / "asked", **options))
    assert "batch norms cannot learn from one image, which is what 9 images" in capsys.readouterr().err
    model = trainer.model.train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):  # what would happen otherwise
        model(**trainer.data_collator([trainer.train_dataset[0]]))
    assert [len(batch["labels"]) for batch in trainer.get_train_dataloader()] == [8]
    size = len(trainer.eval_dataset) - 1  # so that evaluation has a last batch of one image, which must stay
    options["trainer"] = {"use_cpu": True, "per_device_eval_batch_size": size}
    assert run(CLASSIFY, monkeypatch, *command(tmp_path / "whole", **options)) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert run(CLASSIFY, patch, *command(tmp_path / "run", **options)) == 130
    assert run(CLASSIFY, monkeypatch, *command(tmp_path / "run", **options)) == 0
    assert_same_model(tmp_path / "run", tmp_path / "whole")
    assert len(pq.read_table(tmp_path / "run" / "validation_predictions.parquet")) == size + 1


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"train_samples": 1}])
def test_batch_norms_alone_with_one_image_are_refused(changes, command, tmp_path, monkeypatch, capsys):
    arguments = command(tmp_path / "run", model_args=BATCH_NORMS, **changes)
    said = refused(monkeypatch, capsys, tmp_path, arguments)
    assert "the model has batch norms, which learn from two images at least" in said


def test_a_last_batch_of_one_image_is_left_out_for_learning_batch_norms_alone():
    norm = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert [lone_image(norm, images, 8) for images in (8, 9, 10, 17)] == [False, True, False, True]
    assert not lone_image(nn.Sequential(nn.LayerNorm(2)), 9, 8)
    norm[0][1].requires_grad_(False)  # as in an encoder with adapters
    assert not lone_image(norm, 9, 8)
    norm[0][1] = nn.BatchNorm1d(2, affine=False)
    assert lone_image(norm, 9, 8)
    norm.requires_grad_(False)  # as a linear probe's encoder
    assert not lone_image(norm, 9, 8)


def test_two_processes_share_a_balanced_epoch():
    """Each takes its batches of the same order."""
    labels = [0] * 20 + [1] * 4
    shares = []
    for process in (0, 1):
        sampler = balanced_order(labels, 0, torch.tensor([5]))
        shares.append(list(BatchSamplerShard(BatchSampler(sampler, 4, drop_last=False), 2, process)))
    together = [place for pair in zip(*shares, strict=True) for batch in pair for place in batch]
    assert together == list(balanced_order(labels, 0, torch.tensor([5])))


# Where a run starts


def started(monkeypatch, command):
    return before_training(CLASSIFY, monkeypatch, *command).model


def test_an_encoder_starts_from_weights_of_timm_in_a_file(command, tmp_path, monkeypatch):
    """As ImageNet's are: with timm's names, and a classification layer that is left out."""
    trunk = timm.create_model(VISION["architecture"], **VISION["model_args"], num_classes=10)
    save_file(trunk.state_dict(), tmp_path / "imagenet.safetensors")
    given = command(tmp_path / "run", vision_weights=tmp_path / "imagenet.safetensors")
    found = started(monkeypatch, given).encoder.trunk.state_dict()
    expected = {
        name: tensor for name, tensor in trunk.state_dict().items() if not name.startswith("head.fc.")
    }
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_an_encoder_of_random_weights_follows_the_seed(command, tmp_path, monkeypatch):
    one, again, other = (
        started(monkeypatch, command(tmp_path / name, seed=seed)).encoder.projection.weight
        for name, seed in (("one", 0), ("again", 0), ("other", 1))
    )
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_a_run_starts_from_a_converted_published_classifier_and_its_heads(
    command, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "published"
    monkeypatch.setattr(
        "training.published.timm.list_models", lambda name: ["test_convnext"]
    )  # not all of them
    assert run("convert_published.py", monkeypatch, "--checkpoint", FINETUNED, "--output", folder) == 0
    given = {
        "encoder": folder,
        "image_size": "leave out",
        "architecture": "leave out",
        "model_args": "leave out",
    }
    model = started(monkeypatch, command(tmp_path / "look", **given)).eval()
    published = MamClipForImageClassification.from_pretrained(folder).eval()
    pixels = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        found, expected = model(pixels), published(pixels)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.density_logits, expected.density_logits)


# Linear probes


def test_a_probe_on_features_has_the_logits_of_the_whole_model(probe_run, place):
    model = MamClipForImageClassification.from_pretrained(probe_run).eval()
    with pytest.MonkeyPatch.context() as patch:
        trainer = before_training(
            CLASSIFY,
            patch,
            *words(**{**SMALL, "folds": 3, "data": place / "records", "encoder": place / "pretrained"}),
            *words(output=place / "look", cache=place / "cache", linear_probe=True),
        )
    examples = trainer.eval_dataset
    assert isinstance(trainer.model, ProbeHeads)
    batch = examples.__getitems__(list(range(len(examples))))
    pixels = torch.stack([examples.images.load(row, None, None) for row in examples.rows])
    with torch.no_grad():
        on_features = ProbeHeads(model)(batch["features"])
        whole = model(pixels[:, None].expand(-1, 3, -1, -1))
    torch.testing.assert_close(on_features.logits, whole.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(on_features.density_logits, whole.density_logits, rtol=0, atol=1e-5)
    written = pq.read_table(probe_run / "validation_predictions.parquet")
    scores = np.array([written[name] for name in PROBABILITIES["birads"]]).T
    assert scores == pytest.approx(whole.logits.softmax(dim=1).numpy(), abs=1e-5)


def test_a_probe_changes_the_heads_alone(probe_run, place):
    before, after = (load_file(folder / "model.safetensors") for folder in (place / "pretrained", probe_run))
    encoder = [name for name in after if name.startswith("vision_model.")]
    assert encoder and all(torch.equal(before[name], after[name]) for name in encoder)
    assert {name.partition(".")[0] for name in after} == {"vision_model", "birads_head", "density_head"}


def test_features_are_extracted_once_for_all_runs_and_follow_encoder_and_size(
    probe_run, command, place, tmp_path, monkeypatch
):
    asked = []
    forward = MamClipVisionEncoder.forward

    def counted(self, pixels):
        asked.append(len(pixels))
        return forward(self, pixels)

    monkeypatch.setattr(MamClipVisionEncoder, "forward", counted)
    start = {"encoder": place / "pretrained", "linear_probe": True}
    for changes in ({"seed": 1}, {"fold": 2, "train_samples": 20}, {"tasks": ["density", "birads"]}):
        assert (
            run(CLASSIFY, monkeypatch, *command(tmp_path / f"run{len(asked)}{changes}", **start, **changes))
            == 0
        )
    rows = sum(results(probe_run)[name] for name in ("n_train", "n_validation", "n_test"))
    assert rows == 77 and not asked
    before_training(CLASSIFY, monkeypatch, *command(tmp_path / "smaller", image_size=[32, 32], **start))
    assert sum(asked) == rows
    before_training(CLASSIFY, monkeypatch, *command(tmp_path / "other", encoder=None, linear_probe=True))
    assert sum(asked) == 2 * rows


def test_an_interrupted_extraction_goes_on(command, place, tmp_path, monkeypatch):
    start = {"encoder": place / "pretrained", "linear_probe": True, "cache": tmp_path / "cache"}
    shutil.copytree(place / "cache", tmp_path / "cache", ignore=shutil.ignore_patterns("features-*"))
    asked, forward = [], MamClipVisionEncoder.forward

    def counted(self, pixels):
        if len(asked) == 3:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(pixels))
        return forward(self, pixels)

    with monkeypatch.context() as patch:
        patch.setattr(MamClipVisionEncoder, "forward", counted)
        assert run(CLASSIFY, patch, *command(tmp_path / "run", **start)) == 130
        trainer = before_training(CLASSIFY, patch, *command(tmp_path / "run", **start))
    assert sum(asked) == 77 == np.isfinite(trainer.train_dataset.features).all(axis=1).sum()
    whole = before_training(
        CLASSIFY, monkeypatch, *command(tmp_path / "b", **{**start, "cache": place / "cache"})
    )
    assert trainer.train_dataset.features == pytest.approx(
        whole.train_dataset.features, abs=1e-6, nan_ok=True
    )
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_probe_on_features_learns_as_one_that_runs_the_encoder(command, place, tmp_path, monkeypatch):
    """The same trainer: without augmentation, both have the same weights in the end."""
    still = dict.fromkeys(
        ("rotation", "scale", "shift", "distortion", "brightness", "gamma", "marker_dropout"), 0
    )
    still["flip"] = False
    options = {"encoder": place / "pretrained", "linear_probe": True, "epochs": 2, **still}
    for name, changes in (("features", {}), ("images", {"augment_probe": True})):
        assert run(CLASSIFY, monkeypatch, *command(tmp_path / name, **options, **changes)) == 0
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("features", "images"))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    first, second = (results(tmp_path / name)["history"] for name in ("features", "images"))
    for row, expected in zip(first, second, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)


def test_an_interrupted_probe_ends_as_an_uninterrupted_one(probe_run, command, place, tmp_path, monkeypatch):
    given = {"encoder": place / "pretrained", "linear_probe": True, "epochs": 3}
    given |= {"image_size": SMALL["image_size"]}
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        assert run(CLASSIFY, patch, *command(tmp_path / "run", **given)) == 130
    assert run(CLASSIFY, monkeypatch, *command(tmp_path / "run", **given)) == 0
    assert_same_model(tmp_path / "run", probe_run)


@pytest.mark.parametrize("architecture, arguments", [("convnext_atto", None), ("test_resnet", {})])
def test_a_probe_on_augmented_images_leaves_the_encoder_as_it_is(
    architecture, arguments, command, tmp_path, monkeypatch
):
    """Also one with batch normalisation, whose statistics are no parameters."""
    changes = {"architecture": architecture, "linear_probe": True, "augment_probe": True}
    changes |= {} if arguments is None else {"model_args": arguments}
    before = started(monkeypatch, command(tmp_path / "first", **changes))
    assert run(CLASSIFY, monkeypatch, *command(tmp_path / "second", **changes)) == 0
    after = load_file(tmp_path / "second" / "model.safetensors")
    encoder = [name for name in after if name.startswith("vision_model.")]
    assert all(torch.equal(before.state_dict()[name], after[name]) for name in encoder)
    assert not torch.equal(before.state_dict()["birads_head.weight"], after["birads_head.weight"])


# What is refused


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            {"tasks": ["birads", "tissue"]},
            "tasks is birads tissue; expected birads, density, or both, each once",
        ),
        ({"tasks": ["birads", "birads"]}, "tasks is birads birads; expected"),
        ({"sampling": "balance"}, "balance"),
        (
            {"sampling": "balanced", "class_weights": "balanced"},
            "counts rare classes twice; choose one of them",
        ),
        ({"augment_probe": True}, "augment_probe was given without linear_probe"),
        ({"validation_samples": 0}, "validation_samples is 0; expected 1 or more"),
        ({"train_samples": 500}, "500 training samples were asked for; expected a number from 1 to"),
        ({"folds": 41}, "39 patients cannot fill 41 folds"),
        ({"folds": 30}, "fold 0 of 30 has no image of BI-RADS"),
        ({"vision_weights": "nowhere.safetensors"}, "there are no weights at nowhere.safetensors"),
    ],
)
def test_a_wrong_option_ends_in_one_sentence(changes, said, command, tmp_path, monkeypatch, capsys):
    assert said in refused(monkeypatch, capsys, tmp_path, command(tmp_path / "run", **changes))


@pytest.mark.parametrize(
    "changes, tasks, said",
    [
        ({"density": [None] * 32}, "density", "no image has a breast density; expected two classes"),
        ({"density": ["B"] * 32}, "density", "all labelled images are density B"),
        ({"density": ["ABCE"[row % 4] for row in range(32)]}, "birads", "breast density 'E' does not exist"),
        ({"birads": [9] * 32}, "density", "BI-RADS 9 does not exist"),
    ],
)
def test_labels_that_teach_nothing_are_refused(changes, tasks, said, command, tmp_path, monkeypatch, capsys):
    data = records(tmp_path / "records", **changes)
    assert said in refused(monkeypatch, capsys, tmp_path, command(tmp_path / "run", data=data, tasks=[tasks]))


def test_a_class_that_a_tested_fold_lacks_is_refused():
    """One patient alone has it: she is tested in one fold, which is taken, and missed in the other one."""
    patients, labels = [f"p{row}" for row in range(20)], [4] + [0, 1] * 9 + [0]
    unknown, said = [UNKNOWN] * 20, []
    for fold in (0, 1):
        try:
            split_patients(patients, labels, unknown, ClassificationOptions(folds=2, fold=fold))
        except ValueError as error:
            said.append(str(error))
    assert len(said) == 1 and "of 2 has no image of BI-RADS 5, which 1 patients have; give fewer" in said[0]


def test_a_density_that_the_tested_fold_lacks_is_said():
    patients = [f"p{row}" for row in range(40)]
    birads, density = [(0, 1)[row % 2] for row in range(40)], ["D", *"ABC" * 13]
    table = datasets.Dataset.from_dict({"patient_id": patients, "birads": birads, "density": density})
    notes = [labelled_data(table, ClassificationOptions(folds=2, fold=fold)).notes for fold in (0, 1)]
    assert sum("no tested image is of density D." in found for found in notes) == 1
