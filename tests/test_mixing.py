"""Several sources in one epoch: shares by weight, no row starves, and nothing depends on workers or processes."""

import json
from collections import Counter
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from accelerate.data_loader import prepare_data_loader, skip_first_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import (
    CAPTIONS,
    SMALL,
    SMALL_PAIRS,
    bert_tokenizer,
    pairs,
    records,
    run,
    text_encoder,
    words,
)
from torch.utils.data import DataLoader, RandomSampler

from processing import MamClipImageProcessor
from training.augmentation import Augmentation
from training.data import PAIR_COLUMNS, Images, PairExamples, load_table, number_captions, resized
from training.masking import WordMasking, encode_captions
from training.mixing import Mixture, mixed, shares
from training.options import PretrainingOptions

SIZE = (64, 48)
SIZES = (16, 8)  # rows of the two sources of the table


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = pairs(tmp_path_factory.mktemp("data") / "pairs")
    processor = MamClipImageProcessor(size={"height": 64, "width": 48}, do_crop=False)
    return resized(load_table(folder, PAIR_COLUMNS, "x.py"), processor)


@pytest.fixture
def examples(table):
    tokenizer = bert_tokenizer()
    codes = encode_captions(tokenizer, CAPTIONS, 16)
    return PairExamples(
        images=Images(table, SIZE),
        rows=[row for row in range(24) if row not in (0, 5, 17)],  # which other splits have
        seed=5,
        augmentation=Augmentation(),
        captions=[codes[caption] for caption in table["caption"]],
        caption_numbers=number_captions(table["caption"]),
        masking=WordMasking.of(tokenizer, 0.5),
    )


def mixture_of(sizes, draws, seed=0):
    """A mixture whose rows are numbers: nothing is loaded."""
    ends = np.cumsum([0, *sizes])
    rows = [np.arange(a, b) for a, b in zip(ends, ends[1:], strict=False)]
    return Mixture(PairExamples(images=None, rows=range(ends[-1]), seed=seed), rows, draws)


def epoch_of(mixture, epoch):
    """(row, time) of every draw of an epoch."""
    mixture.set_epoch(epoch)
    return [mixture.drawn(place) for place in range(len(mixture))]


# Shares


@given(st.integers(1, 500), st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_all_draws_are_dealt_out_and_each_share_is_right_within_one(total, weights):
    counts = shares(total, weights)
    assert sum(counts) == total
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - total * weight / sum(weights)) < 1


def test_an_epoch_is_as_long_as_all_pairs_together_and_each_source_has_its_share(examples):
    mixture = mixed(examples, SIZES, [2, 1], ["a", "b"])
    assert len(mixture) == 21 and mixture.draws == [14, 7]
    assert mixture.facts(["a", "b"]) == {"a": {"pairs": 14, "draws": 14}, "b": {"pairs": 7, "draws": 7}}
    for weights, expected in (([1, 3], [5, 16]), ([1, 1], [11, 10]), ([20, 1], [20, 1])):
        mixture = mixed(examples, SIZES, weights, ["a", "b"])
        rows = [row for row, _ in epoch_of(mixture, 3)]
        assert [sum(row < 16 for row in rows), sum(row >= 16 for row in rows)] == expected
        assert set(rows) <= set(examples.rows)


def test_without_weights_each_pair_comes_once(examples):
    assert mixed(examples, SIZES, [], ["a", "b"]) is examples


# Fairness


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=3),
    st.lists(st.integers(1, 40), min_size=3, max_size=3),
    st.integers(1, 7),
)
def test_passes_take_every_row_once_wherever_epochs_begin(sizes, draws, epochs):
    """So after any number of epochs, two rows of a source differ by at most one in how often they came."""
    mixture = mixture_of(sizes, draws[: len(sizes)])
    seen = Counter(row for epoch in range(epochs) for row, _ in epoch_of(mixture, epoch))
    for rows, count in zip(mixture.sources, mixture.draws, strict=True):
        counts = [seen[row] for row in rows]
        assert max(counts) - min(counts) <= 1 and sum(counts) == count * epochs


def test_a_row_that_comes_again_in_an_epoch_is_another_draw_of_it():
    for epoch in range(5):
        drawn = epoch_of(mixture_of([5, 40], [17, 11]), epoch)
        assert len(set(drawn)) == len(drawn)
        assert max(time for row, time in drawn if row < 5) >= 3


def test_seed_and_epoch_decide_the_order():
    first = epoch_of(mixture_of([9, 9], [9, 9]), 0)
    assert first == epoch_of(mixture_of([9, 9], [9, 9]), 0)
    assert first != epoch_of(mixture_of([9, 9], [9, 9]), 1)
    assert first != epoch_of(mixture_of([9, 9], [9, 9], seed=1), 0)
    assert [row for row, _ in first[:9]] != [row - 9 for row, _ in first[9:]]


# Examples


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(torch.as_tensor(first[name]), torch.as_tensor(second[name])) for name in first
    )


def test_a_repeated_row_is_augmented_and_masked_anew_and_the_first_time_is_that_of_any_run(examples):
    again = [examples.example(20, time) for time in range(3)]
    assert same(again[0], examples[examples.rows.index(20)])
    assert not any(torch.equal(again[0]["pixel_values"], other["pixel_values"]) for other in again[1:])
    assert not torch.equal(again[1]["pixel_values"], again[2]["pixel_values"])
    assert len({int(example["caption_ids"]) for example in again}) == 1


def test_captions_have_one_number_across_sources(examples, table):
    mixture = mixed(examples, SIZES, [1, 1], ["a", "b"])
    numbers = {}
    for place in range(len(mixture)):
        row, _ = mixture.drawn(place)
        numbers.setdefault(table["caption"][row], set()).add(mixture[place]["caption_ids"])
    assert all(len(found) == 1 for found in numbers.values())
    assert any(len({row < 16 for row in range(24) if table["caption"][row] == text}) == 2 for text in numbers)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing_and_are_told_the_epoch(examples, workers):
    mixture = mixed(examples, SIZES, [1, 3], ["a", "b"])
    loader = DataLoader(mixture, 4, collate_fn=list, num_workers=workers, persistent_workers=True)
    for epoch in (0, 2):
        mixture.set_epoch(epoch)
        loaded = [example for batch in loader for example in batch]
        assert len(loaded) == 21
        assert all(same(example, mixture[place]) for place, example in enumerate(loaded))


# Processes


@pytest.fixture
def counted(monkeypatch):
    """The rows whose images are decoded, one after the other."""
    rows, pixels = [], Images.pixels

    def counting(self, row):
        rows.append(row)
        return pixels(self, row)

    monkeypatch.setattr(Images, "pixels", counting)
    return rows


def rank_batches(dataset, processes, rank, batch, skip=0):
    """The batches that one of several processes loads, by the very loader that Trainer has from Accelerate.

    skip: batches that a run which goes on has had before.
    """
    sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(3))
    loader = DataLoader(dataset, batch // processes, sampler=sampler, collate_fn=list)
    loader = prepare_data_loader(
        loader,
        device=torch.device("cpu"),
        num_processes=processes,
        process_index=rank,
        put_on_device=False,
        rng_types=[],
    )
    return list(skip_first_batches(loader, skip))


@pytest.mark.parametrize("kind", ["plain", "mixed"])
@pytest.mark.parametrize("processes", [2, 3])
def test_each_process_loads_its_own_rows_alone_and_together_they_see_what_one_sees(
    examples, counted, kind, processes
):
    """21 pairs in batches of 6: the last one is uneven, and begun again from the first to fill it."""
    dataset = mixed(examples, SIZES, [1, 3] if kind == "mixed" else [], ["a", "b"])
    alone = [example for batch in rank_batches(dataset, 1, 0, 6) for example in batch]
    assert len(counted) == 21
    counted.clear()
    ranks = [rank_batches(dataset, processes, rank, 6) for rank in range(processes)]
    steps = zip(*ranks, strict=True)
    together = [example for step in steps for batch in step for example in batch]
    assert len(together) == 24 == len(counted)
    assert all(same(a, b) for a, b in zip(alone, together[:21], strict=True))
    for rank, batches in enumerate(ranks):
        assert sum(map(len, batches)) == 24 // processes, rank


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_goes_on_in_the_middle_of_an_epoch_loads_what_is_left_of_it_alone(
    examples, counted, processes
):
    mixture = mixed(examples, SIZES, [1, 3], ["a", "b"])
    mixture.set_epoch(2)
    whole = rank_batches(mixture, processes, 0, 6)
    counted.clear()
    late = rank_batches(mixture, processes, 0, 6, skip=2)
    assert len(counted) == sum(map(len, late)) == sum(map(len, whole[2:])) > 0
    assert all(same(a, b) for x, y in zip(whole[2:], late, strict=True) for a, b in zip(x, y, strict=True))


# What cannot be mixed


def test_a_source_without_training_pairs_or_draws_is_named(examples):
    with pytest.raises(ValueError, match="no case of b is left for training"):
        mixed(replace(examples, rows=range(16)), SIZES, [1, 1], ["a", "b"])
    with pytest.raises(ValueError, match="the weight of a gives it none of the 21 draws of an epoch"):
        mixed(examples, SIZES, [0.001, 1], ["a", "b"])


# The script


def test_atlas_pairs_and_composed_captions_are_pretrained_on_together(tmp_path, monkeypatch):
    """The second as build_dataset.py --captions --format parquet leaves them: records with the columns of pairs."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    patients = [f"patient {patient}" for patient in range(8) for _ in "LR"]
    composed = {"caption": CAPTIONS[3:4] * 16, "caption_id": ["1f"] * 16, "case_id": patients}
    folder = records(tmp_path / "records", patients=8, **composed)
    (tmp_path / "parquet").mkdir()
    datasets.load_from_disk(folder).to_parquet(tmp_path / "parquet" / "train.parquet")
    sources = [str(pairs(tmp_path / "pairs", cases=8)), str(tmp_path / "parquet")]
    given = {
        **SMALL,
        **SMALL_PAIRS,
        "pairs": sources,
        "pairs_weights": [1, 2],
        "text_weights": text_encoder(tmp_path / "text"),
        "output": tmp_path / "run",
    }
    assert run("pretrain.py", monkeypatch, *words(**given)) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    found = results["sources"]
    assert list(found) == sources
    assert sum(source["pairs"] for source in found.values()) == results["n_train"]
    draws = [source["draws"] for source in found.values()]
    assert sum(draws) == results["n_train"] and abs(draws[1] - 2 * draws[0]) <= 1
    assert len(results["history"]) == 2


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, 0], [1, -1], [1, float("nan")], [1, float("inf")]])
def test_weights_that_no_sources_can_have_are_refused(weights):
    with pytest.raises(
        ValueError, match="pairs_weights is .*expected one number above 0 for each of the 2 pairs"
    ):
        PretrainingOptions(pairs=["a", "b"], pairs_weights=weights).check()
