"""The options of a builder are the fields of its configuration: checked by name, and flags of the command line."""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import datasets

# What `datasets` keeps in every configuration, and what a builder puts into it itself.
OWN = {"fingerprint", *(entry.name for entry in fields(datasets.BuilderConfig))}


def option_fields(config: type[datasets.BuilderConfig]) -> list[Field]:
    """The fields that are options."""
    return [entry for entry in fields(config) if entry.name not in OWN]


def option_values(config: datasets.BuilderConfig) -> dict[str, Any]:
    """The options by name, as JSON has them."""
    values = {entry.name: getattr(config, entry.name) for entry in option_fields(type(config))}
    return {name: _plain(value) for name, value in values.items()}


def refuse_unknown(options: Iterable[str], config: type[datasets.BuilderConfig]) -> None:
    """Raise ValueError for the first name that is no option of the configuration."""
    names = [entry.name for entry in option_fields(config)]
    unknown = next((name for name in options if name not in names), None)
    if unknown is not None:
        raise ValueError(f"there is no option {unknown!r}; expected one of {', '.join(names)}.")


def add_flags(parser: argparse.ArgumentParser, config: type[datasets.BuilderConfig]) -> None:
    """A flag for every option, with its default and the help of the field's metadata: crop is --crop and --no-crop.

    A flag that is not given is absent from the result, so that `option_values` of it are what somebody asked for.
    """
    group = parser.add_argument_group("options of the builder")
    hints = get_type_hints(config)
    for entry in option_fields(config):
        default = option_values(config()).get(entry.name)
        said = "" if default in (None, {}, [], "") else f" (default: {_words(default)})"
        group.add_argument(
            f"--{entry.name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=(entry.metadata.get("help", "") + said).replace("%", "%%"),
            **_reading(hints[entry.name]),
        )


def _reading(hint: Any) -> dict[str, Any]:
    """How argparse reads the words of an option of some type."""
    hint = _without_none(hint)
    kind, inner = get_origin(hint), get_args(hint)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if kind is Literal:
        return {"type": type(inner[0]), "choices": inner}
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return {"nargs": "*", "action": _IntoMapping, "type": _entry_of(*inner), "metavar": "KEY=VALUE"}
    if kind in (list, tuple, set, frozenset) or isinstance(kind, type) and issubclass(kind, Iterable):
        return {"nargs": "*", "type": inner[0], "metavar": "VALUE"}
    return {"type": hint, "metavar": "VALUE"}


class _IntoMapping(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, dict(values))


def _entry_of(key: type, value: type):
    """A reader of KEY=VALUE."""

    def entry(word: str) -> tuple[Any, Any]:
        name, _, given = word.partition("=")
        try:
            return key(name), value(given)
        except ValueError:
            expected = f"{key.__name__}={value.__name__}"
            raise argparse.ArgumentTypeError(f"{word!r} is not of the form {expected}") from None

    return entry


def _without_none(hint: Any) -> Any:
    """X of `X | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(kind for kind in get_args(hint) if kind is not type(None))
    return hint


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple, set, frozenset)) else value


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={entry}" for name, entry in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
