"""One file of a mammogram → what the model takes and what is kept of it. A bad file is a sentence, and not the end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dataset_builders.prepared_images import warnings_of
from evaluation.pictures import small_picture
from processing import MamClipImageProcessor, Mammogram, MammogramError, read_image, to_uint8

from .file_names import folder_of, read_name

FROM_NAME = "file name"
EXAMS = ("tags", "folders")
DEADLY = "ends the process that reads it, by a decoder's crash or for want of memory; get a new copy of it."
THUMBNAIL_HEIGHT = 320
ANY_MODALITY = "any_modality=True", "--any-modality"


@dataclass(frozen=True)
class ReadingOptions:
    """How files are read.

    salt: a secret text, under which identifiers become pseudonyms (`processing.read_dicom`). exams: one of EXAMS: the
    files of an exam are told by their tags, or lie in a folder of their own. frame: of files with several, as in
    `read_dicom`. any_modality: read what is no mammogram, too. thumbnails: so many of the first files get a picture.
    """

    salt: str
    exams: str = "tags"
    frame: int | str | None = None
    any_modality: bool = False
    thumbnails: int = 0


@dataclass(frozen=True)
class Reading:
    """One file, read and prepared.

    name: as `list_files` has it. pixel_values (3, H, W) float32, as the model takes it, None for a bad file.
    patient, exam: keys that are equal for files of one patient, or exam; pseudonyms where they come from tags.
    laterality "L" or "R", view "CC", "MLO" or another: None where nothing says so; *_source: the tag that did, or
    "file name". size: (height, width) of the file; crop: (x0, y0, x1, y1) in its pixels; crop_source: BreastBox's.
    thumbnail: a PNG of the crop. warnings: what somebody should know. error: why the file is bad, or "".
    """

    name: str
    pixel_values: Tensor | None = field(default=None, repr=False)
    patient: str = ""
    exam: str = ""
    laterality: str | None = None
    laterality_source: str | None = None
    view: str | None = None
    view_source: str | None = None
    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    crop_source: str | None = None
    thumbnail: bytes | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()
    error: str = ""


def read_batches(
    files: Mapping[str, Path],
    processor: MamClipImageProcessor,
    options: ReadingOptions,
    *,
    batch_size: int,
    start: int = 0,
    workers: int = 0,
    deadly: Collection[str] = (),
) -> Iterator[list[Reading]]:
    """The files in their order, from number `start` on, so many at a time; `workers` processes read ahead.

    deadly: names of files that are not touched, see `deadly_files`.
    Raises OSError where such a process dies, as of a decoder's crash or for want of memory.
    """
    source = _Files(list(files.items()), processor, options, deadly)
    context = "spawn" if workers else None  # torch's threads do not survive a fork
    loader = DataLoader(
        source,
        batch_size,
        sampler=range(start, len(source)),
        collate_fn=list,
        num_workers=workers,
        multiprocessing_context=context,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not workers or "DataLoader worker" not in str(error):
            raise
        raise OSError(
            "a process that reads files died, of a decoder's crash or for want of memory; the same command goes on "
            "where this one stopped, and finds the file when it has stopped there twice."
        ) from error


class _Files(Dataset):
    def __init__(self, files: Sequence[tuple[str, Path]], processor, options: ReadingOptions, deadly):
        self.files, self.processor, self.options, self.deadly = files, processor, options, frozenset(deadly)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Reading:
        name, path = self.files[number]
        if name in self.deadly:
            return Reading(name, error=f"{name} {DEADLY}")
        return read_file(name, path, self.processor, self.options, thumbnail=number < self.options.thumbnails)


def deadly_files(
    files: Mapping[str, Path], processor: MamClipImageProcessor, options: ReadingOptions
) -> Iterator[str]:
    """Names of the files that kill the process that reads them: each is tried in one of its own.

    To be called before the network has computed anything, because threads do not survive the fork.
    """
    context = multiprocessing.get_context("fork")
    for name, path in files.items():
        child = context.Process(target=_try, args=(name, path, processor, options))
        child.start()
        child.join()
        if child.exitcode != 0:
            yield name


def _try(*given) -> None:
    torch.set_num_threads(1)
    read_file(*given)


def read_file(
    name: str,
    path: Path,
    processor: MamClipImageProcessor,
    options: ReadingOptions,
    *,
    thumbnail: bool = False,
) -> Reading:
    """Read and prepare one file. What is wrong with it is in the reading, and never more of its path than `name`."""
    try:
        mammogram, warnings = _opened(path, options)
        batch = processor(mammogram.pixels, return_tensors="pt")
        placement = batch.placements[0]
        reading = Reading(
            name,
            batch["pixel_values"][0],
            size=placement.image_size,
            crop=placement.crop_box,
            crop_source=placement.crop_source,
            thumbnail=_thumbnail(mammogram, placement.crop_box) if thumbnail else None,
        )
        reading = with_place(reading, mammogram, options)
        found = (*warnings, *_warnings(reading, mammogram), *reading.warnings)
        return replace(reading, warnings=found)
    except (MammogramError, OSError) as error:
        said = " ".join(str(error).replace(str(path), name).split()) or type(error).__name__
        return Reading(name, error=said.replace(*ANY_MODALITY))
    except (
        Exception
    ) as error:  # a stranger's file can break a decoder in any way, and its words may be of the file
        return Reading(name, error=f"{name} cannot be read ({type(error).__name__}); get a new copy of it.")


def _opened(path: Path, options: ReadingOptions) -> tuple[Mammogram, tuple[str, ...]]:
    """The file's pixels, and what was overlooked to get them."""
    how = {"salt": options.salt, "frame": options.frame}
    try:
        return read_image(path, **how), ()
    except MammogramError as refused:
        if not (options.any_modality and ANY_MODALITY[0] in str(refused)):
            raise
        reason = str(refused).removeprefix(f"{path} is ").partition("; expected")[0]
        return read_image(path, any_modality=True, **how), (reason,)


def with_place(reading: Reading, mammogram: Mammogram, options: ReadingOptions) -> Reading:
    """Laterality, view, patient and exam: by tags, else by the file's name where that is beyond doubt."""
    said = read_name(reading.name)
    places = {}
    for what in ("laterality", "view"):
        tag, word = getattr(mammogram, what), getattr(said, what)
        source = getattr(mammogram, f"{what}_source") if tag else FROM_NAME if word else None
        places |= {what: tag or word, f"{what}_source": source}
    patient, exam, warnings = _exam_of(reading.name, mammogram, said, options.exams)
    return replace(reading, **places, patient=patient, exam=exam, warnings=warnings)


def _exam_of(name: str, mammogram: Mammogram, said, exams: str) -> tuple[str, str, tuple[str, ...]]:
    """Keys of patient and exam, and a warning where nothing tells them. Keys of two kinds are never equal."""
    folder = folder_of(name)
    if exams == "folders":
        return f"folder {folder}", f"folder {folder}", ()
    if mammogram.study or mammogram.patient:
        exam = f"tags {mammogram.patient} {mammogram.study or folder}"
        return f"tags {mammogram.patient}" if mammogram.patient else exam, exam, ()
    if said.laterality and said.view:
        return f"name {folder}/{said.rest}", f"name {folder}/{said.rest}", ()
    alone = "no tag and no word of its name tells its exam, so it stands alone"
    return f"file {name}", f"file {name}", (alone,)


def _warnings(reading: Reading, mammogram: Mammogram) -> Iterator[str]:
    yield from warnings_of(mammogram, reading.crop_source)
    if reading.view is None:
        yield "the view is not known; the model has learnt from CC and MLO"
    if mammogram.view_modifiers:
        yield f"a special view ({', '.join(mammogram.view_modifiers)})"
    if reading.laterality is None:
        yield "the laterality is not known"
    said = read_name(reading.name)
    for what in ("laterality", "view"):
        tag, word = getattr(mammogram, what), getattr(said, what)
        if tag and word and tag != word:
            yield f"the {what} is {tag} by its tags and {word} by its name"


def _thumbnail(mammogram: Mammogram, crop: tuple[int, int, int, int]) -> bytes:
    """The crop, reduced, as bytes of a PNG."""
    x0, y0, x1, y1 = crop
    return small_picture(Image.fromarray(to_uint8(mammogram.pixels[y0:y1, x0:x1])), height=THUMBNAIL_HEIGHT)


def stacked(readings: Sequence[Reading]) -> Tensor | None:
    """(B, 3, H, W) of those that could be read, None where none could."""
    rows = [one.pixel_values for one in readings if one.pixel_values is not None]
    return torch.stack(rows) if rows else None
