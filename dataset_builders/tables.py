"""An archive's files, and its tables as text: CSV and Excel, headers in one Unicode form, missing columns named.

What concerns every row works on whole columns (`read_texts`, `each`), for tables of half a million rows.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
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
    headers = read_columns(path)
    places = {name: _place(headers, name, exact=True) for name in map(_nfc, columns)}
    places |= {name: _place(headers, name, exact=False) for name in map(_nfc, prefixes)}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        found = ", ".join(headers) or "none"
        raise ValueError(f"{path} has no column {missing[0]!r}; the columns found are: {found}.")
    table = _load(path, usecols=sorted(places.values()))
    if table.empty:
        raise ValueError(f"{path} has a header and no rows; expected at least one.")
    chosen = table[[headers[place] for place in places.values()]].set_axis(list(places), axis=1)
    return chosen.astype(object).where(chosen.notna(), None)


def read_texts(path: str | Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> pd.DataFrame:
    """Like read_table, with every cell as `text` gives it ("" for an empty one), and all equal cells one string.

    optional: columns that are "" throughout where the table does not have them.
    Raises what read_table raises.
    """
    found = read_columns(path) if Path(path).is_file() else []
    table = read_table(path, [*columns, *(name for name in optional if name in found)])
    cells = {name: each(table[name].fillna(""), text) for name in table}
    return pd.DataFrame({name: cells.get(name, "") for name in (*columns, *optional)}, index=table.index)


def each(column: Iterable, meaning: Callable[[object], object]) -> np.ndarray:
    """The meaning of every cell of a column without empty ones, asked once for each different cell → (n,) object."""
    codes, different = pd.factorize(pd.Series(column, dtype=object))
    return np.fromiter(map(meaning, different), dtype=object, count=len(different))[codes]


def read_columns(path: str | Path) -> list[str]:
    """The headers of a table, in NFC. Raises ValueError for a file that is no table."""
    return list(_load(Path(path), nrows=0).columns)


def files_below(folder: Path, suffix: str | tuple[str, ...]) -> list[Path]:
    """All files of a suffix, or of several (in any case), in a folder.

    Links to folders are followed, for archives are often put together so.
    """
    found, visited = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in visited:  # a link back to a folder that has been walked
            folders.clear()
            continue
        visited.add(real)
        found += [Path(place, name) for name in names if name.lower().endswith(suffix)]
    return sorted(found)


class Listing:
    """Which files are there; each folder is listed once, which a network disk answers faster than every file."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def is_file(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._names:
            self._names[folder] = _names_in(folder)
        return name in self._names[folder]


def _names_in(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def numeric(value: object) -> float | None:
    """A cell as a number; None for an empty one, and for what is none."""
    try:
        return float(text(value))
    except ValueError:
        return None


def text(value: object) -> str:
    """A cell as text without blanks around it, in NFC; "" for an empty one."""
    return "" if value is None else _nfc(str(value)).strip()


def coded(value: object, codes: Mapping[str, object]) -> object | None:
    """A cell's meaning; numbers that a spreadsheet made out of codes ("2.0") count as those. None when unknown."""
    key = text(value)
    return codes.get(key.removesuffix(".0") if key.endswith(".0") else key)


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _load(path: Path, **options: object) -> pd.DataFrame:
    """A table with headers in NFC and values as text. options: nrows and usecols as pandas' readers have them."""
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            table = pd.read_excel(path, dtype=str, **options)
        else:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], **options)
    except Exception as error:  # readers raise whatever they like, zipfile.BadZipFile among it
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ValueError(f"{path} cannot be read as a table ({reason}); get a new copy of it.") from error
    table.columns = [_nfc(str(name)).strip() for name in table.columns]
    return table


def _place(headers: Sequence[str], name: str, *, exact: bool) -> int | None:
    """The number of the column called `name`, or beginning so."""
    return next(
        (i for i, header in enumerate(headers) if header == name or not exact and header.startswith(name)),
        None,
    )
