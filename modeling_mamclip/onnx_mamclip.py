"""The models of a release as ONNX files, run by ONNX Runtime. Outside they are what the PyTorch models are.

    classifier.onnx                              BI-RADS and density (MamClipOnnxForImageClassification)
    image_encoder.onnx  text_encoder.onnx        the aligned pair (MamClipOnnxModel)

A file has a batch of any size, images of one size, and captions of any length (of the context's length alone, where
the configuration has `attend_to_padding`). It computes in float32. Nothing here has a gradient.
"""

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor
from transformers.utils import can_return_tuple
from transformers.utils.hub import cached_file

from .configuration_mamclip import MamClipOnnxConfig
from .encoders_mamclip import check_pixels
from .losses_mamclip import classification_loss
from .modeling_mamclip import MamClipModel, MamClipPreTrainedModel
from .outputs_mamclip import MamClipImageClassifierOutput

try:
    import onnxruntime
except ImportError:
    onnxruntime = None
else:
    onnxruntime.disable_telemetry_events()  # reading a mammogram tells nobody

CLASSIFIER, IMAGE_ENCODER, TEXT_ENCODER = "classifier.onnx", "image_encoder.onnx", "text_encoder.onnx"
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")  # in the order of preference
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
# What the Auto classes and pipelines hand on beside these, and what has no meaning here.
OTHER_OPTIONS = ("adapter_kwargs", "device_map", "trust_remote_code", "_from_auto", "_from_pipeline")


class OnnxFile:
    """One ONNX file, to be called with tensors by name."""

    def __init__(self, path: str, providers: Sequence):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; its warnings are about its own optimisations
        options.intra_op_num_threads = torch.get_num_threads()  # a limit that holds for PyTorch holds here
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=list(providers))
        except Exception as error:  # ONNX Runtime's errors have no class of their own in common
            reason = " ".join(str(error).split())[:160]
            raise OSError(
                f"{path} cannot be opened by ONNX Runtime ({reason}); get a new copy of it."
            ) from error
        self.shapes = {given.name: given.shape for given in self.session.get_inputs()}

    def __call__(self, **inputs: Tensor) -> list[Tensor]:
        """The file's outputs, in its order and on the device of its inputs."""
        device = next(iter(inputs.values())).device
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in inputs.items()}
        return [torch.from_numpy(output).to(device) for output in self.session.run(None, arrays)]


class OnnxImages(OnnxFile):
    """A file that is called as a MamClipVisionEncoder is; its outputs are that encoder's, or a classifier's logits."""

    def __call__(self, pixel_values: Tensor) -> list[Tensor]:
        check_pixels(pixel_values, *self.shapes["pixel_values"][1:])
        return super().__call__(pixel_values=pixel_values.float())

    def with_stages(self, pixel_values: Tensor) -> NoReturn:
        _refuse_hidden_states()


class OnnxCaptions(OnnxFile):
    """A file that is called as a MamClipTextEncoder is."""

    def __call__(self, input_ids: Tensor, attention_mask: Tensor | None) -> list[Tensor]:
        inputs = {"input_ids": input_ids.long()}
        if "attention_mask" in self.shapes:
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            inputs["attention_mask"] = mask.long()
        return super().__call__(**inputs)

    def with_layers(self, input_ids: Tensor, attention_mask: Tensor | None) -> NoReturn:
        _refuse_hidden_states()


def _refuse_hidden_states() -> NoReturn:
    raise ValueError("ONNX files give no hidden states; open the release that they were exported from.")


class MamClipOnnxPreTrained:
    """How a model that is made of ONNX files is opened, and where it is."""

    config_class = MamClipOnnxConfig
    files: dict[str, type[OnnxFile]] = {}  # what a class is made of, in the order of its __init__

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *,
        config: MamClipOnnxConfig | None = None,
        providers: Sequence | None = None,
        dtype: str | torch.dtype | None = "auto",
        **options,
    ):
        """Open an exported folder, or one of the Hub by its name.

        providers: ONNX Runtime's, by name or as (name, options), in the order of preference; None: CUDA where this
            installation has it, or else the CPU.
        options: those of the Hub, such as revision, token, cache_dir; without a config, also its fields.

        Raises ImportError without onnxruntime, ValueError for a dtype or a provider that there is not, OSError for
        missing files.
        """
        _require_runtime()
        hub = {name: options.pop(name) for name in HUB_OPTIONS if name in options}
        if config is None:
            config, options = cls.config_class.from_pretrained(
                pretrained_model_name_or_path, return_unused_kwargs=True, **hub, **options
            )
        _refuse_unknown_options(cls, options)
        if dtype not in ("auto", None, "float32", torch.float32):
            raise ValueError(f"dtype is {dtype}, but ONNX files compute in float32; leave it out.")
        providers = _providers(providers)
        opened = [
            kind(cached_file(pretrained_model_name_or_path, name, **hub), providers)
            for name, kind in cls.files.items()
        ]
        return cls(config, *opened).eval()

    def save_pretrained(self, *args, **options) -> NoReturn:
        raise ValueError("an ONNX model has no weights to save; copy the folder that it was opened from.")

    @property
    def device(self) -> torch.device:
        """Inputs pass through the host's memory, whatever device ONNX Runtime computes on."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32


def _require_runtime() -> None:
    if onnxruntime is None:
        raise ImportError("this model is run by ONNX Runtime, which is missing; pip install onnxruntime")


def _refuse_unknown_options(cls: type, options: dict) -> None:
    unknown = sorted(set(options) - set(OTHER_OPTIONS))
    if unknown:
        raise TypeError(
            f"{cls.__name__}.from_pretrained has no option {unknown[0]!r}; it has config, providers, dtype, "
            f"{', '.join(HUB_OPTIONS)}."
        )


def _providers(given: Sequence | None) -> list:
    available = onnxruntime.get_available_providers()
    if given is None:
        return [name for name in PROVIDERS if name in available]
    for provider in given:
        name = provider if isinstance(provider, str) else provider[0]
        if name not in available:
            raise ValueError(f"ONNX Runtime has no provider {name!r} here; it has {', '.join(available)}.")
    return list(given)


class MamClipOnnxModel(MamClipOnnxPreTrained, MamClipModel):
    """MamClipModel with both encoders as ONNX files: its methods call them in the place of its own."""

    files = {IMAGE_ENCODER: OnnxImages, TEXT_ENCODER: OnnxCaptions}

    def __init__(self, config: MamClipOnnxConfig, images: OnnxImages, captions: OnnxCaptions):
        MamClipPreTrainedModel.__init__(self, config)  # and not MamClipModel's, which makes encoders
        self.vision_model, self.text_model = images, captions
        self.logit_scale = torch.tensor(float(config.logit_scale))


class MamClipOnnxForImageClassification(MamClipOnnxPreTrained, MamClipPreTrainedModel):
    """MamClipForImageClassification as one ONNX file."""

    input_modalities = ("image",)
    files = {CLASSIFIER: OnnxImages}

    def __init__(self, config: MamClipOnnxConfig, classifier: OnnxImages):
        super().__init__(config)
        self.classifier = classifier

    @can_return_tuple
    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        density_labels: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> MamClipImageClassifierOutput:
        """As MamClipForImageClassification's, for images of the size that was exported; no hidden states."""
        if output_hidden_states:
            _refuse_hidden_states()
        logits, density_logits = self.classifier(pixel_values)
        loss = classification_loss((logits, labels), (density_logits, density_labels))
        return MamClipImageClassifierOutput(loss, logits, density_logits)


__all__ = ["MamClipOnnxForImageClassification", "MamClipOnnxModel"]
