"""One HTML page with everything in it: a template filled in, pictures as data URIs."""

import os
from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from .notices import NOTICE


def write_page(
    path: str | os.PathLike,
    template: str,
    context: Mapping[str, Any],
    *,
    folder: str | os.PathLike | None = None,
) -> None:
    """Fill in a template, which shows the `notice`, and write it to `path`, whole or not at all, in a new folder too.

    folder: where the template is; by default this folder, whose style sheet and macros every template can include.
    """
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader([folder or here, here]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals["notice"] = NOTICE
    _write_whole(Path(path), environment.get_template(template).render(context))


def embedded_picture(png: bytes, alt: str, *, scale: float = 1) -> dict[str, Any]:
    """A PNG as a data URI, with its size in CSS pixels (`scale` of its own each), so that the page does not jump."""
    width, height = Image.open(BytesIO(png)).size
    source = "data:image/png;base64," + b64encode(png).decode("ascii")
    return {"source": source, "alt": alt, "width": round(width / scale), "height": round(height / scale)}


def _write_whole(path: Path, text: str) -> None:
    """Write beside the file, then rename: readers see the old page or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
