"""Embeddings do not depend on the folder's kind or the batch; what is no aligned model is refused in a sentence."""

import datasets
import pytest
import torch
from tiny_models import pretraining_model, processor, random_weights
from tiny_training import mammogram

from training.embedding import embed_images, embed_texts, load_aligned
from training.initialization import new_classifier
from training.release import write_release

TEXTS = ["a spiculated mass", "left breast", "right breast a mass"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What pretrain.py writes, a release, a classifier, and folders that hold something else."""
    root = tmp_path_factory.mktemp("models")
    random_weights(pretraining_model(), 1).save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    new_classifier(root / "pretrained").save_pretrained(root / "classifier")
    processor().image_processor.save_pretrained(root / "classifier")
    write_release(root / "release", pretrained=root / "pretrained", classifier=root / "classifier")
    for name, content in (("bert", '{"model_type": "bert"}'), ("empty", None)):
        (root / name).mkdir()
        if content:
            (root / name / "config.json").write_text(content)
    random_weights(pretraining_model(), 1).save_pretrained(root / "wordless")
    pretraining_model().config.save_pretrained(root / "weightless")
    pretraining_model().config.save_pretrained(root / "damaged")
    (root / "damaged" / "model.safetensors").write_bytes(b"no tensors")
    return root


@pytest.mark.parametrize("kind", ["pretrained", "release"])
def test_embeddings_are_the_pretrained_model_s_whatever_the_folder_and_the_batch(folders, kind):
    model, processing = load_aligned(folders / kind)
    assert not model.training and {p.dtype for p in model.parameters()} == {torch.float32}
    images = [mammogram(seed) for seed in range(5)]
    expected = random_weights(pretraining_model(), 1)
    with torch.no_grad():
        one_by_one = [
            expected(
                return_loss=False,
                **processor()(images=image, text=TEXTS[i % 3 : i % 3 + 1], return_tensors="pt"),
            )
            for i, image in enumerate(images)
        ]
    for size in (2, 16):
        seen = embed_images(model, processing, images, size)
        said = embed_texts(model, processing, TEXTS, size)
        torch.testing.assert_close(seen, torch.cat([row.image_embeds for row in one_by_one]))
        torch.testing.assert_close(said, torch.cat([row.text_embeds for row in one_by_one[:3]]))


def test_a_column_of_a_data_set_is_embedded_as_its_images_are(folders):
    model, processing = load_aligned(folders / "pretrained")
    images = [mammogram(seed) for seed in range(3)]
    table = datasets.Dataset.from_dict({"image": images}).cast_column("image", datasets.Image())
    column, plain = (embed_images(model, processing, given, 2) for given in (table["image"], iter(images)))
    assert torch.equal(column, plain) and column.shape == (3, 12)
    assert embed_images(model, processing, [], 2).shape == (0, 12)


@pytest.mark.parametrize(
    "name, error, said",
    [
        ("nowhere", FileNotFoundError, "is no model .no config.json."),
        ("empty", FileNotFoundError, "is no model .no config.json."),
        ("bert", ValueError, "holds a model of type 'bert'; expected 'mamclip'"),
        ("classifier", ValueError, "no aligned vision-language model: it lacks logit_scale, .* more; give"),
        ("wordless", ValueError, "holds no MAM-CLIP processor"),
        ("weightless", FileNotFoundError, "weights of .* could not be read"),
        ("damaged", ValueError, "weights of .* are damaged"),
    ],
)
def test_what_is_no_aligned_model_is_refused_in_one_sentence(folders, name, error, said, caplog, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(error, match=said) as refusal:
        load_aligned(folders / name)
    assert "\n" not in str(refusal.value) and not caplog.records
