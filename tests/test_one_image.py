"""One mammogram, from the bytes of a file to scores, maps, captions and HTML; bad files and words are one sentence."""

import html
import io
import os
import re
import time
import traceback

import numpy as np
import pytest
import torch
from app_release import CAPTIONS, TEMPERATURES, load_app, write_tiny_release
from dicom_files import as_bytes, mammogram
from PIL import Image

from evaluation.heatmaps import caption_map, class_map
from inference import one_image_page as pieces
from inference.answers import FORGOT, Answers
from inference.one_image import MOST_SENTENCES, OneImage
from inference.uploads import MB, sweep, taken
from modeling_mamclip import MamClipForImageClassification
from processing import MammogramError, Placement, read_dicom

SECRETS = ("ROSSI", "ANNA", "4711", "19540321")
CT = "1.2.840.10008.5.1.4.1.1.2"


def stored(seed=0, height=90, width=64):
    """(H, W) uint16: grain, and a bright half ellipse at the left border."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / (height / 2.5)) ** 2 + (x / (width / 1.6)) ** 2 < 1
    grain = np.random.default_rng(seed).integers(0, 300, (height, width))
    return (grain + 2500 * inside).astype(np.uint16)


def dicom(pixels=None, **tags):
    """A left CC mammogram that names a patient wherever there is room."""
    given = {
        "PatientName": "ROSSI^ANNA",
        "PatientID": "PATIENT-4711",
        "PatientBirthDate": "19540321",
        "ImageComments": "ROSSI ANNA 4711",
        "ImageLaterality": "L",
        "ViewPosition": "CC",
    }
    return as_bytes(mammogram(stored() if pixels is None else pixels, **{**given, **tags}))


def png(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write_tiny_release(tmp_path_factory.mktemp("one_image"))


@pytest.fixture(scope="module")
def reader(place):
    return load_app().open_reader(place / "mamclip", place / "index")


@pytest.fixture(scope="module")
def image(reader):
    return reader.read(dicom())


def test_a_dicom_file_keeps_its_pixels_its_view_and_its_laterality_and_nothing_else(reader, image):
    assert (image.view, image.laterality) == ("CC", "L")
    np.testing.assert_array_equal(image.pixels, read_dicom(dicom()).pixels)
    batch = reader.classifier.processor(image.pixels, return_tensors="pt")
    torch.testing.assert_close(image.pixel_values, batch["pixel_values"], rtol=0, atol=0)
    assert image.placement == batch.placements[0]
    assert not any(secret in repr(vars(image)) for secret in SECRETS)


def test_scores_are_calibrated_and_groups_are_their_sums(place, reader, image):
    model = MamClipForImageClassification.from_pretrained(place / "mamclip").eval()
    with torch.no_grad():
        output = model(image.pixel_values)
    birads = (output.logits[0] / TEMPERATURES["birads_temperature"]).softmax(-1)
    density = (output.density_logits[0] / TEMPERATURES["density_temperature"]).softmax(-1)
    scores = reader.scores(image)
    assert list(scores["birads"].values()) == pytest.approx(birads.tolist(), abs=1e-6)
    assert list(scores["density"].values()) == pytest.approx(density.tolist(), abs=1e-6)
    of = scores["birads"]
    assert scores["groups"] == pytest.approx(
        {
            "benign": of["BI-RADS 1"] + of["BI-RADS 2"],
            "incomplete": of["BI-RADS 0"],
            "malignant": of["BI-RADS 4"] + of["BI-RADS 5"],
        }
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_picture_of_16_bits_scores_as_the_dicom_file_of_the_same_pixels(reader, image, kind):
    same = reader.read(png(image.pixels, kind))
    assert (same.view, same.laterality) == (None, None)
    assert reader.scores(same) == reader.scores(image)


def test_maps_are_those_of_the_class_and_of_the_sentence(reader, image):
    for name, task, label in (("BI-RADS 4", "birads", "BI-RADS 4"), ("density B", "density", "B")):
        expected = class_map(reader.classifier.model, image.pixel_values, label, task=task)
        np.testing.assert_array_equal(reader.class_map(image, name), expected)
    tokens = reader.processor(text=["a spiculated mass"], return_tensors="pt")
    expected = caption_map(reader.aligned, image.pixel_values, tokens["input_ids"], tokens["attention_mask"])
    np.testing.assert_array_equal(reader.caption_map(image, "a spiculated mass"), expected)
    with pytest.raises(ValueError, match="no class 'BI-RADS 3'; there are BI-RADS 0"):
        reader.class_map(image, "BI-RADS 3")


@pytest.mark.parametrize("flipped", [False, True])
def test_a_hot_spot_is_shown_where_it_lies_in_the_crop(flipped):
    """A spot in the upper right of the model's input, which is the upper left of the file where it was mirrored."""
    pixels = np.full((400, 300), 1000, np.uint16)
    pixels[0, 0] = 0
    place = Placement((400, 300), (100, 40, 300, 360), flipped, (64, 48), (0, 0, 48, 64))
    image = OneImage(pixels, torch.zeros(1, 3, 64, 48), place, None, None)
    heat = np.zeros((64, 48), np.float32)
    heat[8:12, 36:40] = 1
    shown = np.asarray(Image.open(io.BytesIO(image.heated(heat, height=160))))
    assert shown.shape == (160, 100, 3)
    colour = shown.max(axis=2).astype(int) - shown.min(axis=2)
    y, x = np.unravel_index(colour.argmax(), colour.shape)
    column = 100 - 100 * 38 / 48 if flipped else 100 * 38 / 48
    assert y == pytest.approx(160 * 10 / 64, abs=4) and x == pytest.approx(column, abs=4)
    assert not colour[80:].any()  # where nothing is hot the mammogram is grey


def test_pictures_have_the_proportions_of_the_file_and_of_the_crop(image):
    height, width = image.pixels.shape
    x0, y0, x1, y1 = image.placement.crop_box
    whole, crop = (Image.open(io.BytesIO(p)) for p in (image.framed(45), image.cropped(45)))
    assert whole.size == (round(width * 45 / height), 45)
    assert crop.size[0] / crop.size[1] == pytest.approx((x1 - x0) / (y1 - y0), abs=0.03)


def test_sentences_are_compared_as_the_pipeline_does_and_sets_by_their_names(reader, image):
    found = reader.compare(image, "  a spiculated mass \n\nleft breast\na spiculated mass\n")
    model, processor = reader.aligned, reader.processor
    with torch.no_grad():
        tokens = processor(text=["a spiculated mass", "left breast"], return_tensors="pt", padding=True)
        logits = model(pixel_values=image.pixel_values, **tokens).logits_per_image
    expected = dict(zip(("a spiculated mass", "left breast"), logits.softmax(-1)[0].tolist(), strict=True))
    assert dict(found) == pytest.approx(expected, abs=1e-5)
    assert [score for _, score in found] == sorted(expected.values(), reverse=True)
    assert sum(score for _, score in reader.compare(image, "birads")) == pytest.approx(1, abs=1e-5)
    assert {label for label, _ in reader.compare(image, "density")} == set("ABCD")
    assert len(reader.compare(image, "findings")) == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "two sentences or more"),
        ("one alone\none alone", "two sentences or more"),
        ("\n".join(map(str, range(MOST_SENTENCES + 1))), f"at most {MOST_SENTENCES} sentences"),
        ("a\n" + "b" * 1000, "of 400 characters"),
    ],
)
def test_too_few_or_too_many_words_are_refused(reader, image, text, said):
    with pytest.raises(ValueError, match=said):
        reader.compare(image, text)


def test_the_nearest_captions_come_with_their_figures(reader, image):
    with torch.no_grad():
        embeds = reader.aligned(pixel_values=image.pixel_values).image_embeds
        texts = [
            reader.aligned(**reader.processor(text=[text], return_tensors="pt")).text_embeds
            for text in CAPTIONS
        ]
    cosines = {text: float(embeds @ other.T) for text, other in zip(CAPTIONS, texts, strict=True)}
    found = reader.nearest(image)
    assert [row["caption"] for row in found] == sorted(cosines, key=cosines.get, reverse=True)
    assert {row["caption"]: row["similarity"] for row in found} == pytest.approx(cosines, abs=1e-5)
    assert all(row["place"].startswith("Figure 1-") for row in found)


def tomosynthesis():
    frames = np.stack([stored(seed) for seed in range(3)])
    return dicom(frames, NumberOfFrames=3)


def test_tomosynthesis_is_read_by_its_central_frame_and_says_so(reader):
    image = reader.read(tomosynthesis())
    np.testing.assert_array_equal(image.pixels, read_dicom(tomosynthesis(), frame="central").pixels)
    assert any("the central one is read" in warning for warning in image.warnings)


BAD = {
    "empty": (b"", "is empty"),
    "rubbish": (b"ROSSI^ANNA 4711 " * 40, "neither DICOM nor a picture"),
    "cut PNG": (png(stored())[:500], "cannot be read"),
    "cut DICOM": (dicom()[:700], "get a new copy"),
    "CT": (dicom(Modality="CT", SOPClassUID=CT), "no mammogram (CT"),
    "icon": (png(np.zeros((16, 16), np.uint8)), "16 × 16 pixels, too few"),
    "no pixels": (dicom(PixelData=None), "no pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_mammogram_is_one_sentence_that_quotes_nothing(reader, name):
    data, said = BAD[name]
    with pytest.raises(MammogramError, match=re.escape(said)) as caught:
        reader.read(data)
    sentence = str(caught.value)
    assert sentence.startswith("The ") and sentence.endswith(".") and "\n" not in sentence
    assert "any_modality" not in sentence and not any(secret in sentence for secret in SECRETS)
    told = "".join(traceback.format_exception(caught.value))  # what a server's log would have
    assert not any(secret in told for secret in SECRETS)


# ---- uploads


def upload(folder, data, name="Rossi Anna.dcm"):
    path = folder / "0123abcd" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return {"path": str(path), "orig_name": name}


def test_an_uploaded_file_is_deleted_with_its_folder_also_when_it_is_refused(tmp_path):
    assert taken(upload(tmp_path, b"12345"), 1) == b"12345"
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"more than 0\.001 MB and is refused"):
        taken(upload(tmp_path, bytes(MB // 1000 + 1)), 0.001)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="did not arrive"):
        taken({"path": str(tmp_path / "gone" / "file")}, 1)


def test_the_sweep_takes_what_is_old_and_leaves_what_is_new(tmp_path):
    old, new = upload(tmp_path, b"1")["path"], tmp_path / "under way"
    new.write_bytes(b"2")
    os.utime(old, (time.time() - 1000,) * 2)
    sweep(tmp_path, 300)
    assert list(tmp_path.iterdir()) == [new]


# ---- answers


@pytest.fixture(scope="module")
def answers(reader):
    return Answers(reader, max_mb=1)


def test_a_look_shows_pictures_and_scores_and_no_word_of_the_patient(answers, tmp_path):
    image, shown, best = answers.look(upload(tmp_path, dicom()))
    scores = answers.reader.scores(image)
    assert best == max(scores["birads"], key=scores["birads"].get)
    for task in scores.values():
        assert all(f"<td>{score:.3f}</td>" in shown for score in task.values())
    for word in ("Laterality: left", "View: CC", "malignant (4, 5)", "(BI-RADS 2.50, density 0.50)"):
        assert word in shown
    assert shown.count("data:image/png;base64,") == 2
    words = re.sub(r"base64,[^\"]*", "", shown)
    assert not any(secret.lower() in words.lower() for secret in SECRETS)
    assert not list(tmp_path.iterdir())


def test_a_bad_file_is_told_and_gone(answers, tmp_path):
    image, shown, best = answers.look(upload(tmp_path, b"rubbish"))
    assert image is None and best is None and "neither DICOM nor a picture" in shown
    assert answers.look(upload(tmp_path, bytes(MB + 1)))[1].count("more than 1 MB") == 1
    assert not list(tmp_path.iterdir())


def test_broken_weights_give_a_sentence_and_no_scores(place, tmp_path):
    reader = load_app().open_reader(place / "mamclip", None)
    with torch.no_grad():
        reader.classifier.model.birads_head.weight.fill_(float("nan"))
    image, shown, _ = Answers(reader, 1).look(upload(tmp_path, dicom()))
    assert image is None and "gave no numbers" in shown


def test_every_answer_is_html_whatever_is_written(answers, image):
    nasty = "<script>alert(1)</script>\n<b>left</b> {breast}"
    shown = answers.compare(image, nasty)
    assert "<script" not in shown and html.escape("<script>alert(1)</script>") in shown
    assert "{breast}" in shown
    assert "<script" not in answers.sentence_heat(image, "<script>mass</script>")
    assert "Write a sentence." in answers.sentence_heat(image, "  ")
    assert "no class" in answers.class_heat(image, "<b>")
    assert "for itself" in answers.compare(image, "findings")
    assert "synthetic" in answers.nearest(image) and CAPTIONS[0] in answers.nearest(image)


@pytest.mark.parametrize("answer", ["class_heat", "sentence_heat", "compare"])
def test_an_image_that_is_forgotten_is_said(answers, answer):
    assert html.escape(FORGOT, quote=False) in getattr(answers, answer)(None, "BI-RADS 1")


def test_a_phantom_says_that_it_is_one(answers):
    image, shown, _ = answers.look_at_phantom()
    assert "a phantom: synthetic, of no patient" in shown and image.pixels.shape == (1024, 768)


def test_a_map_that_is_empty_says_so(image):
    shown = pieces.heat(image, np.zeros(image.placement.input_size, np.float32), "BI-RADS 1")
    assert "the map is empty" in shown
    full = pieces.heat(image, np.ones(image.placement.input_size, np.float32), "BI-RADS 1")
    assert "the map is empty" not in full and "It proves nothing about the breast" in full
