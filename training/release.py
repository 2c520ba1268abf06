"""One folder that serves every Auto class, without our packages: weights, code, processor, pipelines, model card."""

from __future__ import annotations

import inspect
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

import modeling_mamclip
import processing
from modeling_mamclip import MamClipConfig

from .card import model_card
from .initialization import WEIGHTS_FILE, read_weights

ALIGNED, HEADS = ("vision_model.", "text_model."), ("birads_head.", "density_head.")
# The Auto classes of a release: where our class is, and the tensors that it cannot do without.
MODELS = {
    "AutoModel": ("modeling_mamclip.MamClipModel", ALIGNED),
    "AutoModelForZeroShotImageClassification": ("modeling_mamclip.MamClipModel", ALIGNED),
    "AutoModelForPreTraining": ("modeling_mamclip.MamClipForPreTraining", ALIGNED),
    "AutoModelForImageClassification": ("modeling_mamclip.MamClipForImageClassification", HEADS),
}
IMAGE_PROCESSOR = "image_processing_mamclip.MamClipImageProcessor"
PROCESSOR = "processing_mamclip.MamClipProcessor"
PIPELINES = {
    "image-classification": {
        "impl": "pipeline_mamclip.MamClipImageClassificationPipeline",
        "pt": ["AutoModelForImageClassification"],
        "type": "image",
    },
    "zero-shot-image-classification": {
        "impl": "pipeline_mamclip.MamClipZeroShotImageClassificationPipeline",
        "pt": ["AutoModelForZeroShotImageClassification"],
        "type": "multimodal",
    },
}
# Fields of a configuration that only say how the classifier was made; all others must agree with the pretraining's.
CLASSIFIER_FIELDS = (
    *("classifier_encoder", "classifier_dropout", "birads_temperature", "density_temperature"),
    *("id2label", "label2id", "density_labels"),
)


def write_release(
    output: str | Path,
    *,
    pretrained: str | Path,
    classifier: str | Path | None = None,
    processor: str | Path | None = None,
    results: Mapping[str, float] | None = None,
    temperatures: Mapping[str, float] | None = None,
    phantom: bool = False,
    name: str = "MAM-CLIP",
) -> None:
    """Write a folder that `AutoModel`, `AutoModelForImageClassification` and `pipeline` open by themselves.

    pretrained: folder of a MamClipForPreTraining; classifier: folder of a MamClipForImageClassification that was
    trained from it, or None; processor: folder of a MamClipProcessor (default: pretrained).
    results: measured numbers for the model card, by name. temperatures: `birads_temperature`, `density_temperature` of
    the configuration, where others than the classifier's. phantom: the weights come from phantoms, which the card
    then says. `output` must not exist, and appears whole or not at all.

    Raises ValueError for folders that are no such models or do not fit together, FileNotFoundError for missing ones.
    """
    refuse_existing(output)
    config, tensors = merge_models(pretrained, classifier)
    for field, value in (temperatures or {}).items():
        setattr(config, field, value)
    loaded = load_processor(processor or pretrained)
    write_folder(output, config, tensors, loaded, name=name, results=results, phantom=phantom)


def refuse_existing(output: str | Path) -> None:
    if Path(output).exists():
        raise ValueError(f"{output} exists already; remove it, or choose another output.")


def write_folder(
    output: str | Path,
    config: MamClipConfig,
    tensors: Mapping[str, Tensor],
    processor: processing.MamClipProcessor | processing.MamClipImageProcessor,
    *,
    name: str,
    results: Mapping[str, float] | None = None,
    phantom: bool = False,
) -> None:
    """Write one model as a release, whole or not at all.

    tensors: of a pretrained model, of a classifier, or of both; the Auto classes of what is missing are left out.
    processor: an image processor alone, where there is no text encoder.
    """
    images = getattr(processor, "image_processor", processor)
    parts = {"aligned": has_all(tensors, ALIGNED), "classifies": has_all(tensors, HEADS)}
    card = model_card(config, images, name=name, results=results or {}, phantom=phantom, **parts)
    with new_folder(output) as folder:
        save_file(dict(tensors), folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_config(folder, config, served_classes(tensors))
        write_processor(folder, processor)
        copy_code(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")


@contextmanager
def new_folder(output: str | Path) -> Iterator[Path]:
    """A folder to write into, which becomes `output` at the end, if no error comes up; `output` must not exist."""
    output = Path(output)
    refuse_existing(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
        folder = Path(work) / "release"
        folder.mkdir()
        yield folder
        folder.rename(output)


def has_all(tensors: Iterable[str], prefixes: Iterable[str]) -> bool:
    """Whether there is a tensor under each of the prefixes."""
    return all(any(name.startswith(prefix) for name in tensors) for prefix in prefixes)


# ---- weights


def merge_models(
    pretrained: str | Path, classifier: str | Path | None
) -> tuple[MamClipConfig, dict[str, Tensor]]:
    """One configuration and one set of tensors: the pretraining's, and the classifier's beside them."""
    config, tensors = read_config(pretrained), read_weights(pretrained)
    _need(tensors, ("vision_model.", "text_model."), pretrained, "pretrained")
    if classifier is None:
        return config, tensors
    other, added = read_config(classifier), read_weights(classifier)
    encoder = "classifier_vision_model." if other.classifier_encoder == "own" else "vision_model."
    _need(added, (*HEADS, encoder), classifier, "classifier")
    _compare_configs(config, other, pretrained, classifier)
    if other.classifier_encoder == "shared":
        _compare_encoders(tensors, added, pretrained, classifier)
    for field in CLASSIFIER_FIELDS:
        setattr(config, field, getattr(other, field))
    config.provenance = {**config.provenance, **other.provenance}
    parts = HEADS if other.classifier_encoder == "shared" else (*HEADS, encoder)
    tensors.update({key: value for key, value in added.items() if key.startswith(parts)})
    return config, tensors


def read_config(folder: str | Path) -> MamClipConfig:
    """The configuration of a MAM-CLIP folder with weights; ValueError or FileNotFoundError for any other."""
    file = Path(folder) / "config.json"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} is not a MAM-CLIP folder: it has no config.json.")
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type")
    if kind != MamClipConfig.model_type:
        raise ValueError(f"{folder} holds a model of type {kind!r}; expected {MamClipConfig.model_type!r}.")
    return MamClipConfig.from_pretrained(str(folder))


def _need(tensors: Mapping[str, Tensor], prefixes: tuple[str, ...], folder: str | Path, role: str) -> None:
    for prefix in prefixes:
        if not any(key.startswith(prefix) for key in tensors):
            raise ValueError(
                f"{folder} has no tensors {prefix}*, so it cannot be the {role} model of a release."
            )


def _compare_configs(
    config: MamClipConfig, other: MamClipConfig, pretrained: str | Path, classifier: str | Path
) -> None:
    """The two must have the same vision encoder."""
    ours = {**config.vision_config.to_dict(), "projection_dim": config.projection_dim}
    theirs = {**other.vision_config.to_dict(), "projection_dim": other.projection_dim}
    for field, value in ours.items():
        if theirs.get(field) != value:
            raise ValueError(
                f"{classifier} has {field} {theirs.get(field)!r} and {pretrained} has {value!r}; "
                "a release needs a classifier that was trained from its pretrained model."
            )


def _compare_encoders(tensors, added, pretrained: str | Path, classifier: str | Path) -> None:
    for key, value in added.items():
        if key.startswith("vision_model.") and not value.equal(tensors[key]):
            raise ValueError(
                f"{classifier} shares its encoder, but {key} differs from that in {pretrained}; "
                "it was trained from another model."
            )


# ---- files


def served_classes(tensors: Iterable[str]) -> dict[str, str]:
    """The Auto classes that the tensors are enough for, with our "file.Class" of each."""
    return {auto: ours for auto, (ours, parts) in MODELS.items() if has_all(tensors, parts)}


def write_config(folder: Path, config: MamClipConfig, classes: Mapping[str, str]) -> None:
    """config.json, with these Auto classes (see `served_classes`) and the pipelines that need no other."""
    fields = config.to_dict()
    fields.update(
        auto_map={"AutoConfig": f"configuration_mamclip.{type(config).__name__}", **classes},
        custom_pipelines={task: entry for task, entry in PIPELINES.items() if entry["pt"][0] in classes},
        architectures=[next(iter(classes.values())).partition(".")[2]],
    )
    _write_json(folder / "config.json", fields)


def load_processor(folder: str | Path) -> processing.MamClipProcessor:
    try:
        return processing.MamClipProcessor.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{folder} holds no MAM-CLIP processor ({reason}).") from error


def write_processor(
    folder: Path, processor: processing.MamClipProcessor | processing.MamClipImageProcessor
) -> None:
    """Tokenizer and processor as usual, with the map that finds their code; the image processor also by itself."""
    if isinstance(processor, processing.MamClipImageProcessor):
        content = {**processor.to_dict(), "auto_map": {"AutoImageProcessor": IMAGE_PROCESSOR}}
        _write_json(folder / "preprocessor_config.json", content)
        return
    processor.save_pretrained(folder)
    file = folder / "processor_config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    auto_map = {"AutoProcessor": PROCESSOR, "AutoImageProcessor": IMAGE_PROCESSOR}
    content["auto_map"] = auto_map
    content["image_processor"]["auto_map"] = {"AutoImageProcessor": IMAGE_PROCESSOR}
    _write_json(file, content)
    alone = {**content["image_processor"], "auto_map": auto_map, "processor_class": "MamClipProcessor"}
    _write_json(folder / "preprocessor_config.json", alone)


def copy_code(folder: Path) -> None:
    """All flat files of the two packages that travel, but their __init__; weights that are not there already."""
    for package in (modeling_mamclip, processing):
        home = Path(inspect.getfile(package)).parent
        for file in sorted((*home.glob("*.py"), *home.glob("*.safetensors"))):
            target = folder / file.name
            if file.name != "__init__.py" and not (file.suffix == ".safetensors" and target.exists()):
                shutil.copyfile(file, target)


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
