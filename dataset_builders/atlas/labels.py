"""What a caption begins with: "Figure 3.12 A, B.", "FIG. 7-2a", "Plate 4"; and what only looks like it."""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMBER = r"[A-Z]?[-.]?\d+(?:[.\u2010-\u2014-]\d+)*[a-z]?(?![A-Za-z]{2})"
LETTERS = r"[A-Ha-h](?:\s*(?:,\s*(?:and\b|&)?|and\b|&|to\b|[\u2010-\u2014-])\s*[A-Ha-h](?![a-z]))*"
LABEL = re.compile(rf"^\s*(?:Figure|Fig\s?\.?)\s*({NUMBER})\s*[.:,;]?\s*", re.IGNORECASE)  # also of a mention
OTHER_WORDS = (
    "plate",
    "image",
    "case",
    "photo",
    "photograph",
    "illustration",
    "exhibit",
    "radiograph",
    "mammogram",
)
WORD = re.compile(rf"^\s*(Figure|Fig|{'|'.join(OTHER_WORDS)})\b\s*\.?\s*", re.IGNORECASE)
AFTER = re.compile(rf"({NUMBER})")
PANELS = re.compile(rf"\s*[,(]?\s*({LETTERS})\s*\)?(?=\s*[.:;,)\u2013\u2014|]|\s+[A-Z(]|\s*$)")
REST = re.compile(r"\s*(?:\.|:|;|,|\||\u2013|\u2014|--?(?=\s))*\s*")
CONTINUED = re.compile(r"\(?\s*(?:continued|cont(?:'?d)?\.?)\s*\)?\s*[.:;,\u2013\u2014]*\s*", re.IGNORECASE)
MENTION = re.compile(
    r"(?:shows?|is|are|was|were|demonstrates?|illustrates?|depicts?|reveals?|displays?|presents?|gives?|"
    r"represents?|compares?|contains?|summari[sz]es|lists|has|have|had|can|may|should|will|would|through|to|in|"
    r"on|for|from|by|and|also|below|above|which|that|as|it|we|the reader)\b"
)
SERIES = re.compile(r"\(([A-Ha-h])\)")


@dataclass(frozen=True)
class Label:
    """word: in lower case ("figure" also for "Fig."); number and panels as printed, without blanks in the number."""

    word: str
    number: str
    panels: str
    end: int
    continued: bool

    @property
    def key(self) -> str:
        """The number with plain hyphens, as figures are told by it."""
        return re.sub(r"[\u2010-\u2014]", "-", self.number)

    @property
    def printed(self) -> str:
        return f"{self.number} {self.panels}".strip()


def read_label(text: str) -> Label | None:
    """The label that a text begins with; None where it has none or is running text about a figure."""
    word = WORD.match(text)
    number = AFTER.match(text, word.end()) if word else None
    if not number:
        return None
    name = "figure" if word[1].lower().startswith("fig") else word[1].lower()
    printed, at = re.sub(r"\s", "", number[1]), number.end()
    panels = _panels(text, at)
    if panels:
        at = panels.end()
    rest = REST.match(text, at)
    continued = CONTINUED.match(text, rest.end())
    end = continued.end() if continued else rest.end()
    if not rest.group().strip(" ") and MENTION.match(text, end):
        return None
    if rest.group().strip() == "," and not panels and text[end : end + 1].islower():
        return None
    return Label(name, printed, _tidy(panels[1]) if panels else "", end, bool(continued))


def _panels(text: str, at: int) -> re.Match | None:
    """The panel letters behind a number: a list; or one, if it is no article and no first of several in the text."""
    match = PANELS.match(text, at)
    if not match or len(match[1]) > 1:
        return match
    letter, attached = match[1], match.start(1) == at
    if attached and letter.isupper():
        return match
    stopped = re.match(r"\s*[.:)]", text[match.end(1) :])
    following = chr(ord(letter) + 1)
    several = re.search(rf"(?:^|[\s(])\(?{following}[.:,)]", text[match.end() :])
    return match if stopped and not several and letter.isupper() else None


def _tidy(letters: str) -> str:
    return " ".join(letters.split())


def panel_count(label: Label, text: str) -> int | None:
    """How many pictures a caption (without its label) speaks of, by its letters; None where it has none."""
    letters = re.findall(r"[A-H]", label.panels.upper())
    if len(letters) == 2 and re.search(r"[\u2010-\u2014-]|\bto\b", label.panels):
        return ord(letters[1]) - ord(letters[0]) + 1
    if letters:
        return len(letters)
    count = 0
    for letter in SERIES.findall(text):
        count += letter.upper() == "ABCDEFGH"[count : count + 1]
    return count or None
