"""The losses against the paper's formulas worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from modeling_mamclip import contrastive_loss, known_cross_entropy
from modeling_mamclip.losses_mamclip import bounded


def by_hand(logits, ids=None):
    """(image to text, text to image): −log of each pair's share, pairs with its caption left out; means."""
    count = len(logits)
    ids = list(range(count)) if ids is None else ids
    rows, columns = [], []
    for i in range(count):
        others = [j for j in range(count) if j == i or ids[j] != ids[i]]
        rows.append(-math.log(math.exp(logits[i][i]) / sum(math.exp(logits[i][j]) for j in others)))
        columns.append(-math.log(math.exp(logits[i][i]) / sum(math.exp(logits[j][i]) for j in others)))
    return sum(rows) / count, sum(columns) / count


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


def test_no_gradient_between_pairs_of_one_caption():
    logits = torch.tensor(LOGITS, requires_grad=True)
    contrastive_loss(logits, torch.tensor([7, 4, 7])).backward()
    assert logits.grad[0, 2] == logits.grad[2, 0] == 0
    assert (logits.grad[0, 1], logits.grad[1, 0]) != (0, 0)


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
