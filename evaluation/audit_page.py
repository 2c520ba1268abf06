"""A page of what an audit found: counts of every kind, and images side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from .pages import embedded_picture, write_page


def write_audit(
    path: str | os.PathLike,
    results: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, str],
) -> None:
    """Write the page, whole or not at all.

    results: as audit_dataset.py writes them into audit.json. examples: each with its `kind`, `text` and `images`, a
    list of (what is known of the row, PNG bytes or None). kinds: what each kind is called.
    """
    rows = [
        [kinds[kind], f"{number:,}", "allowed" if kind in results["allowed"] else "yes" if number else "–"]
        for kind, number in results["found"].items()
    ]
    context = {
        "results": results,
        "table": {
            "caption": "What was looked for, how often it was found, and whether it counts",
            "columns": ["", "found", "counts"],
            "rows": rows,
        },
        "sections": [
            {"title": title, "number": results["found"][kind], "examples": list(_examples(examples, kind))}
            for kind, title in kinds.items()
            if results["found"][kind]
        ],
    }
    write_page(path, "audit.jinja", context)


def _examples(examples: Sequence[Mapping[str, Any]], kind: str):
    for example in examples:
        if example["kind"] == kind:
            images = [
                {"about": about, "picture": png and embedded_picture(png, f"Mammogram: {about}")}
                for about, png in example["images"]
            ]
            yield {"text": example["text"], "images": images}
