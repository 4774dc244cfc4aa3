"""Dask's Adaptive itself on the virtual clock: the code of the installed `distributed`.

Nothing of it is imitated. Durations are learnt by `TaskPrefix`, the wanted number of workers is
`Scheduler.adaptive_target`, who may close is `Scheduler.workers_to_close`, and when sizes change is
`AdaptiveCore.adapt`; here stand only the few collections they read, filled from what the simulator
shows. A test compares them with a real scheduler that has the same tasks and workers.

What that means for a farm of tests: durations are a moving average over the last few tasks of a
name, the next one as heavy as all before; a heartbeat of a task that has run for twice as long
throws it away, and until the next task ends every task counts as twice the longest ever seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed.deploy.adaptive_core import AdaptiveCore
from distributed.scheduler import Scheduler, SchedulerState, TaskPrefix, heartbeat_interval

from proctor.infra.fleet.providers import Phase
from proctor.infra.records import Case
from proctor.infra.scaling.reconciler import Sight

# What distributed.yaml says.
UNKNOWN_SECONDS = 0.5
WAIT_COUNT = 3
INTERVAL_SECONDS = 1.0
# Of what `client.map(run_case, cases)` submits.
ONE_PREFIX = "run_case"
MEMORY = 2**32


@dataclass(slots=True, eq=False)
class Task:
    """What the scheduler's code reads of a TaskState."""

    prefix: TaskPrefix


@dataclass(slots=True, eq=False)
class Worker:
    """What the scheduler's code reads of a WorkerState; it holds no data."""

    name: int
    address: int
    nthreads: int = 1
    memory_limit: int = MEMORY
    nbytes: int = 0
    processing: dict[Task, float] = field(default_factory=dict[Task, float])
    long_running: frozenset[Task] = frozenset()


class SchedulerView:
    """The part of a scheduler's state that scaling looks at, with the scheduler's own methods."""

    adaptive_target = Scheduler.adaptive_target
    workers_to_close = Scheduler.workers_to_close
    total_occupancy = SchedulerState.total_occupancy
    _get_prefix_duration = SchedulerState._get_prefix_duration
    _calc_occupancy = SchedulerState._calc_occupancy

    UNKNOWN_TASK_DURATION = UNKNOWN_SECONDS
    bandwidth = 1.0
    validate = False
    _network_occ_global = 0.0

    def __init__(self) -> None:
        self.task_prefixes: dict[str, TaskPrefix] = {}
        self.queued: dict[Task, None] = {}
        self.unrunnable: dict[Task, float] = {}
        self.workers: dict[int, Worker] = {}
        self.plugins: dict[str, Any] = {}
        # By prefix: how many tasks are on workers.
        self._task_prefix_count_global: dict[str, int] = {}

    def submit(self, prefix: str) -> Task:
        known = self.task_prefixes.get(prefix)
        if known is None:
            known = self.task_prefixes[prefix] = TaskPrefix(prefix)
        task = Task(known)
        self.queued[task] = None
        return task

    def meet(self, worker: int) -> None:
        self.workers.setdefault(worker, Worker(worker, worker))

    def begin(self, task: Task, worker: int) -> None:
        self.queued.pop(task, None)
        self.workers[worker].processing[task] = 0.0
        self._count(task, 1)

    def end(self, task: Task, worker: int) -> None:
        there = self.workers.get(worker)
        if there is not None:
            there.processing.pop(task, None)
        self._count(task, -1)

    def _count(self, task: Task, by: int) -> None:
        counts, name = self._task_prefix_count_global, task.prefix.name
        counts[name] = counts.get(name, 0) + by


class Core(AdaptiveCore):
    """The abstract core with a cluster whose requests are granted at once."""

    def __init__(self, view: SchedulerView, *, target_seconds: float, maximum: int) -> None:
        super().__init__(minimum=0, maximum=maximum, wait_count=WAIT_COUNT)
        self.view, self.target_seconds = view, target_seconds
        self.there: set[int] = set()
        self.size = 0

    @property
    def plan(self) -> set[int]:
        return self.there

    @property
    def requested(self) -> set[int]:
        return self.there

    @property
    def observed(self) -> set[int]:
        return set(self.view.workers)

    async def target(self) -> int:
        return self.view.adaptive_target(target_duration=self.target_seconds)

    async def workers_to_close(self, target: int) -> list[int]:
        return self.view.workers_to_close(target=target, attribute="name")

    async def scale_up(self, n: int) -> None:
        self.size = n

    async def scale_down(self, workers: Iterable[int]) -> None:
        self.size -= len(set(workers))

    def step(self, there: set[int]) -> int:
        """One adaptation, over these workers that were asked for; says how many there should be."""
        self.there, self.size = there, len(there)
        # Nothing in it waits for anything here.
        for _ in self.adapt().__await__():
            raise AssertionError("adapting waited")
        return self.size


@dataclass(slots=True)
class _Running:
    task: Task
    worker: int
    since: float


class DaskAdaptive:
    """A sizing for the simulator, and the witness who tells it what the scheduler would see."""

    def __init__(
        self,
        worker_class: str,
        *,
        target_seconds: float,
        maximum: int,
        prefix_of: Callable[[Case], str] = lambda case: ONE_PREFIX,
    ) -> None:
        self.view = SchedulerView()
        self.core = Core(self.view, target_seconds=target_seconds, maximum=maximum)
        self._class, self._prefix_of = worker_class, prefix_of
        self._tasks: dict[int, Task] = {}
        self._running: dict[tuple[int, int], _Running] = {}
        # What ended since the last look: when, how long it took, whose it was, and where.
        self._ended: list[tuple[float, _Running]] = []
        self._looked = 0.0

    # What the simulator shows ---------------------------------------------------------------

    def arrived(self, cases: Sequence[Case], now: float) -> None:
        for case in cases:
            self._tasks[case.index] = self.view.submit(self._prefix_of(case))

    def began(self, case: Case, worker: str, now: float) -> None:
        task = self._tasks.get(case.index)
        # A second execution of a straggler is nothing that Dask would do.
        if task is None or task not in self.view.queued:
            return
        number = _number(worker)
        self.view.meet(number)
        self.view.begin(task, number)
        self._running[case.index, number] = _Running(task, number, now)

    def ended(self, case: Case, worker: str, now: float) -> None:
        run = self._running.pop((case.index, _number(worker)), None)
        if run is None:
            return
        self.view.end(run.task, run.worker)
        self._ended.append((now, run))
        del self._tasks[case.index]

    # What it makes of that ------------------------------------------------------------------

    def sizes(self, sight: Sight) -> Mapping[str, int]:
        self._learn(sight.at)
        there = [each for each in sight.observed if each.phase in {Phase.STARTING, Phase.RUNNING}]
        # One that is told to go once its case is over is retired: the scheduler counts it no more.
        running = {_number(each.name) for each in there if each.phase is Phase.RUNNING}
        workers = self.view.workers
        for gone in workers.keys() - running:
            del workers[gone]
        for come in sorted(running - workers.keys()):
            self.view.meet(come)
        return {self._class: self.core.step({_number(each.name) for each in there})}

    def _learn(self, now: float) -> None:
        """Ends of tasks and heartbeats since the last look, in the order they happened."""
        every = heartbeat_interval(len(self.view.workers))
        news: list[tuple[float, int, float, TaskPrefix]] = []
        for at, run in self._ended:
            news.append((at, 1, at - run.since, run.task.prefix))
            news.extend(self._heartbeats(run, every, until=at))
        for run in self._running.values():
            news.extend(self._heartbeats(run, every, until=now))
        for at, over, seconds, prefix in sorted(news, key=lambda each: each[:3]):
            if over:
                prefix.add_duration("compute", at - seconds, at)
            else:
                prefix.add_exec_time(seconds)
        self._ended.clear()
        self._looked = now

    def _heartbeats(
        self, run: _Running, every: float, *, until: float
    ) -> Iterator[tuple[float, int, float, TaskPrefix]]:
        """Those that told of a running task; workers beat one after the other."""
        begin = max(run.since, self._looked)
        phase = (run.worker * 0.618 % 1) * every
        at = phase + every * (int(max(0.0, begin - phase) // every) + 1)
        while at <= until:
            yield at, 0, at - run.since, run.task.prefix
            at += every


def _number(worker: str) -> int:
    return int(worker.rpartition("-")[2])
