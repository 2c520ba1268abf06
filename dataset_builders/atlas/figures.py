"""Pictures and captions of a document put together, and what is left over of either."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dataset_builders.atlas.captions import PARAGRAPH_GAP, Caption, find_captions
from dataset_builders.atlas.cleaning import Vocabulary
from dataset_builders.atlas.labels import NUMBER
from dataset_builders.atlas.layout import (
    Block,
    Box,
    Line,
    PageLayout,
    PictureBox,
    content_lines,
    content_pictures,
    overlap,
    union,
)
from dataset_builders.atlas.matching import (
    NEUTRAL,
    PANEL_GAPS,
    SIDES,
    Habit,
    PageMatcher,
    Wanted,
    groups_within,
    side_of,
)

SAME_PATIENT = re.compile(rf"same (?:patient|case|woman) as in (?:Figure|Fig\.?)\s*({NUMBER})", re.IGNORECASE)
TAG = 12  # letters: a single line that is shorter names a view or a panel and separates nothing
Match = tuple[Caption, list[PictureBox]]


@dataclass(frozen=True)
class FigureFound:
    """A caption (without its label) with its pictures in reading order; page (from 1) is that of the pictures.

    number: as figures are told by it ("3-12"); printed: as it stands in the label, with panel letters ("3–12 A, B").
    boxes: of the pictures on the page as it is shown, in points. caption_page, caption_box: where the caption begins.
    """

    number: str
    page: int
    caption: str
    pictures: tuple[PictureBox, ...]
    printed: str = ""
    boxes: tuple[Box, ...] = ()
    caption_page: int = 0
    caption_box: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Leftover:
    """A picture without caption (kind "picture") or a caption without picture ("caption"), on the page as shown."""

    kind: str
    page: int
    box: Box
    text: str = ""
    number: str = ""


def find_figures(
    page: PageLayout, lines: Sequence[Line], pictures: Sequence[PictureBox], vocabulary: Vocabulary
) -> list[FigureFound]:
    """The figures of a page by itself. lines, pictures: its content (see content_lines and content_pictures)."""
    captions, texts = find_captions([page], {page.number: lines}, {page.number: pictures})
    own = [caption for caption in captions[page.number] if caption.label.word == "figure"]
    matches = match_page(own, pictures, texts[page.number], NEUTRAL)
    return _in_order(_found(match, page, page, vocabulary) for match in matches)


def find_all_figures(pages: Sequence[PageLayout]) -> list[FigureFound]:
    """All captioned figures of a document, in reading order: also those whose caption stands on another page."""
    return _Document(pages).figures()


def leftovers(pages: Sequence[PageLayout], figures: Sequence[FigureFound]) -> list[Leftover]:
    """What of a document's pictures and captions is in none of its figures, page by page."""
    document = _Document(pages)
    taken = {(figure.page, picture) for figure in figures for picture in figure.pictures}
    told = {(figure.caption_page, figure.caption_box) for figure in figures}
    rest = []
    for page in pages:
        rest += [
            Leftover("picture", page.number, page.on_page(picture.box))
            for picture in document.pictures[page.number]
            if (page.number, picture) not in taken and not picture.drawing
        ]
        rest += [
            Leftover("caption", page.number, box, caption.text(document.vocabulary), caption.label.key)
            for caption in document.of_words(page.number)
            for box in [page.on_page(caption.box)]
            if (page.number, box) not in told
        ]
    return rest


class _Document:
    """The content of all pages, and which words begin captions in it."""

    def __init__(self, pages: Sequence[PageLayout]) -> None:
        self.pages = {page.number: page for page in pages}
        lines, self.pictures = content_lines(pages), content_pictures(pages)
        self.vocabulary = Vocabulary(line.text for page in pages for line in lines[page.number])
        self.captions, self.texts = find_captions(pages, lines, self.pictures)
        self.words, self.habit = {"figure"}, NEUTRAL
        self.known: dict[tuple, list[tuple[int, Match]]] = {}
        self.words |= self._other_words()
        self.habit = self._habit()

    def of_words(self, number: int) -> list[Caption]:
        return [caption for caption in self.captions[number] if caption.label.word in self.words]

    def matches(self) -> list[tuple[int, Match]]:
        """(page of the pictures, match) of what stands on one page."""
        key = frozenset(self.words), tuple(self.habit.items())
        if key not in self.known:
            self.known[key] = [
                (number, match)
                for number in self.pages
                for match in match_page(
                    self.of_words(number), self.pictures[number], self.texts[number], self.habit
                )
            ]
        return self.known[key]

    def _other_words(self) -> set[str]:
        """Words beside "Figure" that behave like captions: most of their labels stand at pictures without one."""
        counts = Counter(caption.label.word for some in self.captions.values() for caption in some)
        figures = counts.pop("figure", 0)
        if not counts:
            return set()
        taken = {id(picture) for _, (_, pictures) in self.matches() for picture in pictures}
        words = set()
        for word, count in counts.items():
            matched = 0
            for number, some in self.captions.items():
                free = [p for p in self.pictures[number] if id(p) not in taken and not p.drawing]
                own = [caption for caption in some if caption.label.word == word]
                matched += len(match_page(own, free, self.texts[number], NEUTRAL))
            if matched >= 0.5 * count and (matched > 1 or not figures):
                words.add(word)
        return words

    def _habit(self) -> Habit:
        """On which sides captions stand, as shares, of the pages that leave no choice; all of them a little likely."""
        sides: Counter[str] = Counter()
        for _, (caption, pictures) in self.matches():
            sides[side_of(pictures, caption.box) or ""] += 1
        total = sum(sides[side] for side in SIDES)
        return {side: (sides[side] + NEUTRAL[side]) / (total + 1) for side in SIDES} if total else NEUTRAL

    def figures(self) -> list[FigureFound]:
        matches = self.matches()
        matches = matches + self._over_pages(matches)
        found = [
            _found(match, self.pages[number], self.pages[match[0].page], self.vocabulary)
            for number, match in matches
        ]
        labels = {self._place(match[0]): match[0].label for _, match in matches}
        return _continued(_in_order(found), labels)

    def _place(self, caption: Caption) -> tuple[int, Box]:
        return caption.page, self.pages[caption.page].on_page(caption.box)

    def _over_pages(self, matches: Sequence[tuple[int, Match]]) -> list[tuple[int, Match]]:
        """Captions without picture and pictures without caption on neighbouring pages, in their order.

        Of the two ways to go, plates before their captions or after them, the one that matches more is taken first.
        """
        taken = {id(picture) for _, (_, pictures) in matches for picture in pictures}
        told = {id(caption) for _, (caption, _) in matches}
        captions = {n: [c for c in self.of_words(n) if id(c) not in told] for n in self.pages}
        pictures = {
            n: [p for p in some if id(p) not in taken and not p.drawing] for n, some in self.pictures.items()
        }
        ways = [self._one_way(captions, pictures, step) for step in (-1, 1)]
        first = max(ways, key=lambda way: sum(len(match[1]) for _, match in way))
        told = {id(match[0]) for _, match in first}
        used = {number for number, _ in first}
        captions = {n: [c for c in some if id(c) not in told] for n, some in captions.items()}
        pictures = {n: some if n not in used else [] for n, some in pictures.items()}
        return first + [
            match
            for step in (-1, 1)
            if ways[(step + 1) // 2] is not first
            for match in self._one_way(captions, pictures, step)
        ]

    def _one_way(
        self, captions: Mapping[int, list[Caption]], pictures: Mapping[int, list[PictureBox]], step: int
    ) -> list[tuple[int, Match]]:
        found = []
        for number, some in captions.items():
            plates = pictures.get(number + step, [])
            if not some or not plates:
                continue
            groups = _groups(plates, len(some))
            if len(groups) == len(some):
                found += [
                    (number + step, (caption, group)) for caption, group in zip(some, groups, strict=True)
                ]
        return found


def match_page(
    captions: Sequence[Caption], pictures: Sequence[PictureBox], texts: Sequence[Block], habit: Habit
) -> list[Match]:
    """The captions of a page, each with its pictures in reading order; those without pictures are left out."""
    if not captions or not pictures:
        return []
    barriers = [block.box for block in texts if len(block.lines) > 1 or len(block.text.strip()) > TAG]
    wanted = [Wanted(_measure(caption, captions), caption.panels) for caption in captions]
    best = PageMatcher(pictures, wanted, barriers, habit).best()
    return [
        (caption, reading_order([pictures[i] for i in own]))
        for caption, own in zip(captions, best, strict=True)
        if own
    ]


def _measure(caption: Caption, captions: Sequence[Caption]) -> Box:
    """A caption's box, as wide as the captions right above and below it: a short one was set to their measure."""
    x0, y0, x1, y1 = caption.box
    stack = [caption.box]
    for other in captions:
        apart = -overlap(other.box[1], other.box[3], y0, y1)
        if abs(other.box[0] - x0) < 3 and apart < PARAGRAPH_GAP * caption.block.size + 1:
            stack.append(other.box)
    return x0, y0, max(box[2] for box in stack), y1


def group_pictures(
    pictures: Sequence[PictureBox], texts: Sequence[Box], wanted: int
) -> list[list[PictureBox]]:
    """Pictures → figures: neighbours with nothing between them, at the distance that gives as many as captions."""
    boxes = [picture.box for picture in pictures]
    candidates = [groups_within(boxes, texts, gap) for gap in PANEL_GAPS]
    chosen = min(candidates, key=lambda groups: abs(len(groups) - wanted))
    return [[pictures[i] for i in group] for group in chosen]


def _groups(plates: Sequence[PictureBox], wanted: int) -> list[list[PictureBox]]:
    """As group_pictures, each group and all groups in reading order; a single group holds whatever there is."""
    groups = [list(plates)] if wanted == 1 else group_pictures(plates, (), wanted)
    firsts = reading_order([PictureBox(union(p.box for p in group)) for group in groups])
    by_box = {union(p.box for p in group): reading_order(group) for group in groups}
    return [by_box[first.box] for first in firsts]


def same_patient(caption: str) -> str | None:
    """The number of the figure of which a caption says that it shows the same patient."""
    match = SAME_PATIENT.search(caption)
    return re.sub(r"\s", "", match.group(1)).rstrip(".") if match else None


def _found(match: Match, page: PageLayout, told_on: PageLayout, vocabulary: Vocabulary) -> FigureFound:
    caption, pictures = match
    return FigureFound(
        caption.label.key,
        page.number,
        caption.text(vocabulary),
        tuple(pictures),
        caption.label.printed,
        tuple(page.on_page(picture.box) for picture in pictures),
        told_on.number,
        told_on.on_page(caption.box),
    )


def _continued(figures: Sequence[FigureFound], labels: Mapping) -> list[FigureFound]:
    """ "Figure 3.2 (continued)" has the caption of Figure 3.2, and so have both what it adds."""
    whole: dict[str, list[str]] = {}
    for figure in figures:
        label = labels[figure.caption_page, figure.caption_box]
        if label.continued and figure.number in whole:
            whole[figure.number].append(figure.caption)
        else:
            whole.setdefault(figure.number, [figure.caption])
    again = {number for number, texts in whole.items() if len(texts) > 1}
    return [
        replace(figure, caption=" ".join(filter(None, whole[figure.number])))
        if figure.number in again
        else figure
        for figure in figures
    ]


def _in_order(figures: Iterable[FigureFound]) -> list[FigureFound]:
    return sorted(figures, key=lambda f: (f.page, f.pictures[0].box[1], f.pictures[0].box[0]))


def reading_order(group: Sequence[PictureBox]) -> list[PictureBox]:
    """By rows from the top, each from the left."""
    ordered: list[list[PictureBox]] = []
    for picture in sorted(group, key=lambda picture: picture.box[1]):
        row = ordered[-1] if ordered else None
        if row and picture.box[1] < row[0].box[1] + 0.5 * (row[0].box[3] - row[0].box[1]):
            row.append(picture)
        else:
            ordered.append([picture])
    return [picture for row in ordered for picture in sorted(row, key=lambda picture: picture.box[0])]
