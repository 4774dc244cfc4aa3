"""The plugin that collects: everything at once, or single files on first need."""

# ruff: noqa: PTH118

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from .arguments import argument_for, initial_paths, is_odd
from .directory import Directory
from .file_costs import FileCosts
from .garbage import seldom_garbage_collection
from .namesakes import Namesakes
from .narrow import Narrow
from .neighbours import find_neighbours
from .texts import SURROGATE, longrepr_text, plain_text, plain_value, problem_text, shortened
from .whole_list import cuts_by_place, puts_in_order
from .wire import Message, Wire


class Collection:
    """What has been found, and how more is."""

    def __init__(self, wire: Wire, limit: int, directory: Directory) -> None:
        self.wire = wire
        self.limit = limit
        self.directory = directory
        self.streaming = False
        # What is told of cases when their order is known; None: as soon as each is found.
        self.held: dict[str, Message] | None = None
        # Cases of which whoever collects everything has told, or holds what is to be told.
        self.told: set[str] = set()
        # Several files are looked into in one go.
        self.in_company = False
        self.narrow = Narrow()
        self.costs = FileCosts(self.file_of)
        self.names: dict[Path, str] = {}
        self.namesakes = Namesakes(self.file_of)
        self.items: dict[str, Any] = {}
        self.files: dict[str, list[str]] = {}
        self.broken: dict[str, str] = {}
        self.deselected: set[str] = set()
        self.errors = 0
        self.last_error = ""
        # The processor's time: a busy machine makes no file dear that is cheap. And our own
        # reference: tests replace the one of the module `time`.
        self.clock = time.process_time
        # Nothing less than all files can be collected, by what a hook makes of the list.
        self.whole = False
        # Cases have run in this process: the files that cannot be loaded now may be their doing.
        self.worn = False
        self.doubtful: set[str] = set()
        # Whether a fresh session may be had for such a file, and the ones for which it would not
        # help: it could not load them either.
        self.afresh = True
        self.hopeless: frozenset[str] = frozenset()
        self.collected_everything = False
        self.nodes: dict[tuple[int, str], Any] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: Any) -> None:
        self.session = session
        self.config = session.config
        start = self.config.invocation_params.dir
        if is_odd(str(start)) and self.config.args == [str(start)]:
            # pytest's own argument where none is given: it would refuse it.
            self.config.args = ["."]
        self.user_paths = initial_paths(self.config)
        # pytest's own pytest_collection hooks run as always (assertion rewriting is prepared
        # there), but nothing is collected before it is asked for.
        self.collect: Callable[..., Sequence[Any]] = session.perform_collect
        session.perform_collect = collect_nothing

    def collect_everything(self) -> None:
        started = self.clock()
        errors = 0
        code = 0
        if self.files or self.collected_everything:
            raise RuntimeError("this session has collected already")
        self.streaming = True
        self.held = {} if puts_in_order(self.config) else None
        self.errors = 0
        try:
            with self.collecting():
                found = self.collect()
        except pytest.UsageError as problem:
            code = 4
            found = []
            text = "\n".join(str(part) for part in problem.args)
            self.wire.put({"k": "collect-error", "id": "", "file": None, "text": plain_text(text)})
        except (pytest.exit.Exception, KeyboardInterrupt, Exception) as problem:  # noqa: BLE001
            found = []
            self.errors += 1
            self.wire.put(
                {"k": "collect-error", "id": "", "file": None, "text": problem_text(problem)}
            )
        self.streaming = False
        self.collected_everything = True
        errors = self.errors
        self.keep(found)
        held = self.held or {}
        for item in found:
            case = self.namesakes.name_of(item)
            told = held.pop(case, None)
            if told is None and case not in self.told:
                # A hook of the suite made it; pytest says nothing of such a one.
                self.told.add(case)
                told = self.described(item)
            if told is not None:
                self.wire.stream(told)
        self.directory.settle()
        code = code or (2 if errors else 0 if found else 5)
        self.wire.send(
            {
                "k": "collected",
                "file": None,
                "ids": [self.namesakes.name_of(item) for item in found],
                "deselected": sorted(self.deselected),
                "errors": errors,
                "exit": code,
                "seconds": round(self.clock() - started, 6),
                "costs": self.costs.of_files(),
            }
        )

    def collect_files(self, files: Sequence[str]) -> None:
        """Collect some files on first need, in one go.

        Never twice in a session: the fixtures of a module would be registered twice, and one that
        overrides another of its name would be applied to itself. So only data files come in
        company, and what went wrong among them is looked into file by file.
        """
        started = self.clock()
        if not self.files and cuts_by_place(self.config):
            files = self.collect_whole(files)
        elif not self.files:
            # Not for whoever loads them all: what is found too late there is not found by pytest.
            find_neighbours(self.config, sorted(self.user_paths))
        for file in files:
            self.files.setdefault(file, [])
        unclear = frozenset[str]() if self.whole else self.look_into(files)
        share = (self.clock() - started) / len(files)
        for file in files:
            seconds = share
            if file in unclear:
                started = self.clock()
                self.look_into([file])
                seconds += self.clock() - started
            if self.worn and file in self.broken:
                self.doubtful.add(file)
            if not self.is_spoilt(file):
                self.tell_file(file, seconds)
        # A module that changes directory when imported does so for all that follow, as ever.
        self.directory.settle()
        self.session.items = list(self.items.values())
        self.session.testscollected = len(self.session.items)

    def collect_whole(self, files: Sequence[str]) -> Sequence[str]:
        """Everything, as whoever collects has it, and as each worker of pytest-xdist has.

        Returns the files that it now knows of, these among them.
        """
        self.whole = self.in_company = True
        self.enter(files[0])
        try:
            with self.collecting():
                self.keep(self.collect())
        except (pytest.exit.Exception, KeyboardInterrupt, Exception) as problem:  # noqa: BLE001
            self.broken.update((file, problem_text(problem)) for file in files)
        return [*{**self.files, **dict.fromkeys(files)}]

    def look_into(self, files: Sequence[str]) -> frozenset[str]:
        """Have pytest collect them; those of several of which nothing is known then."""
        alone = files[0] if len(files) == 1 else ""
        paths = [self.path_of(file) for file in files]
        self.in_company = not alone
        self.enter(files[0])
        self.errors = 0
        found: Sequence[Any] = []
        whole = True
        arguments = [argument_for(path, self.config.invocation_params.dir) for path in paths]
        try:
            with self.narrow.to(paths), self.collecting():
                found = self.collect(arguments)
        except pytest.UsageError as problem:
            # The file is not there, or is no test file any more: then its cases are not found.
            whole = False
            if alone and paths[0].exists():
                self.errors += 1
                self.broken[alone] = "\n".join(str(part) for part in problem.args)
        except (pytest.exit.Exception, KeyboardInterrupt, Exception) as problem:  # noqa: BLE001
            whole = False
            if alone:
                self.errors += 1
                self.broken[alone] = problem_text(problem)
                self.tell_error(alone, alone, self.broken[alone])
        if alone and self.errors:
            # What failed may be a folder or a package above it.
            self.broken.setdefault(alone, self.last_error)
        self.keep(found)
        if alone or (whole and not self.errors):
            return frozenset()
        return frozenset(f for f in files if not self.files[f] and f not in self.broken)

    def forget(self, file: str) -> None:
        """One that could not be loaded is to be tried once more."""
        del self.broken[file]
        del self.files[file]
        self.doubtful.discard(file)

    def is_spoilt(self, file: str) -> bool:
        """Whether it cannot be loaded here, and perhaps where no case has run."""
        return self.afresh and file in self.doubtful and file not in self.hopeless

    def enter(self, file: str) -> None:
        """Say which file is looked into, so that one that kills the process can be named."""
        self.wire.put({"k": "enter", "what": "collect", "file": file})
        self.wire.flush()

    def tell_file(self, file: str, seconds: float) -> None:
        """Say what was found in it."""
        ids = self.files[file]
        broken = file in self.broken
        self.wire.stream(
            {
                "k": "collected",
                "file": file,
                "ids": ids,
                "deselected": [],
                "errors": int(broken),
                "exit": 2 if broken else 0 if ids else 5,
                "seconds": round(seconds, 6),
            }
        )

    def path_of(self, file: str) -> Path:
        """Where a file lies that goes by this name."""
        path = Path(os.path.normpath(os.path.join(str(self.config.rootpath), file)))
        if not path.exists():
            # A name that is no UTF-8 travels as plain text.
            path = Path(SURROGATE.sub(lambda found: chr(int(found[1], 16)), str(path)))
        return path

    def keep(self, found: Sequence[Any]) -> None:
        for item in found:
            case = self.namesakes.name_of(item)
            self.namesakes.keep(item)
            # Two items of one id (a file given twice with --keep-duplicates): the first counts.
            self.items.setdefault(case, item)
            self.files.setdefault(self.file_of(item), []).append(case)

    def find(self, case: str, file: str) -> Any:
        """The item of this id and file; None where none has been loaded."""
        return self.namesakes.right_one(self.items.get(case), case, file)

    @contextlib.contextmanager
    def collecting(self) -> Generator[None]:
        """The user's warning filters, as pytest applies them round its own collection."""
        with seldom_garbage_collection():
            try:
                from _pytest.warnings import catch_warnings_for_item
            except ImportError:
                yield
                return
            with catch_warnings_for_item(
                config=self.config, ihook=self.config.hook, when="collect", item=None
            ):
                yield

    def file_of(self, node: Any) -> str:
        """The node's file as ids name it; asked twice for each case, and paths are slow."""
        path: Path = node.path
        name = self.names.get(path)
        if name is None:
            try:
                relative = path.relative_to(self.config.rootpath)
            except ValueError:
                relative = Path(os.path.relpath(path, self.config.rootpath))
            name = self.names[path] = plain_text(relative.as_posix())
        return name

    def pytest_collectstart(self, collector: Any) -> None:
        if collector is self.session:
            if self.narrow.active:
                # pytest treats a file named on the command line specially: it need not look like
                # a test file, and files outside the root get other ids. Our asking for some files
                # must not count as the user's naming them.
                self.session._initialpaths = self.user_paths
                if hasattr(self.session, "_initialpaths_with_parents"):
                    self.session._initialpaths_with_parents = self.user_paths.union(
                        *(path.parents for path in self.user_paths)
                    )
        elif (self.streaming or self.in_company) and isinstance(collector, pytest.File):
            self.enter(self.file_of(collector))

    @pytest.hookimpl(trylast=True)
    def pytest_plugin_registered(self) -> None:
        """A conftest.py of a folder is loaded when pytest comes to it."""
        if self.streaming and self.held is None and puts_in_order(self.config):
            self.held = {}

    @pytest.hookimpl(hookwrapper=True, optionalhook=True)
    def pytest_collect_directory(self, path: Path, parent: Any) -> Iterator[None]:
        """One node for one directory, however many files are collected out of it one by one.

        Fixtures of a conftest.py belong to the node of its directory, and package fixtures stay
        warm only under the same node.
        """
        outcome: Any = yield
        node = outcome.get_result()
        if node is not None:
            self.narrow.entered.add(str(path))
            outcome.force_result(self.nodes.setdefault((id(parent), str(path)), node))

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_finish(self, session: Any) -> Iterator[None]:
        """Keep the conftest.py files that still wait for their directory.

        pytest 9.1 and newer forget them after a collection; ours goes on file by file.
        """
        pending = getattr(getattr(session, "_fixturemanager", None), "_pending_conftests", None)
        kept = dict(pending or {})
        yield
        if kept and pending is not None:
            pending.update(kept)

    def pytest_itemcollected(self, item: Any) -> None:
        if not self.streaming:
            return
        told = self.described(item)
        self.told.add(told["id"])
        if self.held is None:
            self.wire.stream(told)
        else:
            self.held[told["id"]] = told

    def described(self, item: Any) -> Message:
        marks: list[Message] = []
        for mark in item.iter_markers():
            # The values of parametrize are as large as users like, and nobody needs them.
            bare = mark.name == "parametrize"
            marks.append(
                {
                    "name": mark.name,
                    "args": [] if bare else [plain_value(value) for value in mark.args],
                    "kwargs": {}
                    if bare
                    else {str(key): plain_value(value) for key, value in mark.kwargs.items()},
                }
            )
        return {
            "k": "item",
            "id": self.namesakes.name_of(item),
            "file": self.file_of(item),
            "line": item.location[1],
            "marks": marks,
            "deselected": False,
        }

    def pytest_deselected(self, items: Sequence[Any]) -> None:
        self.deselected.update(self.namesakes.name_of(item) for item in items)

    def pytest_collectreport(self, report: Any) -> None:
        if report.passed:
            return
        text = report.longrepr
        if report.skipped:
            reason = str(text[2]) if isinstance(text, tuple) and len(text) == 3 else str(text)
            self.wire.put(
                {
                    "k": "skipped-file",
                    "id": plain_text(report.nodeid),
                    "text": plain_text(reason.replace("Skipped: ", "", 1)),
                }
            )
            return
        self.errors += 1
        drawn = self.last_error = shortened(longrepr_text(report), self.limit)
        file = report.nodeid.split("::")[0]
        self.broken[file] = drawn
        self.tell_error(plain_text(report.nodeid), plain_text(file), drawn)

    def tell_error(self, identifier: str, file: str, text: str) -> None:
        if not self.worn:
            self.wire.put({"k": "collect-error", "id": identifier, "file": file, "text": text})


def collect_nothing(*_: object, **__: object) -> list[Any]:
    """In place of a session's own collection."""
    return []
