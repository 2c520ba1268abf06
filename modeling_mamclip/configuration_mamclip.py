"""Configuration of MAM-CLIP: a timm vision encoder, a BERT-like text encoder, and what joins them.

Every field is checked when a configuration is made, and a keyword that is not a field is refused:
transformers itself would keep it silently.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields
from difflib import get_close_matches
from functools import wraps
from typing import Any, Literal

import timm
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

# The five classes of the paper: BI-RADS 6 is merged into 5 and BI-RADS 3 left out (section 4).
BIRADS_LABELS = ("BI-RADS 0", "BI-RADS 1", "BI-RADS 2", "BI-RADS 4", "BI-RADS 5")

# What transformers and the Hub write into a config.json, or hand to a configuration, beside its own fields.
# Parameters of text generation (`temperature`, …) are not among them: a misspelt field often looks like one.
_TRANSFORMERS_KEYS = frozenset(
    {
        *("model_type", "auto_map", "custom_pipelines", "processor_class", "name_or_path", "torch_dtype"),
        *("num_labels", "output_attentions", "attn_implementation", "experts_implementation", "use_cache"),
        *("gradient_checkpointing", "quantization_config", "tie_word_embeddings", "task_specific_params"),
        *("per_layer_config", "base_model_tp_plan", "adapter_kwargs", "transformers_weights"),
    }
)
# What the vision encoder sets itself, and what would make it something else than a feature extractor.
_RESERVED_MODEL_ARGS = ("checkpoint_path", "features_only", "in_chans", "num_classes", "pretrained")


def _own_fields(cls: type) -> list[str]:
    """The fields that a user may set; transformers' bookkeeping is left out of error messages."""
    inherited = {f.name for f in fields(PreTrainedConfig)}
    return [f.name for f in fields(cls) if f.name not in inherited or f.name in ("id2label", "label2id")]


def refuse_unknown_fields(cls: type, names: Iterable[str]) -> None:
    """Raise ValueError for the first keyword that is neither a field nor transformers' own."""
    known = {f.name for f in fields(cls)} | _TRANSFORMERS_KEYS
    for name in names:
        if name in known or name.startswith("_"):
            continue
        nearest = get_close_matches(name, _own_fields(cls), n=1, cutoff=0.5)
        hint = (
            f"did you mean {nearest[0]!r}?" if nearest else f"the fields are {', '.join(_own_fields(cls))}."
        )
        raise ValueError(f"{cls.__name__} has no field {name!r}; {hint}")


def _with_plain_error(function: Callable, config: PreTrainedConfig, *args, **kwargs) -> None:
    """Call `function(config, …)`; what @strict raises becomes a ValueError of one sentence."""
    try:
        function(config, *args, **kwargs)
    except StrictDataclassError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"{type(config).__name__}: {reason}") from error


def _plain_errors(cls: type) -> type:
    """Class decorator over @strict: refuse unknown keywords, and raise every violation as a ValueError."""
    checked_init, checked_validate = cls.__init__, cls.validate

    @wraps(checked_init)
    def __init__(self, *args, **kwargs):
        refuse_unknown_fields(cls, kwargs)
        _with_plain_error(checked_init, self, *args, **kwargs)

    @wraps(checked_validate)
    def validate(self):
        _with_plain_error(checked_validate, self)

    cls.__init__, cls.validate = __init__, validate
    return cls


def _check_positive(config: PreTrainedConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}, but it must be at least 1.")


@_plain_errors
@strict
class MamClipVisionConfig(PreTrainedConfig):
    """The vision encoder: any classification architecture of timm, without its classifier.

    architecture: timm's name, such as "convnext_small" (the paper's), "convnext_tiny", "convnextv2_nano".
    model_args: further arguments of that architecture, such as {"drop_path_rate": 0.1} or {"depths": [1, 1,
        3, 1]}.
    image_size: (height, width) that the model is meant for; convolutional encoders take other sizes as well.
    num_channels: channels of `pixel_values`; grey mammograms are repeated three times.
    pixel_mean, pixel_std: `pixel_values` (0 … 1) are shifted and divided by these before the first layer. 0 and 1,
        as published, leave them as they are.
    """

    model_type = "mamclip_vision"
    base_config_key = "vision_config"

    architecture: str = "convnext_small"
    model_args: dict[str, Any] = field(default_factory=dict)
    image_size: tuple[int, ...] | list[int] = (1024, 768)
    num_channels: int = 3
    pixel_mean: float | int = 0.0
    pixel_std: float | int = 1.0

    def __post_init__(self, **kwargs):
        self.image_size = tuple(self.image_size)
        super().__post_init__(**kwargs)

    def validate_vision_architecture(self):
        if not timm.is_model(self.architecture):
            names = timm.list_models()
            base = self.architecture.split(".")[0]
            nearest = get_close_matches(base, names, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"timm {timm.__version__} has no model {self.architecture!r}; the nearest name is {nearest!r}, "
                "and timm.list_models() lists all."
            )

    def validate_vision_model_args(self):
        for name in _RESERVED_MODEL_ARGS:
            if name in self.model_args:
                raise ValueError(f"model_args must not set {name!r}: the vision encoder sets it itself.")

    def validate_image_size(self):
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(
                f"image_size must be (height, width), both at least 1, but it is {self.image_size}."
            )
        _check_positive(self, "num_channels")

    def validate_pixel_scale(self):
        if self.pixel_std <= 0:
            raise ValueError(f"pixel_std is {self.pixel_std}, but it must be positive.")


@_plain_errors
@strict
class MamClipConfig(PreTrainedConfig):
    """Both encoders, the contrastive and masked-language losses, and the two classification heads.

    vision_config, text_config: sub-configurations, or dicts of their fields. The text encoder is any
        BERT-like model that transformers knows by its `model_type`; default BERT-base, which is BiomedBERT's
        (PubMedBERT's) shape.
    projection_dim: width of the space in which images and captions are compared.
    text_pooling: what stands for a caption: "cls", its first token, as published, or "mean" of its tokens, which
        suits text encoders that were trained so, as those of sentence-transformers.
    context_length: longest caption in tokens; processors cut to it.
    attend_to_padding: published weights only: captions are padded to `context_length`, and the text encoder and
        the fusion transformer attend to the padding.
    learn_temperature: whether `logit_scale`, the logarithm of the inverse temperature, is trained.
    logit_scale_init_value, logit_scale_max: its start, ln(1/0.07), and the bound of its exponential (None: no
        bound, as published).
    contrastive_reduction: "mean" of the two directions, as the authors' code has it, or the "sum" of the
        paper's formula.
    shared_captions: what pairs of one caption are to each other: "positives", or "negatives", as published.
    mlm_weight: the λ of the paper; 0 leaves out the fusion transformer and the masked-language head.
    fusion_layers, fusion_heads: of the transformer that reads caption and image together.
    mlm_vocab_size: outputs of the masked-language head; None: the text encoder's vocabulary. Published weights
        have 49408, of which 30522 are words.
    id2label, density_labels: names of the BI-RADS and the density classes.
    classifier_encoder: "shared": the classification heads sit on the aligned vision encoder (linear probe);
        "own": on a vision encoder of their own (full fine-tuning), kept beside the aligned one.
    classifier_dropout: probability of dropping a feature before the classification heads.
    birads_temperature, density_temperature: what a head's logits are divided by where probabilities are made of them
        (pipeline, predict.py), so that these mean what they say; fitted on validation images by export_release.py. The
        model's own `logits` stay as they are. 1: no change.
    provenance: what the weights were made from, in plain JSON values; it travels with them.
    """

    model_type = "mamclip"
    sub_configs = {"vision_config": MamClipVisionConfig, "text_config": AutoConfig}
    # Trainer gathers the other outputs over batches; these differ in length from batch to batch.
    keys_to_ignore_at_inference = [
        "mlm_logits",
        "hidden_states",
        "last_hidden_state",
        "vision_model_output",
        "text_model_output",
        "logits_per_image",
        "logits_per_text",
    ]

    vision_config: PreTrainedConfig | dict[str, Any] | None = None
    text_config: PreTrainedConfig | dict[str, Any] | None = None
    projection_dim: int = 768
    text_pooling: Literal["cls", "mean"] = "cls"
    context_length: int = 256
    attend_to_padding: bool = False
    learn_temperature: bool = True
    logit_scale_init_value: float | int = math.log(1 / 0.07)
    logit_scale_max: float | int | None = 100.0
    contrastive_reduction: Literal["mean", "sum"] = "mean"
    shared_captions: Literal["positives", "negatives"] = "positives"
    mlm_weight: float | int = 0.5
    fusion_layers: int = 1
    fusion_heads: int = 8
    mlm_vocab_size: int | None = None
    density_labels: tuple[str, ...] | list[str] = ("A", "B", "C", "D")
    classifier_encoder: Literal["shared", "own"] = "shared"
    classifier_dropout: float | int = 0.0
    birads_temperature: float | int = 1.0
    density_temperature: float | int = 1.0
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self, **kwargs):
        self.vision_config = _vision_config(self.vision_config)
        self.text_config = _text_config(self.text_config)
        self.density_labels = tuple(self.density_labels)
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(enumerate(BIRADS_LABELS))
        super().__post_init__(**kwargs)
        self.label2id = {name: index for index, name in self.id2label.items()}

    @property
    def mlm_width(self) -> int:
        """Outputs of the masked-language head."""
        return self.mlm_vocab_size or self.text_config.vocab_size

    def validate_widths(self):
        _check_positive(
            self, "projection_dim", "context_length", "fusion_layers", "fusion_heads", "mlm_vocab_size"
        )
        width = self.text_config.hidden_size
        if self.mlm_weight > 0 and width % self.fusion_heads:
            raise ValueError(
                f"fusion_heads is {self.fusion_heads}, which does not divide the text width {width}."
            )

    def validate_text_activation(self):
        name = getattr(self.text_config, "hidden_act", None)
        if isinstance(name, str) and name not in ACT2FN:
            nearest = get_close_matches(name, ACT2FN, n=1, cutoff=0.0)[0]
            raise ValueError(f"text_config has the unknown hidden_act {name!r}; did you mean {nearest!r}?")

    def validate_context_length(self):
        positions = getattr(self.text_config, "max_position_embeddings", None)
        if positions is not None and self.context_length > positions:
            raise ValueError(
                f"context_length is {self.context_length}, but the text encoder has {positions} positions."
            )

    def validate_loss(self):
        if self.mlm_weight < 0:
            raise ValueError(f"mlm_weight is {self.mlm_weight}, but it must not be negative.")
        if not 0 <= self.classifier_dropout < 1:
            raise ValueError(f"classifier_dropout is {self.classifier_dropout}, but it must be in [0, 1).")
        if self.logit_scale_max is not None and self.logit_scale_max < math.exp(self.logit_scale_init_value):
            raise ValueError(
                f"logit_scale_max is {self.logit_scale_max}, below the scale exp(logit_scale_init_value) = "
                f"{math.exp(self.logit_scale_init_value):.4g} that training starts from."
            )

    def validate_temperatures(self):
        for name in ("birads_temperature", "density_temperature"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}, but it must be positive and finite; 1 changes nothing.")

    def validate_labels(self):
        if self.problem_type not in (None, "single_label_classification"):
            raise ValueError(
                f"problem_type is {self.problem_type!r}, but BI-RADS is a single-label classification."
            )
        if sorted(self.id2label) != list(range(len(self.id2label))):
            raise ValueError(
                f"id2label must number its classes 0, 1, 2, …, but its keys are {sorted(self.id2label)}."
            )
        for name, labels in (
            ("id2label", tuple(self.id2label.values())),
            ("density_labels", self.density_labels),
        ):
            if len(labels) < 2 or len(set(labels)) < len(labels):
                raise ValueError(
                    f"{name} must name at least two classes, each once, but it names {list(labels)}."
                )


@_plain_errors
@strict
class MamClipOnnxConfig(MamClipConfig):
    """What MamClipConfig says, of a model whose weights are ONNX files (onnx_mamclip.py).

    logit_scale: the trained logarithm of the inverse temperature, which is in none of the files; None: there is no
        aligned model, only a classifier.
    """

    model_type = "mamclip_onnx"

    logit_scale: float | int | None = None


def _vision_config(given: PreTrainedConfig | Mapping | None) -> PreTrainedConfig:
    return given if isinstance(given, PreTrainedConfig) else MamClipVisionConfig(**(given or {}))


def _text_config(given: PreTrainedConfig | Mapping | None) -> PreTrainedConfig:
    """A text configuration from itself, from a dict of its fields (BERT's unless it says otherwise), or
    BERT-base."""
    if isinstance(given, PreTrainedConfig):
        return given
    model_type = (given or {}).get("model_type", "bert")
    if model_type not in CONFIG_MAPPING:
        raise ValueError(
            f"text_config has model_type {model_type!r}, which transformers does not know; "
            "name a BERT-like one, such as 'bert' or 'modernbert'."
        )
    return CONFIG_MAPPING[model_type](**(given or {}))


__all__ = ["BIRADS_LABELS", "MamClipConfig", "MamClipOnnxConfig", "MamClipVisionConfig"]
