"""Measured numbers on their way into a model card: tables for readers, and a model-index for the Hub."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import EvalResult

TITLES = {"image-classification": "Image classification", "image-text-retrieval": "Image–text retrieval"}


@dataclass(frozen=True)
class Measured:
    """Numbers of one task on one set of images.

    task: of the Hub, a key of TITLES. data: what the images are called. about: a sentence on how many there are and
    what the intervals are over. scores: {"name", "metric" (the Hub's name of it), "value", "interval" ([low, high] of
    95 %, or None)}. subgroups: tables in Markdown. unmeasured: sentences on subgroups that there are no scores of.
    """

    task: str
    data: str
    about: str
    scores: Sequence[Mapping[str, Any]]
    subgroups: Sequence[str] = ()
    unmeasured: Sequence[str] = field(default_factory=tuple)

    def defined(self) -> list[Mapping[str, Any]]:
        """The scores that are numbers."""
        return [
            score for score in self.scores if score["value"] is not None and math.isfinite(score["value"])
        ]


def score_table(measured: Measured) -> str:
    """Name, value and interval of each score."""
    rows = [
        f"| {score['name']} | {score['value']:.3f} | {interval_text(score) or '–'} |"
        for score in measured.defined()
    ]
    return "\n".join(["| measure | value | 95 % interval |", "| --- | ---: | ---: |", *rows])


def interval_text(score: Mapping[str, Any]) -> str:
    """[0.790, 0.833], or nothing where there is none."""
    bounds = score.get("interval")
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""


def eval_results(results: Sequence[Measured], *, phantom: bool) -> list[EvalResult]:
    """The model-index; its intervals are in the metrics' names, since it has no field for them."""
    return [_eval_result(measured, score, phantom) for measured in results for score in measured.defined()]


def _eval_result(measured: Measured, score: Mapping[str, Any], phantom: bool) -> EvalResult:
    interval = interval_text(score)
    data = f"{measured.data}, phantom mammograms (synthetic)" if phantom else measured.data
    return EvalResult(
        task_type=measured.task,
        task_name=TITLES[measured.task],
        dataset_type="phantom" if phantom else slug(measured.data),
        dataset_name=data,
        metric_type=score["metric"],
        metric_name=f"{score['name']}, 95 % interval {interval}" if interval else score["name"],
        metric_value=round(score["value"], 4),
    )


def slug(text: str) -> str:
    """Lower-case words with hyphens between them, as the Hub has its identifiers."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
