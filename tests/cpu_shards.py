"""A training script under FSDP2 in processes of the CPU, as accelerate has it on GPUs alone.

ACCELERATE_USE_CPU=true ACCELERATE_USE_FSDP=true … torchrun --standalone --nproc_per_node 2 tests/cpu_shards.py SCRIPT …

accelerate takes FSDP up where there are several GPUs, and leaves it out, without a word, for several processes of the
CPU (AcceleratorState.__init__). torch's fully_shard does its work over gloo as well; so these are called several GPUs.
"""

import runpy
import sys

from accelerate.state import PartialState
from accelerate.utils import DistributedType

_begin = PartialState.__init__


def begin(self, *given, **named):
    _begin(self, *given, **named)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


if __name__ == "__main__":
    PartialState.__init__ = begin
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
