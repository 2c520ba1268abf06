"""Extract image-caption pairs from atlas PDFs, with a text layer or scanned."""

import argparse
import csv
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError
from tqdm import tqdm

from dataset_builders.atlas.looks import pictures_of
from dataset_builders.atlas.truth import load_truth, score_pairs
from dataset_builders.atlas_builder import KEEP, AtlasPairs
from dataset_builders.atlas_pairs import KINDS
from evaluation.contact_sheet import Card, Shown, write_contact_sheet
from training.cli import ScriptParser, run_script
from training.runs import write_json

REPORT, SHEET, PUBLISHED = "extraction.json", "contact_sheet.html", "pairs.json"


def main() -> None:
    args = parse_args()
    check(args)
    # Processes that read pages begin with this file's imports; they need neither this one nor its seconds.
    from training.release import new_folder

    datasets.disable_progress_bars()  # the pages' own bar says how far it is
    with ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="pairs-"))
        builder = open_builder(args, Path(work))
        folder = stack.enter_context(new_folder(args.output))
        published = stack.enter_context(new_folder(args.json)) if args.json else None
        pairs = build(builder)
        report = describe(pairs, builder.report(), args)
        pairs.save_to_disk(str(folder))
        write_json(folder / REPORT, report)
        write_sheet(folder / SHEET, pairs, builder.report(), args.pdf)
        if published:
            write_published(published, pairs)
    tell(report, args)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The output is a folder for datasets.load_from_disk with the columns image, caption, caption_id (the "
        "same for all images of one caption), case_id (what a split must not cut), figure, page, source, box, panel, "
        "history, mammography, impression, histopathology, modality, is_mammogram, modality_reason, split. "
        f"{REPORT} in it counts the pairs of each PDF and what is left over; {SHEET} shows every picture beside its "
        "caption, doubtful ones first, and says how to correct them.",
    )
    parser.add_argument("--pdf", required=True, nargs="+", type=Path, help="one atlas or more")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--kind", choices=KINDS, default="auto", help="what the PDFs' pages are; auto: page by page (auto)"
    )
    parser.add_argument(
        "--split-panels",
        action="store_true",
        help="give each picture of '(A) …, (B) …' what the caption says of all and of itself",
    )
    parser.add_argument(
        "--keep", choices=KEEP, default="all", help="which pictures to write; is_mammogram tells them (all)"
    )
    parser.add_argument(
        "--corrections", type=Path, help=f"CSV table of what was read wrongly; {SHEET} says how"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FOLDER",
        help=f"write the pairs as {PUBLISHED} with image files too, the form that the authors published",
    )
    parser.add_argument(
        "--truth", nargs="+", type=Path, help="what was planted in each phantom PDF (….truth.json)"
    )
    parser.add_argument(
        "--processes", type=int, default=None, help="scanned pages read side by side (one per CPU)"
    )
    return parser.parse_args()


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot work before an hour of reading."""
    for folder in filter(None, (args.output, args.json)):
        if folder.exists():
            raise ValueError(f"{folder} exists already; remove it, or choose another folder.")
    if args.truth and len(args.truth) != len(args.pdf):
        raise ValueError(
            f"{len(args.pdf)} PDFs and {len(args.truth)} truth files were given; expected one each."
        )
    if args.processes is not None and args.processes < 1:
        raise ValueError(f"--processes is {args.processes}; expected 1 or more.")
    for path in args.truth or ():
        load_truth(path)


def open_builder(args: argparse.Namespace, work: Path) -> AtlasPairs:
    """The pairs' builder. What was read of pages is kept in the cache of `datasets`, for the next corrections."""
    return AtlasPairs(
        pdf=args.pdf,
        kind=args.kind,
        split_panels=args.split_panels,
        keep=args.keep,
        corrections=args.corrections,
        processes=args.processes,
        progress=True,
        layouts=Path(datasets.config.HF_DATASETS_CACHE) / "atlas_layouts",
        cache_dir=str(work),
    )


def build(builder: AtlasPairs) -> datasets.Dataset:
    """All pairs of all PDFs; they go through a file, since an atlas may be larger than the memory."""
    try:
        builder.download_and_prepare()
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None
    return builder.as_dataset("train")


def describe(pairs: datasets.Dataset, found: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The report without what belongs to single rows; planted pairs are scored where the truth is known."""
    sources, captions = pairs["source"][:], pairs["caption_id"][:]
    pdfs = {}
    for i, path in enumerate(args.pdf):
        rows = [row for row, source in enumerate(sources) if source == path.stem]
        pdfs[path.stem] = {"pairs": len(rows), "captions": len({captions[row] for row in rows})}
        pdfs[path.stem] |= found["pdfs"][path.stem]
        if args.truth:
            pdfs[path.stem]["truth"] = score_pairs(pairs.select(rows), load_truth(args.truth[i]))
    options = {name: getattr(args, name) for name in ("kind", "split_panels", "keep")}
    rest = {name: found[name] for name in ("not_mammograms", "near_duplicates", "corrections", "split")}
    doubtful = sum(bool(doubts) for doubts in found["doubts"])
    return {"pairs": len(pairs), "doubtful": doubtful, "pdfs": pdfs, "options": options, **rest}


# ---- the contact sheet


def write_sheet(path: Path, pairs: datasets.Dataset, found: dict[str, Any], pdfs: list[Path]) -> None:
    """The page for a person, with what belongs to no pair as well."""
    alone = [
        (pdf, picture) for pdf in pdfs for picture in found["pdfs"][pdf.stem]["pictures_without_caption"]
    ]
    write_contact_sheet(
        path,
        list(cards(pairs.remove_columns("image"), found)),
        (pair["image"] for pair in pairs),
        alone=[
            Shown(f"page {p['page']}", address(pdf.stem, p["page"], "", p["picture"])) for pdf, p in alone
        ],
        alone_images=pictures_of([(pdf, p["page"], p["box"]) for pdf, p in alone]),
        orphans=[
            {"source": source, **orphan}
            for source, pdf in found["pdfs"].items()
            for orphan in pdf["captions_without_picture"]
        ],
        notes=notes(found),
        progress=partial(tqdm, total=len(pairs), desc="contact sheet"),
    )


def cards(pairs: datasets.Dataset, found: dict[str, Any]) -> Iterator[Card]:
    """A card for each caption."""
    rows = zip(pairs, found["doubts"], found["addresses"], strict=True)
    for _, group in groupby(rows, key=lambda row: row[0]["caption_id"]):
        members = list(group)
        pair, _, (figure, _) = members[0]
        doubts = dict.fromkeys(doubt for _, own, _ in members for doubt in own)
        pictures = [shown(*member) for member in members]
        if len(members) > 1:
            pictures[0].address = address(pair["source"], pair["page"], figure, "")
        title = f"Figure {pair['figure']} · {pair['source']}, page {pair['page']}"
        yield Card(title, pair["caption"], pictures, list(doubts))


def shown(pair: dict[str, Any], doubts: list[str], place: list) -> Shown:
    figure, number = place
    name = f"{number}" + (f" ({pair['panel']})" if pair["panel"] else "")
    note = "" if pair["is_mammogram"] else f"{pair['modality']}: {pair['modality_reason']}"
    return Shown(name, address(pair["source"], pair["page"], figure, number), note)


def address(*parts: Any) -> str:
    """The beginning of a correction's row."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*parts, ""])
    return line.getvalue()


def notes(found: dict[str, Any]) -> list[str]:
    """What the page says at its top."""
    lines = [
        f"{source}: no figure {', '.join(pdf['missing_numbers'])} was found, though its neighbours were."
        for source, pdf in found["pdfs"].items()
        if pdf["missing_numbers"]
    ]
    if found["not_mammograms"]:
        lines.append(f"Taken for no mammogram: {counted(found['not_mammograms'])}.")
    if found["near_duplicates"]:
        same = "; ".join(f"{a} and {b}" for a, b in found["near_duplicates"])
        lines.append(f"The same picture twice, and so in one case: {same}.")
    if found["corrections"]["applied"]:
        lines.append(f"{found['corrections']['applied']} corrections were applied.")
    return lines + [f"Corrections: {told}." for told in found["corrections"]["told"]]


def counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


# ---- the form that the authors published


def write_published(folder: Path, pairs: datasets.Dataset) -> None:
    """[{"image": file, "caption": text}] with the image files, named by their place, in a folder beside it."""
    (folder / "images").mkdir()
    listed = []
    for number, pair in enumerate(pairs.cast_column("image", datasets.Image(decode=False))):
        name = f"images/{number:05d}.png"
        (folder / name).write_bytes(pair["image"]["bytes"])
        listed.append({"image": name, "caption": pair["caption"]})
    (folder / PUBLISHED).write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def tell(report: dict[str, Any], args: argparse.Namespace) -> None:
    print(f"{args.output}: {report['pairs']} image-caption pairs")
    for name, pdf in report["pdfs"].items():
        line = f"  {name}: {pdf['pairs']} pairs of {pdf['captions']} captions"
        for key, what in (
            ("pictures_without_caption", "pictures without a caption"),
            ("captions_without_picture", "captions without a picture"),
        ):
            line += f"; {what}: {len(pdf[key])}" if pdf[key] else ""
        if "truth" in pdf:
            truth = pdf["truth"]
            line += f"; of {truth['planted']} planted (phantom) pairs {truth['right']} are right"
            line += (
                f" ({truth['right_fraction']:.1%}), character error rate {truth['character_error_rate']:.2%}"
            )
        print(line)
    if report["not_mammograms"]:
        print(f"  no mammograms: {counted(report['not_mammograms'])}")
    for told in report["corrections"]["told"]:
        print(f"  {args.corrections}: {told}")
    print(f"  {report['doubtful']} pairs are doubtful: {args.output / SHEET} shows them first")


if __name__ == "__main__":
    run_script(main)
