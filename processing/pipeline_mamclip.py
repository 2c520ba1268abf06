"""`pipeline("image-classification")` and `pipeline("zero-shot-image-classification")` for mammograms: they open DICOM
and 16-bit pictures themselves, with all their bits.

The ordinary pipelines open files as 8-bit RGB, which cannot read DICOM and turns a 16-bit mammogram white.
"""

import os

import torch
from transformers import ImageClassificationPipeline, ZeroShotImageClassificationPipeline
from transformers.image_utils import load_image

from .image_files import read_image
from .prompts_mamclip import read_prompts

REMOTE = ("http://", "https://", "data:")
CAPTIONS = 64  # embedded at a time


def open_mammogram(image, timeout=None):
    """A path → the pixels of the file; an address → the picture, fetched; what is open already stays as it is."""
    if isinstance(image, (str, os.PathLike)) and not str(image).startswith(REMOTE):
        return read_image(image).pixels
    return load_image(image, timeout=timeout) if isinstance(image, str) else image


class MamClipImageClassificationPipeline(ImageClassificationPipeline):
    """BI-RADS scores of mammograms.

    `classify("LCC.dcm")` → [{"label": "BI-RADS 1", "score": 0.6}, …], best first, as the ordinary pipeline.
    `classify("LCC.dcm", density=True)` → {"birads": [the same], "density": [{"label": "A", "score": …}, …]}.
    Inputs are paths of DICOM, PNG, JPEG or TIFF files, or PIL images or arrays; or lists of them. Logits are divided by
    the configuration's `birads_temperature` and `density_temperature` before they become scores;
    `function_to_apply="none"` gives the BI-RADS logits as the model does.
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
        config, logits = self.model.config, model_outputs["logits"]
        if kwargs.get("function_to_apply") != "none":
            logits = logits.float() / config.birads_temperature
        birads = super().postprocess({"logits": logits}, **kwargs)
        if not density:
            return birads
        names = config.density_labels
        scores = (
            (model_outputs["density_logits"][0].float() / config.density_temperature).softmax(-1).tolist()
        )
        ranked = sorted(zip(scores, names, strict=True), reverse=True)
        return {"birads": birads, "density": [{"label": name, "score": score} for score, name in ranked]}


class MamClipZeroShotImageClassificationPipeline(ZeroShotImageClassificationPipeline):
    """Which of some captions fits a mammogram best.

    `compare("LCC.dcm", candidate_labels=["spiculated mass", "normal mammogram"])` → [{"label": …, "score": …}, …],
    best first. candidate_labels are one of

        a list of labels, read as they are: the scores add up to 1;
        a mapping of labels to lists of phrasings, whose embeddings are averaged: likewise;
        a mapping of labels to {"present": phrasings, "absent": phrasings}: each label is scored for itself, in [0, 1];
        a string, the name of a set in prompts_mamclip.py: "birads", "density" (of the first kind of mapping) or
            "findings" (of the second). A string is nothing else: a single label goes into a list.

    The text encoder reads them once a call, however many images there are. Each label or phrasing is put into
    `hypothesis_template`, which is "{}" unless given here or when the pipeline is made.
    """

    def __init__(self, hypothesis_template="{}", **kwargs):
        self.hypothesis_template = hypothesis_template
        super().__init__(**kwargs)

    def check_model_type(self, supported_models):
        """As in MamClipImageClassificationPipeline."""

    def _sanitize_parameters(self, candidate_labels=None, hypothesis_template=None, **kwargs):
        preprocess, forward, postprocess = super()._sanitize_parameters(**kwargs)
        if candidate_labels is not None:
            prompts = postprocess["prompts"] = read_prompts(candidate_labels)
            forward["prompt_embeds"] = self._embed(prompts, hypothesis_template or self.hypothesis_template)
        return preprocess, forward, postprocess

    def _embed(self, prompts, template):
        """Prompts → (P, D) float32, of length 1."""
        captions = [template.format(phrase) for phrases in prompts.phrasings for phrase in phrases]
        embeds = []
        with self.device_placement(), torch.no_grad():
            for start in range(0, len(captions), CAPTIONS):
                batch = captions[start : start + CAPTIONS]
                tokens = self.tokenizer(batch, return_tensors="pt", padding=True, truncation=True)
                embeds.append(self.model(**tokens.to(self.device)).text_embeds.float())
        return prompts.embeddings(torch.cat(embeds))

    def preprocess(self, image, timeout=None):
        pixels = open_mammogram(image, timeout)
        return self.image_processor(images=pixels, return_tensors="pt").to(self.dtype)

    def _forward(self, model_inputs, prompt_embeds):
        image_embeds = self.model(**model_inputs).image_embeds.float()
        return {"logits": self.model.compare_embeds(image_embeds, prompt_embeds)}

    def postprocess(self, model_outputs, prompts):
        scores = prompts.scores(model_outputs["logits"][0]).tolist()
        ranked = sorted(zip(scores, prompts.labels, strict=True), key=lambda pair: -pair[0])
        return [{"score": score, "label": label} for score, label in ranked]
