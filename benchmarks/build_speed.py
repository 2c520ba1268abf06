"""How fast an archive becomes records: all of it, how much of that is decoding DICOM, and again with other labels."""

import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from machine import print_result

from dataset_builders.building import load_mammograms
from dataset_builders.phantom.archives import write_teknofest
from dataset_builders.phantom.case import draw_case
from processing import read_dicom

PATIENTS = 15


def main() -> None:
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        archive, cache = Path(folder, "archive"), Path(folder, "cache")
        write_teknofest(archive, [draw_case(1, i, birads=4) for i in range(PATIENTS)], height=1024, width=768)
        files = sorted(archive.rglob("*.dcm"))
        with timed(seconds, "decoding"):
            for path in files:
                read_dicom(path)
        with timed(seconds, "building"):
            load_mammograms("teknofest", archive, cache_dir=cache)
        with timed(
            seconds, "rebuilding"
        ):  # a limit that changes nothing makes another data set of the same images
            load_mammograms("teknofest", archive, cache_dir=cache, limits={4: len(files)})
    building = seconds["building"]
    print(f"{len(files)} phantom DICOMs of 1024 × 768: {len(files) / building:.1f} images/s")
    print_result(
        benchmark="archive to records (phantom)",
        images_per_second=round(len(files) / building, 1),
        decoding_share=round(seconds["decoding"] / building, 3),
        rebuilding_share=round(seconds["rebuilding"] / building, 3),
    )


@contextmanager
def timed(seconds: dict[str, float], name: str):
    began = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - began


if __name__ == "__main__":
    main()
