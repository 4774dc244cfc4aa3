"""Room on the interpreter's stack, so that deep calls do not ask the kernel for memory each time.

Since 3.11 CPython keeps the frames of Python functions in chunks of 16 KiB, some forty frames. A
chunk is taken when a call does not fit into the last one, and given back when that call returns.
A loop whose calls lie across such a border pays for two system calls and a page fault each time:
8,000 ns for a call in place of 32, measured. Which loop that is depends on how deep in the stack it
began, so one and the same test takes 14 or 24 s by who calls it (sympy's `test_issue_21034`, under
pytest-xdist and under plain pytest).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# A chunk is as many times 16 KiB, doubled, as its first frame needs: 1 MiB for one of 560 KB. What
# is left is enough for about a thousand frames, more than the usual limit of recursion. It is
# address space; the kernel gives memory for what is touched.
_SLOTS = 70_000


def with_room(function: Callable[[], Result]) -> Result:
    """What the function returns, called where all the frames below it share one large chunk."""
    return function()


if sys.implementation.name == "cpython" and sys.version_info >= (3, 11):
    # A frame is as large as its code says that it needs; to claim more than that is harmless.
    with_room.__code__ = with_room.__code__.replace(co_stacksize=_SLOTS)
