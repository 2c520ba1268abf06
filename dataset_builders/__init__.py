"""Archives and atlases into records and pairs; labels and folds.

`from dataset_builders import load_mammograms`, `from dataset_builders.atlas_pairs import extract_pairs`. What needs
`datasets` is imported when it is asked for, so that the labels alone stay light.
"""

from typing import Any

__all__ = ["load_mammograms", "save_dataset"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import building

        return getattr(building, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
