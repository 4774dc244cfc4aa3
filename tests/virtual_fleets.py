"""Scripted workers on a virtual clock: they keep outboxes, die, freeze and thaw."""

from __future__ import annotations

import heapq
import queue
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from virtual_plays import BEGAN, Play, VirtualClock

from proctor.infra.engine.fakes import KILLS_WORKER
from proctor.infra.engine.happenings import Ended, Happening, Joined, Left, Messages
from proctor.infra.records import WorkerFacts
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.infra.runners.outbox import Outbox
from proctor.infra.runners.spec import ended

MESSAGE_SECONDS = 0.005
NOTICE_SECONDS = 0.3
RESTART_SECONDS = 1.0
# No campaign here takes so long: one that does hangs.
MOST_SECONDS = 200.0


class Hangs(AssertionError):
    """A campaign goes on and on."""


class Dies(BaseException):
    """The campaign's process is killed."""


@dataclass(slots=True)
class _Life:
    """A worker's process."""

    facts: WorkerFacts
    alive: bool = True
    thaws: float = 0.0
    # Whether the campaign's side takes it for there.
    listed: bool = True
    lines: dict[int, deque[SlotOrder]] = field(default_factory=dict[int, "deque[SlotOrder]"])
    running: dict[int, str] = field(default_factory=dict[int, str])
    stopped: set[str] = field(default_factory=set[str])
    killed: set[str] = field(default_factory=set[str])
    fenced: int = 0


class VirtualFleet:
    """Workers on a virtual clock, behind the methods of `Cluster`."""

    address = "inproc://virtual"

    def __init__(self, play: Play, clock: VirtualClock, scratch: Path) -> None:
        self.happenings: Any = self
        self.executions: dict[str, int] = {}
        self._play, self._clock, self._scratch = play, clock, scratch
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._ready: deque[Happening] = deque()
        self._lives = {facts.name: _Life(facts) for facts in play.workers}
        self._births = count(1)
        self._dropped: set[str] = set()
        self._deaths = deque(play.deaths)
        for seconds, worker in play.kills:
            self._at(BEGAN + seconds, lambda worker=worker: self._kill(worker))
        for seconds, facts in play.joins:
            self._at(BEGAN + seconds, lambda facts=facts: self._join(facts))
        for seconds, worker, length in play.freezes:
            self._at(
                BEGAN + seconds,
                lambda worker=worker, length=length: self._freeze(worker, length),
            )

    # As the queue of happenings ---------------------------------------------------------------

    def get(self, timeout: float) -> Happening:
        until = self._clock.now + timeout
        while True:
            if self._deaths and self._clock.now >= BEGAN + self._deaths[0]:
                self._deaths.popleft()
                raise Dies
            if self._clock.now > BEGAN + MOST_SECONDS:
                raise Hangs(self._play.name)
            if self._ready:
                return self._ready.popleft()
            if not self._events or self._events[0][0] > until:
                self._clock.now = until
                raise queue.Empty
            when, _, happen = heapq.heappop(self._events)
            self._clock.now = max(self._clock.now, when)
            happen()

    def get_nowait(self) -> Happening:
        if not self._ready:
            raise queue.Empty
        return self._ready.popleft()

    # As Cluster has them ----------------------------------------------------------------------

    def attach(self) -> None:
        """A campaign's process connects; what was said to an earlier one is gone."""
        self._ready.clear()
        self._dropped.clear()
        for life in self._lives.values():
            if life.alive:
                life.listed = True
                self._ready.append(Joined(facts=life.facts))

    def watch_roster(self, now: float) -> None: ...
    def wait_for_workers(self, deadline_seconds: float) -> None: ...

    def roster(self) -> tuple[WorkerFacts, ...]:
        return tuple(life.facts for life in self._lives.values() if life.listed)

    def send(self, order: SlotOrder, worker: str) -> None:
        life = self._lives[worker]
        self._at(self._clock.now + MESSAGE_SECONDS, lambda: self._receive(life, order))

    def stop(self, batch: str, worker: str, *, kill: bool) -> None:
        life = self._lives.get(worker)
        if life is not None:
            life.stopped.add(batch)
            if kill:
                life.killed.add(batch)

    def suspect(self, worker: str, reason: str) -> None:
        life = self._lives[worker]
        if life.listed:
            life.listed = False
            incarnation = life.facts.incarnation
            self._ready.append(Left(worker=worker, incarnation=incarnation, reason=reason))
            # A supervisor ends what does not answer, and starts it anew.
            self._at(self._clock.now + NOTICE_SECONDS, lambda: self._replace(life))

    def fence(self, epoch: int, deadline_seconds: float) -> None:
        del deadline_seconds
        for life in self._lives.values():
            life.fenced = max(life.fenced, epoch)
            # What runs is killed, and waited for.
            life.running.clear()
            life.lines.clear()

    def outboxes(self) -> list[Mapping[str, Any]]:
        # All outboxes lie on the one disk there is.
        return []

    def forget_campaign(self) -> None: ...

    def drop(self, batch: str) -> None:
        self._dropped.add(batch)

    def close(self) -> None: ...

    # Workers ----------------------------------------------------------------------------------

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _receive(self, life: _Life, order: SlotOrder) -> None:
        if not life.alive:
            return
        if order.act is not Act.RUN:
            self._say(life, order, {"k": "end", "result": {"reason": str(order.act)}})
            return
        life.lines.setdefault(order.slot, deque()).append(order)
        self._next_batch(life, order.slot)

    def _next_batch(self, life: _Life, slot: int) -> None:
        waiting = life.lines.get(slot)
        if slot in life.running or not waiting:
            return
        order = waiting.popleft()
        if order.epoch < life.fenced:
            return
        assert order.order is not None
        life.running[slot] = order.name
        self._pulse(life, order)
        self._next_case(life, order, [work.id for work in order.order.work], self._clock.now)

    def _pulse(self, life: _Life, order: SlotOrder) -> None:
        if not life.alive or life.running.get(order.slot) != order.name:
            return
        if not self._is_frozen(life, lambda: self._pulse(life, order)):
            self._say(life, order, {"k": "pulse"}, quiet=True)
            self._at(self._clock.now + 1.0, lambda: self._pulse(life, order))

    def _next_case(self, life: _Life, order: SlotOrder, left: list[str], began: float) -> None:
        if not life.alive or self._is_frozen(
            life, lambda: self._next_case(life, order, left, began)
        ):
            return
        assert order.order is not None
        budget = order.order.budget_seconds
        spent = budget is not None and self._clock.now - began >= budget > 0
        cut = order.name in life.stopped or order.epoch < life.fenced
        begun = self._clock.now > began
        if not left or (begun and spent) or cut:
            self._end(life, order, left)
            return
        case = left[0]
        number = self.executions[case] = self.executions.get(case, 0) + 1
        started = self._clock.now
        self._say(life, order, {"k": "start", "id": case, "t": started})
        if self._word(case, number) == KILLS_WORKER:
            self._at(started + 0.05, lambda: self._kill(life.facts.name))
        finished = started + self._play.seconds.get(case, 0.1)
        self._at(
            finished,
            lambda: self._case_over(life, order, left, began, started=started, number=number),
        )
        self._watch_kill(life, order, left, finished)

    def _watch_kill(self, life: _Life, order: SlotOrder, left: list[str], until: float) -> None:
        """A batch that is killed ends at once, in the middle of its case."""
        if not life.alive or life.running.get(order.slot) != order.name:
            return
        if order.name in life.killed or order.epoch < life.fenced:
            self._end(life, order, left, died=True)
        elif self._clock.now + 0.1 < until:
            self._at(self._clock.now + 0.1, lambda: self._watch_kill(life, order, left, until))

    def _case_over(
        self,
        life: _Life,
        order: SlotOrder,
        left: list[str],
        began: float,
        *,
        started: float,
        number: int,
    ) -> None:
        if not life.alive or life.running.get(order.slot) != order.name:
            return
        # A frozen process has done nothing meanwhile.
        if self._is_frozen(
            life,
            lambda: self._case_over(life, order, left, began, started=started, number=number),
        ):
            return
        case = left[0]
        word = self._word(case, number)
        done = ended(
            case,
            outcome=word,
            started=started,
            finished=self._clock.now,
            message="" if word == "passed" else f"it was {word}",
        )
        self._say(life, order, done)
        if case in self._play.late:
            told = {"k": "late", "id": case, "outcome": "error", "message": "teardown failed"}
            self._say(life, order, told)
        self._next_case(life, order, left[1:], began)

    def _word(self, case: str, number: int) -> str:
        words = self._play.outcomes.get(case, ("passed",))
        return words[min(number, len(words)) - 1]

    def _end(self, life: _Life, order: SlotOrder, left: list[str], *, died: bool = False) -> None:
        life.running.pop(order.slot, None)
        result = {"left": left, "reason": "", "died": died}
        self._say(life, order, {"k": "end", "result": result})
        self._at(
            self._clock.now + 2 * MESSAGE_SECONDS,
            lambda: self._tell(Ended(batch=order.name, result={})),
        )
        self._at(self._clock.now, lambda: self._next_batch(life, order.slot))

    def _say(
        self, life: _Life, order: SlotOrder, message: dict[str, Any], *, quiet: bool = False
    ) -> None:
        told = {
            **message,
            "b": order.name,
            "e": order.epoch,
            "w": life.facts.name,
            "i": life.facts.incarnation,
            "s": order.slot,
        }
        if not quiet:
            Outbox.of(self._scratch, order.campaign, life.facts.incarnation).keep(told)
        for _ in range(2 if self._play.twice else 1):
            self._at(
                self._clock.now + MESSAGE_SECONDS,
                lambda: self._tell(Messages(messages=(dict(told),))),
            )

    def _tell(self, happening: Happening) -> None:
        self._ready.append(happening)

    def _is_frozen(self, life: _Life, again: Callable[[], None]) -> bool:
        if life.thaws > self._clock.now:
            self._at(life.thaws, again)
            return True
        return False

    # Faults -----------------------------------------------------------------------------------

    def _kill(self, worker: str) -> None:
        life = self._lives[worker]
        life.alive = False
        self._at(self._clock.now + NOTICE_SECONDS, lambda: self._bury(life))
        self._at(self._clock.now + RESTART_SECONDS, lambda: self._born(worker))

    def _bury(self, life: _Life) -> None:
        if life.listed:
            life.listed = False
            facts = life.facts
            self._tell(
                Left(worker=facts.name, incarnation=facts.incarnation, reason="it was killed")
            )

    def _replace(self, life: _Life) -> None:
        if life.alive:
            life.alive = False
            self._at(self._clock.now + RESTART_SECONDS, lambda: self._born(life.facts.name))

    def _born(self, worker: str) -> None:
        old = self._lives[worker].facts
        self._join(replace(old, incarnation=f"{worker}-life-{next(self._births)}"))

    def _join(self, facts: WorkerFacts) -> None:
        self._lives[facts.name] = _Life(facts)
        self._tell(Joined(facts=facts))

    def _freeze(self, worker: str, seconds: float) -> None:
        self._lives[worker].thaws = self._clock.now + seconds
