"""What all archives share: an index of labelled image files → records, with unreadable files told and not lost."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from PIL import Image

from dataset_builders.records import RECORD_FEATURES, check_record
from processing import MammogramError, find_breast, read_image, to_uint8

SKIPPED = "skipped.jsonl"  # beside the built data: one line for each file that could not be read


@dataclass
class RecordConfig(datasets.BuilderConfig):
    """crop: cut images to the breast. fingerprint: of the tables, so that a change is not answered from the cache."""

    crop: bool = True
    fingerprint: str = ""


class RecordBuilder(datasets.GeneratorBasedBuilder):
    """An archive's builder: a subclass says which tables it reads, and makes the index.

    Used directly: `TeknofestBuilder(data_dir=…)`, `.download_and_prepare(num_proc=2)`, `.as_dataset()`.
    """

    BUILDER_CONFIG_CLASS = RecordConfig
    VERSION = datasets.Version("1.0.0")
    own_features: dict[str, Any] = {}

    def __init__(self, *args, data_dir: str | Path | None = None, **kwargs) -> None:
        if data_dir is None:
            raise ValueError(f"{type(self).__name__} needs data_dir, the archive's folder.")
        if not Path(data_dir).is_dir():
            raise FileNotFoundError(f"{data_dir} is not a folder; give the archive's folder as data_dir.")
        kwargs.setdefault("fingerprint", self.fingerprint_of(Path(data_dir)))
        super().__init__(*args, data_dir=str(data_dir), **kwargs)

    @classmethod
    def fingerprint_of(cls, folder: Path) -> str:
        """A hash of the tables in the archive."""
        raise NotImplementedError

    def index(self, folder: Path) -> list[dict[str, Any]]:
        """A record for each image, with its `path` in place of its `image`."""
        raise NotImplementedError

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=datasets.Features({**RECORD_FEATURES, **self.own_features}))

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        rows = self.index(Path(self.config.data_dir))
        if not rows:
            raise ValueError(f"{self.config.data_dir} has tables, but no image that they name was found.")
        Path(self._skip_log()).unlink(missing_ok=True)
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN, gen_kwargs={"rows": rows})]

    def _generate_examples(self, rows: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in rows:
            record = dict(row)
            path = record.pop("path")
            try:
                record["image"] = {"bytes": encoded_image(path, crop=self.config.crop), "path": None}
            except (MammogramError, OSError) as error:
                self._skip(path, str(error))
                continue
            check_record(record)
            yield str(path), record

    def _skip_log(self) -> str:
        return f"{self.cache_dir.removesuffix('.incomplete')}.{SKIPPED}"

    def _skip(self, path: Path | str, reason: str) -> None:
        """Appended in one write, so that several processes may share the file."""
        line = json.dumps({"file": str(path), "reason": reason}, ensure_ascii=False)
        log = Path(self._skip_log())
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def skipped(self) -> list[dict[str, str]]:
        """{file, reason} of the images that could not be read when the data were built."""
        log = Path(self._skip_log())
        return (
            [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            if log.is_file()
            else []
        )


def encoded_image(path: str | Path, *, crop: bool) -> bytes:
    """An image file → the bytes of an 8-bit grey PNG, min–max stretched, cropped to the breast if asked."""
    pixels = read_image(path).pixels
    if crop:
        pixels = find_breast(pixels).crop(pixels)
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(pixels)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
