"""Read mammograms with a release or its ONNX export, and write BI-RADS and breast density as a CSV table.

python train_scripts/predict.py --model mamclip --input LCC.dcm archive/ --output predictions.csv
"""

import argparse
import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from dataset_builders.mammogram_files import MammogramFile, list_files, read_files
from modeling_mamclip import MamClipConfig, MamClipOnnxConfig
from processing import MamClipImageProcessor
from training.cli import ScriptParser, run_script
from training.release import refuse_existing

KINDS = (MamClipConfig.model_type, MamClipOnnxConfig.model_type)


def main() -> None:
    args = parse_args()
    disable_progress_bar()
    refuse_existing(args.output)
    model = open_classifier(args.model)
    processor = MamClipImageProcessor.from_pretrained(str(args.model))
    files = list_files(args.input)
    mammograms = tqdm(read_files(files, processor), total=len(files), desc="reading", unit="file")
    header = ["file", "laterality", "view", "birads", "density", *classes(model.config), "error"]
    errors = write_table(args.output, header, rows(model, mammograms, args.batch_size))
    report(args.output, len(files), errors)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="A file that cannot be read gets its reason in the column 'error'; the exit code is 2 only if none can. "
        "Research use only: no output may guide the care of a patient.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        help="folder of export_release.py or export_onnx.py with a classifier",
    )
    parser.add_argument(
        "--input",
        required=True,
        type=Path,
        nargs="+",
        help="DICOM, PNG, JPEG or TIFF files, or folders of them",
    )
    parser.add_argument("--output", required=True, type=Path, help="the CSV file to write; must not exist")
    parser.add_argument("--batch-size", type=int, default=4, help="images at a time (default: %(default)s)")
    args = parser.parse_args()
    if args.batch_size < 1:
        parser.error(f"--batch-size is {args.batch_size}, but it must be at least 1")
    return args


def open_classifier(folder: Path) -> PreTrainedModel:
    """The folder's classifier, PyTorch's or ONNX Runtime's, run by this project's code; on a GPU where there is one."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} is not a MAM-CLIP folder: it has no config.json.")
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    served = getattr(config, "auto_map", {})
    if config.model_type not in KINDS or "AutoModelForImageClassification" not in served:
        raise ValueError(
            f"{folder} is no release with a classifier; export_release.py --classifier writes one."
        )
    try:
        model = AutoModelForImageClassification.from_pretrained(str(folder), trust_remote_code=False)
    except ImportError as error:  # ONNX Runtime is missing
        raise ValueError(str(error)) from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def classes(config: PreTrainedConfig) -> list[str]:
    """The columns of the probabilities: BI-RADS classes, then densities."""
    return [*config.id2label.values(), *(f"density {name}" for name in config.density_labels)]


def rows(
    model: PreTrainedModel, mammograms: Iterable[MammogramFile], batch_size: int
) -> Iterator[dict[str, str | None]]:
    """A row of the table for every file, in order."""
    mammograms = iter(mammograms)
    while batch := list(islice(mammograms, batch_size)):
        readable = [one.pixel_values for one in batch if one.pixel_values is not None]
        scores = iter(predict(model, torch.stack(readable)) if readable else [])
        for one in batch:
            about = {"file": one.name, "laterality": one.laterality, "view": one.view, "error": one.error}
            yield about if one.pixel_values is None else {**about, **next(scores)}


@torch.inference_mode()
def predict(model: PreTrainedModel, pixel_values: torch.Tensor) -> list[dict[str, str]]:
    """pixel_values (B, 3, H, W) → for every image the two predicted classes and all probabilities, by column."""
    output, config = model(pixel_values.to(model.device)), model.config
    birads = (output.logits.float() / config.birads_temperature).softmax(-1)
    density = (output.density_logits.float() / config.density_temperature).softmax(-1)
    return [
        {
            "birads": config.id2label[int(row.argmax())],
            "density": config.density_labels[int(other.argmax())],
            **{name: f"{p:.6f}" for name, p in zip(classes(config), [*row, *other], strict=True)},
        }
        for row, other in zip(birads, density, strict=True)
    ]


def write_table(output: Path, header: list[str], table: Iterable[Mapping[str, str | None]]) -> int:
    """Write the rows as they come; the file appears with the last of them → how many have an error."""
    output.parent.mkdir(parents=True, exist_ok=True)
    errors = 0
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
        beside = Path(work, output.name)
        with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.DictWriter(file, header)
            writer.writeheader()
            for row in table:
                writer.writerow(row)
                errors += bool(row["error"])
        beside.replace(output)
    return errors


def report(output: Path, files: int, errors: int) -> None:
    if errors == files:
        raise ValueError(f"no file could be read, of {files}; the column 'error' of {output} says why.")
    print(f"{output}: {files - errors} of {files} files predicted, {errors} could not be read")


if __name__ == "__main__":
    run_script(main)
