"""Locks by which several processes share the work in one folder, also on several machines."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(file: Path, *, wait: bool = False) -> Iterator[str | None]:
    """Lock a file; gives None where it is ours, or else who has it.

    wait: until it is ours. The system gives the lock of a process that has ended to the next one, however it ended,
    so a lock that was left behind does not exist; what the file says of its owner is for people alone. The file
    stays, since one that is removed could be locked by two. Raises OSError where the file system has no locks.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+", encoding="utf-8") as handle:  # for writing: over NFS, nothing else can be locked
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield file.read_text(encoding="utf-8") or "another process"
            return
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}")
        handle.flush()
        yield None
