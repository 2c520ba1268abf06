"""Options from a YAML file and the command line, checked and converted in one way; and back into words."""

from __future__ import annotations

import json
import sys
from argparse import Action, ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from transformers import HfArgumentParser

from .cli import ScriptParser
from .options import TrainingOptions
from .shipped import shipped

Options = TypeVar("Options", bound=TrainingOptions)


class OptionHelp(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """The description as it is written, and the defaults that there are."""

    def _get_help_string(self, action: Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class OptionParser(ScriptParser, HfArgumentParser):
    """The arguments of a dataclass, with the errors of all scripts."""


def parse_options(kind: type[Options], argv: Sequence[str] | None = None, text: str | None = None) -> Options:
    """Options from the command line `argv`, over those of its --config YAML file, over the defaults.

    Raises ValueError for an unknown or wrong option or field, OSError for a file that cannot be read.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = OptionParser(kind, description=text, formatter_class=OptionHelp)
    file = _config_file(argv)
    from_file = list(_as_arguments(_read_yaml(file), kind, file)) if file else []
    try:
        given = parser.parse_args([*from_file, *argv])
    except ValueError as error:
        raise ValueError(f"{error}" if not file else f"{error} (options come from {file} too.)") from error
    options = kind(**{entry.name: _value(entry, getattr(given, entry.name)) for entry in fields(kind)})
    options.given = _named([*from_file, *argv], kind)
    options.check()
    return options


def _named(words: Sequence[str], kind: type) -> frozenset[str]:
    """The fields that some words name as options."""
    names = {word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    names |= {name.removeprefix("no_") for name in names}
    return frozenset(entry.name for entry in fields(kind) if entry.name in names)


def option_words(options: TrainingOptions) -> list[str]:
    """The command line that `parse_options` reads as these options; those that have their default are left out."""
    default = type(options)()
    given = {entry.name: getattr(options, entry.name) for entry in fields(options)}
    changed = {name: value for name, value in given.items() if value != getattr(default, name)}
    return [word for name, value in changed.items() for word in _words(name, value)]


def _value(entry: Field, value: Any) -> Any:
    """The words none and null as None, but not where "none" is one of the choices, as of class_weights."""
    is_none = isinstance(value, str) and value.lower() in ("none", "null")
    return None if is_none and entry.default != "none" else value


def _config_file(argv: Sequence[str]) -> str | None:
    for place, word in enumerate(argv):
        if word == "--config" and place + 1 < len(argv):
            return argv[place + 1]
        if word.startswith("--config="):
            return word.removeprefix("--config=")
    return None


def _read_yaml(name: str) -> dict[str, Any]:
    """The fields of a file; `configs/…` are also found where they were installed with the code."""
    path = Path(name) if Path(name).is_file() or not name.startswith("configs/") else shipped(name)
    if not path.is_file():
        raise FileNotFoundError(f"the configuration {path} does not exist; give the path of a YAML file.")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no readable YAML file: {error}") from error
    if not isinstance(given, dict):
        raise ValueError(f"{path} holds no fields; expected lines such as 'epochs: 25'.")
    return given


def _as_arguments(given: Mapping[str, Any], kind: type, file: str) -> Iterator[str]:
    """The fields of a YAML file as command line words, so that both are checked and converted in one way."""
    defaults = {entry.name: entry.default for entry in fields(kind) if entry.name != "config"}
    for name, value in given.items():
        if name not in defaults:
            raise ValueError(f"{file} has the unknown field {name!r}; {_nearest(str(name), kind)}")
        if value is None and defaults[name] is None:
            continue
        yield from _words(name, value)


def _words(name: str, value: Any) -> Iterator[str]:
    yield f"--{name}"
    if isinstance(value, list):
        yield from map(str, value)
    else:
        yield json.dumps(value) if isinstance(value, dict) else str(value)


def _nearest(name: str, kind: type) -> str:
    names = [entry.name for entry in fields(kind) if entry.name != "config"]  # no file names another one
    return f"did you mean {get_close_matches(name.replace('-', '_'), names, n=1, cutoff=0.0)[0]}?"
