"""Activations that are made again instead of kept: the same gradients in less memory."""

import timm
import torch
from tiny_models import pretraining_model, random_weights
from torch.nn import functional as F

from training.lean_activations import lean_activations


def network():
    torch.manual_seed(0)
    first, second = torch.nn.Linear(32, 128), torch.nn.Linear(128, 32)
    return torch.nn.Sequential(torch.nn.LayerNorm(32), first, torch.nn.GELU(), second)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_a_gelu_comes_out_to_the_same_bits():
    inputs = torch.randn(6, 5, 8, requires_grad=True)
    weight = torch.randn(4, 8, requires_grad=True)

    def gradient():
        return torch.autograd.grad(F.linear(F.gelu(inputs), weight).square().sum(), (inputs, weight))

    with lean_activations():
        lean = gradient()
    assert all(one.equal(other) for one, other in zip(lean, gradient(), strict=True))


def test_the_gradients_of_a_block_are_the_same_to_rounding():
    for model in (
        network(),
        timm.create_model("convnext_atto", depths=(1,) * 4, dims=(8,) * 4, num_classes=0),
    ):
        given = torch.randn(2, 3, 64, 64) if hasattr(model, "stages") else torch.randn(7, 9, 32)
        with lean_activations():
            output = model(given)
        lean = gradients(model, output.square().sum())
        plain = gradients(model, model(given).square().sum())
        assert lean.keys() == plain.keys()
        for name, gradient in lean.items():
            torch.testing.assert_close(gradient, plain[name], atol=1e-5, rtol=1e-4, msg=name)


def test_the_outputs_of_gelus_and_norms_are_not_kept():
    model, given = network(), torch.randn(100, 32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda one: one
    ):
        model(given)
    widths = [one.shape[1] for one in kept if len(one) == 100]
    assert sorted(widths) == [1, 1, 32, 32, 128, 128]  # mean, deviation, before and behind the norm, the GELU
    assert sorted(one.shape[1] for one in kept_by(model, given) if len(one) == 100) == [1, 1, 32, 128]


def kept_by(model, given):
    """The tensors that a lean forward pass keeps as they are."""
    hooks, kept = lean_activations(), []

    def note(tensor):
        packed = hooks.pack_hook(tensor)
        if packed is tensor:
            kept.append(tensor)
        return packed

    with torch.autograd.graph.saved_tensors_hooks(note, hooks.unpack_hook):
        model(given)
    return kept


def test_a_pretraining_step_keeps_less_and_learns_the_same():
    model = random_weights(pretraining_model(), 1)
    ids = torch.randint(5, 11, (4, 9), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "pixel_values": torch.rand(4, 3, 64, 48), "mlm_labels": ids}
    with lean_activations():
        lean = gradients(model, model(**inputs).loss)
    plain = gradients(model, model(**inputs).loss)
    for name, gradient in lean.items():
        torch.testing.assert_close(gradient, plain[name], atol=1e-5, rtol=1e-4, msg=name)
