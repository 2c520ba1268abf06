"""Text as it was meant: ligatures and hyphenation undone, quotes and blanks unified, OCR noise left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

LIGATURES = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st"}
TEX = ("ff", "fi", "fl", "ffi", "ffl")  # from 0x0B in TeX's old encoding, from 0x1B in its newer one
CODES = {chr(start + i): letters for start in (0x0B, 0x1B) for i, letters in enumerate(TEX)}
UNKNOWN = re.compile(
    r"\w+\ufffd\w*|\ufffd\w+"
)  # a letter of a font that does not say which: mostly a ligature
STEMS = {
    "ff": "differ different diffuse effect affect offer stiff staff off effus",
    "ffi": "suffici difficult efficien office coeffici affin",
    "ffl": "efflu afflu baffl shuffl",
    "fi": "find fine film fibr field first five fill fig defin confi cifi nifi sifi tifi difi lifi benefi profi infil",
    "fl": "flow flat fluid inflam reflec influ flap floor flex",
}
SAME = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2010": "-",
    "\u2011": "-",
    "\u00a0": " ",
}
TRANSLATION = str.maketrans(LIGATURES | CODES | SAME)
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
            words = WORD.findall(plain(line).lower())
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


def restore_ligature(word: str, vocabulary: Vocabulary) -> str:
    """A word with an unknown letter (U+FFFD) → with the ligature that makes a word of the document, or a common one."""
    words = {letters: word.replace("\ufffd", letters) for letters in ("fi", "fl", "ff", "ffi", "ffl")}
    known = {letters: vocabulary.counts[whole.lower()] for letters, whole in words.items()}
    if any(known.values()):
        return words[max(known, key=lambda letters: known[letters])]
    for letters, stems in STEMS.items():
        if any(letters in stem and stem in words[letters].lower() for stem in stems.split()):
            return words[letters]
    return words["fi"]


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
    text = text.replace(SOFT_HYPHEN, "")
    return UNKNOWN.sub(lambda match: restore_ligature(match.group(), vocabulary), text)


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
