"""MAM-CLIP: train a mammography vision-language model on your own atlases and archives, and use it.

mamclip COMMAND [options]        mamclip COMMAND --help
"""

import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from evaluation.notices import NOTICE
from training.cli import COMMAND, run_script


class Command(NamedTuple):
    """A script of this folder, and what it does in a line."""

    script: str
    does: str


COMMANDS = {
    "predict": Command(
        "predict", "read mammograms (DICOM, PNG, JPEG) with a model: BI-RADS and breast density"
    ),
    "extract-atlas": Command("extract_pairs", "atlas PDFs → image-caption pairs"),
    "build-dataset": Command("build_dataset", "an archive as it was downloaded → labelled records"),
    "pretrain": Command("pretrain", "image-caption pairs → an aligned vision-language model"),
    "classify": Command("classify", "labelled records and a pretrained encoder → a classifier"),
    "export": Command("export_release", "the trained model → a folder that transformers opens by itself"),
    "doctor": Command("doctor", "say what is installed and what is missing, with the command that adds it"),
}
ENDING = """\
In the order of the work: extract-atlas → pretrain; build-dataset → classify; export; predict. Each command writes where
its --output says, and is one of train_scripts/*.py; all scripts are described in docs/. Training on several GPUs:

    accelerate launch -m train_scripts.pretrain [options]        (or train_scripts.classify)

Begin with `mamclip doctor`."""


def main() -> None:
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        sys.exit(0)  # as argparse does for the scripts' own help
    elif words[0] == "--version":
        print(f"{COMMAND} {installed_version()}")
    else:
        run_command(*words)


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"    {name:{width}}  {command.does}" for name, command in COMMANDS.items()]
    return "\n".join([__doc__, *lines, "", ENDING, "", NOTICE])


def installed_version() -> str:
    try:
        return version("mam-clip")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


def run_command(name: str, *words: str) -> None:
    """Run a command's script as if it had been called with these words."""
    if name not in COMMANDS:
        raise ValueError(f"there is no command {name!r}; {suggestion(name)}")
    sys.argv = [f"{COMMAND} {name}", *words]
    script(name).main()


def suggestion(name: str) -> str:
    nearest = get_close_matches(name, COMMANDS, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(COMMANDS)}."


def script(name: str):
    """The module of a command. Raises ValueError where a package that it needs is not installed."""
    try:
        return import_module(f"train_scripts.{COMMANDS[name].script}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "train_scripts":
            raise
        raise ValueError(
            f"{COMMAND} {name} needs the package {error.name}; {COMMAND} doctor says how to add what is missing."
        ) from error


def command() -> None:
    """What the console command `mamclip` calls."""
    run_script(main)


if __name__ == "__main__":
    command()
