"""The files that show a learning curve: figures, tables in Markdown, LaTeX and CSV; all of them from its results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .comparison import SCORES, curve, markdown, marked
from .curve_plots import learning_curves
from .curve_tables import contrasts_csv, curve_tables, latex, scores_csv
from .notices import RESEARCH_SHORT, notices

FIGURE = "learning_curves"
PANELS = ("f1_three", "f1_five")


def curve_files(results: Mapping[str, Any]) -> dict[str, bytes]:
    """Name of a file → its content. results: what learning_curve.py gathers into results.json.

    All of them say that they are for research, and that phantoms are synthetic.
    """
    phantom, tables = results["phantom"], curve_tables(results)
    comments = "".join(f"% {sentence}\n" for sentence in notices(phantom))
    texts = {
        "table.md": markdown_page(results),
        "table.tex": comments + "\n".join(map(latex, tables)),
        "scores.csv": scores_csv(results["summary"], phantom),
        "differences.csv": contrasts_csv([*results["contrasts"], *results["table2"]], phantom),
    }
    return _figures(results) | {name: text.encode() for name, text in texts.items()}


def markdown_page(results: Mapping[str, Any]) -> str:
    """Notices, all tables, and the verdicts: what the script prints as well."""
    above = [f"{sentence}\n" for sentence in notices(results["phantom"])]
    return "\n".join([*above, *map(markdown, curve_tables(results)), *results["verdict"], ""])


def _figures(results: Mapping[str, Any]) -> dict[str, bytes]:
    panels = {
        f"macro F1, {SCORES[score]}": curve(results["runs"], score, results["sizes"]) for score in PANELS
    }
    title = marked("mean ± sample standard deviation over folds and seeds", results["phantom"])
    pictures = learning_curves(panels, f"{title}\n({RESEARCH_SHORT})")
    return {f"{FIGURE}.{kind}": picture for kind, picture in pictures.items()}
