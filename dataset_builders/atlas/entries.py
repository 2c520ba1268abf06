"""The pictures of captioned figures, one entry each, on their way from what was read to a row of the data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from dataset_builders.atlas.layout import Box, PictureBox
from dataset_builders.atlas.leftovers import case_texts, unmatched_pictures
from dataset_builders.atlas.looks import Look, near_duplicates, small_picture
from dataset_builders.atlas.modality import Modality, judge
from dataset_builders.atlas.panels import Panel, PanelMismatch, find_panels
from dataset_builders.atlas.pdf import open_pdf
from dataset_builders.atlas.sections import SECTIONS, find_sections
from dataset_builders.atlas.truth import normalised_figure
from dataset_builders.atlas_pairs import Atlas, box_on_page, cases_of
from dataset_builders.folds import join_groups


@dataclass(eq=False)
class Entry:
    """One picture with its caption.

    figure: "" where a picture has no caption; read_as: the figure that it was read as, by which corrections name it,
    with number, its place there from 1 (or on its page); beside: paragraphs under section headings on the page; own:
    what the caption says of this picture alone; turn: degrees clockwise; doubts: why a person should look.
    """

    source: str
    page: int
    figure: str
    number: int
    picture: PictureBox
    box: Box
    caption: str
    case: str
    caption_id: str
    read_as: str
    beside: str = ""
    panel: str | None = None
    own: str = ""
    look: Look | None = None
    modality: Modality | None = None
    turn: int = 0
    doubts: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """As a person finds it: "figure 3.2 of atlas, page 17"."""
        return f"figure {self.figure} of {self.source}, page {self.page}"

    def as_read(self) -> dict:
        """The columns that are known as soon as the atlas is read."""
        return {
            "caption": self.caption,
            "caption_id": self.caption_id,
            "case_id": self.case,
            "figure": self.figure,
            "page": self.page,
            "source": self.source,
        }

    def to_row(self) -> dict:
        """All columns of PAIR_FEATURES but the image and the split."""
        sections = find_sections(self.caption)
        if self.beside:
            beside = find_sections(self.beside)
            sections = {name: sections[name] or beside[name] for name in SECTIONS}
        return {
            **self.as_read(),
            "box": [round(float(value), 2) for value in self.box],
            "panel": self.panel,
            **sections,
            "modality": self.modality.kind,
            "is_mammogram": self.modality.is_mammogram,
            "modality_reason": self.modality.reason,
        }


def entries_of(atlas: Atlas) -> list[Entry]:
    """One entry for each picture of each figure, in reading order."""
    with open_pdf(atlas.path) as document:
        return _entries(atlas, document)


def _entries(atlas: Atlas, document: Any) -> list[Entry]:
    beside = case_texts(atlas.layouts, atlas.figures)
    entries, seen = [], {}  # number → caption
    for figure, case in zip(atlas.figures, cases_of(atlas.figures), strict=True):
        caption_id = f"{atlas.source}/{figure.number}"
        # A figure that goes on over a page comes twice, with its whole caption.
        again = seen.setdefault(normalised_figure(figure.number), figure.caption) != figure.caption
        for number, picture in enumerate(figure.pictures, start=1):
            entry = Entry(
                atlas.source,
                figure.page,
                figure.number,
                number,
                picture,
                box_on_page(document, atlas.layouts[figure.page - 1], picture),
                figure.caption,
                f"{atlas.source}/{case}",
                f"{caption_id}@{figure.page}" if again else caption_id,
                figure.number,
                beside.get(figure.page, ""),
            )
            if again:
                entry.doubts.append(f"the number {figure.number} has come before")
            entries.append(entry)
    return entries


def uncaptioned(atlas: Atlas) -> list[Entry]:
    """One entry for each picture that belongs to no figure; they are numbered on their page."""
    entries, numbers = [], Counter()
    with open_pdf(atlas.path) as document:
        for page, picture in unmatched_pictures(atlas.layouts, atlas.figures):
            numbers[page] += 1
            box = box_on_page(document, atlas.layouts[page - 1], picture)
            entries.append(Entry(atlas.source, page, "", numbers[page], picture, box, "", "", "", read_as=""))
    return entries


def look_at(atlas: Atlas, entries: Iterable[Entry]) -> None:
    """Look at the pictures of one atlas, page by page."""
    with open_pdf(atlas.path) as document:
        for entry in sorted(entries, key=lambda entry: entry.page):
            entry.look = Look.at(small_picture(document[entry.page - 1], entry.box))
            if entry.picture.drawing:
                entry.look = replace(entry.look, cannot="drawing")


def name_panels(entries: Sequence[Entry], *, split: bool) -> None:
    """Give pictures their letters and what the caption says of each alone; with `split`, each its own caption.

    Where a caption names other panels than there are pictures, it stays whole and its entries say so.
    """
    for figure in figures(entries):
        try:
            panels = find_panels(figure[0].caption, len(figure))
        except PanelMismatch as mismatch:
            for entry in figure:
                entry.doubts.append(str(mismatch))
            continue
        if panels and len({entry.caption for entry in figure}) == 1:
            _name(figure, panels, split)


def _name(figure: Sequence[Entry], panels: Sequence[Panel], split: bool) -> None:
    differ = len({panel.text for panel in panels}) > 1
    for entry, panel in zip(figure, panels, strict=True):
        entry.panel, entry.own = panel.letter, panel.own
        if split and differ and panel.text:
            entry.caption = panel.text


def number_captions(entries: Sequence[Entry]) -> None:
    """Pictures of one figure with captions of their own get caption_ids of their own."""
    for figure in figures(entries):
        if len({entry.caption for entry in figure}) > 1:
            for place, entry in enumerate(figure, start=1):
                entry.caption_id += f"/{entry.panel or place}"


def figures(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The entries of each figure together, in order."""
    return [list(group) for _, group in groupby(entries, key=lambda entry: (entry.source, entry.caption_id))]


def judge_pictures(entries: Iterable[Entry]) -> None:
    """Decide of every picture what it is."""
    for entry in entries:
        entry.modality = judge(entry.caption, entry.own, entry.look.cannot)
        if entry.modality.doubtful:
            entry.doubts.append(f"taken for {entry.modality.kind} ({entry.modality.reason})")


def join_cases(entries: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """Put pictures that look the same into one case, so that no split parts them; the pairs of such pictures."""
    same = [(entries[i], entries[j]) for i, j in near_duplicates([entry.look for entry in entries])]
    for a, b in same:
        if a.case != b.case:  # within a case, a picture may well come twice
            a.doubts.append(f"looks the same as {b.place}")
            b.doubts.append(f"looks the same as {a.place}")
    joined = join_groups([entry.case for entry in entries], [(a.case, b.case) for a, b in same])
    for entry, case in zip(entries, joined, strict=True):
        entry.case = case
    return same
