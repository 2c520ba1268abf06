"""The project's files that are no code, where the code that is running can find them."""

from __future__ import annotations

from pathlib import Path

ROOM = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """`model_card.md` or `configs/…`: an installed wheel has them in this room (setup.py), a checkout beside it."""
    return next((path for path in (ROOM / name, ROOM.parent / name) if path.exists()), ROOM.parent / name)
