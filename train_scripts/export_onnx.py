"""Write a release's models as ONNX files: a folder that AutoModel and pipeline open as before, on ONNX Runtime."""

import argparse
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from modeling_mamclip.onnx_mamclip import CLASSIFIER, IMAGE_ENCODER, TEXT_ENCODER
from training.cli import ScriptParser, run_script
from training.onnx_export import TOLERANCE, Differences, write_onnx

PARTS = {"classifier": (CLASSIFIER,), "aligned encoders": (IMAGE_ENCODER, TEXT_ENCODER)}


def main() -> None:
    args = parse_args()
    disable_progress_bar()
    differences = write_onnx(args.model, args.output)
    report(differences, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The folder needs onnxruntime beside what the release needs. Every file is compared with PyTorch at two "
        "sizes of batch; the folder appears only if the outputs agree. Needs onnx, onnxscript and onnxruntime.",
    )
    parser.add_argument("--model", required=True, type=Path, help="a release: folder of export_release.py")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    return parser.parse_args()


def report(differences: Differences, output: Path) -> None:
    """Say how far each file is from PyTorch, what was left out, and how the folder is opened."""
    for file, batches in differences.items():
        found = ", ".join(f"{value:.1e} ({batch})" for batch, value in batches.items())
        print(f"{file}: differs from PyTorch by {found}; {TOLERANCE:.0e} is allowed")
    for part, files in PARTS.items():
        if not set(files) & set(differences):
            print(f"left out, since the release has no {part}: {', '.join(files)}")
    task = "image-classification" if CLASSIFIER in differences else "zero-shot-image-classification"
    print(f"{output}: pipeline('{task}', model='{output}', trust_remote_code=True)")


if __name__ == "__main__":
    run_script(main)
