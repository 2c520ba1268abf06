"""How much faster ONNX Runtime classifies a mammogram than PyTorch: one image of 1024 × 768, all cores, in turns."""

import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from machine import print_result
from transformers.utils.logging import disable_progress_bar

from modeling_mamclip import MamClipForImageClassification, MamClipOnnxForImageClassification
from processing import MamClipImageProcessor
from training.initialization import new_classifier
from training.onnx_export import write_onnx
from training.release import write_folder

ARCHITECTURE = "convnext_tiny"
SIZE = {"height": 1024, "width": 768}
ROUNDS = 6


def fastest(models: dict, pixel_values: torch.Tensor) -> dict[str, float]:
    """Seconds of each model's fastest call; they take turns, so that a slow moment of the machine meets both."""
    times = {name: [] for name in models}
    for _ in range(ROUNDS + 1):
        for name, model in models.items():
            began = time.perf_counter()
            with torch.inference_mode():
                model(pixel_values)
            times[name].append(time.perf_counter() - began)
    return {name: min(seconds[1:]) for name, seconds in times.items()}  # the first call warms up


def main() -> None:
    disable_progress_bar()
    torch.manual_seed(0)
    classifier = new_classifier(
        vision_config={"architecture": ARCHITECTURE, "image_size": list(SIZE.values())}
    )
    with tempfile.TemporaryDirectory() as folder:
        release, exported = Path(folder, "release"), Path(folder, "onnx")
        write_folder(
            release,
            classifier.config,
            classifier.state_dict(),
            MamClipImageProcessor(size=SIZE),
            name="benchmark",
        )
        (differences,) = write_onnx(release, exported).values()
        seconds = fastest(
            {
                "pytorch": MamClipForImageClassification.from_pretrained(release),
                "onnx": MamClipOnnxForImageClassification.from_pretrained(exported),
            },
            torch.rand(1, 3, *SIZE.values()),
        )
    print(
        f"{ARCHITECTURE}, 1024 × 768: PyTorch {seconds['pytorch']:.2f} s, ONNX Runtime {seconds['onnx']:.2f} s"
    )
    print_result(
        benchmark="classifier in ONNX Runtime to eager PyTorch, batch 1",
        pytorch_to_onnx=round(seconds["pytorch"] / seconds["onnx"], 2),
        pytorch_seconds=round(seconds["pytorch"], 3),
        onnx_seconds=round(seconds["onnx"], 3),
        largest_difference=max(differences.values()),
        threads=torch.get_num_threads(),
        onnxruntime=version("onnxruntime"),
    )


if __name__ == "__main__":
    main()
