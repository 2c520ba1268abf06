"""Makes yolox.safetensors: what the library pixeltable-yolox 0.4.3 gives for known weights and a known input.

    pip install --no-deps pixeltable-yolox==0.4.3 loguru tabulate pycocotools
    python tests/golden/yolox/make_yolox_golden.py

The library's other dependencies (opencv-python, tensorboard, onnxsim, …) are not needed for that. Weights and inputs
are drawn by name (`known_tensor`), so that only the outputs and the tensors' names and shapes have to be kept.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

# Name in the library → classes of the network, and what `Yolox` calls the rest.
MODELS = {
    "yolox_nano": (1, {"depth": 0.33, "width": 0.25, "depthwise": True}),
    "yolox_tiny": (3, {"depth": 0.33, "width": 0.375, "depthwise": False}),
}
INPUT = (2, 3, 64, 96)
FILE = Path(__file__).with_name("yolox.safetensors")


def known_tensor(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers that depend on the name alone, of a size that keeps the features of a deep network in range."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    if name.endswith(("running_var", "bn.weight")):
        return torch.from_numpy(rng.uniform(0.5, 1.5, shape).astype(np.float32))
    fan_in = int(np.prod(shape[1:])) or 1
    scale = 1.25 / np.sqrt(fan_in) if len(shape) == 4 else 0.1
    return torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32))


def known_input() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).uniform(0, 2, INPUT).astype(np.float32))


def library_model(name: str, classes: int) -> torch.nn.Module:
    """The library's network of that name, with known weights."""
    from yolox.config import YoloxConfig

    config = YoloxConfig.get_named_config(name)
    config.num_classes = classes
    network = config.get_model()
    network.load_state_dict(
        {key: known_tensor(key, tuple(v.shape)) for key, v in network.state_dict().items()}
    )
    return network.eval()


def main() -> None:
    outputs, shapes = {}, {}
    for name, (classes, _) in MODELS.items():
        network = library_model(name, classes)
        shapes[name] = {key: list(value.shape) for key, value in network.state_dict().items()}
        with torch.no_grad():
            outputs[name] = network(known_input()).contiguous()
    save_file(outputs, FILE, metadata={"shapes": json.dumps(shapes), "library": "pixeltable-yolox 0.4.3"})


if __name__ == "__main__":
    main()
