"""Settings of the demo page, from environment variables, and the release that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download

MODEL, INDEX, MAX_MB = "MAMCLIP_MODEL", "MAMCLIP_INDEX", "MAMCLIP_MAX_MB"
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md")  # of a repository: no code


@dataclass(frozen=True)
class Settings:
    """model: a folder or a repository. index: a folder, or None. max_mb: the largest file, in megabytes."""

    model: str = "mamclip"
    index: Path | None = None
    max_mb: float = 100


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables; empty ones count as unset. Raises ValueError for a size that is none."""
    given = {name: environment[name] for name in (MODEL, INDEX, MAX_MB) if environment.get(name)}
    try:
        max_mb = float(given.get(MAX_MB, Settings.max_mb))
    except ValueError:
        max_mb = 0
    if not 0 < max_mb < float("inf"):
        raise ValueError(f"{MAX_MB} is {given[MAX_MB]!r}; expected a number of megabytes, such as 100.")
    index = Path(given[INDEX]) if INDEX in given else None
    return Settings(given.get(MODEL, Settings.model), index, max_mb)


def fetched(model: str) -> Path:
    """The release's folder; a repository of the Hub is downloaded, without its code.

    Raises FileNotFoundError for what is neither.
    """
    if Path(model).is_dir():
        return Path(model)
    expected = f"set {MODEL} to a folder of export_release.py or to a repository of the Hub, owner/name."
    if model.count("/") != 1 or model.startswith((".", "/")):
        raise FileNotFoundError(f"the release {model} does not exist; {expected}")
    try:
        return Path(snapshot_download(model, allow_patterns=FILES))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise FileNotFoundError(f"the release {model} cannot be fetched ({reason}); {expected}") from error
