"""A release's classifier, opened with this project's own code: `pixel_values` → calibrated probabilities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import PreTrainedModel

from dataset_builders.birads import DENSITIES, FIVE_NAMES, THREE_GROUPS, THREE_NAMES, three_group_index
from modeling_mamclip import (
    MamClipConfig,
    MamClipForImageClassification,
    MamClipOnnxConfig,
    MamClipOnnxForImageClassification,
)
from processing import MamClipImageProcessor

DTYPES = ("float32", "bfloat16", "float16")
KINDS = (MamClipConfig.model_type, MamClipOnnxConfig.model_type)
CONFIG = "config.json"
# (5, 3): which of the three groups a class belongs to.
MEMBERSHIP = np.eye(len(THREE_GROUPS), dtype=np.float32)[
    [three_group_index(i) for i in range(len(FIVE_NAMES))]
]
# What a release and its export have in common.
SHARED = ("id2label", "density_labels", "birads_temperature", "density_temperature", "vision_config")


@dataclass(frozen=True)
class Scores:
    """Probabilities of B images, float32; every row of each adds up to 1, unless the model gave no numbers.

    birads: (B, 5), columns as `Classifier.birads_classes`. groups: (B, 3), as `Classifier.groups`: sums of the first.
    density: (B, 4), as `Classifier.densities`.
    """

    birads: np.ndarray
    groups: np.ndarray
    density: np.ndarray

    @cached_property
    def finite(self) -> np.ndarray:
        """(B,) bool: whether all of an image's scores are numbers; float16 can overflow, and weights can be broken."""
        return np.isfinite(self.birads).all(axis=1) & np.isfinite(self.density).all(axis=1)


@dataclass(frozen=True)
class Classifier:
    """model: in eval mode, PyTorch's or ONNX Runtime's. processor: of the release. config: the model's."""

    model: PreTrainedModel
    processor: MamClipImageProcessor
    birads_classes: tuple[str, ...] = FIVE_NAMES
    groups: tuple[str, ...] = THREE_NAMES
    densities: tuple[str, ...] = DENSITIES

    @property
    def config(self) -> MamClipConfig:
        return self.model.config

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: str = "float32",
        onnx: str | Path | None = None,
    ) -> Classifier:
        """The classifier of a release, or of an ONNX export. Code files in the folder are not executed: ours is used.

        folder: of export_release.py or export_onnx.py. device: such as "cpu" or "cuda:1"; None: a GPU where there is
        one. dtype: of the network, one of DTYPES; ONNX files compute in float32. onnx: the folder that export_onnx.py
        made of the release, to compute with in place of its weights.

        Raises FileNotFoundError where there is no model, ValueError for one that is no classifier of ours or is
        damaged, an export of something else, an unknown dtype, a device that is not there, or a missing ONNX Runtime.
        """
        if dtype not in DTYPES:
            raise ValueError(f"dtype is {dtype!r}; expected one of {', '.join(DTYPES)}.")
        source = Path(onnx or folder)
        kinds = {place: _check_folder(place) for place in dict.fromkeys((Path(folder), source))}
        exported = kinds[source] == MamClipOnnxConfig.model_type
        if onnx is not None and not exported:
            raise ValueError(f"{onnx} is no ONNX export; export_onnx.py --model {folder} writes one.")
        model = _open_onnx(source, device, dtype) if exported else _open_torch(source, device, dtype)
        _check_classes(model.config, source)
        if source != Path(folder):
            _check_same(_fields(Path(folder)), model.config, folder, source)
        return cls(model, _open_processor(folder))

    @torch.inference_mode()
    def scores(self, pixel_values: Tensor) -> Scores:
        """pixel_values (B, 3, H, W), as the processor gives them → softmax(logits / temperature) of both heads."""
        output = self.model(pixel_values.to(self.model.device, self.model.dtype))
        birads = _probabilities(output.logits, self.config.birads_temperature)
        density = _probabilities(output.density_logits, self.config.density_temperature)
        return Scores(birads, birads @ MEMBERSHIP, density)


def _probabilities(logits: Tensor, temperature: float) -> np.ndarray:
    return (logits.float() / temperature).softmax(-1).cpu().numpy()


def _fields(folder: Path) -> dict[str, Any]:
    """The fields of config.json. Raises FileNotFoundError without it, ValueError where it is no JSON object."""
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"{folder} is not a MAM-CLIP folder: it has no {CONFIG}.")
    try:
        fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG} is not JSON ({error}); get a new copy of it.") from error
    return fields if isinstance(fields, dict) else {}


def _check_folder(folder: Path) -> str:
    """Its model_type, where it is a folder of ours with a classifier."""
    fields = _fields(folder)
    if fields.get("model_type") not in KINDS or "AutoModelForImageClassification" not in fields.get(
        "auto_map", {}
    ):
        raise ValueError(
            f"{folder} is no release with a classifier; export_release.py --classifier writes one."
        )
    return fields["model_type"]


def _open_torch(folder: Path, device: str | torch.device | None, dtype: str) -> PreTrainedModel:
    place = _device(device)
    try:
        model, report = MamClipForImageClassification.from_pretrained(
            str(folder), dtype=getattr(torch, dtype), output_loading_info=True
        )
    except SafetensorError as error:
        raise ValueError(
            f"the weights of {folder} are damaged ({_one_line(error)}); get a new copy."
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise ValueError(f"{folder} lacks {len(missing)} tensors of its classifier, such as {missing[0]}.")
    return model.eval().to(place)


def _device(name: str | torch.device | None) -> torch.device:
    """A device that is there."""
    if name is None:
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except Exception as error:  # RuntimeError, AssertionError, NotImplementedError: as the backend pleases
        raise ValueError(f"device {str(name)!r} is not there ({_one_line(error)}); cpu always is.") from error


def _open_onnx(folder: Path, device: str | torch.device | None, dtype: str) -> PreTrainedModel:
    if dtype != "float32":
        raise ValueError(
            f"dtype is {dtype}, but ONNX files compute in float32; leave it out, or leave ONNX out."
        )
    try:
        return MamClipOnnxForImageClassification.from_pretrained(str(folder), providers=_providers(device))
    except ImportError as error:  # ONNX Runtime is missing
        raise ValueError(str(error)) from error


def _providers(device: str | torch.device | None) -> list | None:
    """ONNX Runtime's name of a device; None leaves the choice to it."""
    if device is None:
        return None
    kind, _, number = str(device).partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind == "cuda":
        return [("CUDAExecutionProvider", {"device_id": int(number or 0)})]
    raise ValueError(f"device {str(device)!r} is not there for ONNX files; expected cpu or cuda.")


def _check_classes(config: MamClipConfig, folder: Path) -> None:
    """Groups, breasts and exams are made of the paper's classes."""
    found = {"BI-RADS": tuple(config.id2label.values()), "density": tuple(config.density_labels)}
    for task, names in (("BI-RADS", FIVE_NAMES), ("density", DENSITIES)):
        if found[task] != names:
            raise ValueError(
                f"{folder} has the {task} classes {', '.join(found[task])}; expected {', '.join(names)}."
            )


def _check_same(fields: Mapping[str, Any], config: MamClipConfig, folder: str | Path, onnx: Path) -> None:
    exported = json.loads(json.dumps(config.to_dict()))
    for name in SHARED:
        if name in fields and name in exported and fields[name] != exported[name]:
            raise ValueError(
                f"{onnx} is not the export of {folder}: {name} differs; run export_onnx.py again."
            )


def _open_processor(folder: str | Path) -> MamClipImageProcessor:
    try:
        return MamClipImageProcessor.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} holds no MAM-CLIP image processor ({_one_line(error)}).") from error


def _one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:160]
