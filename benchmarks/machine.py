"""What every benchmark prints beside its numbers: the machine and the versions."""

import json
import os
import platform
from importlib.metadata import version

PACKAGES = ("torch", "transformers", "datasets", "numpy", "pydicom", "pymupdf")


def print_result(**numbers: object) -> None:
    """One JSON object as the last line."""
    machine = {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    versions = {name: version(name) for name in PACKAGES}
    print(json.dumps({**numbers, "machine": machine, "versions": versions}))
