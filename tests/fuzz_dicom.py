"""Feed damaged DICOM files to the reader: each gives pixels or one MammogramError, in time, and without a word more.

    PYTHONPATH=. python tests/fuzz_dicom.py --count 20000 --seed 1

A file of the zoo is mutated by its number and the seed alone, so that --only 1234 repeats a single one.
"""

import argparse
import faulthandler
import random
import signal
import warnings
from collections import Counter

import numpy as np
from dicom_files import lookup, view_code
from dicom_zoo import SYNTAXES, written

from processing import Mammogram, MammogramError, read_dicom

SECONDS = 2  # of the processor's time for a file
SPLICE = 64  # bytes, at most, that are cut out, doubled or overwritten
ODD = (0, 1, 0x7F, 0x80, 0xFF)
# How files are read, one way after the other: all of the pixel path is to be met.
WAYS = (
    {},
    {"mode": "voi"},
    {"mode": "voi", "window": 1, "bits": 8},
    {"frame": "max"},
    {"frame": "central", "for_processing": "log"},
    {"any_modality": True, "salt": "salt", "frame": 0},
)


class Late(BaseException):
    """A file took too long; no reader may catch this."""


def originals() -> list[bytes]:
    """A file of each syntax with tables, windows and padding, with several frames, signed, and for processing."""
    rows, columns = np.mgrid[:40, :32]
    image = (2000 + 1500 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.uint16)
    tags = {
        "WindowCenter": [2000, 1500],
        "WindowWidth": [1000, 900],
        "RescaleSlope": 1,
        "RescaleIntercept": -100,
        "PixelPaddingValue": 0,
        "ViewCodeSequence": view_code("399162004"),
        "ImagerPixelSpacing": [0.07, 0.07],
        "SeriesDescription": "LCC",
    }
    files = []
    for syntax in SYNTAXES:
        shown = image >> 4 if syntax == "JPEGBaseline8Bit" else image
        files += [written(shown, syntax, **tags), written(np.stack([shown] * 3), syntax, WindowWidth=0)]
    tables = {
        "ModalityLUTSequence": lookup(range(64), first=1000, bits=12),
        "VOILUTSequence": lookup([0, 9], 0, 8),
    }
    files.append(written(image, "ImplicitVRLittleEndian", **tables))
    files.append(written(image, "ExplicitVRBigEndian", **tables))
    raw = {"PresentationIntentType": "FOR PROCESSING", "PixelIntensityRelationshipSign": 1}
    files.append(written(image.astype(np.int32) - 2048, "ExplicitVRLittleEndian", signed=True, **raw))
    return files


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four wounds: bytes changed, cut out, doubled or overwritten, or the end lost; half of them in the head."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        end = rng.choice((min(len(data), 1200), len(data)))
        at, length = rng.randrange(132, max(end, 133)), rng.randint(1, SPLICE)
        kind = rng.randrange(6)
        if kind == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            data[at : at + 1] = bytes([rng.choice(ODD)])
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            data[at : at + length] = rng.randbytes(length)
        else:
            del data[rng.randrange(132, max(len(data), 133)) :]
    return bytes(data)


def outcome(data: bytes, way: dict) -> str:
    """What became of a file, in a word. Raises AssertionError for what should not be."""
    try:
        mammogram = read_dicom(data, **way)
    except MammogramError as error:
        assert str(error).endswith(".") and "\n" not in str(error), f"no sentence: {error}"
        return "refused"
    assert isinstance(mammogram, Mammogram) and mammogram.pixels.ndim == 2
    assert mammogram.pixels.dtype == (np.uint8 if way.get("bits") == 8 else np.uint16)
    return "pixels"


def run(count: int, seed: int, only: int | None = None, seconds: float | None = None) -> Counter:
    """How many of the mutated files gave pixels, and how many were refused. Raises for any other outcome."""
    files, outcomes = originals(), Counter()
    for number in range(count) if only is None else [only]:
        rng = random.Random(f"{seed}/{number}")
        data, way = mutate(files[number % len(files)], rng), rng.choice(WAYS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                outcomes[_timed(data, way, seconds)] += 1
        except BaseException as error:
            error.add_note(f"file {number} of seed {seed}, read with {way}")
            raise
    return outcomes


def _timed(data: bytes, way: dict, seconds: float | None) -> str:
    if seconds is None:
        return outcome(data, way)

    def late(*_):
        raise Late(f"longer than {seconds} s")

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return outcome(data, way)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="mutated files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of a single file")
    args = parser.parse_args()
    faulthandler.enable()
    print(dict(run(args.count, args.seed, args.only, SECONDS)))


if __name__ == "__main__":
    main()
