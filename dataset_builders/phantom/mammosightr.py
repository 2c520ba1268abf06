"""Phantom copies of the preprocessed MammosighTR: PNGs with `metadata_image_level.json`, or the Hub's Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import datasets

from dataset_builders.phantom.archives import hasta_no, rendered, save_png, views_taken
from dataset_builders.phantom.case import PhantomCase


def write_mammosightr(
    folder: str | Path,
    cases: Sequence[PhantomCase],
    *,
    height: int = 1024,
    width: int = 768,
    processes: int | None = None,
) -> None:
    """`<folder>/all_pngs/<patient>/LCC.png …` and `<folder>/metadata_image_level.json`, an object for each image.

    The patients are those that write_teknofest writes from the same cases.
    """
    folder = Path(folder)
    shots = [(case, side, view) for case in cases for side, view in views_taken(case)]
    rows = []
    shape = {"height": height, "width": width}
    for (case, side, view), picture in rendered(shots, shape, processes, "MammosighTR"):
        target = folder / "all_pngs" / hasta_no(case) / f"{side}{view}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        save_png(picture, target)
        rows.append(_row(case, side, view))
    (folder / "metadata_image_level.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def write_hub_copy(folder: str | Path, pngs: str | Path, *, shards: int = 2) -> None:
    """`<folder>/data/train-00000-of-00002.parquet …`: images and columns of what write_mammosightr wrote."""
    rows = json.loads(Path(pngs, "metadata_image_level.json").read_text(encoding="utf-8"))
    files = [Path(pngs, row["relative_path"]) for row in rows]
    images = [
        {"image": {"bytes": file.read_bytes(), "path": file.name}, **row}
        for file, row in zip(files, rows, strict=True)
    ]
    data = datasets.Dataset.from_list(images).cast_column("image", datasets.Image())
    Path(folder, "data").mkdir(parents=True)
    for number in range(shards):
        name = f"train-{number:05d}-of-{shards:05d}.parquet"
        data.shard(shards, number, contiguous=True).to_parquet(Path(folder, "data", name))


def _row(case: PhantomCase, side: str, view: str) -> dict[str, object]:
    """A breast that has not the patient's assessment is negative, as published."""
    breast = case.breasts[side]
    birads = case.birads if breast.birads == case.birads else 1
    decisive = [finding for finding in breast.findings if finding.birads == case.birads]
    return {
        "patient_id": hasta_no(case),
        "image_filename": f"{side}{view}.png",
        "relative_path": f"all_pngs/{hasta_no(case)}/{side}{view}.png",
        "view": view,
        "laterality": {"L": "left", "R": "right"}[side],
        "birads": birads,
        "birads_label": f"BI-RADS {birads}",
        "breast_composition": case.density,
        "findings_locations": list(dict.fromkeys(finding.quadrant for finding in decisive)),
        "patient_birads": case.birads,
    }
