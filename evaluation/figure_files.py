"""A figure as the bytes of a PNG and of an SVG; the same figure gives the same bytes."""

from __future__ import annotations

from io import BytesIO

import matplotlib
from matplotlib.figure import Figure

FORMATS = {"png": {"Software": None}, "svg": {"Creator": None, "Date": None}}  # with what is left out of them


def figure_files(figure: Figure) -> dict[str, bytes]:
    """ "png" and "svg" → bytes, without the software's name and the date; an SVG's words stay text."""
    files = {}
    with matplotlib.rc_context({"svg.hashsalt": "mam-clip", "svg.fonttype": "none"}):
        for kind, metadata in FORMATS.items():
            buffer = BytesIO()
            figure.savefig(buffer, format=kind, metadata=metadata)
            files[kind] = buffer.getvalue()
    return files
