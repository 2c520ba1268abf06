"""`pipeline("image-classification")` and `pipeline("zero-shot-image-classification")` for mammograms: they open DICOM
and 16-bit pictures themselves, with all their bits.

The ordinary pipelines open files as 8-bit RGB, which cannot read DICOM and turns a 16-bit mammogram white.
"""

import os

from transformers import ImageClassificationPipeline, ZeroShotImageClassificationPipeline
from transformers.image_utils import load_image

from .image_files import read_image

REMOTE = ("http://", "https://", "data:")


def open_mammogram(image, timeout=None):
    """A path → the pixels of the file; an address → the picture, fetched; what is open already stays as it is."""
    if isinstance(image, (str, os.PathLike)) and not str(image).startswith(REMOTE):
        return read_image(image).pixels
    return load_image(image, timeout=timeout) if isinstance(image, str) else image


class MamClipImageClassificationPipeline(ImageClassificationPipeline):
    """BI-RADS scores of mammograms.

    `classify("LCC.dcm")` → [{"label": "BI-RADS 1", "score": 0.6}, …], best first, as the ordinary pipeline.
    `classify("LCC.dcm", density=True)` → {"birads": [the same], "density": [{"label": "A", "score": …}, …]}.
    Inputs are paths of DICOM, PNG, JPEG or TIFF files, or PIL images or arrays; or lists of them.
    """

    def check_model_type(self, supported_models):
        """The ordinary pipeline's list has transformers' own models only, and it would complain of ours."""

    def _sanitize_parameters(self, density=None, **kwargs):
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        if density is not None:
            postprocess["density"] = density
        return preprocess, forward, postprocess

    def preprocess(self, image, timeout=None):
        pixels = open_mammogram(image, timeout)
        return self.image_processor(images=pixels, return_tensors="pt").to(self.dtype)

    def postprocess(self, model_outputs, density=False, **kwargs):
        birads = super().postprocess(model_outputs, **kwargs)
        if not density:
            return birads
        names = self.model.config.density_labels
        scores = model_outputs["density_logits"][0].float().softmax(-1).tolist()
        ranked = sorted(zip(scores, names, strict=True), reverse=True)
        return {"birads": birads, "density": [{"label": name, "score": score} for score, name in ranked]}


class MamClipZeroShotImageClassificationPipeline(ZeroShotImageClassificationPipeline):
    """Which of some captions fits a mammogram best.

    `compare("LCC.dcm", candidate_labels=["spiculated mass", "normal mammogram"])` → [{"label": …, "score": …}, …],
    best first; the scores add up to 1. Labels are read as they are: `hypothesis_template` is "{}" unless given.
    """

    def check_model_type(self, supported_models):
        """As in MamClipImageClassificationPipeline."""

    def preprocess(self, image, candidate_labels=None, hypothesis_template="{}", timeout=None):
        pixels = open_mammogram(image, timeout)
        inputs = self.image_processor(images=pixels, return_tensors="pt").to(self.dtype)
        captions = [hypothesis_template.format(label) for label in candidate_labels]
        inputs["candidate_labels"] = candidate_labels
        inputs["text_inputs"] = [self.tokenizer(captions, return_tensors="pt", padding=True, truncation=True)]
        return inputs
