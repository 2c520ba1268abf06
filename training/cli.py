"""How every script ends: quietly, or with one sentence on stderr and exit code 2 for what the user can put right."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run_script(main: Callable[[], object]) -> None:
    """Run a script's main(); a `ValueError` or `OSError` is the user's to put right and ends without a traceback.

    Every other exception is a mistake of ours and keeps its traceback. Ctrl-C ends with exit code 130.
    """
    try:
        main()
    except BrokenPipeError:  # the reader of our output has gone, as in `… | head`
        _leave_stdout()
    except (ValueError, OSError) as error:
        _stop(f"error: {one_sentence(error)}", USER_ERROR)
    except KeyboardInterrupt:
        _stop("interrupted", INTERRUPTED)


def one_sentence(error: BaseException) -> str:
    """The error's message on one line; an `OSError` of the system as `file: what is wrong`."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _stop(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    sys.exit(code)


def _leave_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
