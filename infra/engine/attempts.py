"""A runner's message about a finished case, turned into an attempt."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..dispatching.batches import Batch
from ..records import Attempt, Case, Outcome, Usage
from ..runners.spec import KERNEL_KILL

Text = Sequence[tuple[str, str]]

# Kills that may be somebody else's, of one case in one campaign.
EXCUSED_KILLS = 2
_EXCUSE = ", by it or by somebody else: it runs once more"


def attempt_id(message: Mapping[str, Any]) -> str:
    """One execution: of this writer's epoch, this batch, this case."""
    return f"{message['e']}.{message['b']}.{message['id']}"


def attempt_of(message: Mapping[str, Any]) -> tuple[Attempt, Text]:
    """The attempt a `done` message tells of, and its text."""
    attempt = Attempt(
        case=message["id"],
        id=attempt_id(message),
        outcome=Outcome(message["outcome"]),
        started=message["t0"],
        finished=message["t1"],
        usage=Usage(
            wall_seconds=message["t1"] - message["t0"],
            cpu_seconds=message.get("cpu", 0.0),
            peak_memory_bytes=message.get("peak", 0),
            read_bytes=message.get("read", 0),
            write_bytes=message.get("write", 0),
            gpu_utilisation=message.get("gpu"),
            gpu_memory_bytes=message.get("gpu_memory"),
            setup_seconds=message.get("setup", 0.0),
            call_seconds=message.get("call", 0.0),
            teardown_seconds=message.get("teardown", 0.0),
            shared_setup_seconds=message.get("shared", 0.0),
        ),
        worker=message["w"],
        incarnation=message["i"],
        slot=message["s"],
        batch=message["b"],
        epoch=message["e"],
        message=message.get("message", ""),
        properties=tuple((name, value) for name, value in message.get("props", ())),
        notes=tuple(message.get("notes", ())),
    )
    return attempt, [(section, text) for section, text in message.get("text", ())]


class Excuses:
    """Cases whose process was killed, by nobody knows whom.

    A case seldom kills its own process with SIGKILL; operators and kernels that run out of memory
    do. It is excused at first, and when it dies once more, alone then: two accidents happen to
    one case in thousands. Who dies alone again has no such excuse.
    """

    def __init__(self, infra_retries: int) -> None:
        self._most = most_excused(infra_retries)
        self._killed: Counter[str] = Counter()

    def remember(self, past: Iterable[Attempt]) -> None:
        """Take in what was excused before the campaign was interrupted."""
        self._killed.update(each.case for each in past if is_excused(each))

    def judge(self, attempt: Attempt) -> Attempt:
        """The same execution, taken for one that somebody else ended if that may be."""
        if not is_killed(attempt) or self._killed[attempt.case] >= self._most:
            return attempt
        self._killed[attempt.case] += 1
        return replace(
            attempt,
            outcome=Outcome.INFRA_LOST,
            message=f"its process was {attempt.message}{_EXCUSE}",
        )


def most_excused(infra_retries: int) -> int:
    """How often a case may be killed unblamed: its budget of losses is not spent on that."""
    return min(EXCUSED_KILLS, infra_retries)


def is_killed(attempt: Attempt) -> bool:
    """Whether nobody can tell who ended its process, or for whose sake the kernel did."""
    told = {Outcome.CRASHED: "killed by SIGKILL", Outcome.OUT_OF_MEMORY: KERNEL_KILL}
    return attempt.message.startswith(told.get(attempt.outcome, "\0"))


def is_excused(attempt: Attempt) -> bool:
    """Whether it is a kill that nobody was blamed for."""
    return attempt.outcome is Outcome.INFRA_LOST and attempt.message.endswith(_EXCUSE)


def lost_attempt(
    batch: Batch,
    case: Case,
    *,
    epoch: int,
    incarnation: str,
    started: float,
    now: float,
    why: str,
    outcome: Outcome = Outcome.INFRA_LOST,
) -> Attempt:
    """The execution that a dying worker, or we, took away; nobody blames the case."""
    return Attempt(
        case=case.id,
        id=f"{epoch}.{batch.id}.{case.id}",
        outcome=outcome,
        started=started,
        finished=now,
        worker=batch.slot.worker,
        incarnation=incarnation,
        slot=batch.slot.number,
        batch=batch.id,
        epoch=epoch,
        message=why,
    )


def surplus(attempt: Attempt) -> Attempt:
    """The same execution where another had settled the case: whichever came first decides."""
    why = f"it was executed once more and {attempt.outcome}: another had settled it"
    return replace(attempt, outcome=Outcome.CANCELLED, message=why)


def settled_unrun(case: Case, outcome: Outcome, why: str, *, batch: str, epoch: int) -> Attempt:
    """What stands for a case, or a whole file, of which nothing ran, and why."""
    now = time.time()
    return Attempt(
        case=case.id,
        id=f"{epoch}.{batch}.{case.id}",
        outcome=outcome,
        started=now,
        finished=now,
        batch=batch,
        epoch=epoch,
        message=why,
    )
