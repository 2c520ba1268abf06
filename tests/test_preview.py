"""--preview shows pairs as training draws them, with captions that a flip has changed, and trains nothing."""

import re

import pytest
from PIL import Image
from tiny_training import CAPTIONS, SMALL, SMALL_PAIRS, mammogram, pairs, run, saved, text_encoder, words

from evaluation.augmented_pairs import AugmentedPair, Drawn, changed_words, write_augmented_pairs
from training.data import PAIR_COLUMNS
from training.pretraining_options import PretrainingOptions
from training.preview import preview_pairs, unclear_captions
from training.sources import load_table

PRETRAIN = "pretrain.py"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return text_encoder(tmp_path_factory.mktemp("encoder") / "encoder")


@pytest.fixture
def command(tmp_path, encoder):
    """Words of the command line for a table of pairs, without --output."""

    def make(folder, **options):
        chosen = {**SMALL, **SMALL_PAIRS, "text_weights": encoder, **options}
        return words(pairs=[folder], preview=tmp_path / "page.html", **chosen)

    return make


def text_of(page):
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page))


def test_the_page_shows_mirrored_captions_holds_its_pictures_and_nothing_else_is_written(
    tmp_path, command, monkeypatch, capsys
):
    folder = pairs(tmp_path / "pairs")
    before = sorted(tmp_path.rglob("*"))
    assert run(PRETRAIN, monkeypatch, *command(folder)) == 0
    assert "augmented pairs; nothing was trained" in capsys.readouterr().out
    assert sorted(set(tmp_path.rglob("*")) - set(before)) == [tmp_path / "page.html"]
    page = (tmp_path / "page.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "mirrored left to right" in page and "<mark>" in page
    assert page.count("data:image/png") == 6 * page.count("<h2>Case")
    assert any(caption.replace("left", "right") in text_of(page) for caption in CAPTIONS if "left" in caption)


def test_what_is_shown_is_drawn_from_the_options(tmp_path, command, monkeypatch):
    folder = pairs(tmp_path / "pairs")
    for options, seen in (
        ({"flip": False}, set()),
        ({"augmentation": "published"}, {"mirrored", "upside down"}),
    ):
        assert run(PRETRAIN, monkeypatch, *command(folder, **options)) == 0
        page = (tmp_path / "page.html").read_text()
        assert {name for name in ("mirrored", "upside down") if name in page} == seen
        assert "<mark>" not in page


def test_captions_that_cannot_follow_are_listed_and_their_images_never_flipped(
    tmp_path, command, monkeypatch
):
    caption = "CC view (left image) & MLO view (right image)"
    table = {
        "image": [mammogram(i) for i in range(12)],
        "caption": [caption] * 12,
        "caption_id": [0] * 12,
        "case_id": [f"case {i}" for i in range(12)],
    }
    assert run(PRETRAIN, monkeypatch, *command(saved(table, tmp_path / "pairs"))) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Captions that cannot follow every flip (1)" in page
    assert "<li>CC view (left image) &amp; MLO view (right image)</li>" in page
    assert "mirrored left to right" not in page


def test_each_pair_is_shown_as_it_is_and_then_once_an_epoch(tmp_path, encoder):
    table = load_table(pairs(tmp_path / "pairs", cases=2), PAIR_COLUMNS, "x.py")
    options = PretrainingOptions(**{**SMALL, **SMALL_PAIRS, "text_weights": str(encoder), "crop": False})
    views = preview_pairs(options, table, 3)
    assert [len(draws) for draws in views] == [4] * 4
    for (image, done, caption), *others in views:
        assert image.size == (SMALL["image_size"][1], SMALL["image_size"][0]) and done == "as it is"
        assert all(other.tobytes() != image.tobytes() for other, _, _ in others)
        assert caption in CAPTIONS


def test_captions_that_need_not_follow_are_never_unclear():
    captions = ["(left image)", "a mass", "(left image)"]
    assert unclear_captions(PretrainingOptions(), captions) == ["(left image)"]
    assert unclear_captions(PretrainingOptions(flip=False), captions) == []
    assert unclear_captions(PretrainingOptions(augmentation="published"), captions) == []


@pytest.mark.parametrize(
    "options, said",
    [
        ({"text_weights": "/nowhere"}, "the tokenizer of '/nowhere' could not be loaded"),
        ({"preview": "."}, ". is a folder; name a page with --preview, such as preview.html."),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, command, monkeypatch, capsys, options, said):
    folder = pairs(tmp_path / "pairs")
    arguments = [*command(folder), *words(**options)]
    assert run(PRETRAIN, monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_changed_words_are_told_and_captions_of_other_lengths_refused():
    assert changed_words("a left mass", "a right mass") == [("a", False), ("right", True), ("mass", False)]
    with pytest.raises(ValueError, match="another number of words"):
        changed_words("a left mass", "a mass")


def test_a_caption_cannot_break_the_page(tmp_path):
    draw = Drawn(Image.new("L", (4, 6)), "as it is", "<script>alert(1)</script> & more")
    write_augmented_pairs(tmp_path / "page.html", [AugmentedPair("<b>", [draw, draw])])
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page
