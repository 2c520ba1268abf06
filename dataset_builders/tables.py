"""An archive's files, and its tables as text: CSV and Excel, headers in one Unicode form, missing columns named."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd


def read_table(path: str | Path, columns: Sequence[str], *, prefixes: Sequence[str] = ()) -> pd.DataFrame:
    """A .csv or .xlsx table with the wanted columns, all values as text, empty ones as None.

    columns: names that must be there; prefixes: columns of which only the beginning is known; they get that name.
    Headers are compared in Unicode's NFC, blanks at their ends aside, and never lower-cased (Turkish İ and ı).

    Raises FileNotFoundError, or ValueError: not a table, empty, or without a column, which the message names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; it is a table that this data set needs.")
    table = _load(path)
    table.columns = [unicodedata.normalize("NFC", str(name)).strip() for name in table.columns]
    names = {name: _column(table, name, exact=True) for name in map(_nfc, columns)}
    names |= {name: _column(table, name, exact=False) for name in map(_nfc, prefixes)}
    missing = [name for name, found in names.items() if found is None]
    if missing:
        found = ", ".join(table.columns) or "none"
        raise ValueError(f"{path} has no column {missing[0]!r}; the columns found are: {found}.")
    if table.empty:
        raise ValueError(f"{path} has a header and no rows; expected at least one.")
    chosen = table[list(names.values())].set_axis(list(names), axis=1)
    return chosen.astype(object).where(chosen.notna(), None)


def files_below(folder: Path, suffix: str) -> list[Path]:
    """All files of a suffix (any case) in a folder, links to folders followed: archives are often put together so."""
    found = []
    for place, _, names in os.walk(folder, followlinks=True):
        found += [Path(place, name) for name in names if name.lower().endswith(suffix)]
    return sorted(found)


def tables_fingerprint(paths: Iterable[Path]) -> str:
    """A short hash of the tables' contents, so that a changed table is not answered from a cache."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def text(value: object) -> str:
    """A cell as text without blanks around it, in NFC; "" for an empty one."""
    return "" if value is None else _nfc(str(value)).strip()


def coded(value: object, codes: Mapping[str, object]) -> object | None:
    """A cell's meaning; numbers that a spreadsheet made out of codes ("2.0") count as those. None when unknown."""
    key = text(value)
    return codes.get(key.removesuffix(".0") if key.endswith(".0") else key)


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _load(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            return pd.read_excel(path, dtype=str)
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except Exception as error:  # readers raise whatever they like, zipfile.BadZipFile among it
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{path} cannot be read as a table ({reason}); get a new copy of it.") from error


def _column(table: pd.DataFrame, name: str, *, exact: bool) -> str | None:
    if exact:
        return name if name in table.columns else None
    return next((found for found in table.columns if found.startswith(name)), None)
