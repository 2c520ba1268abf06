"""Scanned pages that no code of ours typeset: Pillow's letters at 300 dpi, spoilt, wrapped as a PDF of pictures.

A `Sheet` is one page in points (1/72 inch from the top left corner); what is set on it as a figure is its truth.
"""

import io
import re
from dataclasses import dataclass, field

import numpy as np
import pymupdf
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy.ndimage import gaussian_filter

from dataset_builders.atlas.truth import thumbnail
from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.render import render_view

DPI = 300
SENTENCES = """\
Screening film of a woman of {n}; she had felt nothing.
The lump under the skin marker moved freely and was not tender.
Magnification shows {m} coarse particles in a row, all within one duct.
An oval opacity of {m} mm with a thin bright rim lies behind the nipple.
Its upper border is sharp, whereas the lower one fades into the neighbouring gland.
The axillary node keeps its fatty hilum and is normal.
Compression in the second projection spreads the tissue, and the shadow is gone.
Follow-up after {m} months: unchanged.
Needle biopsy: fibroadenoma with calcified stroma.
Surgery found an invasive ductal carcinoma, grade 2, {m} mm across.
The skin is thickened to {m} mm at the areola; the trabeculae look coarser than on the other side.
Two clips mark the cavity of an earlier operation.
Note the straight spicules that reach the pectoral muscle.
The diagnosis was a radial scar, which cannot be told from cancer by its shape alone.
Vascular calcification runs along both walls (tram tracks).
Dense breasts hide small masses; ultrasound was added, and it showed a simple cyst.
The mother and a sister had been treated before the age of {n}.
Architecture is distorted over an area of {m} x {n} mm without a central mass.
BI-RADS category 4; tissue was asked for.
A lucent centre and a smooth wall are typical of an oil cyst.
The same change was there in the examination of 1998, only smaller.
Milk of calcium: teacup-shaped in the lateral view, smudged in the craniocaudal one.""".splitlines()


def prose(rng, sentences):
    """So many sentences with numbers of their own."""
    chosen = rng.permutation(len(SENTENCES))[:sentences]
    return " ".join(SENTENCES[i].format(n=rng.integers(31, 88), m=rng.integers(3, 29)) for i in chosen)


# ---- pictures


def mammogram(rng, size=(300, 400), label=None, inverted=False):
    """A phantom breast on black, or dark on light (sometimes in a frame), with a film label: "letters" or a "plate"."""
    case = draw_case(int(rng.integers(1000)), 0)
    side, view = ("L", "R")[rng.integers(2)], ("CC", "MLO")[rng.integers(2)]
    pixels = render_view(case, side, view, height=size[1], width=size[0], labels=False).pixels
    grey = (pixels / pixels.max() * 250).astype(np.uint8)
    if not inverted:
        return film(Image.fromarray(grey), rng, f"{side} {view}", label)
    framed = rng.random() < 0.4
    image = film(Image.fromarray((1 - grey / 300) * (255 if framed else 230)), rng, f"{side} {view}", label)
    if framed:
        ImageDraw.Draw(image).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=0, width=2)
    return image


def film(image, rng, letters, label=None):
    """A film with its label in the corner that is furthest from the breast."""
    image = image.convert("L")
    draw = ImageDraw.Draw(image)
    dark = np.asarray(image)[:40].mean() < 128
    font = ImageFont.load_default(max(14, image.width // 12))
    wide, high = draw.textbbox((0, 0), letters, font)[2:]
    left = np.asarray(image)[: image.height // 4, : image.width // 2].mean()
    right = np.asarray(image)[: image.height // 4, image.width // 2 :].mean()
    x = 8 if (left < right) == dark else image.width - wide - 12
    if label == "plate":
        draw.rectangle((x - 4, 6, x + wide + 4, 14 + high), fill=235 if dark else 15)
    if label:
        draw.text((x, 8), letters, fill=255 if dark and label == "letters" else 0, font=font)
    return image


def histology(rng, size=(420, 320)):
    """Pink tissue with violet nuclei and white gaps (RGB)."""
    noise = rng.normal(size=(size[1], size[0]))
    tissue, gaps, nuclei = (gaussian_filter(noise * k, s) for k, s in ((1, 6), (-1, 14), (1, 2.2)))
    red = 232 + 12 * tissue / tissue.std()
    rgb = np.stack([red, red - 68 + 10 * tissue / tissue.std(), red - 30], -1)
    rgb[gaps > 1.4 * gaps.std()] = (250, 246, 249)
    rgb[nuclei > 1.6 * nuclei.std()] = (112, 62, 140)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def drawing(rng, size=(420, 320), frame=True):
    """Thin black lines on white, with words at them."""
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    wide, high = size
    for k in range(4):
        draw.arc(
            (30 + 16 * k, 20 + 12 * k, wide - 60 - 10 * k, high - 16 - 10 * k), 250, 110, fill=0, width=2
        )
    for k in range(7):
        y = 60 + k * (high - 120) // 6
        draw.line((wide - 90, high // 2, 70 + int(rng.integers(60)), y), fill=0, width=2)
    font = ImageFont.load_default(15)
    for word, x, y in (("nipple", wide - 74, high // 2 - 8), ("duct", 60, 40), ("muscle", 24, high - 40)):
        draw.text((x, y), word, fill=0, font=font)
    if frame:
        draw.rectangle((0, 0, wide - 1, high - 1), outline=0, width=2)
    return image


def ultrasound(rng, size=(400, 320)):
    """A grey fan on black with small white letters."""
    y, x = np.mgrid[: size[1], : size[0]]
    radius, angle = np.hypot(x - size[0] / 2, y + 60), np.arctan2(x - size[0] / 2, y + 60)
    fan = (radius > 90) & (radius < size[1] + 30) & (abs(angle) < 0.62)
    echo = gaussian_filter(rng.gamma(1.2, 60, fan.shape), 1.2) * fan
    image = Image.fromarray(np.clip(echo, 0, 255).astype(np.uint8))
    ImageDraw.Draw(image).text((8, 6), "L12-5  MI 0.9", fill=230, font=ImageFont.load_default(14))
    return image


# ---- setting


def hyphenated(word):
    """(head with a hyphen, tail) of a long word, from the longest head."""
    if "-" not in word and re.fullmatch(r"[a-z]{8,}[.,;:]?", word):
        for cut in range(len(word) - 4, 3, -1):
            if word[cut - 1] in "aeiou" and word[cut] not in "aeiou":
                yield word[:cut] + "-", word[cut:]


@dataclass
class Sheet:
    """One page. fonts: (roman, bold) files; boxes and captions of what was set as figures are remembered."""

    width: float
    height: float
    fonts: tuple[str, str]
    number: int = 1
    figures: list[dict] = field(default_factory=list)

    def __post_init__(self):
        self.image = Image.new("RGB", (round(self.width * DPI / 72), round(self.height * DPI / 72)), "white")
        self.draw = ImageDraw.Draw(self.image)

    def font(self, size, bold=False):
        return ImageFont.truetype(self.fonts[bold], round(size * DPI / 72))

    def text(self, x, y, width, text, size=9.0, leading=1.25, bold=0, justify=False, hyphenate=True, color=0):
        """Set a paragraph with its top left corner at (x, y), the first `bold` words bold → y below it."""
        fonts = self.font(size), self.font(size, True)
        lines = self._wrap([(w, fonts[i < bold]) for i, w in enumerate(text.split())], width, hyphenate)
        for i, line in enumerate(lines):
            natural = sum(font.getlength(word) for word, font in line)
            blank = fonts[0].getlength(" ")
            if justify and i + 1 < len(lines) and len(line) > 1:
                blank = (width * DPI / 72 - natural) / (len(line) - 1)
            left = x * DPI / 72
            for word, font in line:
                self.draw.text((left, (y + size) * DPI / 72), word, fill=(color,) * 3, font=font, anchor="ls")
                left += font.getlength(word) + blank
            y += size * leading
        return y

    def _wrap(self, words, width, hyphenate):
        limit, lines, line = width * DPI / 72, [], []
        words = words[::-1]
        while words:
            word, font = words.pop()
            used = sum(f.getlength(w) + f.getlength(" ") for w, f in line)
            if not line or used + font.getlength(word) <= limit:
                line.append((word, font))
                continue
            cuts = hyphenated(word) if hyphenate else ()
            cut = next((c for c in cuts if used + font.getlength(c[0]) <= limit), None)
            if cut:
                line.append((cut[0], font))
            lines.append(line)
            line = []
            words.append((cut[1] if cut else word, font))
        return [*lines, line]

    def picture(self, box, image):
        """Paste a picture; → its truth entry."""
        x0, y0, x1, y1 = (round(v * DPI / 72) for v in box)
        self.image.paste(image.convert("RGB").resize((x1 - x0, y1 - y0), Image.Resampling.BICUBIC), (x0, y0))
        return {"box": box, "thumbnail": thumbnail(image)}

    def panels(self, x, y, width, images, columns=1, gap=6.0, gutter=None):
        """Pictures of one height a row, `width` together → (truth entries, y below). gutter: its grey level."""
        entries = []
        for start in range(0, len(images), columns):
            row = images[start : start + columns]
            room = width - gap * (len(row) - 1)
            high = room / sum(image.width / image.height for image in row)
            if gutter is not None:
                self.draw.rectangle([round(v * DPI / 72) for v in (x, y, x + width, y + high)], (gutter,) * 3)
                if start:
                    strip = (x, y - gap, x + width, y)
                    self.draw.rectangle([round(v * DPI / 72) for v in strip], (gutter,) * 3)
            left = x
            for image in row:
                wide = high * image.width / image.height
                entries.append(self.picture((left, y, left + wide, y + high), image))
                left += wide + gap
            y += high + gap
        return entries, y - gap

    def figure(self, number, caption, entries):
        """Remember a figure (caption without its label)."""
        self.figures.append(
            {
                "figure": number,
                "caption": caption,
                "page": self.number,
                "n_images": len(entries),
                "boxes": [entry["box"] for entry in entries],
                "thumbnails": [entry["thumbnail"] for entry in entries],
            }
        )


# ---- scanning


@dataclass(frozen=True)
class Spoil:
    """What a scanner and a book do to a page. paper: RGB; edge: points of black at the right and lower side."""

    dpi: int = 300
    skew: float = 0.0
    paper: tuple[int, int, int] = (246, 246, 246)
    ink: int = 25
    blur: float = 0.6
    noise: float = 3.0
    specks: int = 0
    edge: float = 0.0
    through: float = 0.0
    shade: float = 0.0
    jpeg: int = 75


def scan(image, spoil, seed, behind=None):
    """A clean page → the JPEG of its scan. behind: the page on the other side of the paper, if it shows through."""
    rng = np.random.default_rng(seed)
    size = tuple(round(v * spoil.dpi / DPI) for v in image.size)
    page = np.asarray(image.resize(size, Image.Resampling.BOX), np.float32) / 255
    if behind is not None and spoil.through:
        back = ImageOps.mirror(behind).resize(size, Image.Resampling.BOX)
        back = gaussian_filter(np.asarray(back.convert("L"), np.float32) / 255, 2.0 * spoil.dpi / DPI)
        page = np.minimum(page, 1 - spoil.through * (1 - back)[..., None])
    light = spoil.ink + (np.array(spoil.paper, np.float32) - spoil.ink) * page
    if spoil.shade:
        light *= (1 - spoil.shade * np.exp(-np.linspace(0, 6, size[0])))[None, :, None]
    for _ in range(spoil.specks):
        y, x = rng.integers(0, size[1] - 4), rng.integers(0, size[0] - 4)
        light[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = rng.uniform(20, 120)
    turned = Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)).rotate(
        spoil.skew, Image.Resampling.BICUBIC, fillcolor=(12,) * 3 if spoil.edge else spoil.paper
    )
    out = np.array(turned, np.float32)
    black = round(spoil.edge * spoil.dpi / 72)
    if black:
        out[-black // 2 :], out[:, -black:] = 14, 14
    out = gaussian_filter(out, (spoil.blur * spoil.dpi / DPI,) * 2 + (0,))
    out += rng.normal(0, spoil.noise, out.shape[:2])[..., None]
    buffer = io.BytesIO()
    Image.fromarray(np.clip(out, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=spoil.jpeg)
    return buffer.getvalue()


def write_scans(path, sheets, spoil, seed=0):
    """A PDF of the sheets' scans → the planted figures. spoil: one Spoil, or one for each sheet."""
    spoils = spoil if isinstance(spoil, list) else [spoil] * len(sheets)
    document = pymupdf.open()
    for i, (sheet, spoilt) in enumerate(zip(sheets, spoils, strict=True)):
        page = document.new_page(width=sheet.width, height=sheet.height)
        behind = (
            sheets[i - 1].image if len(sheets) > 1 and sheets[i - 1].image.size == sheet.image.size else None
        )
        page.insert_image(
            page.rect, stream=scan(sheet.image, spoilt, seed + i, behind), keep_proportion=False
        )
    document.save(path)
    return [figure for sheet in sheets for figure in sheet.figures]
