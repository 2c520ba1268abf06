"""How fast an archive becomes records, and how much of that is decoding DICOM."""

import tempfile
import time
from pathlib import Path

from machine import print_result

from dataset_builders.building import load_mammograms
from dataset_builders.phantom.archives import write_teknofest
from dataset_builders.phantom.case import draw_case
from processing import read_dicom

PATIENTS = 15


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "archive")
        write_teknofest(archive, [draw_case(1, i, birads=4) for i in range(PATIENTS)], height=1024, width=768)
        files = sorted(archive.rglob("*.dcm"))
        began = time.perf_counter()
        for path in files:
            read_dicom(path)
        decoding = time.perf_counter() - began
        began = time.perf_counter()
        load_mammograms("teknofest", archive, cache_dir=Path(folder, "cache"))
        building = time.perf_counter() - began
    print(f"{len(files)} phantom DICOMs of 1024 × 768: {len(files) / building:.1f} images/s")
    print_result(
        benchmark="archive to records (phantom)",
        images_per_second=round(len(files) / building, 1),
        decoding_share=round(decoding / building, 3),
    )


if __name__ == "__main__":
    main()
