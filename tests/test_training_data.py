"""Data for training: tables are checked, images resized once, and what is random follows from seed, epoch and row."""

import json
from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_training import CAPTIONS, bert_tokenizer, mammogram, pairs, saved
from torch.utils.data import DataLoader

from processing import MamClipImageProcessor
from processing.breast_detector import WEIGHTS_NAME
from processing.png import encode_png
from training import resized_images
from training.augmentation import Augmentation
from training.caption_forms import UNCLEAR, caption_forms
from training.caption_sides import Flips
from training.data import (
    PAIR_COLUMNS,
    Collator,
    Images,
    LabelledExamples,
    PairExamples,
    number_captions,
    only_mammograms,
)
from training.masking import IGNORED, WordMasking, encode_captions
from training.resized_images import RESIZED, resized
from training.sources import load_table

SIZE = (64, 48)
MIRROR = Flips(True, False)
FLIPS_ALONE = Augmentation(
    **dict.fromkeys(("rotation", "scale", "shift", "distortion", "brightness", "gamma", "marker_dropout"), 0),
    flip=True,
)
PROCESSOR = MamClipImageProcessor(size={"height": 64, "width": 48})


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = pairs(tmp_path_factory.mktemp("data") / "pairs")
    return load_table(folder, PAIR_COLUMNS, "extract_pairs.py")


@pytest.fixture(scope="module")
def ready(table):
    return resized(table, PROCESSOR)


@pytest.fixture
def examples(ready):
    """Training pairs: masked and augmented anew in every epoch."""
    tokenizer = bert_tokenizer()
    forms = caption_forms(ready["caption"], [MIRROR])
    codes = encode_captions(tokenizer, forms.texts, 16)
    return PairExamples(
        images=Images(ready, SIZE),
        rows=range(len(ready)),
        seed=5,
        augmentation=Augmentation(),
        captions=[codes[text] for text in forms.texts],
        caption_numbers=forms.numbers[Flips()],
        flipped={MIRROR: forms.numbers[MIRROR]},
        masking=WordMasking.of(tokenizer, 0.5),
    )


def same(first, second):
    return all(torch.equal(torch.as_tensor(first[name]), torch.as_tensor(second[name])) for name in first)


def by_row(examples, rows):
    """What each row of the table gives, when it is asked for in this order."""
    examples.rows = rows
    return {row: examples[place] for place, row in enumerate(rows)}


# Examples


def test_an_example_follows_from_seed_epoch_and_row_alone(examples):
    forwards, backwards = by_row(examples, list(range(8))), by_row(examples, list(range(7, -1, -2)))
    assert all(same(forwards[row], example) for row, example in backwards.items())


def test_another_epoch_gives_other_masks_and_images_and_the_first_comes_back(examples):
    first = [examples[i] for i in range(6)]
    examples.set_epoch(1)
    second = [examples[i] for i in range(6)]
    examples.set_epoch(0)
    assert all(same(a, examples[i]) for i, a in enumerate(first))
    images = [(a["pixel_values"], b["pixel_values"]) for a, b in zip(first, second, strict=True)]
    assert not any(torch.equal(a, b) for a, b in images)
    assert any(not torch.equal(a["mlm_labels"], b["mlm_labels"]) for a, b in zip(first, second, strict=True))


def test_another_seed_gives_other_examples(examples):
    first = examples[0]
    examples.seed = 6
    assert not same(first, examples[0])


def test_rows_of_equal_content_are_drawn_apart(examples):
    """Both figures of a case share a caption, and are not masked alike for that."""
    labels = [examples[i]["mlm_labels"].tolist() for i in range(10)]
    assert any(labels[i] != labels[i + 1] for i in range(0, 10, 2))


def test_fixed_examples_are_the_same_in_every_epoch(examples):
    examples.fixed = True
    first = [examples[i] for i in range(6)]
    examples.set_epoch(3)
    assert all(same(a, examples[i]) for i, a in enumerate(first))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_batches_change_nothing_and_are_told_the_epoch(examples, workers):
    """Also of workers that were started before the epoch began, as persistent ones are."""
    arguments = {"collate_fn": list, "num_workers": workers, "persistent_workers": True}
    loader = DataLoader(examples, batch_size=5, **arguments)
    for epoch in (0, 1):
        examples.set_epoch(epoch)
        loaded = [example for batch in loader for example in batch]
        assert all(same(example, examples[i]) for i, example in enumerate(loaded))


def test_captions_are_whole_and_masked_beside(examples):
    example = examples[0]
    assert example["input_ids"].tolist() == bert_tokenizer()(CAPTIONS[0])["input_ids"]
    labelled = example["mlm_labels"] != IGNORED
    assert labelled.any()
    assert torch.equal(example["mlm_labels"][labelled], example["input_ids"][labelled])
    assert torch.equal(example["masked_input_ids"][~labelled], example["input_ids"][~labelled])


def test_captions_without_masking_have_nothing_to_predict(examples):
    examples.masking = None
    assert set(examples[0]) == {"input_ids", "caption_ids", "pixel_values"}


def test_a_share_of_the_captions_is_masked(examples):
    examples.masking = replace(examples.masking, share=0.25)
    masked = 0
    for epoch in range(40):
        examples.set_epoch(epoch)
        masked += sum((examples[i]["mlm_labels"] != IGNORED).any().item() for i in range(len(examples)))
    count = 40 * len(examples)
    assert abs(masked / count - 0.25) < 4 * (0.25 * 0.75 / count) ** 0.5


# Flips and captions


def drawn(examples, epochs=12):
    """(row, whether the image was mirrored, the text of its caption) of every example in some epochs."""
    for epoch in range(epochs):
        examples.set_epoch(epoch)
        for row in range(len(examples)):
            example = examples[row]
            plain = examples.images.load(row, None, None)
            mirror = torch.equal(example["pixel_values"], plain.flip(1))
            assert mirror or torch.equal(example["pixel_values"], plain)
            caption = examples.captions[example["caption_ids"]]
            assert example["input_ids"].tolist() == caption.input_ids.tolist()
            yield row, mirror, caption.text


def test_the_caption_of_a_mirrored_image_names_the_other_side_and_no_other_caption_changes(examples, ready):
    examples.augmentation = FLIPS_ALONE
    seen = list(drawn(examples))
    swap = {"left": "right", "right": "left"}
    for row, mirror, text in seen:
        words = ready["caption"][row].split()
        assert text.split() == ([swap.get(word, word) for word in words] if mirror else words)
    share = sum(mirror for _, mirror, _ in seen) / len(seen)
    assert abs(share - 0.5) < 4 * (0.25 / len(seen)) ** 0.5


def test_an_image_whose_caption_cannot_follow_is_never_flipped(examples):
    examples.augmentation = FLIPS_ALONE
    numbers = list(examples.flipped[MIRROR])
    numbers[3] = UNCLEAR
    examples.flipped = {MIRROR: numbers}
    assert not any(mirror for row, mirror, _ in drawn(examples) if row == 3)
    examples.flipped = {}
    assert not any(mirror for _, mirror, _ in drawn(examples))


def test_an_example_without_augmentation_is_never_flipped(examples):
    examples.augmentation, examples.fixed = None, True
    assert not any(mirror for _, mirror, _ in drawn(examples, 3))


def test_mirrored_captions_are_masked_as_they_read(examples):
    """Labels are the mirrored caption's words; the same example again has the same mask."""
    examples.augmentation = FLIPS_ALONE
    mirrored_ones = 0
    for epoch in range(6):
        examples.set_epoch(epoch)
        for row in range(len(examples)):
            example, again = examples[row], examples[row]
            assert same(example, again)
            labelled = example["mlm_labels"] != IGNORED
            assert torch.equal(example["mlm_labels"][labelled], example["input_ids"][labelled])
            assert not labelled[0] and not labelled[-1]  # [CLS] and [SEP]
            mirrored_ones += example["caption_ids"] != examples.caption_numbers[row]
    assert mirrored_ones > 10


def test_what_a_frozen_encoder_says_is_of_the_caption_that_is_shown(examples):
    examples.augmentation = FLIPS_ALONE
    examples.pooled = torch.arange(len(examples.captions), dtype=torch.float32)[:, None]
    for row in range(len(examples)):
        assert examples[row]["pooled_captions"].item() == examples[row]["caption_ids"]


def test_equal_texts_have_one_number_however_they_came_about():
    captions = ["left breast", "a mass", "right breast", "left breast", "(left image)", "left mass"]
    forms = caption_forms(captions, [MIRROR])
    assert forms.texts == ["left breast", "a mass", "right breast", "(left image)", "left mass", "right mass"]
    assert forms.numbers == {Flips(): [0, 1, 2, 0, 3, 4], MIRROR: [2, 1, 0, 2, UNCLEAR, 5]}
    assert forms.numbers[Flips()] == number_captions(captions)


def test_captions_stay_as_they_are_where_nothing_is_to_be_swapped():
    forms = caption_forms(["(left image)", "a mass"], [MIRROR, Flips(True, True)], swap=False)
    assert all(numbers == [0, 1] for numbers in forms.numbers.values()) and len(forms.texts) == 2


def test_labelled_images_are_mirrored_without_a_caption(ready):
    examples = LabelledExamples(
        Images(ready, SIZE), range(8), labels=[1] * 24, density_labels=[2] * 24, augmentation=FLIPS_ALONE
    )
    pictures = [(examples[row]["pixel_values"], examples.images.load(row, None, None)) for row in range(8)]
    mirror = [torch.equal(found, plain.flip(1)) for found, plain in pictures]
    assert 0 < sum(mirror) < 8
    assert all(m or torch.equal(found, plain) for m, (found, plain) in zip(mirror, pictures, strict=True))


def test_labelled_examples_have_the_labels_of_their_rows(ready):
    labels, density = list(range(100, 100 + len(ready))), list(range(len(ready)))
    examples = LabelledExamples(Images(ready, SIZE), rows=[7, 3], labels=labels, density_labels=density)
    assert [(e["labels"], e["density_labels"]) for e in (examples[0], examples[1])] == [(107, 7), (103, 3)]
    assert len(examples) == 2


# Batches


def test_a_batch_is_padded_to_its_longest_caption_and_says_where(examples):
    batch = Collator(pad_token_id=9)([examples[0], examples[6], examples[8]])
    lengths = [len(examples[i]["input_ids"]) for i in (0, 6, 8)]
    texts = ("input_ids", "masked_input_ids", "mlm_labels", "attention_mask")
    assert {batch[name].shape for name in texts} == {(3, max(lengths))}
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths
    padding = batch["attention_mask"] == 0
    assert padding.any() and (batch["input_ids"][padding] == 9).all()
    assert (batch["masked_input_ids"][padding] == 9).all()
    assert (batch["mlm_labels"][padding] == IGNORED).all()
    for row, place in enumerate((0, 6, 8)):
        assert torch.equal(batch["input_ids"][row, : lengths[row]], examples[place]["input_ids"])


def test_a_batch_has_three_equal_channels_and_the_right_types(examples):
    batch = Collator()([examples[i] for i in range(3)])
    pixels = batch.pop("pixel_values")
    assert pixels.shape == (3, 3, *SIZE) and pixels.dtype == torch.float32
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels[:, 0], pixels[:, 1]) and torch.equal(pixels[:, 0], pixels[:, 2])
    assert torch.equal(pixels[1, 0], examples[1]["pixel_values"])
    assert set(batch) == {"input_ids", "masked_input_ids", "attention_mask", "mlm_labels", "caption_ids"}
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())


def test_a_batch_of_labelled_images_has_no_captions(ready):
    examples = LabelledExamples(
        Images(ready, SIZE), range(4), labels=[2, IGNORED] * 12, density_labels=[1] * 24
    )
    batch = Collator()([examples[i] for i in range(4)])
    assert set(batch) == {"pixel_values", "labels", "density_labels"}
    assert batch["labels"].tolist() == [2, IGNORED, 2, IGNORED]


def test_captions_have_one_number_for_one_text():
    assert number_captions(["b", "a", "b", "c", "a"]) == [0, 1, 0, 2, 1]


# Images


def test_resized_images_are_the_processor_s_to_the_bit_of_a_byte(table, ready):
    expected = PROCESSOR(images=[row["image"] for row in table], return_tensors="pt")["pixel_values"]
    for row in range(len(table)):
        assert torch.equal(Images(ready, SIZE).pixels(row), (expected[row, 0] * 255).round().byte())
        image = Images(ready, SIZE).load(row, None, np.random.default_rng(0))
        assert image.dtype == torch.float32
        torch.testing.assert_close(image, expected[row, 0], atol=1 / 255, rtol=0)


def test_without_stretching_images_are_as_the_processor_leaves_them(table):
    plain = MamClipImageProcessor(size=PROCESSOR.size, scaling="none", do_crop=False)
    image = Images(resized(table, plain), SIZE, stretch=False).load(3, None, np.random.default_rng(0))
    expected = plain(images=table[3]["image"], return_tensors="pt")["pixel_values"][0, 0]
    torch.testing.assert_close(image, expected, atol=1 / 255, rtol=0)


def test_an_image_is_stretched_after_its_augmentation(ready):
    darker = Augmentation(rotation=0, scale=0, shift=0, brightness=0.5, gamma=0)
    images = [
        Images(ready, SIZE, stretch=stretch).load(0, darker, np.random.default_rng(3))
        for stretch in (True, False)
    ]
    assert images[0].max() == 1 and images[0].min() == 0
    assert images[1].max() != 1 or images[1].mean() > images[0].mean()


def test_a_blank_image_stays_finite(tmp_path):
    blank = mammogram(0).point(lambda _: 0)
    table = datasets.load_from_disk(saved({"image": [blank]}, tmp_path / "blank"))
    image = Images(resized(table, PROCESSOR), SIZE).load(0, Augmentation(), np.random.default_rng(0))
    assert (image == 0).all()


def test_a_resized_table_keeps_its_other_columns(table, ready):
    assert ready.column_names == ["caption", "caption_id", "case_id", RESIZED]
    assert ready["caption"] == table["caption"] and ready["case_id"] == table["case_id"]


@pytest.fixture
def counted(monkeypatch):
    """The rows of the images that are made ready, one after the other."""
    rows, encode = [], resized_images._Encoded.__getitem__

    def counting(self, place):
        rows.append(self.rows[place])
        return encode(self, place)

    monkeypatch.setattr(resized_images._Encoded, "__getitem__", counting)
    return rows


def bytes_of(table):
    return [image["bytes"] for image in table[RESIZED]]


@pytest.mark.parametrize("cache", [None, "cache"])
def test_images_are_resized_once_and_found_again(tmp_path, counted, cache):
    folder = pairs(tmp_path / "pairs", cases=3)
    cache = cache and tmp_path / cache
    first = resized(load_table(folder, PAIR_COLUMNS, "x.py"), PROCESSOR, cache=cache)
    again = resized(
        load_table(folder, PAIR_COLUMNS, "x.py"), MamClipImageProcessor(**settings()), cache=cache
    )
    assert counted == list(range(6))
    assert bytes_of(first) == bytes_of(again)
    written = {file.parent.parent for file in tmp_path.rglob("*.arrow") if not file.name.startswith("data")}
    assert written == {cache or folder}


def test_another_processor_another_detector_or_another_table_is_resized_anew(tmp_path, counted):
    folder, cache = pairs(tmp_path / "pairs", cases=3), tmp_path / "cache"
    table = load_table(folder, PAIR_COLUMNS, "x.py")
    resized(table, PROCESSOR, cache=cache)
    for change in ({"do_crop": False}, {"size": {"height": 32, "width": 48}}, {"antialias": False}):
        resized(table, MamClipImageProcessor(**{**settings(), **change}), cache=cache)
    part = resized(table.select([4, 1]), PROCESSOR, cache=cache)
    assert len(counted) == 4 * 6 + 2
    assert bytes_of(part)[0] == bytes_of(resized(table, PROCESSOR, cache=cache))[4]
    assert len(counted) == 26
    resized(table, other_detector(tmp_path), cache=cache)
    assert len(counted) == 32


def other_detector(folder):
    """The same processor with weights that are a little different."""
    PROCESSOR.save_pretrained(folder / "other")
    tensors = load_file(folder / "other" / WEIGHTS_NAME)
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).mul_(1.01)
    save_file(tensors, folder / "other" / WEIGHTS_NAME)
    return MamClipImageProcessor.from_pretrained(folder / "other")


def test_a_table_that_was_put_in_the_place_of_another_is_resized_anew(tmp_path, counted):
    """Also where datasets gives it the same fingerprint, as that of a builder whose code was changed."""
    state = None
    for number in range(2):
        table = {name: [name] * 2 for name in PAIR_COLUMNS} | {"image": [mammogram(number), mammogram(9)]}
        folder = saved(table, tmp_path / "pairs")
        state = state or (folder / "state.json").read_text()
        fingerprint = json.loads(state)["_fingerprint"]
        now = json.loads((folder / "state.json").read_text()) | {"_fingerprint": fingerprint}
        (folder / "state.json").write_text(json.dumps(now))
        resized(load_table(folder, PAIR_COLUMNS, "x.py"), PROCESSOR, cache=tmp_path / "cache")
    assert len(counted) == 4


def test_work_that_was_interrupted_goes_on_behind_its_last_whole_shard(tmp_path, monkeypatch, table, counted):
    monkeypatch.setattr(resized_images, "SHARD", 5)
    encode = resized_images._Encoded.__getitem__

    def until_13(self, place):
        if self.rows[place] == 13:
            raise KeyboardInterrupt
        return encode(self, place)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(resized_images._Encoded, "__getitem__", until_13)
        resized(table, PROCESSOR, cache=tmp_path)
    assert not list(tmp_path.rglob("*.part"))
    counted.clear()
    whole = resized(table, PROCESSOR, cache=tmp_path)
    assert counted == list(range(10, 24))
    assert bytes_of(whole) == bytes_of(resized(table, PROCESSOR, cache=tmp_path / "other"))


def test_an_image_that_cannot_be_read_is_named_and_leaves_no_half_shard(tmp_path):
    columns = {name: ["a"] * 2 for name in PAIR_COLUMNS} | {"image": [mammogram(0), mammogram(1)]}
    table = datasets.load_from_disk(saved(columns, tmp_path / "pairs"))
    broken = [{"bytes": encode_png(np.eye(9, dtype=np.uint8)), "path": None}, {"bytes": b"no", "path": None}]
    table = datasets.Dataset.from_dict({"image": broken}, features=table.select_columns("image").features)
    with pytest.raises(ValueError, match="image 1 of 2 cannot be read"):
        resized(table, PROCESSOR, cache=tmp_path / "cache")
    assert [file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()] == [".lock"]


def test_several_processes_give_the_same_images(tmp_path, monkeypatch, table, ready):
    monkeypatch.setattr(resized_images, "MANY", 2)
    shared = resized(table, PROCESSOR, cache=tmp_path, processes=2)
    assert bytes_of(shared) == bytes_of(ready)


def settings():
    return {"size": dict(PROCESSOR.size)}


# Tables


def test_rows_that_are_no_mammograms_are_left_out_of_every_split():
    old = datasets.Dataset.from_dict({"caption": ["a"] * 4})
    new = datasets.Dataset.from_dict({"is_mammogram": [True, False, None, False]})
    assert only_mammograms([old, new], [[0, 5, 4], [7, 1], [2, 3, 6]]) == [[0, 4], [1], [2, 3, 6]]
    with pytest.raises(ValueError, match="of 4 pairs 2 are mammograms"):
        only_mammograms([new], [[0], [2], [1, 3]])


def test_a_folder_without_a_data_set_says_which_script_makes_one(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"holds no data set; make one with train_scripts/extract_pairs.py"
    ):
        load_table(tmp_path, PAIR_COLUMNS, "extract_pairs.py")


def test_splits_are_not_taken_for_a_table(tmp_path):
    one = datasets.Dataset.from_dict({"caption": ["a"]})
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "both")
    with pytest.raises(ValueError, match="holds the splits train, test; give the folder of one of them"):
        load_table(tmp_path / "both", PAIR_COLUMNS, "x.py")


def test_a_missing_column_is_named(tmp_path):
    datasets.Dataset.from_dict({"image": ["a"], "caption": ["a"]}).save_to_disk(tmp_path / "table")
    with pytest.raises(ValueError, match="has no column 'caption_id'; found image, caption"):
        load_table(tmp_path / "table", PAIR_COLUMNS, "x.py")


def test_a_table_without_rows_is_refused(tmp_path):
    datasets.Dataset.from_dict({name: [] for name in PAIR_COLUMNS}).save_to_disk(tmp_path / "table")
    with pytest.raises(ValueError, match="holds no rows; make it anew with train_scripts/x.py"):
        load_table(tmp_path / "table", PAIR_COLUMNS, "x.py")
