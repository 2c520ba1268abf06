"""Our YOLOX against the library pixeltable-yolox: golden outputs that it made, and the library itself where it is."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from processing.yolox import LEVELS, Yolox, cells, decode, fused

GOLDEN = Path(__file__).parent / "golden" / "yolox"
sys.path.insert(0, str(GOLDEN))
from make_yolox_golden import FILE, MODELS, known_input, known_tensor, library_model  # noqa: E402


def ours(name):
    classes, shape = MODELS[name]
    network = Yolox(classes, **shape).eval()
    network.load_state_dict(
        {key: known_tensor(key, tuple(v.shape)) for key, v in network.state_dict().items()}
    )
    return network


@pytest.fixture(scope="module")
def golden():
    with safe_open(FILE, "pt") as file:
        shapes = json.loads(file.metadata()["shapes"])
        return {name: (file.get_tensor(name), shapes[name]) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_outputs_are_the_librarys(name, golden):
    expected, _ = golden[name]
    output = ours(name)(known_input())
    assert expected.std() > 1  # weights that say nothing would agree with anything
    torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_names_and_shapes_are_those_of_megviis_checkpoints(name, golden):
    _, shapes = golden[name]
    assert {key: list(value.shape) for key, value in ours(name).state_dict().items()} == shapes


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_library_itself_agrees(name):
    pytest.importorskip("yolox", reason="pixeltable-yolox is not installed; the golden outputs stand for it")
    images = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1)) * 2
    theirs = library_model(name, MODELS[name][0])(images)
    torch.testing.assert_close(ours(name)(images), theirs, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_fusing_changes_nothing_but_the_speed():
    network = ours("yolox_nano")
    before = network(known_input())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused(network).modules())
    torch.testing.assert_close(network(known_input()), before, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_the_cells_of_single_strides_are_together_those_of_all():
    network, images = ours("yolox_nano"), known_input()
    features, size = network.backbone(images), images.shape[-2:]
    parts = [network.predict(features, size, (level,)) for level in LEVELS]
    torch.testing.assert_close(torch.cat(parts, dim=1), network(images))


def test_the_nano_model_has_its_published_number_of_parameters():
    assert (
        sum(p.numel() for p in Yolox(80).parameters()) == 912_159
    )  # 0.91 M in Megvii's table, with COCO's classes


def test_a_cell_that_says_nothing_has_a_box_of_its_own_size_at_its_corner():
    cell = cells((64, 96))
    assert (
        cell.shape == (12 * 8 + 6 * 4 + 3 * 2, 3)
        and cell[0].tolist() == [0, 0, 8]
        and cell[-1].tolist() == [2, 1, 32]
    )
    boxes = decode(torch.zeros(1, len(cell), 4), (64, 96))[0]
    assert boxes[1].tolist() == [8, 0, 8, 8] and boxes[-1].tolist() == [64, 32, 32, 32]
