"""What a training run shows as it goes on: a bar of epoch, step, loss, images a second, memory and the time left."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import TrainerCallback

TERMINAL_SECONDS, FILE_SECONDS = (
    0.5,
    120.0,
)  # between two refreshings of the bar; between two lines in a log file
_BAR = "step {n_fmt}/{total_fmt} |{bar:20}| {desc}"


class Meter:
    """Counts the images of all processes and the seconds of training (validation apart), since the process started.

    It also keeps sums of whatever is noted at each step, on their device, so that nobody waits for a GPU.
    """

    def __init__(self) -> None:
        self.images, self._seconds, self._began = 0, 0.0, None
        self._mark = (0, 0.0)
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def start(self) -> None:
        self._began = time.monotonic()

    def stop(self) -> None:
        self._seconds, self._began = self.seconds, None

    @property
    def seconds(self) -> float:
        return self._seconds + (0.0 if self._began is None else time.monotonic() - self._began)

    def note(self, **values: Tensor | None) -> None:
        """Scalars of one batch, by name; None is no value."""
        for name, value in values.items():
            if value is not None:
                self._sums[name] = self._sums.get(name, 0) + value.detach()
                self._counts[name] = self._counts.get(name, 0) + 1

    def rate(self) -> float:
        """Images a second since `take` was called."""
        return _rate(self.images - self._mark[0], self.seconds - self._mark[1])

    def take(self) -> dict[str, float]:
        """The means of what was noted, the images a second and the memory; the next call tells of what comes now."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        found = {**means, "images_per_second": self.rate(), "peak_memory_gib": peak_memory()}
        self._mark, self._sums, self._counts = (self.images, self.seconds), {}, {}
        return found

    def summary(self) -> dict[str, float]:
        """For results.json: images a second of all training in this process, and its peak memory in GiB."""
        rate = _rate(self.images, self.seconds)
        return {"images_per_second": round(rate, 2), "peak_memory_gib": round(peak_memory(), 3)}


def _rate(images: int, seconds: float) -> float:
    return images / seconds if seconds > 0 else 0.0


def peak_memory() -> float:
    """The most that this process has held until now, in GiB: on its GPU, or else in main memory."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): KiB on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


class Progress(TrainerCallback):
    """The bar on the main process's stderr; where that is no terminal, a line every two minutes.

    meter: what the trainer counts; loss: gives the mean training loss since it was last logged.
    """

    def __init__(self, meter: Meter, loss: Callable[[], float]):
        self.meter, self.loss = meter, loss
        self.bar: tqdm | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._first, self._began = state.global_step, time.monotonic()
        self._shown = self._began
        if state.is_world_process_zero and sys.stderr.isatty():
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, bar_format=_BAR, leave=False)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.meter.start()

    def on_step_end(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        pause = FILE_SECONDS if self.bar is None else TERMINAL_SECONDS
        if time.monotonic() - self._shown >= pause or state.global_step == state.max_steps:
            self._shown = time.monotonic()
            self._show(args, state)

    def on_epoch_end(self, args, state, control, **kwargs):
        self.meter.stop()
        control.should_log = True  # an epoch's row is whole, however often steps are logged

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _show(self, args: Any, state: Any) -> None:
        steps = f"{state.global_step}/{state.max_steps}"
        epoch = f"epoch {self._epoch(state)}/{args.num_train_epochs:g}"
        memory = f"{peak_memory():.1f} GiB"
        left = timedelta(seconds=round(self.seconds_left(state)))
        rest = f"loss {self.loss():.3f}  {self.meter.rate():.1f} images/s  {memory}  {left} left"
        if self.bar is None:
            print(f"{epoch}  step {steps}  {rest}", file=sys.stderr, flush=True)
            return
        self.bar.n = state.global_step
        self.bar.set_description_str(f"{epoch}  {rest}")

    @staticmethod
    def _epoch(state: Any) -> int:
        """The epoch that the last step belongs to, counted from 1."""
        return math.ceil(state.epoch)

    def seconds_left(self, state: Any) -> float:
        """By the steps of this session, with the validations and savings that came between them."""
        done = state.global_step - self._first
        return (time.monotonic() - self._began) / max(done, 1) * (state.max_steps - state.global_step)
