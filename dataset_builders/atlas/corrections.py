"""A person's corrections of what was read: a CSV table that is applied anew at every build."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dataset_builders.atlas.entries import Entry
from dataset_builders.atlas.leftovers import Orphan
from dataset_builders.atlas.modality import MAMMOGRAM, Modality
from dataset_builders.atlas.panels import LETTERS
from dataset_builders.atlas.truth import normalised_figure

COLUMNS = ("source", "page", "figure", "picture", "action", "value")
VALUES = {  # action → what its value must be
    "drop": "nothing",
    "caption": "a text",
    "caption_from": "a figure's number",
    "case": "a figure's number, or a name",
    "mammogram": "yes or no",
    "rotate": "90, 180 or 270",
}


@dataclass(frozen=True)
class Correction:
    """One row. row: its number in the file, the header being 1; picture: place in the figure from 1, or letter."""

    row: int
    source: str
    page: int | None
    figure: str
    picture: str
    action: str
    value: str


class Corrections:
    """The corrections of one file, or none; `change_captions` comes first, before captions are taken apart.

    told: sentences about rows that matched nothing or changed nothing; applied: how many rows did change something.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = path
        self.rows = [] if path is None else read_corrections(Path(path))
        self.told: list[str] = []
        self.applied = 0

    def change_captions(
        self, entries: list[Entry], uncaptioned: Sequence[Entry], orphans: Mapping[str, Sequence[Orphan]]
    ) -> list[Entry]:
        """Apply drop, rotate, caption and caption_from; → the entries that stay, with pictures that were given one.

        uncaptioned: pictures of no figure; orphans: for each source, captions of no picture.
        Raises ValueError, naming the row, for a figure that is not there.
        """
        homes = {
            (source, normalised_figure(orphan.number)): _Home(orphan.number, orphan.caption)
            for source, own in orphans.items()
            for orphan in own
        }
        homes |= {(e.source, normalised_figure(e.figure)): _Home.of_entry(e) for e in reversed(entries)}
        places = {entry.caption_id: place for place, entry in reversed(list(enumerate(entries)))}
        gone: set[int] = set()
        for row in self._of("drop", "rotate", "caption", "caption_from"):
            found = self._entries(row, [*entries, *uncaptioned])
            home = self._home(row, found, homes) if found and row.action == "caption_from" else None
            changed = [entry for entry in found if _change(row, entry, home, gone)]
            self._count(row, found, changed)
        kept = [entry for entry in [*entries, *uncaptioned] if entry.caption and id(entry) not in gone]
        return sorted(kept, key=_reading_place(places, entries))

    def change_modalities(self, entries: Sequence[Entry]) -> None:
        """Apply mammogram=yes/no."""
        for row in self._of("mammogram"):
            found = self._entries(row, entries)
            wanted = row.value.lower() == "yes"
            changed = [entry for entry in found if entry.modality.is_mammogram != wanted]
            for entry in found:
                kind = MAMMOGRAM if wanted else "other"
                if entry in changed:
                    entry.modality = Modality(kind, f"correction, row {row.row}")
                entry.doubts = [doubt for doubt in entry.doubts if not doubt.startswith("taken for ")]
            self._count(row, found, changed)

    def change_cases(self, entries: Sequence[Entry]) -> None:
        """Apply case=…: another figure's number puts both into one case, another word names a case."""
        cases = {(entry.source, normalised_figure(entry.figure)): entry.case for entry in entries}
        for row in self._of("case"):
            found = self._entries(row, entries)
            changed = []
            for entry in found:
                named = (entry.source, normalised_figure(row.value))
                case = cases.get(named, f"{entry.source}/{row.value}")
                if entry.case != case:
                    entry.case = case
                    changed.append(entry)
            self._count(row, found, changed)

    def _of(self, *actions: str) -> list[Correction]:
        return [row for row in self.rows if row.action in actions]

    def _entries(self, row: Correction, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that a row is about; ValueError where there is no such figure, or it is in several PDFs."""
        there = [e for e in entries if row.source in ("", e.source)]
        if not there:
            raise ValueError(f"{self._at(row)} no PDF is called {row.source!r}.")
        figure = [e for e in there if normalised_figure(e.read_as) == normalised_figure(row.figure)]
        if row.page is not None:
            figure = [e for e in figure if e.page == row.page]
        if not figure and row.figure:
            raise ValueError(f"{self._at(row)} there is no figure {row.figure!r}{_nearest(row, there)}.")
        sources = sorted({e.source for e in figure})
        if len(sources) > 1:
            raise ValueError(
                f"{self._at(row)} {' and '.join(sources)} both have what it names; fill in the column source."
            )
        return [e for e in figure if row.picture in ("", str(e.number), LETTERS[e.number - 1 : e.number])]

    def _home(self, row: Correction, found: Sequence[Entry], homes: Mapping[tuple[str, str], _Home]) -> _Home:
        key = (found[0].source, normalised_figure(row.value))
        if key not in homes:
            raise ValueError(f"{self._at(row)} there is no caption of a figure {row.value!r} in {key[0]}.")
        return homes[key]

    def _count(self, row: Correction, found: Sequence[Entry], changed: Sequence[Entry]) -> None:
        self.applied += bool(changed)
        if not found:
            self.told.append(f"row {row.row} ({row.action}) matches no picture any more")
        elif not changed:
            self.told.append(f"row {row.row} ({row.action}) changes nothing: it is so already")

    def _at(self, row: Correction) -> str:
        return f"{self.path}, row {row.row}:"


@dataclass(frozen=True)
class _Home:
    """A caption that a picture may be given; caption_id and case are none where no picture has it yet."""

    figure: str
    caption: str
    caption_id: str | None = None
    case: str | None = None

    @classmethod
    def of_entry(cls, entry: Entry) -> _Home:
        return cls(entry.figure, entry.caption, entry.caption_id, entry.case)


def _change(row: Correction, entry: Entry, home: _Home | None, gone: set[int]) -> bool:
    """Apply one row to one entry; whether that changed anything."""
    before = (entry.caption, entry.figure, entry.turn)
    if row.action == "drop":
        gone.add(id(entry))
    elif row.action == "rotate":
        entry.turn = int(row.value)
    else:
        home = home or _Home(entry.figure or f"page{entry.page}.{entry.number}", row.value)
        _move(entry, home, keep_ids=row.action == "caption" and bool(entry.figure))
    return id(entry) in gone or before != (entry.caption, entry.figure, entry.turn)


def _move(entry: Entry, home: _Home, *, keep_ids: bool) -> None:
    entry.figure, entry.caption = home.figure, home.caption
    if not keep_ids:
        own = f"{entry.source}/{normalised_figure(home.figure)}"
        entry.caption_id, entry.case = home.caption_id or own, home.case or own


def _reading_place(places: dict[str, int], entries: Sequence[Entry]) -> Callable[[Entry], tuple]:
    """Sorts entries by the first place of their caption among `entries`; new captions go by their page."""
    sources = list(dict.fromkeys(entry.source for entry in entries))

    def key(entry: Entry) -> tuple:
        own = places.get(entry.caption_id)
        if own is None:
            before = [i for i, e in enumerate(entries) if e.source == entry.source and e.page <= entry.page]
            own = before[-1] + 0.5 if before else -1
        return sources.index(entry.source), own, entry.page

    return key


def _nearest(row: Correction, entries: Sequence[Entry]) -> str:
    where = f" on page {row.page}" if row.page is not None else ""
    near = get_close_matches(row.figure, sorted({e.read_as for e in entries if e.read_as}), n=1, cutoff=0.0)
    return f"{where}; the nearest is {near[0]!r}" if near else where


def read_corrections(path: Path) -> list[Correction]:
    """The rows of a corrections file: CSV with commas or semicolons, in UTF-8, columns as COLUMNS.

    Raises FileNotFoundError, or ValueError naming the row: a missing column, an unknown action, a bad value.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=";" if first.count(";") > first.count(",") else ",")
            rows, names = list(reader), [name.strip() for name in reader.fieldnames or ()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text; save the table as CSV UTF-8.") from error
    if set(names) != set(COLUMNS):
        found = ", ".join(names) or "nothing"
        raise ValueError(f"{path} has the columns {found}; expected {', '.join(COLUMNS)}.")
    corrections = []
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(
                f"{path}, row {number}: has more or fewer than {len(COLUMNS)} fields; quote a text with commas."
            )
        fields = {name.strip(): value.strip() for name, value in row.items()}
        if any(fields.values()):
            corrections.append(_checked(fields, number, path))
    return corrections


def _checked(fields: dict[str, str], number: int, path: Path) -> Correction:
    at = f"{path}, row {number}:"
    action = fields["action"].lower()
    if action not in VALUES:
        raise ValueError(
            f"{at} there is no action {fields['action']!r}; expected one of {', '.join(VALUES)}."
        )
    if fields["page"] and not fields["page"].isdecimal():
        raise ValueError(f"{at} page is {fields['page']!r}; expected a number, or nothing.")
    if not fields["figure"] and not (fields["page"] and fields["picture"]):
        raise ValueError(
            f"{at} names no figure; a picture without a caption needs its page and its number there."
        )
    right = {
        "drop": not fields["value"],
        "mammogram": fields["value"].lower() in ("yes", "no"),
        "rotate": fields["value"] in ("90", "180", "270"),
    }
    if not right.get(action, bool(fields["value"])):
        raise ValueError(f"{at} the value of {action} is {fields['value']!r}; expected {VALUES[action]}.")
    page = int(fields["page"]) if fields["page"] else None
    picture = fields["picture"].upper()
    return Correction(number, fields["source"], page, fields["figure"], picture, action, fields["value"])
