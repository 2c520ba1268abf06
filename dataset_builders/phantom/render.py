"""Render a phantom's mammograms: one view, or many in parallel."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .anatomy import VIEWS, outline
from .canvas import Box
from .case import PhantomCase
from .grids import Grid
from .labels import draw_labels
from .lesions import paint_findings
from .tissue import parenchyma

MAXIMUM = 4095  # 12 bits
FOG = 0.011  # brightness of unexposed background
NOISE_GAIN, READ_NOISE = 0.11, 4.0  # variance per count, and standard deviation, of a NOISE_PITCH pixel
NOISE_PITCH = 180 / 1024  # mm
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
VIEWS_PER_TASK = 4  # a worker gets a patient's views together, because they share the glandular volume

Job = tuple[PhantomCase, str, str] | tuple[PhantomCase, str, str, dict]


@dataclass(frozen=True)
class PhantomView:
    """One mammogram. pixels: (H, W) uint16, 0 … 4095, breast bright on a dark background, as displayed.

    breast_box: (x0, y0, x1, y1) pixels, the end exclusive; finding_boxes: one per finding of the breast, in its
    order, None where the view does not show it.
    """

    pixels: np.ndarray
    breast_box: Box
    finding_boxes: tuple[Box | None, ...]


def render_view(
    case: PhantomCase,
    laterality: str,
    view: str,
    *,
    height: int = 1024,
    width: int = 768,
    labels: bool = True,
) -> PhantomView:
    """The mammogram of one breast in one view; always the same for the same arguments.

    The image shows 180 mm × 135 mm (or more, when its shape is not 4:3); another size shows the same breast.
    Raises ValueError for an unknown laterality or view, or for an image of less than 32 pixels a side.
    """
    _check(laterality, view, height, width)
    grid = Grid.covering_the_field(height, width)
    shape = outline(case, laterality, view)
    value, depth = parenchyma(case, laterality, shape, grid)
    boxes = paint_findings(value, grid, shape, case.breasts[laterality].findings)
    rows, columns = (np.flatnonzero((depth > 0).any(axis=axis)) for axis in (1, 0))
    breast_box = (int(columns[0]), int(rows[0]), int(columns[-1] + 1), int(rows[-1] + 1))
    if laterality == "R":
        value = value[:, ::-1].copy()
        breast_box, *boxes = (_mirrored(box, width) for box in (breast_box, *boxes))
    if labels:
        draw_labels(value, case, laterality, shape, grid)
    seed = (case.seed, case.index, 401, ord(laterality), VIEWS.index(view))
    return PhantomView(_detect(value, grid, seed), breast_box, tuple(boxes))


def _check(laterality: str, view: str, height: int, width: int) -> None:
    if laterality not in ("L", "R"):
        raise ValueError(f"laterality is {laterality!r}; expected 'L' or 'R'")
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}; expected 'CC' or 'MLO'")
    if min(height, width) < 32:
        raise ValueError(f"an image of {height}×{width} pixels is too small; expected at least 32 a side")


def _mirrored(box: Box | None, width: int) -> Box | None:
    return box and (width - box[2], box[1], width - box[0], box[3])


def _detect(value: np.ndarray, grid: Grid, seed: tuple[int, ...]) -> np.ndarray:
    """Brightness → 12-bit counts (H, W) uint16: soft shoulder, quantum noise (variance ∝ signal), read noise."""
    bright = np.clip(value, 0, None) + FOG
    np.copyto(bright, 0.72 + 0.28 * np.tanh((bright - 0.72) / 0.28), where=bright > 0.72)
    counts = bright * MAXIMUM
    noise = np.random.default_rng(seed).standard_normal(counts.shape, dtype=np.float32)
    noise *= np.sqrt(NOISE_GAIN * counts + READ_NOISE**2) * min(1.0, NOISE_PITCH / grid.pitch)
    return np.clip(np.rint(counts + noise), 0, MAXIMUM).astype(np.uint16)


def render_many(jobs: Iterable[Job], processes: int | None = None) -> Iterator[PhantomView]:
    """Render (case, laterality, view) or (case, laterality, view, options of render_view) jobs, in their order.

    processes: how many workers; None is one per CPU, 1 renders in this process.
    """
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        yield from map(_render_job, jobs)
        return
    with _single_threaded_workers(), multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(_render_job, jobs, chunksize=VIEWS_PER_TASK)


def _render_job(job: Job) -> PhantomView:
    case, laterality, view, *options = job
    return render_view(case, laterality, view, **(options[0] if options else {}))


class _single_threaded_workers:
    """While the workers start, tell their numerical libraries to use one thread each."""

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in THREAD_LIMITS}
        os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))

    def __exit__(self, *_) -> None:
        for name, setting in self.before.items():
            if setting is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = setting
