"""A small atlas with a bit of everything: panels, ultrasound, histology, a drawing, a picture twice, leftovers."""

import io

import numpy as np
import pymupdf
from PIL import Image
from scipy import ndimage


def breast(seed, height=150, width=112):
    """A lit half ellipse with a texture of its own."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    inside = ((y - height / 2) / (0.45 * height)) ** 2 + (x / (width * (0.6 + 0.2 * rng.random()))) ** 2 < 1
    texture = ndimage.gaussian_filter(rng.random((height, width)), 2)
    texture = (texture - texture.min()) / np.ptp(texture)
    return np.where(inside, 60 + 150 * texture, 0).astype(np.uint8)


def fan(size=240):
    """A sector full of speckle, as a curved ultrasound probe makes it."""
    y, x = np.mgrid[:size, :size]
    radius, angle = np.hypot(y + 30, x - size / 2), np.arctan2(x - size / 2, y + 30)
    speckle = ndimage.gaussian_filter(np.random.default_rng(0).rayleigh(1, (size, size)), 1)
    sector = (radius < 0.95 * size) & (radius > 45) & (abs(angle) < 0.7)
    return np.clip(np.where(sector, 90 * speckle / speckle.mean(), 0), 0, 255).astype(np.uint8)


def pink():
    """Stained tissue."""
    share = ndimage.gaussian_filter(np.random.default_rng(1).random((120, 150)), 4)
    share = (share - share.min()) / np.ptp(share)
    return np.stack([200 + 40 * share, 90 + 90 * share, 170 + 50 * share], -1).astype(np.uint8)


def drawing():
    """Black lines on paper."""
    page = np.full((150, 180), 255, np.uint8)
    page[10:140, 30:32] = page[75:77, 30:160] = 0
    return page


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


PAGES = (
    (
        ((1, 2), ("(A) Left CC view shows a spiculated mass. (B) Left MLO view shows the same.", "1.1")),
        ((3,), ("HISTORY: Lump. MAMMOGRAPHY: Left MLO view shows a cyst. IMPRESSION: Benign.", "1.2")),
    ),
    (
        ((4, "fan"), ("Mammogram (A) and ultrasound (B) of a fibroadenoma.", "1.3")),
        (("pink",), ("Photomicrograph of the carcinoma (hematoxylin and eosin).", "1.4")),
    ),
    (
        (("drawing",), ("The ducts and lobules of the breast in the lateral view.", "1.6")),
        ((3,), ("The film of a mass, shown again for its calcifications.", "1.7")),
    ),
    (((8,), ("A picture that has no caption.", None)),),
    (((9, 10, 11), ("(A) CC view, (B) MLO view of a hamartoma.", "1.9")),),
    (((), ("A caption whose picture is missing from the page.", "1.10")),),
    (((12,), ("A round mass.", "1.11")), ((13,), ("An oval mass in the right CC view.", "1.12"))),
)
PICTURES = {"fan": fan, "pink": pink, "drawing": drawing}


def write_mixed_atlas(path, pages=PAGES):
    """Write the PDF and return its path."""
    document = pymupdf.open()
    for figures in pages:
        page, top = document.new_page(), 70
        for names, (caption, number) in figures:
            heights = [0]
            for i, name in enumerate(names):
                pixels = PICTURES[name]() if name in PICTURES else breast(name)
                heights.append(150 * pixels.shape[0] / pixels.shape[1])
                left = 60 + 156 * i
                page.insert_image((left, top, left + 150, top + heights[-1]), stream=png(pixels))
            top += max(heights) + 12
            text = f"Figure {number}. {caption}" if number else caption
            page.insert_text((60, top), text, fontsize=9)
            top += 60
    document.save(path)
    return path
