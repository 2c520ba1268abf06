"""A built data set on its way to others: Parquet with the images in it, a card, and a private repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import jinja2
import pyarrow.parquet as pq
from datasets.info import DatasetInfosDict
from datasets.table import embed_table_storage
from huggingface_hub import DatasetCardData

CARD = Path(__file__).with_name("dataset_card.jinja")
KNOWN = {"CC BY 3.0": "cc-by-3.0", "CC BY 4.0": "cc-by-4.0", "CC BY-NC 4.0": "cc-by-nc-4.0"}  # to the Hub
SHARDS = "data/train-*.parquet"
SHARD = 500_000_000  # bytes of a Parquet file, about
FEW = 50  # images that are in memory at a time


def write_parquet(table: datasets.Dataset, folder: Path) -> None:
    """data/train-00000-of-0000N.parquet: files of about 500 MB that `datasets.load_dataset(folder)` opens."""
    (folder / "data").mkdir()
    images = table.cast_column("image", datasets.Image(decode=False))["image"]
    shards = min(len(table), 1 + sum(Path(image["path"]).stat().st_size for image in images) // SHARD)
    for number in range(shards):
        name = f"train-{number:05d}-of-{shards:05d}.parquet"
        part = table.shard(shards, number, contiguous=True).with_format("arrow")
        with pq.ParquetWriter(folder / "data" / name, table.features.arrow_schema) as file:
            for batch in part.iter(FEW):
                file.write_table(embed_table_storage(batch))


def write_card(folder: Path, table: datasets.Dataset, about: Mapping[str, Any]) -> None:
    """README.md, as the Hub shows it: terms, counts, rules, columns, and in its header what `datasets` reads.

    about: the report of the build.
    """
    parquet = (folder / "data").is_dir()
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = template.from_string(CARD.read_text(encoding="utf-8")).render(
        about,
        header=_header(table, about, parquet).to_yaml(),
        columns={name: _type_of(feature) for name, feature in table.features.items()},
        parquet=parquet,
    )
    (folder / "README.md").write_text(text.strip() + "\n", encoding="utf-8")


def _header(table: datasets.Dataset, about: Mapping[str, Any], parquet: bool) -> DatasetCardData:
    data = DatasetCardData(
        pretty_name=about["source"],
        tags=["mammography", "medical"],
        task_categories=["image-classification"],
    )
    if about["terms"]:
        licence = about["terms"]["licence"]
        data["license"] = KNOWN.get(licence, "other")
        if licence not in KNOWN:  # the Hub wants a name of lower-case words with hyphens, and a place to read
            data["license_name"] = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.")
            data["license_link"] = about["terms"]["homepage"]
    if parquet:
        data["configs"] = [{"config_name": "default", "data_files": [{"split": "train", "path": SHARDS}]}]
        info = datasets.DatasetInfo(features=table.features)
        DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    return data


def _type_of(feature: Any) -> str:
    return f"image, mode {feature.mode}" if isinstance(feature, datasets.Image) else feature.dtype


def open_private(name: str) -> huggingface_hub.HfApi:
    """The Hub, on which `name` is a private data set repository now: it is made if there is none.

    Raises ValueError for a repository that is public and for what is no name, OSError where the Hub cannot be reached
    or refuses.
    """
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(name, repo_type="dataset", private=True, exist_ok=True)
        private = api.repo_info(name, repo_type="dataset").private
    except (ValueError, OSError):
        raise
    except Exception as error:  # of the Hub's HTTP library, whichever that is
        raise OSError(
            f"{api.endpoint} cannot be reached ({error}); upload from a machine that can."
        ) from error
    if not private:
        raise ValueError(f"{name} is a public repository; make it private, or give the name of a new one.")
    return api


def push_private(folder: Path, name: str) -> str:
    """Upload a Parquet folder to a private data set repository of the Hub → its address.

    The report stays here, since it holds paths. Raises what `open_private` raises; nothing is uploaded then.
    """
    api = open_private(name)
    what = ["README.md", SHARDS]
    api.upload_folder(repo_id=name, repo_type="dataset", folder_path=folder, allow_patterns=what)
    return f"{api.endpoint}/datasets/{name}"
