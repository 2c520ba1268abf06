"""What a release gives on fixed inputs; imported by release_check.py, and run as a program in a fresh process:

    python -P training/opened_release.py RELEASE INPUTS.json OUTPUT.safetensors

The program opens RELEASE as a user does, through every Auto class and pipeline that its config.json names, and imports
nothing of this project: the packages that INPUTS names cannot be imported in it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

IGNORED = -100  # of transformers' losses
Inputs = Mapping[str, Any]  # "image": path of a file; "captions": texts; "blocked": names of packages


def prepared(processor: Any, inputs: Inputs) -> dict[str, Tensor]:
    """What the processor makes of the image and the captions: pixel_values (1, 3, H, W), input_ids (B, T), …"""
    both = processor(images=inputs["image"], text=list(inputs["captions"]), return_tensors="pt")
    return {name: both[name] for name in ("pixel_values", "input_ids", "attention_mask")}


def tokens(tokenizer: Any, inputs: Inputs) -> dict[str, Tensor]:
    return {"input_ids": tokenizer(list(inputs["captions"]), padding=True, return_tensors="pt")["input_ids"]}


def pixels(images: Any, inputs: Inputs) -> dict[str, Tensor]:
    return {"pixel_values": images(inputs["image"], return_tensors="pt")["pixel_values"]}


@torch.no_grad()
def model_outputs(auto: str, model: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of a model that an Auto class of this name opens, on what `prepared` gives."""
    if auto == "AutoModelForImageClassification":
        output = model(batch["pixel_values"])
        return {"logits": output.logits, "density_logits": output.density_logits}
    if auto == "AutoModelForPreTraining":
        return _pretraining_outputs(model, batch)
    output = model(**batch)
    names = ("image_embeds", "text_embeds", "logits_per_image")
    return {name: output[name] for name in names}


def _pretraining_outputs(model: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every word is predicted, so that fusion and masked-language head have their say."""
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)
    images = batch["pixel_values"].expand(len(labels), -1, -1, -1)
    output = model(**{**batch, "pixel_values": images}, mlm_labels=labels)
    return {name: value for name, value in output.items() if isinstance(value, Tensor)}


def pipeline_outputs(task: str, pipe: Any, inputs: Inputs) -> dict[str, Tensor]:
    """Label → score (), from the image's file."""
    if task == "image-classification":
        both = pipe(inputs["image"], density=True)
        return {**_scores("birads", both["birads"]), **_scores("density", both["density"])}
    captions, findings = inputs["captions"], "findings"
    return {
        **_scores("caption", pipe(inputs["image"], candidate_labels=list(captions))),
        **_scores("finding", pipe(inputs["image"], candidate_labels=findings)),
    }


def _scores(kind: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    return {f"{kind} {entry['label']}": torch.tensor(entry["score"]) for entry in entries}


def named(beginning: str, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{beginning}: {name}": value for name, value in outputs.items()}


# ---- the program


class Blocker:
    """Refuses to import some packages, which an editable install would find from everywhere."""

    def __init__(self, names: Sequence[str]):
        self.names = set(names)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"the release needs {name}, which its users do not have")


def look(release: str, inputs: Inputs) -> dict[str, Tensor]:
    """Everything that the release serves, on the inputs. Raises ValueError for weights that do not fit."""
    open_with = {"trust_remote_code": True}
    config = json.loads(Path(release, "config.json").read_text(encoding="utf-8"))
    _expect_carried(transformers.AutoConfig.from_pretrained(release, **open_with))
    processor = transformers.AutoProcessor.from_pretrained(release, **open_with)
    images = transformers.AutoImageProcessor.from_pretrained(release, **open_with)
    tokenizer = transformers.AutoTokenizer.from_pretrained(release, **open_with)
    _expect_carried(processor, images)
    batch = prepared(processor, inputs)
    seen = named("AutoProcessor", batch)
    seen |= named("AutoTokenizer", tokens(tokenizer, inputs))
    seen |= named("AutoImageProcessor", pixels(images, inputs))
    for auto in config["auto_map"]:
        if auto.startswith("AutoModel"):
            seen |= named(auto, model_outputs(auto, _whole_model(auto, release), batch))
    for task in config["custom_pipelines"]:
        pipe = transformers.pipeline(task, model=release, device="cpu", **open_with)
        _expect_carried(pipe)
        seen |= named(f"pipeline {task}", pipeline_outputs(task, pipe, inputs))
    return seen


def _whole_model(auto: str, release: str) -> Any:
    model, report = getattr(transformers, auto).from_pretrained(
        release, trust_remote_code=True, output_loading_info=True
    )
    _expect_carried(model)
    for kind, names in report.items():
        if names:
            raise ValueError(
                f"{auto} finds {kind.replace('_', ' ')} in the weights: {sorted(map(str, names))[0]}"
            )
    return model


def _expect_carried(*things: Any) -> None:
    """Their code must be the release's own."""
    for thing in things:
        module = type(thing).__module__
        if not module.startswith("transformers_modules."):
            raise ValueError(f"{type(thing).__name__} comes from {module}, not from the release's own code")


def expect_blocked(names: Sequence[str]) -> None:
    for name in names:
        try:
            import_module(name)
        except ImportError:
            continue
        raise ValueError(f"the package {name} can be imported, so that nothing would be proved")


def main(release: str, inputs_file: str, output: str) -> None:
    inputs = json.loads(Path(inputs_file).read_text(encoding="utf-8"))
    sys.meta_path.insert(0, Blocker(inputs["blocked"]))
    expect_blocked(inputs["blocked"])
    transformers.logging.set_verbosity_error()
    seen = look(release, inputs)
    save_file({name: value.contiguous() for name, value in seen.items()}, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
