"""AtlasPairs and extract_pairs.py: columns, corrections, splits, the report, the published form, refusals."""

import json
import re
import runpy
import sys
from pathlib import Path

import datasets
import numpy as np
import pymupdf
import pytest
from atlas_pdfs import PAGES, breast, png, write_mixed_atlas
from PIL import Image
from tiny_training import SMALL, SMALL_PAIRS, before_training, pairs, text_encoder, words

from dataset_builders import AtlasPairs
from dataset_builders.atlas.doubts import doubt_captions
from dataset_builders.atlas.entries import Entry
from dataset_builders.atlas.layout import PageLayout, PictureBox
from dataset_builders.atlas.leftovers import missing_numbers
from dataset_builders.atlas.looks import Look, near_duplicates
from dataset_builders.atlas_builder import split_names
from dataset_builders.atlas_pairs import cases_of, read_layouts
from dataset_builders.folds import split_by_case
from dataset_builders.phantom.atlas_pdf import truth_path, write_atlas
from dataset_builders.phantom.case import draw_case
from dataset_builders.records import PAIR_FEATURES
from training.pair_embeddings import load_pairs

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "train_scripts" / "extract_pairs.py"
HEADER = "source,page,figure,picture,action,value\n"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return write_mixed_atlas(tmp_path_factory.mktemp("atlas") / "book.pdf")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def build(book, cache):
    """Build the mixed atlas → (rows without images, report)."""

    def builder(**options):
        made = AtlasPairs(pdf=book, cache_dir=str(cache), **options)
        made.download_and_prepare()
        return made.as_dataset("train").remove_columns("image").to_list(), made.report()

    return builder


@pytest.fixture
def corrected(build, tmp_path):
    def rows_with(*rows, **options):
        file = tmp_path / "corrections.csv"
        file.write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
        return build(corrections=file, **options)

    return rows_with


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def of(rows, figure):
    return [row for row in rows if row["figure"] == figure]


# ---- the builder


def test_the_builder_gives_every_picture_with_its_caption_and_where_it_stands(book, cache):
    builder = AtlasPairs(pdf=book, cache_dir=str(cache))
    builder.download_and_prepare()
    table = builder.as_dataset("train")
    assert table.features == PAIR_FEATURES
    planted = [
        (number, caption, page)
        for page, figures in enumerate(PAGES, start=1)
        for names, (caption, number) in figures
        if number
        for _ in names
    ]
    found = [(row["figure"], row["caption"], row["page"]) for row in table.remove_columns("image")]
    assert found == planted
    assert np.array_equal(np.asarray(table[0]["image"]), breast(1)) and table[0]["image"].mode == "L"
    with pymupdf.open(book) as document:
        for row in table:
            placed = [info["bbox"] for info in document[row["page"] - 1].get_image_info()]
            assert min(np.abs(np.subtract(box, row["box"])).max() for box in placed) < 0.02


def test_sections_panels_and_modality_are_columns(build):
    rows, report = build()
    assert of(rows, "1.2")[0]["history"] == "Lump." and of(rows, "1.2")[0]["impression"] == "Benign."
    assert of(rows, "1.2")[0]["histopathology"] is None
    assert [row["panel"] for row in of(rows, "1.1")] == ["A", "B"] and of(rows, "1.2")[0]["panel"] is None
    kinds = {(row["figure"], row["panel"]): row["modality"] for row in rows if not row["is_mammogram"]}
    assert kinds == {("1.3", "B"): "ultrasound", ("1.4", None): "histology", ("1.6", None): "drawing"}
    assert report["not_mammograms"] == {"ultrasound": 1, "histology": 1, "drawing": 1}
    assert all(row["modality_reason"] for row in rows)


def test_captions_are_kept_whole_or_split_by_panel(build):
    whole, split = of(build()[0], "1.1"), of(build(split_panels=True)[0], "1.1")
    assert len({row["caption_id"] for row in whole}) == len({row["caption"] for row in whole}) == 1
    assert [row["caption"] for row in split] == [
        "Left CC view shows a spiculated mass.",
        "Left MLO view shows the same.",
    ]
    assert [row["caption_id"] for row in split] == ["book/1.1/A", "book/1.1/B"]
    assert {row["case_id"] for row in split} == {"book/1.1"}


def test_a_figure_with_another_number_of_pictures_stays_whole_and_is_doubtful(build):
    rows, report = build(split_panels=True)
    doubts = [doubts for row, doubts in zip(rows, report["doubts"], strict=True) if row["figure"] == "1.9"]
    assert {row["caption"] for row in of(rows, "1.9")} == {"(A) CC view, (B) MLO view of a hamartoma."}
    assert doubts == [["the caption names the panels A, B, and the figure has 3 pictures"]] * 3


def test_mammograms_alone_can_be_kept_and_the_report_still_counts_the_others(build):
    everything, report = build()
    rows, fewer = build(keep="mammograms")
    assert [row["box"] for row in everything if row["is_mammogram"]] == [row["box"] for row in rows]
    assert all(row["is_mammogram"] for row in rows) and len(rows) == len(everything) - 3
    assert fewer["not_mammograms"] == report["not_mammograms"] and len(fewer["doubts"]) == len(rows)


def test_the_same_picture_puts_two_figures_into_one_case(build):
    rows, report = build()
    assert report["near_duplicates"] == [["figure 1.2 of book, page 1", "figure 1.7 of book, page 3"]]
    assert of(rows, "1.2")[0]["case_id"] == of(rows, "1.7")[0]["case_id"]
    places = [
        row["figure"]
        for row, doubts in zip(rows, report["doubts"], strict=True)
        if "looks the same" in str(doubts)
    ]
    assert places == ["1.2", "1.7"]
    assert len({row["case_id"] for row in rows}) == 8


def test_leftovers_are_reported_with_their_place(build):
    pdf = build()[1]["pdfs"]["book"]
    assert [(p["page"], p["picture"]) for p in pdf["pictures_without_caption"]] == [(4, 1)]
    assert [(c["figure"], c["page"]) for c in pdf["captions_without_picture"]] == [("1.10", 6)]
    assert pdf["missing_numbers"] == ["1.5", "1.8", "1.10"] and pdf["pages"] == len(PAGES)


def test_the_split_cuts_no_case_and_is_that_of_pretraining(build):
    rows, report = build()
    parts = {}
    for row in rows:
        parts.setdefault(row["case_id"], set()).add(row["split"])
    assert all(len(names) == 1 for names in parts.values())
    cases = [row["case_id"] for row in rows]
    for name, expected in zip(
        ("train", "validation", "held_out"), split_by_case(cases, 0.1, 0.1, 0), strict=True
    ):
        assert [i for i, row in enumerate(rows) if row["split"] == name] == sorted(expected)
        assert report["split"][name] == len(expected)


def test_fewer_than_three_cases_are_all_for_training():
    assert split_names(["a", "b", "a"]) == ["train"] * 3


def test_what_was_built_is_found_again_and_what_changed_is_built_anew(book, cache, tmp_path, monkeypatch):
    first = AtlasPairs(pdf=book, cache_dir=str(cache))
    first.download_and_prepare()
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "book.pdf"
    copy.write_bytes(book.read_bytes())
    assert AtlasPairs(pdf=copy, cache_dir=str(cache)).cache_dir == first.cache_dir
    assert AtlasPairs(pdf=book, cache_dir=str(cache), split_panels=True).cache_dir != first.cache_dir
    copy.write_bytes(book.read_bytes() + b"\n%")
    assert AtlasPairs(pdf=copy, cache_dir=str(cache)).cache_dir != first.cache_dir
    # With other corrections the pages are not read again: for a scanned atlas that would take an hour.
    monkeypatch.setattr("dataset_builders.atlas_pairs.read_layouts", None)
    file = tmp_path / "corrections.csv"
    file.write_text(HEADER + "book,,1.1,,drop,\n")
    again = AtlasPairs(pdf=book, cache_dir=str(cache), corrections=file)
    again.download_and_prepare()
    assert len(again.as_dataset("train")) == len(first.as_dataset("train")) - 2


def test_layouts_are_kept_as_they_were_read(book):
    for layout in read_layouts(book):
        assert PageLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


def test_a_scanned_atlas_has_all_columns_and_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "scan.pdf"
    write_atlas(path, [draw_case(2, 0)], kind="scanned", seed=2, image_height=160, processes=1)
    options = {"pdf": path, "kind": "scanned", "cache_dir": str(tmp_path / "cache"), "processes": 1}
    builder = AtlasPairs(**options)
    builder.download_and_prepare()
    rows = builder.as_dataset("train").remove_columns("image").to_list()
    planted = json.loads(truth_path(path).read_text())["figures"]
    assert len(rows) == sum(figure["n_images"] for figure in planted)
    assert all(row["is_mammogram"] and row["history"] and row["mammography"] for row in rows)
    assert not builder.report()["near_duplicates"]
    monkeypatch.setattr("dataset_builders.atlas_pairs.read_layouts", None)
    again = AtlasPairs(**options, keep="mammograms")
    again.download_and_prepare()
    assert again.as_dataset("train").remove_columns("image").to_list() == rows


def test_sections_beside_a_figure_are_its_own_where_it_is_alone(tmp_path):
    document = pymupdf.open()
    for number in (1, 2):
        page = document.new_page()
        page.insert_image((60, 200, 210, 400), stream=png(breast(number)))
        page.insert_text((60, 412), f"Figure {number}. Left CC view. IMPRESSION: Cyst {number}.", fontsize=9)
        page.insert_text((60, 100), f"HISTORY: A lump, number {number}, was felt by the patient.", fontsize=9)
        page.insert_text((60, 150), "Histopathology: a benign cyst", fontsize=9)
    document.save(tmp_path / "cases.pdf")
    builder = AtlasPairs(pdf=tmp_path / "cases.pdf", cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    rows = builder.as_dataset("train").remove_columns("image").to_list()
    assert [row["history"] for row in rows] == [
        f"A lump, number {i}, was felt by the patient." for i in (1, 2)
    ]
    assert [row["impression"] for row in rows] == ["Cyst 1.", "Cyst 2."]
    assert [row["histopathology"] for row in rows] == ["a benign cyst."] * 2
    assert rows[0]["caption"] == "Left CC view. IMPRESSION: Cyst 1."


# ---- corrections


def test_corrections_change_what_they_name_and_nothing_else(build, corrected):
    plain = build()[0]
    rows, report = corrected(
        "book,1,1.1,B,drop,",
        'book,,1.2,,caption,"An ""oval"" mass, right."',
        "book,,1.6,,mammogram,yes",
        ",,1.11,1,mammogram,NO",
        "book,,1.12,,case,1.11",
        "book,,1.3,,case,own name",
    )
    assert len(rows) == len(plain) - 1 and [row["panel"] for row in of(rows, "1.1")] == [None]
    assert of(rows, "1.2")[0]["caption"] == 'An "oval" mass, right.'
    assert of(rows, "1.6")[0]["is_mammogram"] and of(rows, "1.6")[0]["modality_reason"] == "correction, row 4"
    assert not of(rows, "1.11")[0]["is_mammogram"]
    assert of(rows, "1.12")[0]["case_id"] == "book/1.11" and of(rows, "1.3")[0]["case_id"] == "book/own name"
    assert of(rows, "1.9") == [
        {**row, "split": new["split"]} for row, new in zip(of(plain, "1.9"), of(rows, "1.9"), strict=True)
    ]
    assert report["corrections"] == {"applied": 6, "told": []}


def test_a_picture_moves_to_another_caption_with_its_case(corrected):
    rows, _ = corrected("book,,1.9,3,caption_from,1.11")
    moved = of(rows, "1.11")
    assert (
        len(of(rows, "1.9")) == 2
        and [row["page"] for row in moved] == [5, 7]
        or [row["page"] for row in moved] == [7, 5]
    )
    assert {row["caption_id"] for row in moved} == {"book/1.11"} and {row["case_id"] for row in moved} == {
        "book/1.11"
    }
    assert [row["panel"] for row in of(rows, "1.9")] == ["A", "B"]  # now the numbers agree


def test_a_picture_without_a_caption_gets_one(corrected):
    rows, report = corrected("book,4,,1,caption_from,1.10")
    assert of(rows, "1.10")[0]["caption"] == "A caption whose picture is missing from the page."
    assert of(rows, "1.10")[0]["page"] == 4 and not report["pdfs"]["book"]["pictures_without_caption"]
    rows, _ = corrected("book,4,,1,caption,A round mass.")
    added = [row for row in rows if row["page"] == 4]
    assert [row["caption"] for row in added] == ["A round mass."]
    assert [row["page"] for row in rows] == sorted(row["page"] for row in rows)


def test_a_picture_is_turned(book, cache, tmp_path):
    file = tmp_path / "corrections.csv"
    file.write_text(HEADER + "book,,1.1,A,rotate,90\n")
    builder = AtlasPairs(pdf=book, cache_dir=str(cache), corrections=file)
    builder.download_and_prepare()
    assert np.array_equal(np.asarray(builder.as_dataset("train")[0]["image"]), np.rot90(breast(1), -1))


def test_corrections_that_change_nothing_any_more_are_told(corrected):
    _, report = corrected(
        "book,,1.11,,caption,A round mass.", "book,,1.1,3,drop,", "book,,1.2,,mammogram,yes"
    )
    told = report["corrections"]["told"]
    assert report["corrections"]["applied"] == 0 and len(told) == 3
    assert any("row 2 (caption) changes nothing" in line for line in told)
    assert any("row 3 (drop) matches no picture any more" in line for line in told)


@pytest.mark.parametrize(
    "row, said",
    [
        ("book,,1.99,,drop,", r"row 2: there is no figure '1.99'; the nearest is '1.9'"),
        ("book,3,1.1,,drop,", r"row 2: there is no figure '1.1' on page 3"),
        ("other,,1.1,,drop,", r"row 2: no PDF is called 'other'"),
        ("book,,1.1,,remove,", r"row 2: there is no action 'remove'; expected one of drop, caption"),
        ("book,,1.1,,mammogram,maybe", r"row 2: the value of mammogram is 'maybe'; expected yes or no"),
        ("book,,1.1,,rotate,45", r"row 2: the value of rotate is '45'; expected 90, 180 or 270"),
        ("book,,1.1,,caption,", r"row 2: the value of caption is ''; expected a text"),
        ("book,,1.1,,caption_from,7.7", r"row 2: there is no caption of a figure '7.7' in book"),
        ("book,,,,drop,", r"row 2: names no figure; a picture without a caption needs its page"),
        ("book,x,1.1,,drop,", r"row 2: page is 'x'"),
        (
            "book,,1.1,,caption,A mass, oval",
            r"row 2: has more or fewer than 6 fields; quote a text with commas",
        ),
    ],
)
def test_a_correction_that_cannot_be_applied_is_named(row, said, corrected):
    with pytest.raises(ValueError, match=said):
        corrected(row)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "has the columns nothing; expected source, page"),
        (b"figure,action\n1,drop\n", "has the columns figure, action; expected source, page"),
        ("source,page,figure,picture,action,value\nb\u00fcch".encode("latin-1"), "is not UTF-8 text"),
    ],
)
def test_a_file_that_holds_no_corrections_is_refused(content, said, book, tmp_path):
    file = tmp_path / "corrections.csv"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        AtlasPairs(pdf=book, corrections=file)


def test_tables_of_excel_are_read(corrected, build, tmp_path):
    file = tmp_path / "excel.csv"
    file.write_bytes(
        "\ufeffsource;page;figure;picture;action;value\r\nbook;;1.1;;drop;\r\n;;;;;\r\n".encode()
    )
    assert not of(build(corrections=file)[0], "1.1")


def test_a_figure_in_two_books_needs_its_source(book, tmp_path):
    other = tmp_path / "other.pdf"
    other.write_bytes(book.read_bytes())
    file = tmp_path / "corrections.csv"
    file.write_text(HEADER + ",,1.1,,drop,\n")
    builder = AtlasPairs(pdf=[book, other], corrections=file, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(
        ValueError, match="row 2: book and other both have what it names; fill in the column source"
    ):
        builder.download_and_prepare()


def test_two_books_keep_their_captions_apart_and_share_the_cases_of_one_picture(book, tmp_path):
    other = tmp_path / "other.pdf"
    other.write_bytes(book.read_bytes())
    file = tmp_path / "corrections.csv"
    file.write_text(HEADER + "other,,1.9,3,caption_from,1.11\n")
    builder = AtlasPairs(pdf=[book, other], corrections=file, cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    rows = builder.as_dataset("train").remove_columns("image").to_list()
    assert [row["caption_id"] for row in of(rows, "1.11")] == ["book/1.11", *["other/1.11"] * 2]
    cases = {}
    for row in rows:
        cases.setdefault(row["figure"], set()).add(row["case_id"])
    assert {row["source"] for row in rows} == {"book", "other"}
    assert all(len(found) == 1 for found in cases.values()), cases


@pytest.mark.parametrize(
    "options, said",
    [
        ({"kind": "scan"}, "kind is 'scan'; expected one of auto, text_layer, scanned"),
        ({"keep": "some"}, "keep is 'some'; expected one of all, mammograms"),
        ({"pdf": []}, "no PDF was given"),
        ({"pdf": "nowhere.pdf"}, "nowhere.pdf does not exist"),
        ({"corrections": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options, said, book):
    with pytest.raises((ValueError, OSError), match=said):
        AtlasPairs(**{"pdf": book, **options})


# ---- the parts


def test_a_picture_is_known_again_at_another_size_and_its_like_is_not():
    images = [Image.fromarray(breast(seed, 256, 192)) for seed in range(12)]
    again = [
        images[0].resize((150, 200)),
        Image.fromarray((np.asarray(images[1]) * 0.8 + 10).astype(np.uint8)),
    ]
    looks = [Look.at(image.convert("RGB")) for image in [*images, *again]]
    assert near_duplicates(looks) == [(0, 12), (1, 13)]


def test_numbers_that_are_missing():
    assert missing_numbers(["1-1", "1-3", "2.2", "2.3", "7a"]) == ["1.2"]
    assert missing_numbers(["1", "2", "5"]) == ["3", "4"] and missing_numbers([]) == []
    assert missing_numbers(["3", "2024"]) == []


class _Figure:
    def __init__(self, number, page, caption="A mass."):
        self.number, self.page, self.caption = number, page, caption


def test_numbers_that_count_anew_in_every_chapter_are_other_cases():
    figures = [
        _Figure("1", 2),
        _Figure("1", 3),
        _Figure("1", 40),
        _Figure("2", 41, "Same patient as in Figure 1."),
    ]
    assert cases_of(figures) == ["1", "1", "1@40", "1@40"]


def entry(caption, number=1):
    return Entry(
        "s", 1, str(number), 1, PictureBox((0, 0, 9, 9)), (0, 0, 9, 9), caption, "c", f"s/{number}", "1"
    )


@pytest.mark.parametrize(
    "caption, said",
    [
        ("A mass.", "a short caption"),
        ("A mass is seen here. " * 30, "a long caption"),
        ("The left CC view shows an oval mass with", "without a full stop"),
        ("and the left CC view shows an oval mass with edges.", "begins with a small letter"),
        ("Th~e l3ft CC v|ew shows ||| an ova1 ma$$s with edg3es here.", "may be misread"),
    ],
)
def test_odd_captions_are_doubtful(caption, said):
    usual = [entry(f"The left CC view number {i} shows an oval mass with edges.", i) for i in range(20)]
    odd = entry(caption.strip(), 99)
    doubt_captions([*usual, odd])
    assert any(said in doubt for doubt in odd.doubts), odd.doubts
    assert not any(other.doubts for other in usual)


# ---- what comes after


def test_pretraining_leaves_out_what_is_no_mammogram_and_takes_old_folders_beside_new_ones(
    tmp_path, monkeypatch
):
    text_encoder(tmp_path / "text")
    old = datasets.load_from_disk(pairs(tmp_path / "old"))
    names = {name: [None] * len(old) for name in PAIR_FEATURES if name not in old.column_names}
    wide = old.remove_columns("image").to_dict() | names
    wide |= {"image": old["image"][:], "is_mammogram": [i % 4 != 1 for i in range(len(old))]}
    wide["caption_id"] = [str(value) for value in wide["caption_id"]]
    wide["case_id"] = [f"new {value}" for value in wide["case_id"]]
    datasets.Dataset.from_dict(wide, features=PAIR_FEATURES).save_to_disk(tmp_path / "wide")
    plain = old.cast_column("caption_id", datasets.Value("string"))
    plain.cast_column("image", datasets.Image(mode="L")).save_to_disk(tmp_path / "plain")
    given = {"pairs": [tmp_path / "plain", tmp_path / "wide"], "text_weights": tmp_path / "text"}
    options = words(
        **{**SMALL, **SMALL_PAIRS, **given, "output": tmp_path / "run", "cache": tmp_path / "cache"}
    )
    trainer = before_training("pretrain.py", monkeypatch, *options)
    rows = [*trainer.train_dataset.rows, *trainer.eval_dataset.rows]
    left_out = [len(old) + i for i in range(len(old)) if i % 4 == 1]
    assert left_out and not set(rows) & set(left_out)
    assert len(load_pairs([tmp_path / "plain", tmp_path / "wide"])) == 2 * len(old)


# ---- the script


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Run extract_pairs.py in this process → (exit code, stdout, the last line on stderr)."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        return code, said.out, (said.err.strip().splitlines() or [""])[-1]

    return run


def test_a_user_reads_checks_and_corrects_an_atlas(book, tmp_path, script):
    output, published = tmp_path / "pairs", tmp_path / "json"
    code, out, error = script("--pdf", book, "--output", output, "--json", published)
    assert code == 0, error
    assert (
        "book: 13 pairs of 9 captions; pictures without a caption: 1; captions without a picture: 1\n" in out
    )
    table = datasets.load_from_disk(str(output))
    report = json.loads((output / "extraction.json").read_text())
    assert report["pairs"] == len(table) == 13 and report["pdfs"]["book"]["captions"] == 9
    # The published form: the same pixels and words, in the same order.
    listed = json.loads((published / "pairs.json").read_text())
    assert [set(pair) for pair in listed] == [{"image", "caption"}] * 13
    for pair, row in zip(listed, table, strict=True):
        assert pair["caption"] == row["caption"]
        assert np.array_equal(np.asarray(Image.open(published / pair["image"])), np.asarray(row["image"]))
    # The page: every picture beside its caption, and how to name it in a correction.
    page = (output / "contact_sheet.html").read_text()
    sources = re.findall(r'src="([^"]+)"', page)
    assert len(sources) == 14 and all((output / source).is_file() for source in sources)
    assert all(row["caption"].split(".")[0].split('"')[0] in page for row in table.remove_columns("image"))
    first, rest = page.split("Nothing odd about these")
    assert "names the panels A, B" in first and "book,5,1.9,," in first and "1.12" in rest
    assert "book,4,,1," in page and "figure 1.10" in page and "http" not in page.replace("http-equiv", "")
    # The prefix from the page, an action and a value are a row that works.
    file = tmp_path / "corrections.csv"
    file.write_text(HEADER + "book,4,,1,caption_from,1.10\n")
    code, out, error = script("--pdf", book, "--output", tmp_path / "again", "--corrections", file)
    assert code == 0 and "book: 14 pairs of 10 captions\n" in out, error


def test_the_script_refuses_in_one_sentence_and_leaves_nothing(book, tmp_path, script):
    file = tmp_path / "corrections.csv"
    file.write_text(HEADER + "book,,9.9,,drop,\n")
    (tmp_path / "there").mkdir()
    output = tmp_path / "out" / "pairs"
    for options, said in (
        (("--corrections", file), "row 2: there is no figure '9.9'"),
        (("--corrections", tmp_path / "none.csv"), "none.csv: No such file"),
        (("--json", tmp_path / "there"), "exists already"),
        (("--processes", "0"), "--processes is 0"),
        (("--kind", "paper"), "invalid choice: 'paper'"),
        (("--split-panel",), "did you mean --split-panels?"),
    ):
        code, _, error = script("--pdf", book, "--output", output, *options)
        assert code == 2 and error.startswith("error: ") and said in error, error
        assert not output.exists() and not list(tmp_path.glob("out/*"))
