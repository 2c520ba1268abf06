"""How every script ends: quietly, or with one sentence on stderr and exit code 2 for what the user can put right."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

COMMAND = "mamclip"  # the console command, see train_scripts/front_door.py
USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
TERMINATED = 143  # 128 + SIGTERM


class Stopped(Exception):
    """The work was asked to end by SIGTERM, and has saved what it did; the text says how to go on."""


def run_script(main: Callable[[], object]) -> None:
    """Run a script's main(); a `ValueError` or `OSError` is the user's to put right and ends without a traceback.

    Every other exception is a mistake of ours and keeps its traceback. Ctrl-C ends with exit code 130, a
    SIGTERM that was heeded (`Stopped`) with 143.
    """
    try:
        main()
    except BrokenPipeError:  # the reader of our output has gone, as in `… | head`
        _leave_stdout()
    except (ValueError, OSError) as error:
        _stop(f"error: {one_sentence(error)}", USER_ERROR)
    except KeyboardInterrupt:
        _stop("interrupted", INTERRUPTED)
    except Stopped as stopped:
        _stop(str(stopped), TERMINATED)


def one_sentence(error: BaseException) -> str:
    """The error's message on one line; an `OSError` of the system as `file: what is wrong`."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def command_line() -> str:
    """What was typed to start this process, for the records of a run: `python train_scripts/…` or `mamclip …`."""
    program, *words = sys.argv
    began = program.split() if program.startswith(f"{COMMAND} ") else ["python", program]
    return shlex.join([*began, *words])


class ScriptParser(argparse.ArgumentParser):
    """An argument parser whose errors are ValueErrors of one sentence, so that `run_script` ends all scripts alike."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def parse_known_args(
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """A misspelt option is said before a missing one: it is what the user wrote."""
        for word in sys.argv[1:] if args is None else args:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in self._option_string_actions:
                nearest = get_close_matches(name, self._option_string_actions, n=1, cutoff=0.0)[0]
                self.error(f"there is no option {name!r}; did you mean {nearest}?")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise ValueError(message if message.endswith("?") else f"{message}; --help lists the options.")


def _stop(message: str, code: int) -> NoReturn:
    if message:
        print(message, file=sys.stderr, flush=True)
    sys.exit(code)


def _leave_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
