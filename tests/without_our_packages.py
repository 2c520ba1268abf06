"""The beginning of a program that opens a release as a user does: none of our packages can be imported in it.

In an editable install they are importable from everywhere, so leaving the checkout is not enough.
"""

import sys

OURS = {
    "modeling_mamclip",
    "processing",
    "inference",
    "training",
    "evaluation",
    "dataset_builders",
    "train_scripts",
}


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in OURS:
            raise ImportError(f"{name} must not be needed")


sys.meta_path.insert(0, Blocker())
