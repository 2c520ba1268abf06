"""The caption of a mirrored mammogram: what it says of sides, clock positions, upper and lower is mirrored too.

A mammogram mirrored left to right is one of the other breast: left and right change places and 2 o'clock becomes
10 o'clock, while outer and inner, lateral and medial stay true. Upside down, upper and lower change places and
2 o'clock becomes 4 o'clock. In a craniocaudal view up is outer, not upper, so a caption that names one is never turned
upside down. Words that only look like a side are kept ("was left in place", "at a right angle"). Where it is not
clear what is meant, as in "(left image)", the answer is None: such an image must stay as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Flips(NamedTuple):
    """How an image is mirrored: left to right, upside down, both or neither."""

    horizontal: bool = False
    vertical: bool = False


class Unclear(Exception):
    """The caption says something that may or may not be about a side."""


HALF_DAY = 12 * 60  # minutes on the face of a clock
HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
OTHER_SIDE = (("left", "right"), ("l", "r"), ("lt", "rt"))
OTHER_HEIGHT = (("upper", "lower"), ("superior", "inferior"), ("supero", "infero"), ("u", "l"))

# Pieces of patterns. (?i:…) ignores case; single letters are sides as capitals alone.
SIDE = "(?i:left|right)"
VIEW = "(?:CC|MLO|XCC[LM]?|ML|LMO|LM|LAT|SIO|ISO|FB|CV)"
PICTURE = (
    "(?i:(?:image|picture|photo(?:graph)?|panel|figure|frame|column|row|page|diagram|drawing|inset|"
    "arrow(?:head)?)s?)"
)
SHOWN = rf"(?:{PICTURE}|(?i:(?:(?:mammo|radio)(?:gram|graph)|film|view|scan)s?))"
VERB = "(?i:is|are|was|were|be|been|being|has|have|had|having|gets?|got|remain(?:s|ed)?)"
BODY = (  # what follows a side that is meant, where something else could be meant as well
    "(?i:breast|axill|nipple|(?:retro|sub|peri)?areol|upper|lower|inner|outer|cent(?:ral|er|re)|medial|lateral|"
    "superior|inferior|mammo|mastectom|lumpectom|cranio|medio|latero|oblique|quadrant|chest|sided?\\b|"
    "(?:cc|mlo|ml|lm|xccl)\\b)"
)
HOUR = rf"(?:1[0-2]|[1-9]|(?i:{'|'.join(HOURS)}))(?::[0-5]\d)?"
FIRST = r"(?<![\w.:,/–—-])"  # no number begins before it
JOINED = r"(?:-?\s?\b(?i:to|through|and|or)\b\s?|\s?[-–—/&,]\s?)"
O_CLOCK = r"[\s-]{0,2}(?i:o\s?['’‘´`]?\s?clock)\b"

# The first pattern that fits at the beginning of a word decides: one without a group keeps what it fits, <unclear…>
# gives up, and any other group is replaced by its opposite.
CLOCKS = (
    rf"\b(?i:between)\s(?P<between>{HOUR}\s(?i:and)\s{HOUR}){O_CLOCK}",
    rf"(?P<unclear_range>\b{HOUR}{JOINED}\s?(?i:(?:the|at|about|around|approximately)\s)+{HOUR}{O_CLOCK})",
    rf"{FIRST}(?P<clock>{HOUR}(?:{JOINED}{HOUR})*){O_CLOCK}",
    r"(?<=\b[Aa]t )(?P<at>(?:1[0-2]|[1-9]):[0-5]\d)(?![\d:–-])(?!\s?[ap]\.?m\b)",
    rf"{FIRST}(?P<position>(?:1[0-2]|[1-9]):[0-5]\d)(?= (?i:position|axis)\b)",
    r"(?P<unclear>(?i:\d*o\s?['’‘´`]?\s?clock\b|\d+:\d\d|half past\b|\w*clockwise))",
)
# Where any of these stands, all of the caption is unclear: sides of a figure, and other languages' sides.
SIDES_OF_FIGURES = (
    rf"\b{SIDE}(?:[- ]?(?i:hand)\b|(?i:most)\b)",
    rf"\b{SIDE}(?:-to-| to ){SIDE}\b",
    rf"\b{SIDE}(?! {BODY})(?:\s\w+)? {PICTURE}\b",
    rf"\b{SHOWN}(?: (?i:is|are|was|were|shown|seen))* (?i:at|on|to|from)(?: (?i:the))? {SIDE}\b(?! {BODY})",
    rf"\b{SIDE} (?:(?i:side of the) {SHOWN}|(?i:upper|lower|middle) {PICTURE}|(?i:(?:film|view|scan)s?|ones?))\b",
    rf"\b(?i:at(?: the)?) {SIDE}\b(?! {BODY}|[ -](?i:angle))",
    rf"\b(?i:top|bottom|far)[ -]{SIDE}\b",
    rf"\b(?i:upper|lower|middle|center|centre)[ -]{SIDE}\b(?! {BODY})",
    rf"\({SIDE}\s*[,;:)]|,\s*{SIDE}\s*\)",
    rf"(?:^|[.;:]\s*){SIDE}\s*[,:]|\b{SIDE}:",
    rf"\b[A-Ha-h]\)?\s?[,:]\s?{SIDE}\b(?! {BODY})",
    r"\b(?i:renal|dextr?\w*|dexter|sinist\w*)\b",  # RCC can be a renal cell carcinoma
    r"\b(?i:links|linke[nrs]?|rechts|rechte[nrs]?|sağ|sol|gauche|droite?|izquierd[ao]|derech[ao])\b",
)
SIDES = (
    r"\b(?i:right[- ]angle[ds]?|all right|(?:bright|upright|outright|copyright|cleft)\w*)\b",
    r"(?<!the )(?<!on )\b(?i:right (?:after|away|before|now|next|behind|beneath|underneath|up|here|there))\b",
    r"\b(?i:right (?:diagnosis|answer|decision|choice|time|treatment|approach|way|question|direction|track))\b",
    r"\b(?i:what(?:ever)?(?: is| was|['’]s| remains) left|nothing left)\b|\b(?i:left[- ]?overs?)\b",
    rf"\b(?:{VERB} )?(?i:left (?:in place|in situ|in position|untreated|alone|behind|over))\b",
    rf"\b{VERB} (?i:left (?:in (?:the|her)|intact|open|out|un\w+))\b",
    rf"\b(?:{VERB}|(?i:she|he|they|who|which|patient|woman)) (?i:left (?:the|a|an|her|his))\b",
    rf"\b{VERB} (?P<after_verb>{SIDE})(?=-(?i:sided)\b|[ -]{BODY}| (?i:and) {SIDE}\b| \()",
    rf"(?P<unclear_verb>\b{VERB} (?i:left)\b)",
    rf"\b(?P<side>{SIDE})(?=(?i:wards?|sided)?\b)",
    rf"\b(?P<letter>[LR])(?=[ /-]?{VIEW}\b|[ -]{BODY}|[UL][OI]?Q\b)",
    r"\b(?P<any_letter>[LRlr])(?=(?i:cc|mlo)\b)",
    rf"\b{VIEW}[ -]\(?(?P<letter_behind>[LR])\b",
    rf"\b(?P<short>[LR]t|[LR]T|[lr]t)\b(?=\.? {BODY})",
    r"(?P<unclear_side>\w*(?i:left|right)\w*|\b(?:[LR]|[LR]t|[LR]T)\b)",
)
# Where any of these stands, nothing is turned upside down: up is outer in a craniocaudal view, and the others have no
# counterpart at the other end of the breast, or are places in a figure.
UNTURNED = (
    r"\b[LR]?[ -]?XCC[LM]?\b|\b[LR]?CC\b|\b(?i:cranio-?caudal)",
    r"\b(?i:top|bottom|above|below|cranial|caudal|cephalad|caudad|(?:up|down)wards?|(?:upper|lower)most)\b",
    r"\b(?i:axill\w*|inframammary|(?:supra|infra)clavicular)\b",
)
HEIGHTS = (
    r"\b(?i:lower (?:density|sensitivity|specificity|risk|grade|dose|energy|contrast|resolution))\b",
    r"\b(?P<height>(?i:upper|lower))(?=[ -](?i:outer|inner|half|quadrants?|cent(?:ral|er|re)|breast|part|portion|"
    r"pole|aspect|region|area|third|hemisphere|medial|lateral|left|right|and|or)\b)",
    r"\b(?P<pole>(?i:superior|inferior))(?i:ly)?\b",
    r"\b(?P<prefix>(?i:supero|infero))(?=-?(?i:lateral|medial))",
    r"\b[LR]?(?P<quadrant>[UL])(?=[OI]?Q\b)",
    r"(?P<unclear_height>\b(?i:(?:upper|lower)\b|(?:supero|infero)\w*))",
)


def mirrored(caption: str) -> str | None:
    """The caption of the image mirrored left to right; None where it is not clear what that would be.

    The mirrored caption mirrored again is the caption, to the letter.
    """
    return _there_and_back(_HORIZONTAL, caption)


def upside_down(caption: str) -> str | None:
    """The caption of the image mirrored top to bottom, or None; as `mirrored` is of the other way."""
    return _there_and_back(_VERTICAL, caption)


def flipped(caption: str, flips: Flips) -> str | None:
    """The caption of the image after these flips; None where it cannot be kept true."""
    text = mirrored(caption) if flips.horizontal else caption
    return upside_down(text) if flips.vertical and text is not None else text


class _Rules:
    """One way to mirror: where a caption is unclear at once, what changes in it, and how the clock turns.

    opposites: pairs of words in small letters; turned: a clock position at m minutes goes to turned − m.
    """

    def __init__(
        self,
        unclear: Sequence[str],
        changes: Sequence[str],
        opposites: Sequence[tuple[str, str]],
        turned: int,
    ):
        self.unclear = re.compile("|".join(unclear))
        self.changes = re.compile(rf"\b(?:{'|'.join((*CLOCKS, *changes))})")
        self.opposites = dict(opposites) | {second: first for first, second in opposites}
        self.turned = turned

    def apply(self, caption: str) -> str:
        if self.unclear.search(caption):
            raise Unclear
        return self.changes.sub(self._changed, caption)

    def _changed(self, match: re.Match) -> str:
        name = match.lastgroup
        if name is None:
            return match.group()
        if name.startswith("unclear"):
            raise Unclear
        start, end = (place - match.start() for place in match.span(name))
        given = match.group(name)
        if name in ("clock", "between", "at", "position"):
            changed = self._hours(given, name == "between")
        else:
            changed = _as_written(self.opposites[given.lower()], given)
        return match.group()[:start] + changed + match.group()[end:]

    def _hours(self, given: str, between: bool) -> str:
        """One position, or several; the ends of a range change places, as it still runs with the clock."""
        parts = re.split(f"({JOINED})", given)
        hours = [self._hour(part) for part in parts[::2]]
        joints = [part.strip(" -").lower() or "-" for part in parts[1::2]]
        if "," in joints:  # the first of the numbers may be anything
            raise Unclear
        if len(hours) == 2 and (between or joints[0] not in ("and", "or", "&")):
            hours.reverse()
        parts[::2] = hours
        return "".join(parts)

    def _hour(self, given: str) -> str:
        """'2' → '10', 'Two' → 'Ten', '12:30' → '11:30' (left to right)."""
        word, colon, minutes = given.partition(":")
        known = HOURS.index(word.lower()) + 1 if word.lower() in HOURS else int(word)
        place = (self.turned - known * 60 - int(minutes or 0)) % HALF_DAY
        hour = place // 60 or 12
        name = _as_written(HOURS[hour - 1], word) if word.isalpha() else str(hour)
        return f"{name}:{place % 60:02d}" if colon else name


_HORIZONTAL = _Rules(SIDES_OF_FIGURES, SIDES, OTHER_SIDE, HALF_DAY)
_VERTICAL = _Rules(UNTURNED, HEIGHTS, OTHER_HEIGHT, HALF_DAY // 2)


def _there_and_back(rules: _Rules, caption: str) -> str | None:
    """The changed caption, where changing it again leads back; what reads otherwise on the way back is unclear."""
    try:
        changed = rules.apply(caption)
        return changed if rules.apply(changed) == caption else None
    except Unclear:
        return None


def _as_written(word: str, like: str) -> str:
    """A word in the capitals of another: LEFT, Left or left."""
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word
