"""Several processes: how much is under way, what becomes of calls whose process dies."""

import os

import pytest

from dataset_builders.processes import WAITING, in_processes


def square(number):
    return number, number**2


def numbered(place):
    return place, os.getpid()


def fatal(number):
    if number == 7:
        os._exit(1)
    return square(number)


def died(number):
    return number, None


@pytest.mark.parametrize("workers", [1, 2])
def test_every_call_has_its_outcome(workers):
    outcomes = in_processes(square, ((number,) for number in range(30)), workers, crashed=died)
    assert sorted(outcomes) == [square(number) for number in range(30)]


def test_few_calls_are_under_way_at_a_time_and_none_in_this_process():
    drawn = []
    calls = ((drawn.append(place) or place,) for place in range(50))
    for done, (_, process) in enumerate(in_processes(numbered, calls, 2, crashed=died), 1):
        assert process != os.getpid() and len(drawn) <= done + 2 * WAITING * 2
    assert done == 50


def test_only_the_call_that_kills_its_process_is_lost():
    outcomes = list(in_processes(fatal, ((number,) for number in range(20)), 2, crashed=died))
    assert sorted(outcomes) == [died(7) if number == 7 else square(number) for number in range(20)]
