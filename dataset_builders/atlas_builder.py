"""AtlasPairs: atlas PDFs as a data set of image–caption pairs, with provenance, corrections and a report."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from dataset_builders.atlas.corrections import Corrections
from dataset_builders.atlas.doubts import doubt_captions
from dataset_builders.atlas.entries import (
    Entry,
    entries_of,
    join_cases,
    judge_pictures,
    look_at,
    name_panels,
    number_captions,
    uncaptioned,
)
from dataset_builders.atlas.leftovers import Orphan, missing_numbers, orphan_captions
from dataset_builders.atlas.pdf import open_pdf
from dataset_builders.atlas.truth import normalised_figure
from dataset_builders.atlas_pairs import KINDS, Atlas, code_digest, content_digest, load_pictures, read_atlas
from dataset_builders.folds import split_by_case
from dataset_builders.records import PAIR_FEATURES
from processing.png import encode_png

KEEP = ("all", "mammograms")
REPORT = "report.json"  # beside the built data
SPLIT = (0.1, 0.1, 0)  # validation, held out, seed: as pretrain.py splits by default
SPLITS = ("train", "validation", "held_out")


@dataclass
class AtlasConfig(datasets.BuilderConfig):
    """What the pairs depend on beside the PDFs.

    kind: "auto" (page by page), "text_layer" or "scanned". split_panels: whether each picture of a figure gets its own
    panel's part of the caption. keep: "all" pictures, or "mammograms" only. fingerprint: of PDFs, corrections and
    code; set by the builder.
    """

    kind: str = "auto"
    split_panels: bool = False
    keep: str = "all"
    fingerprint: str = ""


class AtlasPairs(datasets.GeneratorBasedBuilder):
    """Image–caption pairs of one atlas PDF or more; columns as PAIR_FEATURES.

    Used directly: `AtlasPairs(pdf="atlas.pdf")`, `.download_and_prepare()`, `.as_dataset("train")`, `.report()`. All
    pairs are in the one split that `datasets` calls train; the column `split` parts them by case.
    """

    BUILDER_CONFIG_CLASS = AtlasConfig
    VERSION = datasets.Version("1.0.0")

    def __init__(
        self,
        *args,
        pdf: str | Path | Sequence[str | Path],
        corrections: str | Path | None = None,
        processes: int | None = None,
        progress: bool = False,
        layouts: str | Path | None = None,
        **kwargs,
    ) -> None:
        """pdf: one path or more, of different names. corrections: a CSV file (see atlas/corrections.py).

        processes: scanned pages read side by side, one per CPU by default; progress: whether a bar shows them; layouts:
        folder that keeps what was read of pages (by default in the cache), so that corrections need no second OCR.
        Others: fields of AtlasConfig, and what `datasets.DatasetBuilder` takes, such as cache_dir.

        Raises FileNotFoundError or ValueError, in one sentence, for PDFs, corrections or options that cannot work.
        """
        # `datasets` puts a Path of its own in the place of this module's, hence os.PathLike.
        self.pdfs = [Path(path) for path in ([pdf] if isinstance(pdf, str | os.PathLike) else pdf)]
        self.corrections, self.processes, self.progress = corrections, processes, progress
        self.layouts = layouts
        _check_pdfs(self.pdfs)
        _check_options(kwargs)
        Corrections(corrections)  # its errors come before an hour of reading
        super().__init__(*args, fingerprint=_fingerprint(self.pdfs, corrections), **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(features=PAIR_FEATURES)

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        cache = Path(self.layouts or Path(self._cache_dir_root) / "atlas_layouts")
        options = {"kind": self.config.kind, "processes": self.processes, "progress": self.progress}
        atlases = [read_atlas(path, **options, cache=cache) for path in self.pdfs]
        entries, report = assemble(atlases, Corrections(self.corrections), self.config)
        self._report_file().parent.mkdir(parents=True, exist_ok=True)
        self._report_file().write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")
        return [
            datasets.SplitGenerator(
                name=datasets.Split.TRAIN, gen_kwargs={"entries": entries, "atlases": atlases}
            )
        ]

    def _generate_examples(
        self, entries: list[Entry], atlases: list[Atlas]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        splits = split_names([entry.case for entry in entries])
        rows = zip(entries, _pictures(entries, atlases), splits, strict=True)
        for number, (entry, picture, split) in enumerate(rows):
            image = {"bytes": encode_png(np.asarray(picture)), "path": None}
            yield str(number), {"image": image, **entry.to_row(), "split": split}

    def _report_file(self) -> Path:
        return Path(f"{self.cache_dir.removesuffix('.incomplete')}.{REPORT}")

    def report(self) -> dict[str, Any]:
        """What was found and what is doubtful, as `assemble` says it; of the data as they were built."""
        return json.loads(self._report_file().read_text(encoding="utf-8"))


def extract_pairs(
    pdf: str | Path, *, processes: int | None = None, progress: bool = False
) -> Iterator[dict[str, Any]]:
    """The pairs of one PDF as they are read, in reading order, without what AtlasPairs finds out about them.

    processes, progress: as AtlasPairs has them. → {image: PIL "L", caption, caption_id, case_id, figure, page, source}.
    Raises FileNotFoundError, or AtlasError: not a readable PDF, or no captioned figure in it.
    """
    atlas = read_atlas(pdf, processes=processes, progress=progress)
    entries = entries_of(atlas)
    for entry, image in zip(entries, _pictures(entries, [atlas]), strict=True):
        yield {"image": image, **entry.as_read()}


def assemble(
    atlases: Sequence[Atlas], corrections: Corrections, config: AtlasConfig
) -> tuple[list[Entry], dict[str, Any]]:
    """The entries of all atlases in order, corrected and judged, and the report on them.

    The report holds `pdfs` (for each source: pages, pictures without a caption, captions without a picture, missing
    numbers), `not_mammograms` (by kind, also those that were not kept), `near_duplicates`, `corrections` (applied,
    told), `doubts` and `addresses` (one for each row of the data set), `split` (rows by name).

    Raises ValueError where a correction cannot be applied, or no picture is left.
    """
    alone = [entry for atlas in atlases for entry in uncaptioned(atlas)]
    orphans = {atlas.source: orphan_captions(atlas.layouts, atlas.figures) for atlas in atlases}
    entries = corrections.change_captions(
        [entry for atlas in atlases for entry in entries_of(atlas)],
        alone,
        orphans,
    )
    if not entries:
        raise ValueError(f"{corrections.path} drops every picture; nothing is left.")
    for atlas in atlases:
        look_at(atlas, [entry for entry in entries if entry.source == atlas.source])
    name_panels(entries, split=config.split_panels)
    number_captions(entries)
    judge_pictures(entries)
    corrections.change_modalities(entries)
    corrections.change_cases(entries)
    duplicates = join_cases(entries)
    doubt_captions(entries)
    kept = [entry for entry in entries if config.keep == "all" or entry.modality.is_mammogram]
    if not kept:
        raise ValueError(f"none of the {len(entries)} pictures is taken for a mammogram; keep all of them.")
    others = Counter(entry.modality.kind for entry in entries if not entry.modality.is_mammogram)
    return kept, {
        "pdfs": {atlas.source: _about_pdf(atlas, entries, alone, orphans[atlas.source]) for atlas in atlases},
        "not_mammograms": dict(others.most_common()),
        "near_duplicates": [[a.place, b.place] for a, b in duplicates],
        "corrections": {"applied": corrections.applied, "told": corrections.told},
        "doubts": [entry.doubts for entry in kept],
        "addresses": [[entry.read_as, entry.number] for entry in kept],
        "split": dict(Counter(split_names([entry.case for entry in kept]))),
    }


def _about_pdf(
    atlas: Atlas, entries: Sequence[Entry], alone: Sequence[Entry], orphans: Sequence[Orphan]
) -> dict[str, Any]:
    """What is left over in one PDF, after the corrections."""
    placed = {normalised_figure(entry.figure) for entry in entries if entry.source == atlas.source}
    return {
        "pages": len(atlas.layouts),
        "pictures_without_caption": [
            {"page": entry.page, "picture": entry.number, "box": list(entry.box)}
            for entry in alone
            if entry.source == atlas.source and entry not in entries
        ],
        "captions_without_picture": [
            {"figure": orphan.number, "page": orphan.page, "caption": orphan.caption}
            for orphan in orphans
            if normalised_figure(orphan.number) not in placed
        ],
        "missing_numbers": missing_numbers([figure.number for figure in atlas.figures] + sorted(placed)),
    }


def split_names(cases: Sequence[str]) -> list[str]:
    """The part of each row by its case, as pretrain.py parts these pairs by default; "train" for fewer than 3 cases."""
    names = ["train"] * len(cases)
    if len(set(cases)) >= 3:
        for name, rows in zip(SPLITS, split_by_case(cases, *SPLIT), strict=True):
            for row in rows:
                names[row] = name
    return names


def _pictures(entries: Sequence[Entry], atlases: Sequence[Atlas]) -> Iterator[Image.Image]:
    """The picture of each entry, in order, 8-bit grey and turned as corrections say."""
    by_source = {atlas.source: atlas for atlas in atlases}
    for (source, page), own in groupby(entries, key=lambda entry: (entry.source, entry.page)):
        group, atlas = list(own), by_source[source]
        with open_pdf(atlas.path) as document:
            pictures = [entry.picture for entry in group]
            images = load_pictures(document, atlas.layouts[page - 1], pictures)
            for entry, image in zip(group, images, strict=True):
                yield image.rotate(-entry.turn, expand=True) if entry.turn else image


def _check_pdfs(pdfs: Sequence[Path]) -> None:
    if not pdfs:
        raise ValueError("no PDF was given; give the path of an atlas, or several.")
    stems = [path.stem for path in pdfs]
    if len(set(stems)) < len(stems):
        raise ValueError(
            f"two PDFs have the same name ({', '.join(stems)}); rename one, as captions are told by it."
        )
    for path in pdfs:
        open_pdf(path).close()


def _check_options(options: dict[str, Any]) -> None:
    for name, allowed in (("kind", KINDS), ("keep", KEEP)):
        if options.get(name, allowed[0]) not in allowed:
            raise ValueError(f"{name} is {options[name]!r}; expected one of {', '.join(allowed)}.")


def _fingerprint(pdfs: Sequence[Path], corrections: str | Path | None) -> str:
    """A hash of what is read and of what reads it: PDFs by name and content, the corrections, our code."""
    parts = [code_digest(), hashlib.sha256(Path(__file__).read_bytes()).hexdigest()]
    parts += [f"{path.stem} {content_digest(path)}" for path in pdfs]
    if corrections is not None:
        parts.append(content_digest(Path(corrections)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
