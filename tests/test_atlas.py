"""Phantom atlases in, every planted pair out; text as it was meant; and what is said of files that are no atlas."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pymupdf
import pytest
from datasets import load_from_disk
from PIL import Image

from dataset_builders.atlas.cleaning import Vocabulary, is_noise, join_lines, plain, repair_ocr
from dataset_builders.atlas.figures import group_pictures, same_patient
from dataset_builders.atlas.labels import read_label
from dataset_builders.atlas.layout import PictureBox
from dataset_builders.atlas.pdf import AtlasError
from dataset_builders.atlas.scan_image import even_light, fill_margins, levelled, skew_angle, upright
from dataset_builders.atlas.scan_pictures import find_pictures
from dataset_builders.atlas.scan_text import letter_size
from dataset_builders.atlas.truth import load_truth, normalised_figure, score_pairs
from dataset_builders.atlas_builder import extract_pairs
from dataset_builders.atlas_pairs import is_scanned
from dataset_builders.phantom.atlas_pdf import truth_path, write_atlas
from dataset_builders.phantom.case import draw_case

ROOT = Path(__file__).resolve().parent.parent


def atlas(folder, kind, seed, cases):
    path = folder / f"{kind}{seed}.pdf"
    write_atlas(
        path, [draw_case(seed, i) for i in range(cases)], kind=kind, seed=seed, image_height=160, processes=1
    )
    return path


# ---- round trips


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_every_pair_of_an_atlas_with_a_text_layer_comes_back(seed, tmp_path):
    path = atlas(tmp_path, "text", seed, 14)
    pairs = list(extract_pairs(path, processes=1))
    score = score_pairs(pairs, load_truth(truth_path(path)))
    assert score["right"] == score["planted"] == score["found"], score["wrong"]
    assert score["character_error_rate"] < 0.002


@pytest.mark.parametrize("seed", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_every_pair_of_a_scanned_atlas_comes_back(seed, tmp_path):
    path = atlas(tmp_path, "scanned", seed, 3)
    pairs = list(extract_pairs(path, processes=1))
    score = score_pairs(pairs, load_truth(truth_path(path)))
    assert score["right"] == score["planted"] == score["found"], score["wrong"]
    assert score["character_error_rate"] < 0.01


def test_pairs_hold_what_the_schema_needs(tmp_path):
    path = atlas(tmp_path, "text", 3, 20)
    pairs = list(extract_pairs(path, processes=1))
    truth = {figure["figure"]: figure for figure in load_truth(truth_path(path))}
    captions = {}
    for pair in pairs:
        assert pair["image"].mode == "L" and pair["image"].size == (120, 160)
        assert pair["source"] == "text3" and pair["page"] == truth[pair["figure"]]["page"]
        captions.setdefault(pair["caption_id"], set()).add(pair["caption"])
    assert all(len(texts) == 1 for texts in captions.values())
    # Figures of one patient share the case, which a split must not cut; others do not.
    planted = {figure: entry["case_id"] for figure, entry in truth.items()}
    found = {pair["figure"]: pair["case_id"] for pair in pairs}
    for a in found:
        for b in found:
            assert (found[a] == found[b]) == (planted[a] == planted[b]), (a, b)


def test_the_score_can_fail(tmp_path):
    path = atlas(tmp_path, "text", 2, 8)
    truth, pairs = load_truth(truth_path(path)), list(extract_pairs(path, processes=1))
    swapped = [{**pair, "image": pairs[(i + 3) % len(pairs)]["image"]} for i, pair in enumerate(pairs)]
    renamed = [{**pair, "caption": pair["caption"][len(pair["caption"]) // 4 :]} for pair in pairs]
    assert score_pairs(swapped, truth)["right"] < 0.5 * len(pairs)
    assert score_pairs(renamed, truth)["right"] == 0
    assert score_pairs(pairs[1:], truth)["right"] == len(pairs) - 1


def test_a_view_planted_twice_counts_for_both_figures(tmp_path):
    path = atlas(tmp_path, "text", 2, 4)
    truth, pairs = load_truth(truth_path(path)), list(extract_pairs(path, processes=1))
    first, last = truth[0], truth[-1]
    last["thumbnails"][0] = first["thumbnails"][0]
    own = [pair for pair in pairs if pair["figure"] == last["figure"]]
    own[0]["image"] = next(pair["image"] for pair in pairs if pair["figure"] == first["figure"])
    assert score_pairs(pairs, truth)["right"] == len(pairs)
    assert score_pairs([*pairs, own[0]], truth)["right"] == len(pairs)  # but not a third time


def test_the_same_seed_writes_the_same_atlas(tmp_path):
    first = load_truth(truth_path(atlas(tmp_path, "text", 1, 4)))
    (tmp_path / "again").mkdir()
    assert load_truth(truth_path(atlas(tmp_path / "again", "text", 1, 4))) == first


# ---- another writer's PDFs


def picture(seed):
    """A dark picture as PNG bytes."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray((rng.random((120, 90)) * 80).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def other_atlas(path, place):
    """Three pages with one figure each by another writer; `place(page, number)` puts picture and caption."""
    document = pymupdf.open()
    for number in (1, 2, 3):
        place(document.new_page(), number)
    document.save(path)
    return path


def test_captions_above_and_words_cut_by_ligatures_and_hyphens(tmp_path):
    def place(page, number):
        lines = [
            f"FIG. {number}\u20131. A de\ufb01ned mass in the left breast, spicu-",
            "lated, of high density.",
        ]
        if number > 1:
            lines[0] = lines[0].replace("spicu-", "a spiculated, well-")
            lines[1] = "defined edge is seen; a well-defined one again."
        writer = pymupdf.TextWriter(page.rect)
        for i, line in enumerate(lines):
            writer.append((72, 200 + 11 * i), line, fontsize=9)
        writer.write_text(page)
        page.insert_image((72, 225, 252, 465), stream=picture(number))

    pairs = list(extract_pairs(other_atlas(tmp_path / "a.pdf", place), processes=1))
    assert [pair["figure"] for pair in pairs] == ["1-1", "2-1", "3-1"]
    assert pairs[0]["caption"] == "A defined mass in the left breast, spiculated, of high density."
    assert "well-defined edge" in pairs[1]["caption"]


def test_running_text_about_a_figure_is_no_caption(tmp_path):
    def place(page, number):
        page.insert_text((72, 80), f"Masses are shown in Figure {number}. They are common in", fontsize=10)
        page.insert_text((72, 92), f"older women, as Figure {number} shows once more.", fontsize=10)
        page.insert_image((72, 150, 252, 390), stream=picture(number))
        page.insert_text((72, 402), f"Figure {number}. Caption number {number}.", fontsize=8)

    pairs = list(extract_pairs(other_atlas(tmp_path / "a.pdf", place), processes=1))
    assert [pair["caption"] for pair in pairs] == [f"Caption number {i}." for i in (1, 2, 3)]


def test_a_picture_of_the_whole_page_is_paper_when_text_is_painted_on_it(tmp_path):
    def place(page, number):
        page.insert_image(page.rect, stream=picture(0), keep_proportion=False)
        page.insert_image((72, 150, 252, 390), stream=picture(number))
        page.insert_text((72, 402), f"Figure {number}. A caption of enough letters.", fontsize=9)

    pairs = list(extract_pairs(other_atlas(tmp_path / "a.pdf", place), processes=1))
    assert [pair["caption"] for pair in pairs] == ["A caption of enough letters."] * 3


@pytest.mark.parametrize("mode, scanned", [("invisible", True), ("under", True), ("over", False)])
def test_text_that_ocr_left_with_a_scan_does_not_hide_that_it_is_one(mode, scanned):
    page = pymupdf.open().new_page()
    text = "Figure 1. Words that a program read on this page."
    if mode != "over":
        page.insert_text((72, 72), text, render_mode=3 if mode == "invisible" else 0)
    page.insert_image((20, 20, 575, 800), stream=picture(1), keep_proportion=False)
    if mode == "over":
        page.insert_text((72, 72), text)
    assert is_scanned(page) == scanned


def test_strips_of_one_picture_are_stitched(tmp_path):
    def place(page, number):
        for i in range(6):
            page.insert_image(
                (72, 100 + 40 * i, 272, 140 + 40 * i), stream=picture(10 * number + i), keep_proportion=False
            )
        page.insert_text((72, 352), f"Figure {number}. A caption.", fontsize=9)

    pairs = list(extract_pairs(other_atlas(tmp_path / "a.pdf", place), processes=1))
    assert len(pairs) == 3
    assert all(abs(pair["image"].height / pair["image"].width - 240 / 200) < 0.05 for pair in pairs)


def test_pictures_on_a_scan_are_found_by_their_darkness():
    page = np.full((1100, 850), 245, np.uint8)
    page[100:400, 80:300], page[420:700, 500:720] = 20, 60
    page[800:812, 80:700] = 10  # a rule
    boxes = sorted(find_pictures(levelled(page, 0.72), 0.72))
    expected = [(80 * 0.72, 72.0, 216.0, 288.0), (360.0, 302.4, 518.4, 504.0)]
    assert np.allclose(boxes, expected, atol=1.5)


def lines_of_print(angle):
    """A page with rows of short strokes, as lines of text are, turned counterclockwise by `angle` degrees."""
    page = np.full((1100, 850), 240, np.uint8)
    rng = np.random.default_rng(0)
    for top in range(120, 1000, 20):
        for left in range(90, 760, 9):
            page[top + rng.integers(0, 5) : top + 10, left : left + 4] = 30
    return Image.fromarray(page).rotate(angle, Image.Resampling.BICUBIC, fillcolor=240)


@pytest.mark.parametrize("angle", [-2.5, -0.3, 0.0, 0.4, 3.1])
def test_the_angle_of_a_scan_is_measured_and_taken_back(angle):
    page = lines_of_print(angle)
    measured = skew_angle(np.asarray(page))
    assert abs(measured - angle) < 0.06
    assert skew_angle(np.asarray(upright(page, measured))) == 0.0


def test_a_blank_page_has_no_angle():
    assert skew_angle(np.full((600, 400), 250, np.uint8)) == 0.0


def test_the_size_of_letters_does_not_depend_on_which_they_are():
    heights = {"Figure": 9.2, "on": 4.9, "age": 7.0, "HISTORY:": 7.1, "12": 7.1}  # of 10-point letters
    sizes = [letter_size([{"text": text, "box": (0, 0, 9, high)}]) for text, high in heights.items()]
    assert all(abs(size - 10) < 0.1 for size in sizes)


def test_words_with_the_whole_lines_box_do_not_look_larger():
    words = [{"text": text, "box": (0, 2, 9, 13.3)} for text in ("who", "on", "palpable")]
    assert abs(letter_size(words) - 10) < 0.1


def test_a_scan_smaller_than_its_page_is_not_lost_in_the_margins():
    page = np.full((400, 300), 255, np.uint8)
    page[40:360, 30:270] = 190
    filled = fill_margins(page, [(30 * 0.72, 40 * 0.72, 270 * 0.72, 360 * 0.72)], 100)
    assert (filled == 190).all()


def test_uneven_light_is_taken_away_and_ink_stays():
    light = np.linspace(150, 250, 400)[:, None] * np.ones((1, 320))
    ink = np.zeros((400, 320), bool)
    ink[10::24, 5:-5] = ink[11::24, 5:-5] = True
    even = even_light(np.where(ink, light * 0.2, light).astype(np.uint8))
    assert even[~ink].min() > 235 and even[ink].max() < 60


def test_rows_of_panels_with_letters_below_them_are_one_figure_and_neighbours_are_not():
    four = [
        PictureBox((x, y, x + 80, y + 100)) for y in (60, 180) for x in (50, 136)
    ]  # 20 points between rows
    two = [PictureBox((x, 60, x + 100, 220)) for x in (236, 342)]  # in the next column, 20 points away
    groups = group_pictures([*four, *two], texts=[], wanted=2)
    assert sorted(len(group) for group in groups) == [2, 4]


# ---- text


def test_plain_text():
    assert plain("de\ufb01ned \u201cmass\u201d\u00a0 of  2\u20103 cm") == 'defined "mass" of 2-3 cm'


@pytest.mark.parametrize(
    "lines, whole",
    [
        (["a spicu-", "lated mass"], "a spiculated mass"),
        (["a high-", "density mass"], "a high-density mass"),
        (["BI-", "RADS 4"], "BI-RADS 4"),
        (["fibro\u00ad", "adenoma"], "fibroadenoma"),
        (["one", "two"], "one two"),
    ],
)
def test_hyphens_at_line_ends(lines, whole):
    assert join_lines(lines, Vocabulary(["the spiculated edge of a high-density mass there"])) == whole


def test_ocr_noise():
    assert is_noise("~", 50) and is_noise("mass", 10) and not is_noise("mass", 50)
    assert (
        repair_ocr("1O") == "10" and repair_ocr("|rregular") == "Irregular" and repair_ocr("Oval") == "Oval"
    )


@pytest.mark.parametrize(
    "text, number",
    [("Figure 3.12 A mass", "3.12"), ("FIG. 4-7: x", "4-7"), ("Fig 12. x", "12"), ("Figures show", None)],
)
def test_labels(text, number):
    label = read_label(text)
    assert (label.key if label else None) == number


def test_the_same_patient_is_followed():
    assert same_patient("… Same patient as in Figure 3-4.") == "3-4"
    assert same_patient("Another patient.") is None
    assert normalised_figure("3\u20134") == normalised_figure("3.4")


# ---- what is no atlas


def encrypted(path):
    document = pymupdf.open()
    document.new_page()
    document.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="secret")


def without_captions(path):
    document = pymupdf.open()
    document.new_page().insert_text((72, 72), "An essay on nothing in particular, at some length.")
    document.save(path)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: path.write_bytes(b""), "is an empty file"),
        (lambda path: path.write_bytes(b"PK not a pdf"), "is not a PDF"),
        (lambda path: path.write_bytes(b"%PDF-1.7 cut short"), "."),
        (encrypted, "is encrypted and needs a password"),
        (without_captions, "has no captioned figure in its 1 pages"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_files_that_are_no_atlas(make, said, tmp_path):
    path = tmp_path / "book.pdf"
    make(path)
    with pytest.raises(AtlasError, match=said) as refusal:
        list(extract_pairs(path, processes=1))
    assert str(path) in str(refusal.value)


def test_the_script_writes_pairs_and_their_count(tmp_path):
    path = atlas(tmp_path, "text", 1, 6)
    command = [sys.executable, str(ROOT / "train_scripts" / "extract_pairs.py"), "--pdf", str(path)]
    options = ["--truth", str(truth_path(path)), "--output", str(tmp_path / "pairs")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(100.0%)" in done.stdout
    pairs = load_from_disk(str(tmp_path / "pairs"))
    assert len(pairs) == sum(figure["n_images"] for figure in load_truth(truth_path(path)))
    again = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert again.returncode == 2 and "exists already" in again.stderr and "Traceback" not in again.stderr


def test_the_script_leaves_nothing_behind_when_it_fails(tmp_path):
    without_captions(tmp_path / "book.pdf")
    command = [sys.executable, str(ROOT / "train_scripts" / "extract_pairs.py")]
    options = ["--pdf", str(tmp_path / "book.pdf"), "--output", str(tmp_path / "out" / "pairs")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ") and "Traceback" not in done.stderr
    assert not list((tmp_path / "out").iterdir())
