"""Training of the breast detector: YOLOX's loss with SimOTA (arXiv 2107.08430, section 2), on a CPU or a GPU."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from processing.breast_detector import network_input
from processing.yolox import Yolox, cells, decode

from .detector_films import Film
from .detector_scenes import empty_scene, scene

PRIOR = 0.01  # probability of a breast that an untrained cell gives
RADIUS = 2.5  # cells around a box's centre that may answer for it
BOX_COST, OUTSIDE = 3.0, 1e5  # SimOTA: what a bad box costs beside a bad class; what a cell elsewhere costs
MOST_CELLS = 10  # per box
BOX_WEIGHT = 5.0
EMPTY = 0.03  # of the scenes have no breast
DECAY = 0.998  # of the running mean of the weights
GRADIENT = 10.0  # largest norm


@dataclass(frozen=True)
class Schedule:
    """steps batches of `batch` scenes; rate: the highest learning rate, reached after a warm-up."""

    steps: int
    batch: int = 8
    rate: float = 1e-3

    @property
    def warmup(self) -> int:
        return min(100, self.steps // 5)


def new_network(seed: int) -> Yolox:
    """A nano model with random weights."""
    torch.manual_seed(seed)
    network = Yolox()
    for prediction in (*network.head.cls_preds, *network.head.obj_preds):
        nn.init.constant_(prediction.bias, -math.log((1 - PRIOR) / PRIOR))
    return network


# ---- scenes


class Scenes(Dataset):
    """Random scenes: item i is always the same one for the same films, shares and seed.

    films: groups of films; shares: how often a scene comes from each.
    """

    def __init__(
        self, films: Sequence[Sequence[Film]], shares: Sequence[float], *, count: int, size: int, seed: int
    ):
        kept = [(group, share) for group, share in zip(films, shares, strict=True) if group]
        if not kept:
            raise ValueError("there is no film to train on.")
        self.films = [group for group, _ in kept]
        self.shares = np.array([share for _, share in kept]) / sum(share for _, share in kept)
        self.count, self.size, self.seed = count, size, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """→ (3, size, size) network input and boxes (N, 4) as centre x and y, width, height."""
        rng = np.random.default_rng([self.seed, index])
        if rng.random() < EMPTY:
            image, boxes = empty_scene(rng, self.size)
        else:
            group = self.films[rng.choice(len(self.films), p=self.shares)]
            image, boxes = scene(group[rng.integers(len(group))], rng, self.size)
        if image.max() <= image.min():
            image = rng.random(image.shape, dtype=np.float32)
        centred = np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), axis=1)
        return network_input(image, self.size), torch.from_numpy(centred)


def _batch(items: list) -> tuple[torch.Tensor, list[torch.Tensor]]:
    images, boxes = zip(*items, strict=True)
    return torch.stack(images).contiguous(memory_format=torch.channels_last), list(boxes)


# ---- loss


def detection_loss(raw: torch.Tensor, boxes: Sequence[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """YOLOX's loss. raw: (B, A, 6) of `Yolox.raw`; boxes: per image (N, 4), centre x and y, width, height in pixels."""
    cell = cells(size, raw.device)
    decoded = decode(raw[..., :4], size)
    wanted = torch.zeros_like(raw[..., 4])
    total, count = raw.new_zeros(()), 0
    for image, truth in enumerate(boxes):
        own, theirs, overlap = simota(raw[image].detach(), decoded[image].detach(), truth, cell)
        wanted[image, own] = 1
        count += len(own)
        target = truth[theirs]
        total = total + BOX_WEIGHT * (1 - iou(decoded[image, own], target) ** 2).sum()
        total = total + F.l1_loss(raw[image, own, :4], encode(target, cell[own]), reduction="sum")
        total = total + F.binary_cross_entropy_with_logits(raw[image, own, 5], overlap, reduction="sum")
    total = total + F.binary_cross_entropy_with_logits(raw[..., 4], wanted, reduction="sum")
    return total / max(count, 1)


def simota(raw: torch.Tensor, decoded: torch.Tensor, truth: torch.Tensor, cell: torch.Tensor):
    """Which cells answer for which boxes → (cells (P,), boxes (P,), their overlap (P,)).

    raw: (A, 6), decoded: (A, 4), truth: (N, 4), cell: (A, 3). Each box gets as many cells as its ten best overlaps
    sum up to, those that cost least; a cell that two boxes want goes to the cheaper one.
    """
    if not len(truth):
        nothing = torch.zeros(0, dtype=torch.long, device=raw.device)
        return nothing, nothing, raw.new_zeros(0)
    centres = (cell[:, :2] + 0.5) * cell[:, 2:]
    distance = (centres[None] - truth[:, None, :2]).abs()
    near = (distance < RADIUS * cell[None, :, 2:]).all(dim=-1)
    within = (distance < truth[:, None, 2:] / 2).all(dim=-1)
    overlaps = iou(decoded[None], truth[:, None])  # (N, A)
    score = (raw[:, 4].sigmoid() * raw[:, 5].sigmoid()).sqrt().clamp(1e-6, 1)
    cost = -score.log()[None] - BOX_COST * overlaps.clamp(min=1e-6).log() + OUTSIDE * ~(near & within)
    taken = torch.zeros_like(near)
    for row in range(len(truth)):
        best = overlaps[row].masked_fill(~near[row], 0).topk(MOST_CELLS).values.sum()
        number = min(max(int(best), 1), MOST_CELLS)
        taken[row, cost[row].topk(number, largest=False).indices] = True
    cheapest = cost.masked_fill(~taken, torch.inf).min(dim=0)
    own = torch.isfinite(cheapest.values).nonzero()[:, 0]
    theirs = cheapest.indices[own]
    return own, theirs, overlaps[theirs, own].clamp(0, 1)


def iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes (…, 4) given as centre x and y, width, height, which broadcast."""
    low = torch.maximum(boxes[..., :2] - boxes[..., 2:] / 2, others[..., :2] - others[..., 2:] / 2)
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:] / 2, others[..., :2] + others[..., 2:] / 2)
    both = (high - low).clamp(min=0).prod(dim=-1)
    return both / (boxes[..., 2:].prod(dim=-1) + others[..., 2:].prod(dim=-1) - both + 1e-9)


def encode(boxes: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
    """The inverse of `decode`: boxes (P, 4) in pixels and their cells (P, 3) → what the head should say."""
    strides = cell[:, 2:]
    return torch.cat((boxes[:, :2] / strides - cell[:, :2], (boxes[:, 2:] / strides).log()), dim=-1)


# ---- the loop


def train(
    network: Yolox, scenes: Scenes, schedule: Schedule, *, device: str = "cpu", workers: int = 0
) -> Iterator[tuple[int, float]]:
    """Train in place; after each step (its number, loss). At the end the weights are their own running mean."""
    network.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.rate, weight_decay=0.01)
    averaged = copy.deepcopy(network)
    loader = DataLoader(scenes, schedule.batch, num_workers=workers, collate_fn=_batch, drop_last=True)
    for step, (images, boxes) in enumerate(_first(loader, schedule.steps), 1):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * _rate(step, schedule)
        truth = [box.to(device) for box in boxes]
        loss = detection_loss(network.raw(images.to(device)), truth, images.shape[-2:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), GRADIENT)
        optimizer.step()
        _average(averaged, network, min(DECAY, step / (step + 10)))
        yield step, loss.item()
    network.load_state_dict(averaged.state_dict())
    network.eval()


def _first(items: Iterable, number: int) -> Iterator:
    return (item for item, _ in zip(items, range(number), strict=False))


def _rate(step: int, schedule: Schedule) -> float:
    """Warm-up, then a cosine down to 2 %."""
    if step <= schedule.warmup:
        return step / schedule.warmup
    progress = (step - schedule.warmup) / max(schedule.steps - schedule.warmup, 1)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
