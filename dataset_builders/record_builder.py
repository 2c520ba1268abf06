"""What all archives share: an index of labelled image files → records, with unreadable files told and not lost."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import datasets
from tqdm import tqdm

from dataset_builders.archive_index import Index, because, limit_classes
from dataset_builders.describing import describe
from dataset_builders.encoded_images import BITS, MODES
from dataset_builders.engines import ENGINES
from dataset_builders.image_store import ImageStore, source_key
from dataset_builders.records import CAPTION_FEATURES, RECORD_FEATURES, check_record
from dataset_builders.terms import Terms

UNREADABLE = "unreadable.json"  # beside the built data: the files that are no records in it
SHARE, FEW = 0.05, 10  # so many unreadable files are borne where nobody says how many; the larger of the two
logger = logging.getLogger(__name__)


@dataclass
class RecordConfig(datasets.BuilderConfig):
    """What a build depends on; another value is another data set in the cache of `datasets`.

    A subclass adds the options of its archive as further fields, with their help for the command line as metadata.
    fingerprint: of the index; set by the builder.
    """

    crop: bool = field(default=True, metadata={"help": "cut images to the breast"})
    bits: int = field(
        default=8,
        metadata={"help": "of the grey PNGs: 8, from darkest to brightest, or 16, as in the file"},
    )
    limits: Mapping[int, int] = field(
        default_factory=dict,
        metadata={"help": "at most so many images of a BI-RADS class, patient by patient: 1=25000 2=25000"},
    )
    seed: int = field(default=0, metadata={"help": "of whose images a limit leaves, and of captions"})
    captions: bool = field(
        default=False, metadata={"help": "add captions composed from the labels, for pretrain.py"}
    )
    fingerprint: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits not in BITS:
            raise ValueError(f"bits is {self.bits!r}; expected 8 or 16.")
        for birads, limit in self.limits.items():
            if limit < 1:
                raise ValueError(f"the limit of BI-RADS {birads} is {limit}; expected 1 image or more.")


class RecordBuilder(datasets.GeneratorBasedBuilder):
    """An archive's builder; a subclass makes the index from the archive's tables and folders.

    Used directly: `TeknofestBuilder(data_dir=…)`, `.download_and_prepare(num_proc=2)`, `.as_dataset(split="train")`,
    or, without a build, `.as_streaming_dataset(split="train")`. Images are encoded into a store in the cache folder,
    which built data refer to by path; so another label, or an interrupted build, has no image read once more.

    max_unreadable: the share of images (0–1) that may be unreadable; by default 0.05, or 10 files if that is more.
    """

    BUILDER_CONFIG_CLASS = RecordConfig
    VERSION = datasets.Version("2.0.0")  # 2.0: images lie in the store
    own_features: dict[str, Any] = {}
    terms: Terms | None = None  # every builder of a real data set declares its own
    rules: tuple[str, ...] = ()  # how labels, patients and exams come about, in sentences, for the card

    def __init__(
        self,
        *args,
        data_dir: str | Path | None = None,
        max_unreadable: float | None = None,
        **kwargs,
    ) -> None:
        data_dir = self.default_folder() if data_dir is None else data_dir
        if data_dir is None:
            raise ValueError(f"{type(self).__name__} needs data_dir, the archive's folder.")
        if not Path(data_dir).is_dir():
            raise FileNotFoundError(f"{data_dir} is not a folder; give the archive's folder as data_dir.")
        if max_unreadable is not None and not 0 <= max_unreadable <= 1:
            raise ValueError(f"max_unreadable is {max_unreadable}; expected a share from 0 to 1.")
        self.config = self._own_config(kwargs)  # for index(), which the whole configuration depends on
        self.found = self.index(Path(data_dir))
        limit_classes(self.found, self.config.limits, self.config.seed)
        if not self.found.rows:
            raise ValueError(f"{data_dir} holds no image that can be a record{because(self.found)}.")
        for row in self.found.rows:
            check_record({**_labels(row), "image": None})
        self.keys = [source_key(row["path"]) for row in self.found.rows]
        fingerprint = _fingerprint(self.found.rows, self.keys)
        super().__init__(*args, data_dir=str(data_dir), fingerprint=fingerprint, **kwargs)
        self.store = ImageStore.within(self._cache_dir_root, crop=self.config.crop, bits=self.config.bits)
        self.unreadable: dict[str, str] = {}  # path → reason
        images = len(self.found.rows)
        self._borne = max(FEW, images * SHARE) if max_unreadable is None else images * max_unreadable

    def _own_config(self, options: Mapping[str, Any]) -> RecordConfig:
        names = {entry.name for entry in fields(self.BUILDER_CONFIG_CLASS)}
        return self.BUILDER_CONFIG_CLASS(**{name: options[name] for name in names & options.keys()})

    def __getstate__(self) -> dict[str, Any]:
        """Processes that load from a stream get their share of the rows, not all of them once more."""
        return {**self.__dict__, "found": Index(), "keys": []}

    @classmethod
    def default_folder(cls) -> Path | None:
        """Where the images lie when no data_dir is given; None for all sets that somebody must download."""
        return None

    def index(self, folder: Path) -> Index:
        """What the archive in `folder` holds, by the options in `self.config`.

        Raises ValueError or FileNotFoundError for what is missing.
        """
        raise NotImplementedError

    def describe(self) -> str:
        """What each rule has left out or changed, and what is left, in lines; no image is opened for it."""
        return describe(self.found)

    def _info(self) -> datasets.DatasetInfo:
        features = {**RECORD_FEATURES, "image": datasets.Image(mode=MODES[self.config.bits])}
        features |= CAPTION_FEATURES if self.config.captions else {}
        features = datasets.Features({**features, **self.own_features})
        info = datasets.DatasetInfo(features=features)
        if self.terms is not None:
            info.license, info.citation = self.terms.licence, self.terms.citation
            info.homepage = self.terms.homepage
        return info

    def download_and_prepare(
        self, *args, num_proc: int | None = None, engine: str = "local", **options
    ) -> None:
        """As in `datasets`, after all images have been encoded.

        num_proc: processes that encode images; engine: "local", or "ray" for a Ray cluster.
        Raises ValueError where more images are unreadable than max_unreadable allows; OSError where the cache cannot be
        written.
        """
        if engine not in ENGINES:
            raise ValueError(f"there is no engine {engine!r}; expected one of {', '.join(ENGINES)}.")
        self._encode_images(engine, num_proc or 1)
        noted = Path(f"{self.cache_dir}.{UNREADABLE}")
        before = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else {}
        if before != self.unreadable:  # a file can be read now, with a codec that was not there before
            options["download_mode"] = datasets.DownloadMode.FORCE_REDOWNLOAD
            options["verification_mode"] = datasets.VerificationMode.NO_CHECKS  # of rows against those before
        super().download_and_prepare(*args, **options)
        noted.write_text(json.dumps(self.unreadable, ensure_ascii=False), encoding="utf-8")

    def _encode_images(self, engine: str, workers: int) -> None:
        """Have every image in the store that can be read; those that cannot are tried again every time."""
        self.store.tidy()
        self.unreadable = {}
        files = ((row["path"], key) for row, key in zip(self.found.rows, self.keys, strict=True))
        todo = [file for file in files if not self.store.has(file[1])]
        outcomes = ENGINES[engine](self.store, todo, workers)
        for path, reason in tqdm(outcomes, total=len(todo), desc="images", unit="image", disable=not todo):
            if reason:
                self._bear(path, reason)
        self.unreadable = dict(sorted(self.unreadable.items()))

    def _bear(self, path: str, reason: str) -> None:
        """Note an unreadable image. Raises ValueError where there are more of them than may be."""
        self.unreadable[path] = reason
        if len(self.unreadable) > self._borne:
            first = "; ".join(f"{name} ({why})" for name, why in list(self.unreadable.items())[:3])
            raise ValueError(
                f"more than {int(self._borne)} images in {self.config.data_dir} cannot be read, which max_unreadable "
                f"does not allow; the first: {first}."
            )

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        rows = list(zip(self.found.rows, self.keys, strict=True))
        given = {"rows": rows, "stream": dl_manager.is_streaming}
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN, gen_kwargs=given)]

    def _generate_examples(
        self, rows: list[tuple[dict[str, Any], str]], stream: bool
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for row, key in rows:
            if image := self._image(row["path"], key, stream):
                yield row["path"], {"image": image, **_labels(row), **self._caption(row)}

    def _image(self, path: str, key: str, stream: bool) -> dict[str, Any] | None:
        """The image as `datasets` has it: its file in the store or, of a stream, its bytes; None: unreadable."""
        if not stream:
            return None if path in self.unreadable else {"path": str(self.store.place(key)), "bytes": None}
        try:
            return {"path": None, "bytes": self.store.image(path, key)}
        except Exception as error:  # a stranger's file can break a decoder in any way
            reason = " ".join(str(error).split()) or type(error).__name__
            logger.warning("left out of the stream: %s", reason)
            self._bear(path, reason)
            return None

    def _caption(self, row: Mapping[str, Any]) -> dict[str, str]:
        """A caption from labels and findings, as columns; the same for the same row and seed."""
        if not self.config.captions:
            return {}
        from dataset_builders.report_captions import compose_caption

        labels = _labels(row)
        image = (labels["source"], labels["exam_id"], labels["laterality"], labels["view"])
        seed = int.from_bytes(_digest([self.config.seed, *image])[:4])
        caption = compose_caption(labels, row.get("findings") or [], seed)
        return {
            "caption": caption,
            "caption_id": _digest(caption).hex()[:16],  # the same for the same words
            "case_id": labels["patient_id"],
        }

    def skipped(self) -> list[dict[str, str]]:
        """{file, reason} of the images that could not be read when the data were built, by file."""
        return [{"file": path, "reason": reason} for path, reason in self.unreadable.items()]


def _labels(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("path", "findings")}


def _fingerprint(rows: list[dict[str, Any]], keys: list[str]) -> str:
    """A hash of all labels and of the state of the files: a changed table or image is not taken from a cache."""
    digest = hashlib.sha256()
    for row, key in zip(rows, keys, strict=True):
        digest.update(_digest([*row.items(), key]))
    return digest.hexdigest()[:16]


def _digest(content: Any) -> bytes:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, default=asdict).encode()).digest()
