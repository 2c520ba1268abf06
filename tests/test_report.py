"""The report: one file that asks for nothing, says every number as given, and says what was not run."""

import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_view
from evaluation import report
from evaluation.pictures import FRAME, beginning, contact_strip, crop_picture, spread_rows
from evaluation.report import Reading, write_report
from evaluation.report_tables import place_of

HOSTILE = '</li><script>alert("x")</script> 3 < 5 & "quoted" <img src=http://evil.example/a.png>'
EXTRACTION = {
    "atlas_text.pdf": {
        "planted": 903,
        "found": 902,
        "right": 899,
        "right_fraction": 0.9956,
        "character_error_rate": 0.00012,
    },
    "atlas_scanned.pdf": {
        "planted": 81,
        "found": 80,
        "right": 78,
        "right_fraction": 0.963,
        "character_error_rate": 0.0143,
    },
}
KEYS = (
    "recall@1",
    "recall@5",
    "recall@10",
    "median_rank",
    "chance@1",
    "chance@5",
    "chance@10",
    "queries",
    "candidates",
)
PRETRAINING = {
    "history": [
        {
            "epoch": 1,
            "train_loss": 6.125,
            "eval_loss": 5.25,
            "eval_contrastive_loss": 3.5,
            "eval_mlm_loss": 3.5,
        },
        {
            "epoch": 2,
            "train_loss": 4.75,
            "eval_loss": 4.5,
            "eval_contrastive_loss": 2.875,
            "eval_mlm_loss": None,
        },
    ],
    "retrieval": {
        "image_to_text": dict(
            zip(KEYS, (0.3125, 0.6, 0.71, 3.0, 0.0143, 0.0714, 0.1429, 147, 70), strict=True)
        ),
        "text_to_image": dict(
            zip(KEYS, (0.4286, 0.7, 0.8143, 2.5, 0.0144, 0.0703, 0.1364, 70, 147), strict=True)
        ),
    },
    "n_train": 811,
    "n_validation": 93,
    "n_held_out": 147,
}
ARM = {
    "f1_five": 0.4127,
    "f1_three": 0.6318,
    "f1_per_class": [0.101, 0.502, 0.403, 0.604, 0.456],
    "density_f1": 0.5529,
    "f1_five_interval": [0.351, 0.462],
    "confusion_five": [[2, 1, 0, 0, 0], [0, 17, 4, 0, 0], [0, 6, 5, 1, 0], [0, 0, 0, 9, 3], [0, 0, 0, 2, 7]],
    "confusion_three": [[32, 1, 0], [1, 2, 0], [0, 0, 21]],
    "n_train": 128,
}
ARMS = {
    "with the pretrained encoder": ARM,
    "without pretraining": ARM | {"f1_five": 0.2913, "f1_three": 0.4444},
}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, text outside styles."""

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture
def reading():
    pixels = np.tile(np.arange(200, dtype=np.uint8), (300, 1))
    return Reading(
        exam="Patient P_00001",
        view="MLO",
        laterality="L",
        picture=crop_picture(pixels, (0, 20, 120, 280)),
        crop="200 × 300 pixels, crop 120 × 260",
        birads={
            "BI-RADS 0": 0.071,
            "BI-RADS 1": 0.612,
            "BI-RADS 2": 0.122,
            "BI-RADS 4": 0.1,
            "BI-RADS 5": 0.095,
        },
        density={"A": 0.21, "B": 0.533, "C": 0.2, "D": 0.057},
        neighbours=[(HOSTILE, 0.4321), ("MAMMOGRAPHY: a mass.", 0.3987)],
        spread="All 70 captions: -0.100 to 0.432.",
        reference="BI-RADS 3, benign.",
    )


@pytest.fixture
def page(tmp_path, reading):
    path = tmp_path / "new" / "report.html"
    readings = [
        reading,
        replace(reading, laterality="R", view="CC"),
        replace(reading, exam="Patient P_00002"),
    ]
    write_report(path, extraction=EXTRACTION, pretraining=PRETRAINING, arms=ARMS, readings=readings)
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    return Page(path)


def table_rows(page: Page, header: str) -> list[list[str]]:
    """The rows of the table with this header cell, as texts."""
    for table in re.findall(r"<table.*?</table>", page.source, re.S):
        if f">{header}</th>" in table:
            rows = re.findall(r"<tr.*?</tr>", table, re.S)
            return [
                [re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
                for row in rows
            ]
    raise AssertionError(f"no table has the header {header!r}")


def test_the_page_asks_for_nothing_from_elsewhere(page):
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "base"), tag
        for name in ("src", "href", "srcset", "data", "poster", "action"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), (
                f"{tag} {name}={attributes[name][:60]}"
            )
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|http-equiv", page.source)


def test_every_picture_is_a_png_with_words_and_its_size(page):
    pictures = page.all("img")
    assert len(pictures) == 1 + 2 * 2 + 3  # losses, two matrices for each arm, three mammograms
    for attributes in pictures:
        assert len(attributes["alt"].split()) >= 5
        kind, data = attributes["src"].split(",", 1)
        image = Image.open(BytesIO(b64decode(data)))
        assert kind == "data:image/png;base64" and image.format == "PNG"
        ratio = int(attributes["width"]) / int(attributes["height"])
        assert ratio == pytest.approx(image.width / image.height, rel=0.02)


def test_tables_say_the_numbers_that_were_given(page):
    extraction = table_rows(page, "pairs planted")
    assert extraction[1:] == [
        ["atlas_text.pdf", "903", "902", "899", "0.9956", "0.0001"],
        ["atlas_scanned.pdf", "81", "80", "78", "0.9630", "0.0143"],
    ]
    assert table_rows(page, "training")[1:] == [
        ["1", "6.125", "5.250", "3.500", "3.500"],
        ["2", "4.750", "4.500", "2.875", "–"],
    ]
    assert table_rows(page, "median rank")[1:] == [
        ["image → caption", "0.312 (0.0143)", "0.600 (0.0714)", "0.710 (0.1429)", "3", "147", "70"],
        ["caption → image", "0.429 (0.0144)", "0.700 (0.0703)", "0.814 (0.1364)", "2.5", "70", "147"],
    ]
    assert table_rows(page, "three groups")[1:] == [
        ["with the pretrained encoder", "0.413 [0.351, 0.462]", "0.632", "0.553", "128"],
        ["without pretraining", "0.291 [0.351, 0.462]", "0.444", "0.553", "128"],
    ]
    classes = table_rows(page, "BI-RADS 4")
    assert classes[1] == ["with the pretrained encoder", "0.101", "0.502", "0.403", "0.604", "0.456"]
    assert classes[3] == ["test images", "3", "21", "12", "12", "9"]
    assert "811 for training, 93 for validation, 147 held out" in page.text


def test_scores_of_a_mammogram_stand_beside_bars_of_their_length(page):
    rows = re.findall(r"<tr.*?</tr>", page.source, re.S)
    row = next(row for row in rows if ">BI-RADS 1</th>" in row and "0.612" in row)
    assert 'class="best"' in row and "width: 61.2%" in row
    second = next(row for row in rows if ">BI-RADS 2</th>" in row and "0.122" in row)
    assert "best" not in second and "width: 12.2%" in second
    assert "0.432" in page.text and "0.399" in page.text and "BI-RADS 3, benign." in page.text


def test_confusion_matrices_are_told_in_words(page):
    alts = [attributes["alt"] for attributes in page.all("img")]
    five = next(alt for alt in alts if "five classes" in alt)
    assert "Label BI-RADS 4: 9 as BI-RADS 4, 3 as BI-RADS 5." in five
    assert "Label malignant: 21 as malignant." in next(alt for alt in alts if "three groups" in alt)


def test_captions_are_escaped(page):
    assert "<script" not in page.source and "evil.example/a.png>" not in page.source
    assert page.text.count(HOSTILE) == 3  # as text, whole, once for each mammogram


def test_headings_go_down_step_by_step_and_tables_are_scoped(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert page.all("th") and all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert page.source.count("<table") == page.source.count("<caption")
    assert page.all("html") == [{"lang": "en"}] and not page.open


def test_views_of_one_exam_stand_together(page):
    assert re.findall(r"<h3>(Patient .*?)</h3>", page.source) == ["Patient P_00001", "Patient P_00002"]
    assert re.findall(r"<h4>(.*?)</h4>", page.source) == ["Left, MLO", "Right, CC", "Left, MLO"]


def test_phantoms_are_called_phantoms_in_every_part_with_numbers(page, tmp_path):
    sections = re.findall(r"<section>.*?</section>", page.source, re.S)
    assert len(sections) == 5 and all("PHANTOM" in section for section in sections)
    write_report(
        tmp_path / "real.html", extraction=EXTRACTION, pretraining=PRETRAINING, arms=ARMS, phantom=False
    )
    assert "phantom" not in Page(tmp_path / "real.html").text.lower()


def test_the_page_says_what_it_is_not_and_whose_the_images_are(page):
    assert page.text.count("Research use only, not a medical device.") == 2
    for credit in ("CBIS-DDSM", "CC BY 3.0", "10.7937/K9/TCIA.2016.7O02S9CY", "10.1038/sdata.2017.177"):
        assert credit in page.text


def test_what_was_not_run_is_said(tmp_path):
    write_report(tmp_path / "empty.html")
    page = Page(tmp_path / "empty.html")
    for part in ("extraction numbers", "pretraining results", "classification results"):
        assert f"No {part} were given." in page.text
    assert "No real mammograms were scored." in page.text and not page.all("img", "table")
    assert "CBIS-DDSM" not in page.text


def test_one_arm_without_density_and_with_a_score_that_is_nan(tmp_path):
    arm = {key: value for key, value in ARM.items() if "density" not in key} | {"f1_three": float("nan")}
    write_report(tmp_path / "one.html", arms={"only": arm})
    assert table_rows(Page(tmp_path / "one.html"), "three groups")[1:] == [
        ["only", "0.413 [0.351, 0.462]", "–", "–", "128"]
    ]


def test_summary_says_how_far_from_chance(page):
    assert "recall@1 0.312, 22 times chance (0.0143)" in page.text
    assert "899 of 903 planted pairs came out right" in page.text
    assert (
        "with the pretrained encoder: macro F1 0.413 over five BI-RADS classes, 0.632 over three groups"
        in page.text
    )


def test_results_without_a_score_are_refused_and_leave_the_old_page(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(ValueError, match="'scratch' have no 'f1_three'"):
        write_report(path, arms={"scratch": {"f1_five": 0.5, "f1_per_class": [0.5] * 5}})
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_retrieval_without_a_direction_is_refused(tmp_path):
    retrieval = {"image_to_text": PRETRAINING["retrieval"]["image_to_text"]}
    with pytest.raises(ValueError, match="retrieval results have no 'text_to_image'"):
        write_report(tmp_path / "report.html", pretraining=PRETRAINING | {"retrieval": retrieval})
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_no_part(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance of #rrggbb."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_colours_contrast_in_light_dark_and_print():
    css = (Path(report.__file__).parent / "report.css").read_text(encoding="utf-8")
    schemes = [
        dict(re.findall(r"--([\w-]+): (#\w{3,6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.S)
    ]
    assert len(schemes) == 3
    for scheme in schemes:
        light = {
            name: "#" + "".join(2 * c for c in v[1:]) if len(v) == 4 else v for name, v in scheme.items()
        }
        light = {name: luminance(value) for name, value in light.items()}
        for ink, ground, least in (
            ("ink", "page", 7), ("muted", "page", 4.5), ("ink", "card", 7), ("muted", "card", 4.5),
            ("note-ink", "note", 4.5), ("link", "page", 4.5), ("bar", "card", 3),
        ):  # fmt: skip
            high, low = sorted((light[ink], light[ground]), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, f"{ink} on {ground}"


def test_the_crop_is_framed_where_it_is_in_a_reduced_picture():
    pixels = np.full((800, 400), 255, dtype=np.uint8)
    picture = Image.open(BytesIO(crop_picture(pixels, (100, 200, 300, 700), height=400))).convert("RGB")
    assert picture.size == (200, 400)
    framed = (np.asarray(picture) == FRAME).all(axis=2)
    rows, columns = np.flatnonzero(framed.any(axis=1)), np.flatnonzero(framed.any(axis=0))
    assert (columns[0], rows[0], columns[-1], rows[-1]) == (50, 100, 149, 349)
    assert not framed[105:345, 55:145].any()  # a frame, not a patch
    grey = np.asarray(picture)[~framed]
    assert (grey == 254).all()  # the brightest grey is not the frame's colour


def test_a_small_image_is_not_enlarged_and_its_greys_are_kept():
    pixels = np.arange(100, dtype=np.uint8).reshape(10, 10)
    picture = np.asarray(Image.open(BytesIO(crop_picture(pixels, (9, 9, 10, 10)))).convert("RGB"))
    assert picture.shape == (10, 10, 3) and (picture[9, 9] == FRAME).all()
    assert (picture[:8, :8, 0] == pixels[:8, :8]).all()


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (0, 0, 11, 5), (-1, 0, 5, 5), (5, 5, 4, 9)])
def test_a_box_outside_its_image_is_refused(box):
    with pytest.raises(ValueError, match="box"):
        crop_picture(np.zeros((10, 10), dtype=np.uint8), box)


def test_pixels_that_are_not_8_bit_are_refused():
    with pytest.raises(ValueError, match="uint16"):
        crop_picture(np.zeros((10, 10), dtype=np.uint16), (0, 0, 5, 5))


def test_a_strip_fits_a_readme_and_shows_every_image():
    case = draw_case(seed=3, index=0)
    views = [
        Image.fromarray((render_view(case, side, view, height=512, width=384).pixels >> 4).astype(np.uint8))
        for side, view in (("L", "CC"), ("R", "MLO"))
    ]
    png = contact_strip(views * 2, ["MAMMOGRAPHY: $x_1$ a mass. " * 20] * 4, "Phantoms")
    assert len(png) <= 200_000
    strip = np.asarray(Image.open(BytesIO(png)))
    quarters = np.array_split(strip[100:350], 4, axis=1)
    assert all(quarter.std() > 40 for quarter in quarters)
    assert np.abs(quarters[0].astype(int) - quarters[1]).mean() > 10  # the one case's CC is not its MLO
    assert (strip[0] == 255).all()


def test_a_strip_needs_a_caption_for_every_image():
    with pytest.raises(ValueError, match="1 images and 2 captions"):
        contact_strip([Image.new("L", (9, 9))], ["a", "b"], "Phantoms")


def test_the_beginning_of_a_caption_ends_at_a_word():
    text = beginning("one two three " * 60)
    assert len(text.splitlines()) == 8 and text.endswith(" …")
    assert set(text.replace("…", "").split()) == {"one", "two", "three"}
    assert beginning("A short one.") == "A short one."


def test_the_place_of_a_pair_is_said_as_far_as_it_is_known():
    pair = {"figure": "3-1", "page": 7, "source": "atlas", "case_id": "atlas/3.1"}
    assert place_of(pair) == "Figure 3-1, page 7, atlas"
    assert place_of({**pair, "page": None}) == "Figure 3-1, atlas"
    assert place_of({"case_id": "atlas/3.1"}) == "Case atlas/3.1"


def test_rows_to_show_are_of_different_cases_all_over_the_set():
    assert spread_rows([f"case {row // 2}" for row in range(20)], 5) == [0, 4, 8, 12, 16]
    assert spread_rows(["a", "b", "a"], 8) == [0, 1]
