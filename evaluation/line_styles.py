"""How the lines of a picture are told apart: also in a print without colour, and by colour-blind eyes."""

from __future__ import annotations

from typing import Any

# (colour, marker, dashes): Okabe and Ito's colours (2008), ordered so that neighbours differ in grey too.
STYLES = (
    ("#0072B2", "o", "-"),
    ("#E69F00", "s", (0, (5, 2))),
    ("#000000", "^", (0, (1, 1.5))),
    ("#009E73", "D", (0, (5, 1.5, 1, 1.5))),
    ("#CC79A7", "v", (0, (8, 2))),
    ("#D55E00", "P", (0, (3, 1, 1, 1, 1, 1))),
)


def line_style(place: int) -> dict[str, Any]:
    """matplotlib's words for line number `place`, from 0; the markers of those behind the sixth are hollow."""
    colour, marker, dashes = STYLES[place % len(STYLES)]
    filled = place < len(STYLES)
    return {
        "color": colour,
        "marker": marker,
        "linestyle": dashes,
        "markerfacecolor": colour if filled else "white",
        "markeredgecolor": "white" if filled else colour,
    }
