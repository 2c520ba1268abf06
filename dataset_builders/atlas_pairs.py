"""Atlas PDF → image–caption pairs. Pages with a text layer and scanned ones are told apart page by page."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from dataset_builders.atlas import scanned_page, text_layer
from dataset_builders.atlas.figures import FigureFound, find_figures, same_patient
from dataset_builders.atlas.layout import Box, PageLayout, PictureBox, inside
from dataset_builders.atlas.pdf import AtlasError, open_pdf
from dataset_builders.atlas.scanned_page import import_tesseract, read_scan
from dataset_builders.atlas.truth import normalised_figure

FEWEST_LETTERS = 25  # on a page with a text layer that is worth reading
SCAN_SHARE = 0.55  # of a page that one picture covers on a scanned page
KINDS = ("auto", "text_layer", "scanned")
CONTINUED = 2  # pages on which a figure of one number may still be going on
INVISIBLE = 3  # a PDF's text rendering mode (ISO 32000-1, 9.3.6): neither filled nor stroked


@dataclass(frozen=True)
class Atlas:
    """A PDF as read: its pages' layouts in order, and its captioned figures in reading order."""

    path: Path
    layouts: list[PageLayout]
    figures: list[FigureFound]

    @property
    def source(self) -> str:
        return self.path.stem


def read_atlas(
    pdf_path: str | Path,
    *,
    kind: str = "auto",
    processes: int | None = None,
    progress: bool = False,
    cache: Path | None = None,
) -> Atlas:
    """Read a PDF's pages and find its figures.

    kind: one of KINDS: "auto" tells page by page; "text_layer" and "scanned" say it of all pages that have pictures.
    cache: folder that keeps layouts, by the PDF's content and the code that read them; pages are read once.

    Raises FileNotFoundError, or AtlasError: not a readable PDF, or no captioned figure in it.
    """
    path = Path(pdf_path)
    kept = None if cache is None else cache / f"layouts-{_layouts_key(path, kind)}.json"
    if kept is not None and kept.is_file():
        layouts = [PageLayout.from_dict(page) for page in json.loads(kept.read_text(encoding="utf-8"))]
    else:
        layouts = read_layouts(path, kind=kind, processes=processes, progress=progress)
        if kept is not None:
            _keep(kept, layouts)
    figures = find_figures(layouts)
    if not figures:
        raise AtlasError(
            f"{path} has no captioned figure in its {len(layouts)} pages; captions must begin with "
            "'Figure' or 'Fig.' and a number, beside, above or below a picture"
        )
    return Atlas(path, layouts, figures)


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest() -> str:
    """SHA-256 of the code that reads atlases: what another version read is not taken for this one's."""
    files = sorted([Path(__file__), *Path(__file__).parent.glob("atlas/*.py")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _layouts_key(path: Path, kind: str) -> str:
    open_pdf(path).close()  # its errors say what is wrong
    return hashlib.sha256(f"{content_digest(path)} {kind} {code_digest()}".encode()).hexdigest()[:24]


def _keep(file: Path, layouts: Sequence[PageLayout]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}.part")
    beside.write_text(json.dumps([layout.to_dict() for layout in layouts]), encoding="utf-8")
    beside.replace(file)


def read_layouts(
    path: Path, *, kind: str = "auto", processes: int | None = None, progress: bool = False
) -> list[PageLayout]:
    """The layout of every page, in order."""
    with open_pdf(path) as document:
        scanned = [i for i, page in enumerate(document) if _read_as_scan(page, kind)]
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


def _read_as_scan(page: Any, kind: str) -> bool:
    if kind == "auto":
        return is_scanned(page)
    return kind == "scanned" and bool(page.get_image_info())


def is_scanned(page: Any) -> bool:
    """Whether a pymupdf.Page is one big picture of paper without visible text of its own.

    The invisible text that OCR programs lay under or over a scan is not used: it has no reliable places.
    """
    area = page.rect.width * page.rect.height
    painted = enumerate(page.get_bboxlog())  # in the order of painting; a span's seqno counts the same way
    scans = [
        (i, box) for i, (kind, box) in painted if kind == "fill-image" and _area(box) > SCAN_SHARE * area
    ]
    if not scans:
        return False
    letters = [(len(span["chars"]), _hidden(span, scans)) for span in page.get_texttrace()]
    visible = sum(count for count, hidden in letters if not hidden)
    hidden = sum(
        count for count, hidden in letters if hidden
    )  # somebody's OCR: he took the page for paper too
    return visible < FEWEST_LETTERS and (hidden >= FEWEST_LETTERS or not text_layer.is_plate(page))


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


def load_pictures(document: Any, layout: PageLayout, pictures: Sequence[PictureBox]) -> Iterator[Image.Image]:
    """Pictures of one page as 8-bit grey ("L"), at their own resolution, in the order given."""
    page = document[layout.number - 1]
    if layout.kind == "text":
        yield from text_layer.load_pictures(page, pictures)
    else:
        yield from scanned_page.load_pictures(page, layout, pictures)


def box_on_page(document: Any, layout: PageLayout, picture: PictureBox) -> Box:
    """A picture's box on the page as it is shown, in points; the one place where a layout's coordinates are left."""
    if layout.kind == "text":
        return layout.on_page(picture.box)
    return scanned_page.box_on_page(document[layout.number - 1], layout, picture.box)


def cases_of(figures: Sequence[FigureFound]) -> list[str]:
    """The case of each figure: the number of the first figure of the same patient, followed through mentions.

    A number that returns far away is another figure's, as where chapters count anew: its case bears the page too.
    """
    latest: dict[str, tuple[int, str]] = {}  # number → (page, case)
    cases = []
    for figure in figures:
        own, earlier = normalised_figure(figure.number), same_patient(figure.caption)
        if earlier and normalised_figure(earlier) in latest:
            case = latest[normalised_figure(earlier)][1]
        elif own in latest:
            page, case = latest[own]
            case = case if figure.page - page <= CONTINUED else f"{own}@{figure.page}"
        else:
            case = own
        latest[own] = (figure.page, case)
        cases.append(case)
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
