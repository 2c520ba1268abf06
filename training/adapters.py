"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) on the encoders, by the library peft.

An adapted encoder keeps its weights; every one of its matrices W learns a product of two thin ones beside it,
W + alpha / rank · B A. The adapters are put into the model itself (`peft.inject_adapter_in_model`), which stays of its
class: so Trainer, checkpoints, learning rates by part and gradient scaling are those of any other run. When training
has ended, they are written by themselves in peft's format and then merged, so that the result is an ordinary model.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from .classification_options import ClassificationOptions
from .data_terms import provenance_lines
from .initialization import name_of
from .options import TrainingOptions
from .pretraining_options import PretrainingOptions

ADAPTER = "adapter"  # the folder beside a run's model
WEIGHTS = "adapter_model.safetensors"
TOWERS = {"text": ("text_model.encoder",), "vision": ("vision_model.trunk", "classifier_vision_model.trunk")}


def add_adapters(model: PreTrainedModel, options: TrainingOptions) -> None:
    """Put adapters on the encoders that `options.lora` names, and freeze their own weights; nothing else changes.

    model: a MamClipForPreTraining or MamClipForImageClassification; its configuration's provenance says what was done.
    Raises ValueError for an encoder without a layer that could be adapted.
    """
    if not options.lora:
        return
    from peft import LoraConfig, inject_adapter_in_model

    towers = {name: _tower(model, name) for name in options.lora}
    trained = [p for p in model.parameters() if p.requires_grad]
    frozen = {id(p) for path in towers.values() for p in model.get_submodule(path).parameters()}
    config = LoraConfig(
        r=options.lora_rank,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=[layer for name, path in towers.items() for layer in _matrices(model, name, path)],
    )
    inject_adapter_in_model(config, model)  # freezes whatever was there
    for parameter in trained:
        parameter.requires_grad_(id(parameter) not in frozen)
    model.config.provenance = {**model.config.provenance, f"{_stage(options)}_lora": describe(options)}


def lora_facts(model: nn.Module, options: TrainingOptions) -> dict[str, Any]:
    """What results.json says about the adapters of a model that still has them; empty without."""
    if not options.lora:
        return {}
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    adapters = sum(p.numel() for name, p in model.named_parameters() if ".lora_" in name)
    facts = {"encoders": options.lora, "rank": options.lora_rank, "alpha": options.lora_alpha}
    facts |= {"dropout": options.lora_dropout, "adapter_parameters": adapters, "trained_parameters": trained}
    return {"lora": facts}


def describe(options: TrainingOptions) -> str:
    """The adapters in a few words, for provenance and READMEs."""
    return f"rank {options.lora_rank}, alpha {options.lora_alpha}, on {' and '.join(options.lora)}"


def write_adapter(model: PreTrainedModel, folder: Path, options: TrainingOptions) -> None:
    """Write all that was trained into a folder that `peft.PeftModel.from_pretrained(base, folder)` opens.

    Adapters, and whole modules that were trained beside them (peft's modules_to_save). A classifier's names are those
    of the class that a pretraining or release folder opens as, with the aligned encoder under its heads.
    """
    from peft import LoraConfig, get_peft_model_state_dict

    whole = list(_trained_modules(model))
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    layers = {name.rpartition(".lora_")[0] for name in tensors}
    tensors |= dict(_others(model, whole))
    config = LoraConfig(r=options.lora_rank, lora_alpha=options.lora_alpha, lora_dropout=options.lora_dropout)
    config.target_modules, config.modules_to_save = (
        sorted(map(_aligned, names)) for names in (layers, whole)
    )
    config.inference_mode, config.base_model_name_or_path = True, _base_name(options)
    folder.mkdir()
    config.save_pretrained(folder)
    ready = {f"base_model.model.{_aligned(name)}": t.cpu().contiguous() for name, t in tensors.items()}
    save_file(ready, folder / WEIGHTS, metadata={"format": "pt"})
    described = deepcopy(model.config)
    described.classifier_encoder = "shared"
    described.save_pretrained(folder)
    (folder / "README.md").write_text(_card(model, options), encoding="utf-8")


def merge_adapters(model: nn.Module) -> None:
    """Add every adapter's product to its matrix; what remains is the model as it was built."""
    for name, module in list(model.named_modules()):
        if hasattr(module, "lora_A"):
            module.merge()
            model.set_submodule(name, module.get_base_layer())
    del model.peft_config


def _stage(options: TrainingOptions) -> str:
    return "pretraining" if isinstance(options, PretrainingOptions) else "classification"


def _tower(model: nn.Module, name: str) -> str:
    """Where the encoder lies in the model, without its projection."""
    return next(path for path in TOWERS[name] if hasattr(model, path.partition(".")[0]))


def _matrices(model: nn.Module, name: str, path: str) -> list[str]:
    """The full names of an encoder's linear layers, whatever it calls them."""
    found = [
        f"{path}.{key}" for key, module in model.get_submodule(path).named_modules() if _is_matrix(module)
    ]
    if not found:
        raise ValueError(
            f"the {name} encoder has no linear layer that could be adapted; leave {name} out of lora."
        )
    return found


def _is_matrix(module: nn.Module) -> bool:
    """A linear layer, or the convolution of single pixels that some networks have in its place."""
    if isinstance(module, nn.Conv2d):
        return module.kernel_size == (1, 1) and module.groups == 1
    return isinstance(module, nn.Linear)


def _trained_modules(module: nn.Module, path: str = "") -> Iterator[str]:
    """The largest modules of which everything is trained, adapters left out."""
    for name, child in module.named_children():
        whole = [p.requires_grad for p in child.parameters()]
        if whole and all(whole):
            yield f"{path}{name}"
        elif not hasattr(child, "lora_A"):
            yield from _trained_modules(child, f"{path}{name}.")


def _others(model: nn.Module, whole: list[str]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of modules that were trained as wholes, and the temperature, which is no module.

    peft opens a single parameter without being told of it in modules_to_save.
    """
    for path in whole:
        yield from ((f"{path}.{key}", t) for key, t in model.get_submodule(path).state_dict().items())
    yield from ((name, p.detach()) for name, p in model.named_parameters(recurse=False) if p.requires_grad)


def _aligned(name: str) -> str:
    """A classifier's own encoder under the name of the aligned one that it came from."""
    return name.replace("classifier_vision_model.", "vision_model.", 1)


def _base_name(options: TrainingOptions) -> str | None:
    """The folder of the model that was adapted; None for a new one, which two public encoders were copied into."""
    encoder = getattr(options, "encoder", None)
    return None if encoder is None else name_of(encoder)


def _card(model: PreTrainedModel, options: TrainingOptions) -> str:
    """The adapter's README: what it is, and a program that opens it."""
    facts = lora_facts(model, options)["lora"]
    origin = "\n".join(provenance_lines(model.config.provenance))
    base = _base_name(options)
    lines = _opened_base(base) if base else _new_base(type(model).__name__, options)
    return CARD.format(
        described=describe(options),
        adapters=facts["adapter_parameters"] / 1e6,
        others=(facts["trained_parameters"] - facts["adapter_parameters"]) / 1e6,
        origin=origin,
        base="\n".join(lines),
    )


def _opened_base(name: str) -> list[str]:
    opened = f'AutoModelForImageClassification.from_pretrained("{name}", classifier_encoder="shared"'
    return [
        "from transformers import AutoModelForImageClassification",
        "",
        "import modeling_mamclip  # not needed where the base is a release folder",
        "",
        f"base = {opened}, trust_remote_code=True)",
    ]


def _new_base(kind: str, options: PretrainingOptions | ClassificationOptions) -> list[str]:
    weights = {"vision": options.vision_weights, "text": getattr(options, "text_weights", None)}
    kept = {*options.lora, *(["text"] if getattr(options, "frozen_text_layers", 0) else [])}
    names = {tower: name_of(weights[tower]) for tower in sorted(kept)}
    load = {
        "vision": 'load_vision_weights(base.vision_model, base.config.vision_config, "{}")',
        "text": 'load_text_weights(base.text_model.encoder, "{}")',
    }
    return [
        f"from modeling_mamclip import MamClipConfig, {kind}",
        f"from training.initialization import {', '.join(f'load_{tower}_weights' for tower in sorted(names))}",
        "",
        f'base = {kind}(MamClipConfig.from_pretrained("adapter"))',
        *(load[tower].format(name) for tower, name in names.items()),
    ]


CARD = """---
library_name: peft
tags: [lora, mammography]
---

# Low-rank adapters for MAM-CLIP

LoRA of {described}: {adapters:.2f} million parameters, and {others:.2f} million of whole modules that were trained
beside them. Research use only, not a medical device. The model was made from:

{origin}

Open it, with the base's weights in reach:

```python
from peft import PeftModel
{base}
model = PeftModel.from_pretrained(base, "adapter").merge_and_unload()
```
"""
