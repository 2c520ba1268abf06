"""Pixels on their way to the model: DICOM, breast crop, image processor, pipeline. Flat, so that they travel."""

from transformers import AutoImageProcessor, AutoProcessor

from .breast_crop import BreastBox, find_breast
from .dicom import read_dicom
from .dicom_opener import register_dicom_opener
from .image_files import grey_array, read_image, to_uint8
from .image_processing_mamclip import MamClipBatch, MamClipImageProcessor
from .mammogram import Mammogram, MammogramError
from .pipeline_mamclip import MamClipImageClassificationPipeline, MamClipZeroShotImageClassificationPipeline
from .placement_mamclip import Placement
from .processing_mamclip import MamClipProcessor
from .prompts_mamclip import PROMPT_SETS, Prompts, read_prompts

# The Auto classes find a processor by its name; the key, a configuration elsewhere, is only what it hangs on.
AutoImageProcessor.register(
    MamClipImageProcessor, image_processor_classes={"torchvision": MamClipImageProcessor}, exist_ok=True
)
AutoProcessor.register(MamClipProcessor, MamClipProcessor, exist_ok=True)

__all__ = [
    "PROMPT_SETS",
    "BreastBox",
    "MamClipBatch",
    "MamClipImageClassificationPipeline",
    "MamClipImageProcessor",
    "MamClipProcessor",
    "MamClipZeroShotImageClassificationPipeline",
    "Mammogram",
    "MammogramError",
    "Placement",
    "Prompts",
    "find_breast",
    "grey_array",
    "read_dicom",
    "read_image",
    "read_prompts",
    "register_dicom_opener",
    "to_uint8",
]
