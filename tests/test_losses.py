"""The losses against the paper's formulas worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from modeling_mamclip import contrastive_loss, known_cross_entropy
from modeling_mamclip.losses_mamclip import bounded


def by_hand(logits, ids=None):
    """(image to text, text to image): means over rows of the mean over a row's positives of −log of their shares, each
    against the row's negatives alone."""
    count = len(logits)
    ids = list(range(count)) if ids is None else ids
    return tuple(
        sum(row_by_hand(row, [other == ids[i] for other in ids], i) for i, row in enumerate(rows)) / count
        for rows in (logits, list(zip(*logits, strict=True)))
    )


def row_by_hand(row, positive, own):
    assert positive[own]
    negatives = sum(math.exp(value) for value, same in zip(row, positive, strict=True) if not same)
    shares = [math.exp(v) / (math.exp(v) + negatives) for v, same in zip(row, positive, strict=True) if same]
    return sum(-math.log(share) for share in shares) / len(shares)


LOGITS = [[2.0, 0.5, -1.0], [0.0, 1.0, 0.3], [1.5, -0.2, 0.7]]


def test_infonce_in_both_directions():
    there, back = by_hand(LOGITS)
    assert float(contrastive_loss(torch.tensor(LOGITS))) == pytest.approx((there + back) / 2, abs=1e-6)
    assert float(contrastive_loss(torch.tensor(LOGITS), reduction="sum")) == pytest.approx(
        there + back, abs=1e-6
    )


def test_pairs_that_share_a_caption_are_not_each_others_negatives():
    there, back = by_hand(LOGITS, ids=[7, 4, 7])
    loss = contrastive_loss(torch.tensor(LOGITS), torch.tensor([7, 4, 7]))
    assert float(loss) == pytest.approx((there + back) / 2, abs=1e-6)
    assert float(contrastive_loss(torch.tensor(LOGITS), torch.tensor([1, 1, 1]))) == pytest.approx(
        0, abs=1e-6
    )


def test_pairs_of_one_caption_attract_each_other_and_all_others_push_apart():
    logits = torch.tensor(LOGITS, requires_grad=True)
    contrastive_loss(logits, torch.tensor([7, 4, 7])).backward()
    same = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]]).bool()
    assert (logits.grad[same] < 0).all() and (logits.grad[~same] > 0).all()


def test_several_positives_with_one_embedding_each_are_the_diagonal_against_its_negatives():
    """Copies of one caption, embedded alike: an image's mean over them is its loss with either one."""
    columns = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits, ids = columns[:, [0, 1, 0, 2]].float(), torch.tensor([0, 1, 0, 2])
    negatives = logits.masked_fill((ids[:, None] == ids) & ~torch.eye(4, dtype=torch.bool), float("-inf"))
    targets = torch.arange(4)
    expected = F.cross_entropy(negatives, targets) + F.cross_entropy(negatives.T, targets)
    torch.testing.assert_close(contrastive_loss(logits, ids, "sum"), expected)


def test_extreme_logits_have_finite_losses_and_gradients():
    for logits in (torch.full((3, 3), 100.0), torch.eye(3) * -200, torch.eye(3) * 200):
        logits.requires_grad_(True)
        for ids in (None, torch.tensor([1, 1, 1]), torch.tensor([0, 0, 1])):
            contrastive_loss(logits, ids).backward()
        assert logits.grad.isfinite().all()


def test_half_precision_logits_lose_nothing():
    logits = (torch.randn(8, 8, generator=torch.Generator().manual_seed(0)) * 100).half()
    assert contrastive_loss(logits).dtype == torch.float32
    torch.testing.assert_close(contrastive_loss(logits), contrastive_loss(logits.float()))


def test_unknown_labels_do_not_count():
    logits, labels = torch.randn(4, 5), torch.tensor([0, -100, 3, -100])
    expected = F.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    torch.testing.assert_close(known_cross_entropy(logits, labels), expected)


def test_no_known_label_is_a_loss_of_zero_with_a_gradient_of_zero():
    logits = torch.randn(2, 5, requires_grad=True)
    loss = known_cross_entropy(logits, torch.tensor([-100, -100]))
    loss.backward()
    assert float(loss.detach()) == 0 and not logits.grad.any()


@pytest.mark.parametrize("start, gradient, passes", [(5.0, -1.0, False), (5.0, 1.0, True), (1.0, -1.0, True)])
def test_a_bounded_temperature_can_come_back(start, gradient, passes):
    value = torch.tensor(start, requires_grad=True)
    limited = bounded(value, math.log(100))
    assert float(limited.detach()) <= math.log(100) + 1e-6
    (limited * gradient).backward()
    assert (value.grad != 0) == passes
