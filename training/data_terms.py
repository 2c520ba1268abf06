"""Under which terms a run's data are given: from their folder into the provenance of the weights, and onto cards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

REPORT = "build_report.json"  # what build_dataset.py writes beside its data
PREFIX = "data_"  # of keys in the provenance; the name of the data set follows
WEIGHTS = {
    "free": "the terms say nothing against publishing weights",
    "non-commercial": "weights for non-commercial use only",
    "permission": "**weights may be published only with the owners' written permission**",
}


def note_terms(config: PreTrainedConfig, folders: Iterable[str | Path]) -> None:
    """Record in the provenance, which weights keep wherever they go, the terms of the data in some folders.

    The terms of data that an earlier stage has seen stay; folders without terms, as of phantoms, add nothing. The terms
    of a data set of the Hub are on its page, where no program can tell what they allow: so its owners must be asked.
    """
    config.provenance = {**config.provenance, **_terms_in(folders)}


def _terms_in(folders: Iterable[str | Path]) -> dict[str, dict[str, str]]:
    found = {}
    for name in (str(folder) for folder in folders if not Path(folder).exists()):
        page = f"https://huggingface.co/datasets/{name}"
        found[f"{PREFIX}{name}"] = {
            "licence": "see its page",
            "citation": page,
            "homepage": page,
            "weights": "permission",
        }
    for report in (Path(folder) / REPORT for folder in folders):
        about = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        if about.get("terms"):
            found[f"{PREFIX}{about['source']}"] = about["terms"]
    return found


def data_terms(provenance: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Name of a data set → its licence, citation, homepage and weights ("free", "non-commercial" or "permission")."""
    return {key.removeprefix(PREFIX): terms for key, terms in provenance.items() if key.startswith(PREFIX)}


def provenance_lines(provenance: Mapping[str, Any]) -> list[str]:
    """What weights were made from, as the items of a list in Markdown."""
    return [f"- {key.replace('_', ' ')}: {_said(key, value)}" for key, value in provenance.items()]


def _said(key: str, value: Any) -> str:
    if not key.startswith(PREFIX):
        return str(value)
    return f"{value['licence']}, <{value['homepage']}>; {WEIGHTS[value['weights']]}"
