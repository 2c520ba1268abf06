"""The tables of a learning curve: contrasts and Table 2 in words, any table as LaTeX, and all numbers as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from .comparison import CHIEF, SCORES, comparison_table, marked, size_name, summary_table
from .report_tables import MISSING, Table, bounds, number

LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "−": "$-$", "–": "--"} | {
    sign: f"\\{sign}" for sign in "&%$#_{}"
}
COLUMNS = ("mean_first", "mean_other", "mean_difference", "pairs", "p_t", "p_t_holm", "pooled_difference")
P_COLUMNS = ("p_bootstrap", "p_bootstrap_holm")


def curve_tables(results: Mapping[str, Any]) -> list[Table]:
    """The tables of a learning curve's results.json: means, and where there are encoders to compare, differences by
    run and by size, and Table 2."""
    phantom = results["phantom"]
    tables = [summary_table(results["summary"], phantom)]
    if results["comparisons"]:
        tables.append(comparison_table(results["comparisons"], phantom))
        tables.append(contrast_table(results["contrasts"], phantom))
    if results["table2"]:
        tables.append(table2(results["table2"], results["summary"], phantom))
        tables.append(contrast_table(results["table2"], phantom))
    return tables


def contrast_table(rows: Sequence[Mapping[str, Any]], phantom: bool, score: str = CHIEF) -> Table:
    """Rows of `contrasts.contrasts` for one score: the difference at every size, with its interval and p values."""
    caption = (
        f"difference in macro F1 of {SCORES[score]}: mean over pairs of fold and seed, of the pooled predictions "
        "[95 % interval by patient], and p of the paired t-test and of the bootstrap by patient (each with Holm's "
        "correction)"
    )
    return {
        "caption": marked(caption, phantom),
        "columns": ["difference", "labelled images", "pairs", "mean", "pooled", "p, t-test", "p, bootstrap"],
        "rows": [_contrast_row(row, row[score]) for row in rows],
    }


def _contrast_row(row: Mapping[str, Any], found: Mapping[str, Any] | None) -> list[str]:
    sizes = dict.fromkeys((size_name(row["first_size"]), size_name(row["other_size"])))
    head = [f"{row['first']} − {row['other']}", " against ".join(sizes)]
    if found is None:
        return [*head, "0", *[MISSING] * 4]
    return [
        *head,
        str(found["pairs"]),
        signed(found["mean_difference"]),
        signed(found["pooled_difference"]) + bounds(found["interval"]),
        *(f"{p_value(found[test])} ({p_value(found[f'{test}_holm'])})" for test in ("p_t", "p_bootstrap")),
    ]


def table2(rows: Sequence[Mapping[str, Any]], summaries: Sequence[Mapping[str, Any]], phantom: bool) -> Table:
    """The paper's Table 2 from its contrasts: labels of both arms, and their macro F1 of three groups; the better
    of the two is marked with *."""
    known = {(row["encoder"], row["size"]): row[CHIEF] for row in summaries}
    lines = []
    for row in rows:
        ours, theirs = (known.get((row[arm], row[f"{arm}_size"])) for arm in ("first", "other"))
        cells = [_score(theirs), _score(ours)]
        if ours and theirs and ours["mean"] != theirs["mean"]:
            better = int(ours["mean"] > theirs["mean"])
            cells[better] += " *"
        names = [f"{row[arm]} {size_name(row[f'{arm}_size'])}" for arm in ("other", "first")]
        lines.append([names[0], *cells, names[1]])
    caption = (
        "macro F1 of three groups with more labels, and with pretraining on captions (Table 2); * the better"
    )
    columns = ["start and labelled images", "macro F1", "macro F1", "start and labelled images"]
    return {"caption": marked(caption, phantom), "columns": columns, "rows": lines}


def _score(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return MISSING
    return number(value["mean"]) + (f" ± {number(value['std'])}" if value["std"] is not None else "")


def latex(table: Table) -> str:
    """A table for LaTeX with booktabs: first column to the left, the others to the right."""
    columns = table["columns"]
    lines = [f"{' & '.join(map(_escaped, row))} \\\\" for row in (columns, *table["rows"])]
    return "\n".join(
        [
            r"\begin{table}",
            f"\\caption{{{_escaped(table['caption'])}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def scores_csv(summaries: Sequence[Mapping[str, Any]], phantom: bool) -> str:
    """A row for every arm, size and score, unrounded; `images` says where they are synthetic."""
    names = ("mean", "std", "runs", "pooled")
    rows = [["encoder", "labelled_images", "score", *names, "low", "high", "images"]]
    for row in summaries:
        for score in SCORES:
            if row[score]:
                values = [row[score].get(name) for name in names]
                ends = row[score].get("interval", (None, None))
                rows.append([row["encoder"], _size(row["size"]), score, *values, *ends, _images(phantom)])
    return _csv(rows)


def contrasts_csv(rows: Sequence[Mapping[str, Any]], phantom: bool) -> str:
    """A row for every contrast and score, unrounded; `images` says where they are synthetic."""
    heads = ("first", "first_size", "other", "other_size")
    lines = [[*heads, "score", *COLUMNS, "low", "high", *P_COLUMNS, "images"]]
    for row in rows:
        sides = [row["first"], _size(row["first_size"]), row["other"], _size(row["other_size"])]
        for score in SCORES:
            if row[score]:
                found = row[score]
                values = [found[name] for name in COLUMNS], found["interval"], [found[p] for p in P_COLUMNS]
                numbers = [value for part in values for value in part]
                lines.append([*sides, score, *numbers, _images(phantom)])
    return _csv(lines)


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.3f}".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p value with three digits; a dash where there is none."""
    return "< 0.001" if value is not None and value < 0.001 else number(value)


def _size(size: int | None) -> str:
    return "all" if size is None else f"all{size}" if size < 0 else str(size)


def _images(phantom: bool) -> str:
    return "synthetic phantoms" if phantom else "as given"


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _escaped(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)
