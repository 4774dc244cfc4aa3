"""What live campaigns still need of their fleet: each publishes it, whoever scales sums it up.

How far it has come stands there as well: whoever asks need not read its journals.

A campaign rewrites one small file in its directory about once a second. The file counts while the
campaign's lease is held and the file is fresh, so that a killed campaign asks for nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..dispatching.state import Remaining
from ..errors import StateUnwritable
from ..ledgers.campaigns import campaigns_directory
from ..ledgers.lease import TTL_SECONDS, newest_holder
from ..records import Requirements, WorkerFacts
from ..resources import fits
from ..whole_file import replace_file
from ..worker_classes import WorkerClass

logger = logging.getLogger(__name__)

DEMAND_FILE = "demand.json"
# Touched by a campaign that begins: whoever scales need not wait for its next turn.
ASKED_FILE = "asked"
PUBLISH_SECONDS = 1.0
# A campaign that looks for its cases still needs a slot to do so.
COLLECTING = Remaining(
    needs=Requirements(), work_seconds=1.0, waiting=1, running=0, longest_seconds=0.0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a campaign has come, for who looks on from outside."""

    # As the ledger calls it.
    phase: str
    # Cases that are known by now: those that are done, by how they ended, and the others.
    total: int
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    # The most that were there at a time.
    slots: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one campaign has left to do."""

    campaign: str
    epoch: int
    at: float
    # The address of the fleet it runs on: it wants nothing of others.
    fleet: str
    remaining: tuple[Remaining, ...] = ()
    # Versions before this one did not say it.
    reached: Reached | None = None

    @property
    def work_seconds(self) -> float:
        return sum(each.work_seconds for each in self.remaining)


@dataclass(slots=True, kw_only=True)
class ClassDemand:
    """What workers of one class are to do, for all campaigns together."""

    # Predicted work, in seconds of a whole worker with all its slots.
    worker_seconds: float = 0.0
    # So many workers could be busy at a time: more would have no case to run.
    useful: float = 0.0
    longest_seconds: float = 0.0
    waiting: int = 0
    running: int = 0
    # What joined from elsewhere and can do all of it, in workers of the class.
    joined: float = 0.0

    @property
    def cases(self) -> int:
        return self.waiting + self.running


class Publisher:
    """Writes one campaign's demand."""

    def __init__(
        self, directory: Path, *, epoch: int, fleet: str, clock: Callable[[], float]
    ) -> None:
        self._directory = directory
        self._epoch = epoch
        self._fleet = fleet
        self._clock = clock
        self._due = 0.0
        self._asked = False

    def refresh(
        self,
        now: float,
        remaining: Callable[[], Sequence[Remaining]],
        reached: Callable[[], Reached],
    ) -> None:
        """Write what is done and what is left, unless that was done within the last second."""
        if now < self._due:
            return
        self._due = now + PUBLISH_SECONDS
        demand = Demand(
            campaign=self._directory.name,
            epoch=self._epoch,
            at=self._clock(),
            fleet=self._fleet,
            remaining=tuple(remaining()),
            reached=reached(),
        )
        try:
            write_demand(self._directory / DEMAND_FILE, demand)
            if demand.remaining and not self._asked:
                self._asked = True
                ask(self._directory.parent.parent)
        except StateUnwritable as problem:
            # The cases run all the same, on what workers there are.
            logger.warning("%s", problem)

    def withdraw(self) -> None:
        """Nothing is left."""
        (self._directory / DEMAND_FILE).unlink(missing_ok=True)


def ask(state: Path) -> None:
    """Have the fleet of a state directory looked at now, if one is kept there."""
    directory = state / "fleet"
    if directory.is_dir():
        replace_file(directory / ASKED_FILE, "")


def write_demand(path: Path, demand: Demand) -> None:
    replace_file(path, json.dumps(asdict(demand), default=sorted))


def read_demand(path: Path) -> Demand | None:
    """None when there is none, or one of another version."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        fields: dict[str, Any] = {**given, "remaining": tuple(map(_remaining, given["remaining"]))}
        fields["reached"] = _reached(told) if (told := given.get("reached")) else None
        return Demand(**fields)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        return None


def live_demands(state: Path, *, now: float) -> list[Demand]:
    """What all campaigns that are being run now have left."""
    found: list[Demand] = []
    for path in sorted(campaigns_directory(state).glob(f"*/{DEMAND_FILE}")):
        demand = read_demand(path)
        if demand is None or now - demand.at > TTL_SECONDS:
            continue
        holder = newest_holder(path.parent)
        if holder is not None and holder.epoch == demand.epoch and holder.is_holding(now):
            found.append(demand)
    return found


def by_class(
    demands: Iterable[Demand],
    classes: Mapping[str, WorkerClass],
    joined: Sequence[WorkerFacts] = (),
) -> tuple[dict[str, ClassDemand], list[Requirements]]:
    """What each class is to do, and needs that no class can serve.

    Work goes to the cheapest class that can do it: GPUs are not bought for what a plain worker
    runs as well.
    """
    offers = _offers(classes)
    sums = {name: ClassDemand() for name in classes}
    needs: dict[str, set[Requirements]] = {name: set() for name in classes}
    unfit: list[Requirements] = []
    for demand in demands:
        for each in demand.remaining:
            facts = next((offer for offer in offers if fits(each.needs, offer)), None)
            if facts is None:
                if not any(fits(each.needs, worker) for worker in joined):
                    unfit.append(each.needs)
                continue
            at_once = concurrency(each.needs, facts)
            total = sums[facts.worker_class]
            total.worker_seconds += each.work_seconds / at_once
            total.useful += (each.waiting + each.running) / at_once
            total.longest_seconds = max(total.longest_seconds, each.longest_seconds)
            total.waiting += each.waiting
            total.running += each.running
            needs[facts.worker_class].add(each.needs)
    for offer in offers:
        name = offer.worker_class
        asked = needs[name] or {Requirements()}
        for worker in joined:
            # Others may help as well; what counts here must do whatever the class would.
            if worker.worker_class == name and all(fits(each, worker) for each in asked):
                sums[name].joined += min(
                    concurrency(each, worker) / concurrency(each, offer) for each in asked
                )
    return sums, unfit


def concurrency(needs: Requirements, facts: WorkerFacts) -> int:
    """How many such cases one worker runs at a time."""
    room = [float(facts.slots)]
    for asked, there in (
        (needs.cpu, facts.cpu),
        (float(needs.memory_bytes), float(facts.memory_bytes)),
        (needs.gpu, facts.gpu),
    ):
        if asked > 0:
            room.append(there / asked)
    return max(1, int(min(room) + 1e-9))


def _offers(classes: Mapping[str, WorkerClass]) -> list[WorkerFacts]:
    """One worker of each class there may be, the cheapest first."""
    possible = [each for each in classes.values() if each.maximum != 0]
    possible.sort(key=lambda each: (each.cost_per_hour, each.gpu, each.memory_bytes, each.name))
    return [each.facts(1) for each in possible]


def _reached(given: Mapping[str, Any]) -> Reached:
    counts: dict[str, int] = dict(given["counts"])
    return Reached(phase=given["phase"], total=given["total"], counts=counts, slots=given["slots"])


def _remaining(given: Mapping[str, Any]) -> Remaining:
    needs: dict[str, Any] = {**given["needs"], "tags": frozenset(given["needs"]["tags"])}
    fields: dict[str, Any] = {**given, "needs": Requirements(**needs)}
    return Remaining(**fields)
