"""One folder that serves every Auto class, without our packages: weights, code, processor, pipelines, model card."""

from __future__ import annotations

import inspect
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

import modeling_mamclip
import processing
from modeling_mamclip import MamClipConfig

from .card import HASHED, REPO_ID, model_card
from .card_results import Measured
from .data_terms import PHANTOM
from .files import sha256_of
from .initialization import WEIGHTS_FILE
from .release_weights import ALIGNED, HEADS, has_all, merge_models

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

Check = Callable[[Path], None]


def write_release(
    output: str | Path,
    *,
    pretrained: str | Path,
    classifier: str | Path | None = None,
    processor: str | Path | None = None,
    results: Sequence[Measured] = (),
    temperatures: Mapping[str, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
    phantom: bool = False,
    name: str = "MAM-CLIP",
    repo_id: str = REPO_ID,
    check: Check | None = None,
) -> None:
    """Write a folder that `AutoModel`, `AutoModelForImageClassification` and `pipeline` open by themselves.

    pretrained: folder of a MamClipForPreTraining; classifier: folder of a MamClipForImageClassification that was
    trained from it, or None; processor: folder of a MamClipProcessor (default: pretrained).
    results: measured numbers for the model card. temperatures: `birads_temperature`, `density_temperature` of the
    configuration, where others than the classifier's. provenance: what else it should say of the weights' origin.
    phantom: the weights come from phantoms, which the card then says. repo_id: by which name the card's examples open
    it. check: is given the finished folder, and raises where it is not to be. `output` must not exist, and appears
    whole or not at all.

    Raises ValueError for folders that are no such models or do not fit together, FileNotFoundError for missing ones.
    """
    refuse_existing(output)
    config, tensors = merge_models(pretrained, classifier)
    for field, value in (temperatures or {}).items():
        setattr(config, field, value)
    config.provenance = {**config.provenance, **(provenance or {})}
    loaded = load_processor(processor or pretrained)
    about = {"name": name, "results": results, "phantom": phantom, "repo_id": repo_id}
    write_folder(output, config, tensors, loaded, check=check, **about)


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
    results: Sequence[Measured] = (),
    phantom: bool = False,
    repo_id: str = REPO_ID,
    check: Check | None = None,
) -> None:
    """Write one model as a release, whole or not at all.

    tensors: of a pretrained model, of a classifier, or of both; the Auto classes of what is missing are left out.
    processor: an image processor alone, where there is no text encoder. check: see `write_release`.
    """
    if phantom:
        config.provenance = {
            **config.provenance,
            PHANTOM: True,
        }  # what reads with the release says so as well
    images = getattr(processor, "image_processor", processor)
    parts = {"aligned": has_all(tensors, ALIGNED), "classifies": has_all(tensors, HEADS)}
    with new_folder(output) as folder:
        save_file(dict(tensors), folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_config(folder, config, served_classes(tensors))
        write_processor(folder, processor)
        copy_code(folder)
        about = {"phantom": phantom, "repo_id": repo_id, "files": hashes(folder), **parts}
        card = model_card(config, images, name, results, **about)
        (folder / "README.md").write_text(card, encoding="utf-8")
        if check:
            check(folder)


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


def hashes(folder: Path) -> dict[str, str]:
    """Name → SHA-256 of the code and the weights in a release."""
    return {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.suffix in HASHED}


def _write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
    )
