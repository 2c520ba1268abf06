"""Say what is installed, and what is missing with the command that adds it.

Versions, the DICOM transfer syntaxes that can be decoded, OCR, GPU, and room on the disk. The exit code is 0 when
everything is there that the commands need, and 1 when something of that is missing; what only one purpose needs is told
and changes nothing.
"""

import json
import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping
from typing import Any

from training.cli import ScriptParser, run_script
from training.installation import examine

LACKING = 1  # the exit code where something is missing that is needed
GIB = 2**30


def main() -> None:
    parser = ScriptParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object instead")
    args = parser.parse_args()
    found = examine()
    print(json.dumps(found, indent=2) if args.json else "\n".join(lines(found)))
    sys.exit(0 if found["ready"] else LACKING)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The report, as a person reads it."""
    yield from section("Versions", versions(found))
    yield from section("DICOM", codec_lines(found["codecs"]))
    yield from section("Around it", surroundings(found))
    for needed, title in ((True, "Missing, and needed"), (False, "Missing, for one purpose each")):
        rows = [one for one in found["missing"] if one["needed"] is needed]
        if rows:
            yield from section(title, [(one["what"], f"{one['purpose']}\n{one['command']}") for one in rows])
    yield "Everything that is needed is there." if found["ready"] else "Something that is needed is missing."


def section(title: str, rows: Any) -> Iterator[str]:
    """A title and two columns under it; a second line of an entry is a command."""
    yield title
    for name, text in rows:
        first, *commands = text.splitlines() or [""]
        yield f"  {name:<30} {first}".rstrip()
        yield from (f"      {command}" for command in commands)
    yield ""


def versions(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    python = found["python"]
    yield "mamclip", found["mamclip"] or "not installed"
    yield "python", f"{python['version']} ({python['executable']})"
    for row in found["packages"]:
        if not row["extra"]:
            remark = "" if row["fits"] else f" — wanted {row['wanted']}"
            yield row["name"], (row["version"] or "not installed") + remark


def codec_lines(codecs: list[dict[str, Any]] | None) -> Iterator[tuple[str, str]]:
    if codecs is None:
        yield "cannot be told", "packages that are needed are missing"
    for codec in codecs or ():
        yield codec["name"], codec["decoder"] or f"no decoder\n{codec['command']}"


def surroundings(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    ocr = found["ocr"]
    yield "tesseract", f"{ocr['version']} ({', '.join(ocr['languages'])})" if ocr["version"] else "none"
    for gpu in found["gpus"]:
        use = "" if gpu["usable"] else ", which torch cannot use"
        driver = f", driver {gpu['driver']}" if gpu["driver"] else ""
        yield "GPU", f"{gpu['name']}, {gpu['memory_gib']} GiB{driver}{use}"
    if not found["gpus"]:
        yield "GPU", "none: everything runs on the CPU, training slowly"
    for cache in found["caches"]:
        yield f"cache of {cache['what']}", f"{cache['free'] / GIB:.1f} GiB free at {cache['folder']}"
    yield "Chromium", found["chromium"] or "none (only tests of the demo app use it)"


if __name__ == "__main__":
    run_script(main)
