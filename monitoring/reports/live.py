"""Progress of a campaign in the terminal, while it runs.

The engine's calls only count and queue; a thread of the view writes, a few times a second. So a
slow terminal or a full pipe never holds up a campaign, and 50,000 cases cost next to nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

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
    "judge": "judging",
    "report": "writing reports",
    "done": "done",
}


def settled_indexes(
    cases: Iterable[Case], attempts: Mapping[str, Sequence[Attempt]], *, retries: int
) -> frozenset[int]:
    """The cases of an interrupted campaign that have their results."""
    outcomes = {case.index: [each.outcome for each in attempts.get(case.id, ())] for case in cases}
    return frozenset(
        index
        for index, had in outcomes.items()
        if any(each.is_good for each in had) or sum(each.is_failure for each in had) > retries
    )


class LiveView:
    """A `Watcher` of the engine that shows what it is told. Use as a context manager."""

    def __init__(
        self,
        console: Console | None = None,
        *,
        retries: int = 0,
        maxfail: int = 0,
        settled: Collection[int] = (),
        began: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`began` is when the campaign did, for who looks on later; else it is with the view."""
        self._console = console or Terminal()
        self._retries = retries
        # One that stops after some failures may stop before a case's turn comes again.
        self._again = "runs again unless it stops before" if maxfail else "will run again"
        self._clock = clock
        self._lock = threading.Lock()
        self._joined_late = began is not None
        self._began = clock() if began is None else began
        self._phase = ""
        self._total = 0
        # Results of cases that are over; a failure that will be tried again is not among them.
        self._counts: Counter[str] = Counter()
        self._failures: Counter[int] = Counter()
        # By the index of the case; those of an interrupted campaign have their results already.
        self._settled = set(settled)
        self._before = len(self._settled)
        self._lost = 0
        self._running: dict[tuple[str, int], tuple[str, float]] = {}
        self._slots = 1
        self._work_told = 0.0
        # Since it was told.
        self._work_done = 0.0
        self._lines: deque[Text] = deque()
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
            outcome = attempt.outcome
            if outcome.is_good:
                self._settle_good(case, attempt)
            elif outcome.is_failure:
                self._settle_failure(case, attempt)
            elif outcome is Outcome.INFRA_LOST:
                self._lost += 1
                self._say(attempt, case, "will run again", STYLES["infra-lost"])

    def note(self, text: str) -> None:
        """A line a person should see now."""
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

    def _settle_good(self, case: Case, attempt: Attempt) -> None:
        self._settled.add(case.index)
        if not self._failures[case.index]:
            self._counts[attempt.outcome] += 1
            return
        self._counts["flaky"] += 1
        self._say(attempt, case, "after a failure: flaky", STYLES["flaky"])

    def _settle_failure(self, case: Case, attempt: Attempt) -> None:
        self._failures[case.index] += 1
        if self._failures[case.index] <= self._retries:
            self._say(attempt, case, self._again, STYLES["flaky"])
            return
        self._settled.add(case.index)
        self._counts[attempt.outcome] += 1
        self._say(attempt, case, "", STYLES[attempt.outcome])

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
