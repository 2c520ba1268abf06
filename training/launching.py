"""What the training scripts ask of a launch: the whole model in every process, or shards of it by FSDP2."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from accelerate.utils import DistributedType
from transformers import TrainingArguments

from .options import TrainingOptions

# What FSDP was proved to compute rightly with (tests/test_sharding.py): accelerate's variable → values, its default.
_PROVED = {
    "FSDP_VERSION": (("2",), "1"),
    "FSDP_STATE_DICT_TYPE": (("FULL_STATE_DICT",), "SHARDED_STATE_DICT"),
    "FSDP_AUTO_WRAP_POLICY": (("TRANSFORMER_BASED_WRAP", "NO_WRAP"), "NO_WRAP"),
    "FSDP_OFFLOAD_PARAMS": (("FALSE",), "FALSE"),
    "FSDP_CPU_RAM_EFFICIENT_LOADING": (("FALSE",), "FALSE"),
    "FSDP_ACTIVATION_CHECKPOINTING": (("FALSE",), "FALSE"),
    "FSDP_IGNORED_MODULES": (("NONE",), "NONE"),  # whose gradients no process would share
    "ACCELERATE_USE_PARALLELISM_CONFIG": (("FALSE",), "FALSE"),
}
_OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")


def fsdp_asked() -> bool:
    """Whether `accelerate launch` was told to use FSDP."""
    return _on("ACCELERATE_USE_FSDP")


def refuse_launch(trainer: Mapping[str, Any]) -> None:
    """Raise ValueError for DeepSpeed, for FSDP by the option `trainer`, and for FSDP in a form that was not proved.

    DeepSpeed makes a step in every backward pass at the end of an accumulation (accelerate's DeepSpeedEngineWrapper),
    so the several passes of gradient caching would become several steps.
    """
    if trainer.get("deepspeed") or _on("ACCELERATE_USE_DEEPSPEED"):
        raise ValueError(
            "this was launched with DeepSpeed, which makes a step in every backward pass, where a cached batch has "
            "several; launch with configs/accelerate/fsdp.yaml, which shards the same states."
        )
    if trainer.get("fsdp"):
        raise ValueError(
            "trainer has fsdp, which is a matter of the launch; give accelerate launch the --config_file "
            "configs/accelerate/fsdp.yaml."
        )
    for variable, (proved, default) in _PROVED.items() if fsdp_asked() else ():
        given = os.environ.get(variable, default)
        if given.upper() not in proved:
            raise ValueError(
                f"this was launched with {variable.lower()} {given}, but {' or '.join(proved)} is expected, as "
                "configs/accelerate/fsdp.yaml has it."
            )


def refuse_with_fsdp(arguments: TrainingArguments, options: TrainingOptions) -> None:
    """Raise ValueError for a launch with FSDP that accelerate would not heed, or that was not proved with the rest."""
    if not fsdp_asked():
        return
    kind = arguments.distributed_state.distributed_type
    if arguments.world_size == 1 or kind in (DistributedType.NO, DistributedType.MULTI_CPU):
        raise ValueError(
            f"FSDP needs several processes with a GPU each, but there are {arguments.world_size} on "
            f"{arguments.device.type}; launch with another file of configs/accelerate."
        )
    for given, what in (
        (arguments.fp16, "fp16; take bf16 or fp32"),
        (options.compile or arguments.torch_compile, "compile; leave that out"),
        (getattr(options, "linear_probe", False), "linear_probe; leave that out"),
        (arguments.optim not in _OPTIMIZERS, f"{arguments.optim}; take {' or '.join(_OPTIMIZERS)}"),
    ):
        if given:
            raise ValueError(f"FSDP was not proved with {what}, or launch without FSDP.")


def _on(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("true", "1")
