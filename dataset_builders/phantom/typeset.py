"""Setting text: widths, hyphenation, ligatures, justified lines. All lengths in PDF points (1/72 inch)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dataset_builders.atlas.pdf import import_pymupdf

FONT_FILES = {  # PyMuPDF's names of the built-in fonts: roman, bold, italic
    "times": {"roman": "tiro", "bold": "tibo", "italic": "tiit"},
    "helvetica": {"roman": "helv", "bold": "hebo", "italic": "heit"},
}
LIGATURES = {"ffi": "\ufb03", "ffl": "\ufb04", "ff": "\ufb00", "fi": "\ufb01", "fl": "\ufb02"}
VOWELS = "aeiouy"
WIDEST_SPACE = 2.2  # a justified line's spaces grow to this many times their width, no further


@dataclass(frozen=True)
class Text:
    """One run of text on a page: `x` its left end, `y` its baseline."""

    x: float
    y: float
    text: str
    font: str
    size: float
    color: float = 0.0  # grey, 0 black … 1 white


@dataclass
class Typeface:
    """Fonts of one family with the widths of words remembered; `ligatures` writes fi as one glyph."""

    family: str
    ligatures: bool
    _fonts: dict[str, Any] = field(default_factory=dict)
    _widths: dict[tuple[str, str], float] = field(default_factory=dict)

    def font(self, style: str) -> Any:
        if style not in self._fonts:
            self._fonts[style] = import_pymupdf().Font(FONT_FILES[self.family][style])
        return self._fonts[style]

    def shape(self, text: str) -> str:
        """The characters as they are written: with ligatures, where the typeface uses them."""
        if self.ligatures:
            for letters, glyph in LIGATURES.items():
                text = text.replace(letters, glyph)
        return text

    def width(self, text: str, style: str, size: float) -> float:
        key = (text, style)
        if key not in self._widths:
            self._widths[key] = self.font(style).text_length(self.shape(text), 1.0)
        return self._widths[key] * size


@dataclass(frozen=True)
class Setting:
    """How a paragraph is set."""

    face: Typeface
    size: float
    leading: float
    justify: bool = False
    hyphenate: bool = True


Word = tuple[str, str]  # text, font style


def words_of(text: str, style: str = "roman") -> list[Word]:
    return [(word, style) for word in text.split()]


def hyphen_points(word: str) -> list[int]:
    """Where a word may be cut, from its end: after an own hyphen, or between a vowel and consonant–vowel."""
    points = [match.end() for match in re.finditer(r"(?<=\w)-(?=\w)", word)]
    if word.isalpha() and word.islower() and len(word) >= 7:
        for i in range(3, len(word) - 2):
            if word[i - 1] in VOWELS and word[i] not in VOWELS and word[i + 1] in VOWELS:
                points.append(i)
    return sorted(points, reverse=True)


def break_lines(words: Sequence[Word], setting: Setting, width: float) -> list[list[Word]]:
    """Words → lines no wider than `width` (first fit); cut words get a hyphen. A lone word may stick out."""
    face, size = setting.face, setting.size
    lines, line, used = [], [], 0.0
    queue = list(reversed(words))
    while queue:
        text, style = queue.pop()
        gap = face.width(" ", style, size) if line else 0.0
        if used + gap + face.width(text, style, size) <= width:
            line.append((text, style))
            used += gap + face.width(text, style, size)
            continue
        head, tail = _cut(text, style, setting, width - used - gap)
        if head or not line:
            line.append((head or text, style))
            queue += [(tail, style)] if head else []
        else:
            queue.append((text, style))
        lines.append(line)
        line, used = [], 0.0
    return [*lines, line] if line else lines


def _cut(text: str, style: str, setting: Setting, room: float) -> tuple[str, str]:
    """The longest first part of a word that fits, with its hyphen, and the rest; ("", text) if none does."""
    for point in hyphen_points(text) if setting.hyphenate else ():
        head = text[:point] if text[point - 1] == "-" else text[:point] + "-"
        if setting.face.width(head, style, setting.size) <= room:
            return head, text[point:]
    return "", text


def set_lines(
    lines: Sequence[Sequence[Word]], setting: Setting, x: float, top: float, width: float
) -> list[Text]:
    """Lines → runs of text, the first line's top at `top`. Justified lines are set word by word."""
    placed = []
    for number, line in enumerate(lines):
        baseline = top + setting.size * 0.8 + number * setting.leading
        last = number == len(lines) - 1
        placed += _set_line(line, setting, x, baseline, width if setting.justify and not last else None)
    return placed


def _set_line(line: Sequence[Word], setting: Setting, x: float, y: float, width: float | None) -> list[Text]:
    face, size = setting.face, setting.size
    space = face.width(" ", "roman", size)
    if width is not None and len(line) > 1:
        loose = (width - sum(face.width(text, style, size) for text, style in line)) / (len(line) - 1)
        if space < loose <= WIDEST_SPACE * space:
            return _run(line, setting, x, y, loose)
    return _run(_merge(line), setting, x, y, space)


def _run(parts: Sequence[Word], setting: Setting, x: float, y: float, gap: float) -> list[Text]:
    placed = []
    for text, style in parts:
        placed.append(Text(x, y, setting.face.shape(text), style, setting.size))
        x += setting.face.width(text, style, setting.size) + gap
    return placed


def _merge(line: Sequence[Word]) -> list[Word]:
    """Neighbouring words of one style → one run."""
    merged: list[Word] = []
    for text, style in line:
        if merged and merged[-1][1] == style:
            merged[-1] = (f"{merged[-1][0]} {text}", style)
        else:
            merged.append((text, style))
    return merged
