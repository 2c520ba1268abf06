"""What a user's process does with converted releases: `aligned` and `classifier`, and the mammogram `LCC.dcm`.

    python -c "$(cat without_our_packages.py open_converted.py)" INPUTS.safetensors SEEN.safetensors

It runs where nothing else is. Both arguments are safetensors files: the inputs, and what was computed of them.
"""

import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForImageClassification, AutoModelForPreTraining, pipeline

LABELS = ["round mass", "negative screening mammography of the left breast", "calcifications"]


def main(inputs, output):
    given = load_file(inputs)
    with torch.no_grad():
        seen = {**aligned(given), **classified(given), **zero_shot()}
    save_file({name: tensor.contiguous() for name, tensor in seen.items()}, output)


def aligned(given):
    both = {name: given[name] for name in ("input_ids", "pixel_values")}
    model = AutoModel.from_pretrained("aligned", trust_remote_code=True)
    training = AutoModelForPreTraining.from_pretrained("aligned", trust_remote_code=True)
    output = model(**both)
    losses = training(**both, mlm_labels=given["mlm_labels"])
    everywhere = training(**both, mlm_labels=torch.zeros_like(given["input_ids"]))
    return {
        "image_embeds": output.image_embeds,
        "text_embeds": output.text_embeds,
        "logit_scale": model.logit_scale.exp(),
        "match_loss": losses.contrastive_loss,
        "mlm_loss": losses.mlm_loss,
        "loss": losses.loss,
        "mlm_log_probs": everywhere.mlm_logits.log_softmax(-1).view(*given["input_ids"].shape, -1),
    }


def classified(given):
    model = AutoModelForImageClassification.from_pretrained("classifier", trust_remote_code=True)
    output = model(given["pixel_values"])
    return {
        "features": model.encoder(given["pixel_values"])[2],
        "birads_logits": output.logits,
        "density_logits": output.density_logits,
    }


def zero_shot():
    """A score per label, in the labels' order, of captions and of the prompts for density. The classifier's pipeline
    must open the file as well."""
    pipeline("image-classification", model="classifier", trust_remote_code=True)("LCC.dcm", density=True)
    compare = pipeline("zero-shot-image-classification", model="aligned", trust_remote_code=True)
    fits = {
        "zero_shot": (LABELS, compare("LCC.dcm", candidate_labels=LABELS)),
        "zero_shot_density": ("ABCD", compare("LCC.dcm", candidate_labels="density")),
    }
    return {
        name: torch.tensor([score(found, label) for label in labels])
        for name, (labels, found) in fits.items()
    }


def score(fits, label):
    return next(fit["score"] for fit in fits if fit["label"] == label)


if __name__ == "__main__":
    main(*sys.argv[1:])
