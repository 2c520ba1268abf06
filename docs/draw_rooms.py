"""Draw the rooms of docs/how-it-is-built.md, an arrow for every import: python docs/draw_rooms.py"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "how-it-is-built.md"
ROOMS = {  # and what each turns into what
    "app.py": "a page in the browser",
    "train_scripts": "the entry points, and the command mamclip",
    "inference": "a release and files → readings",
    "training": "options, data, losses, checkpoints, the release",
    "evaluation": "predictions → scores, pictures, pages",
    "dataset_builders": "PDFs → pairs, archives → records",
    "modeling_mamclip": "the network; travels with the weights",
    "processing": "DICOM → pixels; travels with the weights",
}
TRAVEL = ("modeling_mamclip", "processing")
BETWEEN = re.compile(r"(<!-- rooms -->\n).*?(<!-- /rooms -->)", re.DOTALL)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BETWEEN.sub(lambda found: f"{found[1]}{drawing()}{found[2]}", text), encoding="utf-8")
    print(PAGE)


def drawing() -> str:
    """The rooms that there are and their imports, as a Mermaid diagram."""
    rooms = [room for room in ROOMS if (ROOT / room).exists()]
    nodes = [f'    {node(room)}["<b>{room}</b><br>{ROOMS[room]}"]' for room in rooms]
    arrows = [f"    {node(room)} --> {node(other)}" for room in rooms for other in imports(room)]
    style = [f"    classDef travels stroke-width:3px\n    class {','.join(TRAVEL)} travels"]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *arrows, *style, "```", ""])


def imports(room: str) -> list[str]:
    """The rooms that a room's files import, in the order of ROOMS."""
    found = {name.partition(".")[0] for path in files(room) for name in imported(path)}
    return [other for other in ROOMS if other in found and other != room]


def files(room: str) -> list[Path]:
    place = ROOT / room
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """What a file imports by its full name."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for one in nodes if isinstance(one, ast.Import) for alias in one.names}
    return plain | {
        one.module for one in nodes if isinstance(one, ast.ImportFrom) and not one.level and one.module
    }


def node(room: str) -> str:
    return room.removesuffix(".py")


if __name__ == "__main__":
    main()
