"""Deep calls do not ask the kernel for memory each time."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from proctor.infra.session.roomy_stack import with_room

CALLS = 2_000
# Several chunks' worth of frames.
DEPTHS = 400


def leaf(number: int) -> int:
    return number


# Larger than the frames above it: wherever a chunk ends, there is a depth at which it does not fit.
leaf.__code__ = leaf.__code__.replace(co_stacksize=100)


def page_faults(depth: int) -> int:
    """Pages that the kernel gave during calls made at that depth."""
    if depth:
        return page_faults(depth - 1)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for number in range(CALLS):
        leaf(number)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def most_faults() -> int:
    return max(page_faults(depth) for depth in range(DEPTHS))


def in_a_thread(function: Callable[[], int]) -> int:
    """Called on a stack of its own: this one may have room already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(timeout=60)


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.version_info < (3, 11),
    reason="frames are kept in chunks since CPython 3.11",
)
def test_no_call_costs_a_page_wherever_it_lies() -> None:
    """Without room there is a depth at which each call costs a page; with it there is none."""
    assert in_a_thread(most_faults) > CALLS // 2
    assert in_a_thread(lambda: with_room(most_faults)) < CALLS // 10


def test_what_is_returned_and_raised_is_the_functions_own() -> None:
    """Nothing else changes."""
    assert with_room(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        with_room(lambda: 1 // 0)
