"""How fast atlas pages are read: with a text layer, scanned on one core, and scanned on all."""

import tempfile
import time
from pathlib import Path

import pymupdf
from machine import print_result

from dataset_builders.atlas_builder import extract_pairs
from dataset_builders.phantom.atlas_pdf import write_atlas
from dataset_builders.phantom.case import draw_case

SIZES = {"text": 60, "scanned": 12}  # cases


def pages_per_second(path: Path, processes: int | None) -> float:
    with pymupdf.open(path) as document:
        pages = len(document)
    began = time.perf_counter()
    list(extract_pairs(path, processes=processes))
    return pages / (time.perf_counter() - began)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: Path(folder, f"{kind}.pdf") for kind in SIZES}
        for kind, size in SIZES.items():
            write_atlas(
                paths[kind], [draw_case(1, i) for i in range(size)], kind=kind, seed=1, image_height=256
            )
        text = pages_per_second(paths["text"], 1)
        one, all_cores = (pages_per_second(paths["scanned"], processes) for processes in (1, None))
    print(f"text layer {text:.1f} pages/s; scanned {one:.2f} pages/s on one core, {all_cores:.2f} on all")
    print_result(
        benchmark="atlas pages per second (phantom)",
        text_pages_per_second=round(text, 1),
        scanned_pages_per_second=round(all_cores, 3),
        all_cores_to_one=round(all_cores / one, 2),
    )


if __name__ == "__main__":
    main()
