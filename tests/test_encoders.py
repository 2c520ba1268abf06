"""Encoders of several kinds: each is trained for a step and comes back from its folder; attention and checkpointing are
what they are said to be."""

import runpy
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from tiny_models import VISION, WORDS, pretraining_model, random_weights
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer, BertConfig, ModernBertConfig

from modeling_mamclip import MamClipConfig, MamClipForPreTraining, MamClipModel
from modeling_mamclip.fusion_mamclip import FusionAttention
from training.initialization import new_classifier, new_pretraining_model

UNPACK = Path(__file__).resolve().parent.parent / "train_scripts" / "unpack_minilm.py"
TRUNKS = {
    "ConvNeXt": "convnext_atto",
    "ConvNeXt V2": "convnextv2_atto",
    "DINOv3": "convnext_tiny.dinov3_lvd1689m",
}
NARROW = {"depths": [1, 1, 2, 1], "dims": [8, 8, 16, 20]}
SIZES = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SPECIAL = {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
TEXTS = {
    "BERT": lambda: BertConfig(vocab_size=len(WORDS), max_position_embeddings=16, **SIZES),
    "ModernBERT": lambda: ModernBertConfig(
        vocab_size=len(WORDS), max_position_embeddings=16, **SPECIAL, **SIZES
    ),
}

PAIRS = [("ConvNeXt", "BERT"), ("ConvNeXt V2", "ModernBERT"), ("DINOv3", "BERT")]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """The real MiniLM, as the demo unpacks it."""
    script = runpy.run_path(str(UNPACK))
    folder = tmp_path_factory.mktemp("text") / "minilm"
    script["unpack"](script["find_archive"](), folder)
    return folder


def batch(words=11):
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(5, words, (4, 9), generator=generator)
    ids[1, 6:] = ids[3, 4:] = 0
    labels = torch.full_like(ids, -100)
    labels[0, 2], labels[0, 4], labels[2, 8] = 5, 6, 7
    pixels = torch.rand(4, 3, 64, 48, generator=generator)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "pixel_values": pixels,
        "mlm_labels": labels,
    }


def model_of(trunk="ConvNeXt", text="BERT", **changes):
    """Three different widths: 20 of the images, 24 of the words, 12 of the common space."""
    vision = {**VISION, "architecture": TRUNKS[trunk], "model_args": NARROW}
    return pretraining_model(vision_config=vision, text_config=TEXTS[text](), **changes)


def embeddings(model, inputs):
    with torch.no_grad():
        output = model.eval()(**inputs)
    return {name: output[name] for name in ("image_embeds", "text_embeds", "mlm_logits", "loss")}


# Kinds of encoders


def training_loss(model, inputs):
    torch.manual_seed(0)  # of the dropout
    return model.train()(**inputs).loss


def check_a_step_and_a_round_trip(model, inputs, folder):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    first = training_loss(model, inputs)
    first.backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter).all() and not torch.equal(parameter, before[name]), name
    assert training_loss(model, inputs) < first
    model.save_pretrained(folder)
    again, report = MamClipForPreTraining.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    found, expected = embeddings(again, inputs), embeddings(model, inputs)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("trunk, text", PAIRS)
def test_every_pair_of_encoders_learns_and_comes_back_from_its_folder(trunk, text, tmp_path):
    model = random_weights(model_of(trunk, text), 5)
    assert (model.vision_model.width, model.config.text_config.hidden_size) == (20, 24)
    check_a_step_and_a_round_trip(model, batch(), tmp_path)


def test_minilm_is_read_as_transformers_reads_it_learns_and_comes_back(minilm, tmp_path):
    vision = {**VISION, "model_args": NARROW}
    model = new_pretraining_model(
        text_weights=minilm, vision_config=vision, projection_dim=12, text_pooling="mean", context_length=16
    ).eval()
    tokens = AutoTokenizer.from_pretrained(minilm)(
        ["a spiculated mass", "no findings in the right breast"], padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        expected = AutoModel.from_pretrained(minilm).eval()(**tokens).last_hidden_state
        found = model.get_text_features(**tokens).last_hidden_state
    assert expected.shape[-1] == 384
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    check_a_step_and_a_round_trip(model, batch(words=1000), tmp_path)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_weights_under_timm_s_names_are_copied(trunk, tmp_path):
    """As timm publishes them: the DINOv3 ones without a classifier, the others with one."""
    vision = {**VISION, "architecture": TRUNKS[trunk], "model_args": NARROW}
    published = timm.create_model(TRUNKS[trunk], pretrained=False, **NARROW)
    for tensor in published.state_dict().values():
        tensor.normal_()
    save_file(published.state_dict(), tmp_path / "trunk.safetensors")
    model = new_classifier(
        vision_config=vision, projection_dim=12, vision_weights=tmp_path / "trunk.safetensors"
    ).eval()
    assert ("head.fc.weight" in published.state_dict()) == (trunk != "DINOv3")
    pixels = batch()["pixel_values"]
    with torch.no_grad():
        expected = published.eval().forward_head(published.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(model.encoder(pixels)[1], expected)


# Attention


@pytest.fixture
def attended(monkeypatch):
    """The (query, mask) of every call of PyTorch's attention."""
    calls, attend = [], F.scaled_dot_product_attention

    def count(query, key, value, attn_mask=None, **kwargs):
        calls.append((query, attn_mask))
        return attend(query, key, value, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", count)
    return calls


@pytest.mark.parametrize("text", TEXTS)
def test_text_encoders_attend_alike_by_both_implementations(text, attended, tmp_path):
    random_weights(model_of(text=text), 5).save_pretrained(tmp_path)
    inputs = {name: tensor for name, tensor in batch().items() if name != "mlm_labels"}
    found = {}
    for name, calls in (("sdpa", 2), ("eager", 0)):
        model = MamClipModel.from_pretrained(tmp_path, attn_implementation=name).eval()
        assert model.text_model.encoder.config._attn_implementation == name
        attended.clear()
        with torch.no_grad():
            found[name] = model(**inputs).text_embeds
        assert len(attended) == calls
    torch.testing.assert_close(found["sdpa"], found["eager"], atol=1e-5, rtol=0)


def by_hand(attention, states, mask):
    """softmax(Q Kᵀ / √d) V of every head by itself."""
    width, heads = states.shape[-1], attention.heads
    query, key, value = (
        F.linear(states, weight, bias)
        for weight, bias in zip(attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3), strict=True)
    )
    found = []
    for head in range(heads):
        part = slice(head * width // heads, (head + 1) * width // heads)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / (width / heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], float("-inf"))
        found.append(scores.softmax(dim=-1) @ value[..., part])
    return attention.out(torch.cat(found, dim=-1))


@pytest.mark.parametrize("masked", [False, True])
def test_fusion_s_attention_is_softmax_attention(masked, attended):
    attention = random_weights(FusionAttention(24, 3), 2)
    states = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[0, ..., 4:] = False
    mask = mask if masked else None
    with torch.no_grad():
        torch.testing.assert_close(attention(states, mask), by_hand(attention, states, mask))
    assert len(attended) == 1


def test_fusion_attends_by_pytorch_s_kernel_once_a_block(attended):
    model = model_of(fusion_layers=3)
    model.text_model.encoder.set_attn_implementation("eager")  # so that what is counted is the fusion's
    model(**batch())
    assert [tuple(query.shape) for query, _ in attended] == [(4, 2, 11, 12)] * 3
    padding = batch()["attention_mask"].bool()
    # The image's two states stand before the words.
    assert all(torch.equal(mask[:, 0, 0, 2:], padding) and mask[..., :2].all() for _, mask in attended)


# Gradient checkpointing


def layers(model):
    """A layer of every part that can be recomputed."""
    encoder = model.text_model.encoder
    text = encoder.encoder.layer if hasattr(encoder, "encoder") else encoder.layers
    return {
        "vision": model.vision_model.trunk.stages[2].blocks[1],
        "text": text[0],
        "fusion": model.fusion.blocks[0],
    }


def loss_and_gradients(model, inputs):
    """A step's loss and gradients, and how often each part was run for them."""
    runs = dict.fromkeys(layers(model), 0)
    hooks = []
    for name, layer in layers(model).items():
        probe = next(module for module in layer.modules() if isinstance(module, (nn.Linear, nn.Conv2d)))

        def count(module, inputs, output, name=name):
            runs[name] += 1

        hooks.append(probe.register_forward_hook(count))
    loss = training_loss(model, inputs)
    loss.backward()
    for hook in hooks:
        hook.remove()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}, runs


@pytest.mark.parametrize("trunk, text", PAIRS)
def test_recomputed_activations_give_the_same_loss_and_gradients(trunk, text):
    plain, other = (random_weights(model_of(trunk, text), 5) for _ in range(2))
    other.activation_checkpointing_enable()
    loss, gradients, runs = loss_and_gradients(plain, batch())
    found_loss, found, found_runs = loss_and_gradients(other, batch())
    assert runs == {"vision": 1, "text": 1, "fusion": 1}
    assert found_runs == {"vision": 2, "text": 2, "fusion": 2}  # once more in the backward pass
    torch.testing.assert_close(found_loss, loss, atol=1e-6, rtol=0)
    for name, gradient in gradients.items():
        scale = gradient.abs().max().clamp(min=1)
        torch.testing.assert_close(found[name] / scale, gradient / scale, atol=1e-6, rtol=0)


def test_recomputing_can_be_switched_off_again():
    model = random_weights(model_of(), 5)
    model.activation_checkpointing_enable()
    model.activation_checkpointing_disable()
    assert loss_and_gradients(model, batch())[2] == {"vision": 1, "text": 1, "fusion": 1}


def test_an_architecture_without_it_says_so():
    config = MamClipConfig(
        vision_config={"architecture": "dla46_c", "image_size": [64, 48]},
        text_config=TEXTS["BERT"](),
        fusion_heads=2,
        context_length=16,
    )
    with pytest.raises(ValueError, match="timm's dla46_c has no gradient checkpointing"):
        MamClipForPreTraining(config).activation_checkpointing_enable()
