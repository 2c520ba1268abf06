"""Small PDFs, one for each thing that typesetters and PDF writers do: every picture comes back with its caption."""

import io
import random

import numpy as np
import pymupdf
import pytest
from PIL import Image

from dataset_builders.atlas.cleaning import Vocabulary, join_lines, plain
from dataset_builders.atlas.figures import find_figures, leftovers
from dataset_builders.atlas.labels import panel_count, read_label
from dataset_builders.atlas.layout import PageLayout, turned
from dataset_builders.atlas.text_layer import is_plate, load_pictures, read_page

CAPTION = "An irregular mass with spiculated margins is seen in the upper outer quadrant of the left breast."
OTHER = "A cluster of fine pleomorphic calcifications lies in the right breast, and biopsy showed carcinoma."
BODY = (
    "Benign masses are most often of low density and have margins that are sharply defined. The radiologist should "
    "first compare the two breasts for symmetry and then search each quadrant for the less conspicuous findings."
)
ROMAN, BOLD = pymupdf.Font("tiro"), pymupdf.Font("tibo")


def pixels(seed, height=80, width=60):
    """A smooth grey picture (H, W) uint8, dark at its corners."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray((rng.random((6, 5)) * 200 + 40).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (smooth * np.clip(1.6 - x**2 - y**2, 0, 1)).astype(np.uint8)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def place(page, box, seed, **size):
    page.insert_image(box, stream=png(pixels(seed, **size)), keep_proportion=False)


def broken(text, width, size, font=ROMAN):
    """A text as lines of at most `width` points."""
    lines, line = [], ""
    for word in text.split():
        if font.text_length(f"{line} {word}", size) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def write(page, x, y, lines, size=9, label="", font=ROMAN, leading=1.2):
    """Lines of text from the top y downwards, behind a bold label. → y of the end."""
    writer = pymupdf.TextWriter(page.rect)
    for i, line in enumerate(lines):
        y += leading * size
        at = (x, y)
        if label and i == 0:
            writer.append(at, f"{label} ", BOLD, size)
            at = (x + BOLD.text_length(f"{label} ", size), y)
        writer.append(at, line, font, size)
    writer.write_text(page)
    return y + 0.3 * size


def blank(count):
    """A document and its empty pages (PyMuPDF forgets a page object when another page is added)."""
    document = pymupdf.open()
    for _ in range(count):
        document.new_page()
    return document, *(document[i] for i in range(count))


def caption(page, x, y, width, label, text=CAPTION, size=9):
    return write(page, x, y, broken(text, width - 60, size), size, label)


def layouts_of(document):
    document = pymupdf.open("pdf", document.tobytes())
    return document, [read_page(page, page.number + 1) for page in document]


def read(document):
    """→ {number: (caption, [pictures as (H, W) arrays])}, figures, layouts."""
    document, layouts = layouts_of(document)
    figures = find_figures(layouts)
    images = {
        figure.number: (
            figure.caption,
            [np.asarray(image) for image in load_pictures(document[figure.page - 1], figure.pictures)],
        )
        for figure in figures
    }
    assert len(images) == len(figures)
    return images, figures, layouts


def same(image, seed, **size):
    """Whether a picture is the planted one, as far as printing lets it be."""
    wanted = pixels(seed, **size)
    found = np.asarray(Image.fromarray(image).resize(wanted.shape[::-1], Image.Resampling.BOX), float)
    return np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.99


def check(document, **expected):
    """Each figure (f3_2 for "3.2") has this caption and these planted pictures, and there is no other."""
    images, _, _ = read(document)
    assert set(images) == {name[1:].replace("_", ".") for name in expected}
    for name, (text, seeds) in expected.items():
        found, pictures = images[name[1:].replace("_", ".")]
        assert found == text
        assert len(pictures) == len(seeds)
        assert all(same(picture, seed) for picture, seed in zip(pictures, seeds, strict=True))


# ---- labels


@pytest.mark.parametrize(
    "text, number, printed, rest",
    [
        ("Figure 3.12 A, B. A mass", "3.12", "3.12 A, B", "A mass"),
        ("Fig. 7-2a Left view", "7-2a", "7-2a", "Left view"),
        ("FIGURE 12 A mass", "12", "12", "A mass"),
        ("Fig 4.1.3: Calcifications", "4.1.3", "4.1.3", "Calcifications"),
        ("Figure 5\u20136. Cysts", "5-6", "5\u20136", "Cysts"),
        ("Figure 35 \u2013 A cyst", "35", "35", "A cyst"),
        ("Figure 3.4 (A\u2013C) Three views", "3.4", "3.4 A\u2013C", "Three views"),
        ("Figure 3.4A. One view", "3.4", "3.4 A", "One view"),
        ("Figure 3.4 A and B Two views", "3.4", "3.4 A and B", "Two views"),
        ("Figure 3.4 A. Left view. B. Right view.", "3.4", "3.4", "A. Left view. B. Right view."),
        ("Figure 3. 12-mm mass", "3", "3", "12-mm mass"),
        ("Plate 14. A mass", "14", "14", "A mass"),
        ("Figure 3.2 (continued). Later", "3.2", "3.2", "Later"),
    ],
)
def test_labels_are_read_as_printed(text, number, printed, rest):
    label = read_label(text)
    assert (label.key, label.printed, text[label.end :]) == (number, printed, rest)


@pytest.mark.parametrize(
    "text",
    [
        "Figure 3.2 shows a mass",
        "Figures 3 and 4",
        "Figure 3.2, however",
        "Fig. 2 and the next",
        "Case reports",
        "Imaging 3",
    ],
)
def test_running_text_has_no_label(text):
    assert read_label(text) is None


@pytest.mark.parametrize(
    "text, count",
    [
        ("Figure 1 A\u2013D. Views", 4),
        ("Figure 1 A, B. Views", 2),
        ("Figure 1. (A) Left and (B) right.", 2),
        ("Figure 1. One (arrow).", None),
    ],
)
def test_letters_say_how_many_pictures_there_are(text, count):
    label = read_label(text)
    assert panel_count(label, text[label.end :]) == count


# ---- layouts


@pytest.mark.parametrize(
    "picture, at",
    [((60, 100, 210, 300), (60, 304)), ((60, 150, 210, 350), (60, 100)), ((60, 100, 210, 300), (222, 98))],
    ids=["below", "above", "beside"],
)
def test_captions_below_above_and_beside(picture, at):
    document = pymupdf.open()
    for number in (1, 2):
        page = document.new_page()
        place(page, picture, number)
        caption(page, *at, 300, f"Figure 3.{number}.")
        write(page, 60, 450, broken(BODY, 400, 11), 11)
    check(document, f3_1=(CAPTION, [1]), f3_2=(CAPTION, [2]))


@pytest.mark.parametrize("columns", [2, 3])
def test_columns_are_read_apart(columns):
    document = pymupdf.open()
    page = document.new_page()
    width, expected = (500 - 14 * (columns - 1)) / columns, {}
    for column in range(columns):
        x = 50 + column * (width + 14)
        y = write(page, x, 60 + 30 * column, broken(BODY, width, 9.5), 9.5)
        place(page, (x, y + 10, x + width, y + 150), column)
        y = caption(page, x, y + 153, width, f"Fig. {column + 1}:")
        write(page, x, y + 9, broken(f"Figure {column + 1} shows a mass. {BODY}", width, 9.5), 9.5)
        expected[f"f{column + 1}"] = (CAPTION, [column])
    check(document, **expected)


def test_one_caption_for_four_pictures_and_letters_below_them():
    document = pymupdf.open()
    page = document.new_page()
    for i in range(4):
        x, y = 60 + i % 2 * 160, 80 + i // 2 * 175
        place(page, (x, y, x + 120, y + 150), i)
        page.insert_text((x + 55, y + 162), "ABCD"[i], fontsize=9)
    text = "(A, B) Craniocaudal and (C, D) oblique views of both breasts."
    caption(page, 60, 430, 300, "Figure 3.12 A\u2013D.", text)
    images, figures, _ = read(document)
    assert figures[0].printed == "3.12 A\u2013D"
    assert images["3.12"][0] == text
    assert [same(image, i) for i, image in enumerate(images["3.12"][1])] == [True] * 4


def test_two_figures_in_a_row_with_captions_under_each():
    document = pymupdf.open()
    page = document.new_page()
    for i, text in enumerate((CAPTION, OTHER)):
        place(page, (60 + 160 * i, 80, 210 + 160 * i, 280), i)
        caption(page, 60 + 160 * i, 283, 150, f"Figure {i + 1}.", text, 8)
    check(document, f1=(CAPTION, [0]), f2=(OTHER, [1]))


def test_two_figures_in_a_row_with_one_caption_after_the_other():
    document = pymupdf.open()
    page = document.new_page()
    place(page, (60, 80, 200, 250), 0)
    place(page, (220, 80, 370, 290), 1)
    y = caption(page, 60, 295, 420, "Figure 1.", CAPTION)
    caption(page, 60, y + 4, 420, "Figure 2.", "A short one.")
    check(document, f1=(CAPTION, [0]), f2=("A short one.", [1]))


def test_a_caption_goes_on_in_the_next_column_and_on_the_next_page():
    document, first, second, third = blank(3)
    for page, (picture, x) in {first: (0, 60), second: (1, 320)}.items():
        place(page, (x, 500, x + 150, 700), picture)
    lines = broken(f"{CAPTION} {OTHER}", 160, 8)
    write(first, 60, 703, lines[:3], 8, "Figure 1.")
    y = write(first, 320, 60, lines[3:], 8)
    write(first, 320, y + 12, broken(BODY, 200, 10), 10)
    write(first, 60, 60, broken(BODY, 200, 10), 10)
    write(second, 60, 60, broken(BODY, 200, 10), 10)
    write(second, 320, 703, lines[:3], 8, "Figure 2.")
    y = write(third, 60, 60, lines[3:], 8)
    write(third, 60, y + 12, broken(BODY, 200, 10), 10)
    whole = f"{CAPTION} {OTHER}"
    check(document, f1=(whole, [0]), f2=(whole, [1]))


def test_a_caption_has_several_paragraphs_but_no_footnote_or_table():
    document = pymupdf.open()
    page = document.new_page()
    write(page, 60, 60, broken(BODY * 2, 440, 11), 11)
    place(page, (60, 200, 210, 400), 0)
    y = caption(page, 60, 404, 460, "Figure 1.", CAPTION)
    y = write(page, 60, y + 3, broken(OTHER, 400, 9))
    y = write(page, 60, y + 8, ["Table 1. Findings in the series", "Oval 12 30"])
    page.insert_text((60, y + 20), "1", fontsize=5)
    write(page, 63, y + 14, ["See the appendix for the patients of this series."])
    check(document, f1=(f"{CAPTION} {OTHER}", [0]))


def test_sections_of_a_caption_in_the_body_s_type_belong_to_it():
    document = pymupdf.open()
    page = document.new_page()
    place(page, (60, 100, 210, 300), 0)
    y = write(page, 60, 303, ["HISTORY: A 50-year-old woman."], 10, "Figure 1.")
    y = write(page, 60, y + 5, ["MAMMOGRAPHY: A mass is seen."], 10)
    write(page, 60, y + 14, broken(BODY * 3, 440, 10), 10)
    check(document, f1=("HISTORY: A 50-year-old woman. MAMMOGRAPHY: A mass is seen.", [0]))


def test_plates_are_matched_with_captions_on_the_facing_page():
    document, page, plate = blank(2)
    write(page, 60, 60, broken(BODY * 3, 440, 11), 11)
    caption(page, 60, 500, 400, "Figure 1.", CAPTION)
    caption(page, 60, 560, 400, "Figure 2.", OTHER)
    place(plate, (60, 60, 260, 330), 0)
    place(plate, (60, 400, 260, 670), 1)
    images, figures, _ = read(document)
    assert same(images["1"][1][0], 0) and same(images["2"][1][0], 1)
    assert [(figure.page, figure.caption_page) for figure in figures] == [(2, 1), (2, 1)]


def test_a_full_page_plate_is_no_scan_and_its_caption_is_on_the_next_page():
    document, plate, page = blank(2)
    place(plate, (40, 40, 550, 780), 3)
    caption(page, 60, 60, 400, "Figure 4.")
    write(page, 60, 200, broken(BODY, 440, 11), 11)
    assert is_plate(plate)
    check(document, f4=(CAPTION, [3]))


def test_paper_is_no_plate():
    document = pymupdf.open()
    page = document.new_page()
    paper = np.full((200, 150), 235, np.uint8)
    paper[40:160, 30:120] = 20
    page.insert_image((5, 5, 590, 835), stream=png(paper), keep_proportion=False)
    assert not is_plate(page)


def test_what_is_continued_has_the_whole_caption():
    document = pymupdf.open()
    for i, (label, text) in enumerate({"Figure 1.": CAPTION, "Figure 1 (continued).": OTHER}.items()):
        page = document.new_page()
        place(page, (60, 100, 210, 300), i)
        caption(page, 60, 303, 300, label, text)
    _, layouts = layouts_of(document)
    figures = find_figures(layouts)
    assert [(figure.number, figure.page, figure.caption) for figure in figures] == [
        ("1", 1, f"{CAPTION} {OTHER}"),
        ("1", 2, f"{CAPTION} {OTHER}"),
    ]


# ---- words that begin captions


def test_other_words_begin_captions_where_they_behave_so():
    document = pymupdf.open()
    for i in range(3):
        page = document.new_page()
        place(page, (60, 100, 210, 300), i)
        caption(page, 60, 303, 300, f"Plate {i + 1}.")
        write(page, 60, 500, broken(BODY, 440, 11), 11)
    check(document, f1=(CAPTION, [0]), f2=(CAPTION, [1]), f3=(CAPTION, [2]))


def test_headings_of_cases_are_no_captions_where_figures_have_their_own():
    document = pymupdf.open()
    for i in range(3):
        page = document.new_page()
        write(page, 60, 60, [f"Case {i + 1}. A palpable lump"], 14, font=BOLD)
        place(page, (60, 100, 210, 300), i)
        caption(page, 60, 303, 300, f"Figure 1.{i + 1}.")
    check(document, f1_1=(CAPTION, [0]), f1_2=(CAPTION, [1]), f1_3=(CAPTION, [2]))


def test_mentions_that_begin_a_paragraph_or_a_line_are_no_captions():
    document = pymupdf.open()
    page = document.new_page()
    place(page, (60, 100, 210, 300), 0)
    y = caption(page, 60, 303, 300, "Figure 1.")
    y = write(
        page, 60, y + 8, ["Figure 1 demonstrates a mass. Others are shown in", "Figure 2. They are rare."], 11
    )
    write(page, 60, y + 8, broken(f"Figure 1. {BODY}", 400, 11), 11)
    check(document, f1=(CAPTION, [0]))


def test_running_heads_and_page_numbers_are_left_out():
    document = pymupdf.open()
    expected = {}
    for i in range(4):
        page = document.new_page()
        page.insert_text((60, 40), "Atlas of the Breast", fontsize=9)
        page.insert_text((500, 40), str(i + 1), fontsize=9)
        place(page, (60, 500, 210, 700), i)
        y = caption(page, 60, 703, 480, f"Figure {i + 1}.")
        page.insert_text((280, y + 30), f"{i + 1}", fontsize=9)
        expected[f"f{i + 1}"] = (CAPTION, [i])
    check(document, **expected)


# ---- text as writers leave it


def scattered(page, x, y, text, size, seed, letters):
    """Words, or letters, of a line one by one in any order."""
    jobs = []
    for word in text.split():
        for piece in word if letters else [word]:
            jobs.append((x, piece))
            x += ROMAN.text_length(piece, size)
        x += ROMAN.text_length(" ", size)
    random.Random(seed).shuffle(jobs)
    for at, piece in jobs:
        page.insert_text((at, y), piece, fontname="tiro", fontsize=size)


@pytest.mark.parametrize("letters", [False, True])
def test_words_and_letters_in_any_order(letters):
    document = pymupdf.open()
    page = document.new_page()
    place(page, (60, 100, 210, 300), 0)
    for i, line in enumerate(reversed(broken(f"Figure 1. {CAPTION} {OTHER}", 300, 9))):
        count = len(broken(f"Figure 1. {CAPTION} {OTHER}", 300, 9))
        scattered(page, 60, 312 + 11 * (count - 1 - i), line, 9, i, letters)
    check(document, f1=(f"{CAPTION} {OTHER}", [0]))


def test_superscripts_small_capitals_and_bold_by_printing_twice():
    document = pymupdf.open()
    page = document.new_page()
    place(page, (60, 100, 210, 300), 0)
    x = 60
    runs = [
        ("F", 10, 0),
        ("IGURE 1. ", 8, 0),
        ("Bold words. ", 10, 0),
        ("Of 3 cm", 10, 0),
        ("2", 6, 3.5),
        (" and more.", 10, 0),
    ]
    for text, size, rise in runs:
        for shift in (0, 0.25) if "Bold" in text else (0,):
            page.insert_text((x + shift, 315 - rise), text, fontname="tiro", fontsize=size)
        x += ROMAN.text_length(text, size)
    check(document, f1=("Bold words. Of 3 cm2 and more.", [0]))


def test_ligatures_soft_hyphens_and_cut_words():
    document = pymupdf.open()
    page = document.new_page()
    place(page, (60, 100, 210, 300), 0)
    lines = [
        "A de\ufb01ned, di\ufb00use and non-spec-",
        "i\ufb01c \ufb01nding; \ufb01bro\u00ad",
        "adenoma of non-speci\ufb01c kind.",
    ]
    write(page, 60, 303, lines, 9, "Figure 1.")
    text = "A defined, diffuse and non-specific finding; fibroadenoma of non-specific kind."
    check(document, f1=(text, [0]))


@pytest.mark.parametrize(
    "text, meant",
    [
        (
            "de\ufffdned in\ufffdammation, di\ufffderent and su\ufffdcient",
            "defined inflammation, different and sufficient",
        ),
        ("a speci\x0cc re\x1dection", "a specific reflection"),
        ("the rare ga\ufffde", "the rare gaffe"),
    ],
)
def test_ligatures_of_fonts_that_do_not_name_them(text, meant):
    assert join_lines([text], Vocabulary(["this gaffe here"])) == meant
    assert plain("\ufb01lm") == "film"


# ---- pictures as writers leave them


def figure_page(document, draw):
    """A page with a figure whose picture `draw(page, box)` paints."""
    page = document.new_page()
    draw(page, pymupdf.Rect(60, 100, 240, 340))
    write(page, 60, 343, broken(CAPTION, 300, 9), 9, f"Figure {page.number + 1}.")


def parts(box, columns, rows):
    wide, high = box.width / columns, box.height / rows
    for row in range(rows):
        for column in range(columns):
            x, y = box.x0 + column * wide, box.y0 + row * high
            yield row, column, (x, y, x + wide, y + high)


@pytest.mark.parametrize("columns, rows", [(1, 8), (6, 1), (2, 2), (3, 4), (1, 2)])
def test_strips_and_tiles_are_stitched(columns, rows):
    whole = pixels(5, 240, 180)

    def draw(page, box):
        for row, column, part in parts(box, columns, rows):
            high, wide = 240 // rows, 180 // columns
            piece = whole[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
            page.insert_image(part, stream=png(piece), keep_proportion=False)

    document = pymupdf.open()
    figure_page(document, draw)
    images, _, _ = read(document)
    (picture,) = images["1"][1]
    assert abs(picture.shape[0] - 240) <= 2 and same(picture, 5, height=240, width=180)


def test_pictures_that_touch_stay_apart():
    def draw(page, box):
        for _, column, part in parts(box, 2, 1):
            place(page, part, column, height=160)

    document = pymupdf.open()
    figure_page(document, draw)
    images, _, _ = read(document)
    assert [same(image, i, height=160) for i, image in enumerate(images["1"][1])] == [True, True]


def encoded(array, kind):
    """The picture in another encoding, as (bytes for insert_image, keys to set on its object)."""
    image, buffer = Image.fromarray(array), io.BytesIO()
    if kind == "cmyk":
        image.convert("CMYK").save(buffer, "JPEG", quality=95)
    elif kind == "1-bit":
        image.convert("1").save(buffer, "PNG")
    elif kind == "indexed":
        image.convert("RGB").quantize(64).save(buffer, "PNG")
    elif kind == "16-bit":
        Image.fromarray(array.astype(np.uint16) * 257).save(buffer, "PNG")
    elif kind == "inverted":
        Image.fromarray(255 - array).save(buffer, "PNG")
    elif kind == "soft mask":
        image = image.convert("RGBA")
        image.putalpha(Image.new("L", image.size, 254))
        image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["cmyk", "1-bit", "indexed", "16-bit", "inverted", "soft mask"])
def test_encodings_of_pictures(kind):
    array = pixels(7, 240, 180)

    def draw(page, box):
        xref = page.insert_image(box, stream=encoded(array, kind), keep_proportion=False)
        if kind == "inverted":
            page.parent.xref_set_key(xref, "Decode", "[1 0]")

    document = pymupdf.open()
    figure_page(document, draw)
    images, _, _ = read(document)
    (picture,) = images["1"][1]
    coarse = [
        np.asarray(Image.fromarray(p).resize((12, 16), Image.Resampling.BOX), float) for p in (picture, array)
    ]
    assert np.corrcoef(coarse[0].ravel(), coarse[1].ravel())[0, 1] > 0.99
    assert kind == "cmyk" or np.abs(coarse[0] - coarse[1]).mean() < 8  # black ink is not quite black
    if kind in ("16-bit", "inverted"):
        assert picture.shape == array.shape and np.abs(picture.astype(int) - array).max() <= 1


def test_inline_images_clipped_and_turned_ones():
    array = pixels(8, 60, 45)

    def inline(page, box):
        data = array.tobytes().hex().encode()
        y = page.rect.height - box.y1
        code = b"q %f 0 0 %f %f %f cm BI /W 45 /H 60 /CS /G /BPC 8 /F /AHx ID " % (
            box.width,
            box.height,
            box.x0,
            y,
        )
        xref = page.parent.get_new_xref()
        page.parent.update_object(xref, "<<>>")
        page.parent.update_stream(xref, code + data + b"> EI Q")
        page.set_contents(xref)

    def clipped(page, box):
        padded = np.full((100, 85), 255, np.uint8)
        padded[20:80, 20:65] = array
        source = pymupdf.open()
        source.new_page(width=85, height=100).insert_image((0, 0, 85, 100), stream=png(padded))
        page.show_pdf_page(box, source, 0, clip=(20, 20, 65, 80), keep_proportion=False)

    def turned_by(page, box):
        page.insert_image(box, stream=png(np.rot90(array)), rotate=270, keep_proportion=False)

    document = pymupdf.open()
    for draw in (inline, clipped, turned_by):
        figure_page(document, draw)
    images, _, _ = read(document)
    assert [same(images[number][1][0], 8, height=60, width=45) for number in "123"] == [True] * 3
    assert images["1"][1][0].shape == images["3"][1][0].shape == (60, 45)


def test_a_mark_on_every_page_is_no_figure():
    document = pymupdf.open()
    expected = {}
    for i in range(3):
        figure_page(document, lambda page, box, i=i: place(page, box, i))
        place(document[i], (300, 120, 380, 200), 99)
        expected[f"f{i + 1}"] = (CAPTION, [i])
    check(document, **expected)


def test_a_drawing_is_found_as_one_and_takes_no_picture():
    document = pymupdf.open()
    page = document.new_page()
    for i in range(8):
        page.draw_line((60 + 9 * i, 100), (190 - 12 * i, 220))
    page.draw_circle((120, 160), 50)
    caption(page, 60, 224, 300, "Figure 1.", "A diagram of the lobule.")
    place(page, (60, 300, 210, 500), 2)
    caption(page, 60, 503, 300, "Figure 2.")
    images, figures, _ = read(document)
    assert [(figure.number, [p.drawing for p in figure.pictures]) for figure in figures] == [
        ("1", [True]),
        ("2", [False]),
    ]
    assert same(images["2"][1][0], 2)
    assert images["1"][1][0].min() < 100


# ---- turned pages, places, leftovers


@pytest.mark.parametrize("rotate", [90, 180, 270])
@pytest.mark.parametrize("by_page", [True, False], ids=["page", "figure"])
def test_turned_pages_and_figures_are_read_upright(rotate, by_page):
    source, document = pymupdf.open(), pymupdf.open()
    figure_page(source, lambda page, box: place(page, box, 4))
    portrait = rotate == 180
    page = document.new_page(width=595 if portrait else 842, height=842 if portrait else 595)
    page.show_pdf_page(page.rect, source, 0, rotate=rotate)
    page.insert_text((500, 560), "17", fontsize=9)
    if by_page:
        page.set_rotation(rotate)
    images, figures, layouts = read(document)
    assert images["1"][0] == CAPTION and same(images["1"][1][0], 4)
    assert (layouts[0].turn == 0) == by_page
    # The box is where the page, as it is shown, has the picture.
    page = pymupdf.open("pdf", document.tobytes())[0]
    shown = page.get_pixmap(clip=figures[0].boxes[0], colorspace=pymupdf.csGRAY)
    seen = np.frombuffer(shown.samples, np.uint8).reshape(shown.height, -1)[:, : shown.width]
    assert same(np.rot90(seen, -layouts[0].turn // 90), 4)


def test_turning_a_box_and_back():
    box = (10.0, 20.0, 50.0, 90.0)
    for turn in (0, 90, 180, 270):
        size = (200.0, 300.0) if turn % 180 == 0 else (300.0, 200.0)
        assert turned(turned(box, turn, 200.0, 300.0), -turn % 360, *size) == box


def test_a_layout_survives_being_stored():
    document = pymupdf.open()
    figure_page(document, lambda page, box: place(page, box, 4))
    _, (layout,) = layouts_of(document)
    assert PageLayout.from_dict(layout.to_dict()) == layout


def test_what_is_left_over_is_told():
    document = pymupdf.open()
    figure_page(document, lambda page, box: place(page, box, 1))
    place(document[0], (400, 600, 500, 740), 2)
    document.new_page()
    page = document.new_page()
    write(page, 60, 60, broken(BODY, 440, 11), 11)
    caption(page, 60, 400, 300, "Figure 9.", OTHER)
    _, layouts = layouts_of(document)
    rest = leftovers(layouts, find_figures(layouts))
    assert [(item.kind, item.page, item.number, item.text) for item in rest] == [
        ("picture", 1, "", ""),
        ("caption", 3, "9", OTHER),
    ]
    assert np.allclose(rest[0].box, (400, 600, 500, 740), atol=0.5)
    assert leftovers(layouts[:1], find_figures(layouts[:1])) == rest[:1]


def test_short_captions_below_each_other_belong_to_figures_side_by_side():
    document = pymupdf.open()
    page = document.new_page()
    place(page, (60, 80, 230, 300), 0)
    place(page, (300, 80, 470, 300), 1)
    for i, text in enumerate(("Left side.", "Right side.")):
        caption(page, 60, 304 + 13 * i, 300, f"Figure {i + 1}.", text)
    write(page, 60, 360, broken(BODY, 420, 11), 11)
    check(document, f1=("Left side.", [0]), f2=("Right side.", [1]))


def test_a_caption_in_the_body_s_type_goes_on_with_its_next_panel():
    document, first, second = blank(2)
    write(first, 60, 60, broken(BODY, 440, 10), 10)
    for x in (60, 200):
        place(first, (x, 480, x + 130, 660), x)
    write(first, 60, 663, ["Two views of one breast. (A) The left craniocaudal view."], 10, "Figure 1.")
    y = write(second, 60, 60, ["(B) The left oblique view."], 10)
    write(second, 60, y + 12, broken(BODY, 440, 10), 10)
    text = "Two views of one breast. (A) The left craniocaudal view. (B) The left oblique view."
    check(document, f1=(text, [60, 200]))
