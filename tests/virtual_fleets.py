"""Whole campaigns on a virtual clock: the real dispatcher, ledger and recovery, scripted workers.

Workers keep outboxes, die, freeze and thaw, and the campaign's process dies and is resumed by
another one. A campaign of a minute takes some milliseconds, and the same script always gives the
same journal but for process ids.
"""

from __future__ import annotations

import heapq
import json
import queue
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from proctor.infra import judge as judging
from proctor.infra.dispatching.batches import Rules, Slot
from proctor.infra.engine import campaign as campaign_module
from proctor.infra.engine import recovery as recovering
from proctor.infra.engine.campaign import Campaign
from proctor.infra.engine.collect import Collection
from proctor.infra.engine.fakes import KILLS_WORKER
from proctor.infra.engine.happenings import Ended, Happening, Joined, Left, Messages
from proctor.infra.engine.job import Job
from proctor.infra.errors import ProctorError
from proctor.infra.ledgers import record as reading
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.records import Attempt, Case, Outcome, WorkerFacts
from proctor.infra.runners.orders import Act, SlotOrder
from proctor.infra.runners.outbox import Outbox
from proctor.infra.runners.spec import RunnerSpec, ended
from proctor.infra.timings import Timings

BEGAN = 1_800_000_000.0
FOREVER = 1e12
MESSAGE_SECONDS = 0.005
NOTICE_SECONDS = 0.3
RESTART_SECONDS = 1.0
COMMIT_SECONDS = 0.2
# No campaign here takes so long: one that does hangs.
MOST_SECONDS = 200.0
ONE_RETRY = Rules(retries=1)


class Hangs(AssertionError):
    """A campaign goes on and on."""


class Dies(BaseException):
    """The campaign's process is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What there is to run, on what, and what happens meanwhile."""

    name: str
    cases: Sequence[Case]
    workers: Sequence[WorkerFacts]
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    # By case: one outcome an execution, the last one for all that follow.
    outcomes: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    # Cases whose wider fixture fails in its teardown, after they had passed.
    late: frozenset[str] = frozenset()
    # Cases of which nobody tells the duration in advance are guessed.
    known: bool = True
    rules: Rules = ONE_RETRY
    # Seconds from the beginning to a worker that is killed, or frozen for some seconds.
    kills: Sequence[tuple[float, str]] = ()
    freezes: Sequence[tuple[float, str, float]] = ()
    # When the campaign's process is killed; who comes after it goes on.
    deaths: Sequence[float] = ()
    # Lines that the dead writer still writes when another has taken over.
    zombie: bool = False
    # Every message arrives twice.
    twice: bool = False
    muted: frozenset[str] = frozenset()
    # Its faults cost more than the campaign's budget: verdicts are not those of a calm day.
    lossy: bool = False


class VirtualClock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = BEGAN

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - BEGAN + 1000.0


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
        facts = replace(old, incarnation=f"{worker}-life-{next(self._births)}")
        self._lives[worker] = _Life(facts)
        self._tell(Joined(facts=facts))

    def _freeze(self, worker: str, seconds: float) -> None:
        self._lives[worker].thaws = self._clock.now + seconds


class _Unwatched:
    def phase(self, name: str) -> None: ...
    def cases(self, total: int, predicted_seconds: float) -> None: ...
    def running(self, case: Case, slot: Slot) -> None: ...
    def attempt(self, case: Case, attempt: Attempt) -> None: ...
    def note(self, text: str) -> None: ...


@contextmanager
def _virtual_time(clock: VirtualClock) -> Iterator[None]:
    real = campaign_module.time
    campaign_module.time = clock  # type: ignore[assignment]
    try:
        yield
    finally:
        campaign_module.time = real


def perform(play: Play, state: Path) -> Path:
    """Run a play to its end, through all deaths of its process; the campaign's directory."""
    clock = VirtualClock()
    directory = state / "campaigns" / play.name
    fleet = VirtualFleet(play, clock, state / "scratch")
    dead: Path | None = None
    _write_faults(play, state)
    with _virtual_time(clock):
        while True:
            ledger = _open(play, directory, clock)
            if dead is not None and play.zombie:
                _write_on(dead, play, clock)
            try:
                _conduct(play, ledger, fleet, clock, resumed=dead is not None)
            except Dies:
                dead = directory / f"ledger-{ledger.epoch:06d}.jsonl"
                ledger.abandon()
                clock.now += 5.0
                continue
            except ProctorError as problem:
                # As flows/conduct.py does it.
                ledger.write("note", level="error", text=str(problem))
                _close(ledger, clock, state="failed")
                raise
            except BaseException:
                ledger.abandon()
                raise
            return directory


def _open(play: Play, directory: Path, clock: VirtualClock) -> Ledger:
    ledger = Ledger.open(
        directory,
        campaign=play.name,
        settings={
            "rules": {
                "retries": play.rules.retries,
                "infra_retries": play.rules.infra_retries,
                "maxfail": play.rules.maxfail,
            }
        },
        clock=clock.time,
        ttl=FOREVER,
    )
    # Commits come by the virtual clock, too: what is not committed dies with its process.
    ledger._journal._monotonic = clock.monotonic
    ledger._journal._committed_at = clock.monotonic()
    return ledger


def _write_faults(play: Play, state: Path) -> None:
    """What an injector would have recorded."""
    told = [(at, "kill", worker, 0.0) for at, worker in play.kills]
    told += [(at, "freeze", worker, length) for at, worker, length in play.freezes]
    recorders = state / "recorders" / play.name
    recorders.mkdir(parents=True, exist_ok=True)
    lines = [
        {
            "k": "fault",
            "t": BEGAN + at,
            "id": f"f{at}",
            "fault": kind,
            "target": f"worker:{worker}",
            "event": "injected",
            "until": BEGAN + at + length,
        }
        for at, kind, worker, length in told
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (recorders / "faults.jsonl").write_text(text)


def _write_on(journal: Path, play: Play, clock: VirtualClock) -> None:
    """A writer that was only asleep says that a case has passed, which never ran."""
    epoch = int(journal.stem.partition("-")[2])
    case = play.cases[-1]
    line = (
        f'{{"k":"attempt","t":{clock.now + 2},"case":"{case.id}",'
        f'"id":"{epoch}.b900.{case.id}","outcome":"passed","started":{clock.now},'
        f'"finished":{clock.now + 1},"worker":"{play.workers[0].name}",'
        f'"incarnation":"{play.workers[0].incarnation}","batch":"b900","epoch":{epoch}}}\n'
    )
    with journal.open("ab") as file:
        file.write(line.encode())


def _conduct(
    play: Play, ledger: Ledger, fleet: VirtualFleet, clock: VirtualClock, *, resumed: bool
) -> None:
    timings = Timings()
    collection = Collection(needs_of=lambda case, marks: (play.cases[0].needs, None))
    job = Job(
        campaign=play.name,
        directory=ledger.directory,
        project=ledger.directory,
        runner=RunnerSpec(python="python"),
        rules=play.rules,
        timings=timings,
        timeout_seconds=60,
        expected=tuple(play.workers),
        is_muted=lambda case: case in play.muted,
    )
    fleet.attach()
    campaign = Campaign(
        job,
        ledger=ledger,
        cluster=fleet,  # type: ignore[arg-type]
        collection=collection,
        watcher=_Unwatched(),
    )
    if play.known:
        for case in play.cases:
            campaign._dispatcher.durations.learn(case, play.seconds.get(case.id, 0.1))
    if resumed:
        record = reading.read_campaign(ledger.directory, clock=clock.time)
        collection.restore(list(record.cases.values()))
        past = recovering.recover(
            record,
            ledger=ledger,
            cluster=fleet,  # type: ignore[arg-type]
            scratch=fleet._scratch,
            excuses=campaign.excuses,
        )
        campaign.add_known(list(record.cases.values()), past)
    else:
        collection.restore(list(play.cases))
        for case in play.cases:
            ledger.case(case)
            campaign.search.mute(case)
        ledger.write("phase", phase="run")
        campaign.add_known(list(play.cases), {})
    campaign.run()
    campaign.finish()
    _close(ledger, clock)


def _close(ledger: Ledger, clock: VirtualClock, *, state: str = "completed") -> None:
    """As flows/closing.py does it."""
    ledger.write("phase", phase="judge")
    ledger.commit()
    record = reading.read_campaign(ledger.directory, clock=clock.time)
    verdicts = judging.judge_all(record.cases.values(), record.attempts, record.muted)
    counts = judging.tally(verdicts.values())
    ledger.write(
        "close",
        state=state,
        exit_code=int(judging.exit_code(counts)) if state == "completed" else 6,
        counts={str(kind): number for kind, number in counts.items()},
        makespan=1.0,
        lower_bound=1.0,
        slots=1,
    )
    ledger.close()


def without_faults(play: Play) -> Play:
    """The same campaign on a day when nothing breaks."""
    return replace(play, name=f"{play.name}-calm", kills=(), freezes=(), deaths=(), zombie=False)


def worker(name: str, **fields: Any) -> WorkerFacts:
    values: dict[str, Any] = {"slots": 2, "cpu": 2.0, "memory_bytes": 8 << 30, **fields}
    return WorkerFacts(name=name, incarnation=f"{name}-life-0", worker_class="cpu", **values)


def cases(number: int, *, files: int = 4, **fields: Any) -> list[Case]:
    """Cases of a few files, in collection order."""
    each = max(1, number // files)
    return [
        Case(
            id=f"test_{index // each}.py::test_{index}",
            group=f"test_{index // each}.py",
            index=index,
            **fields,
        )
        for index in range(number)
    ]


__all__ = ["Hangs", "Outcome", "Play", "cases", "perform", "without_faults", "worker"]
