"""A release is opened in a fresh process before it gets its name, and has to give what its models give here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import modeling_mamclip
import processing
from modeling_mamclip import MamClipConfig

from . import opened_release
from .initialization import quiet
from .opened_release import Inputs, model_outputs, named, pipeline_outputs, pixels, prepared, tokens

TOLERANCE = 1e-5
CAPTIONS = ("a spiculated mass in the left breast", "normal mammogram", "density C")
CHECKOUT = Path(__file__).resolve().parent.parent
PIPES = {
    "image-classification": processing.MamClipImageClassificationPipeline,
    "zero-shot-image-classification": processing.MamClipZeroShotImageClassificationPipeline,
}


@dataclass(frozen=True)
class Sources:
    """What a release was made of: the folders of the two models (the second may be missing) and of the processor."""

    pretrained: str | Path
    classifier: str | Path | None
    processor: str | Path

    def of(self, auto: str) -> str | Path | None:
        return self.classifier if auto == "AutoModelForImageClassification" else self.pretrained


def check_release(folder: str | Path, sources: Sources) -> None:
    """Compare the release in `folder`, opened in a fresh process, with its sources, opened in this one.

    The process starts in an empty folder, without network, and none of this project's packages can be imported in it.
    Everything that config.json names is opened; processor, tokenizer, all encoders and heads, and both pipelines have
    to agree within 1e-5 on a synthetic film and three captions.

    Raises ValueError, which says what does not open or by how much which output differs.
    """
    with tempfile.TemporaryDirectory(prefix="mamclip-check-") as work:
        inputs = fixed_inputs(Path(work))
        seen = open_elsewhere(Path(folder).resolve(), Path(work), inputs)
        compare(expected_outputs(Path(folder), sources, inputs), seen)


def fixed_inputs(work: Path) -> Inputs:
    """A film of 16 bits, drawn by a formula, three captions, and what must not be importable."""
    y, x = np.mgrid[:400, :300]
    breast = ((y - 200) / 170) ** 2 + (x / 210) ** 2 < 1
    film = np.where(breast, 12_000 + 30 * x + 20 * y + 9_000 * np.sin(x / 7) * np.cos(y / 11), 200)
    Image.fromarray(film.astype(np.uint16)).save(work / "film.png")
    packages = sorted(file.parent.name for file in CHECKOUT.glob("*/__init__.py"))
    return {"image": str(work / "film.png"), "captions": CAPTIONS, "blocked": [*packages, "train_scripts"]}


def open_elsewhere(release: Path, work: Path, inputs: Inputs) -> dict[str, Tensor]:
    """What opened_release.py sees of a release. Raises ValueError with its last words where it fails."""
    (work / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    (work / "empty").mkdir()
    program = [sys.executable, "-P", opened_release.__file__]
    arguments = [release, work / "inputs.json", work / "seen.safetensors"]
    done = subprocess.run(
        [*program, *map(str, arguments)],
        cwd=work / "empty",
        env=_environment(work),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ValueError(
            f"the release does not open in a process without this project ({words[-1]}); nothing was written."
        )
    return load_file(work / "seen.safetensors")


def _environment(work: Path) -> dict[str, str]:
    """This process's, but offline, without a GPU, and with caches of its own."""
    home = str(work / "home")
    own = {"HF_HOME": home, "HF_MODULES_CACHE": f"{home}/modules", "HF_HUB_CACHE": f"{home}/hub"}
    return {**os.environ, **own, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}


def expected_outputs(folder: Path, sources: Sources, inputs: Inputs) -> dict[str, Tensor]:
    """The same outputs, of the sources and by the code of this process."""
    fields = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    processor = processing.MamClipProcessor.from_pretrained(str(sources.processor))
    batch = prepared(processor, inputs)
    found = named("AutoProcessor", batch)
    found |= named("AutoTokenizer", tokens(processor.tokenizer, inputs))
    found |= named("AutoImageProcessor", pixels(processor.image_processor, inputs))
    for auto, ours in fields["auto_map"].items():
        if auto.startswith("AutoModel"):
            model = _source_model(ours, sources.of(auto), fields)
            found |= named(auto, model_outputs(auto, model, batch))
            for task, entry in fields["custom_pipelines"].items():
                if auto in entry["pt"]:
                    pipe = _pipeline(task, model, processor)
                    found |= named(f"pipeline {task}", pipeline_outputs(task, pipe, inputs))
    return found


def _source_model(ours: str, folder: str | Path | None, fields: Mapping):
    """The model of a source, with the temperatures that the release was given."""
    kind = getattr(modeling_mamclip, ours.partition(".")[2])
    with quiet("transformers"):
        model = kind.from_pretrained(str(folder)).eval()
    config: MamClipConfig = model.config
    config.birads_temperature = fields["birads_temperature"]
    config.density_temperature = fields["density_temperature"]
    return model


def _pipeline(task: str, model, processor: processing.MamClipProcessor):
    parts = {"image_processor": processor.image_processor, "tokenizer": processor.tokenizer}
    return PIPES[task](model=model, device=torch.device("cpu"), **parts)


def compare(expected: Mapping[str, Tensor], seen: Mapping[str, Tensor]) -> None:
    """Raises ValueError for the first output that is missing, of another shape, or differs by more than 1e-5."""
    if expected.keys() != seen.keys():
        name = sorted(expected.keys() ^ seen.keys())[0]
        raise ValueError(
            f"{name} is given by the release or by its models, not by both; nothing was written."
        )
    for name, value in expected.items():
        if value.shape != seen[name].shape:
            raise ValueError(
                f"{name} has the shape {tuple(seen[name].shape)} in a fresh process, expected {tuple(value.shape)}; "
                "nothing was written."
            )
        if not torch.allclose(seen[name].double(), value.double(), rtol=TOLERANCE, atol=TOLERANCE):
            apart = float((seen[name].double() - value.double()).abs().max())
            raise ValueError(
                f"{name} differs by {apart:.2g} between a fresh process and the models that the release was made "
                f"of, expected at most {TOLERANCE:g}; nothing was written."
            )
