"""Make phantom data to try everything on: atlas PDFs of both kinds and screening archives. No real patient in it."""

import argparse
import json
import tempfile
from pathlib import Path

from dataset_builders.birads import FIVE_CLASSES
from dataset_builders.phantom.archives import write_embed, write_teknofest
from dataset_builders.phantom.atlas_pdf import write_atlas
from dataset_builders.phantom.case import PhantomCase, draw_case
from dataset_builders.phantom.open_archives import write_open_archives
from training.cli import ScriptParser, run_script

# Each part draws its own patients, so that nobody is in two of them.
MOST = 100_000  # of a part
FIRST_INDEX = {"text": 0, "scanned": 100_000, "teknofest": 200_000, "embed": 300_000}
ATLASES = {"text": "atlas_text.pdf", "scanned": "atlas_scanned.pdf"}


def main() -> None:
    args = parse_args()
    check(args)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output.parent, prefix=f".{args.output.name}-") as work:
        folder = Path(work) / "phantom"
        folder.mkdir()
        about = {"atlases": make_atlases(folder, args), **make_archives(folder, args), "seed": args.seed}
        (folder / "phantom.json").write_text(json.dumps(about, indent=2))
        folder.rename(args.output)
    tell(about, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The output holds atlas_text.pdf (with a text layer) and atlas_scanned.pdf (its pages are pictures), "
        "what was planted in them (….truth.json), and the archives teknofest/ and embed/ with the folders, "
        "tables and column names of the real ones. The same options always make the same data. A small set to "
        "try: --output phantom --text-cases 20 --scanned-cases 2 --patients 10 --embed-patients 2",
    )
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--text-cases",
        type=count,
        default=600,
        help="cases in the atlas with a text layer (600; 0: no such PDF)",
    )
    parser.add_argument(
        "--scanned-cases", type=count, default=40, help="cases in the scanned atlas (40; 0: no such PDF)"
    )
    parser.add_argument("--patients", type=count, default=150, help="patients in the TEKNOFEST archive (150)")
    parser.add_argument("--embed-patients", type=count, default=20, help="patients in the EMBED archive (20)")
    parser.add_argument(
        "--open-archives",
        action="store_true",
        help="also vindr/, rsna/, cbis_ddsm/, inbreast/ and mini_mias/: tiny, with the oddities of the real ones, and "
        "made-up labels; to try build_dataset.py on, not to train",
    )
    parser.add_argument(
        "--height", type=count, default=512, help="of the images in pixels; 3/4 of it wide (512)"
    )
    parser.add_argument("--seed", type=count, default=7, help="another seed makes other patients (7)")
    parser.add_argument(
        "--processes", type=count, default=None, help="images made side by side (one per CPU)"
    )
    return parser.parse_args()


def count(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {MOST}")
    return int(text)


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot be made before anything is."""
    if args.output.exists():
        raise ValueError(f"{args.output} exists already; remove it, or choose another --output.")
    if not any((args.text_cases, args.scanned_cases, args.patients, args.embed_patients, args.open_archives)):
        raise ValueError("nothing to make: the numbers of cases and patients are all 0; give one of them.")


def make_atlases(folder: Path, args: argparse.Namespace) -> dict[str, int]:
    """Write the PDFs; → planted pairs by kind."""
    planted = {}
    sizes = {"text": args.text_cases, "scanned": args.scanned_cases}
    for kind, size in sizes.items():
        if not size:
            continue
        truth = write_atlas(
            folder / ATLASES[kind],
            [draw_case(args.seed, FIRST_INDEX[kind] + i) for i in range(size)],
            kind=kind,
            seed=args.seed,
            image_height=args.height,
            processes=args.processes,
            progress=True,
        )
        planted[kind] = sum(figure["n_images"] for figure in truth)
    return planted


def make_archives(folder: Path, args: argparse.Namespace) -> dict:
    """Write the archives; → patients of each, and the names of the open sets' ones."""
    shape = {"height": args.height, "width": args.height * 3 // 4, "processes": args.processes}
    if args.patients:
        write_teknofest(folder / "teknofest", balanced_cases("teknofest", args.patients, args.seed), **shape)
    if args.embed_patients:
        cases = [draw_case(args.seed, FIRST_INDEX["embed"] + i) for i in range(args.embed_patients)]
        write_embed(folder / "embed", cases, **shape)
    names = write_open_archives(folder) if args.open_archives else []
    return {"teknofest": args.patients, "embed": args.embed_patients, "open_archives": names}


def balanced_cases(part: str, size: int, seed: int) -> list[PhantomCase]:
    """As many patients of each of the five classes: TEKNOFEST was collected so, unlike a screening population."""
    classes = [FIVE_CLASSES[i % len(FIVE_CLASSES)] for i in range(size)]
    return [draw_case(seed, FIRST_INDEX[part] + i, birads=birads) for i, birads in enumerate(classes)]


def tell(about: dict, output: Path) -> None:
    for kind, pairs in about["atlases"].items():
        print(f"{output / ATLASES[kind]}: {pairs} image-caption pairs planted")
    for archive in ("teknofest", "embed"):
        if about[archive]:
            print(f"{output / archive}: {about[archive]} patients")
    for archive in about["open_archives"]:
        print(f"{output / archive}: a tiny archive with made-up labels")


if __name__ == "__main__":
    run_script(main)
