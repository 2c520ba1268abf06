"""A page on which a person checks extracted pairs: pictures beside their captions, doubtful ones first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from .pages import write_page

HEIGHT, WIDEST = 170, 270  # pixels of a thumbnail
QUALITY = 72


@dataclass
class Shown:
    """One picture of a card. name: its letter or number; address: how a correction begins; note: what it was taken for,
    where that is no mammogram. file and size are filled in by `write_contact_sheet`."""

    name: str
    address: str
    note: str = ""
    file: str = ""
    size: tuple[int, int] = (0, 0)


@dataclass
class Card:
    """A caption with its pictures. doubts: why a person should look first; none: nothing is odd."""

    title: str
    caption: str
    pictures: list[Shown]
    doubts: list[str] = field(default_factory=list)


def write_contact_sheet(
    path: str | os.PathLike,
    cards: Sequence[Card],
    images: Iterable[Image.Image],
    *,
    alone: Sequence[Shown] = (),
    alone_images: Iterable[Image.Image] = (),
    orphans: Sequence[dict[str, Any]] = (),
    notes: Sequence[str] = (),
    progress: Callable[[Iterable], Iterable] = iter,
) -> None:
    """Write the page and a folder of JPEG thumbnails beside it, named as the page without its suffix.

    images: one for each picture of the cards, in order; alone: pictures without a caption, with alone_images; orphans:
    captions without a picture (figure, page, caption, source); notes: sentences for the top.
    """
    folder = Path(path).with_suffix("")
    folder.mkdir(parents=True)
    shown = [picture for card in cards for picture in card.pictures]
    _write_thumbnails(folder, "pair", shown, progress(images))
    _write_thumbnails(folder, "alone", alone, alone_images)
    doubtful = [card for card in cards if card.doubts]
    context = {
        "notes": list(notes),
        "pictures": len(shown),
        "cards": len(cards),
        "doubtful": sorted(doubtful, key=lambda card: -len(card.doubts)),
        "others": [card for card in cards if not card.doubts],
        "alone": alone,
        "orphans": orphans,
    }
    write_page(path, "contact_sheet.jinja", context)


def _write_thumbnails(folder: Path, name: str, shown: Sequence[Shown], images: Iterable[Image.Image]) -> None:
    for number, (picture, image) in enumerate(zip(shown, images, strict=True)):
        small = image.convert("L" if image.mode != "RGB" else "RGB")
        small.thumbnail((WIDEST, HEIGHT))
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=QUALITY)
        file = folder / f"{name}{number:05d}.jpg"
        file.write_bytes(buffer.getvalue())
        picture.file, picture.size = f"{folder.name}/{file.name}", small.size
