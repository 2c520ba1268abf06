"""Several sources in one order: shares, fairness, repetitions, processes, and a whole run on two sources."""

from collections import Counter

import datasets
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import SMALL, SMALL_PAIRS, before_training, pairs, run, text_encoder, words
from torch.utils.data import DataLoader, Dataset

from training.mixing import MixedOrder, occurrences, shares

# Shares


@given(st.integers(0, 1000), st.lists(st.floats(0.01, 100), min_size=1, max_size=6))
def test_shares_are_whole_and_within_one_of_exact(count, weights):
    dealt = shares(count, weights)
    assert sum(dealt) == count
    exact = [weight / sum(weights) * count for weight in weights]
    assert all(abs(share - value) < 1 for share, value in zip(dealt, exact, strict=True))


@given(st.lists(st.integers(0, 5)))
def test_occurrences_count_what_came_before(values):
    expected = [values[:place].count(value) for place, value in enumerate(values)]
    assert occurrences(torch.tensor(values, dtype=torch.long).numpy()).tolist() == expected


# The order of an epoch


def order(sizes, weights, seed=0, epoch=0):
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    places = [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    return MixedOrder(places, weights, seed, torch.tensor([epoch]))


def drawn(sizes, weights, **when):
    """Places and repetitions of an epoch."""
    count = sum(sizes)
    return [(draw % count, draw // count) for draw in order(sizes, weights, **when)]


sizes_and_weights = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 30), min_size=n, max_size=n),
        st.lists(st.floats(0.2, 5), min_size=n, max_size=n),
    )
)


@given(sizes_and_weights, st.integers(0, 50))
def test_every_source_has_its_share_of_every_epoch(given_sources, epoch):
    sizes, weights = given_sources
    places = [place for place, _ in drawn(sizes, weights, epoch=epoch)]
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    counts = Counter(next(n for n, end in enumerate(ends) if place < end) for place in places)
    assert [counts[n] for n in range(len(sizes))] == shares(sum(sizes), weights)
    assert len(places) == len(order(sizes, weights)) == sum(sizes)


@given(sizes_and_weights, st.integers(1, 6))
def test_no_pair_is_drawn_twice_more_than_another_of_its_source(given_sources, epochs):
    sizes, weights = given_sources
    counts = Counter(place for epoch in range(epochs) for place, _ in drawn(sizes, weights, epoch=epoch))
    start = 0
    for size in sizes:
        times = [counts[place] for place in range(start, start + size)]
        assert max(times) - min(times) <= 1
        start += size


def test_repetitions_within_an_epoch_are_numbered():
    draws = drawn([3, 9], [3, 1])
    assert sorted(draws)[:9] == [(place, again) for place in range(3) for again in range(3)]
    assert all(again == 0 for place, again in draws if place >= 3)


def test_the_order_follows_from_seed_and_epoch():
    assert drawn([5, 9], [1, 1], epoch=3) == drawn([5, 9], [1, 1], epoch=3)
    others = (drawn([5, 9], [1, 1], epoch=4), drawn([5, 9], [1, 1], epoch=3, seed=1))
    assert all(other != drawn([5, 9], [1, 1], epoch=3) for other in others)


class Numbers(Dataset):
    def __len__(self):
        return 14

    def __getitem__(self, draw):
        return draw


@pytest.mark.parametrize("workers", [0, 2])
def test_several_processes_share_the_order_of_one(workers):
    from accelerate.data_loader import prepare_data_loader

    batches = [
        list(
            prepare_data_loader(
                DataLoader(Numbers(), 2, sampler=order([5, 9], [1, 1], epoch=2), num_workers=workers),
                num_processes=2,
                process_index=rank,
                put_on_device=False,
                rng_types=[],
            )
        )
        for rank in range(2)
    ]
    assert len(batches[0]) == len(batches[1])
    mixed = torch.cat([batch for pair in zip(*batches, strict=True) for batch in pair]).tolist()
    assert mixed[:14] == list(order([5, 9], [1, 1], epoch=2))  # what follows fills up the last batch


# The whole run


def composed(folder):
    """Pairs as build_dataset.py --captions writes them: with the columns of records."""
    table = datasets.load_from_disk(pairs(folder / "without", cases=6))
    table = table.remove_columns("caption_id").add_column("birads", [2] * len(table))
    table = table.add_column("caption_id", [f"{n:016x}" for n in range(len(table))])
    table.save_to_disk(folder / "composed")
    return folder / "composed"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    place = tmp_path_factory.mktemp("mixed")
    return {
        **SMALL,
        **SMALL_PAIRS,
        "text_weights": text_encoder(place / "text"),
        "pairs": [pairs(place / "pairs", cases=12), composed(place)],
        "cache": place / "cache",
    }


def test_a_run_on_two_sources_draws_them_by_their_weights(sources, tmp_path, monkeypatch):
    options = {**sources, "pairs_weights": [1, 3], "output": tmp_path / "out"}
    trainer = before_training("pretrain.py", monkeypatch, *words(**options))
    draws = list(trainer._get_train_sampler())
    rows = [trainer.train_dataset.rows[draw % len(draws)] for draw in draws]
    assert sum(row >= 24 for row in rows) == shares(len(draws), [1, 3])[1]
    twice = next(draw for draw in draws if draw >= len(draws))
    first, again = (trainer.train_dataset[place]["pixel_values"] for place in (twice % len(draws), twice))
    assert not torch.equal(first, again)


def test_a_run_on_two_sources_ends(sources, tmp_path, monkeypatch):
    assert (
        run("pretrain.py", monkeypatch, *words(**sources, pairs_weights=[1, 3], output=tmp_path / "out")) == 0
    )
    assert (tmp_path / "out" / "results.json").is_file()
