"""What a user's process does with a release: a program of its own, run where none of our packages can be imported.

    python -c "$(cat without_our_packages.py open_release.py)" PIXELS.npy SEEN.json

runs in a folder that holds the release `mamclip` and the mammogram `LCC.dcm`, and nothing else.
"""

import json
import logging
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForPreTraining,
    AutoProcessor,
    AutoTokenizer,
    pipeline,
)

ALARM = "what follows is to be complained about"
CAPTIONS = ["a spiculated mass", "left breast"]
PHRASINGS = {"mass": ["a spiculated mass", "a mass", "mass in a breast"], "side": "left breast"}
heard = []


class Listener(logging.Handler):
    def emit(self, record):
        heard.append(record.getMessage())


def listen():
    logging.getLogger("transformers").addHandler(Listener(logging.WARNING))
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, kind, *where: heard.append(f"{kind.__name__}: {message}")


def parts(model):
    return sorted({name.partition(".")[0] for name in model.state_dict()})


def main(pixels, output):
    listen()
    with torch.no_grad():
        seen = look(torch.from_numpy(np.load(pixels)))
    Path(output).write_text(json.dumps(seen), encoding="utf-8")


def look(pixels):
    model = AutoModel.from_pretrained("mamclip", trust_remote_code=True)
    classifier = AutoModelForImageClassification.from_pretrained("mamclip", trust_remote_code=True)
    pretraining = AutoModelForPreTraining.from_pretrained("mamclip", trust_remote_code=True)
    processor = AutoProcessor.from_pretrained("mamclip", trust_remote_code=True)
    images = AutoImageProcessor.from_pretrained("mamclip", trust_remote_code=True)
    tokenizer = AutoTokenizer.from_pretrained("mamclip", trust_remote_code=True)
    config = AutoConfig.from_pretrained("mamclip", trust_remote_code=True)
    text = processor(text=CAPTIONS, return_tensors="pt")
    both, scores = model(pixel_values=pixels, **text), classifier(pixels)
    classify = pipeline("image-classification", model="mamclip", trust_remote_code=True)
    compare = pipeline("zero-shot-image-classification", model="mamclip", trust_remote_code=True)
    seen = {
        "parts": {type(m).__name__: parts(m) for m in (model, classifier, pretraining)},
        "training": model.training or classifier.training or pretraining.training,
        "names": [type(thing).__name__ for thing in (processor, images, config, classify, compare)],
        "modules": [
            type(thing).__module__ for thing in (model, processor, images, config, classify, compare)
        ],
        "tokens": tokenizer(CAPTIONS, padding=True)["input_ids"] == text["input_ids"].tolist(),
        "image_embeds": both.image_embeds.tolist(),
        "text_embeds": both.text_embeds.tolist(),
        "logits": scores.logits.tolist(),
        "density_logits": scores.density_logits.tolist(),
        "scores": pipeline("image-classification", model="mamclip", trust_remote_code=True)("LCC.dcm"),
        "fits": compare(["LCC.dcm", "LCC.dcm"], candidate_labels=CAPTIONS),
        "phrased": compare(["LCC.dcm"] * 3, candidate_labels=PHRASINGS, batch_size=2),
        "sets": {
            name: compare(["LCC.dcm", "LCC.dcm"], candidate_labels=name)
            for name in ("birads", "density", "findings")
        },
        "both": classify(["LCC.dcm", "LCC.dcm"], density=True),
        "heard": list(heard),
    }
    return {**seen, **saved_again(classifier, pixels), "alarm": alarm()}


def saved_again(classifier, pixels):
    """A user who goes on training saves the model; the folder must open again, with its code."""
    classifier.save_pretrained("../again")
    again = AutoModelForImageClassification.from_pretrained("../again", trust_remote_code=True)
    return {"again": again(pixels).logits.tolist()}


def alarm():
    """What is heard of a release that does have a missing and an unexpected tensor: the ears must work."""
    shutil.copytree("mamclip", "../tampered")
    tensors = load_file("../tampered/model.safetensors")
    tensors["stranger"] = tensors.pop("logit_scale")
    save_file(tensors, "../tampered/model.safetensors", metadata={"format": "pt"})
    heard.clear()
    print(ALARM, file=sys.stderr, flush=True)
    AutoModel.from_pretrained("../tampered", trust_remote_code=True)
    return list(heard)


if __name__ == "__main__":
    main(*sys.argv[1:])
