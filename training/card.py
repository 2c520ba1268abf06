"""A release's model card: model_card.md filled in, under a header that is a valid model-index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from huggingface_hub import ModelCardData

from modeling_mamclip import MamClipConfig
from processing import MamClipImageProcessor

from .card_results import TITLES, Measured, eval_results, score_table
from .data_terms import PERMISSION, data_terms, permission_line, provenance_lines
from .licences import card_licence, is_converted
from .shipped import shipped

CARD = shipped("model_card.md")
ENCODERS = {"own": "its own, fully fine-tuned", "shared": "the aligned one, frozen (linear probe)"}
REPO_ID = "mamclip"  # the folder's name in examples
HASHED = (".py", ".safetensors")  # what of a release runs or is learned


def model_card(
    config: MamClipConfig,
    images: MamClipImageProcessor,
    name: str,
    results: Sequence[Measured] = (),
    *,
    phantom: bool,
    classifies: bool,
    aligned: bool = True,
    files: Mapping[str, str],
    repo_id: str = REPO_ID,
) -> str:
    """The card of a release.

    aligned, classifies: whether it has the aligned encoders, and classification heads. files: name → SHA-256 of the
    code and the weights that travel. repo_id: by which name its examples open it.
    """
    if not CARD.is_file():
        raise FileNotFoundError(f"{CARD} is missing; a release is written from a checkout of the project.")
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(
        CARD.read_text(encoding="utf-8")
    )
    filled = template.render(
        card_data=card_data(config, name, results, phantom, classifies).to_yaml(),
        model_name=name,
        repo_id=repo_id,
        phantom=phantom,
        classifies=classifies,
        aligned=aligned,
        files=files,
        **_about_model(config, images, classifies, aligned),
        **_about_data(config, phantom),
        **_about_results(results),
    )
    return filled.rstrip() + "\n"


def _about_model(
    config: MamClipConfig, images: MamClipImageProcessor, classifies: bool, aligned: bool
) -> dict[str, Any]:
    return {
        "vision_architecture": config.vision_config.architecture,
        "text_model_type": config.text_config.model_type,
        "image_height": images.size["height"],
        "image_width": images.size["width"],
        "crops": images.do_crop,
        "crop": "breast crop" if images.do_crop else "no crop",
        "birads_labels": ", ".join(config.id2label.values()),
        "density_labels": ", ".join(config.density_labels),
        "temperatures": _temperatures(config),
        "classifier_encoder": ENCODERS[config.classifier_encoder] if classifies else "none",
        "published": "\n".join(f"- {line}" for line in published_choices(config, images, aligned)),
    }


def _about_data(config: MamClipConfig, phantom: bool) -> dict[str, Any]:
    terms = data_terms(config.provenance)
    return {
        "provenance": _provenance(config, phantom),
        "permission": [source for source, entry in terms.items() if entry["weights"] == "permission"],
        "agreed": permission_line(config.provenance),
        "converted": is_converted(config.provenance),
        "citations": [entry["citation"] for entry in terms.values()],
    }


def _about_results(results: Sequence[Measured]) -> dict[str, Any]:
    shown = [
        {"title": TITLES[part.task], "data": part.data, "about": part.about, "table": score_table(part)}
        for part in results
    ]
    return {
        "results": shown,
        "subgroups": [table for part in results for table in part.subgroups],
        "unmeasured": [sentence for part in results for sentence in part.unmeasured],
    }


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
    config: MamClipConfig, name: str, results: Sequence[Measured], phantom: bool, classifies: bool
) -> ModelCardData:
    """The card's header: licence, what the Hub finds the model by, and the model-index."""
    measured = eval_results(results, phantom=phantom)
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="image-classification" if classifies else "zero-shot-image-classification",
        tags=["mammography", "medical", "vision-language", "custom_code"],
        model_name=name if measured else None,
        eval_results=measured or None,
        **card_licence(config.provenance),
    )


def _temperatures(config: MamClipConfig) -> str:
    """What logits are divided by, where it is not 1."""
    found = {"BI-RADS": config.birads_temperature, "density": config.density_temperature}
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items() if value != 1)


def _provenance(config: MamClipConfig, phantom: bool) -> str:
    lines = ["- All images and captions were **phantoms** (synthetic)."] if phantom else []
    known = {key: value for key, value in sorted(config.provenance.items()) if key != PERMISSION}
    lines += provenance_lines(known)
    return "\n".join(lines) or "Which data the weights come from was not recorded."
