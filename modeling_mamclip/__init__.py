"""The MAM-CLIP model: flat files that travel with a checkpoint. Importing registers it with transformers'
Auto classes."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForPreTraining,
    AutoModelForZeroShotImageClassification,
)

from .configuration_mamclip import BIRADS_LABELS, MamClipConfig, MamClipOnnxConfig, MamClipVisionConfig
from .losses_mamclip import contrastive_loss, known_cross_entropy
from .modeling_mamclip import (
    MamClipForImageClassification,
    MamClipForPreTraining,
    MamClipModel,
    MamClipPreTrainedModel,
    MamClipVisionModel,
)
from .onnx_mamclip import MamClipOnnxForImageClassification, MamClipOnnxModel
from .outputs_mamclip import (
    MamClipForPreTrainingOutput,
    MamClipImageClassifierOutput,
    MamClipOutput,
    MamClipVisionOutput,
)

AutoConfig.register(MamClipConfig.model_type, MamClipConfig, exist_ok=True)
AutoConfig.register(MamClipVisionConfig.model_type, MamClipVisionConfig, exist_ok=True)
AutoConfig.register(MamClipOnnxConfig.model_type, MamClipOnnxConfig, exist_ok=True)
AutoModel.register(MamClipConfig, MamClipModel, exist_ok=True)
AutoModel.register(MamClipOnnxConfig, MamClipOnnxModel, exist_ok=True)
AutoModelForZeroShotImageClassification.register(MamClipConfig, MamClipModel, exist_ok=True)
AutoModelForZeroShotImageClassification.register(MamClipOnnxConfig, MamClipOnnxModel, exist_ok=True)
AutoModelForPreTraining.register(MamClipConfig, MamClipForPreTraining, exist_ok=True)
AutoModelForImageClassification.register(MamClipConfig, MamClipForImageClassification, exist_ok=True)
AutoModelForImageClassification.register(MamClipOnnxConfig, MamClipOnnxForImageClassification, exist_ok=True)

__all__ = [
    "BIRADS_LABELS",
    "MamClipConfig",
    "MamClipForImageClassification",
    "MamClipForPreTraining",
    "MamClipForPreTrainingOutput",
    "MamClipImageClassifierOutput",
    "MamClipModel",
    "MamClipOnnxConfig",
    "MamClipOnnxForImageClassification",
    "MamClipOnnxModel",
    "MamClipOutput",
    "MamClipPreTrainedModel",
    "MamClipVisionConfig",
    "MamClipVisionModel",
    "MamClipVisionOutput",
    "contrastive_loss",
    "known_cross_entropy",
]
