"""A cluster in memory: does what its script says, behind the methods of `Cluster`.

For tests of everything above Dask. Nothing runs and nobody waits: what a batch comes to stands in
the queue as soon as it was sent, so that a campaign over it takes milliseconds.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ..errors import FleetUnavailable
from ..records import WorkerFacts
from ..runners.orders import Act, SlotOrder
from ..runners.spec import Message, ended
from .happenings import Ended, Happening, Joined, Left, Messages

# What an execution can come to beside the outcomes of `records.Outcome`.
HANGS = "hangs"
KILLS_WORKER = "kills-worker"
NOT_FOUND = "not-found"
DESELECTED = "deselected"
SKIPS_ITSELF = "skips-itself"
NOT_IMPORTABLE = "not-importable"


@dataclass(slots=True, kw_only=True)
class Script:
    """What is to be found, and what executions come to."""

    # Ids of cases, for a campaign that collects; the part before :: is the file.
    suite: Sequence[str] = ()
    # By case: one word an execution, the last one for all that follow; "passed" for others.
    outcomes: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    # What files hold when they are looked into; by default what the batch asks of them.
    holds: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    # Files that cannot be collected, with what pytest says of each.
    uncollectable: Mapping[str, str] = field(default_factory=dict[str, str])
    # Problems that sessions meet before they can do anything, one an order, by kind.
    problems: Sequence[tuple[str, str]] = ()
    # By worker: what every execution comes to on it, whatever the case.
    sick: Mapping[str, str] = field(default_factory=dict[str, str])
    # By worker: the kind of problem that each of its sessions meets at its start.
    bare: Mapping[str, str] = field(default_factory=dict[str, str])
    # Workers on which no session can do anything, though they start.
    broken: Sequence[str] = ()
    # By worker: how many batches it does not begin for lack of memory.
    short: Mapping[str, int] = field(default_factory=dict[str, int])
    # Records that no ledger has heard of.
    kept: Sequence[Message] = ()


class FakeCluster:
    """Workers that answer at once."""

    address = "inproc://fake"
    # Of files that are not there: nobody takes an inventory of them.
    hello: Mapping[str, Any] = MappingProxyType({"arguments": ["scripted"]})

    def __init__(self, workers: Sequence[WorkerFacts], script: Script | None = None) -> None:
        self.happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self.script = script or Script()
        # Everything that was sent, with the worker it was sent to.
        self.orders: list[tuple[SlotOrder, str]] = []
        self.stopped: list[tuple[str, bool]] = []
        self.forgotten = False
        self.fences: list[int] = []
        self.executions: dict[str, int] = {}
        self._workers = {facts.name: facts for facts in workers}
        self._hanging: dict[str, tuple[SlotOrder, list[str]]] = {}
        self._problems = list(self.script.problems)
        self._short = dict(self.script.short)
        self._lives = 0
        for facts in workers:
            self.happenings.put(Joined(facts=facts))

    # As Cluster has them --------------------------------------------------------------------

    def watch_roster(self, now: float) -> None:
        """Nobody comes or goes but by the script."""

    def wait_for_workers(self, deadline_seconds: float) -> None:
        if not self._workers:
            raise FleetUnavailable(f"the scheduler has no worker after {deadline_seconds:g} s")

    def roster(self) -> tuple[WorkerFacts, ...]:
        return tuple(self._workers.values())

    def send(self, order: SlotOrder, worker: str) -> None:
        self.orders.append((order, worker))
        if self._problems and order.act is not Act.FINISH:
            kind, text = self._problems.pop(0)
            told = {"reason": "problem", "problem": kind, "message": text, "remedy": ""}
            self._end(order, worker, told)
            return
        if worker in self.script.bare and order.act is not Act.FINISH:
            kind = self.script.bare[worker]
            self._end(order, worker, {"reason": "problem", "problem": kind, "message": "no pytest"})
            return
        if worker in self.script.broken and order.act is Act.RUN:
            told = {"reason": "problem", "problem": "InfrastructureProblem", "message": "no room"}
            self._end(order, worker, told)
            return
        if order.act is Act.RUN and self._short.get(worker):
            self._short[worker] -= 1
            told = {"reason": "memory", "why": "nothing is left", "left": [], "died": False}
            self._end(order, worker, told)
            return
        match order.act:
            case Act.WARM | Act.FINISH:
                self._end(order, worker, {"reason": str(order.act)})
            case Act.COLLECT:
                self._collect(order, worker)
            case Act.RUN:
                self._run(order, worker)

    def stop(self, batch: str, worker: str, *, kill: bool) -> None:
        self.stopped.append((batch, kill))
        hanging = self._hanging.pop(batch, None) if kill else None
        if hanging is not None:
            order, left = hanging
            self._end(order, worker, {"left": left, "reason": "interrupted", "died": True})

    def fence(self, epoch: int, deadline_seconds: float) -> None:
        del deadline_seconds
        self.fences.append(epoch)

    def outboxes(self) -> Iterable[Mapping[str, Any]]:
        return list(self.script.kept)

    def let_go(self, epoch: int) -> None:
        """What runs was stopped by name."""

    def forget_campaign(self) -> None:
        self.forgotten = True

    def drop(self, batch: str) -> None:
        self._hanging.pop(batch, None)

    def close(self) -> None:
        self._hanging.clear()

    # The script -----------------------------------------------------------------------------

    def _collect(self, order: SlotOrder, worker: str) -> None:
        for case in self.script.suite:
            self._say(order, worker, {"k": "item", "id": case, "file": _file(case), "marks": []})
        for file, text in self.script.uncollectable.items():
            told = {"k": "collect-error", "id": file, "file": file, "text": text}
            self._say(order, worker, told)
        code = 2 if self.script.uncollectable else 0
        found = {"k": "collected", "file": None, "ids": list(self.script.suite), "exit": code}
        told = {"reason": "collected", "collected": found, "hello": self.hello}
        self._end(order, worker, told)

    def _run(self, order: SlotOrder, worker: str) -> None:
        assert order.order is not None, "an order to run says what"
        cases = [work.id for work in order.order.work]
        for file in dict.fromkeys(map(_file, cases)):
            if file in self.script.holds:
                ids = list(self.script.holds[file])
                told = {"k": "collected", "file": file, "ids": ids, "errors": 0, "seconds": 0.01}
                self._say(order, worker, told)
        for place, case in enumerate(cases):
            word = self.script.sick.get(worker) or self._next_word(case)
            if word in (NOT_FOUND, DESELECTED, SKIPS_ITSELF):
                if word == SKIPS_ITSELF:
                    told = {"k": "skipped-file", "id": _file(case), "text": "not here"}
                    self._say(order, worker, told)
                why = "deselected" if word == DESELECTED else "not found"
                self._say(order, worker, {"k": "missing", "id": case, "why": why})
                continue
            if word == NOT_IMPORTABLE:
                self._say_broken(order, worker, _file(case))
                word = "error"
            self._say(order, worker, {"k": "start", "id": case, "t": 1.0})
            if word == HANGS:
                self._hanging[order.name] = (order, cases[place:])
                return
            if word == KILLS_WORKER:
                self._lose(worker)
                return
            done = ended(case, outcome=word, started=1.0, finished=1.5, message=_why(word))
            self._say(order, worker, done)
        self._end(order, worker, {"left": [], "reason": "", "died": False})

    def _say_broken(self, order: SlotOrder, worker: str, file: str) -> None:
        told = {"k": "collect-error", "id": file, "file": file, "text": "E   ImportError"}
        self._say(order, worker, told)
        told = {"k": "collected", "file": file, "ids": [], "errors": 1, "seconds": 0.01}
        self._say(order, worker, told)

    def _next_word(self, case: str) -> str:
        number = self.executions[case] = self.executions.get(case, 0) + 1
        words = self.script.outcomes.get(case, ("passed",))
        return words[min(number, len(words)) - 1]

    def _lose(self, worker: str) -> None:
        old = self._workers[worker]
        self._lives += 1
        new = self._workers[worker] = replace(old, incarnation=f"life-{self._lives}")
        self.happenings.put(
            Left(worker=worker, incarnation=old.incarnation, reason="it was killed")
        )
        self.happenings.put(Joined(facts=new))

    def _say(self, order: SlotOrder, worker: str, message: Message) -> None:
        message.update(
            b=order.name,
            e=order.epoch,
            w=worker,
            i=self._workers[worker].incarnation,
            s=order.slot,
        )
        self.happenings.put(Messages(messages=(message,)))

    def _end(self, order: SlotOrder, worker: str, result: Message) -> None:
        # Twice, as from Dask: the worker's own word, and the end of the task.
        self._say(order, worker, {"k": "end", "result": result})
        self.happenings.put(Ended(batch=order.name, result={}))

    def sent(self, act: Act) -> Iterator[SlotOrder]:
        """The orders of that kind, in order."""
        return (order for order, _ in self.orders if order.act is act)


def _file(case: str) -> str:
    return case.partition("::")[0]


def _why(word: str) -> str:
    return "" if word == "passed" else f"it was {word}"
