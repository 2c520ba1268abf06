"""A release's model card: model_card.md filled in, under a header that is a valid model-index."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from modeling_mamclip import MamClipConfig
from processing import MamClipImageProcessor

from .data_terms import data_terms, provenance_lines
from .shipped import shipped

CARD = shipped("model_card.md")
ENCODERS = {"own": "its own, fully fine-tuned", "shared": "the aligned one, frozen (linear probe)"}
CONVERTED = "converted_"  # how keys begin in the provenance of weights that others published


def model_card(
    config: MamClipConfig,
    images: MamClipImageProcessor,
    name: str,
    results: Mapping[str, float],
    *,
    phantom: bool,
    classifies: bool,
    aligned: bool = True,
) -> str:
    """The card of a release. aligned, classifies: whether it has the aligned encoders, and classification heads."""
    if not CARD.is_file():
        raise FileNotFoundError(f"{CARD} is missing; a release is written from a checkout of the project.")
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        CARD.read_text(encoding="utf-8")
    )
    converted = any(key.startswith(CONVERTED) for key in config.provenance)
    terms = data_terms(config.provenance)
    bound = converted or any(entry["weights"] != "free" for entry in terms.values())
    return (
        template.render(
            card_data=card_data(name, results, phantom, classifies, bound).to_yaml(),
            model_name=name,
            vision_architecture=config.vision_config.architecture,
            text_model_type=config.text_config.model_type,
            repo_id="mamclip",
            provenance=_provenance(config, phantom),
            image_height=images.size["height"],
            image_width=images.size["width"],
            crops=images.do_crop,
            crop="breast crop" if images.do_crop else "no crop",
            birads_labels=", ".join(config.id2label.values()),
            density_labels=", ".join(config.density_labels),
            temperatures=_temperatures(config),
            classifier_encoder=ENCODERS[config.classifier_encoder] if classifies else "none",
            published="\n".join(f"- {line}" for line in published_choices(config, images, aligned)),
            results=_table(results),
            phantom=phantom,
            classifies=classifies,
            aligned=aligned,
            converted=converted,
            permission=[source for source, entry in terms.items() if entry["weights"] == "permission"],
            citations=[entry["citation"] for entry in terms.values()],
        )
        + "\n"
    )


def published_choices(config: MamClipConfig, images: MamClipImageProcessor, aligned: bool) -> list[str]:
    """The choices of the published code that are in force, where new models make others: one line each."""
    lines = []
    if images.published and not images.do_crop:
        lines.append(
            "`published` (image processor): the whole image, stretched bilinearly as OpenCV does, without antialias, "
            "then each image's own min–max to [0, 1]. Crop to the breast beforehand."
        )
    if aligned and config.attend_to_padding:
        lines.append(
            f"`attend_to_padding`: captions are padded to `context_length` = {config.context_length} tokens, and the "
            "text encoder and the fusion transformer attend to the padding."
        )
    if aligned and config.mlm_weight > 0 and config.mlm_width > config.text_config.vocab_size:
        lines.append(
            f"`mlm_vocab_size` = {config.mlm_width}: the masked-language head is wider than the vocabulary of "
            f"{config.text_config.vocab_size} tokens."
        )
    if aligned and config.logit_scale_max is None:
        lines.append("`logit_scale_max` = none: the temperature was learned without a bound.")
    return lines


def card_data(
    name: str, results: Mapping[str, float], phantom: bool, classifies: bool, bound: bool
) -> ModelCardData:
    """The card's header. bound: by other terms than those of this code."""
    data = "phantom mammograms (synthetic)" if phantom else "mammograms"
    measured = [
        EvalResult(
            task_type="image-classification",
            dataset_type="phantom" if phantom else "mammography",
            dataset_name=data,
            metric_type=metric,
            metric_value=round(value, 4),
        )
        for metric, value in results.items()
        if math.isfinite(value)
    ]
    return ModelCardData(
        license="other" if bound else "apache-2.0",
        library_name="transformers",
        pipeline_tag="image-classification" if classifies else "zero-shot-image-classification",
        tags=["mammography", "medical", "vision-language", "custom_code"],
        model_name=name if measured else None,
        eval_results=measured or None,
    )


def _temperatures(config: MamClipConfig) -> str:
    """What logits are divided by, where it is not 1."""
    found = {"BI-RADS": config.birads_temperature, "density": config.density_temperature}
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items() if value != 1)


def _provenance(config: MamClipConfig, phantom: bool) -> str:
    lines = ["- All images and captions were **phantoms** (synthetic)."] if phantom else []
    return "\n".join(lines + provenance_lines(dict(sorted(config.provenance.items()))))


def _table(results: Mapping[str, float]) -> str:
    if not results:
        return ""
    rows = [f"| {name} | {value:.3f} |" for name, value in results.items()]
    return "\n".join(["| measure | value |", "| --- | --- |", *rows])
