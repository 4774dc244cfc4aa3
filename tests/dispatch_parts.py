"""Workers, cases and what they come to, for tests that drive the dispatcher by hand."""

from __future__ import annotations

from proctor.infra.dispatching.batches import Rules, Send, Stop
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.records import Attempt, Case, Outcome, Requirements, Usage, WorkerFacts

GIB = 1 << 30


def worker(name: str = "cpu-1", *, slots: int = 2, **facts) -> WorkerFacts:
    values = {"cpu": float(slots), "memory_bytes": 8 * GIB, **facts}
    return WorkerFacts(name=name, incarnation="1", worker_class="cpu", slots=slots, **values)


def cases_of(*sizes: int, needs: Requirements | None = None) -> list[Case]:
    """Files with so many cases each."""
    cases = []
    for number, size in enumerate(sizes):
        for each in range(size):
            cases.append(
                Case(
                    id=f"test_{number}.py::test_{each}",
                    group=f"test_{number}.py",
                    index=len(cases),
                    needs=needs or Requirements(),
                )
            )
    return cases


def attempt(case: Case, batch, outcome=Outcome.PASSED, seconds: float = 0.01) -> Attempt:
    return Attempt(
        case=case.id,
        id=f"{batch.id}/{case.index}",
        outcome=outcome,
        started=0.0,
        finished=seconds,
        batch=batch.id,
        usage=Usage(wall_seconds=seconds),
    )


def sends(commands) -> list:
    return [command.batch for command in commands if isinstance(command, Send)]


def stops(commands) -> list:
    return [command.batch for command in commands if isinstance(command, Stop)]


def dispatcher(*workers: WorkerFacts, rules: Rules | None = None, **history) -> Dispatcher:
    durations = Durations(cases={k: CaseHistory(seconds=v) for k, v in history.items()})
    made = Dispatcher(rules=rules or Rules(), durations=durations)
    for facts in workers:
        made.worker_joined(facts)
    return made


def dispatcher_with(case: Case) -> Dispatcher:
    """One that has only this case to send."""
    it = dispatcher(worker())
    it.add_cases([case], 0.0)
    return it


def known(cases: list[Case], seconds: list[float]) -> Durations:
    return Durations(
        cases={case.id: CaseHistory(seconds=s) for case, s in zip(cases, seconds, strict=True)}
    )
