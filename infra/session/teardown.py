"""Taking down what cases share, when nobody needs it any more."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from .running import Running
from .texts import headline, problem_text


class Successor:
    """Stands in for the next item after the last case of a batch.

    pytest tears down whatever the next item does not share. What comes next is not known yet, so
    this one shares everything above the case (or above its file, when the file is finished) and
    is the finished item for any plugin that looks closer.
    """

    def __init__(self, item: Any, shared: Sequence[Any]) -> None:
        self._item = item
        self._shared = shared

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return type(self._item)

    def listchain(self) -> list[Any]:
        return list(self._shared)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._item, name)


def above_file(item: Any) -> list[Any]:
    """What the case shares with those of other files."""
    chain = item.listchain()[:-1]
    files = [place for place, node in enumerate(chain) if isinstance(node, pytest.File)]
    # A package is a file to pytest 7, and not finished with one of its modules.
    return chain[: files[-1]] if files else chain


def fixtures_stand(running: Running) -> bool:
    """Whether one of the last case's file, or of a class in it, does: others may have used it."""
    stack: Any = getattr(running.session._setupstate, "stack", None)
    if not stack or running.last_item is None:
        return False
    if not isinstance(stack, dict):
        # Before pytest 7 nobody can say.
        return True
    above = above_file(running.last_item)
    # A node's own teardown is the first to be called at its end.
    return any(len(entry[0]) > 1 for node, entry in stack.items() if node not in above)


def tear_down(running: Running, following: Any) -> None:
    """End what the last batch left standing and the next case does not share.

    The record of the last case that used it has been sent; what fails now is told as late.
    """
    wire = running.wire
    setup_state = running.session._setupstate
    stack = getattr(setup_state, "stack", None)
    if not stack:
        return
    if following is not None:
        chain = following.listchain()
        if list(stack) == chain[: len(stack)]:
            return
    wire.put({"k": "enter", "what": "teardown", "id": running.last_case})
    wire.flush()
    running.output.note_stray()
    try:
        with warning_filters(running):
            setup_state.teardown_exact(following)
    except (Exception, pytest.exit.Exception, KeyboardInterrupt) as problem:  # noqa: BLE001
        wire.leave_if_stranger()
        traceback = ["traceback (teardown)", problem_text(problem)]
        wire.put(
            {
                "k": "late",
                "id": running.last_case,
                "outcome": "error",
                "message": f"a fixture's teardown failed: {headline(repr(problem))}",
                "text": [traceback, *running.output.stray_output()],
            }
        )
    wire.put({"k": "enter", "what": "", "id": ""})
    running.directory.settle()


@contextlib.contextmanager
def warning_filters(running: Running) -> Generator[None]:
    """The user's, as pytest applies them round each case."""
    try:
        from _pytest.warnings import catch_warnings_for_item
    except ImportError:
        yield
        return
    config = running.session.config
    with catch_warnings_for_item(
        config=config, ihook=config.hook, when="runtest", item=running.last_item
    ):
        yield
