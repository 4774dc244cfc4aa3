"""The live view: what it says, and that it never stands in the engine's way."""

from __future__ import annotations

import inspect
import io
import threading
from dataclasses import replace

from digests import attempt
from rich.console import Console
from waiting import wait_until

from proctor.infra.dispatching.batches import Rules
from proctor.infra.records import Case, Outcome
from proctor.monitoring.reports.live import FAILURES_SHOWN, LiveView, tallies_of
from proctor.monitoring.reports.terminal import Terminal


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_is_a_watcher_of_the_engine() -> None:
    """The view has every method the engine calls, with the parameters it gives."""
    from proctor.infra.engine.watcher import Watcher

    wanted = [name for name in vars(Watcher) if not name.startswith("_")]

    assert wanted
    for name in wanted:
        asked = list(inspect.signature(getattr(Watcher, name)).parameters)
        assert list(inspect.signature(getattr(LiveView, name)).parameters) == asked, name


def test_failures_are_printed_once_with_their_message() -> None:
    """A failure is one line as it happens; what passes is only counted."""
    console, file = _plain()
    view = LiveView(console)
    view.cases(2)

    view.attempt(_case(0), attempt("a::0", "failed", message="E no\nmore"))
    view.attempt(_case(1), attempt("a::1"))
    view.tick()
    view.tick()

    assert file.getvalue() == "FAILED   a::0  E no\n"
    assert view.progress_line() == "starting · 2/2 · 1 failed"


def test_retried_failure_counts_when_it_is_final() -> None:
    """With retries left a failure says so; passing later makes the case flaky."""
    console, file = _plain()
    view = LiveView(console, rules=Rules(retries=1))
    view.cases(2)

    for outcome in ("failed", "passed"):
        view.attempt(_case(0), attempt("a::0", outcome))
    for outcome in ("failed", "crashed"):
        view.attempt(_case(1), attempt("a::1", outcome))
    view.tick()

    assert view.progress_line() == "starting · 2/2 · 1 crashed · 1 flaky"
    lines = file.getvalue().splitlines()
    assert [line.split("(")[-1] for line in lines] == [
        "will run again)",
        "after a failure: flaky)",
        "will run again)",
        "CRASHED  a::1",
    ]


def test_one_that_stops_at_failures_promises_no_second_try() -> None:
    """With -x the campaign may be over before a retry's turn comes."""
    console, file = _plain()
    view = LiveView(console, rules=Rules(retries=1, maxfail=1))
    view.attempt(_case(0), attempt("a::0", "failed"))
    view.tick()

    assert file.getvalue().strip().endswith("(runs again unless it stops before)")


def test_what_had_its_result_before_counts_as_done() -> None:
    """A resumed campaign is as far as it had come; retries that are left are still to run."""
    rules = Rules(retries=1, infra_retries=1)
    had = {
        "a::0": [attempt("a::0")],
        "a::1": [attempt("a::1", "failed")],
        "a::2": [attempt("a::2", "infra-lost"), attempt("a::2", "infra-lost")],
    }
    console, file = _plain()
    view = LiveView(console, rules=rules, past=tallies_of(map(_case, range(4)), had, rules))
    view.cases(4)
    assert view.progress_line() == "starting · 2/4 · 2 before"
    view.attempt(_case(1), attempt("a::1", "failed"))
    view.tick()

    assert view.progress_line() == "starting · 3/4 · 1 failed · 2 before"
    assert file.getvalue() == "FAILED   a::1\n"


def test_a_case_that_is_lost_for_good_is_not_said_to_run_again() -> None:
    """After its last loss nobody runs it; what it had come to before stands."""
    console, file = _plain()
    view = LiveView(console, rules=Rules(retries=1, infra_retries=1))
    view.cases(2)
    for outcome in ("infra-lost", "infra-lost"):
        view.attempt(_case(0), attempt("a::0", outcome))
    for outcome in ("failed", "infra-lost", "infra-lost"):
        view.attempt(_case(1), attempt("a::1", outcome))
    view.tick()

    assert [line.split("(")[-1] for line in file.getvalue().splitlines()] == [
        "will run again)",
        "lost too often to run again)",
        "will run again)",
        "will run again)",
        "lost too often to run again)",
    ]
    told = "starting · 2/2 · 1 failed · 1 infra lost · 4 lost to infrastructure"
    assert view.progress_line() == told


def test_what_nobody_can_run_is_not_said_to_run_again() -> None:
    """A file that cannot be collected is an error once, whatever cases are allowed."""
    console, file = _plain()
    view = LiveView(console, rules=Rules(retries=2))
    view.cases(2)
    view.attempt(_case(0), replace(attempt("a::0", "error"), worker=""))
    view.tick()

    assert "again" not in file.getvalue()
    assert view.progress_line() == "starting · 1/2 · 1 error"


def test_second_execution_of_a_settled_case_is_ignored() -> None:
    """The twin of a straggler, or a lost execution, does not count a case twice."""
    view = LiveView(_plain()[0])
    view.cases(2)

    for outcome in ("infra-lost", "passed", "passed", "cancelled"):
        view.attempt(_case(0), attempt("a::0", outcome))

    assert view.progress_line() == "starting · 1/2 · 1 lost to infrastructure"


def test_flood_of_failures_is_cut() -> None:
    """A broken import that fails thousands of cases does not print thousands of lines."""
    console, file = _plain()
    view = LiveView(console)

    for index in range(FAILURES_SHOWN + 500):
        view.attempt(_case(index), attempt(f"a::{index}", "error"))
    view.tick()

    lines = file.getvalue().splitlines()
    assert len(lines) == FAILURES_SHOWN + 1
    assert "further failures" in lines[-1]


def test_progress_without_a_terminal_is_a_line_every_ten_seconds() -> None:
    """A CI log gets few lines, and none that repeats the one before it."""
    console, file = _plain()
    clock = Clock()
    view = LiveView(console, clock=clock)
    view.phase("run")
    view.cases(10)
    for second in range(35):
        clock.now = 100.0 + second
        if second == 15:
            view.attempt(_case(0), attempt("a::0"))
        view.tick()

    assert file.getvalue().splitlines() == ["[10 s] running · 0/10", "[20 s] running · 1/10"]


def test_time_left_follows_the_prediction_then_the_pace() -> None:
    """Predicted work over the slots seen; when it is used up, the pace so far."""
    clock = Clock()
    view = LiveView(_plain()[0], clock=clock)
    view.phase("run")
    view.cases(100, 80.0)
    view.running(_case(0), ("w", 0))
    view.running(_case(1), ("w", 1))

    assert "about 40 s left" in view.progress_line()

    clock.now += 40
    for index in range(50):
        view.attempt(_case(index), attempt(f"a::{index}", seconds=2.0))

    assert "about 40 s left" in view.progress_line()


def test_slow_cases_are_named_with_their_slot() -> None:
    """What has run for long is shown with where it runs; it goes away when it ends."""
    clock = Clock()
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, color_system=None)
    view = LiveView(console, clock=clock)
    view.cases(2)
    view.running(_case(0), ("local-1", 3))
    clock.now += 5

    console.print(view.render())
    assert "local-1/3  5.00 s  a::0" in file.getvalue()

    view.attempt(_case(0), attempt("a::0", worker="local-1", slot=3))
    file.truncate(0)
    console.print(view.render())
    assert "a::0" not in file.getvalue()


def test_terminal_is_left_clean() -> None:
    """On a terminal the moving part is gone at the end and the failures stay."""
    file = io.StringIO()
    with LiveView(Console(file=file, force_terminal=True, width=100)) as view:
        view.phase("run")
        view.cases(1)
        view.attempt(_case(0), attempt("a::0", Outcome.FAILED))
        wait_until(lambda: "a::0" in file.getvalue(), what="the failure is printed")

    text = file.getvalue()
    assert text.endswith("\x1b[?25h") or text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_closed_pipe_does_not_disturb_the_campaign() -> None:
    """When nobody reads any more the view falls silent and the engine's calls still work."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with LiveView(Terminal(Closed())) as view:
        view.note("hello")
        wait_until(
            lambda: not any(t.name == "live-view" for t in threading.enumerate()),
            what="the view stopped drawing",
        )
        view.attempt(_case(0), attempt("a::0", "failed"))

    assert view.progress_line() == "starting · 1 failed"


def _plain() -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file), file


def _case(index: int) -> Case:
    return Case(id=f"a::{index}", group="a", index=index)
