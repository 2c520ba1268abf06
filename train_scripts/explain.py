"""Show where a class or a caption is seen in a mammogram: its heatmap on the mammogram, and the numbers beside it.

python train_scripts/explain.py --model mamclip --input LCC.dcm --label "BI-RADS 4" --output explained
python train_scripts/explain.py --model mamclip --input LCC.dcm --caption "spiculated mass" --output explained
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch.nn import functional as F
from transformers.utils.logging import disable_progress_bar

from evaluation.heatmaps import caption_map, class_map, on_original, overlay
from evaluation.pointing_game import peak
from inference.classifier import Classifier
from processing import MamClipImageProcessor, read_image
from training.cli import ScriptParser, run_script
from training.embedding import load_aligned
from training.release import new_folder, refuse_existing

NOTICE = (
    "Research use only. Not a medical device: the map shows what raised the model's score, and no output may guide "
    "the care of a patient."
)
PICTURE, NUMBERS = "overlay.png", "explanation.json"


def main() -> None:
    args = parse_args()
    disable_progress_bar()
    refuse_existing(args.output)
    pixels = read_image(args.input).pixels
    explain = explain_caption if args.caption else explain_class
    heat, about = explain(args, pixels)
    about = {"file": str(args.input), "model": str(args.model), **about, **hottest(heat), "notice": NOTICE}
    with new_folder(args.output) as folder:
        write(folder, overlay(pixels, heat), about)
    print(f"{args.output}: {PICTURE} and {NUMBERS}. {NOTICE}")


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog=f"OUTPUT holds {PICTURE}, the mammogram in its own pixels with the map in colours, and {NUMBERS}, with "
        f"the score that is explained, the hottest pixel and the crop that the model saw. {NOTICE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        help="folder of export_release.py; for a caption also one of pretrain.py",
    )
    parser.add_argument("--input", required=True, type=Path, help="a mammogram: DICOM, PNG, JPEG or TIFF")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--label", help='a class of the model, such as "BI-RADS 4", or of density, such as C')
    what.add_argument("--caption", help='words to look for, such as "spiculated mass"')
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    args = parser.parse_args()
    if not (args.label or args.caption or "").strip():
        parser.error("--label or --caption is empty; expected words")
    return args


def explain_class(args: argparse.Namespace, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """The map over the image's own pixels, and what it is of."""
    classifier = Classifier.open(args.model)
    task = "density" if args.label in classifier.densities else "birads"
    values, placement = prepared(classifier.processor, pixels)
    heat = class_map(classifier.model, values, args.label, task=task)
    scores = classifier.scores(values)
    classes, found = (
        (classifier.densities, scores.density)
        if task == "density"
        else (classifier.birads_classes, scores.birads)
    )
    probability = float(found[0, list(classes).index(args.label)])
    about = {"task": task, "label": args.label, "probability": probability, "crop_box": placement.crop_box}
    return on_original(heat, placement), about


def explain_caption(args: argparse.Namespace, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """The same for a caption."""
    model, processor = load_aligned(args.model)
    values, placement = prepared(processor.image_processor, pixels)
    words = processor(text=[args.caption], return_tensors="pt").to(model.device)
    heat = caption_map(model, values, words["input_ids"], words["attention_mask"])
    with torch.inference_mode():
        output = model(**words, pixel_values=values.to(model.device))
    cosine = float(F.cosine_similarity(output.image_embeds, output.text_embeds))
    return on_original(heat, placement), {
        "caption": args.caption,
        "cosine": cosine,
        "crop_box": placement.crop_box,
    }


def prepared(processor: MamClipImageProcessor, pixels: np.ndarray) -> tuple[Any, Any]:
    """(1, 3, H, W) for the model, and where it lies in the image."""
    batch = processor(pixels, return_tensors="pt")
    return batch["pixel_values"], batch.placements[0]


def hottest(heat: np.ndarray) -> dict[str, Any]:
    """The hottest pixel (x, y) of the image, none where nothing speaks for what was asked."""
    return {"height": heat.shape[0], "width": heat.shape[1], "hottest_pixel": peak(heat)}


def write(folder: Path, picture: np.ndarray, about: dict[str, Any]) -> None:
    text = PngInfo()
    text.add_itxt("Description", f"{about.get('caption') or about['label']}: heatmap. {NOTICE}")
    Image.fromarray(picture).save(folder / PICTURE, pnginfo=text)
    (folder / NUMBERS).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
