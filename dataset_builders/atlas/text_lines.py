"""The spans of a PDF page → its lines of text, whatever order and pieces a writer put them in."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dataset_builders.atlas.layout import Box, Line, overlap, turned, union
from dataset_builders.atlas.pdf import import_pymupdf

ASCENT, DESCENT = 0.72, 0.21  # of the size: where letters begin and end about the baseline
BOLD = 1 << 4  # of a span's flags
FACE = re.compile(
    r"(^[A-Z]{6}\+)|[-,_ ]?(bold|italic|oblique|regular|roman|medium|semibold|light|mt|ps|it|bd)\b", re.I
)
TURNS = {(1, 0): 0, (0, -1): 90, (-1, 0): 180, (0, 1): 270}  # direction of writing → degrees counterclockwise
BARE_LABEL = re.compile(r"\s*(?:fig(?:ure|\s?\.)?|plate|image|case)\s*[A-Z]?\d\S*\s*$", re.IGNORECASE)
NEAR = 0.6  # ems between words that are on one line in any case
FAR = 2.5  # … and between words of a line that was stretched to fill its column
LETTER_BY_LETTER = (
    4.5  # letters in a span on the average: with fewer, the order within spans is not to be trusted
)
SHELF = 8.0  # points
TWICE = 0.1  # of the size: the same letters so near are one, printed twice
SMALL = 0.8  # of the line's size: a raised piece that is smaller is a superscript


@dataclass(frozen=True)
class Piece:
    """A run of letters of one font on one baseline."""

    box: Box
    text: str
    size: float
    bold: bool
    font: str
    baseline: float


def page_turn(spans: Iterable[tuple[dict, tuple]]) -> int:
    """By how many degrees counterclockwise most of a page's text is turned: 0, 90, 180 or 270."""
    letters: Counter[int] = Counter()
    for span, direction in spans:
        letters[TURNS.get(direction, -1)] += len(span["text"].strip())
    letters.pop(-1, None)
    return max(letters, key=lambda turn: (letters[turn], turn == 0), default=0)


def page_spans(page: Any) -> list[tuple[dict, tuple]]:
    """(span, rounded direction of writing) of a pymupdf.Page as it is shown, blank ones left out.

    Where a writer put letters one by one they come as spans of one letter, since MuPDF leaves them in his order.
    """
    spans = _spans(page, "dict")
    if spans and sum(len(span["text"]) for span, _ in spans) < LETTER_BY_LETTER * len(spans):
        spans = [
            (span | {"text": char["c"], "bbox": char["bbox"], "origin": char["origin"]}, direction)
            for span, direction in _spans(page, "rawdict")
            for char in span["chars"]
            if char["c"].strip()
        ]
    if page.rotation:  # text comes in the coordinates of the page before it is turned by /Rotate
        spans = [_shown(span, direction, page.rotation_matrix) for span, direction in spans]
    return [(span, tuple(round(v) if abs(v - round(v)) < 0.01 else v for v in d)) for span, d in spans]


def _spans(page: Any, kind: str) -> list[tuple[dict, tuple]]:
    pymupdf = import_pymupdf()
    flags = pymupdf.TEXT_PRESERVE_LIGATURES | pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
    return [
        (span, line["dir"])
        for block in page.get_text(kind, flags=flags)["blocks"]
        for line in block.get("lines", ())
        for span in line["spans"]
        if kind == "rawdict" or span["text"].strip()
    ]


def _shown(span: dict, direction: tuple, matrix: Any) -> tuple[dict, tuple]:
    pymupdf = import_pymupdf()
    box, origin = pymupdf.Rect(span["bbox"]) * matrix, pymupdf.Point(span["origin"]) * matrix
    a, b, c, d = matrix[:4]
    x, y = direction
    return span | {"bbox": tuple(box), "origin": tuple(origin)}, (a * x + c * y, b * x + d * y)


def read_lines(spans: Iterable[tuple[dict, tuple]], turn: int, width: float, height: float) -> list[Line]:
    """The lines of the text that is turned by `turn`, in reading coordinates (see layout.turned)."""
    pieces = [_piece(span, turn, width, height) for span, direction in spans if TURNS.get(direction) == turn]
    return join_lines_of(_once(pieces))


def _piece(span: dict, turn: int, width: float, height: float) -> Piece:
    x0, _, x1, _ = turned(span["bbox"], turn, width, height)
    x, y = span["origin"]
    baseline, size = turned((x, y, x, y), turn, width, height)[1], span["size"]
    name = span["font"]
    bold = bool(span["flags"] & BOLD) or "bold" in name.lower() or "black" in name.lower()
    box = (x0, baseline - ASCENT * size, x1, baseline + DESCENT * size)
    return Piece(box, span["text"], size, bold, FACE.sub("", name).lower(), baseline)


def _once(pieces: Sequence[Piece]) -> list[Piece]:
    """Without letters that were printed twice, a little apart, to look bold; of both runs the longer one stays."""
    kept: dict[tuple, Piece] = {}
    for piece in sorted(pieces, key=lambda piece: -len(piece.text)):
        apart, begins = TWICE * piece.size, piece.text.lstrip()[:1]
        x, y = int(piece.box[0] // apart), int(piece.baseline // apart)
        near = [kept.get((begins, x + dx, y + dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        if not any(other and _is_copy(piece, other, apart) for other in near):
            kept[begins, x, y] = piece
    return list(kept.values())


def _is_copy(piece: Piece, other: Piece, apart: float) -> bool:
    near = abs(piece.box[0] - other.box[0]) < apart and abs(piece.baseline - other.baseline) < apart
    return near and other.text.startswith(piece.text.rstrip())


class Row:
    """Pieces on one baseline, from left to right; main is the largest, right where the last one ends."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = list(pieces)
        self.main = max(pieces, key=lambda piece: piece.size)
        self.right = max(piece.box[2] for piece in pieces)

    def add(self, pieces: Sequence[Piece]) -> None:
        self.pieces += pieces
        self.main = max(self.main, *pieces, key=lambda piece: piece.size)
        self.right = max(self.right, *(piece.box[2] for piece in pieces))

    @property
    def box(self) -> Box:
        return union(piece.box for piece in self.pieces)

    def holds(self, piece: Piece, nearest: float, farthest: float) -> bool:
        """Whether a piece is level with the row and begins so many ems behind its end."""
        size, high = max(self.main.size, piece.size), min(self.main.size, piece.size)
        if not nearest * size <= piece.box[0] - self.right <= farthest * size:
            return False
        alike = high > SMALL * size
        shared = overlap(self.main.box[1], self.main.box[3], piece.box[1], piece.box[3])
        return shared >= (0.6 if alike else 0.45) * high

    def misfit(self, piece: Piece) -> float:
        return abs(self.main.baseline - piece.baseline) + 0.1 * abs(piece.box[0] - self.right)


def join_lines_of(pieces: Sequence[Piece]) -> list[Line]:
    """Pieces → lines: words that are near each other first, then stretched lines that a neighbour bridges."""
    rows: list[Row] = []
    shelves: dict[int, list[Row]] = defaultdict(list)  # rows by height, as only a few can hold a piece
    for piece in sorted(pieces, key=lambda piece: piece.box[0]):
        shelf = int(piece.baseline // SHELF)
        near = (
            row for i in (shelf - 1, shelf, shelf + 1) for row in shelves[i] if row.holds(piece, -0.35, NEAR)
        )
        home = min(near, key=lambda row: row.misfit(piece), default=None)
        if home is None:
            rows.append(Row([piece]))
            shelves[shelf].append(rows[-1])
        else:
            home.add([piece])
    return sorted((_line(row) for row in _bridged(rows)), key=lambda line: (line.box[1], line.box[0]))


def _bridged(rows: Sequence[Row]) -> list[Row]:
    """Join what lies on one baseline where lines above and below run across the gap, or a label stands before it."""
    boxes = [row.box for row in rows]
    joined: list[Row] = []
    for row in sorted(rows, key=lambda row: row.box[0]):
        first = row.pieces[0]
        for other in joined:
            gap = first.box[0] - other.right
            if not other.holds(first, 0, FAR):
                continue
            needed = 1 if gap <= first.size else 2
            if BARE_LABEL.match(_text(other)) or _bridges(other.right, first, boxes) >= needed:
                other.add(row.pieces)
                break
        else:
            joined.append(Row(row.pieces))
    return joined


def _bridges(left: float, piece: Piece, boxes: Sequence[Box]) -> int:
    """On how many sides, above and below, a neighbouring line runs across the gap from `left` to the piece."""
    (right, top, _, bottom), size = piece.box, piece.size
    across = [box for box in boxes if box[0] < left - 1 and box[2] > right + 1]
    above = any(-0.3 * size < top - box[3] < 1.1 * size for box in across)
    below = any(-0.3 * size < box[1] - bottom < 1.1 * size for box in across)
    return above + below


def _line(whole: Row) -> Line:
    row, main = whole.pieces, whole.main
    sizes: Counter[float] = Counter()
    fonts: Counter[str] = Counter()
    for piece in row:
        sizes[piece.size] += len(piece.text)
        fonts[piece.font] += len(piece.text)
    size = max(sizes, key=lambda size: (sizes[size], size))
    upright = [piece.box for piece in row if not _raised(piece, main)] or [main.box]
    x0, x1 = min(piece.box[0] for piece in row), max(piece.box[2] for piece in row)
    box = (x0, min(b[1] for b in upright), x1, max(b[3] for b in upright))
    return Line(box, _text(whole), size, row[0].bold, fonts.most_common(1)[0][0], _raised(row[0], main))


def _text(row: Row) -> str:
    text, last = "", None
    for piece in row.pieces:
        blank = (
            last is not None
            and _is_blank(last, piece)
            and not (text.endswith(" ") or piece.text.startswith(" "))
        )
        text += (" " if blank else "") + piece.text
        last = piece
    return text


def _raised(piece: Piece, main: Piece) -> bool:
    return piece.size < SMALL * main.size and piece.baseline < main.baseline - 0.15 * main.size


def _is_blank(last: Piece, piece: Piece) -> bool:
    return piece.box[0] - last.box[2] > 0.12 * max(last.size, piece.size)
