"""Campaign digests made by hand, for tests of what is built on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count as counter
from types import MappingProxyType
from typing import Any

from proctor.infra.judge import judge_all
from proctor.infra.ledgers.record import SentBatch, Unmet, WorkerEvent
from proctor.infra.records import Attempt, Case, Outcome, OutputRef, Usage, WorkerFacts
from proctor.infra.simulation.campaign import lower_bound
from proctor.monitoring.reports.digest import Digest, count

BEGAN = 1_700_000_000.0
_ids = counter()


def attempt(case: str, outcome: Outcome | str = "passed", **fields: Any) -> Attempt:
    """An attempt; `seconds` and `at` (after the campaign's start) stand for its times."""
    seconds = fields.pop("seconds", 0.1)
    started = BEGAN + fields.pop("at", 1.0)
    usage = replace(Usage(wall_seconds=seconds, cpu_seconds=seconds / 2), **fields.pop("usage", {}))
    return Attempt(
        **{
            "case": case,
            "id": f"a{next(_ids)}",
            "outcome": Outcome(outcome),
            "started": started,
            "finished": started + seconds,
            "usage": usage,
            "worker": "local-1",
            "batch": "b1",
            "epoch": 1,
            **fields,
        }
    )


def digest(
    attempts: Sequence[Attempt],
    *,
    muted: Collection[str] = (),
    not_run: Sequence[str] = (),
    unmet: Mapping[str, Sequence[Unmet]] = MappingProxyType({}),
    **fields: Any,
) -> Digest:
    """A campaign of these attempts, judged."""
    by_case: dict[str, tuple[Attempt, ...]] = {}
    for each in attempts:
        by_case[each.case] = (*by_case.get(each.case, ()), each)
    names = list(dict.fromkeys((*by_case, *not_run, *unmet)))
    cases = tuple(
        Case(id=name, group=name.partition("::")[0], index=index)
        for index, name in enumerate(names)
    )
    left_out = {case: told[-1].reason for case, told in unmet.items()}
    verdicts = judge_all(cases, by_case, muted, left_out)
    slots = fields.pop("slots", 2)
    return Digest(
        **{
            "campaign": "20260101-120000-abcd",
            "name": "sample",
            "state": "completed",
            "root": "/project",
            "project": "p1",
            "command": ("proctor", "run", "tests"),
            "host": "machine",
            "started": BEGAN,
            "finished": BEGAN + 10,
            "exit_code": 0,
            "makespan": 10.0,
            "lower_bound": lower_bound((each.usage.wall_seconds for each in attempts), slots),
            "predicted_makespan": None,
            "slots": slots,
            "cases": cases,
            "attempts": by_case,
            "verdicts": verdicts,
            "counts": count(verdicts.values()),
            "phases": (("collect", BEGAN), ("run", BEGAN + 0.5)),
            "batches": (),
            "news": (),
            "notes": (),
            "unmet": unmet,
            **fields,
        }
    )


def left_out(case: str, *, at: float, epoch: int = 1) -> Unmet:
    """That no worker could run it, so long after the campaign's start."""
    return Unmet(case=case, reason="needs gpu=1", at=BEGAN + at, epoch=epoch)


def sent(
    batch: str, cases: Sequence[int], *, at: float, why: str = "", epoch: int = 1
) -> SentBatch:
    """A batch sent so long after the campaign's start."""
    return SentBatch(
        id=batch,
        worker="local-1",
        slot=0,
        at=BEGAN + at,
        cases=tuple(cases),
        why=why,
        epoch=epoch,
    )


def news(
    event: str, *, at: float, worker: str = "local-1", reason: str = "", gpu: float = 0.0
) -> WorkerEvent:
    """Something that happened to a worker so long after the campaign's start."""
    facts = WorkerFacts(
        name=worker,
        incarnation="i1",
        worker_class="gpu" if gpu else "cpu",
        slots=2,
        cpu=2.0,
        memory_bytes=1 << 30,
        gpu=gpu,
    )
    return WorkerEvent(
        at=BEGAN + at,
        worker=worker,
        incarnation="i1",
        event=event,
        reason=reason,
        facts=facts if event == "joined" else None,
    )


class Texts:
    """Texts of attempts, in the place of an output file."""

    def __init__(self) -> None:
        self._texts: dict[OutputRef, list[tuple[str, str]]] = {}

    def add(self, each: Attempt, *sections: tuple[str, str]) -> Attempt:
        """The attempt with a reference to its text."""
        ref = OutputRef(epoch=1, offset=len(self._texts), length=1)
        self._texts[ref] = list(sections)
        return replace(each, output=ref)

    def __call__(self, each: Attempt) -> Sequence[tuple[str, str]]:
        return () if each.output is None else self._texts[each.output]
