"""A SLURM array script that does every cell of a learning curve as a job of its own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

HEAD = """#!/bin/bash
#SBATCH --job-name=learning-curve
#SBATCH --array=1-{count}
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task={cpus}
#SBATCH --requeue
# {count} cells, each of them a job. Add what your cluster asks for (--partition, --account, --time), and hand it in:
#   sbatch FILE
# A job that was killed goes on where it stopped when the file is handed in again; finished cells take seconds.
# When all jobs have ended, this gathers them:
#   {report}
set -e
cd {here}
exec {command} --shard "$SLURM_ARRAY_TASK_ID/{count}"
"""


def array_script(command: Sequence[str], count: int, cpus: int) -> str:
    """The script for `count` cells.

    command: the words that do all of them, such as python, learning_curve.py and its options; relative paths in it
    hold from the present folder. cpus: of each job.
    """
    words = shlex.join(command)
    here = shlex.quote(str(Path.cwd()))
    return HEAD.format(count=count, cpus=cpus, here=here, command=words, report=f"{words} --report")
