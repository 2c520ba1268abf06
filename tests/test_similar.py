"""The index of embeddings: against brute force, through the disk, with ties and duplicates, and when it is broken."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evaluation.similar import find_similar, open_index, write_index

ROOT = Path(__file__).resolve().parent.parent
ABOUT = {"model": "the model", "fingerprint": "f00d"}


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def rows(captions, **columns):
    table = {"caption": list(captions), "figure": [f"1-{i}" for i in range(len(captions))]}
    return datasets.Dataset.from_dict(table | columns)


def written(folder, captions, images, texts, **columns):
    write_index(folder, rows(captions, **columns), images, texts, ABOUT)
    return open_index(folder)


def texts_of(rng, captions, width):
    """One random embedding for one text, repeated over its rows."""
    embeds = {caption: rng.normal(size=width) for caption in sorted(set(captions))}
    return np.stack([embeds[caption] for caption in captions])


def brute_force(embeds, captions, query, k, among):
    """(row, cosine) of the k nearest by sorting all of them; of equal captions the first."""
    unit = (embeds / np.linalg.norm(embeds, axis=1, keepdims=True)).astype(np.float32).astype(np.float64)
    cosines = [float(row @ query / np.linalg.norm(query)) for row in unit]
    order = sorted(range(len(embeds)), key=lambda row: (-cosines[row], row))
    if among == "captions":
        order = list({captions[row]: row for row in reversed(order)}.values())
        order.sort(key=lambda row: (-cosines[row], row))
    return [(row, cosines[row]) for row in order[:k]]


@settings(max_examples=25, deadline=None)
@given(
    captions=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=25),
    width=st.integers(1, 9),
    k=st.integers(1, 30),
    among=st.sampled_from(["captions", "images"]),
    seed=st.integers(0, 10_000),
)
def test_against_brute_force(captions, width, k, among, seed):
    rng = np.random.default_rng(seed)
    images, texts = rng.normal(size=(len(captions), width)), texts_of(rng, captions, width)
    images[rng.integers(len(captions))] = images[0]  # a duplicate, which ties
    queries = rng.normal(size=(3, width)) * 7
    with tempfile.TemporaryDirectory() as folder:
        found = find_similar(written(Path(folder, "index"), captions, images, texts), queries, k, among)
        for query, hits in zip(queries, found, strict=True):
            expected = brute_force(images if among == "images" else texts, captions, query, k, among)
            assert [hit.row for hit in hits] == [row for row, _ in expected]
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-6)
            assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
            assert [hit.fields["caption"] for hit in hits] == [captions[hit.row] for hit in hits]


def test_ties_go_to_the_lower_row_also_where_k_cuts_them(tmp_path):
    same = np.tile([3.0, 4.0], (50, 1))
    index = written(tmp_path / "index", [f"caption {i}" for i in range(50)], same, same)
    for among in ("images", "captions"):
        (hits,) = find_similar(index, [[1.0, 0.0]], 3, among)
        assert [hit.row for hit in hits] == [0, 1, 2]
        assert [hit.score for hit in hits] == pytest.approx([0.6] * 3, abs=1e-6)


def test_a_caption_of_many_images_is_found_once_and_leaves_room_for_others(tmp_path):
    captions = ["normal"] * 40 + ["mass", "cyst"]
    texts = np.array([[1.0, 0.0]] * 40 + [[1.0, 1.0], [0.0, 1.0]])
    index = written(tmp_path / "index", captions, texts, texts)
    (hits,) = find_similar(index, [[1.0, 0.1]], 2)
    assert [(hit.fields["caption"], hit.row) for hit in hits] == [("normal", 0), ("mass", 40)]
    assert [hit.row for hit in find_similar(index, [[1.0, 0.1]], 41, "images")[0]] == list(range(41))


def test_more_than_there_are_gives_all(tmp_path):
    index = written(tmp_path / "index", "aab", np.eye(3), np.eye(3)[[0, 0, 2]])
    assert [len(find_similar(index, np.ones((1, 3)), 99, among)[0]) for among in ("captions", "images")] == [
        2,
        3,
    ]


def test_torch_queries_give_what_arrays_give(tmp_path):
    torch = pytest.importorskip("torch")
    index = written(tmp_path / "index", "abc", np.eye(3), np.eye(3))
    query = torch.tensor([[0.1, 0.9, 0.3]], requires_grad=True)
    assert find_similar(index, query) == find_similar(index, query.detach().numpy())


def test_a_fresh_process_finds_the_same(tmp_path):
    rng = np.random.default_rng(4)
    images, queries = rng.normal(size=(30, 6)), rng.normal(size=(2, 6))
    here = written(tmp_path / "index", [f"caption {i % 9}" for i in range(30)], images, images[:30])
    program = (
        "import json, sys; from evaluation.similar import find_similar, open_index\n"
        "hits = find_similar(open_index(sys.argv[1]), json.loads(sys.argv[2]), 4, 'images')\n"
        "print(json.dumps([[(hit.rank, hit.score, hit.row, hit.fields) for hit in query] for query in hits]))"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "index"), json.dumps(queries.tolist())]
    there = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    expected = [
        [[hit.rank, hit.score, hit.row, hit.fields] for hit in hits]
        for hits in find_similar(here, queries, 4, "images")
    ]
    assert json.loads(there.stdout) == expected


def test_the_folder_is_an_ordinary_data_set(tmp_path):
    images = np.random.default_rng(0).normal(size=(3, 4))
    written(tmp_path / "index", "abc", images, images)
    table = datasets.load_from_disk(tmp_path / "index")
    assert table.column_names == ["caption", "figure", "image_embedding", "caption_embedding"]
    expected = images / np.linalg.norm(images, axis=1, keepdims=True)
    assert np.allclose(table.with_format("numpy")["image_embedding"][:], expected, atol=1e-7)


def test_images_pass_through_without_being_decoded(tmp_path, monkeypatch):
    pictures = [Image.fromarray(np.full((5, 4), 40 * i, np.uint8)) for i in range(4)]
    pairs = rows("abcd", image=pictures).cast_column("image", datasets.Image(mode="L"))
    with monkeypatch.context() as patched:
        patched.setattr(
            datasets.Image, "decode_example", lambda *_, **__: pytest.fail("an image was decoded")
        )
        write_index(tmp_path / "index", pairs, np.eye(4), np.eye(4), ABOUT)
    (hits,) = find_similar(open_index(tmp_path / "index"), np.eye(4)[2:3], 1, "images")
    assert np.array_equal(np.asarray(hits[0].fields["image"]), np.asarray(pictures[2]))


def test_rows_that_were_selected_keep_their_embeddings(tmp_path):
    chosen = rows("abcdef").select([5, 1, 3])
    write_index(tmp_path / "index", chosen, np.eye(3), np.eye(3), ABOUT)
    found = find_similar(open_index(tmp_path / "index"), np.eye(3), 1)
    assert [hits[0].fields["caption"] for hits in found] == ["f", "b", "d"]


# What is refused


@pytest.fixture(scope="module")
def index_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("similar") / "index"
    written(folder, "abc", np.eye(3), np.eye(3))
    return folder


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((np.ones((1, 4)),), "4 numbers wide and the index, made by the model, 3"),
        ((np.ones(3),), r"query_embeddings has shape \(3,\)"),
        ((np.full((1, 3), np.nan),), "query_embeddings has NaN"),
        ((np.zeros((1, 3)),), r"query_embeddings\[0\] is all zero"),
        ((np.ones((1, 3)), 0), "k is 0; expected 1 or more"),
        ((np.ones((1, 3)), 1, "words"), "among is 'words'; expected images or captions"),
    ],
)
def test_a_wrong_query_is_one_clear_error(index_folder, arguments, said):
    with pytest.raises(ValueError, match=said):
        find_similar(open_index(index_folder), *arguments)


def test_another_model_is_refused(index_folder):
    index = open_index(index_folder)
    index.check_model("f00d", "the same")
    with pytest.raises(ValueError, match="mine has other weights.* than the model, which made the index"):
        index.check_model("beef", "mine")


def damaged(folder, name, content):
    """The index with one file missing (None) or replaced."""
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "name, content, error, said",
    [
        ("index.json", None, FileNotFoundError, "holds no index of embeddings; make one with"),
        ("index.json", b"{", ValueError, "index.json does not name a model"),
        ("index.json", b"[]", ValueError, "index.json does not name a model"),
        ("index.json", b"{}", ValueError, "index.json does not name a model"),
        ("image_embedding.faiss", None, FileNotFoundError, "image_embedding.faiss is missing"),
        ("caption_embedding.faiss", b"nonsense", ValueError, "caption_embedding.faiss is damaged"),
        ("caption_embedding.faiss", b"", ValueError, "caption_embedding.faiss is damaged"),
        ("dataset_info.json", None, OSError, "index"),
        ("data-00000-of-00001.arrow", None, OSError, "data-00000-of-00001.arrow"),
        ("data-00000-of-00001.arrow", b"nonsense", ValueError, "the rows of .* are damaged"),
    ],
)
def test_a_broken_index_is_one_clear_error(tmp_path, name, content, error, said):
    written(tmp_path / "index", "abc", np.eye(3), np.eye(3))
    damaged(tmp_path / "index", name, content)
    with pytest.raises(error, match=said):
        open_index(tmp_path / "index")


@pytest.mark.parametrize("shape", [(4, 3), (3, 4)])
def test_a_faiss_file_of_another_index_is_refused(tmp_path, index_folder, shape):
    written(tmp_path / "index", "abcd"[: shape[0]], np.ones(shape), np.ones(shape))
    name = "image_embedding.faiss"
    (tmp_path / "index" / name).write_bytes((index_folder / name).read_bytes())
    with pytest.raises(ValueError, match="image_embedding.faiss is damaged or does not belong"):
        open_index(tmp_path / "index")


@pytest.mark.parametrize(
    "images, texts, said",
    [
        (np.eye(3), np.ones((3, 2)), "do not fit"),
        (np.eye(2), np.eye(2), "3 pairs and embeddings .* do not fit"),
        (np.eye(3) * np.nan, np.eye(3), "images has NaN"),
        (np.eye(3), np.zeros((3, 3)), r"captions\[0\] is all zero"),
    ],
)
def test_what_makes_no_index_leaves_nothing(tmp_path, images, texts, said):
    with pytest.raises(ValueError, match=said):
        write_index(tmp_path / "index", rows("abc"), images, texts, ABOUT)
    assert not list(tmp_path.iterdir())


def test_an_index_that_fails_half_way_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_index(tmp_path / "index", rows("abc"), np.eye(3), np.eye(3), {"model": object()})
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_not_overwritten(index_folder):
    with pytest.raises(ValueError, match="exists already"):
        write_index(index_folder, rows("abc"), np.eye(3), np.eye(3), ABOUT)


def test_without_faiss_the_sentence_names_the_package(index_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match="pip install faiss-cpu"):
        open_index(index_folder)
