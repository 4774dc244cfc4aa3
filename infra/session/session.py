"""The plugin that stands in for pytest's loop: it waits for commands, and does as they say."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from .batches import Batches
from .collection import Collection
from .directory import Directory
from .options import Takeover
from .output import Output
from .running import Running
from .teardown import tear_down
from .temporary import share_base
from .time_limits import TimeLimits
from .wire import Message, Wire


def plugins(wire: Wire, settings: Message, *, started: Callable[[], object]) -> list[object]:
    """What pytest is started with."""
    limit: int = settings.get("output_limit", 256 * 1024)
    directory = Directory()
    output = Output(settings.get("captured", []), limit)
    takeover = Takeover(wire, settings)
    collection = Collection(wire, limit, directory)
    running = Running(wire, limit, directory, output)
    batches = Batches(collection, running, isolate=settings.get("isolate", False))
    session = Session(takeover, collection, running, batches, started=started)
    return [
        takeover,
        collection,
        collection.narrow,
        collection.costs,
        running,
        TimeLimits(wire),
        session,
    ]


class Session:
    """pytest's session, from its start to its end."""

    def __init__(
        self,
        takeover: Takeover,
        collection: Collection,
        running: Running,
        batches: Batches,
        *,
        started: Callable[[], object],
    ) -> None:
        # To be called when all is loaded that comes before the first file.
        self.started = started
        self.wire = running.wire
        self.directory = running.directory
        self.takeover = takeover
        self.collection = collection
        self.running = running
        self.batches = batches
        # What pytest itself would end with; None until it ends.
        self.own_code: int | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: Any) -> None:
        self.config = session.config
        takeover = self.takeover
        if takeover.pose or takeover.controller:
            share_base(self.config, worker=takeover.worker, run_id=takeover.run_id)
        self.directory.begin()
        self.silence_terminal()
        benchmarks: Any = getattr(self.config, "_benchmarksession", None)
        if getattr(benchmarks, "xdist_warning", False):
            # pytest-benchmark switches itself off in workers of pytest-xdist; plain pytest, which
            # we are to equal, measures.
            benchmarks.disabled = False

    def silence_terminal(self) -> None:
        """Keep the terminal reporter, which plugins write to, but tell it of no case.

        It would draw each result and keep every report, output included, until the end.
        """
        manager = self.config.pluginmanager
        reporter = manager.getplugin("terminalreporter")
        if reporter is None:
            return
        for caller in manager.get_hookcallers(reporter) or ():
            with contextlib.suppress(AttributeError, ValueError):
                caller._remove_plugin(reporter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        takeover = self.takeover
        session.perform_collect = self.collection.collect
        self.directory.settle()
        self.started()
        self.wire.send(self.hello())
        while True:
            command = self.wire.receive(wait=True)
            assert command is not None
            if command["cmd"] == "exit":
                # So that it is not taken for one that is frozen, whatever comes now.
                self.wire.send({"k": "enter", "what": "exit", "id": ""})
                if takeover.controller:
                    # What pytest itself ends with, and tells its hooks, comes from these.
                    session.testsfailed = command.get("failed", 0)
                    session.testscollected = command.get("ran", 0)
                    if command.get("interrupted"):
                        raise session.Interrupted("the campaign ended before its cases did")
                break
            if command["cmd"] == "collect":
                self.collection.collect_everything()
            elif command["cmd"] == "run":
                self.batches.run(command)
        tear_down(self.running, None)
        self.wire.flush(ring=True)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.own_code = int(exitstatus)

    def hello(self) -> Message:
        config = self.config
        plugins = [
            f"{distribution.project_name}-{distribution.version}"
            for _, distribution in config.pluginmanager.list_plugin_distinfo()
        ]
        patterns = [str(pattern) for pattern in config.getini("python_files")]
        patterns += [str(glob) for glob in config.getoption("doctestglob", None) or ()]
        if config.getoption("doctestmodules", False):
            patterns.append("*.py")
        return {
            "k": "hello",
            "pid": os.getpid(),
            "python": sys.version.split()[0],
            "pytest": pytest.__version__,
            "rootdir": str(config.rootpath),
            "inifile": None if config.inipath is None else str(config.inipath),
            "plugins": sorted(set(plugins)),
            "test_patterns": patterns,
            "norecurse": [str(pattern) for pattern in config.getini("norecursedirs")],
            "maxfail": self.takeover.maxfail,
            "site": [path for path in sys.path if path.endswith(("site-packages", "-packages"))],
            "arguments": [str(argument) for argument in config.args],
            "continue_on_collection_errors": bool(
                config.getoption("continue_on_collection_errors", False)
            ),
        }
