"""Where training data come from: folders of Arrow or Parquet and the Hub's data sets; ready images are not copied."""

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import mammogram, pairs, run

from dataset_builders.publishing import write_parquet
from processing import MamClipImageProcessor
from processing.png import encode_png
from training.data import PAIR_COLUMNS, Images
from training.resized_images import RESIZED, is_ready, resized
from training.sources import is_hub_name, load_table

SIZE = (64, 48)
READY = MamClipImageProcessor(size={"height": 64, "width": 48}, do_crop=False)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return pairs(tmp_path_factory.mktemp("data") / "pairs", cases=4)


@pytest.fixture(params=["as written", "beside a card", "flat"])
def parquet(saved, tmp_path, request):
    """The pairs as build_dataset.py --format parquet writes them, as the Hub has them, and in one heap."""
    folder = tmp_path / "parquet"
    folder.mkdir()
    table = datasets.load_from_disk(saved)
    table = table.map(
        lambda row, i: {"image": with_path(row["image"], tmp_path / f"{i}.png")}, with_indices=True
    )
    write_parquet(table.cast_column("image", datasets.Image(mode="L")), folder)
    if request.param == "beside a card":
        card = "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*.parquet\n"
        (folder / "README.md").write_text(f"---\n{card}---\n")
        (folder / "build_report.json").write_text("{}")
    if request.param == "flat":
        for file in (folder / "data").iterdir():
            file.rename(folder / file.name)
        (folder / "data").rmdir()
    return folder


def with_path(image, path):
    image.save(path)
    return {"bytes": None, "path": str(path)}


def table_of(images):
    file = [{"bytes": data, "path": None} for data in images]
    return datasets.Dataset.from_dict({"image": file}, features=datasets.Features(image=datasets.Image()))


def pixels(seed, low=0, high=255, size=SIZE):
    drawn = np.random.default_rng(seed).integers(low, high, size, dtype=np.uint8, endpoint=True)
    drawn.flat[:2] = low, high
    return drawn


# Folders and names


def test_parquet_gives_the_rows_that_the_arrow_folder_gives(saved, parquet):
    arrow, table = (load_table(folder, PAIR_COLUMNS, "x.py") for folder in (saved, parquet))
    for name in ("caption", "caption_id", "case_id"):
        assert table[name][:] == arrow[name][:]
    assert all(
        np.array_equal(a["image"], b["image"]) for a, b in zip(arrow, table, strict=True)
    ) and table.features["image"] == datasets.Image(mode="L")


def test_parquet_of_another_program_has_images_too(saved, tmp_path):
    table = datasets.load_from_disk(saved).cast_column("image", datasets.Image(decode=False))
    (tmp_path / "plain").mkdir()
    table.to_pandas().to_parquet(tmp_path / "plain" / "train.parquet")
    found = load_table(tmp_path / "plain", PAIR_COLUMNS, "x.py")
    assert isinstance(found[0]["image"], Image.Image)


def test_changed_parquet_is_another_table(parquet):
    first = load_table(parquet, PAIR_COLUMNS, "x.py")
    again = load_table(parquet, PAIR_COLUMNS, "x.py")
    assert first._fingerprint == again._fingerprint
    (file,) = parquet.rglob("*.parquet")
    first.select(range(5)).to_parquet(file)
    changed = load_table(parquet, PAIR_COLUMNS, "x.py")
    assert len(changed) == 5 and changed._fingerprint != first._fingerprint


def test_a_name_of_the_hub_goes_through_the_same_call_as_a_folder(parquet, monkeypatch):
    asked, load = [], datasets.load_dataset

    def as_the_hub(name, **options):
        asked.append((name, options))
        return load(str(parquet), **options)

    monkeypatch.setattr(datasets, "load_dataset", as_the_hub)
    assert len(load_table("someone/pairs", PAIR_COLUMNS, "x.py")) == 8
    assert len(load_table(parquet, PAIR_COLUMNS, "x.py")) == 8
    assert [name for name, _ in asked] == ["someone/pairs", str(parquet)]
    assert all(options["split"] == "train" for _, options in asked)


def test_a_path_is_not_taken_for_a_name_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert is_hub_name("someone/pairs")
    paths = ("demo/pears", "pairs", "/data/pairs", "./pairs", "../pairs", "a/b/c")
    assert not any(is_hub_name(path) for path in paths)


# What is wrong is said in one sentence


def test_the_hub_out_of_reach(monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("Couldn't reach 'someone/pairs' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(
        OSError, match=r"someone/pairs is no folder, and the Hub does not give .*reach.*x\.py"
    ):
        load_table("someone/pairs", PAIR_COLUMNS, "x.py")


def test_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"this is not Parquet")
    with pytest.raises(ValueError, match="the Parquet files in .* cannot be read"):
        load_table(tmp_path, PAIR_COLUMNS, "x.py")


def test_parquet_without_rows(saved, tmp_path):
    datasets.load_from_disk(saved).select([]).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match=r"holds no rows; make it anew with train_scripts/x.py"):
        load_table(tmp_path, PAIR_COLUMNS, "x.py")


def test_parquet_of_another_split(saved, tmp_path):
    (tmp_path / "data").mkdir()
    datasets.load_from_disk(saved).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="has no split 'train'.*test"):
        load_table(tmp_path, PAIR_COLUMNS, "x.py")


def test_a_column_of_images_that_holds_words(tmp_path):
    datasets.Dataset.from_dict({name: ["a"] for name in PAIR_COLUMNS}).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="column 'image' of .* holds Value.*expected images"):
        load_table(tmp_path, PAIR_COLUMNS, "x.py")


def test_a_script_ends_with_that_sentence(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.parquet").write_bytes(b"no")
    arguments = ("--pairs", tmp_path / "data", "--output", tmp_path / "run", "--text_weights", "none")
    assert run("pretrain.py", monkeypatch, *arguments) == 2
    assert "cannot be read" in capsys.readouterr().err and not (tmp_path / "run").exists()


# Ready images


@pytest.mark.parametrize("scaling", ["min_max", "none"])
def test_ready_images_are_read_from_the_table_itself_and_as_the_processor_gives_them(tmp_path, scaling):
    """Also greys that min–max stretches, a blank image, and a PNG of another program."""
    drawn = [pixels(0), pixels(1, 7, 201), pixels(2, 3, 4), np.full(SIZE, 9, np.uint8)]
    file = io.BytesIO()
    Image.fromarray(pixels(4, 0, 100)).save(file, "PNG")
    table = table_of([*map(encode_png, drawn), file.getvalue()])
    processor = MamClipImageProcessor(size=READY.size, do_crop=False, scaling=scaling)
    ready = resized(table, processor, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists() and ready.cache_files == table.cache_files
    expected = processor(images=[row["image"] for row in table], return_tensors="pt")["pixel_values"][:, 0]
    images = Images(ready, SIZE, stretch=scaling == "min_max")
    for row in range(len(table)):
        assert torch.equal(images.pixels(row), (expected[row] * 255).round().byte())


def jpeg(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    "odd",
    [
        encode_png(pixels(1, size=(48, 64))),
        encode_png(pixels(1).astype(np.uint16) * 257),
        jpeg(pixels(1)),
        jpeg(np.stack([pixels(1)] * 3, axis=-1)),
    ],
    ids=["another size", "16 bits", "JPEG", "colours"],
)
def test_a_single_image_that_is_not_ready_has_the_table_made_anew(tmp_path, odd):
    table = table_of([encode_png(pixels(0)), odd])
    assert not is_ready(table, READY)
    made = resized(table, READY, cache=tmp_path)
    assert made.column_names == [RESIZED] and list(tmp_path.rglob("*.arrow"))
    expected = READY(images=[row["image"] for row in table], return_tensors="pt")["pixel_values"][:, 0]
    for row in range(2):
        assert torch.equal(Images(made, SIZE).pixels(row), (expected[row] * 255).round().byte())


@pytest.mark.parametrize(
    "step", [{"do_crop": True}, {"remove_labels": True}, {"orient": True}, {"published": True}]
)
def test_images_that_a_step_may_change_are_not_ready(step):
    table = table_of([encode_png(pixels(0))])
    assert is_ready(table, READY)
    assert not is_ready(table, MamClipImageProcessor(**{"size": READY.size, "do_crop": False, **step}))


def test_part_of_a_ready_table_is_ready(tmp_path):
    table = table_of([encode_png(pixels(seed)) for seed in range(5)]).select([3, 1])
    ready = resized(table, READY, cache=tmp_path / "cache")
    assert [Images(ready, SIZE).pixels(row).numpy().tolist() for row in (0, 1)] == [
        pixels(seed).tolist() for seed in (3, 1)
    ]


def test_the_cache_takes_less_room_than_the_pixels(tmp_path):
    table = table_of([jpeg(np.asarray(mammogram(seed))) for seed in range(6)])
    big = MamClipImageProcessor(size={"height": 256, "width": 192})
    resized(table, big, cache=tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.arrow")) < 0.9 * 6 * 256 * 192


def test_values_that_no_byte_can_hold_are_refused():
    with pytest.raises(ValueError, match="give scaling min_max or none"):
        resized(table_of([encode_png(pixels(0))]), MamClipImageProcessor(size=READY.size, scaling="imagenet"))
