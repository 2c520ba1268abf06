"""transformers' Trainer with learning rates by part, and pretraining's; classification's has a file of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from .callbacks import FindBest
from .gradient_cache import cached_backward
from .launching import refuse_launch, refuse_with_fsdp
from .options import TrainingOptions
from .progress import Meter, Progress
from .resumable import ResumableTrainer
from .runs import CHECKPOINTS
from .validation import Recall, validate

LOGS = "logs"
# Names of parameters that are added to or take the place of a token: they do not decay, as norms and biases do not.
_TOKENS = re.compile(r"position|pos_embed|(image|cls|mask)_token")
REAL = "real_pairs"  # of an epoch's last batch: how many pairs of all processes are not there for the second time


def training_arguments(
    options: TrainingOptions, *, best: str, greater_is_better: bool, shared_batch: bool = False
) -> TrainingArguments:
    """Our options as TrainingArguments: evaluate and save every epoch, and end with the best checkpoint.

    best: the metric that chooses it. shared_batch: `batch_size` is that of all processes together. Fields in
    `options.trainer` win. ValueError for a field that does not exist, or a batch that cannot be shared.
    """
    chosen = {
        "output_dir": str(Path(options.output, CHECKPOINTS)),
        "num_train_epochs": options.epochs,
        "per_device_train_batch_size": share_of(options.batch_size) if shared_batch else options.batch_size,
        "per_device_eval_batch_size": options.batch_size,
        "gradient_accumulation_steps": options.accumulation,
        "activation_checkpointing": options.gradient_checkpointing,
        "learning_rate": options.learning_rate,
        "weight_decay": options.weight_decay,
        "lr_scheduler_type": _schedule(options),
        "warmup_steps": options.warmup,
        "seed": options.seed,
        "dataloader_num_workers": options.workers,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "logging_strategy": "epoch",
        "logging_nan_inf_filter": False,
        "save_total_limit": 2,  # so that there is another one if the newest is damaged
        "load_best_model_at_end": True,
        "restore_callback_states_from_checkpoint": True,  # patience has counted some epochs already
        "metric_for_best_model": best,
        "greater_is_better": greater_is_better,
        "remove_unused_columns": False,
        "label_names": ["labels", "density_labels"],
        "disable_tqdm": True,  # Progress has a bar of its own
        **_precision(options.precision),
        **_reports(options),
    }
    _refuse_unknown(options.trainer)
    refuse_launch(options.trainer)
    arguments = TrainingArguments(**{**chosen, **options.trainer})
    refuse_with_fsdp(arguments, options)
    return arguments


def _reports(options: TrainingOptions) -> dict[str, Any]:
    """Where to log, every ten steps; TensorBoard's files go to OUTPUT/logs, since checkpoints are deleted."""
    if not options.report_to:
        return {}
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(Path(options.output, LOGS)))
    name = Path(options.output).name
    return {
        "report_to": options.report_to,
        "run_name": name,
        "logging_strategy": "steps",
        "logging_steps": 10,
    }


def share_of(batch_size: int) -> int:
    """Each process's part of a batch. Raises ValueError where processes would have unequal parts."""
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if batch_size % processes:
        raise ValueError(
            f"batch_size is {batch_size}, which {processes} processes cannot share equally; give a multiple of it."
        )
    return batch_size // processes


def _schedule(options: TrainingOptions) -> str:
    return "constant_with_warmup" if options.schedule == "constant" and options.warmup else options.schedule


def _precision(wanted: str) -> dict[str, bool]:
    """Mixed precision as asked for, by accelerate's setting, or by what the GPU can do."""
    if wanted == "auto":
        wanted = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        if wanted not in ("bf16", "fp16"):
            wanted = _best_precision()
    on_cpu = wanted == "bf16" and not torch.accelerator.is_available()  # TrainingArguments wants to be told
    return {"bf16": wanted == "bf16", "fp16": wanted == "fp16", "use_cpu": on_cpu}


def _best_precision() -> str:
    if not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    names = [entry.name for entry in fields(TrainingArguments) if entry.init]
    for name in given:
        if name not in names:
            nearest = get_close_matches(name, names, n=1, cutoff=0.0)[0]
            raise ValueError(f"trainer has the unknown field {name!r}; did you mean {nearest!r}?")


def best_epoch(state: TrainerState) -> dict[str, float]:
    """The epoch whose checkpoint was kept, counted from 1, and the score that chose it."""
    steps = [entry for entry in state.log_history if entry.get("step") == state.best_global_step]
    return {"best_epoch": round(steps[0]["epoch"]), "best_validation": state.best_metric}


class PartwiseTrainer(ResumableTrainer):
    """A Trainer with a learning rate of its own for some parts of the model.

    rates: prefix of parameter names → learning rate; all other parameters have the general one. order: of an epoch's
    examples; by default a seeded shuffle.
    """

    def __init__(
        self,
        *args: Any,
        rates: Mapping[str, float] | None = None,
        patience: int = 0,
        order: Sampler[int] | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.order = order
        self.rates = dict(rates or {})
        self.meter = Meter()
        self.remove_callback(PrinterCallback)
        self.add_callback(FindBest)
        self.add_callback(Progress(self.meter, self.running_loss))
        if patience:
            self.add_callback(EarlyStoppingCallback(early_stopping_patience=patience))

    def _get_train_sampler(self, train_dataset=None) -> Sampler[int] | None:
        return super()._get_train_sampler(train_dataset) if self.order is None else self.order

    def compute_loss(self, model, inputs, **kwargs):
        rest_frozen_statistics(self.model)
        return super().compute_loss(model, inputs, **kwargs)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """As the Trainer has it; the images of all processes are counted, without those that fill up the last batch."""
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        sizes = [self.accelerator.num_processes * len(next(iter(batch.values()))) for batch in batches]
        state = self.accelerator.gradient_state
        if batches and state.end_of_dataloader and state.remainder > 0:
            sizes[-1] = state.remainder
        self.meter.images += sum(sizes)
        return batches, count

    def running_loss(self) -> float:
        """The mean training loss since it was last logged."""
        steps = self.state.global_step - self._globalstep_last_logged
        return float(self._tr_loss) / max(steps, 1)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As the Trainer has it; beside a training loss stand its parts, the parts' rates, speed and memory."""
        if "loss" in logs:
            logs = {**logs, **self.meter.take(), **self._part_rates()}
        super().log(logs, start_time)

    def _part_rates(self) -> dict[str, float]:
        """The present learning rate of each part that has one of its own, as `learning_rate_text`."""
        found = {}
        for prefix, rate in self.rates.items():
            groups = [group for group in self.optimizer.param_groups if group["initial_lr"] == rate]
            if groups:
                found[f"learning_rate_{prefix.partition('_model')[0]}"] = groups[0]["lr"]
        return found

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Matrices and kernels: no norms, biases, scales or temperatures, and no positions or extra tokens."""
        matrices = {name for name, parameter in model.named_parameters() if parameter.ndim >= 2}
        names = super().get_decay_parameter_names(model)
        return [name for name in names if name in matrices and not _TOKENS.search(name)]

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            model = self.model if model is None else model
            kind, arguments = self.get_optimizer_cls_and_kwargs(self.args, model)
            self.optimizer = kind(self._groups(model), **arguments)
        return self.optimizer

    def _groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups by learning rate and by whether they decay."""
        decaying = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                decay = self.args.weight_decay if name in decaying else 0.0
                groups.setdefault((self._rate(name), decay), []).append(parameter)
        return [{"params": p, "lr": lr, "weight_decay": decay} for (lr, decay), p in groups.items()]

    def _rate(self, name: str) -> float:
        rates = [rate for prefix, rate in self.rates.items() if name.startswith(prefix)]
        return rates[0] if rates else self.args.learning_rate


class PretrainingTrainer(PartwiseTrainer):
    """Contrasts the pairs of all processes, and measures both parts of the loss on validation.

    micro_batch: how many pairs go through the model at once; 0: all of a process's. The gradient is the same.
    recall: what `validate` asks for eval_recall; None: it is not measured.
    """

    def __init__(self, *args: Any, micro_batch: int = 0, recall: Recall | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.micro_batch, self.recall = micro_batch, recall

    def compute_loss(self, model, inputs, return_outputs: bool = False, **kwargs):
        loss, output = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        self.note_losses(output.contrastive_loss, output.mlm_loss, output.scale)
        return (loss, output) if return_outputs else loss

    def note_losses(self, contrastive: Tensor, mlm: Tensor | None, scale: Tensor) -> None:
        """Both parts of a training batch's loss, and the inverse temperature, for the logs."""
        self.meter.note(contrastive_loss=contrastive, mlm_loss=mlm, scale=scale)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """As the Trainer has it; an epoch's last batch is told how many pairs of all processes it holds."""
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        # accelerate's own remainder is unknown in an epoch that goes on in its middle
        remainder = len(self.train_dataset) % (self._train_batch_size * self.accelerator.num_processes)
        if batches and self.accelerator.gradient_state.end_of_dataloader and remainder:
            batches[-1][REAL] = remainder
        return batches, count

    def training_step(self, model, inputs, num_items_in_batch=None) -> Tensor:
        real = inputs.pop(REAL, None)
        alone = self.accelerator.num_processes == 1
        if alone and not 0 < self.micro_batch < len(inputs["input_ids"]):
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        rest_frozen_statistics(self.model)
        weight = 1 / self.current_gradient_accumulation_steps
        loss = cached_backward(
            self.accelerator,
            model,
            self._prepare_inputs(inputs),
            micro_batch=self.micro_batch,
            real=real,
            weight=weight,
            note=self.note_losses,
        )
        return weight * loss

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        model = self._wrap_model(self.model, training=False).eval()
        size = self.args.per_device_eval_batch_size
        values = validate(self.accelerator, model, dataloader, batch_size=size, recall=self.recall)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in values.items()}
        return EvalLoopOutput(None, None, metrics, num_samples=self.num_examples(dataloader))


def rest_frozen_statistics(model: nn.Module) -> None:
    """Batch norms whose weights are frozen, as in an encoder with adapters, keep their statistics too."""
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            weights = [parameter.requires_grad for parameter in module.parameters()]
            if weights and not any(weights):
                module.eval()
