"""FSDP2: each process keeps a part of every weight, gradient and optimizer state, and has a layer whole while it runs.

torch's `fully_shard`, which accelerate calls, changes a model in place: layers of the classes that
`fsdp_transformer_layer_cls_to_wrap` names are gathered before they run and given up behind, in the forward and in the
backward pass; the rest of the model is one more unit, whole from its forward to the end of its backward pass. The
several passes of gradient caching all go through the model's `forward`, as these hooks need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin, broadcast
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers import Trainer

WEIGHTS = "pytorch_model_fsdp.bin"  # of a checkpoint that a sharded run goes on from, as accelerate calls it


class ShardedTrainer(Trainer):
    """A Trainer that computes under FSDP2 what it computes without: the same precision, the same files at the end."""

    whole: nn.Module | None = None  # the main process's model as it was, to be filled when training is over

    def _prepare_for_training(self, *args: Any, **kwargs: Any):
        if self.accelerator.is_fsdp2 and not isinstance(self.model, FSDPModule):
            if self.is_world_process_zero():
                self.whole = deepcopy(self.model)
            make_shardable(self.accelerator, self.model)
        return super()._prepare_for_training(*args, **kwargs)

    def autocast_smart_context_manager(self, *args: Any, **kwargs: Any):
        """accelerate puts autocast around a model that it wraps, but not around one that it shards."""
        if self.accelerator.is_fsdp2:
            return self.accelerator.autocast()
        return super().autocast_smart_context_manager(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Tensor] | None = None) -> None:
        if self.whole is not None and state_dict is not None:
            state_dict = shaped_as(self.whole, state_dict)
        super()._save(output_dir, state_dict)

    def whole_model(self) -> nn.Module | None:
        """The model with all its weights, in the main process; every process has to ask. None in others under FSDP2."""
        if not self.accelerator.is_fsdp2:
            return self.model
        weights = self.accelerator.get_state_dict(self.model)  # empty but in the main process
        if self.whole is None:
            return None
        self.whole.load_state_dict(shaped_as(self.whole, weights))
        return self.whole.to(self.args.device)


def make_shardable(accelerator: Accelerator, model: nn.Module) -> None:
    """Bring a model that lies whole in every process into the form that `fully_shard` takes, without another value.

    All processes get the main one's weights, as with DDP. Scalars become vectors of one element, and weights that lie
    channels-last contiguous; FSDP2 has no others. Raises ValueError for batch norms, and where no class to be gathered
    by itself is in the model.
    """
    refuse_statistics(model)
    if "text" not in getattr(model, "input_modalities", ()):
        model.get_input_embeddings = _nothing  # accelerate asks, and transformers' own raises an error
    choose_units(accelerator.state.fsdp_plugin, model)
    # Not accelerate's policy, which rounds weights, temperature and reduced gradients to bf16: autocast, as with DDP.
    accelerator.state.fsdp_plugin.mixed_precision_policy = None
    for tensor in [*model.parameters(), *model.buffers()]:
        same = broadcast(tensor.data.to(accelerator.device).contiguous())
        tensor.data = same.reshape(1) if same.ndim == 0 and isinstance(tensor, nn.Parameter) else same


def _nothing() -> None:
    """The token embeddings of a model without tokens."""


def choose_units(plugin: FullyShardedDataParallelPlugin, model: nn.Module) -> None:
    """Leave out, of the classes to be gathered by themselves, those that this model does not have."""
    if plugin.auto_wrap_policy is None:  # the whole model is one unit
        return
    wanted = plugin.transformer_cls_names_to_wrap or ()
    present = {type(module).__name__ for module in model.modules()}
    plugin.transformer_cls_names_to_wrap = [name for name in wanted if name in present]
    if not plugin.transformer_cls_names_to_wrap:
        raise ValueError(
            f"the model has none of the layers {', '.join(wanted) or 'that were not named'}; name the class of its "
            "blocks in fsdp_transformer_layer_cls_to_wrap, or give fsdp_auto_wrap_policy NO_WRAP."
        )


def refuse_statistics(model: nn.Module) -> None:
    """Raise ValueError for batch norms: DDP gives all processes the main one's statistics, and FSDP2 does not."""
    if any(getattr(module, "running_mean", None) is not None for module in model.modules()):
        raise ValueError(
            "the model has batch norms, whose statistics would differ between the processes of FSDP; launch with "
            "configs/accelerate/eight_gpus.yaml, or choose an architecture with layer norms."
        )


def shaped_as(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole weights of a sharded model, scalars as the model has them."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    return {name: tensor.reshape(shapes[name]) for name, tensor in weights.items()}


def is_of_shards(checkpoint: Path) -> bool:
    """Whether a checkpoint was written by a sharded run."""
    return (checkpoint / WEIGHTS).is_file()
