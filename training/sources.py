"""Where training data come from: a folder of `save_to_disk`, a folder of Parquet files, or a data set of the Hub.

All of them end as tables in memory-mapped Arrow files: rows are read from disk as they are asked for, any of them at
once. Streaming was left out for that reason. A stream is shuffled in a window, which leaves the figures of a case
beside each other, and a run that is to go on in the middle of an epoch has to read all that lies before; here an order
is a list of row numbers, the same on any number of processes. The price is a copy of Parquet files in the cache of
`datasets`, as large as they are, since images stay compressed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher
from pyarrow import ArrowInvalid

SAVED = ("dataset_info.json", "dataset_dict.json")  # one of which `save_to_disk` writes
SPLIT = "train"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def load_table(source: str | Path, columns: Sequence[str], maker: str) -> datasets.Dataset:
    """A data set from its folder, or from the Hub where `source` is OWNER/NAME and no folder OWNER is here.

    maker: the script that writes such folders, for the error message. Raises FileNotFoundError where there is none,
    OSError where the Hub does not give it, ValueError where it is empty or lacks a column.
    """
    folder = Path(source)
    if any((folder / name).is_file() for name in SAVED):
        table = _from_disk(folder, maker)
    elif any(folder.glob("*.parquet")) or any(folder.glob("*/*.parquet")):
        table = _from_parquet(folder, maker)
    elif is_hub_name(source):
        table = _from_hub(str(source), maker)
    else:
        raise FileNotFoundError(f"{source} holds no data set; make one with train_scripts/{maker}.")
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ValueError(f"{source} has no column {missing[0]!r}; found {', '.join(table.column_names)}.")
    if not len(table):
        raise ValueError(_no_rows(source, maker))
    return table


def is_hub_name(source: str | Path) -> bool:
    """Whether this is OWNER/NAME rather than a path: there is neither such a folder nor one of that owner's name."""
    return HUB_NAME.fullmatch(str(source)) is not None and not Path(source).parent.exists()


def _from_disk(folder: Path, maker: str) -> datasets.Dataset:
    try:
        table = datasets.load_from_disk(str(folder))
    except IndexError as error:  # what datasets raises for a table that was saved without rows
        raise ValueError(_no_rows(folder, maker)) from error
    if not isinstance(table, datasets.Dataset):
        raise ValueError(f"{folder} holds the splits {', '.join(table)}; give the folder of one of them.")
    # The fingerprint in the folder says how the table was made; files may have been put in its place since.
    files = [Path(file["filename"]).stat() for file in table.cache_files]
    table._fingerprint = Hasher.hash(
        [table._fingerprint, *((file.st_size, file.st_mtime_ns) for file in files)]
    )
    return table


def _state(files: Iterable[Path]) -> str:
    """Names, sizes and times of some files, in a few letters.

    What `datasets` knows a table by says how it was made; other files may have been put in the place of these since.
    """
    states = [(file, file.stat()) for file in sorted(files)]
    return Hasher.hash([(file.name, state.st_size, state.st_mtime_ns) for file, state in states])


def _marked(table: datasets.Dataset, state: str) -> datasets.Dataset:
    """The table with a fingerprint that changes with the state of its files."""
    table._fingerprint = Hasher.hash((table._fingerprint, state))
    return table


def _from_parquet(folder: Path, maker: str) -> datasets.Dataset:
    state = _state(folder.glob("**/*.parquet"))
    try:
        table = _load(str(folder), cache_dir=Path(datasets.config.HF_DATASETS_CACHE, f"parquet-{state}"))
    except (DatasetGenerationError, ArrowInvalid) as error:
        reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")[:200]
        raise ValueError(f"the Parquet files in {folder} cannot be read ({reason}).") from error
    except ValueError as error:
        if "corresponds to no data" in str(error):  # of files without rows
            raise ValueError(_no_rows(folder, maker)) from error
        raise
    return _marked(_with_images(table, folder), state)


def _from_hub(name: str, maker: str) -> datasets.Dataset:
    try:
        return _with_images(_load(name), name)
    except (OSError, DatasetGenerationError) as error:
        reason = " ".join(str(error.__cause__ or error).split()).rstrip(".")[:200]
        raise OSError(
            f"{name} is no folder, and the Hub does not give a data set of that name ({reason}); "
            f"make a folder with train_scripts/{maker}, or log in with `hf auth login` if it is private."
        ) from error


def _load(name: str, cache_dir: Path | None = None) -> datasets.Dataset:
    """The split SPLIT of a data set of Parquet files, in a folder or on the Hub alike."""
    try:
        return datasets.load_dataset(name, split=SPLIT, cache_dir=cache_dir and str(cache_dir))
    except ValueError as error:
        if "Unknown split" in str(error):
            raise ValueError(
                f"{name} has no split {SPLIT!r} ({error}); give a data set that has one."
            ) from error
        raise


def _with_images(table: datasets.Dataset, source: str | Path) -> datasets.Dataset:
    """A column `image` of bytes and paths, as Parquet files of other programs have it, as images."""
    feature = table.features.get("image")
    if feature is None or isinstance(feature, datasets.Image):
        return table
    if not isinstance(feature, dict) or set(feature) != {"bytes", "path"}:
        raise ValueError(f"the column 'image' of {source} holds {feature}; expected images (bytes and path).")
    return table.cast_column("image", datasets.Image())


def _no_rows(source: str | Path, maker: str) -> str:
    return f"{source} holds no rows; make it anew with train_scripts/{maker}."
