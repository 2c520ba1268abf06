"""What pretraining asks of a launch: each process's share of the batch, and plugins under which its steps are right."""

from __future__ import annotations

from accelerate import Accelerator
from accelerate.utils import DistributedType


def refuse_wrong_steps(accelerator: Accelerator, *, share: int, micro_batch: int, accumulation: int) -> None:
    """Raise ValueError where a step would be wrong, rather than train wrongly.

    DeepSpeed makes a step in every backward pass at the end of an accumulation (accelerate's DeepSpeedEngineWrapper),
    and divides by the number of accumulated batches itself; a gradient in several passes would become several steps.
    share: pairs of a process in a batch; micro_batch: of how many at once, 0: all.
    """
    if accelerator.distributed_type != DistributedType.DEEPSPEED:
        return
    if 0 < micro_batch < share:
        raise ValueError(
            f"DeepSpeed would make a step of every micro_batch ({micro_batch} of {share} pairs); leave out micro_batch, "
            "or launch with configs/accelerate/eight_gpus.yaml."
        )
    if accumulation > 1:
        raise ValueError(
            f"DeepSpeed would divide the gradient by accumulation ({accumulation}) once more; leave out accumulation, or "
            "launch with configs/accelerate/eight_gpus.yaml."
        )
