"""A folder of encoded images that builds share: each is made once, whatever becomes of labels, runs and processes.

Every image is a file of its own in one of 256 folders (480,000 images: some 1,900 each). So a data set can refer to it
by its path instead of copying it, processes and machines need no lock to write side by side, on network disks neither,
and a half-written image is never used: it is written elsewhere, then renamed, and has its end when it is used again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from dataset_builders.encoded_images import code_version, encoded_image

STORE = "mammogram_images"  # in the cache folder
UNFINISHED = "unfinished"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk of every PNG (ISO/IEC 15948, 11.2.5)
OLD = 24 * 3600  # seconds after which nobody goes on with an unfinished file


def source_key(path: str | Path) -> str:
    """A name for a file in its present state: it changes with the path, the size and the time of the last change."""
    try:
        about = Path(path).stat()
        state = f"{about.st_size} {about.st_mtime_ns}"
    except OSError:  # whoever reads the file will say what is wrong
        state = "absent"
    identity = f"{Path(path).absolute()}\0{state}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class ImageStore:
    """The images that were encoded in one way, by one version of the code.

    folder: its own; crop, bits: as in `encoded_image`.
    """

    folder: Path
    crop: bool
    bits: int

    @classmethod
    def within(cls, cache_dir: str | Path, *, crop: bool, bits: int) -> ImageStore:
        """The store for these options and this code, in a cache folder."""
        way = hashlib.sha256(f"{crop} {bits} {code_version()}".encode()).hexdigest()[:12]
        name = f"{bits}bit-{'breast' if crop else 'whole'}-{way}"
        return cls(Path(cache_dir).absolute() / STORE / name, crop, bits)

    def place(self, key: str) -> Path:
        """Where the image with this `source_key` is, or will be."""
        return self.folder / key[:2] / f"{key}.png"

    def has(self, key: str) -> bool:
        """Whether the image is there, to its end: a machine that stopped may have kept a name and lost what it held."""
        try:
            with self.place(key).open("rb") as file:
                file.seek(-len(PNG_END), os.SEEK_END)
                return file.read() == PNG_END
        except OSError:
            return False

    def image(self, path: str, key: str) -> bytes:
        """The image of a file, from the store if it is there; writes nothing. Raises what reading a file raises."""
        if self.has(key):
            return self.place(key).read_bytes()
        return encoded_image(path, crop=self.crop, bits=self.bits)

    def add(self, path: str, key: str) -> str:
        """Encode a file and keep its image → "", or in words why the file cannot be read.

        Raises OSError where the image cannot be written.
        """
        try:
            content = encoded_image(path, crop=self.crop, bits=self.bits)
        except Exception as error:  # a stranger's file can break a decoder in any way
            return " ".join(str(error).split()) or type(error).__name__
        self._write(self.place(key), content)
        return ""

    def _write(self, place: Path, content: bytes) -> None:
        """Whole or not at all, also where several processes write the same image, or are killed."""
        unfinished = self.folder / UNFINISHED
        for folder in (unfinished, place.parent):
            folder.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=unfinished)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(beside).chmod(0o644)
        Path(beside).replace(place)

    def tidy(self) -> None:
        """Remove what killed processes have left unfinished."""
        for file in (self.folder / UNFINISHED).glob("*"):
            if time.time() - file.stat().st_mtime > OLD:
                file.unlink(missing_ok=True)
