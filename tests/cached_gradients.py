"""One of several processes: the gradient of a batch of which each has its share, for every size of its parts.

accelerate launch --cpu --num_processes 2 tests/cached_gradients.py OUTPUT
"""

import sys

import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from test_gradient_cache import PAIRS, REAL_PAIRS, SEED, SIZES, batch, gradients, model_with

from training.gradient_cache import cached_backward


def main() -> None:
    accelerator = Accelerator(cpu=True)
    share = PAIRS // accelerator.num_processes
    rows = slice(accelerator.process_index * share, (accelerator.process_index + 1) * share)
    own = {name: value[rows] for name, value in batch(PAIRS).items()}
    found = {"processes": torch.tensor(accelerator.num_processes)}
    for size in SIZES:
        model = accelerator.prepare(model_with(dropout=0.3))
        torch.manual_seed(SEED + accelerator.process_index)
        loss = cached_backward(accelerator, model, own, micro_batch=size, real=REAL_PAIRS)
        own_model = accelerator.unwrap_model(model)
        found |= {f"{size}/{name}": value for name, value in gradients(own_model).items()}
        found[f"{size}/loss"] = loss
    if accelerator.is_main_process:
        save_file(found, sys.argv[1])
    accelerator.end_training()


if __name__ == "__main__":
    main()
