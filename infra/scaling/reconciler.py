"""One pass of scaling: look, decide, write down; the provider's keeper then does it.

Level-triggered: a pass needs no news, only what there is now, and may be run by any process at any
time. It is one at a time by a lock that dies with its holder, and can be killed at any line: sizes
and the decisions behind them reach the disk in one file, and the journal is made good from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from statistics import median_low
from typing import Any

from ..cores import core_count
from ..fleet.files import FleetFiles, Wanted
from ..fleet.machine_room import is_here
from ..fleet.providers import Instance, Phase
from ..fleet.roster import Roster
from ..ledgers.append_file import unwritable
from ..ledgers.journal import Journal, JournalReader, Line
from ..records import WorkerFacts
from ..resources import describe
from ..runners.capabilities import measure
from ..runners.memory_room import memory_there
from ..worker_classes import WorkerClass
from .demand import Demand, by_class, live_demands
from .forecast import expected_workers
from .grades import grade, watch
from .policy import NAME, Course, Crew, ScalingRules, size_of
from .state import AutoState, OpenDecision, read_auto, write_auto

# Where the journals of scaling stand, one file for each process that ever decided something.
RECORDER = Path("recorders") / "scaling"
# What a start takes where nothing was measured and its class says nothing.
USUAL_BOOT_SECONDS = 3.0
BOOTS_REMEMBERED = 9
LINE_FIELDS = frozenset({"k", "t"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that a pass looks at."""

    at: float
    classes: Mapping[str, WorkerClass]
    # What somebody asked for: where the policy begins.
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    observed: Sequence[Instance] = ()
    # By worker: how many batches it runs.
    busy: Mapping[str, int] = field(default_factory=dict[str, int])
    demands: Sequence[Demand] = ()
    # Workers that other machines gave, and that stay.
    joined: Sequence[WorkerFacts] = ()
    # By class: how many workers a forecast has busy, at a time from now.
    expected: Callable[[str, float], float] = lambda name, ahead: 0.0


def next_state(sight: Sight, state: AutoState | None, rules: ScalingRules) -> AutoState:
    """Sizes for now; what is new stands in `pending`."""
    old = state or AutoState(counts=dict(sight.counts))
    now = sight.at
    boots = _boots(sight, old)
    idle_since = _idle_since(sight, old)
    demands, unfit = by_class(sight.demands, sight.classes, sight.joined)
    counts, courses = dict(old.counts), dict(old.courses)
    watched = list(old.watched)
    crews: dict[str, Crew] = {}
    lines: list[Line] = []
    for name, worker_class in sight.classes.items():
        crew = crews[name] = _crew(name, counts.get(name, 0), sight, idle_since)
        boot = boot_seconds(worker_class, boots.get(name, ()))
        verdict = size_of(
            worker_class,
            demands[name],
            crew,
            courses.get(name, Course()),
            rules=rules,
            boot_seconds=boot,
            now=now,
            expected_workers=sight.expected(name, boot),
        )
        courses[name] = verdict.course
        if verdict.size == crew.wanted:
            continue
        counts[name] = verdict.size
        decision = OpenDecision(
            id=f"{name}-{now:.3f}",
            worker_class=name,
            before=crew.wanted,
            after=verdict.size,
            at=now,
            seen_at=now,
        )
        watched.append(decision)
        lines.append(
            {
                "k": "decision",
                "t": now,
                "id": decision.id,
                "class": name,
                "from": decision.before,
                "to": decision.after,
                "reason": verdict.reason,
                "policy": NAME,
                "inputs": dict(verdict.inputs),
            }
        )
    still: list[OpenDecision] = []
    for each in watched:
        seen = watch(each, crews.get(each.worker_class, Crew(wanted=0)), now)
        graded = grade(seen, counts, now)
        if graded is None:
            still.append(seen)
        else:
            lines.append(graded)
    return AutoState(
        counts=counts,
        courses=courses,
        idle_since=idle_since,
        starting=tuple(each.name for each in sight.observed if each.phase is Phase.STARTING),
        boots=boots,
        watched=tuple(still),
        pending=(*old.pending, *lines),
        problems=tuple(
            f"cases need {describe(needs)}, and no worker class offers that"
            for needs in dict.fromkeys(unfit)
        ),
    )


def boot_seconds(worker_class: WorkerClass, measured: Sequence[float]) -> float:
    """What a start of this class takes: as measured lately, as its class says, as usual."""
    if measured:
        # Of two the shorter: the first also started what the others find.
        return median_low(measured)
    return worker_class.boot_seconds or USUAL_BOOT_SECONDS


class Scaler:
    """Runs passes over the files of a state directory."""

    def __init__(
        self,
        files: FleetFiles,
        *,
        cores: int | None = None,
        clock: Callable[[], float] = time.time,
        rules: ScalingRules | None = None,
    ) -> None:
        """`cores` bounds classes that name no most; by default those of this machine."""
        self._files = files
        self._cores = cores or core_count()
        self._clock = clock
        self._rules = rules or ScalingRules()
        self._journal: Journal | None = None
        # Lines keep the time of their pass, also when a later one writes them down.
        self._at = 0.0

    def run_once(
        self, wanted: Wanted, observed: Sequence[Instance], roster: Roster, *, address: str
    ) -> AutoState | None:
        """One pass; None if another process is at one."""
        with alone(self._files.directory) as mine:
            if not mine:
                return None
            now = self._clock()
            classes = bounds(
                wanted.classes, cores=self._cores, memory_bytes=memory_there(), gpus=_gpus_here
            )
            state = read_auto(self._files.auto)
            if state is not None and state.pending:
                state = self._make_good(state)
            sight = Sight(
                at=now,
                classes=classes,
                counts=wanted.counts,
                observed=observed,
                busy={name: seen.busy for name, seen in roster.workers.items()},
                demands=[
                    each
                    for each in live_demands(self._files.state, now=now)
                    if each.fleet == address
                ],
                joined=[each.facts for each in roster.joined().values() if not each.draining],
                expected=expected_workers(self._files.forecast, now=now),
            )
            usual = wanted.rules or self._rules
            rules = replace(
                usual,
                horizon_seconds=wanted.horizon_seconds or usual.horizon_seconds,
                idle_seconds=(
                    usual.idle_seconds if wanted.idle_seconds is None else wanted.idle_seconds
                ),
            )
            new = next_state(sight, state, rules)
            if new != state:
                write_auto(self._files.auto, new)
            return self._settle(new)

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _settle(self, state: AutoState) -> AutoState:
        """Bring what is pending into the journal."""
        if not state.pending:
            return state
        self._append(state.pending)
        settled = replace(state, pending=())
        write_auto(self._files.auto, settled)
        return settled

    def _make_good(self, state: AutoState) -> AutoState:
        """A pass was killed: write down what it had decided and not written yet."""
        known = {_key(line) for line in recorded(self._files.state)}
        missing = [line for line in state.pending if _key(line) not in known]
        self._append(missing)
        settled = replace(state, pending=())
        write_auto(self._files.auto, settled)
        return settled

    def _append(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if self._journal is None:
                self._journal = self._open()
            told: dict[str, Any] = {key: line[key] for key in line if key not in LINE_FIELDS}
            self._at = line["t"]
            self._journal.append(line["k"], told)
        if self._journal is not None:
            self._journal.commit()

    def _open(self) -> Journal:
        directory = self._files.state / RECORDER
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise unwritable(directory, problem) from problem
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns()}.jsonl"
        return Journal(directory / name, clock=lambda: self._at)


def bounds(
    classes: Mapping[str, WorkerClass],
    *,
    cores: int,
    memory_bytes: int,
    gpus: Callable[[], int] = lambda: 0,
) -> dict[str, WorkerClass]:
    """A class that names no most gets as many workers as have a core for each slot, and the rest.

    The rest is its memory and its GPUs, of which there is none for two.
    """
    return {
        name: each
        if each.maximum is not None
        else replace(each, maximum=max(1, each.minimum, _room(each, cores, memory_bytes, gpus)))
        for name, each in classes.items()
    }


def _room(worker_class: WorkerClass, cores: int, memory_bytes: int, gpus: Callable[[], int]) -> int:
    room = cores // max(1, worker_class.slots)
    if worker_class.memory_bytes and is_here(worker_class):
        room = min(room, memory_bytes // worker_class.memory_bytes)
    own = worker_class.gpu and not worker_class.simulated_gpu
    if own and worker_class.provider != "work-pool":
        # No two workers of this machine share a device; asking for them takes a while.
        room = min(room, gpus() // ceil(worker_class.gpu))
    return room


@functools.cache
def _gpus_here() -> int:
    return len(measure(os.environ).gpus)


def recorded(state: Path) -> Generator[Line]:
    """All decisions and grades there are, file by file."""
    for path in sorted((state / RECORDER).glob("*.jsonl")):
        yield from JournalReader(path)


def _key(line: Line) -> tuple[str, str]:
    return line["k"], line["id"] if line["k"] == "decision" else line["decision"]


def _crew(name: str, wanted: int, sight: Sight, idle_since: Mapping[str, float]) -> Crew:
    mine = [each for each in sight.observed if each.worker_class == name]
    running = [each for each in mine if each.phase is Phase.RUNNING]
    return Crew(
        wanted=wanted,
        running=len(running),
        busy=sum(sight.busy.get(each.name, 0) > 0 for each in running),
        starting=tuple(
            max(0.0, sight.at - each.since) for each in mine if each.phase is Phase.STARTING
        ),
        idle=tuple(sight.at - idle_since[each.name] for each in running if each.name in idle_since),
    )


def _idle_since(sight: Sight, old: AutoState) -> dict[str, float]:
    return {
        # Never in the future: the clock may have been put back.
        each.name: min(sight.at, old.idle_since.get(each.name, sight.at))
        for each in sight.observed
        if each.phase is Phase.RUNNING and not sight.busy.get(each.name, 0)
    }


def _boots(sight: Sight, old: AutoState) -> dict[str, tuple[float, ...]]:
    boots = dict(old.boots)
    for each in sight.observed:
        took = round(sight.at - each.since, 3)
        # In no time none starts: the clock was put back.
        if each.phase is Phase.RUNNING and each.name in old.starting and took > 0:
            lately = (*boots.get(each.worker_class, ()), took)
            boots[each.worker_class] = lately[-BOOTS_REMEMBERED:]
    return boots


@contextlib.contextmanager
def alone(directory: Path) -> Generator[bool]:
    """Whether nobody else is at it; the kernel frees the lock when its holder dies.

    The directory itself is locked: no file is left behind.
    """
    try:
        file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as problem:
        raise unwritable(directory, problem) from problem
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(file)
