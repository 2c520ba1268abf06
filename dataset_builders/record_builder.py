"""What all archives share: an index of labelled image files → records, with unreadable files told and not lost."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import datasets
import multiprocess  # what `datasets` makes its processes with
import torch
from PIL import Image

from dataset_builders.describing import describe
from dataset_builders.records import RECORD_FEATURES, check_record
from dataset_builders.terms import Terms
from processing import MammogramError, find_breast, read_image, to_uint8

SKIPPED = "skipped.jsonl"  # beside the built data: one line for each file that could not be read


@dataclass
class RecordConfig(datasets.BuilderConfig):
    """What a build depends on; another value is another data set in the cache of `datasets`.

    crop: cut images to the breast. limits: at most so many images of a BI-RADS class, {1: 25000, 2: 25000} as in the
    paper for EMBED. seed: which patients a limit leaves. fingerprint: of the index; set by the builder.
    """

    crop: bool = True
    limits: Mapping[int, int] = field(default_factory=dict)
    seed: int = 0
    fingerprint: str = ""


@dataclass
class Index:
    """What an archive holds before an image is opened.

    rows: a record for each image, with its `path` in the place of its `image`, and, where the archive tells of
    findings, a list of Finding as `findings`; left_out: images by the reason why they are no record; remarks: what
    else is odd in the tables, counted.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)


class RecordBuilder(datasets.GeneratorBasedBuilder):
    """An archive's builder; a subclass makes the index from the archive's tables and folders.

    Used directly: `TeknofestBuilder(data_dir=…)`, `.download_and_prepare(num_proc=2)`, `.as_dataset(split="train")`.
    """

    BUILDER_CONFIG_CLASS = RecordConfig
    VERSION = datasets.Version("1.1.0")  # 1.1: cropped by the detector
    own_features: dict[str, Any] = {}
    terms: Terms | None = None  # every builder of a real data set declares its own

    def __init__(self, *args, data_dir: str | Path | None = None, **kwargs) -> None:
        if data_dir is None:
            raise ValueError(f"{type(self).__name__} needs data_dir, the archive's folder.")
        if not Path(data_dir).is_dir():
            raise FileNotFoundError(f"{data_dir} is not a folder; give the archive's folder as data_dir.")
        known = {option.name for option in fields(self.BUILDER_CONFIG_CLASS)}
        self.config = self.BUILDER_CONFIG_CLASS(**{name: kwargs[name] for name in known & kwargs.keys()})
        self.found = self.index(Path(data_dir))
        if not self.found.rows:
            raise ValueError(f"{data_dir} holds no image that can be a record{_because(self.found)}.")
        super().__init__(*args, data_dir=str(data_dir), fingerprint=_fingerprint(self.found.rows), **kwargs)
        limit_classes(self.found, self.config.limits, self.config.seed)

    def __getstate__(self) -> dict[str, Any]:
        """Processes that read images get their share of the rows, not all of them once more."""
        return {**self.__dict__, "found": Index()}

    def index(self, folder: Path) -> Index:
        """What the archive in `folder` holds. Raises ValueError or FileNotFoundError for what is missing."""
        raise NotImplementedError

    def describe(self) -> str:
        """What each rule left out of the archive, in lines for a reader."""
        return describe(self.found)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=datasets.Features({**RECORD_FEATURES, **self.own_features}))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        Path(self._skip_log()).unlink(missing_ok=True)
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN, gen_kwargs={"rows": self.found.rows})]

    def _generate_examples(self, rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        if (
            multiprocess.parent_process() is not None
        ):  # one of several, whose threads would wait for each other
            torch.set_num_threads(1)
        for row in rows:
            record = dict(row)
            path = record.pop("path")
            record.pop("findings", None)
            try:
                record["image"] = {"bytes": encoded_image(path, crop=self.config.crop), "path": None}
            except (MammogramError, OSError) as error:
                self._skip(path, str(error))
                continue
            check_record(record)
            yield path, record

    def _skip_log(self) -> str:
        return f"{self.cache_dir.removesuffix('.incomplete')}.{SKIPPED}"

    def _skip(self, path: str, reason: str) -> None:
        """Appended in one write, so that several processes may share the file."""
        line = json.dumps({"file": path, "reason": reason}, ensure_ascii=False)
        log = Path(self._skip_log())
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def skipped(self) -> list[dict[str, str]]:
        """{file, reason} of the images that could not be read when the data were built, by file."""
        log = Path(self._skip_log())
        if not log.is_file():
            return []
        entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return sorted(entries, key=lambda entry: entry["file"])


def limit_classes(found: Index, limits: Mapping[int, int], seed: int) -> None:
    """Leave out, of each limited BI-RADS class, the images beyond its limit; patients are taken in a random order.

    Raises ValueError for a limit that is no positive number.
    """
    wrong = next((birads for birads, limit in limits.items() if limit < 1), None)
    if wrong is not None:
        raise ValueError(f"the limit of BI-RADS {wrong} is {limits[wrong]}; expected 1 image or more.")
    patients = sorted({row["patient_id"] for row in found.rows})
    random.Random(seed).shuffle(patients)
    place = {patient: i for i, patient in enumerate(patients)}
    taken: Counter[int] = Counter()
    beyond = set()
    for number in sorted(range(len(found.rows)), key=lambda i: place[found.rows[i]["patient_id"]]):
        birads = found.rows[number]["birads"]
        taken[birads] += 1
        if taken[birads] > limits.get(birads, taken[birads]):
            beyond.add(number)
            found.left_out[f"beyond the limit of {limits[birads]} images of BI-RADS {birads}"] += 1
    found.rows = [row for i, row in enumerate(found.rows) if i not in beyond]


def encoded_image(path: str | Path, *, crop: bool) -> bytes:
    """An image file → the bytes of an 8-bit grey PNG, min–max stretched, cropped to the breast if asked."""
    pixels = read_image(path).pixels
    if crop:
        pixels = find_breast(pixels).crop(pixels)
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _fingerprint(rows: list[dict[str, Any]]) -> str:
    """A hash of all labels and of the files' sizes and times: a changed table or image is not taken from a cache."""
    digest = hashlib.sha256()
    for row in rows:
        about = Path(row["path"]).stat()
        line = [*row.items(), ("size", about.st_size), ("changed", about.st_mtime_ns)]
        digest.update(json.dumps(line, ensure_ascii=False, default=asdict).encode())
    return digest.hexdigest()[:16]


def _because(found: Index) -> str:
    """The commonest reason why images are no records, to end a sentence with."""
    if not found.left_out:
        return ""
    reason, count = found.left_out.most_common(1)[0]
    return f" ({count} images: {reason})"
