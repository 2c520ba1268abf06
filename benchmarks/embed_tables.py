"""How long EMBED's two tables take, at the size of its open release, and how much memory: from folder to index.

The tables are synthetic, with the columns that are read and many unused ones; the images are empty files, in memory
(/dev/shm) where that is to be had: on a network disk add the time that it takes to list 100,000 folders.
"""

import argparse
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from machine import print_result

IMAGES, EXAMS, PATIENTS = 480_323, 76_373, 22_382  # of the open release, says its documentation
UNUSED = 120  # columns of a table that nobody reads
METADATA = "empi_anon,acc_anon,anon_dicom_path,png_path,png_filename,study_date_anon,StudyDescription,FinalImageType,"
METADATA += "ImageLateralityFinal,ViewPosition,spot_mag,num_roi,ROI_coords,match_level,cohort_num"
CLINICAL = (
    "empi_anon,acc_anon,desc,asses,tissueden,side,numfind,massshape,massmargin,massdens,calcfind,calcdistri,"
)
CLINICAL += "path_severity,RACE_DESC,ETHNIC_GROUP_DESC,age_at_study"
SHOTS = [*product("LR", ("CC", "MLO"), ("2D", "2D", "2D", "cview")), ("L", "ML", "2D"), ("R", "XCCL", "2D")]
MEMORY = Path("/dev/shm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="rows of the metadata table")
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as work:
        written = write_archive(Path(work), images)
        with multiprocessing.get_context("spawn").Pool(1) as fresh:  # whose peak is the index's alone
            numbers = fresh.apply(measure, (work,))
    print(
        f"{images} images: {numbers['seconds']} s ({numbers['cpu_seconds']} s of a core), "
        f"{numbers['peak_gib']} GiB at most"
    )
    print_result(benchmark="EMBED's tables to an index (synthetic)", images=images, **written, **numbers)


def measure(folder: str) -> dict[str, float]:
    """Seconds of a builder's making, those of its index alone, and the process's peak with and without them."""
    from dataset_builders.archives.embed import EmbedBuilder

    clocks = {"seconds": time.perf_counter, "cpu_seconds": time.process_time}
    indexing = {}

    class TimedBuilder(EmbedBuilder):
        def index(self, folder):
            began = {name: clock() for name, clock in clocks.items()}
            found = super().index(folder)
            indexing.update({f"{name}_index": clock() - began[name] for name, clock in clocks.items()})
            return found

    imported, began = peak_gib(), {name: clock() for name, clock in clocks.items()}
    builder = TimedBuilder(data_dir=folder, cache_dir=f"{folder}/cache")
    taken = {name: clock() - began[name] for name, clock in clocks.items()} | indexing
    print(builder.describe())
    return {
        **{name: round(seconds, 1) for name, seconds in taken.items()},
        "records": len(builder.found.rows),
        "peak_gib": peak_gib(),
        "peak_gib_of_imports": imported,
    }


def peak_gib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def write_archive(folder: Path, images: int) -> dict[str, int]:
    """Both tables and an empty file for each image; → megabytes of the tables and rows of findings."""
    exams = max(1, round(EXAMS * images / IMAGES))
    tables = folder / "tables"
    tables.mkdir()
    metadata, clinical = (tables / f"EMBED_OpenData_{name}.csv" for name in ("metadata", "clinical"))
    write_table(metadata, METADATA, image_rows(images, exams, folder / "images"))
    findings = write_table(clinical, CLINICAL, finding_rows(exams))
    megabytes = {f"megabytes_{path.stem[15:]}": path.stat().st_size // 10**6 for path in (metadata, clinical)}
    return {**megabytes, "findings": findings}


def write_table(path: Path, header: str, rows: Iterator[str]) -> int:
    """Rows, each with a tail of unused cells; → how many."""
    rng = random.Random(path.stem)
    values = [
        "",
        "",
        "NONE",
        "0.0",
        "HOLOGIC, Inc.",
        "1.2.840.10008.5.1.4.1.1.1.2",
        "FOR PRESENTATION",
        "2457",
    ]
    tails = [",".join(f'"{rng.choice(values)}"' for _ in range(UNUSED)) for _ in range(64)]
    number = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(f"{header},{','.join(f'Unused{i}' for i in range(UNUSED))}\n")
        for number, row in enumerate(rows, start=1):
            file.write(f"{row},{tails[number % len(tails)]}\n")
    return number


def image_rows(images: int, exams: int, folder: Path) -> Iterator[str]:
    rng = random.Random(0)
    for number in range(images):
        exam = number * exams // images
        side, view, kind = SHOTS[number % len(SHOTS)]
        place = f"cohort_{1 + exam % 2}/{patient(exam, exams)}/{accession(exam)}"
        name = f"1.2.826.0.1.3680043.8.498.{rng.getrandbits(120):037d}"
        target = folder / place / f"{name}.dcm"
        if number == 0 or exam != (number - 1) * exams // images:
            target.parent.mkdir(parents=True)
        target.touch()
        roi = '1,"[[2030, 1044, 2432, 1446]]",[1]' if number % 40 == 0 else "0,[],[]"
        spot = int(number % 23 == 0)
        yield (
            f"{patient(exam, exams)},{accession(exam)},/mnt/NAS2/mammo/anon_dicom/{place}/{name}.dcm,"
            f"/mnt/NAS2/mammo/png/{place}/{name}.png,{name}.png,2015-03-04,MG Screening Bilateral,{kind},{side},"
            f"{view},{spot},{roi},{1 + exam % 2}"
        )


def finding_rows(exams: int) -> Iterator[str]:
    rng = random.Random(1)
    for exam in range(exams):
        screening = rng.random() < 0.72
        desc = "MG Screening Bilateral" if screening else "MG Diagnostic Bilateral w/ CAD"
        for number in range(1, 1 + rng.choice((1, 1, 1, 1, 2, 3))):
            asses = rng.choice("NNNNNNNNNNNNBBA") if screening else rng.choice("NBPSMKPBS")
            codes = f"{rng.choice('ORXAFS')},{rng.choice('DUMIS')},=,," if asses not in "NB" else ",,,,"
            yield (
                f"{patient(exam, exams)},{accession(exam)},{desc},{asses},{rng.randint(1, 4)}.0,"
                f"{rng.choice(['L', 'R', 'B', ''])},{number}.0,{codes},,African American  or Black,"
                f"Non-Hispanic or Latino,{rng.uniform(40, 80):.6f}"
            )


def patient(exam: int, exams: int) -> int:
    return 10_000_000 + exam * PATIENTS // EXAMS


def accession(exam: int) -> int:
    return 1_000_000_000_000_000 + exam * 7919


if __name__ == "__main__":
    main()
