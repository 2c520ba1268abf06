"""Captions read end to end: the same states, losses and gradients as padded ones, in fewer places."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import WORDS, pretraining_model, random_weights

from modeling_mamclip.packing_mamclip import PackedRows, laid_out


def padded(lengths, left=False):
    """attention_mask (B, T) of captions with these lengths."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return (mask.flip(1) if left else mask).long()


lengths_of = st.lists(st.integers(1, 40), min_size=1, max_size=24)


@given(lengths_of, st.integers(40, 100))
def test_sequences_lie_apart_within_rows_that_are_about_full(lengths, room):
    starts, (rows, places) = laid_out(lengths, room)
    taken = [start + i for start, length in zip(starts.tolist(), lengths, strict=True) for i in range(length)]
    assert len(set(taken)) == len(taken) == sum(lengths) and max(taken) < rows * places
    ends = zip(starts.tolist(), lengths, strict=True)
    assert all(start // places == (start + length - 1) // places for start, length in ends)
    assert rows == -(-sum(lengths) // room) and places <= sum(lengths) / rows + max(lengths)


@given(lengths_of, st.booleans())
def test_what_is_packed_comes_back_with_zeros_at_the_padding(lengths, left):
    mask = padded(lengths, left)
    values = torch.randint(1, 9, (*mask.shape, 3)) * mask[..., None]
    packed = PackedRows(mask)
    assert packed.unpack(packed.pack(values)).equal(values)


@given(lengths_of)
def test_a_place_attends_to_its_own_sequence_alone(lengths):
    mask = padded(lengths)
    packed = PackedRows(mask)
    owner = packed.pack(torch.arange(len(lengths))[:, None].expand_as(mask), fill=-1)
    for seen, owners in zip(packed.mask[:, 0], owner, strict=True):
        assert seen.equal(owners[:, None] == owners)
        assert seen.any(dim=1).all(), "a place that attends to nothing is NaN"


LENGTHS = (16, 3, 5, 2, 7, 4)


def batch(left=False):
    generator = torch.Generator().manual_seed(3)
    mask = padded(LENGTHS, left)
    ids = torch.randint(5, len(WORDS), mask.shape, generator=generator) * mask
    labels = torch.where((torch.rand(mask.shape, generator=generator) < 0.4) & mask.bool(), ids, -100)
    pixels = torch.rand(len(ids), 3, 64, 48, generator=generator)
    return {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels, "mlm_labels": labels}


def model_that_trains():
    model = random_weights(pretraining_model(text_pooling="mean"), 1).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def losses_and_gradients(model, inputs):
    model.zero_grad()
    output = model(**inputs)
    output.loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return output, found


@pytest.mark.parametrize("left", (False, True))
def test_a_training_step_is_that_of_padded_captions(left, monkeypatch):
    model, inputs = model_that_trains(), batch(left)
    output, gradients = losses_and_gradients(model, inputs)
    monkeypatch.setattr(PackedRows, "saving", False)
    plain, expected = losses_and_gradients(model, inputs)
    torch.testing.assert_close(output.mlm_logits, plain.mlm_logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.text_embeds, plain.text_embeds, atol=1e-6, rtol=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4, msg=name)


def places_read(model, inputs):
    """How many tokens went through the text encoder and the fusion transformer."""
    seen = {}
    layers = {"text": model.text_model.encoder.embeddings, "fusion": model.fusion.blocks[0].norm1}
    for name, layer in layers.items():
        layer.register_forward_hook(
            lambda _, __, states, name=name: seen.update({name: states.shape[:2].numel()})
        )
    model(**inputs)
    return seen


def test_hardly_any_padding_is_read_in_training_and_all_of_it_otherwise():
    assert places_read(model_that_trains(), batch()) == {
        "text": sum(LENGTHS),
        "fusion": sum(LENGTHS) + 2 * len(LENGTHS),
    }
    padded_places = len(LENGTHS) * max(LENGTHS)
    assert places_read(model_that_trains().eval(), batch())["text"] == padded_places


def test_other_text_encoders_read_padded_captions():
    model = model_that_trains()
    model.text_model.encoder.config._attn_implementation = "eager"
    assert places_read(model, batch())["text"] == len(LENGTHS) * max(LENGTHS)
