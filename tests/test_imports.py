"""The house's import rule: who may import whom, no circles, and what travels alone stays flat."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    *("modeling_mamclip", "processing", "dataset_builders"),
    *("evaluation", "inference", "training", "train_scripts"),
)
MAY_IMPORT = {
    "modeling_mamclip": set(),
    "processing": set(),
    "dataset_builders": {"processing"},
    "evaluation": {"dataset_builders"},
    "inference": {"processing", "modeling_mamclip", "dataset_builders", "evaluation"},
    "training": {"processing", "modeling_mamclip"},
    "train_scripts": set(ROOMS) - {"train_scripts"},
}
TRAVELLING = ("modeling_mamclip", "processing")


def imported_modules(path: Path) -> list[tuple[int, str]]:
    """(relative level, dotted name) of every import statement in a file, also those inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_design_allows(room):
    assert files_of(room), f"{room}/ has no Python file, so nothing would be checked"
    for path in files_of(room):
        for level, name in imported_modules(path):
            target = name.split(".")[0]
            if level == 0 and target in ROOMS and target != room:
                assert target in MAY_IMPORT[room], f"{path.relative_to(ROOT)} imports {name}"


def test_evaluation_takes_only_the_labels_from_the_builders():
    for path in files_of("evaluation"):
        for level, name in imported_modules(path):
            if level == 0 and name.split(".")[0] == "dataset_builders":
                assert name == "dataset_builders.birads", f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("room", TRAVELLING)
def test_travelling_files_are_flat_and_import_each_other_the_one_way_that_remote_code_allows(room):
    """transformers' dynamic modules resolve `from .helper import X` only: no sub-packages, no `from . import x`."""
    for path in files_of(room):
        assert path.parent == ROOT / room, f"{path.relative_to(ROOT)} lies in a sub-package"
        for level, name in imported_modules(path):
            if level:
                assert level == 1 and name and "." not in name, (
                    f"{path.name}: from {'.' * level}{name} import …"
                )
            else:
                assert name.split(".")[0] not in ROOMS, f"{path.name} imports {name} by its package name"


def test_what_travels_has_no_two_files_of_one_name():
    names = [p.name for room in TRAVELLING for p in files_of(room) if p.name != "__init__.py"]
    assert len(names) == len(set(names))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_there_are_no_circles_between_modules():
    files = {module_name(path): path for room in ROOMS for path in files_of(room)}
    graph = {}
    for module, path in files.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        names = [f"{package}.{name}" if level else name for level, name in imported_modules(path)]
        is_package = path.name == "__init__.py"
        graph[module] = {
            n for n in names if n in files and n != module and not (n == package and not is_package)
        }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
