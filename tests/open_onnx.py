"""What a user's process does with an export, and the test's own with the release that it was made from: all numbers.

    python -c "$(cat without_our_packages.py open_onnx.py)" SEEN.json FOLDER …

It runs in a folder with the exports and the mammograms LCC.dcm and RMLO.png.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, AutoProcessor, pipeline

FILES = ["LCC.dcm", "RMLO.png", "RMLO.png"]
LABELS = ["mass", "a spiculated mass", "left breast a spiculated mass right breast"]


def main(output, *folders):
    with torch.no_grad():
        seen = {folder: look(folder) for folder in folders}
    Path(output).write_text(json.dumps(seen), encoding="utf-8")


def look(folder):
    """Everything that the folder serves: a number each, by name; and who computed it."""
    served = AutoConfig.from_pretrained(folder, trust_remote_code=True).auto_map
    classifies = "AutoModelForImageClassification" in served
    found = [compared(folder), embedded(folder)] + ([classified(folder)] if classifies else [])
    numbers = {name: value for part in found for name, value in part["numbers"].items()}
    return {"numbers": numbers, "models": [model for part in found for model in part["models"]]}


def classified(folder):
    classify = pipeline("image-classification", model=folder, trust_remote_code=True)
    model = AutoModelForImageClassification.from_pretrained(folder, trust_remote_code=True)
    output = model(torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0)))
    readings = {"1": classify(FILES, density=True), "3": classify(FILES, density=True, batch_size=3)}
    numbers = {
        f"batch {size}, {file}, {task}, {entry['label']}": entry["score"]
        for size, rows in readings.items()
        for file, row in zip(FILES, rows, strict=True)
        for task, entries in row.items()
        for entry in entries
    }
    logits = {"logits": output.logits, "density_logits": output.density_logits}
    return {"numbers": {**numbers, **flat(logits)}, "models": [described(classify.model), described(model)]}


def compared(folder):
    compare = pipeline("zero-shot-image-classification", model=folder, trust_remote_code=True)
    rows = compare(FILES, candidate_labels=LABELS)
    numbers = {
        f"{file}, {fit['label']}": fit["score"]
        for file, fits in zip(FILES, rows, strict=True)
        for fit in fits
    }
    return {"numbers": numbers, "models": [described(compare.model)]}


def embedded(folder):
    """Captions one by one and in a batch, with a mask and without; and both models' features."""
    model = AutoModel.from_pretrained(folder, trust_remote_code=True)
    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
    both = processor(images=FILES[1:], text=LABELS, return_tensors="pt")
    text = {name: both[name] for name in ("input_ids", "attention_mask")}
    alone = [processor(text=[label], return_tensors="pt") for label in LABELS]
    images = model.get_image_features(both["pixel_values"])
    output = model(**both)
    tensors = {
        "logits": output.logits_per_image,
        "image_embeds": output.image_embeds,
        "text_embeds": output.text_embeds,
        "images": images.pooler_output,
        "image": images.last_hidden_state,
        "captions": model.get_text_features(**text).pooler_output,
        "unmasked": model.get_text_features(text["input_ids"]).pooler_output,
        "words": model.get_text_features(**text).last_hidden_state,
        **{f"caption {i}": model.get_text_features(**one).pooler_output for i, one in enumerate(alone)},
    }
    return {"numbers": flat(tensors), "models": [described(model)]}


def flat(tensors):
    return {
        f"{name} {i}": x for name, tensor in tensors.items() for i, x in enumerate(tensor.flatten().tolist())
    }


def described(model):
    return [
        type(model).__name__,
        type(model).__module__.partition(".")[0],
        str(model.dtype),
        str(model.device),
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
