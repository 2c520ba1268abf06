"""The documents are true: links lead somewhere, commands and options exist, the drawing is that of the imports."""

import re
import runpy
import shlex
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from test_imports import ROOMS, files_of, imported_modules

from train_scripts.front_door import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "configs").rglob("*.md")),
]
NOT_DOCUMENTS = ("model_card.md",)  # a template: its links are a release's
PAGES = [page for page in PAGES if page.name not in NOT_DOCUMENTS]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FIVE = ("get-started", "your-atlas", "your-archive", "reproduce-the-paper", "how-it-is-built")
OWN_OPTIONS = {"--help", "-h"}


# ---- links


def slug(heading):
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name}: {target}"
        assert found.is_relative_to(ROOT), f"{name}: {target} leaves the project"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", without_code(found.read_text(encoding="utf-8")), re.MULTILINE)
            assert anchor in map(slug, headings), f"{name}: {target}"


def test_the_front_page_leads_to_every_document():
    front = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in [*(f"docs/{page}.md" for page in FIVE), "SECURITY.md", "CONTRIBUTING.md"]:
        assert f"]({name})" in front and (ROOT / name).is_file(), name
    reached = {
        name for page in PAGES for name in re.findall(r"\]\((?:docs/)?([\w-]+\.md)", page.read_text("utf-8"))
    }
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= reached


# ---- commands


def commands_of(page):
    """The command lines of a page's code blocks, and those within sentences."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", re.sub(r"\s*\n\s*", " ", without_code(text)))


def uses():
    """(page, script, its options) of every command line that runs a script of ours."""
    for page in PAGES:
        for line in commands_of(page):
            program = re.search(
                r"train_scripts[./](\w+?)(?:\.py)?(?=\s|$)|(?:^|\s)mamclip ([a-z][\w-]*)", line
            )
            if program and re.match(r"(\S+=\S+ )*(python|accelerate launch|torchrun|mamclip)\b", line):
                script = program[1] or COMMANDS[program[2]].script
                yield page.name, script, options(line[program.end() :])


def options(text):
    words = takewhile(
        lambda word: word not in ("|", "&&", ";"), shlex.split(text.replace("…", ""), comments=True)
    )
    return {word.partition("=")[0] for word in words if word.startswith("--")}


USES = list(uses())


def help_of(script, arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [script, *arguments, "--help"])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "train_scripts" / f"{script}.py"), run_name="__main__")
    return capsys.readouterr().out


@pytest.mark.parametrize("script", sorted({script for _, script, _ in USES}))
def test_every_command_in_the_documents_has_the_options_that_they_name(script, monkeypatch, capsys):
    assert (ROOT / "train_scripts" / f"{script}.py").is_file(), [use for use in USES if use[1] == script]
    said = help_of(script, [], monkeypatch, capsys)
    if script == "build_dataset":  # each archive has options of its own
        said += help_of(script, ["--dataset", "embed"], monkeypatch, capsys)
    known = OWN_OPTIONS | set(re.findall(r"--\w[\w-]*", said))
    for page, _, named in [use for use in USES if use[1] == script]:
        assert named <= known, f"{page}: {script}.py has no {sorted(named - known)}"


def test_commands_were_found_in_the_documents():
    assert len(USES) > 25 and {"pretrain", "predict", "doctor", "export_release"} <= {use[1] for use in USES}
    assert ("your-archive.md", "build_dataset", {"--dataset", "--data-dir", "--output"}) in USES


def targets(*makefiles):
    text = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in makefiles)
    return set(re.findall(r"^([a-z][\w-]*):", text, re.MULTILINE))


def test_every_make_target_in_the_documents_exists():
    found = 0
    for page in PAGES:
        for line in commands_of(page):
            made = re.match(r"(?:time )?make (?:-f (\S+) )?([a-z][\w-]*)(?=\s|$)", line)
            if made:
                known = targets(made[1]) if made[1] else targets("Makefile", "demo.mk")
                assert made[2] in known, f"{page.name}: {line}"
                found += 1
    assert found > 5


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_ours_that_a_command_names_is_there(name):
    for line in commands_of(ROOT / name):
        for path in re.findall(
            r"(?<![\w/.-])(?:configs|benchmarks|tests|docs|train_scripts)/[\w/.-]*\w", line
        ):
            assert (ROOT / path).exists() or "…" in line, f"{name}: {path}"


# ---- the drawing


def test_the_drawings_arrows_are_the_imports():
    page = (ROOT / "docs" / "how-it-is-built.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", page, re.MULTILINE))
    real = set()
    for room in ROOMS:
        for path in files_of(room):
            names = {name.partition(".")[0] for level, name in imported_modules(path) if not level}
            real |= {(room, other) for other in names & {*ROOMS} - {room}}
    assert {arrow for arrow in drawn if arrow[0] != "app"} == real, "run python docs/draw_rooms.py"
    assert set(re.findall(r"^ +(\w+)\[", page, re.MULTILINE)) - {"app"} == set(ROOMS)


def test_the_drawing_is_what_its_script_draws():
    drawing = runpy.run_path(str(ROOT / "docs" / "draw_rooms.py"))["drawing"]()
    page = (ROOT / "docs" / "how-it-is-built.md").read_text(encoding="utf-8")
    assert f"<!-- rooms -->\n{drawing}<!-- /rooms -->" in page, "run python docs/draw_rooms.py"
