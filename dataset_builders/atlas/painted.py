"""What a page paints besides text: its images, with their places and what of them is seen, its strokes and fills."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from dataset_builders.atlas.layout import Box
from dataset_builders.atlas.pdf import import_pymupdf

PAINTING = ("fill_image", "fill_image_mask", "fill_path", "stroke_path")
CLIPPING = ("clip_path", "pop_clip", "begin_mask", "end_mask")
CLIPS = (
    "clip_stroke_path",
    "clip_text",
    "clip_stroke_text",
    "clip_image_mask",
)  # which cut nothing that is told
STRAIGHT = 1e-3  # of a matrix's largest entry: less is no slant


@dataclass(frozen=True)
class PaintedImage:
    """One image as painted: box of what is seen of it, matrix (a, b, c, d, e, f) from the unit square to points.

    whole: nothing is cut off; stencil: a mask that lets ink through and not an image of its own.
    """

    box: Box
    matrix: tuple[float, ...]
    whole: bool
    stencil: bool
    image: Any

    @property
    def key(self) -> str:
        """The same for the same image data wherever it is painted; nothing is decoded for it, if possible."""
        mupdf = import_pymupdf().mupdf
        buffer = mupdf.fz_compressed_image_buffer(self.image)
        if buffer.m_internal:
            data = mupdf.fz_buffer_extract_copy(
                mupdf.FzBuffer(mupdf.ll_fz_keep_buffer(buffer.m_internal.buffer))
            )
        else:
            data = self.grey().tobytes()
        return (
            hashlib.md5(data, usedforsecurity=False).hexdigest()[:16] + f"-{self.image.w()}x{self.image.h()}"
        )

    @property
    def is_opaque(self) -> bool:
        return not self.stencil and not self.image.mask().m_internal

    @property
    def is_plain(self) -> bool:
        """Seen whole, upright or turned by right angles, opaque: its own pixels are what the page shows."""
        a, b, c, d = (abs(value) for value in self.matrix[:4])
        small = STRAIGHT * max(a, b, c, d)
        straight = (b <= small and c <= small) or (a <= small and d <= small)
        return self.whole and straight and self.is_opaque

    @property
    def dpi(self) -> float:
        """Dots per inch, the larger of both directions."""
        a, b, c, d = self.matrix[:4]
        return 72 * max(self.image.w() / max(1.0, np.hypot(a, b)), self.image.h() / max(1.0, np.hypot(c, d)))

    def grey(self) -> np.ndarray:
        """The image's own pixels, (H, W) uint8 grey, as they are stored: neither turned nor masked."""
        mupdf = import_pymupdf().mupdf
        wide, high = self.image.w(), self.image.h()
        scale = mupdf.FzMatrix(wide, 0, 0, high, 0, 0)
        pixmap, _, _ = mupdf.fz_get_pixmap_from_image(self.image, mupdf.FzIrect(0, 0, wide, high), scale)
        if pixmap.n() != 1:
            grey, same = mupdf.fz_device_gray(), mupdf.FzColorParams()
            pixmap = mupdf.fz_convert_pixmap(
                pixmap, grey, mupdf.FzColorspace(), mupdf.FzDefaultColorspaces(), same, 0
            )
        rows = np.frombuffer(mupdf.fz_pixmap_samples_memoryview(pixmap), np.uint8)
        return rows.reshape(pixmap.h(), pixmap.stride())[:, : pixmap.w()].copy()

    def shown(self) -> np.ndarray:
        """Of a plain image: its pixels (H, W) uint8 turned and mirrored as the page shows them."""
        a, b, c, d = self.matrix[:4]
        pixels = self.grey()
        if abs(a) + abs(d) < abs(b) + abs(c):
            pixels, a, d = pixels.T, c, b
        return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def painted_on(page: Any) -> tuple[list[PaintedImage], list[Box]]:
    """A pymupdf.Page → its images in the order of painting, and the boxes of its strokes and fills."""
    mupdf = import_pymupdf().mupdf
    device = _device_class()()
    device.begin(tuple(page.rect))
    mupdf.fz_run_page(page.this, device, mupdf.FzMatrix(), mupdf.FzCookie())
    mupdf.fz_close_device(device)
    return device.images, device.paths


def _cut(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _corners(m: Any) -> Box:
    xs = (m.e, m.e + m.a, m.e + m.c, m.e + m.a + m.c)
    ys = (m.f, m.f + m.b, m.f + m.d, m.f + m.b + m.d)
    return min(xs), min(ys), max(xs), max(ys)


class _Recorder:
    """The methods of a MuPDF device, which it calls while it interprets a page; paths come as pointers."""

    def begin(self, page: Box) -> None:
        self.images: list[PaintedImage] = []
        self.paths: list[Box] = []
        self.clips, self.masks = [page], 0
        for name in (*PAINTING, *CLIPPING, *CLIPS):
            getattr(self, f"use_virtual_{name}")()

    def fill_image(self, ctx, image, ctm, alpha, params):
        self._image(image, ctm, alpha, stencil=False)

    def fill_image_mask(self, ctx, image, ctm, space, color, alpha, params):
        self._image(image, ctm, alpha, stencil=True)

    def _image(self, image, m, alpha, stencil):
        box = _corners(m)
        seen = _cut(box, self.clips[-1])
        if self.masks or not alpha or seen[2] - seen[0] < 1 or seen[3] - seen[1] < 1:
            return
        whole = max(abs(x - y) for x, y in zip(box, seen, strict=True)) < 1
        mupdf = import_pymupdf().mupdf
        kept = mupdf.FzImage(mupdf.ll_fz_keep_image(image))
        self.images.append(PaintedImage(seen, (m.a, m.b, m.c, m.d, m.e, m.f), whole, stencil, kept))

    def fill_path(self, ctx, path, even_odd, ctm, *color):
        self._path(path, ctm)

    def stroke_path(self, ctx, path, stroke, ctm, *color):
        self._path(path, ctm)

    def _path(self, path, ctm):
        if not self.masks:
            self.paths.append(self._seen(path, ctm))

    def _seen(self, path, ctm) -> Box:
        box = import_pymupdf().mupdf.ll_fz_bound_path(path, None, ctm)
        return _cut((box.x0, box.y0, box.x1, box.y1), self.clips[-1])

    def clip_path(self, ctx, path, even_odd, ctm, scissor):
        self.clips.append(self._seen(path, ctm))

    def push(self, *about):
        self.clips.append(self.clips[-1])

    clip_stroke_path = clip_text = clip_stroke_text = clip_image_mask = push

    def pop_clip(self, ctx):
        self.clips.pop()

    def begin_mask(self, *about):
        self.masks += 1

    def end_mask(self, *about):
        self.masks -= 1
        self.push()


@cache
def _device_class() -> type:
    """The class is made on first use, since its base comes with PyMuPDF, which is optional."""
    return type("Device", (_Recorder, import_pymupdf().mupdf.FzDevice2), {})
