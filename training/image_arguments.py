"""Options that scripts which read folders of mammograms have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from processing.dicom import FRAMES


def add_input_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input",
        required=True,
        type=Path,
        nargs="+",
        metavar="PATH",
        help="DICOM, PNG, JPEG or TIFF files, or folders of them",
    )


def add_frame_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--frame",
        type=frame,
        help="of tomosynthesis: central, max, or a number from 0; without it, it is refused",
    )


def frame(word: str) -> int | str:
    if not word.isdigit() and word not in FRAMES:
        raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(FRAMES)}, nor a number from 0")
    return int(word) if word.isdigit() else word
