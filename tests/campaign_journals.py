"""Writes campaign-shaped journals through the real ledger, on a clock of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Attempt, Case, Outcome, WorkerFacts

# A writer's lease must not expire under a clock that stands in the past.
FOREVER = 1e12


class JournalWriter:
    """One writer of a campaign of `total` cases, of which every `bad`th fails (none at 0).

    One that is `live` lets the time pass too: who looks by the real clock finds its lease held.
    """

    def __init__(
        self, directory: Path, *, began: float, total: int = 6, bad: int = 3, live: bool = False
    ) -> None:
        self.now = began
        opened = time.monotonic()
        self.total = total
        self._bad = bad
        self.ledger = Ledger.open(
            directory,
            campaign=directory.name,
            name="orchard",
            root="/srv/orchard",
            command=("proctor", "run", "tests"),
            clock=lambda: self.now + (time.monotonic() - opened if live else 0.0),
            ttl=FOREVER,
        )

    def steps(self) -> Iterator[str]:
        """Write the campaign piece by piece; what was written since the last piece is committed."""
        ledger = self.ledger
        ledger.write("phase", phase="collect")
        yield self._passed(1.0, "collect")
        cases = [
            Case(id=f"tests/test_tree.py::test_{number}", group="tests/test_tree.py", index=number)
            for number in range(self.total)
        ]
        for case in cases:
            ledger.case(case)
        ledger.write("phase", phase="plan")
        ledger.write("plan", slots=2, predicted_makespan=float(self.total), lower_bound=2.5)
        yield self._passed(0.5, "plan")
        ledger.worker(
            WorkerFacts(
                name="w1", incarnation="a", worker_class="cpu", slots=2, cpu=2, memory_bytes=1
            ),
            event="joined",
        )
        ledger.write("phase", phase="run")
        for number, case in enumerate(cases):
            self._attempt(case, failed=self._bad > 0 and number % self._bad == 0)
            yield self._passed(1.0, "attempt")
        ledger.write("note", level="warning", text="a worker was slow")
        ledger.write("phase", phase="judge")
        yield self._passed(0.25, "judge")
        ledger.write("phase", phase="report")
        yield self._passed(0.25, "report")
        ledger.write("phase", phase="done")
        failed = len(range(0, self.total, self._bad)) if self._bad else 0
        ledger.write(
            "close",
            state="completed",
            exit_code=1 if failed else 0,
            counts={"failed": failed, "passed": self.total - failed},
            makespan=float(self.total),
            lower_bound=2.5,
            slots=2,
        )
        ledger.close()
        yield "close"

    def finish(self) -> None:
        for _ in self.steps():
            pass

    def _attempt(self, case: Case, *, failed: bool) -> None:
        self.ledger.attempt(
            Attempt(
                case=case.id,
                id=f"{self.ledger.epoch}.b.{case.index}",
                outcome=Outcome.FAILED if failed else Outcome.PASSED,
                started=self.now,
                finished=self.now + 1.0,
                worker="w1",
                epoch=self.ledger.epoch,
                message="assert 'apple' == 'pear'" if failed else "",
            )
        )

    def _passed(self, seconds: float, what: str) -> str:
        self.now += seconds
        self.ledger.commit()
        return what
