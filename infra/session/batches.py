"""Runs the batches that are ordered: which case comes next, and when to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from .collection import Collection
from .isolation import run_in_child
from .running import Running
from .teardown import Successor, tear_down
from .wire import Message, encoded


class Batches:
    """The cases of one order after another."""

    def __init__(self, collection: Collection, running: Running, *, isolate: bool) -> None:
        self.wire = running.wire
        self.collection = collection
        self.running = running
        self.isolate = isolate
        self.stop_asked = False
        # Our own reference: tests replace the one of the module `time`.
        self.clock = time.monotonic

    def run(self, command: Message) -> None:
        budget = command.get("budget")
        finishes = frozenset(command.get("finishes") or ())
        self.stop_asked = False
        cases = iter(command["cases"])
        case = self.next_runnable(cases)
        # After the first file was loaded: a budget spent on imports would buy one case.
        started = self.clock()
        first = True
        while case is not None:
            identifier, item = case
            following = self.next_runnable(cases)
            if first and not self.isolate:
                tear_down(self.running, item)
            first = False
            if self.isolate:
                run_in_child(self.running, identifier, item)
            else:
                self.running.run_case(identifier, item, self.successor(item, following, finishes))
            case = following
            if self.stopping() or (budget is not None and self.clock() - started >= budget):
                break
        self.wire.send({"k": "idle", "batch": command.get("batch", "")})

    def stopping(self) -> bool:
        if not self.stop_asked:
            command = self.wire.receive(wait=False)
            if command is not None and command["cmd"] == "exit":
                # Keep it for the loop outside.
                line = encoded(command).encode("ascii")
                self.wire.incoming = line + b"\n" + self.wire.incoming
            self.stop_asked = command is not None
        return self.stop_asked

    def next_runnable(self, cases: Iterator[Message]) -> tuple[str, Any] | None:
        """The next case of the order that exists; those that do not are said to be missing."""
        collection = self.collection
        for case in cases:
            identifier: str = case["id"]
            file: str = case.get("file") or identifier.split("::", 1)[0]
            if identifier not in collection.items and file not in collection.files:
                collection.collect_file(file)
            item = collection.items.get(identifier)
            if item is not None:
                return identifier, item
            if identifier in collection.deselected:
                why = "deselected"
            elif file in collection.broken:
                why = "collection failed"
            else:
                why = "not found"
            self.wire.stream({"k": "missing", "id": identifier, "why": why})
        return None

    def successor(
        self, item: Any, following: tuple[str, Any] | None, finishes: frozenset[str]
    ) -> Any:
        # The same case twice in a row: pytest would tear nothing down between them.
        if following is not None and following[1] is not item:
            return following[1]
        chain = item.listchain()[:-1]
        if following is None and self.collection.file_of(item) in finishes:
            files = [place for place, node in enumerate(chain) if isinstance(node, pytest.File)]
            # A package is a file to pytest 7, and not finished with one of its modules.
            chain = chain[: files[-1]] if files else chain
        return Successor(item, chain)
