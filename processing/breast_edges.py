"""The edges of the breast: a detector's box, drawn to what stands out of the background in it.

The detector knows where the breast is, and errs by some pixels. Brightness knows an edge to the pixel where it is
sharp; where skin fades into the film, or a bright fold goes on below the breast, it knows but the bounds between which
the edge lies. There the detector is heard again.
"""

import numpy as np

from .bright_regions import box_of, largest_component, opened

REACH = 0.08  # of the detector's box: how far beyond it its edges may be corrected
FARTHEST = 0.12  # of it: a correction beyond this is none
# By how much of its size a box grows where it cuts the breast, and how often at most.
GROWTH, GROWTHS = 0.25, 8
CROSSING = 0.25  # of the component's extent along a border of the window: so much says that it goes on there
FLAT = 0.05  # of the range: so near to black or white is black or white
SKIP = 3  # of so many pixels each way one is enough to tell grey levels
OUTWARDS = np.array([-1, -1, 1, 1])
NARROW = 3  # pixels: the opening, as in `bright_regions`
# Of the widest row: rows as wide as the first are breast, and those thinner than the second are not; columns likewise.
TAIL, THINNEST = 0.2, 0.01
# Of the way from the film to bright tissue: what stands out at all, and what does so clearly and can be no fog.
FAINT, CLEAR = 0.04, 0.08
# The quantile that is film; so far from it to the breast's median a rim is as bright as a fold.
FILM, FOLD = 0.05, 0.35
BLACK = 0.004  # of the range: what is no brighter than this lies beyond the film
# Of the breast's width: from how deep to how far out the skin is looked for, and which rows are at its crest.
SKIN, CREST = (-0.02, 0.02, 0.05), 0.02
SKIN_LEVEL = 0.02  # of the way from the film beside the skin to the component's rim: where the skin ends


def refined(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The detector's box (x0, y0, x1, y1) in an (h, w) image, its edges drawn to those of the component within it.

    The detector's own where that would newly span the image: fog and grain stand out of the background from one border
    to the opposite one, and a breast does so where the detector saw it nearly do so.
    """
    drawn = _drawn_to_edges(image, box)
    return drawn if (_spans(drawn, image.shape) <= _spans(box, image.shape, REACH)).all() else box


def _spans(box: np.ndarray, shape: tuple[int, int], reach: float = 0.0) -> np.ndarray:
    """Whether a box goes from left to right, and from top to bottom, to a pixel or to `reach` of its sides."""
    sides = box[2:] - box[:2]
    room = np.maximum(reach * sides, 1)
    return (box[:2] <= room) & (box[2:] >= np.array(shape[::-1]) - room)


def _drawn_to_edges(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Each edge at the outermost that brightness allows; where that is in doubt, halfway from there to the detector's.

    In doubt are skin that fades into the film, left and right, and a bright fold above or below the breast.
    """
    bright = -image if _is_dark(image, box) else image
    faint, clear, box = _around(bright, box)
    if not clear.any():
        return box
    inner, outer = _core(clear), _outermost(bright, faint)
    within = np.clip(box, np.minimum(inner, outer), np.maximum(inner, outer))
    above, below = (_has_fold(bright, faint, *ends) for ends in ((outer[1], inner[1]), (inner[3], outer[3])))
    edges = np.where((True, above, True, below), (within + outer) / 2, outer)
    return np.where(np.abs(edges - box) <= FARTHEST * np.tile(box[2:] - box[:2], 2), edges, box)


def _around(bright: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What stands out in the box and a little around it; where the breast goes on beyond that window, in a wider one.

    What goes on faintly, beyond the window or up to the image's border, is fog: nothing, then, and the box as it was.

    → the component of what does so faintly, and what of it does so clearly (h, w); the box, grown where it was cut.
    """
    full, detected = bright.shape[::-1] * 2, box
    masks = np.zeros((2, *bright.shape), bool)
    for _ in range(GROWTHS):
        sides = np.tile(box[2:] - box[:2], 2)
        x0, y0, x1, y1 = borders = np.rint(np.clip(box + REACH * sides * OUTWARDS, 0, full)).astype(int)
        height = _height(bright[y0:y1, x0:x1])
        faint = largest_component(opened(height > FAINT, NARROW))
        clear = faint & (height > CLEAR)
        inside = borders != (0, 0, *full[:2])
        cut = _cut(faint) & (inside | (box != detected))
        if (cut & ~_cut(clear)).any():
            return *masks, detected
        if not (cut & inside).any():
            break
        box = np.where(cut & inside, np.clip(box + GROWTH * sides * OUTWARDS, 0, full), box)
    masks[:, y0:y1, x0:x1] = faint, clear
    return *masks, box


def _cut(component: np.ndarray) -> np.ndarray:
    """Which borders (left, upper, right, lower) of an (h, w) mask it crosses in good part of its own extent."""
    high, wide = (component.any(axis=axis).sum() for axis in (1, 0))
    lines = (component[:, 0], component[0], component[:, -1], component[-1])
    return np.array([line.sum() for line in lines]) > CROSSING * np.array([high, wide, high, wide])


def _is_dark(image: np.ndarray, box: np.ndarray) -> bool:
    """Whether this is a negative: the box's middle is darker than what surrounds it, and more is white than black."""
    image, box = image[::SKIP, ::SKIP], box / SKIP
    x0, y0, x1, y1 = np.rint(box).astype(int)
    outside = np.ones(image.shape, bool)
    outside[y0:y1, x0:x1] = False
    height, width = (y1 - y0) // 4, (x1 - x0) // 4
    middle = image[y0 + height : y1 - height, x0 + width : x1 - width]
    around = image[outside]
    if not middle.size or not around.size or np.median(middle) >= np.median(around):
        return False
    low, high = np.quantile(image, (0.005, 0.995))
    near = FLAT * (high - low)
    return bool((image > high - near).sum() > (image < low + near).sum())


def _height(window: np.ndarray) -> np.ndarray:
    """(h, w) → by how much each pixel stands out: 0 is the film beside the breast, 1 bright tissue.

    A scanner's blackest black is not counted as film.
    """
    low, high = window.min(), window.max()
    film = window[::SKIP, ::SKIP]
    film = film[film > low + BLACK * (high - low)]
    if not film.size:
        return np.zeros(window.shape, np.float32)
    background, tissue = np.quantile(film, (0.02, 0.8))
    return (window - background) / max(tissue - background, 1e-6)


# ---- where the component ends


def _core(component: np.ndarray) -> np.ndarray:
    """Its box without thin rows and columns: a fold below the breast, a label that touches it."""
    _, y0, _, y1 = box_of(component, TAIL)
    _, x0, _, x1 = box_of(component[y0:y1].T, TAIL)
    return np.array([x0, y0, x1, y1])


def _has_fold(bright: np.ndarray, component: np.ndarray, first: int, last: int) -> bool:
    """Whether the component's thin rows, from `first` to `last`, are as bright as a fold of skin, not as a rim."""
    tail = bright[first:last][component[first:last]]
    film, tissue = np.quantile(bright[::SKIP, ::SKIP], FILM), np.median(bright[component])
    return bool(tail.size and np.median(tail) > film + FOLD * (tissue - film))


def _outermost(bright: np.ndarray, component: np.ndarray) -> np.ndarray:
    """The component's box in the image, with tails; left and right as far as the skin is seen."""
    x0, y0, x1, y1 = box_of(component, THINNEST)
    rows, width = slice(y0, y1), bright.shape[1]
    right = _skin_line(bright[rows], component[rows], x0, x1)
    left = width - _skin_line(bright[rows, ::-1], component[rows, ::-1], width - x1, width - x0)
    return np.array([left, y0, right, y1])


def _skin_line(bright: np.ndarray, component: np.ndarray, x0: int, x1: int) -> int:
    """The column of an (h, w) image where the skin beyond the right edge of a component (x0 … x1) ends.

    Skin fades out below any threshold that holds for the whole film. So the film just beside it is the measure: in
    the rows of the component's crest the skin goes on until it is hardly brighter. x1 where it nowhere does, or where
    the image ends.
    """
    inner, beside, outer = (x1 + int(share * (x1 - x0)) for share in SKIN)
    if beside + 1 >= bright.shape[1]:
        return x1
    at_crest = component[:, int(x1 - CREST * (x1 - x0)) - 1 :].any(axis=1)
    profile = bright[at_crest, : outer + 1].mean(axis=0)
    level = np.median(profile[beside + 1 :])
    ended = profile[x1:] <= level + SKIN_LEVEL * (profile[inner - 1] - level)
    return x1 + int(ended.argmax()) if ended.any() else x1
