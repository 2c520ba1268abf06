"""torch.compile of a model's parts, each in place: names of weights stay, and so do checkpoints and releases."""

from __future__ import annotations

import os
import shutil

from torch import nn

# Images come in one size; captions are padded to the longest of their batch, and would be compiled for every length.
_PARTS = {"vision_model": None, "classifier_vision_model": None, "text_model": True, "fusion": True}


def compile_parts(model: nn.Module) -> None:
    """Compile the encoders and the fusion block, when they are first called.

    Raises ValueError without a C++ compiler, which torch.compile calls on a CPU and a GPU alike.
    """
    compilers = [os.environ.get("CXX"), "g++", "c++", "clang++"]
    if not any(shutil.which(name) for name in compilers if name):
        raise ValueError(
            "compile needs a C++ compiler, and g++ was not found; install one (apt-get install g++), or leave out "
            "compile."
        )
    for name, dynamic in _PARTS.items():
        if hasattr(model, name):
            getattr(model, name).compile(dynamic=dynamic)
