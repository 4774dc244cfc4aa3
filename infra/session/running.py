"""The plugin that runs one case, and listens while it runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from .directory import Directory
from .meter import Meter, Usage
from .output import Output
from .record import Record
from .texts import case_problem_text, plain_text, problem_text, reason_in, warning_text
from .wire import Wire, quoted

BEFORE_ALL_FILES = "it failed before all files of the suite were imported"
# How it looks where nobody has imported a module.
_MISSING = re.compile(r"(setup failed: )?(Attribute|Import|ModuleNotFound)Error\b")


def misses_something(record: Record) -> bool:
    """Whether it may have failed because a file of the suite is not imported yet."""
    return record.outcome in ("failed", "error") and _MISSING.match(record.message) is not None


def is_named_in(message: str, modules: Iterable[str]) -> bool:
    """Whether it speaks of one of these modules; by the last part, as attributes are called."""
    words = frozenset(re.findall(r"\w+", message))
    return any(name.rpartition(".")[2] in words for name in modules)


class Running:
    """The case that runs, or the last one that ran."""

    def __init__(self, wire: Wire, limit: int, directory: Directory, output: Output) -> None:
        self.wire = wire
        self.limit = limit
        self.directory = directory
        self.output = output
        self.meter = Meter()
        self.record: Record | None = None
        # A wider fixture is being set up: those it asks for are part of it.
        self.within_wide = False
        self.last_case = ""
        self.last_item: Any = None
        # Modules of doctests, by case.
        self.modules: dict[str, str] = {}
        # Imports what the suite's other files import, and says which modules that brought.
        self.complete: Callable[[], Iterable[str]] | None = None
        # Places that have warned: as in pytest's own summary, each is told once.
        self.warned: set[tuple[str, int, str]] = set()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: Any) -> None:
        self.session = session

    def run_case(self, identifier: str, item: Any, following: Any) -> None:
        """Run it and tell what became of it.

        A case may use what only another file imports: `a.b` is there once anybody has imported it,
        and plain pytest has imported all files by now. If that was it, it runs again. It is not
        timed meanwhile; what it came to first is told if the session ends over that.
        """
        failed_before = self.session.testsfailed
        record, usage = self.attempt(identifier, item, following)
        line = record.finished(usage, self.output.stray_output())
        if self.complete is not None and misses_something(record):
            self.wire.put_line(f'{{"k":"put-off","id":{quoted(identifier)},"done":{line}}}')
            if is_named_in(record.message, self.complete()):
                failed_now, self.session.testsfailed = self.session.testsfailed, failed_before
                again, usage = self.attempt(identifier, item, following)
                if again.outcome in ("failed", "error"):
                    self.session.testsfailed = failed_now
                else:
                    again.notes.append(f"{BEFORE_ALL_FILES}: {record.message}")
                    line = again.finished(usage, self.output.stray_output())
        self.wire.put_line(line)

    def attempt(self, identifier: str, item: Any, following: Any) -> tuple[Record, Usage]:
        wire = self.wire
        name = quoted(identifier)
        record = Record(name, self.limit)
        self.last_case = identifier
        self.last_item = item
        self.tell_start(name)
        self.refill(identifier, item)
        properties = len(item.user_properties)
        # Before the case can kill this process; it takes the record of the case before along.
        wire.flush()
        self.record = record
        self.meter.begin()
        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        except (pytest.exit.Exception, KeyboardInterrupt) as problem:
            wire.leave_if_stranger()
            said = getattr(problem, "msg", "")
            what = "KeyboardInterrupt" if isinstance(problem, KeyboardInterrupt) else "pytest.exit"
            record.abort(
                f"{what} in the test" + (f": {said}" if said else ""),
                case_problem_text(item, problem),
            )
            self.recover(record, following)
        except Exception as problem:  # noqa: BLE001 - a hook of the user's failed
            wire.leave_if_stranger()
            record.abort(f"a pytest hook failed: {problem!r}", problem_text(problem))
            self.recover(record, following)
        self.record = None
        usage = self.meter.end()
        wire.leave_if_stranger()
        if self.directory.restore():
            record.notes.append("left its working directory changed")
        self.ignore_stop_requests(record)
        # The session keeps its items: their captured output must not stay with them. That and its
        # properties would be told again if the case ran again.
        sections = getattr(item, "_report_sections", None)
        if sections:
            sections.clear()
        if len(item.user_properties) != properties:
            del item.user_properties[properties:]
        return record, usage

    def tell_start(self, name: str) -> None:
        out, err = self.output.note_stray()
        self.wire.put_line(
            f'{{"k":"start","id":{name},"t":{self.meter.time()!r},'
            f'"pid":{self.wire.pid},"at":[{out},{err}]}}'
        )

    def refuse_case(self, identifier: str, text: str) -> None:
        """Tell a case whose file cannot be loaded here as an error.

        Whoever collected could load it: it exists, and another session may be able to run it.
        """
        name = quoted(identifier)
        self.tell_start(name)
        record = Record(name, self.limit)
        record.abort(f"its file cannot be loaded: {reason_in(text)}", text)
        self.meter.begin()
        self.wire.put_line(record.finished(self.meter.end()))

    def refill(self, identifier: str, item: Any) -> None:
        """Give a doctest that runs again the names of its module: doctest takes them away."""
        names = getattr(getattr(item, "dtest", None), "globs", None)
        if names is None:
            return
        module = self.modules.setdefault(identifier, str(names.get("__name__", "__main__")))
        if not names:
            # Text files have no module; to doctest they are the main one.
            known = None if module == "__main__" else sys.modules.get(module)
            names.update(vars(known) if known else {"__name__": module})

    def recover(self, record: Record, following: Any) -> None:
        """The protocol was left half way: take down what it left standing."""
        try:
            self.session._setupstate.teardown_exact(following)
        except (Exception, pytest.exit.Exception) as problem:  # noqa: BLE001
            record.tracebacks.append(("teardown", problem_text(problem)))

    def ignore_stop_requests(self, record: Record) -> None:
        session = self.session
        for name in ("shouldstop", "shouldfail"):
            asked = getattr(session, name, False)
            if asked:
                record.notes.append(f"asked the session to stop: {asked}")
                # Since pytest 8 the public attribute cannot be unset.
                setattr(session, f"_{name}" if hasattr(session, f"_{name}") else name, False)

    # -- what pytest tells while a case runs ------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.wire.verdict_of_stranger = 1
        self.wire.leave_if_stranger()
        self.wire.verdict_of_stranger = 0
        if self.record is not None:
            self.record.add(report)

    @pytest.hookimpl(trylast=True)
    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str) -> None:
        """Into the notes of the case that met it first; of a file, to the campaign."""
        place = (warning_message.filename, warning_message.lineno, str(warning_message.category))
        if when == "config" or place in self.warned:
            return
        self.warned.add(place)
        text = warning_text(warning_message, str(self.session.config.rootpath))
        if self.record is not None:
            self.record.notes.append(text)
        else:
            self.wire.put({"k": "warning", "id": plain_text(nodeid), "text": text})

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Time fixtures wider than the function, which other cases share."""
        if fixturedef.scope == "function" or self.within_wide:
            yield
            return
        self.within_wide = True
        before = self.directory.current()
        started = self.meter.clock()
        try:
            yield
        finally:
            self.within_wide = False
            if self.record is not None:
                self.record.shared += self.meter.clock() - started
            self.directory.note_mover(fixturedef, before)

    @pytest.hookimpl(trylast=True)
    def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
        if self.directory.movers:
            self.directory.forget_mover(fixturedef)
