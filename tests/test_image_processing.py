"""From any form of a mammogram to model input: shapes, ranges, bits kept, crop, round trips."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from dicom_files import as_bytes, mammogram
from huggingface_hub.errors import StrictDataclassFieldValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torchvision.transforms.v2.functional import normalize
from transformers import AutoImageProcessor, AutoProcessor

from processing import (
    MamClipImageProcessor,
    MamClipProcessor,
    MammogramError,
    find_breast,
    read_image,
    to_uint8,
)
from processing.bright_regions import largest_component

SMALL = {"height": 64, "width": 48}
MINI_MIAS = Path(__file__).resolve().parents[2] / "shared" / "data" / "mini-mias"


def breast(height=200, width=150, dtype=np.uint16, top=4095):
    """Half an ellipse at the left border, brighter inside, on a dark noisy background."""
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / (0.35 * height)) ** 2 + (x / (0.6 * width)) ** 2 < 1
    noise = np.random.default_rng(0).uniform(0, 0.01, (height, width))
    values = noise + inside * (0.3 + 0.6 * (1 - x / width))
    return (values / values.max() * top).astype(dtype), (0, 60, 90, 140)


def iou(box, other):
    wide = min(box.x1, other[2]) - max(box.x0, other[0])
    high = min(box.y1, other[3]) - max(box.y0, other[1])
    both = max(0, wide) * max(0, high)
    own = (box.x1 - box.x0) * (box.y1 - box.y0)
    return both / (own + (other[2] - other[0]) * (other[3] - other[1]) - both)


# ---- the crop


@pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_the_crop_finds_the_breast_in_any_type(dtype, top):
    pixels, _ = breast(dtype=dtype, top=top)
    box = find_breast(pixels)
    assert iou(box, (0, 30, 90, 170)) > 0.93 and box.source in ("detector", "threshold")
    np.testing.assert_array_equal(box.crop(pixels), pixels[box.y0 : box.y1, box.x0 : box.x1])


def test_a_label_brighter_than_any_tissue_is_left_out():
    pixels, _ = breast()
    pixels[10:30, 110:145] = 65535
    assert iou(find_breast(pixels), (0, 30, 90, 170)) > 0.93


def test_a_film_edge_is_left_out():
    pixels, _ = breast()
    pixels[:3] = pixels[-3:] = 4095
    assert iou(find_breast(pixels), (0, 30, 90, 170)) > 0.9


def test_what_was_cropped_before_and_what_is_blank_stay_whole():
    pixels, _ = breast()
    cropped = find_breast(pixels).crop(pixels)
    again = find_breast(cropped)
    assert (again.x1 - again.x0) * (again.y1 - again.y0) > 0.9 * cropped.size
    assert find_breast(np.zeros((50, 40), np.uint8)).source == "whole"
    assert find_breast(np.full((3, 2), 9)).source == "whole"


def test_the_largest_component_is_that_of_another_implementation():
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(1)
    for density in (0.2, 0.4, 0.5, 0.7):
        mask = rng.random((40, 30)) < density
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        sizes = ndimage.sum(mask, labels, range(1, count + 1))
        found = largest_component(mask)
        assert found.sum() == sizes.max()
        assert len(set(labels[found].tolist())) == 1
    assert not largest_component(np.zeros((5, 4), bool)).any()


@pytest.mark.skipif(not MINI_MIAS.is_dir(), reason="mini-MIAS is not beside the project")
def test_the_crop_agrees_with_boxes_drawn_by_hand_on_mini_mias():
    table = pd.read_csv(MINI_MIAS / "labels.csv").iloc[::4]
    overlaps = []
    for row in table.itertuples():
        box = find_breast(np.asarray(Image.open(MINI_MIAS / row.image)))
        overlaps.append(iou(box, (row.breast_x0, row.breast_y0, row.breast_x1, row.breast_y1)))
    assert np.mean(overlaps) > 0.92 and np.mean(np.array(overlaps) > 0.75) > 0.93


# ---- the image processor


def forms(pixels):
    """One 8-bit image in every form that people have."""
    image = Image.fromarray(pixels)
    yield "array", pixels
    yield "channels last", np.repeat(pixels[..., None], 3, axis=2)
    yield "tensor", torch.from_numpy(pixels)
    yield "channels first", torch.from_numpy(pixels)[None].repeat(3, 1, 1)
    yield "PIL L", image
    yield "PIL RGB", image.convert("RGB")


def test_every_form_of_an_image_gives_the_same_input():
    pixels, _ = breast(dtype=np.uint8, top=255)
    processor = MamClipImageProcessor(size=SMALL)
    expected = processor(pixels, return_tensors="pt")["pixel_values"]
    assert expected.shape == (1, 3, 64, 48) and expected.dtype == torch.float32
    assert expected.min() == 0 and expected.max() == 1
    for name, form in forms(pixels):
        torch.testing.assert_close(processor([form], return_tensors="pt")["pixel_values"], expected, msg=name)
    batch = processor(np.stack([pixels[None]] * 2), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(batch, expected.repeat(2, 1, 1, 1))


def test_the_published_size_is_the_default():
    values = MamClipImageProcessor()(breast()[0], return_tensors="pt")["pixel_values"]
    assert values.shape == (1, 3, 1024, 768)


def test_all_sixteen_bits_are_kept():
    pixels = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48) * 20
    values = MamClipImageProcessor(size=SMALL, do_crop=False)(Image.fromarray(pixels), return_tensors="pt")
    expected = torch.from_numpy(pixels / pixels.max()).float()
    torch.testing.assert_close(values["pixel_values"][0, 0], expected, atol=1e-6, rtol=0)


def test_files_of_all_kinds(tmp_path):
    pixels, _ = breast()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    (tmp_path / "odd.name").write_bytes(as_bytes(mammogram(pixels)))
    processor = MamClipImageProcessor(size=SMALL)
    paths = [tmp_path / "a.png", str(tmp_path / "a.tif"), tmp_path / "odd.name"]
    values = processor(paths, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(values[0], values[2], atol=2e-4, rtol=0)


def test_a_blank_image_is_black_and_no_nan():
    values = MamClipImageProcessor(size=SMALL)(np.full((20, 10), 7, np.uint8), return_tensors="pt")
    assert (values["pixel_values"] == 0).all()


def test_scaling_none_keeps_the_range():
    processor = MamClipImageProcessor(size=SMALL, do_crop=False, scaling="none")
    half = processor(np.full((64, 48), 127.5 / 255, np.float32), return_tensors="pt")["pixel_values"]
    assert torch.allclose(half, torch.tensor(0.5))
    assert processor(np.full((64, 48), 255, np.uint8), return_tensors="pt")["pixel_values"].min() == 1


def test_options_of_one_call_hold_for_that_call():
    pixels, _ = breast()
    processor = MamClipImageProcessor(size=SMALL)
    other = processor(pixels, size={"height": 32, "width": 24}, do_crop=False, return_tensors="np")
    assert other["pixel_values"].shape == (1, 3, 32, 24)
    assert processor(pixels, return_tensors="np")["pixel_values"].shape == (1, 3, 64, 48)


def test_round_trip_through_a_folder(tmp_path):
    processor = MamClipImageProcessor(size=SMALL, antialias=False)
    processor.save_pretrained(tmp_path)
    again = AutoImageProcessor.from_pretrained(tmp_path)
    pixels, _ = breast()
    assert again.to_dict() == processor.to_dict()
    torch.testing.assert_close(
        again(pixels, return_tensors="pt")["pixel_values"],
        processor(pixels, return_tensors="pt")["pixel_values"],
    )


@pytest.mark.parametrize("stored", [(80, 60), (2048, 1536), (1914, 1500), (3, 2)])
def test_the_published_mode_is_opencvs_stretch_and_min_max(stored):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    pixels = rng.integers(40, 71, stored).astype(np.uint8)  # few grey levels: min–max magnifies differences
    stretched = cv2.resize(pixels, (768, 1024), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    expected = (stretched - stretched.min()) / (stretched.max() - stretched.min())
    values = MamClipImageProcessor(published=True)(pixels, return_tensors="np")["pixel_values"]
    for channel in values[0]:
        np.testing.assert_allclose(channel, expected, atol=1e-6)


def test_the_published_mode_neither_crops_nor_averages_unless_asked_to(tmp_path):
    pixels, _ = breast()  # 16 bits: the same stretch, with all of them
    processor = MamClipImageProcessor(size=SMALL, published=True)
    plain = MamClipImageProcessor(size=SMALL, do_crop=False, antialias=False)
    values = processor(pixels, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(values, plain(pixels, return_tensors="pt")["pixel_values"])
    cropped = processor(pixels, do_crop=True, return_tensors="pt")["pixel_values"]
    assert not torch.allclose(cropped, values, atol=0.1)
    processor.save_pretrained(tmp_path)
    again = AutoImageProcessor.from_pretrained(tmp_path)
    assert (again.published, again.do_crop, again.antialias) == (True, False, False)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"size": {"shortest_edge": 5}}, "'height'"),
        ({"size": {"height": 0, "width": 4}}, "positive"),
        ({"size": {"height": "64", "width": 48}}, "size"),
        ({"do_crop": "yes"}, "expected bool"),
        ({"scaling": "zscore"}, "scaling is 'zscore'; expected one of min_max, imagenet, none"),
        ({"fit": "cover"}, "fit is 'cover'; expected one of stretch, pad"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises((ValueError, StrictDataclassFieldValidationError), match=said):
        MamClipImageProcessor(**options)


def test_misspelt_options_are_refused_at_once_and_in_a_call():
    with pytest.raises(TypeError, match="no option do_resize; it has size, do_crop"):
        MamClipImageProcessor(do_resize=False)
    with pytest.raises(TypeError, match="no option antialais"):
        MamClipImageProcessor(size=SMALL)(breast()[0], antialais=True)
    with pytest.raises(ValueError, match="expected one of stretch, pad"):
        MamClipImageProcessor(size=SMALL)(breast()[0], fit="squeeze")


def test_imagenets_scaling_follows_min_max():
    pixels, _ = breast()
    plain = MamClipImageProcessor(size=SMALL)(pixels, return_tensors="pt")["pixel_values"]
    values = MamClipImageProcessor(size=SMALL, scaling="imagenet")(pixels, return_tensors="pt")[
        "pixel_values"
    ]
    mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    torch.testing.assert_close(values, normalize(plain, mean, std))


def test_padding_keeps_the_breasts_proportions():
    tall, wide = np.full((90, 30), 200, np.uint8), np.full((30, 90), 200, np.uint8)
    tall[:45], wide[:15] = 100, 100  # not blank
    processor = MamClipImageProcessor(size=SMALL, do_crop=False, fit="pad", scaling="none")
    batch = processor([tall, wide], return_tensors="pt")
    assert [placement.window for placement in batch.placements] == [(0, 0, 21, 64), (0, 24, 48, 40)]
    for image, values, placement in zip((tall, wide), batch["pixel_values"], batch.placements, strict=True):
        x0, y0, x1, y1 = placement.window
        alone = processor(
            image, size={"height": y1 - y0, "width": x1 - x0}, fit="stretch", return_tensors="pt"
        )
        torch.testing.assert_close(values[:, y0:y1, x0:x1], alone["pixel_values"][0])
        outside = torch.ones(64, 48, dtype=torch.bool)
        outside[y0:y1, x0:x1] = False
        assert (values[:, outside] - 100 / 255).abs().max() < 1e-6


def test_padding_leaves_the_chest_wall_at_its_border():
    pixels, _ = breast(400, 150)
    processor = MamClipImageProcessor(size=SMALL, fit="pad")
    batch = processor([pixels, pixels[:, ::-1]], return_tensors="pt")
    left, right = (placement.crop_box for placement in batch.placements)
    assert np.abs(np.array(left) - (150 - right[2], right[1], 150 - right[0], right[3])).max() <= 2
    whole = processor([pixels, pixels[:, ::-1]], do_crop=False, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(whole[0], whole[1].flip(-1), atol=1e-5, rtol=0)
    assert (batch["pixel_values"][0, 0, :, :3].amax(0) > 0.5).all()
    assert (batch["pixel_values"][1, 0, :, -3:].amax(0) > 0.5).all()
    oriented = processor(pixels[:, ::-1], orient=True, return_tensors="pt")
    assert oriented.placements[0].window[0] == 0 and oriented.placements[0].flipped


def test_orientation_puts_the_chest_wall_on_the_left_and_says_so():
    pixels, _ = breast()
    whole = {"size": SMALL, "do_crop": False}  # a detector's box is not mirrored to the pixel
    processor = MamClipImageProcessor(orient=True, **whole)
    batch = processor([pixels, pixels[:, ::-1]], return_tensors="pt")
    assert [placement.flipped for placement in batch.placements] == [False, True]
    torch.testing.assert_close(batch["pixel_values"][0], batch["pixel_values"][1], atol=0.02, rtol=0)
    plain = MamClipImageProcessor(**whole)(pixels[:, ::-1], return_tensors="pt")
    torch.testing.assert_close(plain["pixel_values"].flip(-1), batch["pixel_values"][1:], atol=1e-6, rtol=0)


def test_labels_beside_the_breast_go_and_the_breast_stays():
    pixels, _ = breast()
    labelled = pixels.copy()
    labelled[20:50, 110:140] = 65535
    processor = MamClipImageProcessor(size=SMALL, do_crop=False)
    clean = processor(pixels, return_tensors="pt")["pixel_values"]
    kept = processor(labelled, return_tensors="pt")["pixel_values"]
    removed = processor(labelled, remove_labels=True, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(removed, clean, atol=0.02, rtol=0)
    assert (kept - clean).abs().max() > 0.5
    untouched = processor(pixels, remove_labels=True, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(untouched, clean, atol=0.02, rtol=0)


def test_a_batch_of_mixed_sizes_and_types_is_that_of_its_images():
    images = [
        breast()[0],
        breast(90, 70, np.uint8, 255)[0],
        torch.from_numpy(breast(120, 80, np.float32, 1.0)[0]),
    ]
    images.append(Image.fromarray(breast(300, 150)[0]))
    processor = MamClipImageProcessor(size=SMALL)
    batch = processor(images, return_tensors="pt")
    for image, values, box in zip(images, batch["pixel_values"], batch.crop_boxes, strict=True):
        alone = processor(image, return_tensors="pt")
        torch.testing.assert_close(alone["pixel_values"][0], values)
        assert alone.crop_boxes == [box]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("as_form", [np.asarray, torch.from_numpy])
def test_values_that_are_no_numbers_are_refused(value, as_form):
    pixels = breast(dtype=np.float32, top=1.0)[0]
    pixels[3, 4] = value
    with pytest.raises(MammogramError, match="NaN or infinite"):
        MamClipImageProcessor(size=SMALL)(as_form(pixels))


@settings(max_examples=40, deadline=None)
@given(
    image=arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32, np.dtype(">u2")]),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        elements=st.integers(0, 100),
    ),
    options=st.fixed_dictionaries(
        {
            "do_crop": st.booleans(),
            "orient": st.booleans(),
            "remove_labels": st.booleans(),
            "fit": st.sampled_from(["stretch", "pad"]),
            "antialias": st.booleans(),
            "published": st.booleans(),
        }
    ),
)
def test_any_image_with_any_options_gives_numbers_from_0_to_1(image, options):
    values = MamClipImageProcessor(size=SMALL, **options)(image, return_tensors="pt")["pixel_values"]
    assert values.shape == (1, 3, 64, 48) and values.dtype == torch.float32
    assert torch.isfinite(values).all() and values.min() >= 0 and values.max() <= 1


def test_every_option_comes_back_from_a_folder(tmp_path):
    changed = {"do_crop": False, "remove_labels": True, "orient": True, "fit": "pad", "antialias": False}
    MamClipImageProcessor(size=SMALL, scaling="imagenet", **changed).save_pretrained(tmp_path)
    again = AutoImageProcessor.from_pretrained(tmp_path)
    assert {name: getattr(again, name) for name in changed} == changed
    assert (again.size, again.scaling, again.published) == (SMALL, "imagenet", False)


def test_the_whole_processor_comes_back_from_a_folder_without_code(tmp_path):
    tiny_models.processor().save_pretrained(tmp_path)  # as pretrain.py writes it
    again = AutoProcessor.from_pretrained(tmp_path)
    assert type(again) is MamClipProcessor
    assert again.image_processor.to_dict() == tiny_models.processor().image_processor.to_dict()


def test_the_whole_processor_takes_the_image_processors_options():
    pixels, _ = breast()
    whole, images = tiny_models.processor(), MamClipImageProcessor(size=SMALL)
    inputs = whole(images=pixels, text=["left breast"], do_crop=False, return_tensors="pt")
    expected = images(pixels, do_crop=False, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(inputs["pixel_values"], expected)
    assert inputs["input_ids"].shape[0] == 1


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(MammogramError, match="neither DICOM nor a picture"):
        read_image(tmp_path / "notes.txt")
    with pytest.raises(MammogramError, match="no grey image"):
        MamClipImageProcessor(size=SMALL)(np.zeros((2, 3, 4, 5, 6)))
    with pytest.raises(MammogramError, match="type bool"):
        MamClipImageProcessor(size=SMALL)(np.ones((4, 5), bool))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_image(tmp_path / "nowhere.png")


def test_to_uint8_spans_the_range():
    np.testing.assert_array_equal(to_uint8(np.array([[10, 20], [30, 40]], np.uint16)), [[0, 85], [170, 255]])
    assert (to_uint8(np.full((2, 2), 5)) == 0).all()


def test_pictures_are_read_where_pydicom_is_missing(tmp_path):
    Image.fromarray(breast()[0]).save(tmp_path / "a.png")
    (tmp_path / "a.dcm").write_bytes(as_bytes(mammogram(breast()[0])))
    program = (
        "import sys; sys.modules['pydicom'] = None\n"
        "from processing import read_image, MammogramError\n"
        "assert read_image('a.png').pixels.max() == 4095\n"
        "try: read_image('a.dcm')\n"
        "except MammogramError as error: assert 'pip install pydicom' in str(error)\n"
        "else: raise SystemExit('read without pydicom')\n"
    )
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
