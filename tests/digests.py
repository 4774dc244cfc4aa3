"""Campaign digests made by hand, for tests of what is built on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count as counter
from typing import Any

from proctor.infra.records import (
    FAILURES,
    Attempt,
    Case,
    Judgement,
    Outcome,
    OutputRef,
    Usage,
    Verdict,
)
from proctor.infra.simulate import lower_bound
from proctor.monitoring.digest import Digest, Sent, count

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
    judgements: Mapping[str, Judgement] | None = None,
    not_run: Sequence[str] = (),
    **fields: Any,
) -> Digest:
    """A campaign of these attempts; the last one of each case decides unless it is told else."""
    by_case: dict[str, tuple[Attempt, ...]] = {}
    for each in attempts:
        by_case[each.case] = (*by_case.get(each.case, ()), each)
    names = [*by_case, *not_run]
    cases = tuple(
        Case(id=name, group=name.partition("::")[0], index=index)
        for index, name in enumerate(names)
    )
    told = judgements or {}
    verdicts = {name: _verdict(name, by_case.get(name, ()), told.get(name)) for name in names}
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
            **fields,
        }
    )


def sent(batch: str, cases: Sequence[int], *, at: float, why: str = "", slot: int = 0) -> Sent:
    """A batch sent so long after the campaign's start."""
    return Sent(id=batch, worker="local-1", slot=slot, at=BEGAN + at, cases=tuple(cases), why=why)


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
        assert each.output is not None
        return self._texts[each.output]


def _verdict(case: str, attempts: Sequence[Attempt], told: Judgement | None) -> Verdict:
    results = [each for each in attempts if each.outcome.is_result]
    last = results[-1] if results else None
    judgement = Judgement.NOT_RUN
    if last is not None:
        failed = any(each.outcome in FAILURES for each in results[:-1])
        flaky = failed and last.outcome is Outcome.PASSED
        judgement = Judgement.FLAKY if flaky else Judgement(last.outcome)
    elif attempts:
        judgement = Judgement.INFRA_LOST
    return Verdict(
        case=case,
        judgement=told or judgement,
        attempts=len(attempts),
        decided_by=last.id if last else "",
        message=last.message if last else "",
        wall_seconds=last.usage.wall_seconds if last else 0.0,
    )
