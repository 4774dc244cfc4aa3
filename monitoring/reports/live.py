"""Progress of a campaign in the terminal, while it runs.

The engine's calls only count and queue; a thread of the view writes, a few times a second. So a
slow terminal or a full pipe never holds up a campaign, and 50,000 cases cost next to nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...infra.dispatching.batches import Rules
from ...infra.dispatching.state import Tally
from ...infra.dispatching.tallies import judge_outcome
from ...infra.records import Attempt, Case, Outcome
from .progress import Progress, is_end_in_sight
from .terminal import Terminal
from .wording import ORDER, STYLES, judged, number, one_line, printable, roughly, span

# Eyes need no more, and each drawing costs about 2 ms of a core that tests could use.
DRAWINGS_A_SECOND = 4
PLAIN_LINE_SECONDS = 10.0
# A case that runs for less is not worth a line of its own.
SLOW_SECONDS = 2.0
SLOTS_SHOWN = 8
# A broken import can fail thousands of cases; nobody reads the thousandth line.
FAILURES_SHOWN = 300
# The thread writes at most one batch of lines between two looks at the stop flag.
STOP_DEADLINE_SECONDS = 5.0

# Eight letters at most, so that ids begin in one column.
_LABELS = {"timed-out": "TIMEOUT", "out-of-memory": "MEMORY", "infra-lost": "LOST"}
_PHASES = {
    "collect": "collecting",
    "plan": "planning",
    "run": "running",
    "finish": "ending sessions",
    "judge": "judging",
    "report": "writing reports",
    "leave": "leaving the fleet",
    "done": "done",
}


def tallies_of(
    cases: Iterable[Case], attempts: Mapping[str, Sequence[Attempt]], rules: Rules
) -> dict[int, Tally]:
    """What the cases of an interrupted campaign have come to, by their indexes."""
    tallies: dict[int, Tally] = {}
    for case in cases:
        for attempt in attempts.get(case.id, ()):
            tally = tallies.setdefault(case.index, Tally())
            judge_outcome(tally, attempt.outcome, rules)
            if attempt.outcome.is_result:
                tally.last = attempt.outcome
    return tallies


class LiveView:
    """A `Watcher` of the engine that shows what it is told. Use as a context manager."""

    def __init__(
        self,
        console: Console | None = None,
        *,
        rules: Rules | None = None,
        past: Mapping[int, Tally] = MappingProxyType({}),
        began: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`began` is when the campaign did, for who looks on later; else it is with the view.

        `past` is what its cases had come to when it was interrupted.
        """
        self._console = console or Terminal()
        self._rules = rules or Rules()
        # One that stops after some failures may stop before a case's turn comes again.
        self._again = (
            "runs again unless it stops before" if self._rules.maxfail else "will run again"
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._joined_late = began is not None
        self._began = clock() if began is None else began
        self._phase = ""
        self._total = 0
        # Results of cases that are over; a failure that will be tried again is not among them.
        self._counts: Counter[str] = Counter()
        # By the index of the case; some of an interrupted campaign have their results already.
        self._tallies = {index: replace(tally) for index, tally in past.items()}
        self._settled = {index for index, tally in past.items() if tally.settled}
        self._before = len(self._settled)
        self._lost = 0
        self._running: dict[tuple[str, int], tuple[str, float]] = {}
        self._slots = 1
        self._work_told = 0.0
        # Since it was told.
        self._work_done = 0.0
        self._lines: deque[Text] = deque()
        # The notes among them: who sums up below need not repeat them.
        self.told: set[str] = set()
        self._failures_shown = 0
        self._last_plain = clock()
        self._last_plain_text = ""
        self._stop = threading.Event()
        self._live: Live | None = None
        self._thread: threading.Thread | None = None

    # The engine's calls -----------------------------------------------------------------------

    def phase(self, name: str) -> None:
        self._phase = name

    def cases(self, total: int, predicted_seconds: float = 0.0) -> None:
        """How many cases are known by now, and the predicted work of those that wait."""
        with self._lock:
            self._total = total
            self._work_told = predicted_seconds
            self._work_done = 0.0

    def taken_over(self) -> None:
        """Another process goes on with it: what is done was done before, and nothing runs now."""
        with self._lock:
            self._before = len(self._settled)
            self._running.clear()
            self._slots = 1

    def running(self, case: Case, slot: tuple[str, int]) -> None:
        with self._lock:
            self._running[slot] = (case.id, self._clock())
            self._slots = max(self._slots, len(self._running))

    def attempt(self, case: Case, attempt: Attempt) -> None:
        with self._lock:
            running = self._running.get((attempt.worker, attempt.slot))
            if running is not None and running[0] == case.id:
                del self._running[attempt.worker, attempt.slot]
            self._work_done += attempt.usage.wall_seconds
            if case.index in self._settled:
                return
            tally = self._tallies.setdefault(case.index, Tally())
            judge_outcome(tally, attempt.outcome, self._rules)
            # Nobody ran it, and nobody will: its file cannot be collected, or it is not found.
            tally.settled |= not attempt.worker
            if tally.settled:
                self._settled.add(case.index)
            self._take_in(case, attempt, tally)

    def note(self, text: str) -> None:
        """A line a person should see now."""
        self.told.add(text)
        self._lines.append(Text(f"· {text}", style="dim"))

    # Showing ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._last_plain = self._clock()
        if not self._joined_late:
            self._began = self._last_plain
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._thread = threading.Thread(target=self._draw_on, name="live-view", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(STOP_DEADLINE_SECONDS)
        if thread is None or not thread.is_alive():
            self._close()

    def tick(self) -> None:
        """Write what is due; the view's thread calls this, a test may."""
        self._flush()
        if self._live is not None:
            self._live.update(self.render(), refresh=True)
            return
        now = self._clock()
        if now - self._last_plain >= PLAIN_LINE_SECONDS:
            self._last_plain = now
            text = self.progress_line()
            if text != self._last_plain_text:
                self._last_plain_text = text
                self._console.print(Text(f"[{roughly(now - self._began)}] {text}"), soft_wrap=True)

    def progress(self) -> Progress:
        """Where the campaign stands."""
        with self._lock:
            return self._progress(self._clock())

    def progress_line(self) -> str:
        """The same in one line."""
        with self._lock:
            return " · ".join(self._parts(self._clock()))

    def render(self) -> RenderableType:
        """The moving part of the display."""
        with self._lock:
            now = self._clock()
            parts = self._parts(now)
            done = len(self._settled)
            slow = sorted(
                (
                    (since, f"{worker}/{number}", case)
                    for (worker, number), (case, since) in self._running.items()
                    if now - since >= SLOW_SECONDS
                ),
            )
        head = Table.grid(padding=(0, 1))
        head.add_column(no_wrap=True)
        head.add_column(width=24)
        head.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=max(1, self._total), completed=done, width=24)
        head.add_row(
            Text(parts[0], style="bold"),
            bar if self._total and self._phase != "collect" else Text(""),
            Text(" · ".join([*parts[1:], roughly(now - self._began)])),
        )
        rows: list[RenderableType] = [head]
        rows.extend(
            Text(
                f"  {slot}  {span(now - since)}  {printable(case)}",
                style="dim",
                no_wrap=True,
                overflow="ellipsis",
            )
            for since, slot, case in slow[:SLOTS_SHOWN]
        )
        return Group(*rows)

    # Private --------------------------------------------------------------------------------------

    def _take_in(self, case: Case, attempt: Attempt, tally: Tally) -> None:
        outcome = attempt.outcome
        if outcome.is_good and tally.failures:
            self._counts["flaky"] += 1
            self._say(attempt, case, "after a failure: flaky", STYLES["flaky"])
        elif outcome.is_good:
            self._counts[outcome] += 1
        elif outcome.is_failure and tally.settled:
            self._counts[outcome] += 1
            self._say(attempt, case, "", STYLES[outcome])
        elif outcome.is_failure:
            self._say(attempt, case, self._again, STYLES["flaky"])
        elif outcome is Outcome.INFRA_LOST:
            self._lost += 1
            # A result that it had before it was lost stands.
            self._counts[tally.last or outcome] += tally.settled
            again = "lost too often to run again" if tally.settled else "will run again"
            self._say(attempt, case, again, STYLES["infra-lost"])
        if outcome.is_result:
            tally.last = outcome

    def _say(self, attempt: Attempt, case: Case, suffix: str, style: str) -> None:
        self._failures_shown += 1
        if self._failures_shown > FAILURES_SHOWN:
            if self._failures_shown == FAILURES_SHOWN + 1:
                self.note("further failures are counted here and listed in the summary")
            return
        line = Text()
        line.append(f"{_LABELS.get(attempt.outcome, attempt.outcome.upper()):<8} ", style=style)
        line.append(printable(case.id))
        if attempt.message:
            line.append(f"  {one_line(attempt.message)}", style="dim")
        if suffix:
            line.append(f"  ({suffix})", style=style)
        self._lines.append(line)

    def _progress(self, now: float) -> Progress:
        done = len(self._settled)
        is_known = is_end_in_sight(phase=self._phase, done=done, total=self._total)
        return Progress(
            phase=self._phase,
            done=done,
            total=self._total,
            counts=dict(self._counts),
            elapsed_seconds=now - self._began,
            left_seconds=self._seconds_left(now) if is_known else None,
        )

    def _parts(self, now: float) -> list[str]:
        at = self._progress(now)
        parts = [_PHASES.get(at.phase, at.phase) or "starting"]
        if at.total:
            parts.append(at.so_far)
        parts.extend(
            judged(kind, at.counts[kind])
            for kind in ORDER
            if at.counts.get(kind) and kind not in {"passed", "skipped", "xfailed"}
        )
        if self._before:
            parts.append(f"{number(self._before)} before")
        if self._lost:
            parts.append(f"{number(self._lost)} lost to infrastructure")
        if at.left_seconds is not None:
            parts.append(f"about {roughly(at.left_seconds)} left")
        return parts

    def _seconds_left(self, now: float) -> float | None:
        work = self._work_told - self._work_done
        # The last of a prediction is all error; then the pace so far says more.
        if self._work_told > 0 and work > self._work_told / 20:
            return work / self._slots
        done = len(self._settled) - self._before
        elapsed = now - self._began
        if done < 10 or elapsed < 2:
            return None
        return elapsed / done * (self._total - len(self._settled))

    def _draw_on(self) -> None:
        try:
            while not self._stop.wait(1 / DRAWINGS_A_SECOND):
                self.tick()
        except OSError:
            # The terminal or pipe went away. The campaign goes on; nobody is left to be told.
            self._stop.set()
            self._lines.clear()

    def _flush(self) -> None:
        while self._lines:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            self._console.print(Text("\n").join(lines), soft_wrap=True)

    def _close(self) -> None:
        try:
            self._flush()
            if self._live is not None:
                self._live.update(Text(""), refresh=False)
                self._live.stop()
        except OSError:
            # As above: closing a view must not turn a finished campaign into a failed one.
            self._lines.clear()
        self._live = None
