"""A release → a folder of ONNX files that the same lines open, compared with the release before it appears."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from torch import Tensor, nn
from torch.onnx import OnnxExporterError
from tqdm import tqdm

from modeling_mamclip import (
    MamClipConfig,
    MamClipForImageClassification,
    MamClipModel,
    MamClipOnnxConfig,
    MamClipOnnxForImageClassification,
    MamClipOnnxModel,
)
from modeling_mamclip.onnx_mamclip import CLASSIFIER, IMAGE_ENCODER, TEXT_ENCODER
from processing import MamClipImageProcessor

from .initialization import quiet, read_weights
from .release import copy_code, load_processor, new_folder, write_config, write_processor
from .release_weights import read_config
from .runs import write_json

TOLERANCE = 1e-4
BATCHES = (1, 3)
REPORT = "onnx_export.json"
CLASSES = {
    "AutoModel": "onnx_mamclip.MamClipOnnxModel",
    "AutoModelForZeroShotImageClassification": "onnx_mamclip.MamClipOnnxModel",
    "AutoModelForImageClassification": "onnx_mamclip.MamClipOnnxForImageClassification",
}
CPU = ("CPUExecutionProvider",)
LARGEST = 2**31  # bytes of weights: what one file of protobuf holds
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
NOTE = """
> **This is the ONNX export of {title}.** The lines below open it as they open the release, but ONNX Runtime computes,
> in float32: `pip install onnxruntime`. Images have to have the size that the image processor gives them. When it was
> written, the outputs differed from PyTorch's by {largest:.1e} at most (`{report}`).
"""

Differences = dict[str, dict[str, float]]  # of every file, by the size of the batch


def write_onnx(release: str | Path, output: str | Path) -> Differences:
    """Export what a release has: its classifier, its aligned encoders, or both.

    output: the folder to write; it must not exist, and appears whole or not at all.
    → the largest `difference` of every file from PyTorch, at each of BATCHES.

    Raises ValueError or OSError for a folder that is no release, for a model that cannot be exported, and for one
    whose ONNX files differ by more than TOLERANCE.
    """
    versions = installed_versions()
    config, classes = read_release(release)
    aligned = "AutoModel" in classes
    processor = load_processor(release) if aligned else MamClipImageProcessor.from_pretrained(str(release))
    size = getattr(processor, "image_processor", processor).size
    card = ModelCard(Path(release, "README.md").read_text(encoding="utf-8"))
    exports = [export_classifier] if "AutoModelForImageClassification" in classes else []
    exports += [export_encoders] if aligned else []
    with new_folder(output) as folder, silence():
        write_config(folder, onnx_config(config, release, aligned), classes)
        write_processor(folder, processor)
        copy_code(folder)
        differences = {}
        for export in tqdm(exports, desc="export and compare", unit="model"):
            differences.update(export(str(release), folder, (size["height"], size["width"])))
        refuse_differences(differences)
        report = {"tolerance": TOLERANCE, "differences": differences, "versions": versions}
        write_json(folder / REPORT, report)
        onnx_card(card, Path(output).name, differences).save(folder / "README.md")
    return differences


def installed_versions() -> dict[str, str]:
    """Of the packages that an export needs; ValueError where one is missing."""
    try:
        return {name: import_module(name).__version__ for name in PACKAGES}
    except ImportError as error:
        raise ValueError(f"an export needs {error.name}; pip install {' '.join(PACKAGES[1:])}") from error


def read_release(folder: str | Path) -> tuple[MamClipConfig, dict[str, str]]:
    """A release's configuration, and the Auto classes that its export can serve."""
    config = read_config(folder)
    served = getattr(config, "auto_map", None)
    if not served:
        raise ValueError(
            f"{folder} is no release: its config.json has no auto_map; export_release.py writes releases."
        )
    return config, {auto: ours for auto, ours in CLASSES.items() if auto in served}


def onnx_config(config: MamClipConfig, release: str | Path, aligned: bool) -> MamClipOnnxConfig:
    """The configuration of the export. The temperature, which is in none of the files, goes into it."""
    fields = {name: value for name, value in config.to_dict().items() if name != "model_type"}
    if aligned:
        fields["logit_scale"] = float(read_weights(release)["logit_scale"])
    return MamClipOnnxConfig(**fields)


def onnx_card(card: ModelCard, name: str, differences: Differences) -> ModelCard:
    """The release's card, with all that it says of data and limits, as that of the export in the folder `name`."""
    largest = max(max(batches.values()) for batches in differences.values())
    note = NOTE.format(title=card.data.model_name or "a MAM-CLIP release", largest=largest, report=REPORT)
    card.text = note + card.text.replace('"mamclip"', f'"{name}"')
    card.data.tags = [*(card.data.tags or []), "onnx"]
    return card


# ---- the models


def export_classifier(release: str, folder: Path, size: tuple[int, int]) -> Differences:
    """Write classifier.onnx for images of (height, width) and compare it."""
    model = MamClipForImageClassification.from_pretrained(release, dtype=torch.float32).eval()
    images = partial(_images, model.config, size)
    save_onnx(folder / CLASSIFIER, _Logits(model), images(2), ("logits", "density_logits"))
    exported = MamClipOnnxForImageClassification.from_pretrained(folder, providers=CPU)
    return {CLASSIFIER: compare(model, exported, images)}


def export_encoders(release: str, folder: Path, size: tuple[int, int]) -> Differences:
    """Write image_encoder.onnx, for images of (height, width), and text_encoder.onnx, and compare them."""
    model = MamClipModel.from_pretrained(release, dtype=torch.float32).eval()
    images, captions = partial(_images, model.config, size), partial(_captions, model.config)
    outputs = ("last_hidden_state", "pooled", "projected")
    save_onnx(folder / IMAGE_ENCODER, model.vision_model, images(2), outputs)
    input_ids, mask = model._prepare_text(**captions(2))
    given = {"input_ids": input_ids, "attention_mask": mask}
    save_onnx(folder / TEXT_ENCODER, model.text_model, given, ("last_hidden_state", "projected"))
    exported = MamClipOnnxModel.from_pretrained(folder, providers=CPU)
    return {
        IMAGE_ENCODER: compare(model.get_image_features, exported.get_image_features, images),
        TEXT_ENCODER: compare(model.get_text_features, exported.get_text_features, captions),
    }


class _Logits(nn.Module):
    """A classifier whose output is a tuple, as the exporter needs it."""

    def __init__(self, model: MamClipForImageClassification):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(pixel_values)
        return output.logits, output.density_logits


def _images(config: MamClipConfig, size: tuple[int, int], count: int) -> dict[str, Tensor]:
    """`count` random images, always the same."""
    shape = (count, config.vision_config.num_channels, *size)
    return {"pixel_values": torch.rand(shape, generator=torch.Generator().manual_seed(count))}


def _captions(config: MamClipConfig, count: int) -> dict[str, Tensor]:
    """`count` random captions, always the same: the more, the shorter, and each a token shorter than the last."""
    length = max(count, config.context_length // count)
    words = torch.Generator().manual_seed(count)
    input_ids = torch.randint(config.text_config.vocab_size, (count, length), generator=words)
    lengths = length - torch.arange(count)[:, None]
    return {"input_ids": input_ids, "attention_mask": (torch.arange(length) < lengths).long()}


# ---- one file


def save_onnx(
    file: Path, module: nn.Module, inputs: Mapping[str, Tensor | None], outputs: Sequence[str]
) -> None:
    """Export a module as it computes these inputs. Their batch becomes dynamic, and a mask's length."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
    if size >= LARGEST:
        raise ValueError(
            f"{file.name} would hold {size / 1e9:.1f} GB of weights, and an ONNX file holds 2.1."
        )
    batch, length = {0: torch.export.Dim("batch")}, {}
    if inputs.get("attention_mask") is not None:
        length = {1: torch.export.Dim("length")}
    shapes = {name: None if tensor is None else {**batch, **length} for name, tensor in inputs.items()}
    try:
        program = torch.onnx.export(
            module.eval(),
            kwargs=dict(inputs),
            dynamic_shapes=shapes,
            input_names=[name for name, tensor in inputs.items() if tensor is not None],
            output_names=list(outputs),
            dynamo=True,
            verbose=False,
        )
    except OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(f"{file.name} cannot be exported: PyTorch's exporter says {reason!r}.") from error
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # they say where this project lies on the exporting machine
    program.save(file, external_data=False)


def compare(model: Callable, exported: Callable, inputs: Callable[[int], Mapping[str, Tensor]]) -> dict:
    """The largest difference of any output, at each of BATCHES."""
    largest = {}
    for size in BATCHES:
        given = inputs(size)
        with torch.no_grad():
            expected, found = model(**given), exported(**given)
        largest[f"batch {size}"] = max(difference(expected[name], found[name]) for name in expected)
    return largest


def difference(expected: Tensor, found: Tensor) -> float:
    """The largest difference of two tensors, as a part of the largest value where that is above 1."""
    return float((expected - found).abs().max() / expected.abs().max().clamp(min=1))


def refuse_differences(differences: Differences) -> None:
    for file, batches in differences.items():
        for batch, value in batches.items():
            if not value <= TOLERANCE:
                raise ValueError(
                    f"{file} differs from PyTorch by {value:.1e} ({batch}), and {TOLERANCE:.0e} is allowed; "
                    "nothing was written."
                )


@contextmanager
def silence() -> Iterator[None]:
    """Keep back what the exporter says of its own steps: notes and warnings, not errors."""
    with ExitStack() as stack:
        for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir"):
            stack.enter_context(quiet(name))
        stack.enter_context(warnings.catch_warnings(action="ignore"))
        yield
