"""Work on files in several processes, any of which may die: a decoder may crash, and memory may run out."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

import torch

WAITING = 4  # calls for every worker that are under way at a time
CRASHED = "the process that read it died, of a decoder's crash or for want of memory"

Outcome = TypeVar("Outcome")


def in_processes(
    function: Callable[..., Outcome],
    calls: Iterable[tuple],
    workers: int,
    *,
    crashed: Callable[..., Outcome],
) -> Iterator[Outcome]:
    """function(*call) for every call, in any order, in so many processes; 1: in this one, which then may die.

    A few calls are under way at a time, however many there are. Those that were under way when a process died are made
    again, one at a time; crashed(*call) is the outcome of one that kills its process then too.

    Raises OSError where processes cannot start.
    """
    calls = iter(calls)
    if workers == 1:
        yield from (function(*call) for call in calls)
        return
    while suspects := (yield from _until_one_dies(function, calls, workers)):
        while suspects:
            yield from _one_by_one(function, suspects, crashed)


def _until_one_dies(
    function: Callable[..., Outcome], calls: Iterator[tuple], workers: int
) -> Generator[Outcome, None, list[tuple]]:
    """Work until the calls are through or a process dies → the calls that were under way then."""
    under_way = {}
    with _pool(workers) as pool:
        try:
            while True:
                for call in islice(calls, WAITING * workers - len(under_way)):
                    under_way[pool.submit(function, *call)] = call
                if not under_way:
                    return []
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    del under_way[future]
                    yield outcome
        except BrokenProcessPool:
            return list(under_way.values())


def _one_by_one(
    function: Callable[..., Outcome], suspects: list[tuple], crashed: Callable[..., Outcome]
) -> Iterator[Outcome]:
    """As `function`, in one process, until that dies; the calls that were made are taken out of the suspects."""
    with _pool(1) as pool:
        _check_start(pool)
        while suspects:
            call = suspects.pop()
            try:
                outcome = pool.submit(function, *call).result()
            except BrokenProcessPool:
                yield crashed(*call)
                return
            yield outcome


def _check_start(pool: ProcessPoolExecutor) -> None:
    try:
        pool.submit(os.getpid).result()
    except BrokenProcessPool as error:
        raise OSError(
            "processes that read images cannot start; put what your script does under "
            "`if __name__ == '__main__':`, or work in one process."
        ) from error


def _pool(workers: int) -> ProcessPoolExecutor:
    """Each with one thread of torch, whose threads would not survive a fork."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,))
