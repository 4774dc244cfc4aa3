"""A history made up for a demonstration: what happens in it is known, so that all can look.

Written as real journals through the real ledger. In 60 campaigns of an orchard's suite: the press
gets a tenth slower at one commit, sorting gets faster at another, a leak grows slowly, one case
fails by chance, one machine is slower than the other, and one value is odd for no reason.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from pathlib import Path

from ...infra.ledgers.campaigns import campaigns_directory
from ...infra.ledgers.ledger import Ledger
from ...infra.provenance import Revision
from ...infra.records import Attempt, Case, Outcome, Usage, WorkerFacts

PROJECT = "orchard (demonstration)"
CAMPAIGNS = 60
SLOWER_AT = 42
FASTER_AT = 20
RATE_FALLS_AT = 48
# A Monday.
_BEGAN = 1_767_600_000.0
_DAY = 86_400.0
_AREAS = {"press": 8, "sorting": 6, "cellar": 8, "shop": 6}
# A writer's lease must not expire under a clock that stands in the past.
_FOREVER = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A case and how long it takes."""

    case: Case
    area: str
    number: int
    seconds: float


def commit_name(number: int) -> str:
    """The commit of a campaign."""
    return hashlib.sha256(f"commit {number}".encode()).hexdigest()[:40]


def write_demo(state: Path, *, seed: int = 1, campaigns: int = CAMPAIGNS) -> None:
    """Write the history's journals below a state directory."""
    chance = random.Random(seed)
    suite = _suite(chance)
    for number in range(campaigns):
        _campaign(state, number, suite, chance)


def _suite(chance: random.Random) -> list[_Planned]:
    suite: list[_Planned] = []
    for area, count in _AREAS.items():
        for number in range(count):
            file = f"tests/{area}/test_{area}_{number // 4}.py"
            case = Case(id=f"{file}::test_{area}_{number}", group=file, index=len(suite))
            seconds = math.exp(chance.uniform(math.log(0.08), math.log(3)))
            suite.append(_Planned(case=case, area=area, number=number, seconds=seconds))
    return suite


def _campaign(state: Path, number: int, suite: list[_Planned], chance: random.Random) -> None:
    # Nobody works at weekends.
    now = _BEGAN + (number // 5 * 7 + number % 5) * _DAY + chance.uniform(0, 14_400)
    name = f"demo-{number:04d}"
    time_now = [now]
    ledger = Ledger.open(
        campaigns_directory(state) / name,
        campaign=name,
        name="nightly",
        root="/orchard",
        project=PROJECT,
        command=("tests",),
        revision=Revision(commit=commit_name(number), branch="main"),
        environment={"python": "3.12.1" if number < 30 else "3.12.2", "machine": "x86_64"},
        clock=lambda: time_now[0],
        ttl=_FOREVER,
    )
    with ledger:
        for planned in suite:
            ledger.case(planned.case)
        ledger.write("phase", phase="run")
        hosts = {"w1": ("apple", 1.0), "w2": ("pear", 1.15)}
        for worker, (host, _) in hosts.items():
            facts = WorkerFacts(
                name=worker,
                incarnation=name,
                worker_class="cpu",
                slots=1,
                cpu=1,
                memory_bytes=4 << 30,
                host=host,
            )
            ledger.worker(facts, event="joined")
        free = dict.fromkeys(hosts, now + 2.0)
        for planned in chance.sample(suite, len(suite)):
            worker = min(free, key=lambda each: free[each])
            seconds = _seconds(planned, number, chance) * hosts[worker][1]
            attempt = _attempt(planned, number, seconds, chance, worker, free[worker])
            free[worker] = attempt.finished
            time_now[0] = attempt.finished
            ledger.attempt(attempt)
        time_now[0] = max(free.values()) + 1.0
        ledger.write("phase", phase="done")
        ledger.write("close", state="completed", exit_code=0, counts={}, makespan=0.0, slots=2)


def _seconds(planned: _Planned, number: int, chance: random.Random) -> float:
    seconds = planned.seconds * math.exp(chance.gauss(0, 0.03))
    if planned.area == "press" and planned.number < 5 and number >= SLOWER_AT:
        seconds *= 1.12
    if planned.area == "sorting" and number >= FASTER_AT:
        seconds *= 0.8
    if planned.area == "cellar" and planned.number == 0:
        seconds *= 1 + 0.006 * number
    if planned.area == "shop" and planned.number == 3 and number == CAMPAIGNS - 1:
        seconds *= 4
    return seconds


def _attempt(
    planned: _Planned,
    number: int,
    seconds: float,
    chance: random.Random,
    worker: str,
    started: float,
) -> Attempt:
    flaky = planned.area == "shop" and planned.number == 0
    fails = flaky and chance.random() < (0.5 if worker == "w2" else 0.02)
    properties: tuple[tuple[str, str | float], ...] = ()
    if planned.area == "press" and planned.number == 7:
        rate = 240 * math.exp(chance.gauss(0, 0.02)) * (0.85 if number >= RATE_FALLS_AT else 1)
        properties = (("litres", f'{{"value": {rate:.4f}, "unit": "l/min", "better": "higher"}}'),)
    return Attempt(
        case=planned.case.id,
        id=f"{number}-{planned.case.index}",
        outcome=Outcome.FAILED if fails else Outcome.PASSED,
        started=started,
        finished=started + seconds,
        usage=Usage(
            wall_seconds=seconds,
            cpu_seconds=seconds * 0.9,
            peak_memory_bytes=int((60 + planned.number) * 2**20 * math.exp(chance.gauss(0, 0.01))),
        ),
        worker=worker,
        incarnation=f"demo-{number:04d}",
        message="AssertionError: the till is empty" if fails else "",
        properties=properties,
    )
