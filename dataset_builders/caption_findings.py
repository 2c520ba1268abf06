"""Which findings a caption asserts and which it denies, by a small rule; what it does not mention stays unknown.

A finding's words are looked for sentence by sentence. A word such as "no" or "without" denies those that follow it,
up to "but" or ", and"; "is not seen" denies the one before it. What something "may hide" is neither asserted nor
denied. Sections on the history and on the histology are left out: they say what was felt, or found under a microscope.
The rule does not understand language: of a caption on two breasts it knows only that one of them has the finding.
"""

from __future__ import annotations

import re

# The names are those of the prompt set "findings", as far as captions name a finding by a word of its own.
WORDS = {
    "mass": r"mass(?:es)?|nodules?",
    "calcifications": r"(?:micro)?calcifications?|calcific particles",
    "architectural distortion": r"distortions?|distorted",
    "asymmetry": r"asymmetry|asymmetries|asymmetric",
    "skin thickening": r"skin thickening|thicken(?:ed|ing of the) skin|skin is thickened",
    "nipple retraction": r"nipple retraction|retract(?:ed|ion of the) nipple|nipple is (?:retracted|inverted)",
    "axillary adenopathy": r"(?:lymph)?adenopathy|enlarged (?:axillary )?(?:lymph )?nodes",
}
OTHER_SECTIONS = re.compile(r"\b(?:HISTORY|HISTOPATHOLOGY):.*?(?=\b[A-Z]{6,}:|$)", re.DOTALL)
SENTENCE_END = re.compile(r"[.;:](?:\s|$)")
DENIAL = r"\b(?:no|not|nor|neither|without|free of|absence of|lacks?|negative for)\b"
DOUBT = r"\b(?:hides?|obscures?|mask|masks|exclude|rule out|suspected)\b"
CUES = re.compile(
    rf"(?P<denial>{DENIAL})|(?P<doubt>{DOUBT})|\b(?:but|however|although|except)\b|, and\b", re.IGNORECASE
)
SEEN = r"(?:seen|present|visible|found|noted|apparent|identified)"
DENIED_AFTERWARDS = re.compile(
    rf"(?:(?!\b(?:and|but)\b)[^,]){{0,40}}?\b(?:is|are)\s+(?:absent|(?:not|no longer)\s+{SEEN})",
    re.IGNORECASE,
)


def findings_of(caption: str) -> dict[str, bool | None]:
    """Finding → True where the caption asserts it somewhere, False where it only denies it, else None."""
    sentences = SENTENCE_END.split(OTHER_SECTIONS.sub(" ", caption))
    return {name: _verdict(sentences, words) for name, words in WORDS.items()}


def _verdict(sentences: list[str], words: str) -> bool | None:
    pattern = re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    said = [_asserted(sentence, match) for sentence in sentences for match in pattern.finditer(sentence)]
    known = [asserted for asserted in said if asserted is not None]
    return any(known) if known else None


def _asserted(sentence: str, mention: re.Match) -> bool | None:
    """What the sentence makes of one mention: asserted, denied, or neither."""
    cues = list(CUES.finditer(sentence, 0, mention.start()))
    if cues and cues[-1].lastgroup == "doubt":
        return None
    denied = bool(cues) and cues[-1].lastgroup == "denial"
    return not (denied or DENIED_AFTERWARDS.match(sentence, mention.end()))
