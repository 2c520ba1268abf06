"""Opening PDFs, and the one error that reading an atlas raises."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any


class AtlasError(ValueError):
    """An atlas that cannot be read. The message is one sentence: what was found, and what to do."""


def import_pymupdf() -> ModuleType:
    """PyMuPDF, which is an extra because of its licence (AGPL-3.0); AtlasError says how to install it."""
    try:
        import pymupdf
    except ImportError as error:
        message = "PyMuPDF, which reads and writes PDFs, is not installed; run: pip install 'mam-clip[atlas]'"
        raise AtlasError(message) from error
    pymupdf.TOOLS.mupdf_display_errors(False)  # damaged objects are reported by what comes out, not on stderr
    return pymupdf


def open_pdf(path: str | Path) -> Any:
    """An open, readable PDF with at least one page (a pymupdf.Document; close it, or use it with `with`).

    Raises FileNotFoundError for a missing file and AtlasError for anything that is not a readable PDF.
    """
    path = Path(path)
    _check_file(path)
    pymupdf = import_pymupdf()
    try:
        document = pymupdf.open(path, filetype="pdf")
    except (RuntimeError, ValueError) as error:  # FileDataError is a RuntimeError
        raise AtlasError(f"{path} is damaged and cannot be opened as a PDF; get a new copy of it") from error
    _check_document(document, path)
    return document


def _check_file(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give the path of an atlas PDF")
    if not path.is_file():
        raise AtlasError(f"{path} is a folder, not a file; give the path of an atlas PDF")
    with path.open("rb") as file:
        start = file.read(1024)
    if not start:
        raise AtlasError(f"{path} is an empty file (0 bytes); get a new copy of it")
    if b"%PDF-" not in start:
        raise AtlasError(f"{path} is not a PDF (it does not begin with %PDF-); give the path of an atlas PDF")


def _check_document(document: Any, path: Path) -> None:
    """Close and refuse what opened but cannot be read."""
    problem = None
    if document.needs_pass:
        problem = "is encrypted and needs a password; save a copy without one (`qpdf --decrypt` does)"
    elif document.page_count == 0:
        problem = "is a PDF without pages; get a new copy of it"
    if problem:
        document.close()
        raise AtlasError(f"{path} {problem}")
