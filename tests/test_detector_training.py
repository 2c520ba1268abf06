"""What the breast detector is trained on and by: films, scenes whose boxes stay true, SimOTA, a loop that learns."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from processing.breast_detector import load_detector, network_input
from processing.yolox import Yolox, cells, decode
from training.cli import run_script
from training.detector import Scenes, Schedule, detection_loss, encode, iou, new_network, simota, train
from training.detector_films import Film, as_film, box_set, mini_mias
from training.detector_scenes import _truth, _view, _warped, scene
from training.detector_scores import folds_of, overlap

SCRIPT = Path(__file__).parents[1] / "train_scripts" / "train_breast_detector.py"
MAIN = runpy.run_path(str(SCRIPT))["main"]


def film(masked, height=300, width=220):
    """A bright ellipse, whose box is known, on black."""
    y, x = np.mgrid[:height, :width]
    mask = ((y - 160) / 100.3) ** 2 + ((x - 80) / 60.3) ** 2 < 1
    box = (20, 60, 141, 261)
    return Film(
        np.where(mask, 200, 0).astype(np.uint8), np.array([box], np.float32), mask if masked else None
    )


# ---- scenes


@pytest.mark.parametrize("masked", [True, False])
def test_the_box_of_a_scene_is_that_of_what_is_seen(masked):
    """The film's own bright pixels, sent through the same map, must fill the box that is called true."""
    judged = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        subject = film(masked)
        matrix, (height, width) = _view(subject, rng, 416)
        boxes, _ = _truth(subject, matrix, height, width)
        bright = _warped(Image.fromarray(subject.image), matrix, (width, height), 0) > 100
        rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
        cut = min(rows[0], columns[0]) == 0 or rows[-1] == height - 1 or columns[-1] == width - 1
        if len(boxes) and (
            masked or not cut
        ):  # where a box alone is known, a cut ellipse may be smaller than it
            seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            np.testing.assert_allclose(boxes[0], seen, atol=3)
            judged += 1
    assert judged > 15


def test_scenes_are_the_same_for_a_seed_and_differ_between_seeds():
    films = [[film(True)], [], [film(False)]]
    first, again, other = (Scenes(films, (1, 1, 1), count=9, size=96, seed=seed) for seed in (0, 0, 1))
    for index in range(9):
        (image, boxes), (same, same_boxes) = first[index], again[index]
        assert image.shape == (3, 96, 96) and image.min() >= 0 and image.max() <= 255
        assert torch.equal(image, same) and torch.equal(boxes, same_boxes)
        assert not torch.equal(image, other[index][0])
    with pytest.raises(ValueError, match="no film"):
        Scenes([[], []], (1, 1), count=1, size=96, seed=0)


def test_scenes_keep_their_boxes_inside_and_are_finite():
    for seed in range(40):
        image, boxes = scene(film(seed % 2 == 0), np.random.default_rng(seed), 128)
        assert max(image.shape) == 128 and np.isfinite(image).all()
        assert (
            (boxes >= 0).all()
            and (boxes[:, [0, 2]] <= image.shape[1]).all()
            and (boxes[:, 1::2] <= image.shape[0]).all()
        )


# ---- what the network sees


@pytest.mark.parametrize("change", [lambda x: x * 7.5, lambda x: x - 900, lambda x: x / 4096])
def test_the_networks_input_does_not_depend_on_the_units(change):
    image = np.random.default_rng(0).gamma(2, 300, (60, 40)).astype(np.float32)
    difference = (network_input(image, 64) - network_input(change(image).astype(np.float32), 64)).abs()
    assert (
        difference.median() == 0 and difference.max() < 1
    )  # rounding may move a pixel by one of 4096 levels


def test_a_label_of_any_brightness_leaves_the_ranks_of_the_tissue():
    image = np.linspace(100, 1000, 64 * 64, dtype=np.float32).reshape(64, 64)
    labelled = image.copy()
    labelled[:4, :4] = 60_000
    ranks = network_input(labelled, 64)[2, 8:]
    assert ranks.min() < 40 and ranks.max() > 250  # 900 of 60 000 units still span the channel


# ---- assignment and loss


def test_boxes_survive_encoding_and_decoding():
    cell = cells((96, 96))
    boxes = torch.tensor([[40.2, 50.1, 33.0, 71.5]]).expand(len(cell), 4)
    torch.testing.assert_close(decode(encode(boxes, cell)[None], (96, 96))[0], boxes)


def test_iou_of_known_boxes():
    box = torch.tensor([10.0, 10, 20, 20])
    others = torch.tensor([[10.0, 10, 20, 20], [20, 10, 20, 20], [50, 50, 4, 4]])
    torch.testing.assert_close(iou(box, others), torch.tensor([1.0, 1 / 3, 0.0]), atol=1e-6, rtol=0)
    assert overlap(np.array([0, 0, 20, 20.0]), np.array([10, 0, 30, 20.0])) == pytest.approx((1 / 3, 0.5))


def test_simota_gives_each_box_cells_near_its_own_centre():
    torch.manual_seed(0)
    cell = cells((128, 128))
    truth = torch.tensor([[32.0, 32, 40, 50], [96, 90, 50, 60]])
    raw = torch.randn(len(cell), 6) * 0.1
    own, theirs, overlaps = simota(raw, decode(raw[None, :, :4], (128, 128))[0], truth, cell)
    assert (
        set(theirs.tolist()) == {0, 1}
        and len(set(own.tolist())) == len(own)
        and ((overlaps >= 0) & (overlaps <= 1)).all()
    )
    centres = (cell[own, :2] + 0.5) * cell[own, 2:]
    assert ((centres - truth[theirs, :2]).abs() < truth[theirs, 2:] / 2).all()
    nothing = simota(raw, decode(raw[None, :, :4], (128, 128))[0], truth[:0], cell)
    assert all(len(part) == 0 for part in nothing)


def test_the_loss_is_lowest_for_the_right_answer():
    cell = cells((96, 96))
    truth = [torch.tensor([[48.0, 48, 40, 60]])]
    right = torch.cat(
        (encode(truth[0].expand(len(cell), 4), cell), torch.full((len(cell), 2), -12.0)), dim=1
    )[None]
    own, _, _ = simota(right[0], decode(right[..., :4], (96, 96))[0], truth[0], cell)
    right[0, own, 4:] = 12.0
    shifted = right.clone()
    shifted[0, :, 0] += 0.5
    silent = right.clone()
    silent[0, :, 4] = -12
    best = detection_loss(right, truth, (96, 96))
    assert best < 0.01 and detection_loss(shifted, truth, (96, 96)) > best + 0.3
    assert detection_loss(silent, truth, (96, 96)) > best + 5


def test_training_learns_one_scene():
    network = new_network(0)
    item = Scenes([[film(True)]], (1,), count=1, size=96, seed=3)[0]
    losses = [loss for _, loss in train(network, [item] * 80, Schedule(steps=40, batch=2, rate=3e-3))]
    assert len(losses) == 40 and np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    assert not network.training


# ---- drawn boxes


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (100, 80)).astype(np.uint8)).save(
            tmp_path / "images" / f"{name}.png"
        )
    return tmp_path


def test_coco_and_yolo_sets_give_the_same_films(pictures):
    images = [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate("ab")]
    content = {"images": images, "annotations": [{"image_id": 0, "bbox": [8, 10, 40, 60]}]}
    (pictures / "boxes.json").write_text(json.dumps(content))
    (pictures / "labels").mkdir()
    (pictures / "labels" / "a.txt").write_text("0 0.35 0.4 0.5 0.6\n")
    coco, yolo = box_set(pictures / "boxes.json"), box_set(pictures)
    assert [file.path.name for file in coco] == [file.path.name for file in yolo] == ["a.png", "b.png"]
    np.testing.assert_allclose(coco[0].boxes, [(8, 10, 48, 70)])
    np.testing.assert_allclose(yolo[0].boxes, coco[0].boxes)
    assert coco[1].boxes == yolo[1].boxes == ()
    np.testing.assert_allclose(coco[0].film().boxes, [(8, 10, 48, 70)])


def test_what_is_no_box_set_is_refused(pictures):
    with pytest.raises(ValueError, match="expected a COCO"):
        box_set(pictures / "images")
    (pictures / "boxes.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match="annotations"):
        box_set(pictures / "boxes.json")
    (pictures / "labels").mkdir()
    with pytest.raises(ValueError, match="no box"):
        box_set(pictures)
    (pictures / "labels" / "a.txt").write_text("0 0.5\n")
    with pytest.raises(ValueError, match="centre x and y"):
        box_set(pictures)
    with pytest.raises(FileNotFoundError, match="labels.csv"):
        mini_mias(pictures)
    (pictures / "labels.csv").write_text("image,view\nx.png,MLO\n")
    with pytest.raises(ValueError, match="breast_x0"):
        mini_mias(pictures)


def test_large_films_are_kept_small_with_their_boxes():
    kept = as_film(np.full((2000, 1000), 5, np.uint16), [(100, 200, 500, 1800)])
    assert kept.image.shape == (640, 320)
    np.testing.assert_allclose(kept.boxes, [(32, 64, 160, 576)])


def test_folds_never_cut_a_patient():
    files = [type("File", (), {"group": f"pair{number // 2}"}) for number in range(40)]
    folds = folds_of(files, 4)
    assert sorted(set(folds)) == [0, 1, 2, 3] and folds[::2] == folds[1::2]
    assert max(folds.count(fold) for fold in range(4)) == 10


# ---- the script


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["train_breast_detector.py", *map(str, options)])
    run_script(MAIN)


def test_the_script_trains_judges_and_tells_where_its_weights_come_from(pictures, monkeypatch, capsys):
    (pictures / "labels").mkdir()
    for name in "ab":
        (pictures / "labels" / f"{name}.txt").write_text("0 0.35 0.4 0.5 0.6\n")
    output = pictures / "tiny.safetensors"
    small = ("--phantoms", 2, "--steps", 1, "--batch", 2, "--size", 96, "--cache", pictures / "phantoms.npz")
    run(monkeypatch, "--boxes", pictures, "--fold", 0, "--folds", 2, *small, "--output", output)
    assert json.loads(capsys.readouterr().out)["images"] == 1
    assert json.loads((pictures / "tiny.json").read_text())["images"] == 1
    assert isinstance(load_detector(str(output)), Yolox) and output.stat().st_size < 4_000_000
    with safe_open(output, "pt") as file:
        stage = json.loads(file.metadata()["history"])[0]
    run(monkeypatch, *small, "--start", output, "--output", output)
    run(monkeypatch, "--boxes", pictures, "--evaluate", output, output, "--output", pictures / "both.json")
    assert [part["images"] for part in json.loads((pictures / "both.json").read_text())["folds"]] == [1, 1]
    assert stage["phantoms"] == 2 and stage["drawn_boxes"] == 1 and stage["mini_mias"] is False


@pytest.mark.parametrize(
    "options, said",
    [
        ((), "--output must name"),
        (("--output", "x.pt"), "--output must name"),
        (("--output", "nowhere/x.safetensors"), "does not exist"),
        (("--output", "x.safetensors", "--size", 100), "multiple of 32"),
        (("--output", "x.safetensors", "--fold", 0), "--fold is 0"),
        (("--evaluate", "x.safetensors"), "needs --mini-mias"),
        (("--output", "x.safetensors", "--mini-mias", "nowhere"), "labels.csv"),
        (("--output", "x.safetensors", "--step", 3), "did you mean --steps?"),
    ],
)
def test_what_the_user_got_wrong_is_said_in_one_sentence(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *options)
    assert ended.value.code == 2
    complaint = capsys.readouterr().err
    assert said in complaint and complaint.count("\n") == 1 and not list(tmp_path.iterdir())
