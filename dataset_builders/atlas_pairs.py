"""Atlas PDF → image–caption pairs. Pages with a text layer and scanned ones are told apart page by page."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from dataset_builders.atlas import text_layer
from dataset_builders.atlas.cleaning import Vocabulary
from dataset_builders.atlas.figures import FigureFound, find_figures, same_patient
from dataset_builders.atlas.layout import Box, PageLayout, content_lines, content_pictures, inside
from dataset_builders.atlas.pdf import AtlasError, open_pdf
from dataset_builders.atlas.scanned_page import import_tesseract, load_pictures, read_scan
from dataset_builders.atlas.truth import normalised_figure

FEWEST_LETTERS = 25  # on a page with a text layer that is worth reading
SCAN_SHARE = 0.55  # of a page that one picture covers on a scanned page
INVISIBLE = 3  # a PDF's text rendering mode (ISO 32000-1, 9.3.6): neither filled nor stroked


def extract_pairs(
    pdf_path: str | Path, *, processes: int | None = None, progress: bool = False
) -> Iterator[dict[str, Any]]:
    """The pairs of one PDF, in reading order, one for each picture of a captioned figure.

    processes: how many pages are read side by side; None: one per CPU. Only scanned pages are worth it.
    → {image: PIL "L", caption, caption_id, case_id, figure, page (from 1), source (the file's stem)}; figures
    whose caption says that they show the same patient share a case_id.

    Raises FileNotFoundError, or AtlasError: not a readable PDF, or no captioned figure in it.
    """
    path = Path(pdf_path)
    layouts = read_layouts(path, processes=processes, progress=progress)
    figures = figures_of(layouts)
    if not figures:
        raise AtlasError(
            f"{path} has no captioned figure in its {len(layouts)} pages; captions must begin with "
            "'Figure' or 'Fig.' and a number, beside, above or below a picture"
        )
    cases = _cases(figures)
    with open_pdf(path) as document:
        for figure in figures:
            for image in _images(document, layouts[figure.page - 1], figure):
                yield {
                    "image": image,
                    "caption": figure.caption,
                    "caption_id": f"{path.stem}/{figure.number}",
                    "case_id": f"{path.stem}/{cases[normalised_figure(figure.number)]}",
                    "figure": figure.number,
                    "page": figure.page,
                    "source": path.stem,
                }


def read_layouts(path: Path, *, processes: int | None = None, progress: bool = False) -> list[PageLayout]:
    """The layout of every page, in order."""
    with open_pdf(path) as document:
        scanned = [i for i, page in enumerate(document) if is_scanned(page)]
        layouts = {
            i: text_layer.read_page(document[i], i + 1) for i in set(range(len(document))) - set(scanned)
        }
    if scanned:
        import_tesseract()  # its absence is said once, and before anything is read
    read = partial(_read_scanned, path)
    with _workers(processes, len(scanned)) as imap:
        pages = tqdm(
            imap(read, scanned), f"reading {path.name}", len(scanned), disable=not (progress and scanned)
        )
        layouts.update(zip(scanned, pages, strict=True))
    return [layouts[i] for i in sorted(layouts)]


def figures_of(layouts: Sequence[PageLayout]) -> list[FigureFound]:
    """All captioned figures, in reading order."""
    lines, pictures = content_lines(layouts), content_pictures(layouts)
    vocabulary = Vocabulary(line.text for page in layouts for line in lines[page.number])
    found = [find_figures(page, lines[page.number], pictures[page.number], vocabulary) for page in layouts]
    return [figure for figures in found for figure in figures]


def is_scanned(page: Any) -> bool:
    """Whether a pymupdf.Page is one big picture without visible text of its own.

    The invisible text that OCR programs lay under or over a scan is not used: it has no reliable places.
    """
    area = page.rect.width * page.rect.height
    painted = enumerate(page.get_bboxlog())  # in the order of painting; a span's seqno counts the same way
    scans = [
        (i, box) for i, (kind, box) in painted if kind == "fill-image" and _area(box) > SCAN_SHARE * area
    ]
    if not scans:
        return False
    visible = sum(len(span["chars"]) for span in page.get_texttrace() if not _hidden(span, scans))
    return visible < FEWEST_LETTERS


def _hidden(span: dict, scans: Sequence[tuple[int, Box]]) -> bool:
    """Whether a span of text is invisible, or has a scan painted over it."""
    return (
        span["type"] == INVISIBLE
        or not span["opacity"]
        or any(span["seqno"] < i and inside(span["bbox"], box) for i, box in scans)
    )


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _read_scanned(path: Path, index: int) -> PageLayout:
    with open_pdf(path) as document:
        return read_scan(document[index], index + 1)


def _images(document: Any, layout: PageLayout, figure: FigureFound) -> Iterator[Image.Image]:
    page = document[figure.page - 1]
    if layout.kind == "text":
        yield from (text_layer.load_picture(page, picture) for picture in figure.pictures)
        return
    yield from load_pictures(page, layout, figure.pictures)


def _cases(figures: Sequence[FigureFound]) -> dict[str, str]:
    """Figure number → number of the first figure of the same patient, followed through several mentions."""
    cases: dict[str, str] = {}
    for figure in figures:
        own, earlier = normalised_figure(figure.number), same_patient(figure.caption)
        cases[own] = cases.get(normalised_figure(earlier), own) if earlier else own
    return cases


class _workers:
    """`with _workers(processes, jobs) as imap`: an imap over processes, or map where one is enough."""

    def __init__(self, processes: int | None, jobs: int) -> None:
        self.count = min(processes or os.cpu_count() or 1, jobs)
        self.pool = None

    def __enter__(self):
        if self.count <= 1:
            return map
        self.pool = multiprocessing.get_context("spawn").Pool(self.count)
        return self.pool.imap

    def __exit__(self, *_) -> None:
        if self.pool is not None:
            self.pool.terminate()
            self.pool.join()
