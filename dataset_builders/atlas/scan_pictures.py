"""Where the pictures are on a scanned page: films on black or light, tissue in colour, drawings, and their panels.

All of it is measured on the page's level (H, W) float32: brightness as a share of the paper's, about 0.1 for ink
and 1.0 for paper. `unit` is the size of its pixels in points (1/72 inch).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from dataset_builders.atlas.layout import SMALLEST_PICTURE, Box, inside, union
from dataset_builders.atlas.scan_panels import cut_panels

LETTER = 3.5  # points: wider than the strokes of letters, which an opening of this size takes away
DARK = 0.8  # of the paper: what pictures are made of, …
TINTS = 0.945, 0.915, 0.885  # … and what may lie between their dark parts
INK = 0.7  # of the paper: letters and lines
RECTANGLE = 0.8  # of its box that a rectangular picture fills
FILM = 0.85  # of its box that a film fills, bright tissue inside it counted
FILM_LABEL = 40  # letters and specks on a film; a text has more
BARE = (
    0.06  # dark share of paper that another page's pictures show through; tissue is darker between its parts
)
FILLED = 0.4  # of its box that any other picture fills
CONTENT = (
    0.1  # of a rectangle that is dark in a picture; less is a tinted box with text, or another page's shadow
)
RIM = 2.0  # points inside a picture that may belong to a frame around it
NEAR = 3.0  # points between lines of one drawing
SPARSE = 0.25  # of its box that a drawing's lines cover at most


def find_pictures(level: np.ndarray, unit: float) -> list[Box]:
    """Boxes in points of all pictures that are not drawn in lines.

    They are tinted rectangles with something dark in them. Where another page's shadow joins them to something
    else, a darker tint tells them apart; what is no rectangle in any tint is as large as its dark part.
    """
    size = max(2, round(LETTER / unit))
    window = np.ones((size, size), bool)
    smooth = ndimage.uniform_filter(level, 3)
    dark = ndimage.binary_opening(level < DARK, window)
    pieces = list(_parts(dark, unit))
    found: list[tuple[slice, slice]] = []
    for tint in TINTS:
        mask = ndimage.binary_opening(smooth < tint, window) | dark
        places = [core for core, _ in _parts(mask, unit) if _is_picture(core, mask, dark, level, pieces)]
        found += [place for place in places if not any(_within(place, other) for other in found)]
    filled = [core for core, _ in pieces if dark[core].mean() >= FILLED]
    found += [core for core in filled if not any(_within(core, other) for other in found)]
    return [box for place in found for box in panels_of(level, _points(place, unit), unit)]


def panels_of(level: np.ndarray, box: Box, unit: float) -> list[Box]:
    """The panels of one picture, all of them in points; those too small for a picture are left out."""
    boxes = [_points(panel, unit) for panel in cut_panels(level, _slices(box, unit, 0.0), unit)]
    return [panel for panel in boxes if _large(panel)]


def find_outlines(level: np.ndarray, pictures: Sequence[Box], unit: float) -> tuple[list[Box], np.ndarray]:
    """What is drawn in lines outside the pictures: frames, tables, drawings.

    → boxes in points, and a mask (H, W) bool of the lines themselves, rules between texts included.
    """
    ink = level < INK
    for box in pictures:
        ink[_slices(box, unit, -RIM)] = False
    labels, _ = ndimage.label(ink, np.ones((3, 3)))
    places = ndimage.find_objects(labels)
    kept = [i for i, place in enumerate(places, start=1) if _is_outline(labels, i, place, unit)]
    boxes = merged([_points(places[i - 1], unit) for i in kept], NEAR)
    return [box for box in boxes if _large(box)], np.isin(labels, kept)


def merged(boxes: Sequence[Box], near: float = 0.0) -> list[Box]:
    """Boxes that overlap, or lie no further apart than `near`, as one."""
    done: list[Box] = []
    for box in boxes:
        touching = [other for other in done if _touch(box, other, near)]
        while touching:
            done = [other for other in done if other not in touching]
            box = union([box, *touching])
            touching = [other for other in done if _touch(box, other, near)]
        done.append(box)
    return done


def _parts(mask: np.ndarray, unit: float) -> Iterator[tuple[tuple[slice, slice], bool]]:
    """The large parts of a mask: their boxes, and whether each is a film, dark all over but for tissue inside it."""
    labels, _ = ndimage.label(mask)
    for index, place in enumerate(ndimage.find_objects(labels), start=1):
        if _large(_points(place, unit)):
            shape = labels[place] == index
            yield _core(shape, place), ndimage.binary_fill_holes(shape).mean() >= FILM


def _is_picture(
    place: tuple[slice, slice],
    tint: np.ndarray,
    dark: np.ndarray,
    level: np.ndarray,
    pieces: Sequence[tuple[tuple[slice, slice], bool]],
) -> bool:
    """Whether a place is one tinted rectangle with dark content; not several films, nor a tinted text."""
    if tint[place].mean() < RECTANGLE or dark[place].mean() < CONTENT:
        return False
    films = [piece for piece, film in pieces if film and _within(piece, place)]
    return len(films) < 2 and not _holds_text(_letters(level, dark), dark, place, [p for p, _ in pieces])


def _letters(level: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Mask (H, W) bool of ink in strokes."""
    return (level < INK) & ~ndimage.binary_dilation(dark, np.ones((3, 3)))


def _holds_text(
    letters: np.ndarray, dark: np.ndarray, place: tuple[slice, slice], pieces: Sequence[tuple[slice, slice]]
) -> bool:
    """Whether a place has letters, and nothing dark, outside the large dark parts; a film label has only a few."""
    rest = np.zeros(dark.shape, bool)
    rest[place] = True
    for piece in pieces:
        rest[piece] = False
    if not rest.any() or dark[rest].mean() > BARE:
        return False
    _, count = ndimage.label(letters & rest)
    return count > FILM_LABEL


def _core(mask: np.ndarray, place: tuple[slice, slice], share: float = 0.15) -> tuple[slice, slice]:
    """A part's box without the spurs at its sides: rows and columns that are not nearly empty."""
    rows = np.flatnonzero(mask.mean(axis=1) >= share)
    columns = np.flatnonzero(mask.mean(axis=0) >= share)
    if not len(rows) or not len(columns):
        return place
    top, left = place[0].start, place[1].start
    return slice(top + rows[0], top + rows[-1] + 1), slice(left + columns[0], left + columns[-1] + 1)


def _is_outline(labels: np.ndarray, index: int, place: tuple[slice, slice], unit: float) -> bool:
    """Longer than any letter, and made of lines."""
    high, wide = ((part.stop - part.start) * unit for part in place)
    if max(high, wide) < SMALLEST_PICTURE:
        return False
    return min(high, wide) < 2 or (labels[place] == index).mean() < SPARSE


def _touch(a: Box, b: Box, near: float) -> bool:
    return a[0] - near < b[2] and b[0] - near < a[2] and a[1] - near < b[3] and b[1] - near < a[3]


def _within(place: tuple[slice, slice], other: tuple[slice, slice]) -> bool:
    return inside(_points(place, 1.0), _points(other, 1.0), 0.8)


def _large(box: Box) -> bool:
    return min(box[2] - box[0], box[3] - box[1]) >= SMALLEST_PICTURE


def _points(place: tuple[slice, slice], unit: float) -> Box:
    rows, columns = place
    return columns.start * unit, rows.start * unit, columns.stop * unit, rows.stop * unit


def _slices(box: Box, unit: float, wider: float) -> tuple[slice, slice]:
    """Pixels of a box with `wider` points more on each side."""
    x0, y0 = (max(0, round((value - wider) / unit)) for value in box[:2])
    x1, y1 = (round((value + wider) / unit) for value in box[2:])
    return slice(y0, y1), slice(x0, x1)
