"""Films made strange: what the breast detector shall not mind, drawn at random, with the box that is then true.

A scene is cropped, padded, mirrored, turned (films with a mask), lettered, bordered by a scanner, given clips and
implants, another tone curve, fog and grain, and sometimes inverted. The geometry is one affine map.
"""

from __future__ import annotations

import string

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from .detector_films import Film

LINEAR = 2.0  # the exponent that undoes a film's square roots
SMALLEST = 12  # pixels: a breast that shows less is not asked for
MARGIN = 0.7  # of a film's side: the widest margin around it; most are much narrower
COVERED = 0.02  # of a foreign thing may lie on the breast


def scene(film: Film, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A film, drawn anew → (image (H, W) float32 with `size` pixels on its longer side, boxes (N, 4) float32)."""
    matrix, (height, width) = _view(film, rng, size)
    source = Image.fromarray(film.image)
    outside = int(rng.choice([0, np.percentile(film.image, 2), 255], p=[0.6, 0.34, 0.06]))
    pixels = _warped(source, matrix, (width, height), outside)
    boxes, breast = _truth(film, matrix, height, width)
    image = (pixels / 255) ** (LINEAR * np.exp(rng.normal(0, 0.35)))
    image = _foreign(_inserts(image * rng.uniform(0.3, 1), breast, rng), breast, rng)
    return _exposed(image.astype(np.float32), rng), boxes


def empty_scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A film without a breast: background, letters, borders."""
    shape = (size, int(rng.uniform(0.4, 1) * size))
    image = _foreign(np.full(shape, rng.uniform(0, 0.1)), np.zeros(shape, bool), rng)
    return _exposed(image.astype(np.float32), rng), np.zeros((0, 4), np.float32)


# ---- geometry


def _view(film: Film, rng, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The map (2, 3) from pixels of the scene to those of the film, and the scene's height and width."""
    height, width = film.image.shape
    x0, y0, x1, y1 = _window(film, rng)
    stretch = np.exp(rng.normal(0, 0.12))
    wide, high = (x1 - x0) * stretch, y1 - y0
    scale = size / max(wide, high)
    shape = max(16, round(high * scale)), max(16, round(wide * scale))
    across, down = (x1 - x0) / shape[1], (y1 - y0) / shape[0]
    matrix = np.array([[across, 0, x0], [0, down, y0], [0, 0, 1]])
    if rng.random() < 0.5:
        matrix = matrix @ [[-1, 0, shape[1]], [0, 1, 0], [0, 0, 1]]
    if rng.random() < 0.1:
        matrix = matrix @ [[1, 0, 0], [0, -1, shape[0]], [0, 0, 1]]
    if film.mask is not None and rng.random() < 0.5:
        matrix = _turned(np.deg2rad(rng.normal(0, 4)), width / 2, height / 2) @ matrix
    return matrix[:2], shape


def _turned(angle: float, x: float, y: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])


def _window(film: Film, rng) -> tuple[float, float, float, float]:
    """What of the film is shown, in its pixels; it may reach beyond the film."""
    height, width = film.image.shape
    box = film.boxes[rng.integers(len(film.boxes))] if len(film.boxes) else np.array([0, 0, width, height])
    if rng.random() < 0.08:  # cropped to the breast before
        return tuple(box + rng.normal(0, 0.003, 4) * max(width, height))
    edges = np.array([0, 0, width, height], float)
    outwards = np.array([-1, -1, 1, 1])
    for edge in range(4):
        chance, room = rng.random(), abs(box[edge] - edges[edge])
        if chance < 0.3:  # a margin around the film
            edges[edge] += outwards[edge] * MARGIN * rng.random() ** 2 * (width, height)[edge % 2]
        elif chance < 0.55:  # cut, up to the breast
            edges[edge] -= outwards[edge] * rng.uniform(0, 1) * room
        elif chance < 0.62:  # cut, with some of the breast
            side = box[2 + edge % 2] - box[edge % 2]
            edges[edge] -= outwards[edge] * (room + rng.uniform(0, 0.25) * side)
    return tuple(edges)


def _warped(source: Image.Image, matrix: np.ndarray, size: tuple[int, int], outside: int) -> np.ndarray:
    """The scene's pixels (H, W) float32; what lies beyond the film has the brightness `outside`."""
    warped = source.transform(
        size, Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BILINEAR, fillcolor=outside
    )
    return np.asarray(warped, np.float32)


def _truth(film: Film, matrix: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The boxes (N, 4) in the scene, and where in it (H, W) the breast is, as far as that is known."""
    breast = np.zeros((height, width), bool)
    if film.mask is not None:
        mask = Image.fromarray(film.mask.astype(np.uint8) * 255)
        breast = _warped(mask, matrix, (width, height), 0) > 127
        rows, columns = (np.flatnonzero(breast.any(axis=axis)) for axis in (1, 0))
        found = [(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)] if len(rows) else []
        boxes = np.array(found, np.float32).reshape(-1, 4)
    else:
        inverse = np.linalg.inv(np.vstack((matrix, (0, 0, 1))))
        corners = np.sort(film.boxes.reshape(-1, 2, 2) @ inverse[:2, :2].T + inverse[:2, 2], axis=1)
        boxes = np.clip(corners, 0, (width, height)).reshape(-1, 4).astype(np.float32)
        for x0, y0, x1, y1 in np.rint(boxes).astype(int):
            breast[y0:y1, x0:x1] = True
    shown = (boxes[:, 2] - boxes[:, 0] >= SMALLEST) & (boxes[:, 3] - boxes[:, 1] >= SMALLEST)
    return boxes[shown], breast


# ---- foreign things


def _inserts(image: np.ndarray, breast: np.ndarray, rng) -> np.ndarray:
    """Clips, and now and then an implant, in the breast."""
    if not breast.any():
        return image
    rows, columns = np.nonzero(breast)
    top = image.max()
    for _ in range(rng.integers(1, 4) if rng.random() < 0.2 else 0):
        at = rng.integers(len(rows))
        image = np.maximum(
            image, _blob(image.shape, columns[at], rows[at], rng.uniform(1, 6, 2), rng) * top * 1.2
        )
    if rng.random() < 0.06:
        at = rng.integers(len(rows))
        size = np.sqrt(breast.sum()) * rng.uniform(0.15, 0.3, 2)
        implant = _blob(image.shape, columns[at], rows[at], size, rng) * rng.uniform(0.8, 1.3) * top
        image = np.where(breast, np.maximum(image, implant), image)
    return image


def _blob(shape: tuple[int, int], x: float, y: float, radii: np.ndarray, rng) -> np.ndarray:
    """A turned ellipse (H, W), 1 inside and 0 outside, with an edge of a few pixels."""
    angle = rng.uniform(0, np.pi)
    v, u = np.ogrid[: shape[0], : shape[1]]
    along = (u - x) * np.cos(angle) + (v - y) * np.sin(angle)
    aside = (v - y) * np.cos(angle) - (u - x) * np.sin(angle)
    distance = np.hypot(along / radii[0], aside / radii[1])
    return np.clip((1 - distance) * min(radii), 0, 1)


def _foreign(image: np.ndarray, breast: np.ndarray, rng) -> np.ndarray:
    """Scanner borders, and labels beside the breast."""
    top = max(float(image.max()), 0.3)
    for _ in range(rng.choice(4, p=[0.6, 0.2, 0.12, 0.08])):
        image = _stamp(image, breast, *_border(image.shape, rng), top * rng.uniform(0.3, 1.3))
    for _ in range(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1])):
        for _ in range(4):
            stamped = _stamp(image, breast, *_label(image.shape, rng), top * rng.uniform(0.4, 3))
            if stamped is not image:
                image = stamped
                break
    return image


def _stamp(
    image: np.ndarray, breast: np.ndarray, area: np.ndarray, drawn: np.ndarray, top: float
) -> np.ndarray:
    """Draw something (H, W) in 0 … 1 where `area` is; the image itself, where that is on the breast."""
    covered = (area & breast).sum()
    if covered > COVERED * area.sum():
        return image
    return np.where(area, drawn * top, image)


def _border(shape: tuple[int, int], rng) -> tuple[np.ndarray, np.ndarray]:
    """A band along one of the four borders, not quite parallel to it."""
    first, last = rng.uniform(0.0, 0.07) + rng.normal(0, 0.008, 2)
    turns = rng.integers(4)
    rotated = np.rot90(np.zeros(shape, bool), turns)
    depth = np.linspace(first, last, rotated.shape[1]) * rotated.shape[0]
    area = np.rot90(np.arange(rotated.shape[0])[:, None] < depth, -turns)
    return area, np.full(shape, 1.0)


def _label(shape: tuple[int, int], rng) -> tuple[np.ndarray, np.ndarray]:
    """Letters: bright on nothing, or dark on a bright plate; turned or mirrored now and then."""
    plate = rng.random() < 0.5
    font = ImageFont.load_default(size=int(rng.uniform(8, 34) * max(shape) / 416))
    text = "\n".join(_word(rng) for _ in range(rng.choice(4, p=[0.55, 0.3, 0.1, 0.05]) + 1))
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font)
    edge = int(rng.integers(2, 12))
    patch = Image.new("L", (int(box[2]) + 2 * edge, int(box[3]) + 2 * edge), 255 if plate else 0)
    ImageDraw.Draw(patch).multiline_text((edge, edge), text, font=font, fill=30 if plate else 255)
    area = Image.new("L", patch.size, 255)
    angle = rng.choice([0, 90, 180, 270, rng.uniform(0, 360)], p=[0.4, 0.15, 0.05, 0.15, 0.25])
    patch, area = (layer.rotate(angle, Image.Resampling.BILINEAR, expand=True) for layer in (patch, area))
    if rng.random() < 0.3:
        patch, area = (layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for layer in (patch, area))
    place = [
        int(rng.uniform(0, side) - length / 2) for side, length in zip(shape[::-1], patch.size, strict=True)
    ]
    layers = []
    for layer in (area, patch):
        canvas = Image.new("L", shape[::-1])
        canvas.paste(layer, place)
        layers.append(np.asarray(canvas, np.float32) / 255)
    return (layers[0] if plate else layers[1]) > 0.3, layers[1]


def _word(rng) -> str:
    words = ("R", "L", "CC", "MLO", "RCC", "LMLO", "MED-LAT", "CRAN", "OBL", "ML")
    letters = "".join(rng.choice(list(string.ascii_uppercase + string.digits), rng.integers(1, 9)))
    return str(rng.choice(words)) if rng.random() < 0.7 else letters


# ---- exposure


def _exposed(image: np.ndarray, rng) -> np.ndarray:
    """Fog, blur, grain, and the film as a negative."""
    top = float(image.max())
    if rng.random() < 0.4:
        slopes = rng.normal(0, 1, 2) * top * 0.06
        shape = (np.linspace(-1, 1, side, dtype=np.float32) for side in image.shape)
        down, across = (slope * line for slope, line in zip(slopes, shape, strict=True))
        image = image + rng.uniform(0, 0.2) * top + down[:, None] + across[None, :]
    if rng.random() < 0.2:
        image = gaussian_filter(image, rng.uniform(0.3, 1.5))
    if rng.random() < 0.6:
        grain = rng.standard_normal(image.shape, dtype=np.float32) * (rng.uniform(0, 0.04) * top)
        image = image + (gaussian_filter(grain, 0.8) if rng.random() < 0.3 else grain)
    if rng.random() < 0.3:
        image = np.clip(image, rng.uniform(0, 0.04) * top, rng.uniform(0.6, 1.0) * top)
    return image.max() - image if rng.random() < 0.2 else image
