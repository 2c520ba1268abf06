"""Encoders compared over several runs: means, sample standard deviations, and differences between paired runs.

A run is a mapping with `encoder`, `size` (labelled images it was to learn from, None: all), `fold`, `seed`, `n_train`
(those that it had) and the scores of SCORES, of which one that is None or missing is left out. Two runs are a pair if
size, fold and seed are the same: they learned from the same images and were tested on the same patients.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from .report_tables import MISSING, Table, bounds, number

Run = Mapping[str, Any]
SCORES = {"f1_five": "five classes", "f1_three": "three groups", "density_f1": "density"}
CHIEF = "f1_three"  # the score that the verdict is about
PHANTOM = "Phantom data (synthetic): "


def mean_and_std(values: Sequence[float]) -> dict[str, Any] | None:
    """`mean`, `std` and `runs`; the sample standard deviation is None for one run. None where nothing was scored."""
    if not values:
        return None
    return {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else None, "runs": len(values)}


def summaries(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For every encoder and size, in order of appearance: `encoder`, `size`, and `mean_and_std` of each score.

    Raises:
        ValueError: there are no runs, or two with the same encoder, size, fold and seed.
    """
    _check_distinct(runs)
    groups: dict[tuple, list[Run]] = {}
    for encoder in _encoders(runs):
        for run in (run for run in runs if run["encoder"] == encoder):
            groups.setdefault((encoder, run["size"]), []).append(run)
    return [
        {"encoder": encoder, "size": size}
        | {score: mean_and_std(list(_scored(group, score).values())) for score in SCORES}
        for (encoder, size), group in groups.items()
    ]


def comparisons(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The first encoder against each other one: `first`, `other`, and `paired_difference` of each score."""
    first, *others = _encoders(runs)
    return [
        {"first": first, "other": other}
        | {score: paired_difference(runs, first, other, score) for score in SCORES}
        for other in others
    ]


def paired_difference(runs: Sequence[Run], first: str, other: str, score: str) -> dict[str, Any] | None:
    """How much more the first encoder scores than the other, over pairs of runs.

    Returns:
        `mean_difference`, and of how many `pairs` the first encoder `won`, and how many are `tied`. None without
        pairs.
    """
    _check_distinct(runs)
    ours, theirs = (
        _scored([run for run in runs if run["encoder"] == encoder], score) for encoder in (first, other)
    )
    differences = [ours[key] - theirs[key] for key in ours if key in theirs]
    if not differences:
        return None
    return {
        "mean_difference": fmean(differences),
        "pairs": len(differences),
        "won": sum(difference > 0 for difference in differences),
        "tied": sum(difference == 0 for difference in differences),
    }


def curve(runs: Sequence[Run], score: str, sizes: Sequence[int | None]) -> dict[str, dict[int, list[float]]]:
    """What `curve_plots` draws: encoder → {training images, in the mean of a size's runs: scores}.

    sizes: those that the curve has; runs of others, as Table 2 has them, are left out.
    """
    runs = [run for run in runs if run["size"] in sizes]
    images: dict[int | None, list[int]] = {}
    for run in runs:
        images.setdefault(run["size"], []).append(run["n_train"])
    arms: dict[str, dict[int, list[float]]] = {}
    for run in runs:
        if run.get(score) is not None:
            points = arms.setdefault(run["encoder"], {})
            points.setdefault(round(fmean(images[run["size"]])), []).append(run[score])
    return arms


def summary_table(rows: Sequence[Mapping[str, Any]], phantom: bool) -> Table:
    """Rows of `summaries` as mean ± sample standard deviation, with intervals by patient where they were added."""
    caption = "macro F1 on test patients, mean ± sample standard deviation"
    if any(row[score] and "interval" in row[score] for row in rows for score in SCORES):
        caption += " over folds and seeds [95 % interval by patient, of the pooled predictions]"
    return {
        "caption": marked(caption, phantom),
        "columns": ["encoder", "labelled images", "runs", *SCORES.values()],
        "rows": [
            [
                row["encoder"],
                size_name(row["size"]),
                str(max((row[score]["runs"] for score in SCORES if row[score]), default=0)),
                *(_mean_cell(row[score]) for score in SCORES),
            ]
            for row in rows
        ],
    }


def comparison_table(rows: Sequence[Mapping[str, Any]], phantom: bool) -> Table:
    """Rows of `comparisons` as mean difference (pairs won of all pairs)."""
    caption = "mean difference between runs of the same size, fold and seed (pairs won of all pairs)"
    return {
        "caption": marked(caption, phantom),
        "columns": ["difference", *SCORES.values()],
        "rows": [
            [f"{row['first']} − {row['other']}", *(_difference_cell(row[score]) for score in SCORES)]
            for row in rows
        ],
    }


def markdown(table: Table) -> str:
    """A table in Markdown: its caption, an empty line, and its rows, numbers to the right."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (table["columns"], *table["rows"])]
    rule = ["---", *["---:"] * (len(table["columns"]) - 1)]
    lines = [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]
    return "\n".join([f"**{table['caption']}**", "", *lines]) + "\n"


def verdict(comparison: Mapping[str, Any], sizes: Sequence[int | None], phantom: bool) -> str:
    """One sentence: which of the two encoders is better in the mean of all pairs, by how much, and how often."""
    first, other, found = comparison["first"], comparison["other"], comparison[CHIEF]
    if found is None:
        return marked(f"encoders {first} and {other} have no pair of runs with a score.", phantom)
    pairs = "1 pair" if found["pairs"] == 1 else f"{found['pairs']} pairs"
    ties = f", {found['tied']} tied" if found["tied"] else ""
    return marked(
        f"with {_listed([size_name(size) for size in sizes])} labelled images, encoder {first} "
        f"{_relation(found['mean_difference'])} encoder {other} in macro F1 of {SCORES[CHIEF]}: mean difference "
        f"{found['mean_difference']:+.3f} over {pairs} of runs, of which it won {found['won']}{ties}.",
        phantom,
    )


def size_name(size: int | None) -> str:
    """A number of labelled images in words; below 0, so many are left out of all."""
    if size is None:
        return "all"
    return f"all − {-size:,}" if size < 0 else f"{size:,}"


def _encoders(runs: Sequence[Run]) -> list[str]:
    if not runs:
        raise ValueError("There are no runs to compare; expected one at least.")
    return list(dict.fromkeys(run["encoder"] for run in runs))


def _check_distinct(runs: Sequence[Run]) -> None:
    seen = set()
    for run in runs:
        key = (run["encoder"], *_pair(run))
        if key in seen:
            raise ValueError(
                f"Two runs have encoder, size, fold and seed {', '.join(map(str, key))}; expected one."
            )
        seen.add(key)


def _pair(run: Run) -> tuple:
    return run["size"], run["fold"], run["seed"]


def _scored(runs: Sequence[Run], score: str) -> dict[tuple, float]:
    return {_pair(run): run[score] for run in runs if run.get(score) is not None}


def _relation(difference: float) -> str:
    return "beats" if difference > 0 else "equals" if difference == 0 else "does not beat"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _mean_cell(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return MISSING
    spread = f" ± {number(value['std'])}" if value["std"] is not None else ""
    return number(value["mean"]) + spread + bounds(value.get("interval"))


def _difference_cell(value: Mapping[str, Any] | None) -> str:
    return f"{value['mean_difference']:+.3f} ({value['won']} of {value['pairs']})" if value else MISSING


def marked(text: str, phantom: bool) -> str:
    """A sentence or caption, which says so where the data are phantoms."""
    return f"{PHANTOM}{text}" if phantom else text[0].upper() + text[1:]
