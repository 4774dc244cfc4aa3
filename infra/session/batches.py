"""Runs the batches that are ordered: which case comes next, and when to stop."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from .arguments import is_odd
from .collection import Collection
from .isolation import run_in_child
from .running import Running
from .teardown import Successor, above_file, fixtures_stand, tear_down
from .wire import Message, encoded

# So many data files are loaded in one go, at most, besides the one that is needed now.
MOST_COMPANY = 63


class Batches:
    """The cases of one order after another."""

    def __init__(self, collection: Collection, running: Running, *, isolate: bool) -> None:
        self.wire = running.wire
        self.collection = collection
        self.running = running
        self.isolate = isolate
        self.stop_asked = False
        # A file that what ran in this process may have made impossible to load.
        self.spoilt = ""
        # Files of the suite, in case that one of those loaded here uses what they import.
        self.beside: list[str] = []
        # Our own reference: tests replace the one of the module `time`.
        self.clock = time.monotonic

    def run(self, command: Message) -> None:
        budget = command.get("budget")
        finishes: frozenset[str] = frozenset(command.get("finishes") or ())
        self.stop_asked, self.spoilt = False, ""
        self.collection.afresh = command.get("afresh", True)
        self.collection.hopeless = frozenset(command.get("hopeless") or ())
        waiting: deque[Message] = deque(command["cases"])
        self.beside += command.get("beside") or ()
        if self.beside and not self.isolate:
            self.running.complete = self.load_beside
        self.load(command.get("ahead") or ())
        case = self.next_runnable(waiting)
        # After the first file was loaded: a budget spent on imports would buy one case.
        started = self.clock()
        foreseen: Any = None
        while case is not None:
            identifier, item = case
            # Nothing is imported while the fixtures of another file stand.
            load_first = bool(waiting) and self.is_unknown(waiting[0])
            following = None if load_first else self.next_runnable(waiting)
            if self.isolate:
                run_in_child(self.running, identifier, item)
            else:
                if item is not foreseen:
                    tear_down(self.running, item)
                finished = load_first or self.collection.file_of(item) in finishes
                self.collection.worn = True
                self.running.run_case(identifier, item, successor(item, following, finished))
            if self.stopping() or (budget is not None and self.clock() - started >= budget):
                break
            foreseen = following[1] if following else None
            case = self.next_runnable(waiting) if load_first else following
        self.wire.send({"k": "idle", "batch": command.get("batch", ""), "spoilt": self.spoilt})

    def stopping(self) -> bool:
        if not self.stop_asked:
            command = self.wire.receive(wait=False)
            if command is not None and command["cmd"] == "exit":
                # Keep it for the loop outside.
                line = encoded(command).encode("ascii")
                self.wire.incoming = line + b"\n" + self.wire.incoming
            self.stop_asked = command is not None
        return self.stop_asked

    def load_beside(self) -> frozenset[str]:
        """Load all files that are left, as plain pytest has by now; the modules that brought."""
        if fixtures_stand(self.running):
            return frozenset()
        files, self.beside = self.beside, []
        # No failure after this one is told twice for nothing.
        self.running.complete = None
        files = [file for file in files if file not in self.collection.files]
        before = frozenset(sys.modules)
        self.load(files)
        return frozenset(sys.modules) - before

    def load(self, files: Iterable[str]) -> None:
        """Load these, one after the other; whoever asks for a stop meanwhile waits for all."""
        wanted: deque[Message] = deque({"id": file, "file": file} for file in files)
        if wanted:
            self.leave_file()
        while wanted:
            first = wanted.popleft()
            if self.is_unknown(first):
                file = file_of(first)
                self.collection.collect_files([file, *self.company_of(file, wanted)])

    def is_unknown(self, case: Message) -> bool:
        """Whether its file has yet to be collected."""
        collection = self.collection
        file = file_of(case)
        return collection.find(case["id"], file) is None and file not in collection.files

    def next_runnable(self, waiting: deque[Message]) -> tuple[str, Any] | None:
        """The next case of the order that exists; those that do not are said to be missing.

        None also where those that are left want a session in which nothing has run.
        """
        collection = self.collection
        while waiting:
            case = waiting.popleft()
            identifier: str = case["id"]
            file = file_of(case)
            if self.is_unknown(case):
                self.leave_file()
                collection.collect_files([file, *self.company_of(file, waiting)])
            item = collection.find(identifier, file)
            if item is not None:
                return identifier, item
            if identifier not in collection.deselected and file in collection.broken:
                # One that was imported, and broke later, has registered its fixtures.
                if self.beside and not collection.files[file] and self.load_beside():
                    # It may use what only another file imports, and that has been imported now.
                    collection.forget(file)
                    waiting.appendleft(case)
                    continue
                if collection.is_spoilt(file):
                    # Plain pytest has imported all files by now; a fresh session can do so.
                    self.spoilt = file
                    return None
                self.running.refuse_case(identifier, collection.broken[file])
                continue
            why = "deselected" if identifier in collection.deselected else "not found"
            self.wire.stream({"k": "missing", "id": identifier, "why": why})
        return None

    def company_of(self, file: str, waiting: Iterable[Message]) -> list[str]:
        """The data files of the order to be loaded with this one, if it is one, too.

        A suite may have thousands of them with a case or two in each, and most of what loading
        one takes is pytest's way through the folders. Modules are imported one by one: that may
        take long, and their cases may yet go to another slot.
        """
        if not is_data(file):
            return []
        others: dict[str, None] = {}
        for case in waiting:
            other = file_of(case)
            if other != file and is_data(other) and self.is_unknown(case):
                others[other] = None
                if len(others) == MOST_COMPANY:
                    break
        return [*others]

    def leave_file(self) -> None:
        """Take down what belongs to the file of the last case.

        Plain pytest imports every file before it sets anything up: what a module's fixture
        patches must not be what the next module imports.
        """
        last = self.running.last_item
        if last is not None and not self.isolate:
            tear_down(self.running, Successor(last, above_file(last)))


def is_data(file: str) -> bool:
    """Whether it is no module, and its name can be said to pytest."""
    return not file.endswith(".py") and not is_odd(file)


def file_of(case: Message) -> str:
    return case.get("file") or case["id"].split("::", 1)[0]


def successor(item: Any, following: tuple[str, Any] | None, finished: bool) -> Any:
    """What pytest is told comes next; `finished` if it is in another file."""
    # The same case twice in a row: pytest would tear nothing down between them.
    if following is not None and following[1] is not item:
        return following[1]
    shared = above_file(item) if following is None and finished else item.listchain()[:-1]
    return Successor(item, shared)
