"""What has to be right before weights are published: whose data they saw, and what their card tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .data_terms import ATLAS, PERMISSION, data_terms
from .files import sha256_of
from .licences import is_converted

# What a card must have, as an error names it → the heading of its section.
SECTIONS = {
    "intended use": "Intended use",
    "out of scope": "Out of scope",
    "data": "Data",
    "metrics with intervals": "Metrics",
    "subgroups": "Subgroups",
    "limits": "Limits",
    "how to cite": "How to cite",
}
INTERVAL = re.compile(r"\[-?\d+\.\d+, -?\d+\.\d+\]")


def who_must_agree(provenance: Mapping[str, Any]) -> list[str]:
    """The data sets whose owners allow no weights to be published unless they have agreed in writing."""
    return [name for name, entry in data_terms(provenance).items() if entry["weights"] == "permission"]


def permission_entry(file: Path | None, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a permission: whose, and the file's SHA-256 and date of its last change. The file stays here.

    Empty without a file. Raises FileNotFoundError where there is none, ValueError for an empty file, and where nobody
    has to be asked.
    """
    if file is None:
        return {}
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist; --permission names the file of the owners' agreement."
        )
    if not file.stat().st_size:
        raise ValueError(f"{file} is empty; --permission names the file of the owners' agreement.")
    asked = who_must_agree(provenance)
    if not asked:
        raise ValueError("these weights saw no data whose owners have to agree; leave --permission out.")
    changed = datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
    return {PERMISSION: {"for": asked, "date": changed, "sha256": sha256_of(file)}}


def check_phantom(provenance: Mapping[str, Any], phantom: bool) -> None:
    """Raises ValueError where weights are called a phantom's, and saw data that somebody gave terms to."""
    seen = list(data_terms(provenance))
    if phantom and seen:
        raise ValueError(
            f"the weights saw {' and '.join(seen)}, which is no phantom, so that the card would be wrong; "
            "give --real-data."
        )


def check_provenance(provenance: Mapping[str, Any], *, phantom: bool) -> None:
    """Raises ValueError where weights may not be published: nobody has agreed, or nothing tells what they saw."""
    agreed = provenance.get(PERMISSION, {}).get("for", [])
    missing = [name for name in who_must_agree(provenance) if name not in agreed]
    if missing:
        raise ValueError(
            f"the weights saw {' and '.join(missing)}, whose owners allow no weights to be published without their "
            "written permission; give the file that has it with --permission, or leave --push-to-hub out."
        )
    atlases = [key for key in provenance if key.startswith(ATLAS)]
    if not (phantom or data_terms(provenance) or atlases or is_converted(provenance)):
        raise ValueError(
            "nothing tells which data sets the weights saw; train on folders of build_dataset.py, whose terms travel "
            "with the weights, or leave --push-to-hub out."
        )


def check_card(folder: Path) -> None:
    """Raises ValueError where the card of a release lacks sections, and names them."""
    missing = missing_sections((folder / "README.md").read_text(encoding="utf-8"))
    if missing:
        raise ValueError(
            f"the model card has no {', no '.join(missing)}, and nothing is published without; "
            "measure what is missing, or put the section back into model_card.md."
        )


def missing_sections(card: str) -> list[str]:
    """The names in SECTIONS of what a card in Markdown does not have, or has only as a heading."""
    found = sections(card)
    missing = []
    for name, heading in SECTIONS.items():
        text = found.get(heading, "")
        if not text or (heading == "Metrics" and not INTERVAL.search(text)):
            missing.append(name)
    return missing


def sections(card: str) -> dict[str, str]:
    """Heading of the second level → the text below it, without comments."""
    parts = re.split(r"^## +(.+?) *$", re.sub(r"<!--.*?-->", "", card, flags=re.DOTALL), flags=re.MULTILINE)
    return {heading: text.strip() for heading, text in zip(parts[1::2], parts[2::2], strict=True)}
