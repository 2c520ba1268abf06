"""transformers' Trainer for both jobs: learning rates by part, and a validation loss that adds up over batches."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from .balanced_sampling import BalancedSampler
from .callbacks import FindBest
from .data import SeededExamples
from .gradient_cache import cached_backward
from .masking import IGNORED
from .options import TrainingOptions
from .runs import CHECKPOINTS

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
        "save_total_limit": 1,
        "load_best_model_at_end": True,
        "restore_callback_states_from_checkpoint": True,  # patience has counted some epochs already
        "metric_for_best_model": best,
        "greater_is_better": greater_is_better,
        "remove_unused_columns": False,
        "label_names": ["labels", "density_labels"],
        "disable_tqdm": True,
        **_precision(options.precision),
    }
    _refuse_unknown(options.trainer)
    return TrainingArguments(**{**chosen, **options.trainer})


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
    return {"bf16": wanted == "bf16", "fp16": wanted == "fp16"}


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


class PartwiseTrainer(Trainer):
    """A Trainer with a learning rate of its own for some parts of the model.

    rates: prefix of parameter names → learning rate; all other parameters have the general one.
    """

    def __init__(
        self, *args: Any, rates: Mapping[str, float] | None = None, patience: int = 0, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.rates = dict(rates or {})
        self.remove_callback(PrinterCallback)
        self.add_callback(FindBest)
        if patience:
            self.add_callback(EarlyStoppingCallback(early_stopping_patience=patience))

    def compute_loss(self, model, inputs, **kwargs):
        rest_frozen_statistics(self.model)
        return super().compute_loss(model, inputs, **kwargs)

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

    On validation, the contrastive loss is a mean over pairs, the masked-language loss one over masked tokens; so both
    are summed with those weights over batches and processes, and the whole loss is put together from the two means.
    """

    def __init__(self, *args: Any, micro_batch: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.micro_batch = micro_batch

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """As the Trainer has it; an epoch's last batch is told how many pairs of all processes it holds."""
        batches, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        state = self.accelerator.gradient_state
        if batches and state.end_of_dataloader and state.remainder > 0:
            batches[-1][REAL] = state.remainder
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
        sums = torch.zeros(4, dtype=torch.float64)
        for inputs in dataloader:
            sums += self._batch_sums(model, self._prepare_inputs(inputs)).cpu()
        sums = self.accelerator.reduce(sums.float().to(self.args.device)).double().cpu()
        contrastive, mlm = sums[0] / sums[1], sums[2] / sums[3].clamp(min=1)
        values = {"contrastive_loss": float(contrastive)}
        if self.model.config.mlm_weight > 0:
            values["mlm_loss"] = float(mlm)
        values["loss"] = float(contrastive + self.model.config.mlm_weight * mlm)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in values.items()}
        return EvalLoopOutput(None, None, metrics, num_samples=self.num_examples(dataloader))

    @torch.no_grad()
    def _batch_sums(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """(4,) float64: contrastive loss × pairs, pairs, masked-language loss × masked tokens, masked tokens."""
        with self.compute_loss_context_manager():
            output = model(**inputs)
        pairs, words, mlm = len(inputs["input_ids"]), 0, 0.0
        if output.mlm_loss is not None:
            words, mlm = int((inputs["mlm_labels"] != IGNORED).sum()), float(output.mlm_loss)
        return torch.tensor([float(output.contrastive_loss) * pairs, pairs, mlm * words, words]).double()


class ClassificationTrainer(PartwiseTrainer):
    """BI-RADS and density together.

    class_weights (classes,): weigh the classes of one of the two; weighted: the name of its labels in a batch.
    balanced: its labels, one for each training example, whose classes are to occur equally often in every epoch.
    """

    def __init__(
        self,
        *args: Any,
        class_weights: Tensor | None = None,
        weighted: str = "labels",
        balanced: Sequence[int] | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.class_weights, self.weighted, self.balanced = class_weights, weighted, balanced

    def _get_train_sampler(self, train_dataset: SeededExamples | None = None) -> Sampler | None:
        if self.balanced is None:
            return super()._get_train_sampler(train_dataset)
        return BalancedSampler(self.balanced, self.args.seed, self.train_dataset.epoch)

    def compute_loss(self, model, inputs, return_outputs: bool = False, num_items_in_batch=None):
        self._rest_frozen_parts()
        if self.class_weights is None:
            return super().compute_loss(model, inputs, return_outputs=return_outputs)
        rest_frozen_statistics(self.model)
        labels = inputs[self.weighted]
        output = model(**{name: value for name, value in inputs.items() if name != self.weighted})
        logits = output.logits if self.weighted == "labels" else output.density_logits
        output.loss = output.loss + weighted_cross_entropy(logits, labels, self.class_weights)
        return (output.loss, output) if return_outputs else output.loss

    def _rest_frozen_parts(self) -> None:
        """A linear probe's encoder stays as it is, batch statistics included, and drops nothing."""
        for part in self.model.children():
            trained = [parameter.requires_grad for parameter in part.parameters()]
            if trained and not any(trained):
                part.eval()


def rest_frozen_statistics(model: nn.Module) -> None:
    """Batch norms whose weights are frozen, as in an encoder with adapters, keep their statistics too."""
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            weights = [parameter.requires_grad for parameter in module.parameters()]
            if weights and not any(weights):
                module.eval()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of logits (N, C), each known label (N,) counted with its class's weight (C,)."""
    weights = weights.to(logits.device)
    total = F.cross_entropy(logits.float(), labels, weights, ignore_index=IGNORED, reduction="sum")
    return total / weights[labels[labels != IGNORED]].sum().clamp(min=1e-6)
