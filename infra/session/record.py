"""The reports pytest makes of one case, and the one record that is sent of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .meter import Usage
from .texts import (
    MESSAGE_LENGTH,
    headline,
    longrepr_text,
    plain_text,
    property_value,
    shortened,
)
from .wire import encoded, quoted

EMPTY = '""'
PHASES = ("setup", "call", "teardown")
# Of what a subtest is called, before the reason: tables show little more of a message.
NAME_LENGTH = 40
# What pytest 9 says of the case they are in.
SUBTESTS_FAILED = re.compile(r"contains \d+ failed subtests?$")


class Record:
    """Gathers the reports of one case into the one record that is sent."""

    def __init__(self, name: str, limit: int) -> None:
        """`name` is the case's, as JSON."""
        self.name = name
        self.limit = limit
        self.shared = 0.0
        self.notes: list[str] = []
        self.reruns = 0
        self.forget()

    def forget(self) -> None:
        self.outcome = ""
        self.message = ""
        self.failed_subtests = 0
        self.first_subtest = ""
        self.seconds = {"setup": 0.0, "call": 0.0, "teardown": 0.0}
        self.tracebacks: list[tuple[str, str]] = []
        self.sections: Sequence[tuple[str, str]] = ()
        self.properties: Sequence[tuple[str, object]] = ()

    def add(self, report: Any) -> None:
        outcome = report.outcome
        if outcome == "rerun":
            # pytest-rerunfailures ran it again by itself: like plain pytest, the last one counts.
            self.reruns += 1
            self.forget()
            return
        context = getattr(report, "context", None)
        # Hooks of the user's may hang anything on a report.
        if hasattr(context, "msg") and hasattr(context, "kwargs"):
            self.add_subtest(report)
            return
        when = report.when
        if when in self.seconds:
            self.seconds[when] = report.duration
        # Every report repeats the sections of the phases before it.
        self.sections = report.sections or self.sections
        self.properties = report.user_properties
        expected = getattr(report, "wasxfail", None)
        if outcome == "failed":
            self.add_failure(report, when)
        elif outcome == "skipped":
            if self.outcome in ("", "passed"):
                self.outcome = "skipped" if expected is None else "xfailed"
                self.message = self.reason(report) if expected is None else headline(str(expected))
        elif when == "call" and not self.outcome:
            self.outcome = "passed" if expected is None else "xpassed"
            self.message = "" if expected is None else headline(str(expected))

    def add_failure(self, report: Any, when: str) -> None:
        text = shortened(longrepr_text(report), self.limit)
        self.tracebacks.append((when, text))
        if when == "call":
            self.outcome = "failed"
            self.message = crash_line(report, text)
        elif self.outcome == "failed":
            # Plain pytest counts a failure and an error here; a case has one outcome.
            self.notes.append(f"{when} failed too: {crash_line(report, text)}")
        else:
            self.outcome = "error"
            self.message = f"{when} failed: {crash_line(report, text)}"

    def add_subtest(self, report: Any) -> None:
        """A failed subtest fails its case; passed and skipped ones say nothing about it.

        pytest 9 fails the case by itself afterwards; the older pytest-subtests leaves it passed
        and fails the session, which has no place in a record per case.
        """
        if not report.failed:
            return
        self.failed_subtests += 1
        text = shortened(longrepr_text(report), self.limit)
        self.tracebacks.append((subtest_name(report), text))
        if self.failed_subtests == 1:
            self.first_subtest = f"{short_name(report)}: {crash_line(report, text)}"

    def abort(self, message: str, text: str) -> None:
        """The protocol itself was left by an exception."""
        self.outcome = "error"
        self.message = message[:MESSAGE_LENGTH]
        self.tracebacks.append(("", shortened(text, self.limit)))

    def reason(self, report: Any) -> str:
        text = report.longrepr
        if isinstance(text, tuple) and len(text) == 3:
            return headline(str(text[2])).replace("Skipped: ", "", 1)
        return headline(longrepr_text(report))

    def finished(self, usage: Usage, stray: Sequence[Sequence[str]] = ()) -> str:
        """The line that tells the worker of the case; `stray` are texts that pytest has not."""
        if self.failed_subtests and (
            self.outcome == "passed" or SUBTESTS_FAILED.match(self.message) is not None
        ):
            self.outcome = "failed"
            # How many they are is the same of many cases, and says nothing of why.
            others = f"; {self.failed_subtests} failed" if self.failed_subtests > 1 else ""
            self.message = self.first_subtest[: MESSAGE_LENGTH - len(others)] + others
        elif self.failed_subtests:
            told = self.first_subtest.removeprefix("subtest ")
            self.notes.append(f"subtest failed: {told}"[:MESSAGE_LENGTH])
        if self.reruns:
            self.notes.append(f"run {self.reruns + 1} times by pytest-rerunfailures")
        # No report at all: a plugin's protocol swallowed the case.
        message = self.message if self.outcome else "no report was made of this case"
        texts = [*self.texts(), *stray] if self.tracebacks or self.sections or stray else None
        properties = [
            [plain_text(str(name)), property_value(value)] for name, value in self.properties
        ]
        seconds = self.seconds
        # By hand: most cases leave most of this empty, and an encoder takes three times as long.
        return (
            f'{{"k":"done","id":{self.name},"outcome":"{self.outcome or "error"}",'
            f'"t0":{usage.began!r},"t1":{usage.ended!r},"cpu":{usage.cpu:.6f},'
            f'"peak":{usage.peak},"read":{usage.read},"write":{usage.written},'
            f'"setup":{decimal(seconds["setup"])},"call":{decimal(seconds["call"])},'
            f'"teardown":{decimal(seconds["teardown"])},"shared":{self.shared:.6f},'
            f'"message":{quoted(message) if message else EMPTY},'
            f'"text":{encoded(texts) if texts else "[]"},'
            f'"props":{encoded(properties) if properties else "[]"},'
            f'"notes":{encoded(self.notes) if self.notes else "[]"}}}'
        )

    def texts(self) -> list[list[str]]:
        texts = [
            ["traceback" if where in ("", "call") else f"traceback ({where})", text]
            for where, text in self.tracebacks
        ]
        for title, content in self.sections:
            if content:
                texts.append([section_name(title), shortened(content, self.limit)])
        return texts


def decimal(seconds: Any) -> str:
    """A duration as JSON; a plugin may have made it anything."""
    try:
        value = float(seconds)
    except (TypeError, ValueError, OverflowError):
        return "0.0"
    return f"{value:.6f}" if 0.0 <= value < 1e9 else "0.0"


def section_name(title: str) -> str:
    """'Captured stdout call' -> 'stdout', 'Captured log setup' -> 'log (setup)'."""
    words = title.split(" ")
    if len(words) == 3 and words[0] == "Captured" and words[2] in PHASES:
        return words[1] if words[2] == "call" else f"{words[1]} ({words[2]})"
    return plain_text(title)


def subtest_name(report: Any) -> str:
    context = report.context
    parts = [str(context.msg)] if getattr(context, "msg", None) else []
    parts += [f"{key}={value}" for key, value in dict(getattr(context, "kwargs", {})).items()]
    return plain_text("subtest " + " ".join(parts))


def short_name(report: Any) -> str:
    """The same in one line, and so short that it leaves room for the reason."""
    name = " ".join(subtest_name(report).split())
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def crash_line(report: Any, text: str) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return headline(str(crash.message))
    if type(report.longrepr).__name__ == "ReprFailDoctest":
        return doctest_line(text)
    # Fixtures that do not exist and strict xfails have a text of their own.
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines()
    return headline(lines[0].removeprefix("E ") if lines else "")


def doctest_line(text: str) -> str:
    """What went wrong: pytest begins with the example's lines and their numbers."""
    lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        if line.startswith("UNEXPECTED EXCEPTION: "):
            return headline(line.removeprefix("UNEXPECTED EXCEPTION: "))
    told = {word: lines[lines.index(word) + 1 :] for word in ("Expected:", "Got:") if word in lines}
    if not told:
        return headline(lines[-1] if lines else "")
    expected = told["Expected:"][0] if told.get("Expected:") else "nothing"
    got = told["Got:"][0] if told.get("Got:") else "nothing"
    return headline(f"doctest: expected {expected}, got {got}")
