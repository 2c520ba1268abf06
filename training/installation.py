"""What is installed on this machine, and what is missing with the command that adds it.

Nothing here needs more than Python to be imported: it is also what says that torch is not there.
"""

from __future__ import annotations

import importlib.metadata as metadata
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from .machine import caches, chromium, codecs, gpus, ocr

PROJECT = "mam-clip"
OLDEST_PYTHON = (3, 11)
FIRST = ("torch", "torchvision", "transformers", "datasets", "accelerate", "timm", "pydicom")
PURPOSES = {  # extras of setup.py that a user may want
    "dicom": "compressed DICOM",
    "atlas": "reading atlas PDFs",
    "audit": "finding burned-in text",
    "lora": "low-rank adapters (--lora)",
    "onnx": "writing and running ONNX",
    "search": "the index of nearest captions",
    "tracking": "training curves in TensorBoard",
    "app": "the demo app",
}
OCR_LANGUAGE = "eng"
LITTLE_SPACE = 10 * 2**30  # bytes: the paper's encoders and their checkpoints take about 5 GiB


@dataclass(frozen=True)
class Missing:
    """Something that is not there. needed: nothing works without it; otherwise `purpose` alone does not."""

    what: str
    purpose: str
    command: str
    needed: bool = False


def examine() -> dict[str, Any]:
    """Everything of this module as one JSON object; `ready` says that nothing is missing that is needed."""
    facts = {
        "mamclip": installed(PROJECT),
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "system": platform.platform(),
        "packages": packages(),
        "codecs": codecs(),
        "gpus": gpus(),
        "ocr": ocr(),
        "caches": caches(),
        "chromium": chromium(),
    }
    missing = list(what_is_missing(facts))
    ready = not any(one.needed for one in missing)
    return {"ready": ready, **facts, "missing": [asdict(one) for one in missing]}


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


# ---- packages


def packages() -> list[dict[str, Any]]:
    """Every package that the project names: name, version or None, what is wanted, for which extra ("" is the core),
    and `fits`. Those that matter most come first."""
    rows = [package(*found) for found in requirements()]
    order = {name: place for place, name in enumerate(FIRST)}
    return sorted(rows, key=lambda row: (row["extra"] != "", order.get(row["name"], len(order))))


def requirements() -> Iterator[tuple[str, str, str]]:
    """(name, versions wanted, extra) as the project's own metadata have them; nothing where it is not installed."""
    try:
        lines = metadata.requires(PROJECT) or []
    except metadata.PackageNotFoundError:
        return
    seen = set()
    for line in lines:
        name, wanted = re.match(r"([\w.-]+)\s*([^;]*)", line).groups()
        extra = (re.findall(r"""extra == ['"](\w+)['"]""", line) or [""])[0]
        if (not extra or extra in PURPOSES) and (name, extra) not in seen:
            seen.add((name, extra))
            yield name, wanted.strip(), extra


def package(name: str, wanted: str, extra: str) -> dict[str, Any]:
    version = installed(name)
    return {
        "name": name,
        "version": version,
        "wanted": wanted,
        "extra": extra,
        "fits": version is not None and fits(version, wanted),
    }


def fits(version: str, wanted: str) -> bool:
    """Whether a version is what a requirement such as ">=1.24,<2" asks for, by the numbers in it."""
    tests = {">=": lambda a, b: a >= b, "<": lambda a, b: a < b, "==": lambda a, b: a[: len(b)] == b}
    parts = re.findall(r"(>=|<|==)\s*([\d.]+)", wanted)
    return all(tests[sign](_numbers(version), _numbers(bound)) for sign, bound in parts)


def _numbers(version: str) -> tuple[int, ...]:
    """1.24.0+cpu → (1, 24); zeros at the end say nothing."""
    numbers = re.match(r"[\d.]*", version).group().strip(".").split(".")
    found = [int(number) for number in numbers if number]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def error_of_importing(name: str) -> str:
    """What a package says when it is imported and cannot work; "" where it can."""
    try:
        import_module(name)
    except Exception as error:  # compiled packages raise what they like
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def torch_mismatch() -> str | None:
    """The torch that the installed torchvision was built for, where it is another one."""
    vision, torch = installed("torchvision"), installed("torch")
    if not vision or not torch:
        return None
    for line in metadata.requires("torchvision") or []:
        built = re.match(r"torch\s*\(?==\s*([\d.]+)", line)
        if built and _numbers(built.group(1)) != _numbers(torch):
            return built.group(1)
    return None


# ---- what is missing


def what_is_missing(facts: Mapping[str, Any]) -> Iterator[Missing]:
    """What is needed comes first."""
    yield from _basics(facts)
    yield from _broken()
    yield from _extras(facts)
    ocr = facts["ocr"]
    if not ocr["version"]:
        yield Missing("tesseract", "scanned atlases and burned-in text", "sudo apt-get install tesseract-ocr")
    elif OCR_LANGUAGE not in ocr["languages"]:
        yield Missing(
            "tesseract's English", "scanned atlases", f"sudo apt-get install tesseract-ocr-{OCR_LANGUAGE}"
        )
    if any(not gpu["usable"] for gpu in facts["gpus"]):
        yield Missing(
            "a torch that uses the GPU",
            "training in reasonable time",
            "pip install --force-reinstall torch torchvision",
        )
    for cache in facts["caches"]:
        if cache["free"] < LITTLE_SPACE:
            where = f"room for {cache['what']} ({cache['free'] / 2**30:.1f} GiB free)"
            yield Missing(where, "downloads and checkpoints", "export HF_HOME=/a/larger/disk")


def _basics(facts: Mapping[str, Any]) -> Iterator[Missing]:
    if sys.version_info < OLDEST_PYTHON:
        newest = ".".join(map(str, OLDEST_PYTHON))
        yield Missing(f"Python {newest}", "everything", f"make install PYTHON=python{newest}", needed=True)
    if not facts["mamclip"]:
        yield Missing(PROJECT, "everything", "pip install --editable .", needed=True)
    for row in facts["packages"]:
        if not row["extra"] and not row["fits"]:
            found = f" (found {row['version']})" if row["version"] else ""
            named = f"{row['name']}{row['wanted']}"
            yield Missing(named + found, "everything", f'pip install "{named}"', needed=True)


def _broken() -> Iterator[Missing]:
    """Packages that are there and cannot work: torchvision was built for one torch, and both for one machine."""
    command = "pip install --upgrade --force-reinstall torch torchvision"
    built_for = torch_mismatch()
    if built_for:
        what = f"a torchvision for torch {installed('torch')} (found one for torch {built_for})"
        yield Missing(what, "everything", command, needed=True)
    for name in ("torch", "torchvision"):
        error = error_of_importing(name) if installed(name) and not built_for else ""
        if error:
            yield Missing(f"a {name} that works ({error})", "everything", command, needed=True)


def _extras(facts: Mapping[str, Any]) -> Iterator[Missing]:
    for extra, purpose in PURPOSES.items():
        lacking = [row for row in facts["packages"] if row["extra"] == extra and not row["fits"]]
        if lacking:
            named = [f"{row['name']}{row['wanted']}" for row in lacking]
            what = ", ".join(row["name"] for row in lacking)
            yield Missing(what, purpose, "pip install " + " ".join(f'"{one}"' for one in named))
