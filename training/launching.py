"""What the training scripts ask of a launch: the whole model in every process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_SHARDING = {"fsdp": "ACCELERATE_USE_FSDP", "deepspeed": "ACCELERATE_USE_DEEPSPEED"}


def refuse_sharding(trainer: Mapping[str, Any]) -> None:
    """Raise ValueError for FSDP and DeepSpeed, whether `accelerate launch` or the option `trainer` asks for them.

    DeepSpeed makes a step in every backward pass at the end of an accumulation (accelerate's DeepSpeedEngineWrapper),
    so the several passes of gradient caching would become several steps; with FSDP no process holds the model that
    the main one saves and measures at the end.
    """
    for name, variable in _SHARDING.items():
        if trainer.get(name) or os.environ.get(variable, "false").lower() in ("true", "1"):
            raise ValueError(
                f"this was launched with {name}, which would train or save wrongly here; launch with "
                "configs/accelerate/eight_gpus.yaml, where a small micro_batch saves memory instead."
            )
