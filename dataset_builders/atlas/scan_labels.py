"""Figure labels as they were printed, where OCR read "Flgure l2 -" for "Figure 12 –"."""

from __future__ import annotations

import re

from rapidfuzz.distance import Levenshtein

LOOKALIKES = str.maketrans({"1": "i", "!": "i", "|": "i", "l": "i", "j": "i", "0": "o", "q": "g", "9": "g"})
DIGITS = str.maketrans({"O": "0", "o": "0", "l": "1", "I": "1", "|": "1", "!": "1", "S": "5", "Z": "2"})
NUMBER = re.compile(r"^([\dOolI|!SZ]+(?:[.,\u2013\u2014-][\dOolI|!SZ]+)*)([a-hA-H]?)([.,:;]?)$")
DASH = re.compile(r"^[-\u2013\u2014~=_\u00ab\u00bb]+$")


def repair_label(text: str) -> str:
    """A line of text, with its label put right if it begins with one; "Figure 35 – A mass" → "Figure 35. A mass"."""
    words = _split_label(text).split()
    if len(words) < 2 or not _is_figure(words[0]):
        return text
    number = NUMBER.match(words[1].rstrip("-\u2013\u2014~") if len(words[1]) > 1 else words[1])
    if number is None or not re.search(r"[\dlIO]", number[1]):
        return text
    digits = re.sub(r",", ".", number[1].translate(DIGITS))
    rest, ended = words[2:], number[3] or ("." if re.search(r"[-\u2013\u2014~]$", words[1]) else "")
    if rest and DASH.match(rest[0]):
        rest, ended = rest[1:], "."
    first = "Fig." if len(re.sub(r"\W", "", words[0])) < 5 else "Figure"
    return " ".join([first, f"{digits}{number[2]}{ended}", *rest])


def _split_label(text: str) -> str:
    """ "Fig.12" and "Figure35" → with the blank that OCR lost."""
    return re.sub(r"^(\W?[A-Za-z1!|]{3,6}[.,:]?)(?=\d)", r"\1 ", text.strip())


def _is_figure(word: str) -> bool:
    """Whether a word is "Figure" or "Fig.", give or take a letter."""
    letters = re.sub(r"[^\w!|]", "", word)
    if not letters or letters[0] not in "FfPE":
        return False
    plain = letters.translate(LOOKALIKES).lower()
    if len(plain) == 3:
        return plain == "fig" or (plain[1:] == "ig" and word.endswith("."))
    return Levenshtein.distance(plain, "figure") <= 1
