"""Scans as another book would give them: other fonts, skewed, on yellow paper, coarse, with every kind of picture."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pymupdf
import pytest
from odd_scans import Sheet, Spoil, drawing, histology, mammogram, scan, write_scans
from PIL import Image
from rapidfuzz.distance import Levenshtein

from dataset_builders.atlas.figures import find_figures
from dataset_builders.atlas.scan_image import levelled, scanner_edge
from dataset_builders.atlas.scan_labels import repair_label
from dataset_builders.atlas.scan_panels import cut_panels
from dataset_builders.atlas.scan_pictures import find_outlines, find_pictures
from dataset_builders.atlas.scan_second_look import look_again
from dataset_builders.atlas.scan_text import to_lines
from dataset_builders.atlas.scanned_page import (
    box_on_page,
    load_pictures,
    page_scale,
    pictures_and_drawings,
    read_scan,
    upright_page,
)
from dataset_builders.atlas_pairs import read_layouts

FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SERIF = (str(FOLDER / "STIXGeneral.ttf"), str(FOLDER / "STIXGeneralBol.ttf"))
SANS = (str(FOLDER / "DejaVuSans.ttf"), str(FOLDER / "DejaVuSans-Bold.ttf"))
HARD = Spoil(skew=1.7, paper=(240, 230, 205), noise=6, specks=40, edge=12, shade=0.2, jpeg=55)
LONG = (
    "A woman of 52 whose left breast felt firm on self-examination. The oblique view shows an irregular mass "
    "of 14 mm with spiculated edges; the craniocaudal view confirms it.",
    "Histology: invasive ductal carcinoma, grade 2. The second film was taken 11 months earlier, when nothing "
    "was to be seen.",
)
SHORT = "Specimen after excision. The glands are lined by two layers of cells, and the stroma is loose."


def overlap_share(a, b):
    """Intersection over union of two boxes."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, wide) * max(0, high)
    return shared / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - shared)


def check(path, planted):
    """Every planted figure is found with its number, caption and, picture by picture, its boxes."""
    layouts = read_layouts(path, processes=1)
    found = {figure.number: figure for figure in find_figures(layouts)}
    assert set(found) == {figure["figure"] for figure in planted}
    for figure in planted:
        own = found[figure["figure"]]
        assert len(own.pictures) == figure["n_images"]
        for picture, box in zip(own.pictures, figure["boxes"], strict=True):
            assert overlap_share(picture.box, box) > 0.8, (own.number, picture.box, box)
        wrong = Levenshtein.distance(own.caption, figure["caption"])
        assert wrong <= 0.02 * len(figure["caption"]), (own.caption, figure["caption"])
    return layouts


def two_panels_on_black(rng, number=1):
    """A page with body text, two films with a black gutter, and a caption of two paragraphs below them."""
    sheet = Sheet(480, 640, SERIF, number)
    y = sheet.text(50, 60, 380, "The mass is the commonest sign. It has a shape, a margin and a density.", 10)
    films = [mammogram(rng, label="letters"), mammogram(rng, label="plate")]
    entries, y = sheet.panels(80, y + 8, 320, films, 2, gap=5, gutter=0)
    y = sheet.text(50, y + 6, 380, f"Figure 35 \u2013 {LONG[0]}", 9, bold=3, justify=True) + 2
    sheet.text(50, y, 380, LONG[1], 9, justify=True)
    sheet.figure("35", " ".join(LONG), entries)
    return sheet


def beside_and_above(rng, number=1):
    """Tissue in colour with its caption at the right; a film on white in a frame with its caption above it."""
    sheet = Sheet(480, 640, SANS, number)
    entries, bottom = sheet.panels(40, 50, 220, [histology(rng)])
    sheet.text(272, 50, 170, f"FIG. 4.2. {SHORT}", 8)
    sheet.figure("4.2", SHORT, entries)
    y = sheet.text(40, bottom + 40, 400, f"FIG. 4.3. {LONG[0]}", 8)
    film = Image.new("L", (300, 300), 255)
    film.paste(mammogram(rng, (280, 280), inverted=True), (10, 10))
    entries, _ = sheet.panels(40, y + 5, 200, [film.crop((10, 10, 290, 290))])
    sheet.figure("4.3", LONG[0], entries)
    return sheet


def picture_with_its_caption(rng, number=1):
    """As in an atlas whose figures are pictures with the caption printed in them: the film reaches the border."""
    sheet = Sheet(320, 480, SANS, number)
    entries, y = sheet.panels(0, 0, 300, [mammogram(rng, label="plate")])
    sheet.text(8, y + 6, 300, f"Figure 12a. {SHORT}", 9)
    sheet.figure("12a", SHORT, entries)
    return sheet


def test_a_skewed_scan_on_yellow_paper_with_a_black_edge(tmp_path):
    planted = write_scans(tmp_path / "a.pdf", [two_panels_on_black(np.random.default_rng(3))], HARD)
    layouts = check(tmp_path / "a.pdf", planted)
    assert layouts[0].angle == pytest.approx(1.7, abs=0.1)


def test_pictures_of_all_kinds_at_150_dpi(tmp_path):
    rng = np.random.default_rng(5)
    sheets = [beside_and_above(rng, 1), picture_with_its_caption(rng, 2)]
    check(tmp_path / "a.pdf", write_scans(tmp_path / "a.pdf", sheets, Spoil(dpi=150, skew=-0.8, noise=4)))


@pytest.mark.slow
@pytest.mark.parametrize("skew", [-2.0, 2.0])
@pytest.mark.parametrize("dpi", [150, 300])
def test_the_same_pages_with_everything_wrong_at_once(dpi, skew, tmp_path):
    rng = np.random.default_rng(8)
    sheets = [two_panels_on_black(rng, 1), beside_and_above(rng, 2), picture_with_its_caption(rng, 3)]
    spoil = Spoil(
        dpi=dpi, skew=skew, paper=(222, 220, 212), ink=50, noise=6, specks=40, through=0.04, jpeg=60
    )
    check(tmp_path / "a.pdf", write_scans(tmp_path / "a.pdf", sheets, spoil))


# ---- pictures, without OCR


def level_of(sheet, behind=None, **spoil):
    """(level, unit) of a sheet's scan at 144 dpi."""
    picture = Image.open(io.BytesIO(scan(sheet.image, Spoil(dpi=144, **spoil), 0, behind)))
    return levelled(np.asarray(picture.convert("L")), 0.5), 0.5


def plain_sheet():
    return Sheet(400, 500, SANS)


def word(text, x, y, place=(1, 1, 1)):
    return {"text": text, "conf": 95.0, "box": (x, y, x + 5 * len(text), y + 8), "place": place}


def test_neither_another_pages_shadow_nor_a_tinted_box_with_text_is_a_picture():
    sheet, other = plain_sheet(), plain_sheet()
    other.panels(60, 60, 200, [mammogram(np.random.default_rng(0))])
    sheet.draw.rectangle((200, 1300, 1400, 1700), fill=(228, 228, 228))
    for y in (70, 320):
        sheet.text(60, y, 280, LONG[0], 9)
    assert find_pictures(*level_of(sheet, other.image, through=0.13)) == []


def test_a_page_in_the_shade_of_the_spine_is_level():
    level, _ = level_of(plain_sheet(), shade=0.3, noise=1)
    assert abs(level[20:-20, 8:-8] - 1).max() < 0.06


@pytest.mark.parametrize("framed", [True, False])
def test_a_drawing_is_a_picture_and_its_words_are_no_text(framed):
    sheet = plain_sheet()
    sheet.panels(60, 60, 240, [drawing(np.random.default_rng(0), frame=framed)])
    level, unit = level_of(sheet)
    outlines, lines = find_outlines(level, [], unit)
    found = pictures_and_drawings(level, unit, [], outlines, [word("nipple", 240, 140), word("duct", 96, 84)])
    assert len(found) == 1 and overlap_share(found[0], (60, 60, 300, 60 + 240 * 320 / 420)) > (
        0.95 if framed else 0.5
    )
    assert 0 < lines.mean() < 0.05


def test_a_frame_around_text_or_a_table_is_no_picture():
    sheet = plain_sheet()
    for box in ((200, 200, 1400, 700), (200, 200, 700, 450)):
        sheet.draw.rectangle(box, outline=(0, 0, 0), width=4)
    level, unit = level_of(sheet)
    outlines, _ = find_outlines(level, [], unit)
    row = [word(text, 60 + 40 * i, 60) for i, text in enumerate(["Four", "words", "of", "text"])]
    assert len(outlines) == 1 and pictures_and_drawings(level, unit, [], outlines, row) == []


def test_panels_are_cut_at_black_and_white_gutters_and_single_films_stay_whole():
    rng = np.random.default_rng(1)
    films = [mammogram(rng, label="plate") for _ in range(4)]
    for gutter in (0, None):
        sheet = plain_sheet()
        sheet.panels(40, 40, 240, films, columns=2, gap=3, gutter=gutter)
        assert len(find_pictures(*level_of(sheet))) == 4
    for film in films:
        sheet = plain_sheet()
        sheet.panels(40, 40, 300, [film])
        assert len(find_pictures(*level_of(sheet))) == 1


def test_what_is_smaller_than_two_pictures_is_not_cut():
    assert cut_panels(np.zeros((100, 150)), (slice(0, 100), slice(0, 150)), 0.5) == [
        (slice(0, 100), slice(0, 150))
    ]


def test_the_scanners_edge_goes_and_a_film_that_touches_it_stays():
    page = np.full((600, 400), 240, np.uint8)
    page[:, 390:] = 10  # a band
    for row in range(600):
        page[row, : row // 40] = 10  # a wedge
    page[100:300, 200:395] = 30
    edge = scanner_edge(page, 0.5)
    assert edge[400:, 390:].all() and edge[590, :14].all()
    assert not edge[100:300, 200:380].any() and not edge[:, 40:380].any()


# ---- text


@pytest.mark.parametrize(
    "read, meant",
    [
        ("Figure 35 \u2013 A mass", "Figure 35. A mass"),
        ("Flgure 35 - A mass", "Figure 35. A mass"),
        ("Figure l2 A mass", "Figure 12 A mass"),
        ("Fig.12a. A mass", "Fig. 12a. A mass"),
        ("Fiq. 4,2. A mass", "Fig. 4.2. A mass"),
        ("FIGURE 4-2 A mass", "Figure 4-2 A mass"),
        ("Figure35- A mass", "Figure 35. A mass"),
        ("Figures show 3 masses", "Figures show 3 masses"),
        ("Fit 3 mm wide", "Fit 3 mm wide"),
        ("The mass in Figure l2", "The mass in Figure l2"),
    ],
)
def test_labels_as_they_were_printed(read, meant):
    assert repair_label(read) == meant


def test_specks_and_unsure_signs_are_no_words():
    words = [word("A", 10, 10), word(".", 17, 14), {**word("~", 20, 10), "conf": 30.0}, word("mass", 26, 10)]
    assert [line.text for line in to_lines(words)] == ["A mass"]


def test_lines_of_a_paragraph_have_one_size_and_a_heading_keeps_its_own():
    words = [
        {"text": text, "conf": 95.0, "box": (10, y, 60, y + high), "place": (1, 1, line)}
        for line, text, y, high in ((1, "Masses", 10, 12.0), (2, "glands", 30, 9.2), (3, "an", 42, 4.0))
    ]
    sizes = [line.size for line in to_lines(words)]
    assert sizes[1] == sizes[2] != sizes[0]


def test_only_doubtful_blocks_are_read_again_and_only_a_surer_reading_counts(monkeypatch):
    page = np.full((1000, 1000), 255, np.uint8)
    for x in (100, 600):  # two blocks of text at 300 dpi
        page[100:130, x : x + 300] = page[150:180, x : x + 300] = 0
    left = [{**word("right", 30, 25), "box": (24, 24, 90, 31)}]
    doubtful = [{**word("dagger", 150, 25), "conf": 9.0, "box": (144, 24, 200, 43)}]
    seen = []

    def read(crop, dpi, language, mode):
        seen.append((crop.shape, mode))
        return [{**word("mass", 0, 0), "conf": sure, "box": (4, 4, 40, 11)}]

    monkeypatch.setattr("dataset_builders.atlas.scan_second_look.read_words", read)
    sure = 90.0
    words = look_again(page, left + doubtful, 300, "eng")
    assert [w["text"] for w in words] == ["right", "mass"] and len(seen) == 1 and seen[0][1] == 6
    assert words[1]["box"][0] == pytest.approx(144, abs=6) and words[1]["box"][1] == pytest.approx(24, abs=6)
    sure = 5.0
    assert look_again(page, left + doubtful, 300, "eng") == left + doubtful
    assert look_again(page, left, 300, "eng") == left and len(seen) == 2


# ---- where it is on the page


@pytest.fixture
def without_ocr(monkeypatch):
    monkeypatch.setattr("dataset_builders.atlas.scanned_page.read_words", lambda *_: [])


def scanned(path, size, skew=0.0):
    """A PDF of one page of `size` points that holds a scanned page with one film."""
    sheet = plain_sheet()
    entries, _ = sheet.panels(60, 60, 200, [mammogram(np.random.default_rng(2))])
    document = pymupdf.open()
    page = document.new_page(width=size[0], height=size[1])
    page.insert_image(
        page.rect, stream=scan(sheet.image, Spoil(dpi=144, skew=skew), 0), keep_proportion=False
    )
    document.save(path)
    return pymupdf.open(path)[0], entries[0]["box"]


def test_boxes_lead_back_to_the_page(without_ocr, tmp_path):
    page, box = scanned(tmp_path / "a.pdf", (400, 500), skew=2.0)
    layout = read_scan(page, 1)
    assert overlap_share(layout.pictures[0].box, box) > 0.95
    turned = box_on_page(page, layout, layout.pictures[0].box)
    assert turned[2] - turned[0] > box[2] - box[0] + 5  # the film stands askew in it
    pixels = np.asarray(page.get_pixmap(dpi=72, colorspace=pymupdf.csGRAY).pil_image())
    rows, columns = np.nonzero(pixels < 100)
    assert np.allclose(turned, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), atol=3)


def test_a_page_as_large_as_its_pixels_is_read_at_its_usual_size(without_ocr, tmp_path):
    page, box = scanned(tmp_path / "a.pdf", (4000, 5000))
    layout = read_scan(page, 1)
    assert page_scale(page) == 0.16 and layout.height == 800
    found = box_on_page(page, layout, layout.pictures[0].box)
    assert overlap_share(found, tuple(10 * value for value in box)) > 0.95
    image = next(load_pictures(page, layout, layout.pictures))
    assert image.width == pytest.approx(400, rel=0.03)


def test_a_scan_of_half_a_page_keeps_its_own_paper():
    page = pymupdf.open().new_page(width=400, height=500)
    sheet = plain_sheet()
    stream = scan(sheet.image, Spoil(dpi=144, paper=(200, 200, 200)), 0)
    page.insert_image((100, 100, 300, 350), stream=stream)
    grey, _ = upright_page(page)
    assert abs(grey.astype(int) - 200).max() < 30
