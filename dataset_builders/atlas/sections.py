"""The sections of a case: HISTORY, MAMMOGRAPHY, IMPRESSION, HISTOPATHOLOGY, by their headings."""

from __future__ import annotations

import re
from dataclasses import dataclass

SECTIONS = ("history", "mammography", "impression", "histopathology")
HEADINGS = {
    "history": r"(?:clinical |case |patient |past )?history|clinical (?:information|data|findings|presentation)|"
    r"indication",
    "mammography": r"mammograph(?:y|ic findings?|ic report)|mammograms?(?: findings)?|imaging findings|findings",
    "impression": r"impression|(?:final )?assessment|interpretation|conclusions?|(?:radiologic(?:al)? )?diagnosis",
    "histopathology": r"histopatholog(?:y|ic(?:al)? (?:diagnosis|findings?))|(?:surgical )?pathology|"
    r"patholog(?:ic|ical) diagnosis|histolog(?:y|ic(?:al)? diagnosis)|cyto(?:patho)?logy",
    # Headings whose text belongs to none of the four.
    None: r"ultraso(?:und|nography)|sonograph?y|MRI|MR imaging|magnetic resonance imaging|notes?|comments?|discussion|"
    r"follow-?up|treatment|management|physical examination|technique|teaching points?|references?",
}
_WORDS = "|".join(f"(?P<{name or 'other'}>{words})" for name, words in HEADINGS.items())
# At the start, or after a sentence: "a long history: none" is no heading.
HEADING = re.compile(rf"(?:^|(?<=[.;:!?)\]\"'])\s+)(?:{_WORDS})\s*:\s*", re.IGNORECASE)


def find_sections(text: str) -> dict[str, str | None]:
    """A caption or a case's text → {history, mammography, impression, histopathology}, None where absent.

    Headings end with a colon and begin the text or follow a sentence, in any letter case and order; a section that
    comes twice is put together.
    """
    found: dict[str, list[str]] = {name: [] for name in SECTIONS}
    for section in section_spans(text):
        words = text[section.start : section.end].strip()
        if section.name in found and words:
            found[section.name].append(words)
    return {name: " ".join(parts) or None for name, parts in found.items()}


@dataclass(frozen=True)
class Section:
    """Where a section is in a text: its heading's place, its words from `start` to `end`. name "other": no field."""

    name: str
    heading: int
    start: int
    end: int


def section_spans(text: str) -> list[Section]:
    """The sections of a text, in order."""
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return [Section(h.lastgroup, h.start(), h.end(), end) for h, end in zip(headings, ends, strict=False)]
