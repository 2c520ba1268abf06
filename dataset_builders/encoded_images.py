"""An image file → the bytes of a PNG as a data set holds it, and the version of the code that makes them."""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

import processing
from dataset_builders.prepared_images import with_bits
from processing import find_breast, read_image
from processing.png import encode_png

BITS = (8, 16)
MODES = {8: "L", 16: "I;16"}  # of Pillow, and so of datasets.Image
# The modules of `processing` that decide pixels, with what they import.
READING = ("image_files", "breast_crop")


def encoded_image(path: str | Path, *, crop: bool = True, bits: int = 8) -> bytes:
    """An image file → the bytes of a grey PNG, cropped to the breast if asked.

    bits: 8, where the darkest value is stretched to 0 and the brightest to 255; or 16, with all the values of the file.

    Raises MammogramError or OSError for what cannot be read.
    """
    pixels = read_image(path).pixels
    if crop:
        with _one_thread():
            pixels = find_breast(pixels).crop(pixels)
    return encode_png(with_bits(pixels, bits))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums do not depend on how many threads share them; and processes that read side by side do not share any."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def code_version() -> str:
    """A digest of all that turns a file into pixels: statements, without comments and docstrings, and weights.

    So an image that was stored by other code is made anew, and one that was stored before a comment was put right is
    not. The versions of libraries are no part of it.
    """
    home = Path(inspect.getfile(processing)).parent
    digest = hashlib.sha256()
    for function in (encoded_image, with_bits):
        digest.update(_statements(inspect.getsource(function)).encode())
    for file in sorted(_with_imports(home, READING)):
        digest.update(file.name.encode() + _statements(file.read_text(encoding="utf-8")).encode())
    for file in sorted(home.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _with_imports(home: Path, names: Iterable[str]) -> set[Path]:
    """The files of some modules of a flat package, and of all that they import from it."""
    waiting, found = list(names), set()
    while waiting:
        file = home / f"{waiting.pop()}.py"
        if file not in found:
            found.add(file)
            nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            waiting += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level]
    return found


def _statements(source: str) -> str:
    """Source text without comments, docstrings and layout."""
    tree, documented = ast.parse(source), (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
