"""Zero-shot classification of embedded images by prompts, and prompts from a file of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from modeling_mamclip import MamClipModel
from processing import PROMPT_SETS, MamClipProcessor, Prompts, read_prompts

from .embedding import embed_texts


@torch.inference_mode()
def zero_shot_scores(
    model: MamClipModel, processor: MamClipProcessor, images: Tensor, prompts: Prompts
) -> np.ndarray:
    """Embeddings of images (N, P), of length 1 → scores (N, L) float32 in [0, 1], as the travelling pipeline's."""
    phrases = [phrase for group in prompts.phrasings for phrase in group]
    texts = prompts.embeddings(embed_texts(model, processor, phrases))
    logits = model.compare_embeds(images.to(model.device), texts.to(model.device))
    return prompts.scores(logits).cpu().numpy()


def as_mapping(prompts: Prompts) -> dict[str, Any]:
    """Prompts → the mapping that they can be read from, in plain lists: what a YAML file has under the task."""
    phrasings = [list(group) for group in prompts.phrasings]
    if not prompts.separate:
        return dict(zip(prompts.labels, phrasings, strict=True))
    half = len(prompts.labels)
    both = zip(prompts.labels, phrasings[:half], phrasings[half:], strict=True)
    return {label: {"present": present, "absent": absent} for label, present, absent in both}


def prompt_sets(file: str | Path | None, tasks: Iterable[str]) -> dict[str, Prompts]:
    """Task → its prompts: those of a YAML file as far as it has them, ours for the other tasks.

    The file has task → label → phrasings, or for findings task → label → present and absent → phrasings. Labels of
    BI-RADS and density are the classes, all of them; findings may be some of ours. Labels come in our order.

    Raises FileNotFoundError where there is no file, ValueError for what is none of that.
    """
    own = {} if file is None else _read_file(Path(file))
    return {task: read_prompts(own.get(task, PROMPT_SETS[task])) for task in tasks}


def _read_file(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"the prompts {path} do not exist; give the path of a YAML file.")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no readable YAML file: {error}") from error
    if not isinstance(given, dict) or not given:
        raise ValueError(f"{path} holds no prompts; expected task, label and phrasings under one another.")
    _check_names(given, PROMPT_SETS, f"{path} has the task")
    for task, labels in given.items():
        _check_task(task, labels, path)
    return {
        task: {name: given[task][name] for name in PROMPT_SETS[task] if name in given[task]} for task in given
    }


def _check_task(task: str, labels: Any, path: Path) -> None:
    if not isinstance(labels, dict):
        raise ValueError(f"{path} has no labels under {task!r}; expected each label with its phrasings.")
    _check_names(labels, PROMPT_SETS[task], f"{path} has under {task!r} the label")
    prompts, ours = read_prompts(labels), read_prompts(task)
    if prompts.separate != ours.separate:
        expected = "phrasings for present and for absent" if ours.separate else "a list of phrasings"
        raise ValueError(f"{path} has other prompts under {task!r} than the task needs; expected {expected}.")
    missing = [label for label in ours.labels if label not in labels]
    if missing and not ours.separate:
        raise ValueError(
            f"{path} has no prompts for {missing[0]!r} under {task!r}; give some for each class."
        )


def _check_names(given: Iterable[Any], known: Iterable[str], where: str) -> None:
    for name in given:
        if name not in known:
            nearest = get_close_matches(str(name), known, n=1, cutoff=0.0)[0]
            raise ValueError(f"{where} {name!r}, which does not exist; did you mean {nearest!r}?")
