"""Which pictures belong to which caption of a page: the arrangement that is the least odd of all.

Each caption with its pictures has a cost in points: how far it stands from them and on which side, how far its
pictures stand from one another, what stands in between, and whether they are as many as its letters say. Pictures
and captions that go without cost as well. The sum is made small from several first guesses by single changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from scipy.optimize import linear_sum_assignment

from dataset_builders.atlas.layout import Box, PictureBox, inside, overlap, union

# Points between panels of one figure, (side by side, one above the other), from the tightest print to the
# loosest: rows stand apart more often than columns, since letters may stand below the panels.
PANEL_GAPS = ((2.0, 2.0), (10.5, 10.5), (10.5, 21.5), (10.5, 30.0), (21.5, 21.5), (30.0, 30.0))
ALONE = 120.0  # a picture without caption
UNSEEN = 150.0  # a caption without picture, which is rarer
NEAR = 40.0  # a caption further off is only far
NO_PLACE = 400.0  # a caption neither below nor above nor beside its pictures
BEHIND_TEXT = 80.0  # another paragraph between a caption and its pictures
BEHIND_CAPTION = 12.0  # … or another caption: two may stand one below the other
AMONG = 100.0  # a strange picture or text among a figure's pictures
MISCOUNT = 25.0  # for each picture more or fewer than the caption's letters
UNTIDY = 25.0  # pictures that stand neither in a row nor in a column
HABIT = 40.0  # a caption on another side than all others
DISORDER = 40.0  # two captions, one below the other, in another order than their pictures
STARTS = 2  # first guesses that are followed up
SIDES = ("below", "above", "beside")

Habit = Mapping[str, float]  # side → share of a document's captions that stand there
NEUTRAL: Habit = {"below": 0.8, "above": 0.2, "beside": 0.8}


@dataclass(frozen=True)
class Wanted:
    """A caption as matching sees it. panels: how many pictures its letters name, None where there are none."""

    box: Box
    panels: int | None


Arrangement = tuple[int, ...]  # for each caption, and last for none, its pictures as the bits of a number


class PageMatcher:
    """Costs on one page; texts: boxes of paragraphs that belong to no caption."""

    def __init__(
        self, pictures: Sequence[PictureBox], captions: Sequence[Wanted], texts: Sequence[Box], habit: Habit
    ) -> None:
        self.pictures = [picture.box for picture in pictures]
        self.drawn = [picture.drawing for picture in pictures]
        self.captions, self.texts, self.habit = captions, texts, habit
        self.memory: dict[tuple[int, int], float] = {}
        self.figures: dict[int, Box] = {}
        self.stacked = [
            (i, j)
            for i, j in combinations(range(len(captions)), 2)
            if _one_below(captions[i].box, captions[j].box)
        ]
        self.partitions = [groups_within(self.pictures, texts, gap) for gap in PANEL_GAPS]
        groups = [[i] for i in range(len(pictures))] + [group for some in self.partitions for group in some]
        self.clusters = list(dict.fromkeys(sum(1 << i for i in group) for group in groups))

    def best(self) -> list[list[int]]:
        """For each caption its pictures (by index), in the arrangement with the smallest cost that was found."""
        promising = sorted(self._guesses(), key=self.cost)[:STARTS]
        found = [self._improved(guess) for guess in promising]
        return [self._members(bits) for bits in min(found, key=self.cost)[:-1]]

    def cost(self, arrangement: Arrangement) -> float:
        total = sum(self.figure_cost(bits, index) for index, bits in enumerate(arrangement))
        for i, j in self.stacked:
            if (
                arrangement[i]
                and arrangement[j]
                and _reads_after(self._figure(arrangement[i]), self._figure(arrangement[j]))
            ):
                total += DISORDER
        return total

    def _members(self, bits: int) -> list[int]:
        return [i for i in range(len(self.pictures)) if bits >> i & 1]

    def _figure(self, bits: int) -> Box:
        if bits not in self.figures:
            self.figures[bits] = union(self.pictures[i] for i in self._members(bits))
        return self.figures[bits]

    def figure_cost(self, bits: int, index: int) -> float:
        """Of the pictures in `bits` under caption `index`; of the last index: without caption."""
        if (bits, index) not in self.memory:
            members = self._members(bits)
            if index == len(self.captions):
                self.memory[bits, index] = ALONE * sum(not self.drawn[i] for i in members)
            else:
                self.memory[bits, index] = self._captioned(members, index) if members else UNSEEN
        return self.memory[bits, index]

    def _captioned(self, members: list[int], index: int) -> float:
        boxes, caption = [self.pictures[i] for i in members], self.captions[index]
        figure = union(boxes)
        total = (
            self._place_cost(figure, caption.box)
            + self._spread(boxes)
            + self._strangers(members, figure, index)
        )
        if caption.panels:
            total += MISCOUNT * abs(len(members) - caption.panels)
        return total

    def _place_cost(self, figure: Box, caption: Box) -> float:
        side, distance = placement(figure, caption)
        if side is None:
            return NO_PLACE
        cost = _damped(distance, NEAR)
        corridor = _corridor(figure, caption, side)
        cost += BEHIND_TEXT * sum(_crosses(text, corridor) for text in self.texts)
        cost += BEHIND_CAPTION * sum(
            _crosses(other.box, corridor) for other in self.captions if other.box != caption
        )
        cost += AMONG * sum(_crosses(box, corridor) for box in self.pictures if not inside(box, figure, 0.5))
        return cost + HABIT * (1 - self.habit[side])

    def _spread(self, boxes: Sequence[Box]) -> float:
        """The gaps of the shortest tree over a figure's pictures."""
        rest, tree, total = list(boxes[1:]), [boxes[0]], 0.0
        while rest:
            cost, nearest = min(((_apart(a, b), b) for a in tree for b in rest), key=lambda pair: pair[0])
            total += _damped(cost, 20)
            tree.append(nearest)
            rest.remove(nearest)
        return total

    def _strangers(self, members: list[int], figure: Box, index: int) -> float:
        if len(members) < 2:
            return 0.0
        others = [box for i, box in enumerate(self.pictures) if i not in members and not self.drawn[i]]
        others += self.texts
        others += [caption.box for i, caption in enumerate(self.captions) if i != index]
        return AMONG * sum(inside(box, figure, 0.4) for box in others)

    def _guesses(self) -> list[Arrangement]:
        nothing = (*(0 for _ in self.captions), (1 << len(self.pictures)) - 1)
        return list(dict.fromkeys([nothing, *(self._guess(groups, nothing) for groups in self.partitions)]))

    def _guess(self, groups: Sequence[Sequence[int]], nothing: Arrangement) -> Arrangement:
        """One caption for each group of pictures."""
        bits = [sum(1 << i for i in group) for group in groups]
        costs = np.array([[self.figure_cost(group, i) for i in range(len(self.captions))] for group in bits])
        arrangement = nothing
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < ALONE * (len(groups[row]) + 1):
                arrangement = _moved(arrangement, bits[row], int(column))
        return arrangement

    def _improved(self, arrangement: Arrangement) -> Arrangement:
        """Single changes as long as one makes it better."""
        cost = self.cost(arrangement)
        while True:
            tried = min(self._changes(arrangement), key=self.cost, default=arrangement)
            if self.cost(tried) >= cost - 1e-6:
                return arrangement
            arrangement, cost = tried, self.cost(tried)

    def _changes(self, arrangement: Arrangement) -> Iterator[Arrangement]:
        """Move a picture, or neighbours together; exchange the pictures of two captions, or give all to one."""
        for cluster in self.clusters:
            for index in range(len(arrangement)):
                yield _moved(arrangement, cluster, index)
        for a, b in permutations(range(len(arrangement)), 2):
            if arrangement[a]:
                yield _moved(arrangement, arrangement[a], b)
                yield _moved(_moved(arrangement, arrangement[b], a), arrangement[a], b)


def _moved(arrangement: Arrangement, bits: int, index: int) -> Arrangement:
    return tuple(own | bits if i == index else own & ~bits for i, own in enumerate(arrangement))


def _one_below(a: Box, b: Box) -> bool:
    return overlap(a[0], a[2], b[0], b[2]) > 0.5 * min(a[2] - a[0], b[2] - b[0])


def _reads_after(a: Box, b: Box) -> bool:
    """Whether a picture is read after another: it is right of it in one row, or below it."""
    level = overlap(a[1], a[3], b[1], b[3]) > 0.4 * min(a[3] - a[1], b[3] - b[1])
    return a[0] > b[0] if level else a[1] > b[1]


def _damped(distance: float, limit: float) -> float:
    """Far is far: beyond the limit a distance counts a quarter."""
    return distance if distance < limit else limit + 0.25 * (distance - limit)


def placement(figure: Box, caption: Box) -> tuple[str | None, float]:
    """On which side of a figure a caption stands, and how far off (or out of line) in points."""
    across = overlap(figure[0], figure[2], caption[0], caption[2])
    along = overlap(figure[1], figure[3], caption[1], caption[3])
    narrow = min(figure[2] - figure[0], caption[2] - caption[0])
    share = across / narrow
    if share > 0.3 and along < 8:
        slant = 30 * max(0.0, 0.9 - share)
        if caption[1] > figure[3] - 8:
            return "below", max(0.0, caption[1] - figure[3]) + slant
        if caption[3] < figure[1] + 8:
            return "above", max(0.0, figure[1] - caption[3]) + slant
    if along > 0.5 * min(figure[3] - figure[1], caption[3] - caption[1]) and across < 8:
        level = min(abs(figure[1] - caption[1]), abs(figure[3] - caption[3]))
        return "beside", max(0.0, -across) + 0.2 * level
    return None, NO_PLACE


def _corridor(figure: Box, caption: Box, side: str) -> Box:
    if side == "beside":
        left, right = sorted((figure, caption), key=lambda box: box[0])
        return left[2], max(figure[1], caption[1]), right[0], min(figure[3], caption[3])
    upper, lower = sorted((figure, caption), key=lambda box: box[1])
    return max(figure[0], caption[0]), upper[3], min(figure[2], caption[2]), lower[1]


def _crosses(box: Box, corridor: Box) -> bool:
    """Whether something lies between: at least half of its height, or width, within."""
    wide = overlap(box[0], box[2], corridor[0], corridor[2])
    high = overlap(box[1], box[3], corridor[1], corridor[3])
    return wide > 2 and high > 2 and (high > 0.5 * (box[3] - box[1]) or wide > 0.5 * (box[2] - box[0]))


def _apart(a: Box, b: Box) -> float:
    """Points between two pictures of a figure, and more where they are neither level nor aligned."""
    wide = overlap(a[0], a[2], b[0], b[2])
    high = overlap(a[1], a[3], b[1], b[3])
    level = high > 0.6 * min(a[3] - a[1], b[3] - b[1])
    aligned = wide > 0.6 * min(a[2] - a[0], b[2] - b[0])
    return max(0.0, -wide) + max(0.0, -high) + (0.0 if level or aligned else UNTIDY)


def groups_within(pictures: Sequence[Box], texts: Sequence[Box], gap: tuple[float, float]) -> list[list[int]]:
    """Pictures (by index) in groups: neighbours no further apart than `gap`, with no text in between."""
    groups: list[list[int]] = []
    for i, picture in enumerate(pictures):
        near = [group for group in groups if any(_adjoin(picture, pictures[j], texts, gap) for j in group)]
        groups = [group for group in groups if group not in near] + [
            [i, *(j for group in near for j in group)]
        ]
    return groups


def _adjoin(a: Box, b: Box, texts: Sequence[Box], gap: tuple[float, float]) -> bool:
    """Side by side with level edges, or one above the other, close by, and with no line of text in between."""
    level = overlap(a[1], a[3], b[1], b[3]) > 0.7 * min(a[3] - a[1], b[3] - b[1])
    aligned = overlap(a[0], a[2], b[0], b[2]) > 0.7 * min(a[2] - a[0], b[2] - b[0])
    apart = -overlap(a[0], a[2], b[0], b[2]) if level else -overlap(a[1], a[3], b[1], b[3])
    if not (level or aligned) or apart > gap[not level]:
        return False
    between = _corridor(a, b, "beside" if level else "below")
    return not any(_crosses(text, between) for text in texts)


def side_of(figure: Sequence[PictureBox], caption: Box) -> str | None:
    return placement(union(picture.box for picture in figure), caption)[0]
