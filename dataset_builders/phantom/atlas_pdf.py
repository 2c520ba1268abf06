"""Phantom atlases as PDFs, with a text layer or scanned, and the truth of what was planted in them."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from dataset_builders.atlas.pdf import import_pymupdf
from dataset_builders.atlas.truth import thumbnail
from dataset_builders.phantom import atlas_pages
from dataset_builders.phantom.atlas_design import BOOK, Design, Figure, draw_design, plan_figures
from dataset_builders.phantom.atlas_pages import Block, Page, compose_pages
from dataset_builders.phantom.case import PhantomCase
from dataset_builders.phantom.render import render_many
from dataset_builders.phantom.scanner import scan_document
from dataset_builders.phantom.typeset import Text

KINDS = ("text", "scanned")
JPEG_QUALITY = 85
Panels = dict[tuple[str, int], bytes]  # (figure number, panel) → JPEG


def write_atlas(
    path_pdf: str | Path,
    cases: Sequence[PhantomCase],
    *,
    kind: str = "text",
    seed: int = 0,
    image_height: int = 512,
    processes: int | None = None,
    progress: bool = False,
) -> list[dict]:
    """Write an atlas of the cases and, beside it, <name>.truth.json; both appear whole or not at all.

    kind: "text" has a text layer and the pictures as JPEG objects; "scanned" is one picture a page.
    image_height: of the pictures in pixels; their width is three quarters of it.
    processes: pictures rendered side by side (None: one per CPU); progress: show a bar while they are.
    Returns the planted figures: {figure, page (from 1), caption, case_id, views, laterality, n_images,
    thumbnails}.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    if not cases:
        raise ValueError("an atlas needs at least one case; none was given")
    path, rng = Path(path_pdf), random.Random(f"atlas {seed} {kind}")
    design = draw_design(rng)
    figures = plan_figures(cases, design, rng, seed)
    pages = compose_pages(figures, design, rng)
    panels, thumbnails = _render_panels(figures, image_height, processes, progress)
    document = _draw(pages, panels, design, rng)
    if kind == "scanned":
        inset = (atlas_pages.LEFT - 16, atlas_pages.TOP - 12, atlas_pages.RIGHT + 16, atlas_pages.BOTTOM + 12)
        document = scan_document(document, dpi=design.dpi, inset=inset, seed=seed)
    truth = [_truth(figure, page, thumbnails) for page in pages for figure in page.figures]
    _save(document, truth, path, {"kind": kind, "seed": seed, "pages": len(pages)})
    return truth


def truth_path(path_pdf: str | Path) -> Path:
    """atlas.pdf → atlas.truth.json"""
    return Path(path_pdf).with_suffix(".truth.json")


def _render_panels(
    figures: Sequence[Figure], height: int, processes: int | None, progress: bool
) -> tuple[Panels, dict[tuple[str, int], list[int]]]:
    """Every panel as JPEG and as thumbnail."""
    keys = [(figure.number, i) for figure in figures for i in range(len(figure.panels))]
    panels, thumbnails = {}, {}
    images = _panel_images(figures, height, processes)
    bar = tqdm(images, "phantom atlas", len(keys), unit="image", disable=not progress)
    for key, image in zip(keys, bar, strict=True):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
        panels[key], thumbnails[key] = buffer.getvalue(), thumbnail(image)
    return panels, thumbnails


def _panel_images(figures: Sequence[Figure], height: int, processes: int | None) -> Iterator[Image.Image]:
    size = {"height": height, "width": height * 3 // 4}
    jobs = [(figure.case, side, view, size) for figure in figures for side, view in figure.panels]
    for view in render_many(jobs, processes=processes):
        yield _printed(view.pixels)


def _printed(pixels: np.ndarray) -> Image.Image:
    """Detector values → the 8-bit grey of a printed picture; the brightest thousandth is white."""
    top = max(1.0, float(np.percentile(pixels, 99.9)))
    return Image.fromarray(np.clip(pixels * (255 / top), 0, 255).astype(np.uint8))


def _truth(figure: Figure, page: Page, thumbnails: dict) -> dict:
    return {
        "figure": figure.number,
        "page": page.number,
        "caption": figure.caption,
        "case_id": figure.case.case_id,
        "views": [view for _, view in figure.panels],
        "laterality": figure.laterality,
        "n_images": len(figure.panels),
        "thumbnails": [thumbnails[figure.number, i] for i in range(len(figure.panels))],
    }


def _draw(pages: Sequence[Page], panels: Panels, design: Design, rng: random.Random) -> Any:
    """Pages → pymupdf.Document. Blocks and pictures are written in any order, as many PDF writers do."""
    document = import_pymupdf().open()
    document.set_metadata({"title": BOOK, "subject": "Synthetic; no real patient"})
    ornaments = {name: _ornament(name) for name in ("logo", "icon", "ornament")}
    for page in pages:
        target = document.new_page(width=atlas_pages.WIDTH, height=atlas_pages.HEIGHT)
        blocks = rng.sample(page.blocks, len(page.blocks))
        pictures = [picture for block in blocks for picture in block.pictures]
        for picture in rng.sample(pictures, len(pictures)):
            stream = ornaments[picture.name] if picture.name else panels[picture.figure, picture.panel]
            target.insert_image(picture.box, stream=stream, keep_proportion=False)
        _write_texts(target, blocks, design)
    return document


def _write_texts(target: Any, blocks: Sequence[Block], design: Design) -> None:
    writer = import_pymupdf().TextWriter
    for color in (0.0, 1.0):
        texts: list[Text] = [text for block in blocks for text in block.texts if text.color == color]
        layer = writer(target.rect)
        for text in texts:
            layer.append(
                (text.x, text.y), text.text, font=design.body.face.font(text.font), fontsize=text.size
            )
        if texts:
            layer.write_text(target, color=(color, color, color))


def _ornament(name: str) -> bytes:
    """A small picture that belongs to no figure: a mark, an icon beside a paragraph, a vignette."""
    side = {"logo": 96, "icon": 128, "ornament": 320}[name]
    image = Image.new("RGB", (side, side), (255, 255, 255) if name != "ornament" else (40, 60, 90))
    draw = ImageDraw.Draw(image)
    for ring in range(6):
        margin = side * (ring + 1) // 14
        shade = (30 + 30 * ring, 60 + 25 * ring, 110 + 20 * ring)
        draw.ellipse((margin, margin, side - margin, side - margin), outline=shade, width=max(2, side // 40))
    draw.polygon(
        [(side // 2, side // 4), (side // 4, side * 3 // 4), (side * 3 // 4, side * 3 // 4)],
        fill=(90, 120, 60),
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _save(document: Any, truth: Sequence[dict], path: Path, about: dict) -> None:
    """Write both beside their final names, then rename: the PDF last, so that it is never without truth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part, truth_part = (
        path.with_name(path.name + ".part"),
        truth_path(path).with_name(path.stem + ".truth.part"),
    )
    document.save(part, garbage=3, deflate=True, no_new_id=True)
    document.close()
    truth_part.write_text(json.dumps({**about, "figures": list(truth)}, indent=0), encoding="utf-8")
    truth_part.replace(truth_path(path))
    part.replace(path)
