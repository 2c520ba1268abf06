"""Phantoms for the tests: patients of a density, breasts with the findings that a test wants, small pictures."""

from dataclasses import replace
from itertools import count, islice

import numpy as np

from dataset_builders.phantom.anatomy import outline
from dataset_builders.phantom.case import Breast, draw_case
from dataset_builders.phantom.findings import Finding
from dataset_builders.phantom.grids import FIELD_HEIGHT, Grid
from dataset_builders.phantom.render import render_view

ROWS = 320  # of the pictures, unless a test needs another number
PLACE = {"outer": 0.35, "upper": 0.4, "depth": 0.45}


def healthy(density, number, seed=1):
    """The first patients of a density that have no findings."""
    cases = (draw_case(seed, index, birads=1) for index in count())
    return list(islice((case for case in cases if case.density == density), number))


def finding(kind, size_mm=24.0, **words):
    return Finding(kind, **{**PLACE, "size_mm": size_mm, **words})


def mass(margin="circumscribed", shape="oval", density="equal", **words):
    return finding("mass", **{"margin": margin, "shape": shape, "density": density, **words})


def calcifications(morphology="fine pleomorphic", distribution="grouped", **words):
    return finding("calcifications", morphology=morphology, distribution=distribution, **words)


def with_findings(case, laterality, *findings):
    """The same patient, but for the findings of one breast."""
    breast = Breast(laterality, findings, 2)
    return replace(case, breasts={**case.breasts, laterality: breast})


def picture(case, laterality="L", view="CC", rows=ROWS, labels=False):
    return render_view(case, laterality, view, height=rows, width=rows * 3 // 4, labels=labels)


def pixels(case, *arguments, **options):
    """(H, W) float64 counts."""
    return picture(case, *arguments, **options).pixels.astype(np.float64)


def geometry(case, laterality="L", view="CC", rows=ROWS):
    """(outline, x, y): the breast's outline, and the mm of the pixels of its image from the chest wall and from
    above, (H, W) each; x is mirrored for a right breast, as its image is."""
    grid = Grid.covering_the_field(rows, rows * 3 // 4)
    x, y = np.broadcast_arrays(grid.x, grid.y)
    return outline(case, laterality, view), x[:, ::-1] if laterality == "R" else x, y


def change(case, one, laterality="L", view="CC", rows=ROWS):
    """What one finding changes in a view, in counts: (H, W) float64, exactly 0 where nothing."""
    bare, shown = with_findings(case, laterality), with_findings(case, laterality, one)
    return pixels(shown, laterality, view, rows) - pixels(bare, laterality, view, rows)


def around(case, one, laterality="L", view="CC", rows=ROWS):
    """(H, W) distance to a finding's centre, in its sizes."""
    shape, x, y = geometry(case, laterality, view, rows)
    centre = shape.place(one)
    return np.hypot(x - centre[0], y - centre[1]) / one.size_mm


def power_slope(square, pitch, low=0.1, high=0.8):
    """β of an (n, n) square's radial power spectrum f^−β from `low` to `high` cycles/mm, by a Hann window."""
    n = len(square)
    window = np.outer(np.hanning(n), np.hanning(n))
    power = np.abs(np.fft.fft2((square - square.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(n, pitch), np.fft.fftfreq(n, pitch)))
    rings = np.digitize(frequency, np.geomspace(low, high, 9))
    logs = [(np.log(frequency[rings == k]).mean(), np.log(power[rings == k].mean())) for k in range(1, 9)]
    return -np.polyfit(*np.transpose(logs), 1)[0]


def pitch_of(rows=ROWS):
    return FIELD_HEIGHT / rows
