"""The breast crop by its detector: any type, size, side, view and polarity; who decides; how the weights travel."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_models import processor as tiny_processor
from transformers import AutoImageProcessor

from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_view
from processing import MamClipImageProcessor, MamClipProcessor, find_breast, to_uint8
from processing.breast_crop import find_by_threshold
from processing.breast_detector import (
    WEIGHTS_NAME,
    best_box,
    detect,
    detector_file,
    load_detector,
    reduced,
)
from processing.breast_edges import refined
from processing.yolox import Yolox
from training.detector_scores import overlap, tissue_inside

VIEWS = [("L", "CC"), ("R", "CC"), ("L", "MLO"), ("R", "MLO")]
SMALL = {"height": 64, "width": 48}


def phantom(laterality="L", view="MLO", index=0, height=512):
    """A phantom that the detector was not trained on: pixels (H, W) uint16 and its box."""
    rendered = render_view(draw_case(77, index), laterality, view, height=height, width=height * 3 // 4)
    return rendered.pixels, np.array(rendered.breast_box, float)


def agreement(found, truth):
    """(IoU, share of the true box inside)."""
    return overlap(np.array([found.x0, found.y0, found.x1, found.y1], float), truth)


def widened(pixels, truth, left, top, right, bottom, fill):
    """The image with a margin around it, and its box there."""
    wide = np.pad(pixels, ((top, bottom), (left, right)), constant_values=fill)
    return wide, truth + (left, top, left, top)


# ---- what is found


@pytest.mark.parametrize("laterality, view", VIEWS)
@pytest.mark.parametrize("inverted", [False, True])
def test_both_sides_and_views_bright_or_dark(laterality, view, inverted):
    pixels, truth = phantom(laterality, view)
    found = find_breast(pixels.max() - pixels if inverted else pixels)
    assert found.source in ("detector", "whole") and found.score > 0.5
    assert agreement(found, truth)[0] > 0.9


FORMS = {
    "uint8": to_uint8,
    "uint16": lambda pixels: pixels * 16,
    "float in 0–1": lambda pixels: pixels.astype(np.float32) / 4095,
    "int32 below 0": lambda pixels: pixels.astype(np.int32) - 1000,
    "tensor": torch.from_numpy,
}


@pytest.mark.parametrize("convert", FORMS.values(), ids=FORMS)
def test_any_type_and_range_gives_the_same_box(convert):
    pixels, truth = widened(*phantom(view="CC"), 0, 20, 120, 60, 40)
    expected, found = find_breast(pixels), find_breast(convert(pixels))
    corners = np.array([(box.x0, box.y0, box.x1, box.y1) for box in (expected, found)])
    assert np.abs(corners[0] - corners[1]).max() <= 6 and found.source == expected.source == "detector"
    assert agreement(found, truth)[0] > 0.9
    assert found.crop(convert(pixels)).shape == (found.y1 - found.y0, found.x1 - found.x0)


def test_labels_scanner_borders_and_a_film_in_a_wide_black_image():
    pixels, truth = widened(*phantom("R", "CC"), 200, 30, 90, 50, 0)
    pixels[:, :25] = pixels[-20:] = 65535
    pixels[40:90, 60:150] = 65535
    found = find_breast(pixels)
    assert agreement(found, truth)[0] > 0.9 and found.source == "detector"


@pytest.mark.parametrize("height, width", [(64, 48), (300, 1200), (3000, 1000)])
def test_any_size_and_shape(height, width):
    pixels, truth = phantom("L", "CC")
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(pixels)[None, None].float(), (height, width), mode="area"
    )
    scale = np.array([width / pixels.shape[1], height / pixels.shape[0]] * 2)
    assert agreement(find_breast(wanted[0, 0]), truth * scale)[0] > 0.85


def test_what_was_cropped_before_stays_whole():
    for laterality, view in VIEWS:
        pixels, _ = phantom(laterality, view)
        once = find_breast(pixels).crop(pixels)
        again = find_breast(once)
        height, width = once.shape
        assert (again.x0, again.y0, again.x1, again.y1, again.source) == (0, 0, width, height, "whole")


def test_what_is_blank_or_not_finite():
    assert find_breast(np.zeros((50, 40), np.uint8)).source == "whole"
    assert find_breast(np.full((50, 40), np.nan)).source == "whole"
    pixels, truth = phantom()
    broken = pixels.astype(np.float32)
    broken[:8, -8:] = np.inf
    assert agreement(find_breast(broken), truth)[0] > 0.85


def test_where_the_detector_is_unsure_the_threshold_decides():
    torch.manual_seed(0)
    clueless = Yolox().eval()
    for prediction in clueless.head.obj_preds:
        torch.nn.init.constant_(prediction.bias, -6)
    pixels, truth = widened(*phantom("L", "CC"), 0, 60, 150, 60, 40)
    found = find_breast(pixels, clueless)
    assert found == find_by_threshold(pixels) and found.source == "threshold"
    assert agreement(found, truth)[0] > 0.85


@pytest.mark.parametrize("level", [0, 2])
def test_finer_cells_are_asked_where_the_coarsest_are_unsure(level):
    torch.manual_seed(0)
    network = Yolox().eval()
    for predictions in (network.head.obj_preds, network.head.cls_preds):
        for number, prediction in enumerate(predictions):
            torch.nn.init.zeros_(prediction.weight)
            torch.nn.init.constant_(prediction.bias, 6 if number == level else -6)
    _, score = detect(reduced(phantom()[0], 416), network)
    assert score > 0.98


@pytest.mark.parametrize("inverted", [False, True])
def test_a_box_that_cuts_the_breast_grows_until_it_holds_it(inverted):
    pixels, truth = widened(*phantom("L", "CC"), 0, 60, 150, 60, 40)
    small = reduced(pixels.max() - pixels if inverted else pixels, 416)
    wanted = truth * small.shape[0] / pixels.shape[0]
    cut = wanted + np.array([0.25, 0.02, 0, -0.02]) * np.tile(wanted[2:] - wanted[:2], 2)
    iou, covered = overlap(refined(small, cut), wanted)
    assert overlap(cut, wanted)[0] < 0.75 and iou > 0.97 and covered > 0.97
    assert tissue_inside(pixels, truth, refined(small, cut) * pixels.shape[0] / small.shape[0]) > 0.98


# ---- how


def test_an_image_is_reduced_without_being_moved():
    """A straight slope stays what it is: its values at the reduced pixels' centres."""
    for height, width in [(4000, 3000), (1024, 1024), (417, 100)]:
        slope = np.add.outer(np.arange(height) * 2.0, np.arange(width) * 3.0)
        small = reduced(slope, 416)
        assert max(small.shape) == 416
        step_y, step_x = height / small.shape[0], width / small.shape[1]
        y, x = np.arange(small.shape[0]), np.arange(small.shape[1])
        expected = np.add.outer(((y + 0.5) * step_y - 0.5) * 2, ((x + 0.5) * step_x - 0.5) * 3)
        assert np.abs(small - expected)[1:-1, 1:-1].max() < 5 * max(step_y, step_x)


def test_cells_that_agree_share_the_box():
    output = torch.tensor([[50.0, 50, 20, 20, 1, 0.8], [52, 50, 20, 20, 1, 0.8], [9, 9, 4, 4, 1, 0.3]])
    box, score = best_box(output)
    np.testing.assert_allclose(box, (41, 40, 61, 60), atol=1e-5)
    assert score == pytest.approx(0.8)


# ---- the weights


def test_the_shipped_weights_are_small_and_say_where_they_come_from():
    file = detector_file()
    assert file.stat().st_size < 4_000_000
    with safe_open(file, "pt") as weights:
        about = weights.metadata()
    stages = json.loads(about["history"])
    assert stages[-1]["mini_mias"] and stages[-1]["fold"] is None and all("seed" in stage for stage in stages)
    assert about["script"] == "train_scripts/train_breast_detector.py" and "date" in about


def other_weights(folder):
    """Weights of a detector that is never sure."""
    tensors = {name: value.contiguous() for name, value in Yolox().state_dict().items()}
    for level in range(3):
        tensors[f"head.obj_preds.{level}.bias"].fill_(-9)
    save_file(tensors, folder / WEIGHTS_NAME)


def test_weights_travel_with_the_processor_and_those_of_the_folder_win(tmp_path):
    MamClipImageProcessor(size=SMALL).save_pretrained(tmp_path / "first")
    assert (tmp_path / "first" / WEIGHTS_NAME).read_bytes() == detector_file().read_bytes()
    assert WEIGHTS_NAME not in (tmp_path / "first" / "preprocessor_config.json").read_text()
    other_weights(tmp_path / "first")
    again = AutoImageProcessor.from_pretrained(tmp_path / "first")
    again.save_pretrained(tmp_path / "second")
    assert (tmp_path / "second" / WEIGHTS_NAME).read_bytes() == (
        tmp_path / "first" / WEIGHTS_NAME
    ).read_bytes()
    pixels, _ = widened(*phantom("L", "CC"), 0, 60, 150, 60, 40)
    cropped = find_by_threshold(pixels).crop(pixels)
    plain = MamClipImageProcessor(size=SMALL, do_crop=False)
    torch.testing.assert_close(
        again(pixels, return_tensors="pt")["pixel_values"],
        plain(cropped, return_tensors="pt")["pixel_values"],
    )


def test_a_whole_processor_takes_the_weights_along(tmp_path):
    tiny_processor().save_pretrained(tmp_path / "folder")
    assert (tmp_path / "folder" / WEIGHTS_NAME).is_file()
    MamClipProcessor.from_pretrained(tmp_path / "folder").save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / WEIGHTS_NAME).is_file()


def test_a_folder_without_weights_takes_those_beside_the_code_and_no_crop_needs_none(tmp_path):
    MamClipImageProcessor(size=SMALL, do_crop=False).save_pretrained(tmp_path)
    assert not (tmp_path / WEIGHTS_NAME).exists()
    loaded = AutoImageProcessor.from_pretrained(tmp_path)
    assert loaded(phantom()[0], do_crop=True, return_tensors="pt")["pixel_values"].shape == (1, 3, 64, 48)


def test_missing_or_wrong_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="copy breast_detector.safetensors"):
        load_detector(str(tmp_path / WEIGHTS_NAME))
    save_file({"x": torch.zeros(1)}, tmp_path / "one.safetensors")
    with pytest.raises(ValueError, match="no YOLOX-nano"):
        load_detector(str(tmp_path / "one.safetensors"))
    shutil.copyfile(__file__, tmp_path / "two.safetensors")
    with pytest.raises(ValueError, match="no YOLOX-nano"):
        load_detector(str(tmp_path / "two.safetensors"))
