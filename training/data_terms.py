"""Under which terms a run's data are given: from their folder into the provenance of the weights, and onto cards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from .sources import is_hub_name

REPORT = "build_report.json"  # what build_dataset.py writes beside its data
EXTRACTION = "extraction.json"  # what extract_pairs.py writes beside its pairs
PHANTOM = "phantom"  # the key of weights that come from phantoms
ATLAS = "atlas_"  # of keys in the provenance; the name of a PDF follows
PREFIX = "data_"  # of keys in the provenance; the name of the data set follows
PERMISSION = "permission"  # the key of what the owners of data have agreed to
WEIGHTS = {
    "free": "the terms say nothing against publishing weights",
    "non-commercial": "weights for non-commercial use only",
    "permission": "**weights may be published only with the owners' written permission**",
}


def note_terms(config: PreTrainedConfig, folders: Iterable[str | Path]) -> None:
    """Record in the provenance, which weights keep wherever they go, the terms of the data in some folders.

    The terms of data that an earlier stage has seen stay; folders without terms, as of phantoms, add nothing. A data
    set of the Hub, which has no report, is noted as one that binds its weights, and atlases, whose terms no program
    could read, by the names of their PDFs.
    """
    config.provenance = {**config.provenance, **_terms_in(folders)}


def _terms_in(folders: Iterable[str | Path]) -> dict[str, dict[str, str]]:
    found = {}
    for folder in folders:
        if is_hub_name(folder):
            found[f"{PREFIX}{folder}"] = _terms_of_the_hub(str(folder))
            continue
        found.update(_atlases(Path(folder) / EXTRACTION))
        report = Path(folder) / REPORT
        about = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        if about.get("terms"):
            found[f"{PREFIX}{about['source']}"] = about["terms"]
    return found


def _atlases(report: Path) -> dict[str, str]:
    pdfs = json.loads(report.read_text(encoding="utf-8")).get("pdfs", {}) if report.is_file() else {}
    return {
        f"{ATLAS}{Path(name).name}": f"{pdf['pairs']} image–caption pairs"
        + (
            ", planted in a phantom"
            if "truth" in pdf
            else "; the rights are its publisher's, no terms were noted"
        )
        for name, pdf in pdfs.items()
    }


def _terms_of_the_hub(name: str) -> dict[str, str]:
    """Only a person can read the card of a data set of the Hub: until then, weights are not to be published."""
    return {
        "licence": "as its card says",
        "citation": f"see the card of {name}",
        "homepage": f"https://huggingface.co/datasets/{name}",
        "weights": "permission",
    }


def data_terms(provenance: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Name of a data set → its licence, citation, homepage and weights ("free", "non-commercial" or "permission")."""
    return {key.removeprefix(PREFIX): terms for key, terms in provenance.items() if key.startswith(PREFIX)}


def provenance_lines(provenance: Mapping[str, Any]) -> list[str]:
    """What weights were made from, as the items of a list in Markdown."""
    told = {key: value for key, value in provenance.items() if key != PHANTOM}  # the card says that by itself
    return [f"- {key.replace('_', ' ')}: {_said(key, value)}" for key, value in told.items()]


def permission_line(provenance: Mapping[str, Any]) -> str:
    """What is known of the owners' written permission, in a sentence; nothing where there is none."""
    found = provenance.get(PERMISSION)
    if not found:
        return ""
    return (
        f"Written permission for {' and '.join(found['for'])}: a file last changed on {found['date']}, "
        f"SHA-256 `{found['sha256']}`, kept by the publisher."
    )


def _said(key: str, value: Any) -> str:
    if key == PERMISSION:
        return permission_line({key: value})
    if not key.startswith(PREFIX):
        return str(value)
    return f"{value['licence']}, <{value['homepage']}>; {WEIGHTS[value['weights']]}"
