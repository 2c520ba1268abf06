"""Captions of figures with several pictures: which part of the caption speaks of which picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builders.atlas.sections import section_spans

LETTERS = "ABCDEFGH"
_ONE = "[A-Ha-h]"
_LIST = rf"{_ONE}(?:\s*(?:,\s*and|,|and|&|to|[-\u2013\u2014])\s*{_ONE})*"
# "(A)", "(a, b)", "(A-C)"; or bare, which is taken only where a clause begins: "A, view; B: view"
BRACKETED = re.compile(rf"[(\[]({_LIST})[)\]]\s*[.:,]?")
BARE = re.compile(
    r"(?:^|(?<=[.;:,]\s)|(?<=\band\s))"
    r"([A-H](?:(?:\s*,\s*and\s+|\s*,\s*|\s+and\s+|\s*&\s*|\s+to\s+|\s*[-\u2013\u2014]\s*)[A-H])*)\s*[,:.)]\s"
)
PLACED = re.compile(
    r"[(\[]?\b(left|right)(?:-hand)? (?:panel|image|picture|photograph)\b[)\]]?\s*[:,]?", re.IGNORECASE
)
LIST_END = re.compile(r"\s*[,;]\s*(?:and)?\s*$|\s+and\s*$")  # of a clause that another one followed
SHARED = re.compile(r"(?<=[.;]\s)(?:In )?(?:both|all|either) ", re.IGNORECASE)  # behind the last panel
PLACES = {"left": "A", "right": "B"}
SENTENCE_END = re.compile(r"(?<=[a-z0-9)][.;])\s+(?=[A-Z(\[])")


@dataclass(frozen=True)
class Panel:
    """One picture's letter and text: what the caption says of all pictures, and of this one."""

    letter: str
    text: str
    own: str  # of this picture's text, the part that names its letter: what the picture shows


@dataclass(frozen=True)
class Marker:
    letters: str
    start: int
    end: int


class PanelMismatch(ValueError):
    """The caption names other panels than there are pictures; the message says how many of each."""


def find_panels(caption: str, pictures: int) -> list[Panel] | None:
    """The panels of a caption in reading order, one for each picture; None where the caption names none.

    Markers are "(A) …", "A, …; B, …", "… (A) and … (B)", "(A, B)", "A and B", "A-C", "left panel"/"right panel". A
    marker before its text governs it up to the next marker, section or the caption's end (but for a sentence "Both
    views …"); one behind its text governs its sentence. What no marker governs belongs to all pictures.

    Raises PanelMismatch where the letters are not the first `pictures` ones of the alphabet.
    """
    markers = find_markers(caption)
    named = sorted({letter for marker in markers for letter in marker.letters})
    if len(named) < 2:
        return None
    if named != list(LETTERS[:pictures]):
        raise PanelMismatch(
            f"the caption names the panels {', '.join(named)}, and the figure has {pictures} "
            f"picture{'s' * (pictures != 1)}"
        )
    leading = [marker for marker in markers if _leads(caption, marker)]
    if {letter for marker in leading for letter in marker.letters} == set(named):
        clauses = _leading_clauses(caption, leading)
    else:
        clauses = [(_letters_in(markers, a, b), caption[a:b]) for a, b in _sentences(caption)]
    if markers[0] in leading:
        owns = [(marker.letters, caption[marker.end : end]) for marker, end in _until_next(caption, markers)]
    else:
        owns = _trailing_words(caption, markers)
    return [Panel(letter, _text_of(letter, clauses), _own_text(letter, owns)) for letter in named]


def find_markers(caption: str) -> list[Marker]:
    """The markers of panels, in order: bracketed ones, or bare ones, or places; never two kinds together."""
    for pattern, group in ((BRACKETED, 1), (BARE, 1)):
        markers = [Marker(expand(m.group(group)), m.start(), m.end()) for m in pattern.finditer(caption)]
        letters = {letter for marker in markers for letter in marker.letters}
        if "A" in letters and len(letters) > 1:
            return markers
    placed = [Marker(PLACES[m.group(1).lower()], m.start(), m.end()) for m in PLACED.finditer(caption)]
    return placed if sorted(m.letters for m in placed) == ["A", "B"] else []


def expand(letters: str) -> str:
    """ "a, c" → "AC"; "A-C" → "ABC"; "A and B" → "AB"."""
    found = ""
    for part in re.split(r"\s*(?:,\s*and\b|,|\band\b|&)\s*", letters.lower()):
        ends = re.findall(r"\b[A-H]\b", part.upper())
        found += LETTERS[LETTERS.index(ends[0]) : LETTERS.index(ends[-1]) + 1]
    return "".join(dict.fromkeys(found))


def _leads(caption: str, marker: Marker) -> bool:
    """Whether a marker stands before the text that it governs: at the beginning of a clause."""
    before = caption[: marker.start].rstrip()
    begins = not before or before[-1] in ".;:," or re.search(r"[.;:,]\s*and$", before)
    return bool(begins and caption[marker.end :].strip())


def _leading_clauses(caption: str, markers: Sequence[Marker]) -> list[tuple[str, str]]:
    """(letters, text) in order, no letters for what belongs to all: markers govern what follows them."""
    clauses = [("", caption[: markers[0].start])]
    for i, (marker, end) in enumerate(_until_next(caption, markers)):
        text = caption[marker.end : end]
        shared = SHARED.search(text) if i + 1 == len(markers) else None
        stop = shared.start() if shared else len(text)
        clauses += [(marker.letters, LIST_END.sub(".", text[:stop])), ("", text[stop:])]
        following = markers[i + 1].start if i + 1 < len(markers) else len(caption)
        clauses.append(("", caption[end:following]))
    return clauses


def _until_next(caption: str, markers: Sequence[Marker]) -> list[tuple[Marker, int]]:
    """Each marker with the end of what it governs: the next marker, the next section, or the caption's end."""
    stops = sorted([*(m.start for m in markers), *(s.heading for s in section_spans(caption)), len(caption)])
    return [(marker, next(stop for stop in stops if stop >= marker.end)) for marker in markers]


def _trailing_words(caption: str, markers: Sequence[Marker]) -> list[tuple[str, str]]:
    """(letters, words) of markers behind their words: since the marker before, or the sentence's beginning."""
    begins = [0, *(marker.end for marker in markers)]
    pieces = [caption[begin : marker.start] for begin, marker in zip(begins, markers, strict=False)]
    return [(m.letters, SENTENCE_END.split(piece)[-1]) for m, piece in zip(markers, pieces, strict=True)]


def _sentences(caption: str) -> list[tuple[int, int]]:
    ends = [match.start() for match in SENTENCE_END.finditer(caption)]
    return list(zip([0, *ends], [*ends, len(caption)], strict=True))


def _letters_in(markers: Sequence[Marker], start: int, end: int) -> str:
    return "".join(dict.fromkeys("".join(m.letters for m in markers if start <= m.start < end)))


def _text_of(letter: str, clauses: Sequence[tuple[str, str]]) -> str:
    """What belongs to all and to one letter, with one blank between words."""
    parts = [text for letters, text in clauses if not letters or letter in letters]
    return re.sub(r"(?:^|\s+)and$", "", LIST_END.sub(".", " ".join(" ".join(parts).split())))


def _own_text(letter: str, owns: Sequence[tuple[str, str]]) -> str:
    return " ".join(" ".join(words for letters, words in owns if letter in letters).split())
