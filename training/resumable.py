"""A Trainer that can be stopped at any moment and goes on as if it had not been: to the bit, on the CPU.

What transformers' Trainer leaves to be done: checkpoints that are known to be whole; the running mean of the training
loss; the order of the images in the middle of an epoch with several processes; patience that had run out when the run
was stopped; a checkpoint every few minutes and at SIGTERM; and one sentence where a disk is full or data are gone.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import distributed
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, TrainerCallback

from .checkpoints import PREFIX, newest_sealed, processes_of, prune, seal, steps_in_all
from .cli import Stopped, one_sentence
from .sharding import ShardedTrainer, is_of_shards

WORKER = "in DataLoader worker process"  # how torch begins the text of an error that it carries over


class ResumableTrainer(ShardedTrainer):
    """A Trainer whose interrupted runs end as uninterrupted ones.

    save_minutes: a checkpoint after so many minutes, between two steps; 0: only those of TrainingArguments. When a
    checkpoint is written changes no result. `save_total_limit` counts whole checkpoints; the best ones are kept too.

    `train` raises OSError with one sentence for a checkpoint that cannot be written and data that cannot be read, and
    `Stopped` after SIGTERM, when the checkpoint is there.
    """

    def __init__(self, *args: Any, save_minutes: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.checkpoints_kept = self.args.save_total_limit
        self.args.save_total_limit = None  # Trainer would remove some before the new one is whole
        self.keeper = KeepSafe(self, save_minutes)
        self.add_callback(self.keeper)

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any):
        if resume_from_checkpoint is not None:
            self._compare_run(Path(resume_from_checkpoint))
        with self.keeper:
            try:
                result = super().train(resume_from_checkpoint, **kwargs)
                self.keeper.stop_if_asked()
                return result
            except (OSError, RuntimeError) as error:
                if self.keeper.asked and "signal: Terminated" in str(
                    error
                ):  # it reached those who load images first
                    raise self.keeper.stopped() from error
                sentence = sentence_of(error)
                if sentence is None:
                    raise
                raise OSError(f"{sentence}; {self.how_to_go_on()}") from error

    def how_to_go_on(self) -> str:
        newest = newest_sealed(Path(self.args.output_dir))
        start = f"after {newest.name}" if newest else "at the beginning"
        return f"put it right and give the same command again: it goes on {start}."

    def _compare_run(self, checkpoint: Path) -> None:
        """ValueError where another number of processes, or of steps in an epoch, makes another run of it."""
        steps = self.set_initial_training_values(self.args, self.get_train_dataloader())[-1]
        if is_of_shards(checkpoint) != self.accelerator.is_fsdp2:
            how = "with" if is_of_shards(checkpoint) else "without"
            raise ValueError(
                f"{checkpoint.name} was written {how} FSDP; launch the run as it was begun, or give another --output."
            )
        before, processes = steps_in_all(checkpoint), processes_of(checkpoint)
        if before != steps:
            raise ValueError(
                f"the run in {self.args.output_dir} has {before} steps, and would now have {steps}; start it with "
                f"{processes} processes as before and the same fields of trainer, or give another --output."
            )
        if processes != self.args.world_size and self.is_world_process_zero():
            print(
                f"{checkpoint.name} was written by {processes} processes, and now there are {self.args.world_size}: "
                "the run goes on, but not to the bit as it would have.",
                file=sys.stderr,
            )

    # ---- where a run goes on

    def _run_epoch(self, **run: Any) -> None:
        if patience_is_over(self.callback_handler.callbacks):  # before this run was stopped
            self.control.should_training_stop = True
            return
        tell_epoch(run["train_dataloader"], run["epoch"])
        if run["resume_from_checkpoint"] is not None and run["epoch"] == run["epochs_trained"]:
            self._load_loss(Path(run["resume_from_checkpoint"]))
        super()._run_epoch(**run)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        mean = {"sum": self._tr_loss.cpu(), "since_step": self._globalstep_last_logged}
        torch.save(mean, self._loss_file(Path(output_dir)))

    def _load_loss(self, checkpoint: Path) -> None:
        """The training loss that is summed since the history's last row."""
        if self._loss_file(checkpoint).is_file():  # of another number of processes otherwise
            mean = torch.load(self._loss_file(checkpoint), weights_only=True)
            self._tr_loss = mean["sum"].to(self.args.device)
            self._globalstep_last_logged = mean["since_step"]

    def _loss_file(self, checkpoint: Path) -> Path:
        return checkpoint / f"training_loss_{self.args.process_index}.pt"

    # ---- checkpoints

    def _save_checkpoint(self, model, trial) -> None:
        folder = Path(self.args.output_dir, f"{PREFIX}{self.state.global_step}")
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                seal(folder)
        except (OSError, SafetensorError, RuntimeError) as error:
            if not is_of_writing(error):
                raise
            reason = why_not_written(error, folder.parent)
            shutil.rmtree(folder, ignore_errors=True)  # which makes room for the next attempt
            raise OSError(f"{folder} could not be written ({reason})") from error
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            prune(Path(self.args.output_dir), self.checkpoints_kept)

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader:
        loader = super()._get_dataloader(*args, **kwargs)
        plain = getattr(loader, "base_dataloader", loader)
        plain.worker_init_fn = OutOfTheGroup(plain.worker_init_fn)
        return loader


class KeepSafe(TrainerCallback):
    """Asks for a checkpoint every few minutes, and for a last one when SIGTERM has come to any process.

    Processes agree after every step, since all of them have to save, and stop, at the same one. The last step of an
    epoch is not saved before its evaluation: a run that went on from there would leave that out.
    """

    def __init__(self, trainer: ResumableTrainer, minutes: float):
        self.trainer, self.minutes = trainer, minutes
        self.asked = False
        self.saved = time.monotonic()
        self.before: Any = None

    def __enter__(self) -> None:
        self.asked, self.saved = False, time.monotonic()
        if threading.current_thread() is threading.main_thread():  # Python allows no other to set it
            self.before = signal.signal(signal.SIGTERM, self._ask)

    def __exit__(self, *error: Any) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)
            self.before = None

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True

    def on_step_end(self, args, state, control, **kwargs):
        due = self.minutes > 0 and time.monotonic() - self.saved >= 60 * self.minutes
        wanted = self._anyone(self.asked or due)
        if wanted and not float(state.epoch).is_integer():
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        self.saved = time.monotonic()
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Raise `Stopped` in all processes if SIGTERM came to one of them."""
        if self._anyone(self.asked):
            raise self.stopped()

    def stopped(self) -> Stopped:
        if not self.trainer.is_world_process_zero():
            return Stopped("")
        newest = newest_sealed(Path(self.trainer.args.output_dir))
        start = f"it goes on after {newest.name}" if newest else "it begins anew"
        return Stopped(f"stopped by SIGTERM; give the same command again: {start}.")

    def _anyone(self, flag: bool) -> bool:
        if self.trainer.args.world_size == 1:
            return flag
        told = torch.tensor(float(flag), device=self.trainer.args.device)
        return bool(self.trainer.accelerator.reduce(told, "sum") > 0)


@dataclass
class OutOfTheGroup:
    """Starts a process that loads images in a process group of its own.

    A SIGTERM to the whole group of a run (as torchrun and schedulers send it) would end such a process before the
    step is done; by itself it ends soon after the process that it loads for.
    """

    before: Callable[[int], None] | None

    def __call__(self, worker: int) -> None:
        os.setpgrp()
        if self.before is not None:
            self.before(worker)


def patience_is_over(callbacks: list[TrainerCallback]) -> bool:
    """Whether early stopping has ended the run."""
    stops = [callback for callback in callbacks if isinstance(callback, EarlyStoppingCallback)]
    return any(stop.early_stopping_patience_counter >= stop.early_stopping_patience for stop in stops)


def tell_epoch(loader: Any, epoch: int) -> None:
    """Tell the number of the epoch to every sampler in a loader, however deep.

    accelerate does not reach it below the two wrappers that a loader has when several processes skip batches.
    """
    inner = [getattr(loader, name, None) for name in ("batch_sampler", "sampler")]
    for sampler in inner:
        if sampler is not None:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
            tell_epoch(sampler, epoch)


def is_of_writing(error: Exception) -> bool:
    """Whether a file could not be written. torch tells that by a RuntimeError of its archive writer."""
    return isinstance(error, (OSError, SafetensorError)) or "inline_container" in str(error)


def why_not_written(error: Exception, folder: Path) -> str:
    """The error's reason; torch's archive writer has none, but the disk tells."""
    if isinstance(error, (OSError, SafetensorError)):
        return one_sentence(error).rstrip(".")
    return f"writing stopped in the middle; {shutil.disk_usage(folder).free / 1e6:.1f} MB are free there"


def sentence_of(error: Exception) -> str | None:
    """What a user can put right of an error in training, in one sentence without a full stop; None if it is ours."""
    text = str(error)
    if WORKER in text:
        return _told_by_worker(error)
    if isinstance(error, OSError):
        return one_sentence(error).rstrip(".")
    if text.startswith("DataLoader worker"):
        return (
            f"a process that loads images was ended by the system ({' '.join(text.split())[:120]}); a data file may "
            "have been cut, or memory be short"
        )
    if isinstance(error, distributed.DistError) or "gloo" in text:
        return "another process of this run has ended, and says why"
    return None


def _told_by_worker(error: Exception) -> str | None:
    """The last line of a worker's traceback, without the name of the exception."""
    if not isinstance(error, OSError):
        return None
    return str(error).rstrip().splitlines()[-1].partition(": ")[2].rstrip(".")
