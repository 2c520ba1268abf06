"""Pieces of HTML that show one mammogram, its scores and its maps, pictures included; words are escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import evaluation
from evaluation.pages import embedded_picture
from evaluation.report import bars
from modeling_mamclip import MamClipConfig

from .one_image import OneImage

HERE = Path(__file__).parent
TEMPLATE, STYLE = "one_image.jinja", "one_image.css"
CROP = "The breast, cut out"
SIDES = {"L": "left", "R": "right"}
TITLES = {"birads": "BI-RADS", "groups": "Three groups", "density": "Breast density"}
# The three groups by what is in them, which people need not know by heart.
GROUPS = {
    "benign": "benign (1, 2)",
    "incomplete": "incomplete (0)",
    "malignant": "malignant (4, 5)",
}
MEANINGS = {
    "findings": "Each finding is scored for itself, present against absent, from 0 to 1.",
    "classes": "The scores add up to 1: they say which of these fits best, not whether any of them does.",
}


def style() -> str:
    """CSS for all of the pieces."""
    return (HERE / STYLE).read_text(encoding="utf-8")


def notices(phantom: bool) -> str:
    """The head of the page: what this is, and what it is not."""
    return _pieces().notices(phantom)


def rules(megabytes: float) -> str:
    """What files may be dropped, and what becomes of them."""
    return _pieces().rules(f"{megabytes:g}")


def empty() -> str:
    """What stands where results will be."""
    return _pieces().empty()


def problem(said: str) -> str:
    """An error as one sentence."""
    return _pieces().problem(said)


def seen(image: OneImage, scores: Mapping[str, Mapping[str, float]], config: MamClipConfig) -> str:
    """The image and its crop, side by side, and the scores of `Reader.scores` as bars."""
    named = {**scores, "groups": {GROUPS[name]: score for name, score in scores["groups"].items()}}
    return _pieces().seen(
        {
            "about": _about(image),
            "warnings": image.warnings,
            "whole": embedded_picture(image.framed(), "The mammogram, with a frame around the breast"),
            "crop": embedded_picture(image.cropped(), CROP),
            "scores": [(TITLES[task], bars(named[task])) for task in TITLES],
            "calibration": _calibration(config),
        }
    )


def heat(image: OneImage, heat: np.ndarray, name: str) -> str:
    """A map over the model's input, (H, W) in [0, 1], on the crop, beside the crop alone; name: what it is of."""
    text = f"Heatmap of {name}"
    pictures = {
        "crop": embedded_picture(image.cropped(), CROP),
        "heat": embedded_picture(image.heated(heat), text),
    }
    return _pieces().heat({**pictures, "text": text, "blank": not heat.any()})


def fits(found: Sequence[tuple[str, float]], separate: bool) -> str:
    """Scores of sentences or prompts, as `Reader.compare` gives them. separate: whether each is scored for itself."""
    text = MEANINGS["findings" if separate else "classes"]
    return _pieces().fits("What fits the image", bars(dict(found)), text)


def captions(rows: Sequence[Mapping[str, Any]], phantom: bool) -> str:
    """The nearest captions, as `Reader.nearest` gives them."""
    return _pieces().captions(rows, phantom)


def _about(image: OneImage) -> list[str]:
    height, width = image.pixels.shape
    x0, y0, x1, y1 = image.placement.crop_box
    return [
        f"Laterality: {SIDES.get(image.laterality, 'not said')}",
        f"View: {image.view or 'not said'}",
        f"{width} × {height} pixels",
        f"crop {x1 - x0} × {y1 - y0}",
    ]


def _calibration(config: MamClipConfig) -> str:
    if config.birads_temperature == config.density_temperature == 1:
        return "Probabilities as the network gives them: this model carries no fitted temperatures."
    return (
        "Calibrated probabilities: logits are divided by temperatures that were fitted on validation images "
        f"(BI-RADS {config.birads_temperature:.2f}, density {config.density_temperature:.2f})."
    )


@cache
def _pieces() -> Any:
    """The template's macros."""
    environment = Environment(
        loader=FileSystemLoader([HERE, Path(evaluation.__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(TEMPLATE).module
