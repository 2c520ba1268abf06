"""Check heatmaps against what was marked: how often does the hottest pixel lie on the finding, and how often by chance?

python train_scripts/make_phantom.py --output phantom --text-cases 0 --scanned-cases 0 --patients 0 \\
    --embed-patients 200 --height 512 --seed 9001
python train_scripts/pointing_game.py --model mamclip --dataset embed --data phantom/embed --phantom --output pointing
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F
from tqdm import tqdm
from transformers.utils.logging import disable_progress_bar

from dataset_builders.birads import FIVE_NAMES, five_class_index
from dataset_builders.building import new_builder
from dataset_builders.findings import KINDS, Finding
from evaluation.figure_files import figure_files
from evaluation.heatmap_pictures import Column, heatmap_figure
from evaluation.heatmaps import caption_map, class_map, on_original
from evaluation.pictures import spread_rows
from evaluation.pointing_game import TOLERANCE, Box, Pointed, chance_of, is_hit, peak, pointing_scores
from inference.classifier import Classifier
from processing import MamClipImageProcessor, read_image
from processing.bright_regions import largest_component, reduced_by_area, tissue
from training.cli import ScriptParser, run_script
from training.embedding import load_aligned
from training.release import new_folder, refuse_existing

ARCHIVES = ("embed", "mini_mias", "vindr")  # that say where a finding is
MAPS = ("class", "caption")
BRIGHTEST = "brightest spot"  # what needs no model: the brightest place of the smoothed breast
SMOOTHING = 0.02  # of the image's longer side, about half a mass
SHOWN, COLOURS = 5, 128  # mammograms on the sheet, and its palette, which halves its bytes


@dataclass(frozen=True)
class Marked:
    """An image and its findings of one kind. name: of its BI-RADS class, none where it has none of the five."""

    path: str
    patient: str
    kind: str
    words: str
    name: str | None
    boxes: tuple[Box, ...]


Maps = dict[str, Callable[[torch.Tensor, Marked], np.ndarray]]


def main() -> None:
    args = parse_args()
    disable_progress_bar()
    refuse_existing(args.output)
    marked = marked_images(args)
    maps, processor = open_maps(args)
    pointed = play(tqdm(marked, desc="pointing", unit="image"), maps, processor, (args.tolerance, 0.0))
    scores, strict = ({name: pointing_scores(rows) for name, rows in found.items()} for found in pointed)
    figure = draw_sheet(marked, maps, processor)
    with new_folder(args.output) as folder:
        (folder / "results.json").write_text(
            json.dumps({**about(args), "scores": scores, "scores_without_tolerance": strict}, indent=2) + "\n"
        )
        (folder / "sheet.png").write_bytes(figure)
    tell(scores, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="OUTPUT holds results.json (hits, chance and their difference for each kind of finding and each kind of "
        "map, with 95% intervals over patients) and sheet.png (some of the maps, with what was marked). Research use "
        "only: a map that points at a finding is no diagnosis.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", required=True, type=Path, help="folder of export_release.py, or of pretrain.py"
    )
    parser.add_argument(
        "--dataset", choices=ARCHIVES, default="embed", help="which archive it is (default: embed)"
    )
    parser.add_argument(
        "--data", required=True, type=Path, help="the archive's folder, as for build_dataset.py"
    )
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--maps",
        nargs="+",
        choices=MAPS,
        default=list(MAPS),
        help="class: of the image's own BI-RADS class; caption: of the finding's words (default: both)",
    )
    parser.add_argument(
        "--findings",
        nargs="+",
        choices=KINDS,
        metavar="KIND",
        default=["mass", "calcifications"],
        help=f"of {', '.join(KINDS)} (default: mass calcifications)",
    )
    parser.add_argument(
        "--caption", help='one text for all, such as "a mass", in place of each finding\'s own words'
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        help="how far from the box is still a hit, in parts of the image's longer side (default: %(default)s)",
    )
    parser.add_argument("--limit", type=int, default=None, help="so many images at most")
    parser.add_argument("--phantom", action="store_true", help="the archive holds phantoms")
    args = parser.parse_args()
    if args.limit is not None and args.limit < 1:
        parser.error(f"--limit is {args.limit}; expected 1 or more")
    if not 0 <= args.tolerance < 1:
        parser.error(
            f"--tolerance is {args.tolerance}; expected a part of the longer side, from 0 to below 1"
        )
    return args


def marked_images(args: argparse.Namespace) -> list[Marked]:
    """Every image and kind of finding that the archive has a box of."""
    rows = new_builder(args.dataset, args.data).found.rows
    found = [one for row in rows for one in marked_kinds(row, args.findings, args.caption)]
    if "class" in args.maps:
        found = [one for one in found if one.name]
    if not found:
        raise ValueError(f"{args.data} has no image with a box around one of {', '.join(args.findings)}.")
    return found[: args.limit]


def marked_kinds(row: Mapping[str, Any], kinds: Sequence[str], caption: str | None) -> Iterator[Marked]:
    index = five_class_index(row["birads"])
    for kind in kinds:
        found = [one for one in row["findings"] if one.kind == kind and one.box]
        if found:
            words = {words_of(one) for one in found}
            text = caption or (words.pop() if len(words) == 1 else kind)
            name = None if index is None else FIVE_NAMES[index]
            yield Marked(row["path"], row["patient_id"], kind, text, name, tuple(one.box for one in found))


def words_of(finding: Finding) -> str:
    """What a caption would call it: "spiculated mass", "fine pleomorphic calcifications"."""
    return " ".join(filter(None, (finding.margin, finding.morphology, finding.kind)))


def open_maps(args: argparse.Namespace) -> tuple[Maps, MamClipImageProcessor]:
    """Functions of (pixel_values, marked image) → a map over the model's input, by their names."""
    maps, processor = {}, None
    if "class" in args.maps:
        classifier = Classifier.open(args.model)
        processor = classifier.processor
        maps["class"] = lambda values, one: class_map(classifier.model, values, one.name)
    if "caption" in args.maps:
        model, aligned = load_aligned(args.model)
        processor = aligned.image_processor

        def of_caption(values: torch.Tensor, one: Marked) -> np.ndarray:
            words = aligned(text=[one.words], return_tensors="pt").to(model.device)
            return caption_map(model, values, words["input_ids"], words["attention_mask"])

        maps["caption"] = of_caption
    return maps, processor


def play(
    marked: Iterable[Marked], maps: Maps, processor: MamClipImageProcessor, tolerances: Sequence[float]
) -> list[dict[str, list[Pointed]]]:
    """For each tolerance: hits and chance of every map, and of the brightest spot, which needs no model."""
    pointed = [{name: [] for name in (*maps, BRIGHTEST)} for _ in tolerances]
    for one in marked:
        pixels = read_image(one.path).pixels
        breast = breast_of(pixels)
        heats = {**original_maps(one, pixels, maps, processor), BRIGHTEST: brightness(pixels, breast)}
        peaks = {name: peak(heat) for name, heat in heats.items()}
        for tolerance, found in zip(tolerances, pointed, strict=True):
            reach = tolerance * max(pixels.shape)
            chance = chance_of(one.boxes, breast, reach)
            for name, point in peaks.items():
                found[name].append(Pointed(one.patient, one.kind, is_hit(point, one.boxes, reach), chance))
    return pointed


def original_maps(
    one: Marked, pixels: np.ndarray, maps: Maps, processor: MamClipImageProcessor
) -> dict[str, np.ndarray]:
    batch = processor(pixels, return_tensors="pt")
    values, placement = batch["pixel_values"], batch.placements[0]
    return {name: on_original(make(values, one), placement) for name, make in maps.items()}


def breast_of(pixels: np.ndarray) -> np.ndarray:
    """(H, W) → mask of the largest bright region, bool."""
    small = reduced_by_area(torch.from_numpy(pixels.astype(np.float32)))
    low, high = small.aminmax()
    mask = largest_component(tissue((small - low) / (high - low).clamp(min=1e-12)).numpy())
    return F.interpolate(torch.from_numpy(mask)[None, None].float(), pixels.shape)[0, 0].bool().numpy()


def brightness(pixels: np.ndarray, breast: np.ndarray) -> np.ndarray:
    smooth = gaussian_filter(pixels.astype(np.float32), SMOOTHING * max(pixels.shape))
    return np.where(breast, smooth - smooth.min(), 0)


def draw_sheet(marked: Sequence[Marked], maps: Maps, processor: MamClipImageProcessor) -> bytes:
    """Some of the images, of patients that are evenly spread over all: their place chooses them, not their score."""
    columns = []
    for row in spread_rows([one.patient for one in marked], SHOWN):
        one = marked[row]
        pixels = read_image(one.path).pixels
        words = {"class": one.name, "caption": one.words}
        heats = original_maps(one, pixels, maps, processor)
        columns.append(Column(pixels, one.boxes, {words[name]: heat for name, heat in heats.items()}))
    title = "What is marked, and below where the maps see the class or the words above them"
    picture = Image.open(BytesIO(figure_files(heatmap_figure(columns, title))["png"])).convert("RGB")
    buffer = BytesIO()
    picture.quantize(COLOURS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def about(args: argparse.Namespace) -> dict[str, Any]:
    given = {
        "model": str(args.model),
        "data": str(args.data),
        "dataset": args.dataset,
        "phantom": args.phantom,
    }
    return {**given, "tolerance": args.tolerance, "caption": args.caption, "notice": "Research use only."}


def tell(scores: Mapping[str, Any], output: Path) -> None:
    for name, kinds in scores.items():
        for kind, one in kinds.items():
            low, high = one["hits"]["interval"] or (float("nan"),) * 2
            print(
                f"{name}, {kind}: {one['hits']['value']:.2f} ({low:.2f}–{high:.2f}) of {one['findings']} hit, "
                f"{one['chance']['value']:.2f} by chance"
            )
    print(f"{output}: results.json and sheet.png")


if __name__ == "__main__":
    run_script(main)
