"""Archives and atlases into records and pairs; labels and folds.

`from dataset_builders import load_mammograms, AtlasPairs`. What needs
`datasets` is imported when it is asked for, so that the labels alone stay light.
"""

from typing import Any

__all__ = ["AtlasPairs", "load_mammograms", "save_dataset"]


def __getattr__(name: str) -> Any:
    if name == "AtlasPairs":
        from .atlas_builder import AtlasPairs

        return AtlasPairs
    if name in __all__:
        from . import building

        return getattr(building, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
