"""Retrieval from the command line, end to end on a tiny pretraining run: scores, an index, and what is nearest."""

import gc
import json
import shutil
import weakref

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import pretraining_model, processor, random_weights
from tiny_training import CAPTIONS, SMALL, SMALL_PAIRS, mammogram, pairs, run, saved, text_encoder, words

from evaluation.pictures import spread_rows
from evaluation.similar import open_index
from training.embedding import load_aligned
from training.pair_embeddings import embed_pairs, load_pairs, model_fingerprint
from training.publishing_gate import missing_sections
from training.release import write_release

EVALUATE, BUILD, FIND = "evaluate_retrieval.py", "build_index.py", "find_similar.py"
EXPORT = "export_release.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pairs, a pretraining run on them, an index of them by its model, and another model."""
    root = tmp_path_factory.mktemp("retrieval")
    given = {
        "pairs": pairs(root / "pairs"),
        "text_weights": text_encoder(root / "text"),
        "output": root / "run",
        "cache": root / "cache",
        "learning_rate": 0.01,  # with less, captions are so alike that rounding orders them
    }
    with pytest.MonkeyPatch.context() as patch:
        assert run("pretrain.py", patch, *words(**{**SMALL, **SMALL_PAIRS, **given})) == 0
        index = ("--model", root / "run", "--pairs", root / "pairs", "--output", root / "index")
        assert run(BUILD, patch, *index) == 0
    random_weights(pretraining_model(), 5).save_pretrained(root / "other")
    processor().save_pretrained(root / "other")
    Image.fromarray(np.asarray(mammogram(6)).astype(np.uint16) * 200).save(root / "image.png")
    return root


# Scores


def test_the_held_out_cases_of_a_run_score_as_the_run_itself_says(place, tmp_path, monkeypatch, capsys):
    given = ("--model", place / "run", "--pairs", place / "pairs", "--output", tmp_path / "scores")
    assert run(EVALUATE, monkeypatch, *given, "--held-out", place / "run", "--phantom") == 0
    out = capsys.readouterr().out
    assert out.startswith("PHANTOM") and "These cases were held out" in out
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    trained = json.loads((place / "run" / "results.json").read_text())
    assert results["n_pairs"] == trained["n_held_out"] and not results["may_be_trained_on"]
    for direction, scores in trained["retrieval"].items():
        measured = results["retrieval"][direction]
        for (
            name,
            score,
        ) in scores.items():  # the run's own images were rounded to 8 bits, which may move a query
            slack = 1 / scores["queries"] if name.startswith("recall") else name == "median_rank"
            assert measured[name] == pytest.approx(score, abs=slack + 1e-9), name
        low, high = measured["recall@1_interval"]
        assert low <= measured["recall@1"] <= high
    page = (tmp_path / "scores" / "examples.html").read_text()
    assert "PHANTOM" in page and "These cases were held out" in page
    assert page.count("<article") == results["n_cases"] and page.count("data:image/png") == results["n_cases"]


def test_without_held_out_cases_the_scores_say_that_they_may_flatter(place, tmp_path, monkeypatch, capsys):
    given = ("--model", place / "run", "--pairs", place / "pairs", "--output", tmp_path / "scores")
    assert run(EVALUATE, monkeypatch, *given) == 0
    assert "may have been trained on these pairs" in capsys.readouterr().out
    results = json.loads((tmp_path / "scores" / "results.json").read_text())
    assert results["may_be_trained_on"] and results["held_out_by"] is None
    assert (results["n_pairs"], results["n_cases"]) == (24, 12)
    assert results["retrieval"]["image_to_text"]["candidates"] == len(CAPTIONS)
    page = (tmp_path / "scores" / "examples.html").read_text()
    assert "PHANTOM" not in page and "may have been trained on these pairs" in page


def test_another_model_on_held_out_cases_is_said_to_be_another(place, tmp_path, monkeypatch, capsys):
    given = ("--model", place / "other", "--pairs", place / "pairs", "--output", tmp_path / "scores")
    assert run(EVALUATE, monkeypatch, *given, "--held-out", place / "run") == 0
    assert "is another model, which may have been trained on them" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores" / "results.json").read_text())["may_be_trained_on"]


def test_the_marked_caption_is_the_right_one(place, tmp_path, monkeypatch):
    given = ("--model", place / "run", "--pairs", place / "pairs", "--output", tmp_path / "scores")
    assert run(EVALUATE, monkeypatch, *given) == 0
    model, prepare = load_aligned(place / "run")
    table = load_pairs([place / "pairs"])
    images, texts, numbers = embed_pairs(model, prepare, table, 7)
    page = (tmp_path / "scores" / "examples.html").read_text()
    articles = [part.split("</article>")[0] for part in page.split("<article")[1:]]
    first = {caption: texts[numbers.index(CAPTIONS.index(caption))] for caption in CAPTIONS}
    for article, row in zip(articles, spread_rows(table["case_id"], 8), strict=True):
        cosine = {caption: float(images[row] @ text) for caption, text in first.items()}
        order = sorted(cosine, key=cosine.get, reverse=True)
        right = table["caption"][row]
        assert f"number {order.index(right) + 1} of {len(CAPTIONS)}" in article
        assert article.count("<mark>") == (right in order[:3])
        assert (f"<mark>{right}</mark>" in article) != (f"The right one: {right}" in article)


# The index


def test_an_index_finds_what_the_model_embeds(place, monkeypatch, capsys):
    given = ("--model", place / "run", "--index", place / "index", "--image", place / "image.png")
    assert run(FIND, monkeypatch, *given, "--among", "images", "--k", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (hit,) = found["results"][0]["hits"]
    assert found["among"] == "images" and hit["row"] == 6  # the same picture with 16 bits
    assert hit["score"] == pytest.approx(1, abs=1e-4) and hit["caption"] == CAPTIONS[3]


def test_several_texts_are_answered_in_their_order(place, monkeypatch, capsys):
    given = ("--model", place / "run", "--index", place / "index", "--text", CAPTIONS[2], CAPTIONS[0])
    assert run(FIND, monkeypatch, *given, "--among", "captions", "--k", 99, "--json") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [query["query"] for query in results] == [CAPTIONS[2], CAPTIONS[0]]
    for query in results:
        assert query["hits"][0]["caption"] == query["query"]
        assert sorted(hit["caption"] for hit in query["hits"]) == sorted(CAPTIONS)


def test_the_printed_table_has_score_place_and_caption(place, monkeypatch, capsys):
    given = ("--model", place / "run", "--index", place / "index", "--image", place / "image.png", "--k", 2)
    assert run(FIND, monkeypatch, *given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("image.png: nearest captions") and len(lines) == 5
    rank, score, *where = lines[1].split()
    assert rank == "1" and -1 <= float(score) <= 1 and where[0] == "Case"
    assert lines[2].strip() in CAPTIONS


def test_an_index_with_images_gives_them_and_says_phantom(place, tmp_path, monkeypatch, capsys):
    given = ("--model", place / "run", "--pairs", place / "pairs", "--output", tmp_path / "index")
    assert run(BUILD, monkeypatch, *given, "--keep-images", "--phantom") == 0
    index = open_index(tmp_path / "index")
    assert np.array_equal(np.asarray(index.table[4]["image"]), np.asarray(mammogram(4)))
    text = ("--model", place / "run", "--index", tmp_path / "index", "--text", "a mass")
    assert run(FIND, monkeypatch, *text) == 0 and "PHANTOM" in capsys.readouterr().out
    assert run(FIND, monkeypatch, *text, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    hit = found["results"][0]["hits"][0]
    assert found["phantom"] and set(hit) == {"rank", "score", "row", "caption", "caption_id", "case_id"}


def test_images_are_in_memory_a_batch_at_a_time(place, monkeypatch):
    seen, most = [], [0]
    decode = datasets.Image.decode_example

    def counted(self, *arguments, **options):
        image = decode(self, *arguments, **options)
        seen.append(weakref.ref(image))
        most[0] = max(most[0], sum(reference() is not None for reference in seen))
        return image

    monkeypatch.setattr(datasets.Image, "decode_example", counted)
    gc.collect()
    images, _, _ = embed_pairs(*load_aligned(place / "run"), load_pairs([place / "pairs"] * 4), 3)
    assert len(images) == 96 and 3 <= most[0] <= 6


def test_a_fingerprint_is_of_weights_and_preparation(place):
    model, prepare = load_aligned(place / "run")
    same = model_fingerprint(*load_aligned(place / "run"))
    assert model_fingerprint(model, prepare) == same
    prepare.image_processor.do_crop = False
    assert model_fingerprint(model, prepare) != same
    prepare.image_processor.do_crop = True
    with torch.no_grad():
        next(model.text_model.parameters()).view(-1)[0] += 1e-3
    assert model_fingerprint(model, prepare) != same


def test_a_release_is_the_model_that_it_was_exported_from(place, tmp_path, monkeypatch, capsys):
    write_release(tmp_path / "release", pretrained=place / "run")
    given = ("--model", tmp_path / "release", "--index", place / "index", "--text", "a mass")
    assert run(FIND, monkeypatch, *given) == 0
    assert "nearest images" in capsys.readouterr().out


def test_a_releases_card_takes_the_scores_of_its_own_model_alone(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "training.release_check.check_release", lambda folder, sources: None
    )  # as in test_publishing
    for name in ("run", "other"):
        given = ("--model", place / name, "--pairs", place / "pairs", "--output", tmp_path / f"scores_{name}")
        assert run(EVALUATE, monkeypatch, *given) == 0
    export = ("--pretrained", place / "run", "--output", tmp_path / "mamclip", "--retrieval")
    said = refused(EXPORT, monkeypatch, capsys, *export, tmp_path / "scores_other")
    assert "the scores of another model" in said and not (tmp_path / "mamclip").exists()
    assert run(EXPORT, monkeypatch, *export, tmp_path / "scores_run") == 0
    card = (tmp_path / "mamclip" / "README.md").read_text(encoding="utf-8")
    scores = json.loads((tmp_path / "scores_run" / "results.json").read_text())["retrieval"]["image_to_text"]
    low, high = scores["recall@1_interval"]
    assert f"| {scores['recall@1']:.3f} | [{low:.3f}, {high:.3f}] |" in card
    assert "may have been trained on these pairs" in card and not missing_sections(card)


# What the user hears


def refused(script, monkeypatch, capsys, *arguments):
    capsys.readouterr()
    assert run(script, monkeypatch, *arguments) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    return said


def test_another_model_may_not_search_an_index(place, monkeypatch, capsys):
    given = ("--model", place / "other", "--index", place / "index", "--text", "a mass")
    assert "has other weights" in refused(FIND, monkeypatch, capsys, *given)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"index": "pairs"}, "holds no index of embeddings"),
        ({"index": "nowhere"}, "holds no index of embeddings"),
        ({"model": "pairs"}, "is no model"),
        ({"image": "nowhere.png"}, "nowhere.png does not exist"),
        ({"image": "pairs"}, "is a folder"),
        ({"image": "run/config.json"}, "is neither DICOM nor a picture"),
    ],
)
def test_a_search_that_cannot_work_is_one_sentence(place, options, sentence, monkeypatch, capsys):
    given = {"model": "run", "index": "index", "image": "image.png"} | options
    arguments = words(**{name: place / value for name, value in given.items()})
    assert sentence in refused(FIND, monkeypatch, capsys, *arguments)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--text", "a"), "--index"),
        (("--index", "i"), "one of the arguments --image --text is required"),
        (("--index", "i", "--text", "a", "--image", "b"), "not allowed with argument"),
        (("--index", "i", "--text", " "), "a --text is empty"),
        (("--index", "i", "--text", "a", "--k", "0"), "--k is 0"),
        (("--index", "i", "--txet", "a"), "did you mean --text?"),
    ],
)
def test_wrong_options_are_one_sentence(arguments, sentence, monkeypatch, capsys):
    assert sentence in refused(FIND, monkeypatch, capsys, "--model", "m", *arguments)


@pytest.mark.parametrize("script", [EVALUATE, BUILD])
@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"model": "nowhere"}, "is no model"),
        ({"pairs": "run"}, "holds no data set"),
        ({"pairs": "nowhere"}, "holds no data set"),
        ({"output": "index"}, "exists already"),
        ({"batch-size": 0}, "--batch-size is 0"),
    ],
)
def test_a_wrong_folder_is_one_sentence_and_writes_nothing(
    place, script, options, sentence, monkeypatch, capsys
):
    given = {"model": "run", "pairs": "pairs", "output": "new"} | options
    arguments = [
        word for name, value in given.items() for word in (f"--{name}", place / value if value else 0)
    ]
    before = sorted(place.rglob("*"))
    assert sentence in refused(script, monkeypatch, capsys, *arguments)
    assert sorted(place.rglob("*")) == before


def test_pairs_that_a_run_did_not_have_are_refused(place, tmp_path, monkeypatch, capsys):
    given = ("--model", place / "run", "--held-out", place / "run", "--output", tmp_path / "scores")
    said = refused(EVALUATE, monkeypatch, capsys, *given, "--pairs", pairs(tmp_path / "pairs", cases=9))
    assert "are not those that" in said and str(place / "pairs") in said
    own = datasets.load_from_disk(str(place / "pairs"))
    own.select(range(len(own) - 1, -1, -1)).save_to_disk(
        str(tmp_path / "reversed")
    )  # the same in another order
    said = refused(EVALUATE, monkeypatch, capsys, *given, "--pairs", tmp_path / "reversed")
    assert "are not those that" in said


def test_what_is_no_pretraining_run_has_held_nothing_out(place, tmp_path, monkeypatch, capsys):
    shutil.copytree(place / "run", tmp_path / "run")
    given = ("--model", place / "run", "--pairs", place / "pairs", "--output", tmp_path / "scores")
    (tmp_path / "run" / "results.json").write_text("{}")
    said = refused(EVALUATE, monkeypatch, capsys, *given, "--held-out", tmp_path / "run")
    assert "does not say what it held out" in said
    (tmp_path / "run" / "results.json").unlink()
    said = refused(EVALUATE, monkeypatch, capsys, *given, "--held-out", tmp_path / "run")
    assert "results.json does not exist" in said


def test_folders_of_unlike_pairs_are_refused_by_the_column(place, tmp_path):
    unlike = {
        "image": [mammogram(0)],
        "caption": ["a mass"],
        "caption_id": ["a string"],
        "case_id": ["case 0"],
    }
    with pytest.raises(ValueError, match="column 'caption_id' is .*string.* in .*unlike"):
        load_pairs([place / "pairs", saved(unlike, tmp_path / "unlike")])
