"""Retrieval by hand, against a slow reference, at chance, and when embeddings collapse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.retrieval import chance_recall, retrieval_metrics

FIVE = np.eye(5)


def shared_texts(rng, caption_ids, width=8):
    """One random text embedding for one caption id, repeated over its rows."""
    texts = {c: rng.normal(size=width) for c in dict.fromkeys(caption_ids)}
    return np.stack([texts[c] for c in caption_ids])


def test_a_perfect_model():
    scores = retrieval_metrics(FIVE, FIVE, list("abcde"))
    for direction in scores.values():
        assert direction["recall@1"] == 1.0
        assert direction["median_rank"] == 1.0
        assert direction["chance@1"] == pytest.approx(1 / 5)
        assert direction["chance@5"] == direction["chance@10"] == 1.0


def test_by_hand_with_a_shared_caption():
    # Images 0 and 1 share caption a; image 1 points at caption b instead, and so does image 2, whose caption
    # b is.
    images = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    texts = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    scores = retrieval_metrics(images, texts, [7, 7, 9])
    to_text, to_image = scores["image_to_text"], scores["text_to_image"]
    assert (to_text["queries"], to_text["candidates"]) == (3, 2)
    assert to_text["recall@1"] == pytest.approx(2 / 3)  # ranks 1, 2, 1 among two unique captions
    assert to_text["median_rank"] == 1.0
    assert to_text["chance@1"] == pytest.approx(1 / 2)
    # a finds its image 0 first; b meets image 1, which is not its own and ties with image 2: rank 2.
    assert (to_image["queries"], to_image["candidates"]) == (2, 3)
    assert to_image["recall@1"] == pytest.approx(1 / 2)
    assert to_image["median_rank"] == 1.5
    assert to_image["chance@1"] == pytest.approx((2 / 3 + 1 / 3) / 2)


def test_a_second_image_of_the_caption_is_no_rival():
    images = np.array([[1.0, 0.2], [1.0, 0.1], [0.0, 1.0]])
    texts = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    scores = retrieval_metrics(images, texts, ["a", "a", "b"])
    assert scores["text_to_image"]["recall@1"] == 1.0


@pytest.mark.parametrize("jitter", [0.0, 1e-9])
def test_collapsed_embeddings_rank_last(jitter):
    """All embeddings in one point: a sort would put the right one first for nothing; here it is last."""
    rng = np.random.default_rng(0)
    point = rng.normal(size=(1, 16)) + jitter * rng.normal(size=(20, 16))
    collapsed = np.broadcast_to(point, (20, 16)).astype(np.float32)
    for direction in retrieval_metrics(collapsed, collapsed, list(range(20))).values():
        assert direction["recall@10"] == 0.0
        assert direction["median_rank"] == 20.0


@pytest.mark.parametrize("sizes", [[1] * 12, [1, 1, 2, 3, 5], [4, 4, 4]])
def test_chance_is_what_random_embeddings_reach(sizes):
    rng = np.random.default_rng(3)
    ids = [caption for caption, size in enumerate(sizes) for _ in range(size)]
    runs = [
        retrieval_metrics(rng.normal(size=(len(ids), 8)), shared_texts(rng, ids), ids) for _ in range(1500)
    ]
    for direction in ("image_to_text", "text_to_image"):
        for k in (1, 5, 10):
            reached = np.mean([run[direction][f"recall@{k}"] for run in runs])
            assert reached == pytest.approx(runs[0][direction][f"chance@{k}"], abs=0.02)


def test_chance_by_hand():
    assert chance_recall(1, 10, 3) == pytest.approx(0.3)
    assert chance_recall(2, 4, 2) == pytest.approx(1 - (2 / 4) * (1 / 3))
    assert chance_recall(10, 4, 1) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 10_000))
def test_against_a_slow_reference(ids, seed):
    rng = np.random.default_rng(seed)
    images, texts = rng.normal(size=(len(ids), 4)), shared_texts(rng, ids, 4)
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in (images, texts)]
    text_ranks, image_ranks = [], []
    for i, own in enumerate(ids):
        cosine = {c: unit[0][i] @ unit[1][ids.index(c)] for c in set(ids)}
        text_ranks.append(sorted(cosine, key=cosine.get, reverse=True).index(own) + 1)
    for caption in set(ids):
        order = np.argsort(-unit[0] @ unit[1][ids.index(caption)])
        image_ranks.append(min(rank for rank, i in enumerate(order, 1) if ids[i] == caption))
    scores = retrieval_metrics(images, texts, ids)
    for direction, ranks in (("image_to_text", text_ranks), ("text_to_image", image_ranks)):
        assert scores[direction]["median_rank"] == np.median(ranks)
        for k in (1, 5, 10):
            assert scores[direction][f"recall@{k}"] == pytest.approx(np.mean(np.array(ranks) <= k))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.integers(0, 10_000))
def test_the_order_of_the_rows_and_the_length_of_the_vectors_do_not_matter(ids, seed):
    rng = np.random.default_rng(seed)
    images, texts = rng.normal(size=(len(ids), 4)), shared_texts(rng, ids, 4)
    order = rng.permutation(len(ids))
    expected = retrieval_metrics(images, texts, ids)
    lengths = rng.uniform(0.1, 50, size=(len(ids), 1))
    moved = retrieval_metrics((images * lengths)[order], texts[order], np.array(ids)[order])
    assert moved == expected


def test_torch_tensors_in_half_precision_score_as_arrays_do():
    torch = pytest.importorskip("torch")
    embeds = torch.eye(4, dtype=torch.bfloat16, requires_grad=True)
    assert retrieval_metrics(embeds, embeds, torch.arange(4))["image_to_text"]["recall@1"] == 1.0


def test_intervals_draw_whole_cases():
    """One case finds all of its captions and the other none: the recall of a sample is 0, 1/2 or 1."""
    images, texts = np.eye(40), np.eye(40)
    images[20:] = np.roll(images[20:], 1, axis=0)  # each points at its neighbour's caption
    cases = ["right"] * 20 + ["wrong"] * 20
    for direction in retrieval_metrics(images, texts, range(40), cases).values():
        assert direction["recall@1"] == 0.5
        assert direction["recall@1_interval"] == [0.0, 1.0]
    for direction in retrieval_metrics(images, texts, range(40), range(40)).values():
        low, high = direction["recall@1_interval"]
        assert 0.3 < low < 0.4 and 0.6 < high < 0.7  # 0.5 ± 1.96 × sqrt(0.25 / 40) = 0.345 to 0.655


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=15), st.integers(0, 10_000))
def test_intervals_are_those_of_resampled_cases(cases, seed):
    rng = np.random.default_rng(seed)
    images, texts, ids = rng.normal(size=(len(cases), 3)), rng.normal(size=(len(cases), 3)), range(len(cases))
    found = retrieval_metrics(images, texts, ids, cases)["image_to_text"]
    cosine = images @ (texts / np.linalg.norm(texts, axis=1, keepdims=True)).T
    hits = (cosine > np.diagonal(cosine)[:, None]).sum(axis=1) < 5
    rows = [[row for row, own in enumerate(cases) if own == case] for case in dict.fromkeys(cases)]
    samples = [
        np.mean(hits[[row for case in rng.integers(len(rows), size=len(rows)) for row in rows[case]]])
        for _ in range(1000)
    ]
    low, high = found["recall@5_interval"]
    assert (
        np.mean(np.array(samples) < low - 1e-9) <= 0.06 and np.mean(np.array(samples) > high + 1e-9) <= 0.06
    )
    assert found == retrieval_metrics(images, texts, ids, cases)["image_to_text"]


def test_a_caption_of_several_cases_counts_once():
    images, texts = np.eye(3), np.eye(3)[[0, 0, 2]]
    scores = retrieval_metrics(images, texts, [0, 0, 2], ["a", "b", "b"])
    assert scores["text_to_image"]["queries"] == 2
    assert scores["text_to_image"]["recall@1_interval"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("cases", "message"),
    [(list("abcd"), "4 case_ids and 5 pairs"), ([*"abcd", None], r"case_ids\[4\] is None")],
)
def test_case_ids_that_do_not_fit_are_one_clear_error(cases, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(FIVE, FIVE, list("abcde"), cases)


@pytest.mark.parametrize(
    ("images", "texts", "ids", "message"),
    [
        (FIVE, FIVE, ["a", "b", "c", "d", None], r"caption_ids\[4\] is None"),
        (
            FIVE,
            FIVE,
            ["a", "a", "c", "d", "e"],
            r"text_embeds\[1\] and text_embeds\[0\] share caption id 'a'",
        ),
        (FIVE, FIVE[:4], list("abcde"), "do not fit"),
        (FIVE, FIVE, list("abcd"), "do not fit"),
        (FIVE * np.nan, FIVE, list("abcde"), "image_embeds has NaN"),
        (FIVE, FIVE * 0, list("abcde"), r"text_embeds\[0\] is all zero"),
        (np.zeros((0, 5)), np.zeros((0, 5)), [], "at least one row"),
    ],
)
def test_wrong_input_is_one_clear_error(images, texts, ids, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(images, texts, ids)
