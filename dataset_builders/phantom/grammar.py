"""A small grammar for sentences that say one fact in many ways.

`[a|b|c]` stands for one of its alternatives, nested as deep as one likes; `[a|]` may be left out.
`{name}` is filled in afterwards, so a value can never be mistaken for grammar.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache


@lru_cache(maxsize=4096)
def parse(template: str) -> tuple:
    """Template → literals (str) and choices (tuples of sequences). Unbalanced brackets are a ValueError."""
    sequences, position = _alternatives(template, 0, depth=0)
    if position != len(template):
        raise ValueError(f"the template {template!r} closes a bracket at {position} that it never opened")
    return sequences[0]


def _alternatives(text: str, position: int, depth: int) -> tuple[tuple, int]:
    """Read `a|b|c` up to the bracket that ends it (or the end of the text, outside brackets)."""
    sequences, current, literal = [], [], ""
    while position < len(text):
        char = text[position]
        if char == "[":
            inner, position = _alternatives(text, position + 1, depth + 1)
            current += [literal, inner] if literal else [inner]
            literal = ""
        elif char == "|" and depth:
            sequences.append((*current, literal))
            current, literal = [], ""
        elif char == "]":
            break
        else:
            literal += char
        position += 1
    if depth and position == len(text):
        raise ValueError(f"the template {text!r} opens a bracket that it never closes")
    sequences.append((*current, literal))
    return tuple(sequences), position


def expand(template: str, rng: random.Random, **fields: object) -> str:
    """One sentence of the template; the fields filled in, blanks tidied."""
    text = _expand(parse(template), rng).format(**fields)
    return re.sub(r"\s+([.,;:])", r"\1", " ".join(text.split()))


def _expand(sequence: tuple, rng: random.Random) -> str:
    return "".join(part if isinstance(part, str) else _expand(rng.choice(part), rng) for part in sequence)


def count(template: str) -> int:
    """In how many ways the template can be expanded (fields counted as one)."""
    return _count(parse(template))


def _count(sequence: tuple) -> int:
    total = 1
    for part in sequence:
        if not isinstance(part, str):
            total *= sum(_count(alternative) for alternative in part)
    return total


def choose(templates: tuple[str, ...], rng: random.Random, **fields: object) -> str:
    """Expand one of several templates, drawn evenly."""
    return expand(rng.choice(templates), rng, **fields)


def with_article(noun_phrase: str) -> str:
    """'oval mass' → 'an oval mass'; '8-mm cyst' → 'an 8-mm cyst'; '11-mm' → 'an 11-mm'."""
    first = noun_phrase.lstrip("(")
    vowel_number = re.match(r"(8|11|18)(?!\d)|8\d(?!\d)", first)
    vowel_letter = first[:1].lower() in "aeiou" and not first.lower().startswith(("uni", "one", "eu"))
    return f"{'an' if vowel_number or vowel_letter else 'a'} {noun_phrase}"


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
