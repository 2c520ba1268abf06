"""Heatmaps: what they show, that they are HiResCAM, that they lead back to the file, and leave the model alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from test_placement import placements
from tiny_models import VISION, pretraining_model, processor, random_weights
from torch import nn
from torch.nn import functional as F

from evaluation.heatmap_pictures import Column, heatmap_figure
from evaluation.heatmaps import caption_map, class_map, on_original, overlay
from evaluation.pointing_game import peak
from modeling_mamclip import MamClipForImageClassification, MamClipModel
from processing import MamClipImageProcessor

WORDS = torch.tensor([[2, 6, 7, 3]])
MASK = torch.ones_like(WORDS)
BATCH_NORM = {**VISION, "model_args": {**VISION["model_args"], "norm_layer": "batchnorm2d"}}


class Looker(nn.Module):
    """A classifier of known sight: class 0 counts bright pixels of the left half, 1 those of the right, 2 dark ones."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        names = {0: "left", 1: "right", 2: "dark"}
        self.config = SimpleNamespace(id2label=names, density_labels=["A", "B"])
        trunk = nn.Sequential(nn.AvgPool2d(4), Sight())
        trunk.feature_info = [{"module": "1", "reduction": 4}]
        self.encoder = nn.Module()
        self.encoder.trunk = trunk

    def forward(self, pixel_values):
        logits = self.encoder.trunk(pixel_values).mean(dim=(2, 3))
        return SimpleNamespace(logits=logits, density_logits=-logits[:, :2])


class Sight(nn.Module):
    def forward(self, pixels):
        bright, dark = F.relu(pixels[:, :1] - 0.5), F.relu(0.5 - pixels[:, :1])
        left = (torch.arange(pixels.shape[-1]) < pixels.shape[-1] / 2).float()
        return torch.cat([bright * left, bright * (1 - left), dark], dim=1)


def squares():
    """A grey image with two bright squares and a dark one: (left, right, dark) as (x, y) of their corners, 8 wide."""
    pixels, corners = torch.full((1, 3, 64, 48), 0.5), {"left": (8, 16), "right": (32, 40), "dark": (16, 52)}
    for name, (x, y) in corners.items():
        pixels[..., y : y + 8, x : x + 8] = 0.1 if name == "dark" else 0.9
    return pixels, corners


@pytest.fixture(scope="module")
def classifier():
    return random_weights(MamClipForImageClassification(pretraining_model().config), 2).eval()


@pytest.fixture(scope="module")
def aligned():
    return random_weights(MamClipModel(pretraining_model().config), 1).eval()


@pytest.fixture(scope="module")
def pixels():
    return torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", ["left", "right", "dark"])
def test_a_map_is_hot_where_the_class_is_decided_and_nowhere_else(name):
    image, corners = squares()
    heat = class_map(Looker(), image, name)
    x, y = corners[name]
    hot = np.argwhere(heat > 0.5)[:, ::-1]
    assert peak(heat) in {(i, j) for i in range(x, x + 8) for j in range(y, y + 8)}
    assert (np.abs(hot - (x + 3.5, y + 3.5)).max(axis=1) <= 8).all()
    assert heat.max() == 1


def test_nothing_speaks_for_what_is_not_there_and_against_is_not_for():
    image, _ = squares()
    assert not class_map(Looker(), torch.full_like(image, 0.3), "left").any()
    assert not class_map(Looker(), image, "A", task="density").any()  # bright pixels lower it


def by_hand(features, score):
    """HiResCAM as the paper has it (equation 4), of a feature map (1, C, h, w); what speaks against is left out."""
    gradient = torch.autograd.grad(score, features)[0]
    heat = torch.relu((gradient * features).sum(dim=1, keepdim=True))
    heat = F.interpolate(heat, (64, 48), mode="bilinear")[0, 0].detach().numpy()
    return heat / heat.max()


@pytest.mark.parametrize("stage", [-1, -2, 0])
@pytest.mark.parametrize(("task", "label", "index"), [("birads", "BI-RADS 4", 3), ("density", "B", 1)])
def test_a_class_map_is_the_papers_equation(classifier, pixels, stage, task, label, index):
    output = classifier(pixels, output_hidden_states=True)
    logits = output.logits if task == "birads" else output.density_logits
    expected = by_hand(output.hidden_states[stage], logits[0, index])
    found = class_map(classifier, pixels, label, task=task, stage=stage)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(class_map(classifier, pixels[0], index, task=task, stage=stage), found)


@pytest.mark.parametrize(("height", "stage"), [(80, 0), (159, 0), (160, 1), (320, 2), (639, 2), (640, 3)])
def test_the_stage_is_the_deepest_of_twenty_cells(classifier, height, stage):
    pixels = torch.rand(1, 3, height, height * 3 // 4, generator=torch.Generator().manual_seed(5))
    found = class_map(classifier, pixels, 1)
    np.testing.assert_array_equal(found, class_map(classifier, pixels, 1, stage=stage))
    assert not np.array_equal(found, class_map(classifier, pixels, 1, stage=(stage + 1) % 4))


def test_a_caption_map_is_the_same_of_the_cosine(aligned, pixels):
    output = aligned(WORDS, pixels, MASK, output_hidden_states=True)
    cosine = (output.image_embeds @ output.text_embeds.T)[0, 0]
    expected = by_hand(output.vision_model_output.hidden_states[-1], cosine)
    found = caption_map(aligned, pixels, WORDS, MASK, stage=-1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_several_phrasings_count_as_their_mean_and_their_order_does_not(aligned, pixels):
    two = torch.tensor([[2, 6, 7, 3], [2, 8, 10, 3]])
    both = caption_map(aligned, pixels, two, torch.ones_like(two))
    np.testing.assert_allclose(
        caption_map(aligned, pixels, two.flip(0), torch.ones_like(two)), both, atol=1e-6
    )
    for one in two:
        alone = caption_map(aligned, pixels, one[None], MASK)
        assert not np.allclose(alone, both, atol=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_maps_of_blank_images_are_numbers_from_0_to_1(classifier, aligned, value):
    blank = torch.full((1, 3, 64, 48), value)
    for heat in (
        *(class_map(classifier, blank, name) for name in range(5)),
        caption_map(aligned, blank, WORDS, MASK),
    ):
        assert heat.shape == (64, 48) and heat.dtype == np.float32
        assert ((heat >= 0) & (heat <= 1)).all()


def test_a_caption_map_is_the_same_in_training_and_inference_mode(aligned, pixels):
    expected = caption_map(aligned, pixels, WORDS, MASK)
    with torch.inference_mode():
        found = caption_map(aligned.train(), pixels.clone(), WORDS.clone(), MASK.clone())
    assert aligned.training
    aligned.eval()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("training", [True, False])
def test_a_map_leaves_no_trace_in_the_model(pixels, training):
    model = MamClipForImageClassification(pretraining_model(vision_config=BATCH_NORM).config).train(training)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        heat = class_map(model, pixels.clone(), 1)
    assert np.isfinite(heat).all() and model.training == training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_other_tasks_labels_shapes_and_models_are_refused(classifier, aligned, pixels):
    for call, said in (
        (
            lambda: class_map(classifier, pixels, "BI-RADS 7"),
            "no class 'BI-RADS 7' of birads; it has BI-RADS 0",
        ),
        (lambda: class_map(classifier, pixels, 5), "no class 5"),
        (
            lambda: class_map(classifier, pixels, 0, task="age"),
            "task is 'age'; expected one of birads, density",
        ),
        (lambda: class_map(classifier, pixels.repeat(2, 1, 1, 1), 0), "expected one image"),
        (lambda: class_map(classifier, pixels, 0, stage=4), "has 4 of them"),
        (lambda: class_map(classifier, pixels, 0, stage=-5), "has 4 of them"),
        (lambda: class_map(aligned, pixels, 0), "MamClipModel is not a classifier"),
        (lambda: caption_map(classifier, pixels, WORDS, MASK), "is not an aligned model"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


@settings(deadline=None, max_examples=60)
@given(placements())
def test_what_is_hot_in_the_models_input_is_hot_where_its_box_leads_to(placement):
    height, width = placement.input_size
    x0, y0, x1, y1 = placement.window
    box = (x0 + (x1 - x0) / 4, y0 + (y1 - y0) / 4, x0 + (x1 - x0) / 2 + 1, y0 + (y1 - y0) / 2 + 1)
    heat = np.zeros((height, width), np.float32)
    heat[int(box[1]) : int(np.ceil(box[3])), int(box[0]) : int(np.ceil(box[2]))] = 1
    original = on_original(heat, placement)
    assert original.shape == placement.image_size and original.dtype == np.float32
    left, top, right, bottom = placement.crop_box
    outside = original.copy()
    outside[top:bottom, left:right] = 0
    assert not outside.any() and original.min() >= 0 and original.max() <= 1
    x, y = peak(original)
    there = placement.to_original(box)
    steps = (
        (right - left) / (x1 - x0) + 1,
        (bottom - top) / (y1 - y0) + 1,
    )  # a pixel of the input, in the file's
    assert there[0] - steps[0] <= x <= there[2] + steps[0]
    assert there[1] - steps[1] <= y <= there[3] + steps[1]


@pytest.mark.parametrize("facing", ["left", "right"])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_a_lesion_that_decides_a_class_is_hot_in_the_files_own_pixels(facing, fit):
    y, x = np.mgrid[:300, :200]
    image = ((y - 150) ** 2 / 100**2 + x**2 / 120**2 < 1) * np.uint8(90)
    image[120:150, 30:60] = 255
    lesion = (30, 120, 60, 150)
    if facing == "right":
        image, lesion = np.ascontiguousarray(image[:, ::-1]), (140, 120, 170, 150)
    prepare = MamClipImageProcessor(size={"height": 128, "width": 96}, orient=True, fit=fit)
    batch = prepare(image, return_tensors="pt")
    heat = on_original(class_map(Looker(), batch["pixel_values"], "left"), batch.placements[0])
    found_x, found_y = peak(heat)
    assert lesion[0] <= found_x < lesion[2] and lesion[1] <= found_y < lesion[3]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_an_overlay_keeps_the_mammogram_where_nothing_is_hot(kind):
    image = np.arange(12, dtype=kind).reshape(3, 4)
    heat = np.zeros((3, 4), np.float32)
    heat[1, 2] = 1
    picture = overlay(image, heat)
    assert picture.shape == (3, 4, 3) and picture.dtype == np.uint8
    grey = np.rint(image.astype(float) * 255 / 11).astype(np.uint8)
    cold = heat == 0
    assert (picture[cold] == grey[cold][:, None]).all()
    assert np.ptp(picture[1, 2].astype(int)) > 50  # a colour
    np.testing.assert_array_equal(overlay(np.full((3, 4), 7, kind), np.zeros((3, 4))), 0)


def test_an_overlay_of_what_does_not_fit_is_refused():
    image = np.zeros((3, 4), np.uint8)
    with pytest.raises(ValueError, match=r"the image is \(3, 4\) and the map \(4, 3\)"):
        overlay(image, np.zeros((4, 3)))
    for bad in (np.full((3, 4), np.nan), np.full((3, 4), 1.5)):
        with pytest.raises(ValueError, match="found others"):
            overlay(image, bad)


def test_a_figure_shows_every_mammogram_with_its_maps_or_refuses():
    image = np.zeros((40, 30), np.uint8)
    column = Column(image, [(3, 4, 10, 12)], {"BI-RADS 4": np.zeros((40, 30)), "a mass": np.ones((40, 30))})
    figure = heatmap_figure([column, column], "two")
    assert [axes.get_title() for axes in figure.axes] == [
        "",
        "",
        "BI-RADS 4",
        "BI-RADS 4",
        "a mass",
        "a mass",
    ]
    assert all(len(axes.patches) == 1 for axes in figure.axes)
    assert any("not a medical device" in text.get_text() for text in figure.texts)
    with pytest.raises(ValueError, match="make no figure"):
        heatmap_figure([column, Column(image, [], {})], "differ")
    with pytest.raises(ValueError, match="0 mammograms"):
        heatmap_figure([], "none")


def test_the_tiny_release_processor_serves_the_maps(classifier):
    batch = processor().image_processor(
        np.random.default_rng(0).integers(0, 255, (90, 70), dtype=np.uint8), return_tensors="pt"
    )
    heat = on_original(class_map(classifier, batch["pixel_values"], 0), batch.placements[0])
    assert heat.shape == (90, 70)
