"""Tensors and plain settings out of a file of `torch.save`, of which nothing is executed.

`torch.load(weights_only=True)` refuses Lightning's checkpoints for the OmegaConf objects in them, and without that
option it runs what the file asks for. Here those objects are read as data (`setting`), and a tensor's numbers not
before they are asked for.

The format: a zip file, uncompressed, with one folder that holds `data.pkl` and, as `data/<key>`, the numbers
(torch/serialization.py).
"""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .plain_pickle import Name, PickleError, Record, read_pickle

DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
OMEGACONF = (
    *("dictconfig.DictConfig", "listconfig.ListConfig", "base.Metadata", "base.ContainerMetadata"),
    *("nodes.AnyNode", "nodes.StringNode", "nodes.IntegerNode", "nodes.FloatNode", "nodes.BooleanNode"),
)
# Python's own types, which OmegaConf notes as those of its values; "__builtin__" is Python 2's name of builtins,
# which torch.save writes.
TYPES = ("bool", "dict", "float", "int", "list", "long", "str", "tuple")
# Bytes: a checkpoint's pickle has names and shapes, and takes well below a megabyte
MOST_OF_A_PICKLE = 1 << 28
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6: a pickle of its magic number
ZIP = b"PK\x03\x04"
# What zipfile raises for damaged files, and for encrypted ones (RuntimeError).
DAMAGE = (zipfile.BadZipFile, EOFError, OSError, OverflowError, RuntimeError, ValueError, struct.error)


@dataclass(frozen=True)
class Storage:
    """Numbers that lie in the file under a key."""

    key: str
    dtype: torch.dtype
    length: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the file; its numbers have not been read."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class TorchFile:
    """A file of `torch.save`, open for reading.

    content: what was saved, as dicts, lists, numbers, strings, `StoredTensor`s, and OmegaConf's objects as `Record`s.

    Raises ValueError, of one sentence, for what is no such file, is damaged, or asks for more than data.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._zip = _opened(self.path)
        try:
            self._folder = self._find_folder()
            self.content = self._read_content()
        except Exception:
            self._zip.close()
            raise

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *_: Any) -> None:
        self._zip.close()

    def read(self, tensor: StoredTensor) -> Tensor:
        """A tensor's numbers, as a tensor of its own."""
        storage = tensor.storage
        data = self._entry(f"data/{storage.key}", storage.length * storage.dtype.itemsize)
        if not data:
            return torch.empty(tensor.shape, dtype=storage.dtype)
        flat = torch.frombuffer(bytearray(data), dtype=storage.dtype)
        return flat.as_strided(tensor.shape, tensor.stride, tensor.offset).clone()

    def _find_folder(self) -> str:
        names = [name for name in self._zip.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(names) != 1:
            raise ValueError(f"{self.path} is a zip file, but not one of torch.save: it has no data.pkl.")
        folder = names[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in self._zip.namelist():
            raise ValueError(f"{self.path} is a TorchScript program; give the checkpoint with its weights.")
        return folder

    def _read_content(self) -> Any:
        if f"{self._folder}byteorder" in self._zip.namelist() and self._entry("byteorder") != b"little":
            raise ValueError(f"{self.path} has big-endian numbers; save it on an ordinary machine.")
        try:
            return read_pickle(self._entry("data.pkl"), MAKERS, _storage)
        except PickleError as error:
            raise ValueError(f"{self.path} was not read: {error}.") from error

    def _entry(self, name: str, size: int | None = None) -> bytes:
        """A file of the zip file, of `size` bytes where that is known."""
        info = self._zip.NameToInfo.get(self._folder + name)
        if info is None:
            raise ValueError(f"{self.path} is damaged: it has no {name}; get a new copy of it.")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > (size or MOST_OF_A_PICKLE):
            raise ValueError(f"{self.path} is not as torch.save writes: {name} is compressed or too large.")
        try:
            data = self._zip.read(info)
        except DAMAGE as error:
            raise ValueError(f"{self.path} is damaged ({_reason(error)}); get a new copy of it.") from error
        if size is not None and len(data) != size:
            raise ValueError(f"{self.path} is damaged: {name} has {len(data)} bytes instead of {size}.")
        return data


def setting(content: Any, *path: str) -> Any:
    """The setting under a path of names, from dicts and OmegaConf's containers; None where there is none."""
    value = _value(content)
    for name in path:
        if not isinstance(value, dict):
            return None
        value = _value(value.get(name))
    return [_value(item) for item in value] if isinstance(value, list) else value


def _value(value: Any) -> Any:
    """What an OmegaConf object holds: a container's `_content`, a node's `_val`; other values as they are."""
    if not isinstance(value, Record):
        return value
    state = value.state if isinstance(value.state, dict) else {}
    return state.get("_content", state.get("_val"))


def _opened(path: Path) -> zipfile.ZipFile:
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(LEGACY) or start[257:262] == b"ustar":
        raise ValueError(
            f"{path} has the format of torch before 1.6, which cannot be read without executing it; "
            "load it where you trust it, and torch.save it again."
        )
    if not start.startswith(ZIP):
        raise ValueError(f"{path} is no checkpoint of torch.save: it is not a zip file.")
    try:
        return zipfile.ZipFile(path)
    except DAMAGE as error:
        raise ValueError(
            f"{path} is cut short or damaged ({_reason(error)}); get a new copy of it."
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).strip("'\"").lower()


# ---- what the names in a checkpoint stand for


def _storage(reference: Any) -> Storage:
    kind, dtype, key, _, length = reference  # the fourth is the device that it was on
    if kind != "storage" or not isinstance(dtype, Name) or dtype.text not in DTYPES:
        raise PickleError("its pickle refers to something else than a tensor's numbers")
    return Storage(str(key), DTYPES[dtype.text], int(length))


def _tensor(storage: Storage, offset: int, shape: Iterable[int], stride: Iterable[int], *_: Any):
    """What `torch._utils._rebuild_tensor_v2` makes: a tensor within its storage, and no larger than it."""
    shape, stride = tuple(shape), tuple(stride)
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, Storage) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise PickleError("its pickle has a tensor that makes no sense")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if math.prod(shape) > storage.length or (math.prod(shape) and last >= storage.length):
        raise PickleError(f"its pickle has a tensor of shape {shape} in {storage.length} numbers")
    return StoredTensor(storage, offset, shape, stride)


def _parameter(data: StoredTensor, *_: Any) -> StoredTensor:
    return data


def _mapping(*_: Any) -> dict:
    """An OrderedDict or a defaultdict, which is filled afterwards."""
    return {}


def _record(name: str, *_: Any) -> Record:
    return Record(name)


MAKERS = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    **{f"omegaconf.{name}": partial(_record, name) for name in OMEGACONF},
    **dict.fromkeys(DTYPES),
    **{f"{module}.{name}": None for module in ("builtins", "__builtin__") for name in TYPES},
    "typing.Any": None,
}
