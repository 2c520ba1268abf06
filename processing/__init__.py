"""Pixels on their way to the model: DICOM, breast crop, image processor, pipeline. Flat, so that they travel."""

from transformers import AutoImageProcessor

from .breast_crop import BreastBox, find_breast
from .dicom import read_dicom
from .dicom_opener import register_dicom_opener
from .image_files import grey_array, read_image, to_uint8
from .image_processing_mamclip import MamClipImageProcessor
from .mammogram import Mammogram, MammogramError
from .pipeline_mamclip import MamClipImageClassificationPipeline, MamClipZeroShotImageClassificationPipeline
from .processing_mamclip import MamClipProcessor

# The Auto class finds an image processor by its name; the key, a configuration elsewhere, is only what it hangs on.
AutoImageProcessor.register(
    MamClipImageProcessor, image_processor_classes={"torchvision": MamClipImageProcessor}, exist_ok=True
)

__all__ = [
    "BreastBox",
    "MamClipImageClassificationPipeline",
    "MamClipImageProcessor",
    "MamClipProcessor",
    "MamClipZeroShotImageClassificationPipeline",
    "Mammogram",
    "MammogramError",
    "find_breast",
    "grey_array",
    "read_dicom",
    "read_image",
    "register_dicom_opener",
    "to_uint8",
]
