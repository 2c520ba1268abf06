"""A whole document: which words begin captions in it, where captions stand as a rule, and plates on facing pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dataset_builders.atlas.captions import Caption, find_captions
from dataset_builders.atlas.cleaning import Vocabulary
from dataset_builders.atlas.layout import PageLayout, PictureBox, content_lines, content_pictures
from dataset_builders.atlas.matching import NEUTRAL, SIDES, Habit, side_of
from dataset_builders.atlas.page_figures import Match, grouped_plates, match_page


class AtlasDocument:
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

    def all_matches(self) -> list[tuple[int, Match]]:
        """As matches, and what stands on neighbouring pages besides."""
        return self.matches() + self._over_pages(self.matches())

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
            groups = grouped_plates(plates, len(some))
            if len(groups) == len(some):
                found += [
                    (number + step, (caption, group)) for caption, group in zip(some, groups, strict=True)
                ]
        return found
