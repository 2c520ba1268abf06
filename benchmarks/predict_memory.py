"""Whether predict.py's memory stays flat: its peak over many files to that over few, on tiny phantoms and a tiny model.

python benchmarks/predict_memory.py [MANY FEW]     (10000 and 500 files)
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import print_result

ROOT = Path(__file__).resolve().parents[1]
MANY, FEW = 10_000, 500
PHANTOMS = 8
SIZE = {"height": 64, "width": 48}
TINY = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]}
# VmHWM is the peak of this process alone; getrusage's begins with that of the process that started it.
MEASURED = """
import runpy, sys
from pathlib import Path
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]))
"""


def write_inputs(folder: Path) -> None:
    """A release and a few phantom DICOMs; in a process of its own, so that this one stays small."""
    from dataset_builders.phantom.case import draw_case
    from dataset_builders.phantom.dicom_files import phantom_dicom
    from dataset_builders.phantom.render import render_view
    from processing import MamClipImageProcessor
    from training.initialization import new_classifier
    from training.release import write_folder

    vision = {"architecture": "convnext_atto", "model_args": TINY, "image_size": list(SIZE.values())}
    model = new_classifier(vision_config=vision)
    processor = MamClipImageProcessor(size=SIZE)
    write_folder(folder / "mamclip", model.config, model.state_dict(), processor, name="tiny", phantom=True)
    (folder / "phantoms").mkdir()
    for number in range(PHANTOMS):
        case, side, view = draw_case(0, number), "LR"[number % 2], ("CC", "MLO")[number // 2 % 2]
        pixels = render_view(case, side, view, height=128, width=96).pixels
        about = {
            "patient": f"patient {number // 4}",
            "exam": f"exam {number // 4}",
            "age": 60,
            "style": number,
        }
        dataset = phantom_dicom(pixels, laterality=side, view=view, **about)
        dataset.save_as(folder / "phantoms" / f"{number}.dcm")


def write_archive(phantoms: Path, folder: Path, count: int) -> Path:
    sources = sorted(phantoms.iterdir())
    for number in range(count):
        place = folder / f"{number // 4:05}"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sources[number % len(sources)], place / f"{number}.dcm")
    return folder


def peak_mib(folder: Path, count: int) -> float:
    """Of predict.py over so many files, an exam a folder."""
    archive = write_archive(folder / "phantoms", folder / f"archive-{count}", count)
    words = [ROOT / "train_scripts" / "predict.py", "--model", folder / "mamclip", "--input", archive]
    words += ["--output", folder / f"results-{count}", "--exams", "folders", "--batch-size", "8"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, words)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return int(done.stdout.splitlines()[-1]) / 1024


def main() -> None:
    many, few = map(int, sys.argv[1:] or (MANY, FEW))
    with tempfile.TemporaryDirectory() as name:
        child = multiprocessing.get_context("spawn").Process(target=write_inputs, args=(Path(name),))
        child.start()
        child.join()
        peaks = {count: peak_mib(Path(name), count) for count in (few, many)}
    print(f"peak over {few} files {peaks[few]:.0f} MiB, over {many} files {peaks[many]:.0f} MiB")
    print_result(
        benchmark="predict.py's peak memory over many files, to few",
        many_to_few=round(peaks[many] / peaks[few], 3),
        files={"many": many, "few": few},
        kib_per_further_file=round((peaks[many] - peaks[few]) * 1024 / (many - few), 2),
        peak_mib={"many": round(peaks[many]), "few": round(peaks[few])},
    )


if __name__ == "__main__":
    main()
