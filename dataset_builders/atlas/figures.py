"""Pictures and captions of a document put together, and what is left over of either."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dataset_builders.atlas.cleaning import Vocabulary
from dataset_builders.atlas.document import AtlasDocument
from dataset_builders.atlas.labels import LABEL, NUMBER, Label
from dataset_builders.atlas.layout import Box, PageLayout, PictureBox
from dataset_builders.atlas.page_figures import Match, group_pictures

__all__ = [
    "LABEL",
    "FigureFound",
    "Leftover",
    "find_figures",
    "group_pictures",
    "leftovers",
    "same_patient",
]

SAME_PATIENT = re.compile(rf"same (?:patient|case|woman) as in (?:Figure|Fig\.?)\s*({NUMBER})", re.IGNORECASE)


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


def find_figures(pages: Sequence[PageLayout]) -> list[FigureFound]:
    """All captioned figures of a document, in reading order: also those whose caption stands on another page."""
    document = AtlasDocument(pages)
    labels, found = {}, []
    for number, match in document.all_matches():
        caption = match[0]
        found.append(_found(match, document.pages[number], document.pages[caption.page], document.vocabulary))
        labels[found[-1].caption_page, found[-1].caption_box] = caption.label
    return _continued(_in_order(found), labels)


def leftovers(pages: Sequence[PageLayout], figures: Sequence[FigureFound]) -> list[Leftover]:
    """What of a document's pictures and captions is in none of its figures, page by page."""
    document = AtlasDocument(pages)
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


def _continued(figures: Sequence[FigureFound], labels: dict[tuple[int, Box], Label]) -> list[FigureFound]:
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
