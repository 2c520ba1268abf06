"""Pictures of mammograms, as PNG bytes: the breast crop drawn on its image, and a strip of images with captions.

Pixels come in as arrays or Pillow images that were read and scaled before; nothing here opens a file.
"""

import textwrap
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

FRAME = (230, 159, 0)  # Okabe and Ito's orange: 8.6 : 1 on black and no colour of a grey image
FRAME_INDEX = 255  # of the palette: greys below, the frame's colour on top
STRIP_GREYS = 32  # what the eye tells apart in a small picture, and half the bytes of 256
STRIP_WIDTH = 2.3  # inches of one image with its caption
STRIP_HEIGHT = 4.25
STRIP_MARGINS = {"left": 0.01, "right": 0.99, "top": 0.915, "bottom": 0.27, "wspace": 0.06}
STRIP_DPI = 130
CAPTION_LINE = 32  # characters; a line of capitals still fits
CAPTION_LINES = 8


def crop_picture(pixels: np.ndarray, box: tuple[int, int, int, int], *, height: int = 400) -> bytes:
    """A mammogram, reduced, with the breast's box as an orange frame.

    Args:
        pixels: (H, W) uint8.
        box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive, within the image.
        height: of the picture; a smaller image keeps its size.

    Returns:
        bytes of a PNG of 255 greys and one colour, a third of what an RGB one takes.

    Raises:
        ValueError: another type or shape, or a box that is empty or leaves the image.
    """
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise ValueError(f"The mammogram is {pixels.dtype} {pixels.shape}: expected uint8 (height, width).")
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= pixels.shape[1] and 0 <= y0 < y1 <= pixels.shape[0]):
        raise ValueError(f"The box {tuple(box)} is empty or leaves the image of {pixels.shape} pixels.")
    scale = min(1.0, height / pixels.shape[0])
    small = _reduced(Image.fromarray(pixels), height)
    greys = np.minimum(np.asarray(small), FRAME_INDEX - 1)
    picture = Image.fromarray(greys).convert("L")
    picture.putpalette(bytes(np.repeat(np.arange(FRAME_INDEX, dtype=np.uint8), 3)) + bytes(FRAME))
    corners = [round(x0 * scale), round(y0 * scale), round(x1 * scale) - 1, round(y1 * scale) - 1]
    ImageDraw.Draw(picture).rectangle(_ordered(corners), outline=FRAME_INDEX, width=2)
    return _png(picture)


def small_picture(image: Image.Image, *, height: int = 320) -> bytes:
    """A greyscale image, reduced to `height` if it is higher, as bytes of a PNG."""
    return _png(_reduced(image.convert("L"), height))


def contact_strip(images: Sequence[Image.Image], captions: Sequence[str], title: str) -> bytes:
    """Images side by side, the beginning of each caption below, a title above: a PNG for a README.

    Args:
        images: greyscale, of any sizes.
        captions: one an image; shown is what fits on eight lines.
        title: one line.

    Returns:
        PNG bytes in 32 greys, white background.

    Raises:
        ValueError: no images, or another number of captions.
    """
    if not images or len(images) != len(captions):
        raise ValueError(f"{len(images)} images and {len(captions)} captions make no strip: expected pairs.")
    figure = Figure(figsize=(STRIP_WIDTH * len(images), STRIP_HEIGHT), dpi=STRIP_DPI)
    figure.suptitle(title, fontsize=11, y=0.985)
    axes = figure.subplots(1, len(images), squeeze=False, gridspec_kw=STRIP_MARGINS)[0]
    for panel, image, caption in zip(axes, images, captions, strict=True):
        panel.imshow(
            image.convert("L"),
            cmap="gray",
            vmin=0,
            vmax=255,
            interpolation="antialiased",
            interpolation_stage="data",
        )
        panel.set_axis_off()
        panel.set_anchor("N")
        panel.text(
            0, -0.03, beginning(caption), transform=panel.transAxes, va="top", fontsize=7.5, parse_math=False
        )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    grey = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).convert("L")
    levels = np.rint(np.linspace(0, 255, STRIP_GREYS)).astype(np.uint8)
    nearest = np.rint(np.asarray(grey) * ((STRIP_GREYS - 1) / 255)).astype(np.uint8)
    return _png(Image.fromarray(levels[nearest]))


def beginning(caption: str) -> str:
    """The first lines of a caption, cut at a word, with an ellipsis where something is left out."""
    return "\n".join(
        textwrap.wrap(
            caption, CAPTION_LINE, max_lines=CAPTION_LINES, placeholder=" …", break_on_hyphens=False
        )
    )


def spread_rows(case_ids: Sequence[str], count: int) -> list[int]:
    """Row numbers to show: the first of each of `count` cases, or of all that there are, evenly spread over them."""
    first = {case: row for row, case in reversed(list(enumerate(case_ids)))}
    cases = list(dict.fromkeys(case_ids))
    count = min(count, len(cases))
    return [first[cases[i * len(cases) // count]] for i in range(count)]


def _reduced(image: Image.Image, height: int) -> Image.Image:
    scale = min(1.0, height / image.height)
    size = [max(1, round(side * scale)) for side in image.size]
    return image.resize(size, Image.Resampling.BOX)


def _ordered(corners: list[int]) -> list[int]:
    """A frame of at least one pixel, however small the picture is."""
    x0, y0, x1, y1 = corners
    return [x0, y0, max(x0, x1), max(y0, y1)]


def _png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
