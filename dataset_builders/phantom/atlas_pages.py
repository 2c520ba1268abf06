"""Pages of a phantom atlas: figures with captions below or beside them, running text, heads, ornaments.

Everything is laid out in PDF points from the top left corner; nothing is drawn here (see atlas_pdf.py).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from dataset_builders.phantom import prose
from dataset_builders.phantom.atlas_design import BOOK, Design, Figure, chapter_title
from dataset_builders.phantom.typeset import Text, Word, break_lines, set_lines, words_of

WIDTH, HEIGHT = 612.0, 792.0  # US letter
LEFT, RIGHT, TOP, BOTTOM = 54.0, 558.0, 66.0, 734.0
GUTTER = 20.0
ASPECT = 4 / 3  # height : width of a picture
AFTER_FIGURE = 18.0
SECTION_NAMES = ("HISTORY:", "MAMMOGRAPHY:", "IMPRESSION:", "HISTOPATHOLOGY:")


@dataclass(frozen=True)
class Picture:
    """A placed picture; `name` is an ornament's, or "" for panel `panel` of figure number `figure`."""

    box: tuple[float, float, float, float]
    figure: str = ""
    panel: int = 0
    name: str = ""


@dataclass
class Block:
    """Texts and pictures that belong together, with the space they take."""

    height: float = 0.0
    texts: list[Text] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    figure: Figure | None = None

    def at(self, x: float, y: float) -> Block:
        texts = [replace(text, x=text.x + x, y=text.y + y) for text in self.texts]
        boxes = [(a + x, b + y, c + x, d + y) for a, b, c, d in (picture.box for picture in self.pictures)]
        pictures = [replace(picture, box=box) for picture, box in zip(self.pictures, boxes, strict=True)]
        return Block(self.height, texts, pictures, self.figure)


@dataclass
class Page:
    number: int
    blocks: list[Block] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        return [block.figure for block in self.blocks if block.figure is not None]


def compose_pages(figures: Sequence[Figure], design: Design, rng: random.Random) -> list[Page]:
    """All pages of the atlas; every figure stands on exactly one of them, in order."""
    pages: list[Page] = []
    queue = deque(figures)
    while queue:
        chapter = queue[0].chapter
        pages.append(_opening_page(len(pages) + 1, chapter, design, rng))
        waiting = deque(figure for figure in queue if figure.chapter == chapter)
        queue = deque(figure for figure in queue if figure.chapter != chapter)
        while waiting:
            template = rng.choices(list(TEMPLATES), [design.templates[name] for name in TEMPLATES])[0]
            blocks = TEMPLATES[template](waiting, design, rng)
            pages.append(Page(len(pages) + 1, [*blocks, *_furniture(len(pages) + 1, chapter, design)]))
    return pages


# ---- blocks


def caption_lines(figure: Figure, design: Design, width: float) -> list[list[Word]]:
    """Label and caption as broken lines; the design says what is bold and whether sections begin a line."""
    words = words_of(design.label.format(figure.number), "bold" if design.bold_label else "roman")
    paragraphs = [words]
    for word in figure.caption.split():
        section = word in SECTION_NAMES
        if section and design.sections_on_lines and word != SECTION_NAMES[0]:
            paragraphs.append([])
        paragraphs[-1].append((word, "bold" if section and design.bold_sections else "roman"))
    return [line for words in paragraphs for line in break_lines(words, design.caption, width)]


def panels_block(figure: Figure, design: Design, width: float, columns: int, tallest: float) -> Block:
    """The panels in rows of `columns`, with letters when there are several; as wide as the place allows."""
    rows = -(-len(figure.panels) // columns)
    gap, below = design.panel_gap, 11.0 if design.letters == "below" and len(figure.panels) > 1 else 0.0
    across = (width - gap * (columns - 1)) / columns
    high = min(across * ASPECT, (tallest - gap * (rows - 1)) / rows - below)
    wide = high / ASPECT
    block = Block(height=rows * (high + below) + gap * (rows - 1))
    start = (width - columns * wide - gap * (columns - 1)) / 2
    for i in range(len(figure.panels)):
        x = start + (i % columns) * (wide + gap)
        y = (i // columns) * (high + gap + below)
        block.pictures.append(Picture((x, y, x + wide, y + high), figure.number, i))
        if len(figure.panels) > 1:
            block.texts.append(_letter("ABCD"[i], x, y, wide, high, design))
    return block


def _letter(letter: str, x: float, y: float, wide: float, high: float, design: Design) -> Text:
    if design.letters == "below":
        return Text(x + wide / 2 - 3, y + high + 9, letter, "bold", 9.0)
    return Text(x + 4, y + high - 5, letter, "bold", 11.0, color=1.0)


def figure_below(figure: Figure, design: Design, width: float, tallest: float) -> Block:
    """Panels above, caption below them."""
    count = len(figure.panels)
    columns = count if count < 4 or width > 350 else 2
    block = panels_block(figure, design, width, columns, tallest)
    lines = caption_lines(figure, design, width)
    top = block.height + 7
    block.texts += set_lines(lines, design.caption, 0, top, width)
    block.height = top + len(lines) * design.caption.leading
    block.figure = figure
    return block


def figure_beside(figure: Figure, design: Design, width: float, tallest: float, left: bool) -> Block:
    """Panels on one side, caption on the other, level with the pictures' top."""
    share = 0.46 if len(figure.panels) == 1 else 0.6
    columns = min(2, len(figure.panels))
    block = panels_block(figure, design, share * width, columns, tallest)
    caption_width = (1 - share) * width - 16
    lines = caption_lines(figure, design, caption_width)
    if left:
        block = block.at(caption_width + 16, 0)
    block.texts += set_lines(lines, design.caption, 0 if left else share * width + 16, 0, caption_width)
    block.height = max(block.height, len(lines) * design.caption.leading)
    block.figure = figure
    return block


def paragraph(design: Design, width: float, lines: int, numbers: Sequence[str], rng: random.Random) -> Block:
    """Running text of at most `lines` lines; now and then with a heading or a small icon before it."""
    setting, icon = design.body, rng.random() < 0.08 and lines >= 5
    indent = 34.0 if icon else 0.0
    heading = rng.random() < 0.2 and lines >= 6
    words = words_of(prose.opening(rng, numbers))
    while True:
        more = words + words_of(prose.sentence(rng, numbers))
        if len(break_lines(more, setting, width - indent)) > lines - 2 * heading:
            break
        words = more
    broken = break_lines(words, setting, width - indent)[:lines]
    block, top = Block(), 0.0
    if heading:
        block.texts.append(
            Text(0, 11, setting.face.shape(rng.choice(prose.HEADINGS)), "bold", setting.size + 1.5)
        )
        top = 2 * setting.leading
    if icon:
        block.pictures.append(Picture((0, top, 26, top + 26), name="icon"))
    block.texts += set_lines(broken, setting, indent, top, width - indent)
    block.height = top + len(broken) * setting.leading
    return block


# ---- page templates: each takes the figures it places out of the queue, at least one


def fill_column(
    queue: deque, design: Design, x: float, width: float, top: float, most: int, rng: random.Random
) -> Iterable[Block]:
    """Figures and paragraphs from `top` to the page's bottom, with at most `most` figures."""
    numbers, placed = [figure.number for figure in list(queue)[:6]], 0
    figure_next = rng.random() < 0.6
    while BOTTOM - top > 4 * design.body.leading:
        block = (
            figure_below(queue[0], design, width, rng.uniform(170, 230)) if queue and placed < most else None
        )
        if block and figure_next and top + block.height <= BOTTOM:
            queue.popleft()
            placed += 1
        else:
            room = int((BOTTOM - top) / design.body.leading)
            block = paragraph(design, width, min(room, rng.randint(5, 16)), numbers, rng)
        yield block.at(x, top)
        figure_next = block.figure is None or rng.random() < 0.3
        top += block.height + (AFTER_FIGURE if block.figure else design.body.leading)


def columns_page(queue: deque, design: Design, rng: random.Random) -> list[Block]:
    """Two columns; half of the time a wide figure above both."""
    blocks, top = [], TOP
    if rng.random() < 0.4:
        block = figure_below(queue.popleft(), design, RIGHT - LEFT, rng.uniform(170, 220))
        blocks.append(block.at(LEFT, top))
        top += block.height + AFTER_FIGURE + 4
    width = (RIGHT - LEFT - GUTTER) / 2
    for x in (LEFT, LEFT + width + GUTTER):
        blocks += fill_column(queue, design, x, width, top, 2, rng)
    return blocks if any(block.figure for block in blocks) else grid_page(queue, design, rng)


def wide_page(queue: deque, design: Design, rng: random.Random) -> list[Block]:
    """One column over the whole width."""
    blocks = list(fill_column(queue, design, LEFT, RIGHT - LEFT, TOP, 2, rng))
    return blocks if any(block.figure for block in blocks) else beside_page(queue, design, rng)


def beside_page(queue: deque, design: Design, rng: random.Random) -> list[Block]:
    """Figures one above the other, all captions on the same side."""
    blocks, top, left = [], TOP, rng.random() < 0.3
    while queue and len(blocks) < 3:
        block = figure_beside(queue[0], design, RIGHT - LEFT, rng.uniform(185, 225), left)
        if top + block.height > BOTTOM:
            break
        queue.popleft()
        blocks.append(block.at(LEFT, top))
        top += block.height + AFTER_FIGURE + 6
    return blocks


def grid_page(queue: deque, design: Design, rng: random.Random) -> list[Block]:
    """Rows of two figures, captions below, no running text."""
    blocks, top, width = [], TOP, (RIGHT - LEFT - GUTTER) / 2
    while queue:
        pair = list(queue)[:2]
        row = [figure_below(figure, design, width, 190) for figure in pair]
        if top + max(block.height for block in row) > BOTTOM:
            break
        for block, x in zip(row, (LEFT, LEFT + width + GUTTER), strict=False):
            queue.popleft()
            blocks.append(block.at(x, top))
        top += max(block.height for block in row) + AFTER_FIGURE
    return blocks


TEMPLATES = {"columns": columns_page, "wide": wide_page, "beside": beside_page, "grid": grid_page}


# ---- what a page has besides


def _furniture(number: int, chapter: int, design: Design) -> list[Block]:
    """Running head, page number, the publisher's mark."""
    face, even = design.body.face, number % 2 == 0
    head = BOOK if even else f"Chapter {chapter} \u2013 {chapter_title(chapter)}"
    wide = face.width(head, "italic", 9)
    block = Block()
    block.texts.append(Text(LEFT if even else RIGHT - wide, 42, face.shape(head), "italic", 9))
    folio_x = (RIGHT - 18 if even else LEFT) if design.folio == "head" else WIDTH / 2 - 6
    block.texts.append(Text(folio_x, 42 if design.folio == "head" else 764, str(number), "roman", 9))
    if design.logo:
        x = WIDTH / 2 - 9 if design.folio == "head" else (RIGHT - 18 if even else LEFT)
        block.pictures.append(Picture((x, 752, x + 18, 770), name="logo"))
    return [block]


def _opening_page(number: int, chapter: int, design: Design, rng: random.Random) -> Page:
    """A chapter's first page: title, ornament, two columns of text."""
    face, block = design.body.face, Block()
    block.texts.append(Text(LEFT, 110, f"CHAPTER {chapter}", "roman", 13))
    block.texts.append(Text(LEFT, 142, face.shape(chapter_title(chapter)), "bold", 25))
    block.pictures.append(Picture((RIGHT - 92, 66, RIGHT, 158), name="ornament"))
    block.texts.append(Text(WIDTH / 2 - 6, 764, str(number), "roman", 9))
    width = (RIGHT - LEFT - GUTTER) / 2
    blocks = [block]
    for x in (LEFT, LEFT + width + GUTTER):
        blocks += fill_column(deque(), design, x, width, 200, 0, rng)
    return Page(number, blocks)
