"""The plugin that takes over at the start: options that are not for us, and what we add."""

# ruff: noqa: PTH100

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .pose import WorkerFixtures, pose_as_worker
from .recorder import RecorderFixture
from .wire import Message, Wire

NEUTRAL: Message = {
    # The coordinator owns -x and --maxfail: a runner sees only its share of the cases.
    "maxfail": 0,
    # Nobody sits at a terminal here.
    "usepdb": False,
    "trace": False,
    "collectonly": False,
    # Which cases run, and in which order, is decided elsewhere.
    "lf": False,
    "failedfirst": False,
    "newfirst": False,
    "stepwise": False,
    "stepwise_skip": False,
    "stepwise_reset": False,
    # pytest-xdist: we are the worker, it must not start its own.
    "numprocesses": None,
    "dist": "no",
    "tx": [],
    "distload": False,
    "looponfail": False,
}
# Reports that the controller of pytest-xdist writes: of no case, here.
REPORTS: Message = {"xmlpath": None, "htmlpath": None, "report_log": None, "json_report": False}


class Takeover:
    """Takes the options back before any plugin acts on them."""

    def __init__(self, wire: Wire, settings: Message) -> None:
        self.wire = wire
        self.worker: str = settings.get("worker", "gw0")
        self.workers: int = settings.get("workers", 1)
        self.run_id: str = settings.get("run", "")
        # Look like a worker of pytest-xdist to other plugins.
        self.pose: bool = settings.get("pose", True)
        # Stand for its controller, which runs no case.
        self.controller: bool = settings.get("controller", False)
        # What the user asked for; it is the coordinator's to do.
        self.maxfail = 0

    @pytest.hookimpl(hookwrapper=True)
    def pytest_cmdline_parse(self) -> Iterator[None]:
        outcome: Any = yield
        config = outcome.get_result()
        option = config.option
        self.maxfail = int(getattr(option, "maxfail", 0) or 0)
        for name, value in {**NEUTRAL, **(REPORTS if self.controller else {})}.items():
            if hasattr(option, name):
                setattr(option, name, value)
        if getattr(option, "basetemp", None):
            # Every session empties its base directory: two must not share one.
            base = Path(os.path.abspath(option.basetemp))
            base.mkdir(parents=True, exist_ok=True)
            option.basetemp = str(base / f"popen-{self.worker or 'controller'}")
        if self.pose:
            pose_as_worker(
                config, self.wire, worker=self.worker, workers=self.workers, run_id=self.run_id
            )

    def pytest_configure(self, config: Any) -> None:
        config.addinivalue_line(
            "markers",
            "resources(cpu, memory, gpu, tags): what a case needs of the worker that runs it",
        )
        # pytest-timeout says so itself, where it is installed.
        config.addinivalue_line("markers", "timeout(seconds): the time limit of a case")
        if not config.pluginmanager.hasplugin("xdist"):
            config.pluginmanager.register(WorkerFixtures(self.worker, self.run_id), "proctor-gw")
        config.pluginmanager.register(RecorderFixture(), "proctor-recorder")
