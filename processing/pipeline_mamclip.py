"""`pipeline("image-classification")` for mammograms: opens DICOM and 16-bit pictures itself, with all their bits.

The ordinary pipeline opens files as 8-bit RGB, which cannot read DICOM and turns a 16-bit mammogram white.
"""

import os

from transformers import ImageClassificationPipeline

from .image_files import read_image

REMOTE = ("http://", "https://", "data:")


class MamClipImageClassificationPipeline(ImageClassificationPipeline):
    """BI-RADS scores of mammograms.

    `classify("LCC.dcm")` → [{"label": "BI-RADS 1", "score": 0.6}, …], best first, as the ordinary pipeline.
    `classify("LCC.dcm", density=True)` → {"birads": [the same], "density": [{"label": "A", "score": …}, …]}.
    Inputs are paths of DICOM, PNG, JPEG or TIFF files, or PIL images or arrays; or lists of them.
    """

    def _sanitize_parameters(self, density=None, **kwargs):
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        if density is not None:
            postprocess["density"] = density
        return preprocess, forward, postprocess

    def preprocess(self, image, timeout=None):
        if isinstance(image, (str, os.PathLike)) and not str(image).startswith(REMOTE):
            image = read_image(image).pixels
        elif isinstance(image, str):
            return super().preprocess(image, timeout=timeout)
        return self.image_processor(images=image, return_tensors="pt").to(self.dtype)

    def postprocess(self, model_outputs, density=False, **kwargs):
        birads = super().postprocess(model_outputs, **kwargs)
        if not density:
            return birads
        names = self.model.config.density_labels
        scores = model_outputs["density_logits"][0].float().softmax(-1).tolist()
        ranked = sorted(zip(scores, names, strict=True), reverse=True)
        return {"birads": birads, "density": [{"label": name, "score": score} for score, name in ranked]}
