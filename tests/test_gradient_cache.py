"""The gradient of a large contrastive batch, made in parts and by several processes, against that of the whole."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from tiny_models import VISION, WORDS, pretraining_model, random_weights
from tiny_training import SCRIPTS, SMALL, SMALL_PAIRS, pairs, run, text_encoder, words

from training.gradient_cache import cached_backward
from training.trainers import share_of

PRETRAIN = "pretrain.py"
MASKED = WORDS.index("[MASK]")
PAIRS, REAL_PAIRS, SIZES, SEED = (
    16,
    13,
    (1, 2, 8),
    40,
)  # of the grid of processes and sizes; 3 pairs are fillers


def batch(pairs_in_it=8, masked="copies"):
    """Pairs, some with one caption. masked: words are hidden in copies of the captions, in themselves, or not."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(5, len(WORDS), (pairs_in_it, 9), generator=generator)
    ids[1, 6:] = ids[3, 4:] = 0
    given = {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "pixel_values": torch.rand(pairs_in_it, 3, 64, 48, generator=generator),
        "caption_ids": torch.tensor([0, 1, 2, 0, 4, 5, 2, 7] * 2)[:pairs_in_it],
    }
    if masked == "no":
        return given
    labels = torch.full_like(ids, -100)
    labels[0, 2], labels[0, 4], labels[2, 8], labels[5, 1] = ids[0, 2], ids[0, 4], ids[2, 8], ids[5, 1]
    hidden = ids.masked_fill(labels != -100, MASKED)
    name = "masked_input_ids" if masked == "copies" else "input_ids"
    return {**given, name: hidden, "mlm_labels": labels}


def model_with(dropout=0.0, **changes):
    model = random_weights(pretraining_model(**changes), 1)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return model.train()


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def of_the_whole(model, given):
    loss = model(**given).loss
    loss.backward()
    return loss.detach(), gradients(model)


def of_parts(model, given, **settings):
    loss = cached_backward(Accelerator(cpu=True), model, given, **settings)
    return loss, gradients(model)


@pytest.mark.parametrize("masked", ["copies", "themselves", "no"])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 0])
def test_parts_of_any_size_give_the_gradient_of_the_whole_batch(size, masked):
    changes = {"contrastive_reduction": "sum"} if masked == "themselves" else {}
    expected = of_the_whole(model_with(**changes), batch(masked=masked))
    found = of_parts(model_with(**changes), batch(masked=masked), micro_batch=size)
    assert expected[1]["logit_scale"].abs() > 0 and len(expected[1]) > 40
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_fixed_temperature_stays_fixed():
    _, found = of_parts(model_with(learn_temperature=False), batch(), micro_batch=2)
    assert "logit_scale" not in found or not found["logit_scale"].any()


def test_a_weight_is_one_of_the_gradient_alone():
    loss, expected = of_parts(model_with(), batch(), micro_batch=2)
    same, third = of_parts(model_with(), batch(), micro_batch=2, weight=1 / 3)
    torch.testing.assert_close(same, loss)
    torch.testing.assert_close({name: 3 * value for name, value in third.items()}, expected)


def test_pairs_that_only_fill_a_batch_up_do_not_count():
    five = {name: value[:5] for name, value in batch().items()}
    expected = of_the_whole(model_with(), five)
    torch.testing.assert_close(
        of_parts(model_with(), batch(), micro_batch=3, real=5), expected, rtol=1e-4, atol=1e-5
    )


def parts_seen(model):
    """Lengths of the captions that the text encoder reads at a time."""
    seen = []
    model.text_model.register_forward_pre_hook(lambda _, given: seen.append(given[1].sum(dim=1).tolist()))
    of_parts(model, batch(masked="themselves"), micro_batch=3)
    return seen[: len(seen) // 2], seen[len(seen) // 2 :]


def test_captions_that_are_padded_share_a_part_with_those_of_like_length():
    model, widths = model_with(), []
    model.text_model.encoder.set_attn_implementation("eager")
    model.text_model.register_forward_pre_hook(lambda _, given: widths.append(given[0].shape[1]))
    first, second = parts_seen(model)
    assert first == second == [[9, 9, 9], [9, 9, 9], [6, 4]] and widths == [9, 9, 6] * 2


def test_captions_that_are_read_end_to_end_make_parts_of_about_as_many_tokens():
    first, second = parts_seen(model_with())
    assert first == second == [[9, 9, 6], [9, 9, 4], [9, 9]]


def test_both_passes_drop_the_same():
    """A second pass that dropped otherwise would lead the gradients of other embeddings into the weights."""
    model, seen = model_with(dropout=0.3), []
    model.register_forward_hook(
        lambda _, given, output: seen.append(output.image_embeds + output.text_embeds)
    )
    torch.manual_seed(5)
    of_parts(model, batch(), micro_batch=2)
    first, second = seen[:4], seen[4:]
    assert not any(one.requires_grad for one in first) and all(one.requires_grad for one in second)
    assert all(torch.equal(*both) for both in zip(first, second, strict=True))
    torch.manual_seed(6)
    of_parts(model, batch(), micro_batch=2)
    assert not torch.equal(seen[8], first[0])  # dropout does something here


def test_words_are_predicted_in_one_pass_alone():
    model, passes = model_with(), []
    model.fusion.register_forward_hook(lambda *_: passes.append(1))
    of_parts(model, batch(), micro_batch=2)
    assert len(passes) == 4


def test_batch_norms_are_refused_where_a_batch_is_cut():
    vision = {**VISION, "model_args": {**VISION["model_args"], "norm_layer": "batchnorm2d", "conv_mlp": True}}
    model = model_with(vision_config=vision)
    of_parts(model, batch())
    with pytest.raises(ValueError, match="batch norms, whose statistics depend on how a batch is cut"):
        of_parts(model, batch(), micro_batch=2)


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert share_of(12) == 4
    with pytest.raises(ValueError, match="batch_size is 64, which 3 processes cannot share equally"):
        share_of(64)


# ---- the grid: processes, sizes, masked words, dropout, fillers


def of_the_whole_replayed(processes, size):
    """Loss and gradient of all real pairs in one graph, each part of each process with its own dropout."""
    model, given, outputs = model_with(dropout=0.3), batch(PAIRS), []
    for rank, rows in enumerate(torch.arange(PAIRS).split(PAIRS // processes)):
        torch.manual_seed(SEED + rank)
        lengths = given["attention_mask"][rows].sum(dim=1)
        whole = size >= len(rows)
        order = rows[lengths.argsort(descending=True, stable=True)]
        for part in [rows] if whole else dealt(order, size):
            outputs.append((part, output_of(model, given, part, whole)))
    return loss_and_gradients(model, given["caption_ids"], outputs)


def dealt(order, size):
    """Rows to as many parts as are needed, to and fro, as cards to players."""
    players = -(-len(order) // size)
    hands = [[] for _ in range(players)]
    for turn, cards in enumerate(order.split(players)):
        for hand, card in zip(hands, reversed(cards) if turn % 2 else cards, strict=False):
            hand.append(card)
    return [torch.stack(hand) for hand in hands]


def output_of(model, given, rows, whole):
    """The output of a part with a graph; the next part's dropout comes after that of its embeddings."""
    longest = (
        given["attention_mask"].shape[1] if whole else int(given["attention_mask"][rows].sum(dim=1).max())
    )
    part = {name: value[rows] for name, value in given.items()}
    part |= {name: value[:, :longest] for name, value in part.items() if value.shape[1:] == (9,)}
    part["mlm_labels"] = part["mlm_labels"].masked_fill((rows >= REAL_PAIRS)[:, None], -100)
    state = torch.get_rng_state()
    model(**{name: part[name] for name in ("input_ids", "attention_mask", "pixel_values")}, return_loss=False)
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    output = model(**part, return_loss=False)
    torch.set_rng_state(after)
    return output


def loss_and_gradients(model, caption_ids, outputs):
    order = torch.cat([rows for rows, _ in outputs]).argsort()[:REAL_PAIRS]
    images, texts = (
        torch.cat([getattr(output, name) for _, output in outputs])[order]
        for name in ("image_embeds", "text_embeds")
    )
    logits = [output.mlm_logits for _, output in outputs]
    words = sum(len(some) for some in logits)
    mlm = sum(output.mlm_loss * len(some) for (_, output), some in zip(outputs, logits, strict=True)) / words
    loss = model.contrast(images, texts, outputs[0][1].scale, caption_ids[:REAL_PAIRS]) + 0.5 * mlm
    loss.backward()
    return {**gradients(model), "loss": loss.detach()}


@pytest.mark.parametrize("processes", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_any_processes_and_parts_give_the_gradient_of_one_graph(processes, tmp_path):
    ended = launch(processes, [Path(__file__).with_name("cached_gradients.py"), tmp_path / "found"])
    assert ended.returncode == 0, ended.stderr
    found = load_file(tmp_path / "found")
    assert found["processes"] == processes
    for size in SIZES:
        expected = of_the_whole_replayed(processes, size)
        assert len(expected) > 40 and expected["logit_scale"].abs() > 0
        same = {name: found[f"{size}/{name}"] for name in expected}
        torch.testing.assert_close(same, expected, rtol=1e-4, atol=1e-5)


# ---- whole runs


def options(folder, output, **changes):
    """A short run with plain gradient descent, whose last batch is not full."""
    sgd = {"use_cpu": True, "optim": "sgd", "max_grad_norm": 100, "seed": 1}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    plain = {"pairs": str(folder / "pairs"), "text_weights": str(folder / "bert"), "output": str(output)}
    model = {"fusion_heads": 2, "text_config": still}
    given = {
        **SMALL,
        **SMALL_PAIRS,
        **plain,
        "model": model,
        "trainer": sgd,
        "learning_rate": 0.05,
        "epochs": 1,
        "batch_size": 4,
        "accumulation": 2,
        **changes,
    }
    return words(**given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    pairs(place / "pairs")
    text_encoder(place / "bert")
    return place


def launch(processes, arguments):
    """A script with its arguments in so many processes on the CPU, which talk over gloo.

    `accelerate launch --cpu` starts one process, however many it is asked for, unless there is MPI; so torchrun does.
    """
    command = [Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc_per_node", processes]
    if processes == 1:
        command = [Path(sys.executable).with_name("accelerate"), "launch", "--cpu", "--quiet"]
        command += [
            "--num_processes",
            1,
            "--num_machines",
            1,
            "--mixed_precision",
            "no",
            "--dynamo_backend",
            "no",
        ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [str(part) for part in (*command, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_and_parts_change_nothing_about_a_run(processes, folder, tmp_path, monkeypatch):
    assert run(PRETRAIN, monkeypatch, *options(folder, tmp_path / "one")) == 0
    ended = launch(processes, [SCRIPTS / PRETRAIN, *options(folder, tmp_path / "many", micro_batch=1)])
    assert ended.returncode == 0, ended.stderr
    results = json.loads((tmp_path / "one" / "results.json").read_text(encoding="utf-8"))
    assert results["n_train"] % 4  # the last batch is not full
    one, many = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "many"))
    assert abs(one["logit_scale"].item() - math.log(1 / 0.07)) > 1e-3  # weights have moved
    torch.testing.assert_close(many, one, rtol=1e-4, atol=1e-5)
