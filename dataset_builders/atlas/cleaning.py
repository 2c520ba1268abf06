"""Text as it was meant: ligatures and hyphenation undone, quotes and blanks unified, OCR noise left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

LIGATURES = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st"}
SAME = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2010": "-",
    "\u2011": "-",
    "\u00a0": " ",
}
TRANSLATION = str.maketrans(LIGATURES | SAME)
SOFT_HYPHEN = "\u00ad"
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


def plain(text: str) -> str:
    """Ligatures as letters, one kind of quote and hyphen, single blanks. A soft hyphen stays for join_lines."""
    return " ".join(text.translate(TRANSLATION).split())


class Vocabulary:
    """The words of a document that were not cut, in lower case: they decide what to do with a hyphen."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        for line in lines:
            words = WORD.findall(line.lower())
            self.counts.update(words[1:-1])  # a line's ends may be parts of words

    def keeps_hyphen(self, head: str, tail: str) -> bool:
        """Whether "head-" + "tail" at a line's end is a compound ("high-density") and not a cut word."""
        before, hyphen, last = head.rpartition("-")
        if not last.isalpha() or not tail[:1].islower():
            return True
        first = WORD.match(tail.lower())
        end = first.group() if first else ""
        if hyphen:
            return not (self.counts[f"{head}{end}".lower()] or self.counts[f"{last}{end}".lower()])
        whole, compound = self.counts[f"{head}{end}".lower()], self.counts[f"{head}-{end}".lower()]
        if whole or compound:
            return compound > whole
        return bool(self.counts[head.lower()] and self.counts[end])


def join_lines(lines: Sequence[str], vocabulary: Vocabulary) -> str:
    """The lines of a paragraph → its text, with words that were cut at line ends whole again."""
    text = ""
    for line in map(plain, lines):
        if text.endswith(SOFT_HYPHEN):
            text = text[:-1] + line
        elif re.search(r"\w-$", text) and re.match(r"\w", line):
            head = re.search(r"[\w/-]+-$", text).group()[:-1]
            text = (text if vocabulary.keeps_hyphen(head, line) else text[:-1]) + line
        else:
            text = f"{text} {line}" if text else line
    return text.replace(SOFT_HYPHEN, "")


def is_noise(word: str, confidence: float) -> bool:
    """Whether an OCR word (confidence 0–100) is dirt: unsure of itself and without letters, or very unsure."""
    if confidence < 20:
        return True
    return confidence < 60 and not re.search(r"[A-Za-z0-9]", word)


def repair_ocr(word: str) -> str:
    """Mistakes that no text has on purpose: a bar for a capital I, a 0 or an l within a number."""
    word = word.replace("|", "I")
    if re.fullmatch(r"[\dOolI]*\d[\dOolI]*[.:,]?", word):
        word = word.translate(str.maketrans("OolI", "0011"))
    return word
