"""The baseline that scaling is measured against decides as Dask's own scheduler would."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import dask
import pytest
from dask_adaptive import DaskAdaptive, SchedulerView
from distributed.core import Status
from distributed.scheduler import Scheduler, WorkerState

from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.planning.simulated import Arrival, simulate_fleet
from proctor.infra.records import Case
from proctor.infra.worker_classes import WorkerClass

CLASSES = {"cpu": WorkerClass(name="cpu", slots=1, boot_seconds=30, maximum=40)}
DEADLINE_SECONDS = 120.0


def with_a_scheduler(tmp_path: Path, ask: Callable[[Scheduler], None]) -> None:
    """A real scheduler that listens nowhere."""

    async def made() -> None:
        scheduler = Scheduler(dashboard=False, port=0)
        try:
            ask(scheduler)
        finally:
            scheduler.workers.clear()
            scheduler.tasks.clear()
            await scheduler.close()

    with dask.config.set({"temporary-directory": str(tmp_path)}):
        asyncio.run(asyncio.wait_for(made(), DEADLINE_SECONDS))


def worker_of(scheduler: Scheduler, number: int) -> WorkerState:
    state = WorkerState(
        address=f"tcp://127.0.0.1:{number}",
        pid=number,
        name=number,
        nthreads=1,
        memory_limit=2**32,
        local_directory="",
        nanny="",
        server_id=f"worker {number}",
        services={},
        status=Status.running,
        versions={},
        extra={},
        scheduler=scheduler,
    )
    scheduler.workers[state.address] = state
    return state


@pytest.mark.parametrize("seed", range(40))
def test_it_wants_what_a_real_scheduler_wants(tmp_path: Path, seed: int) -> None:
    """Made tasks, workers, ends and heartbeats: the same target, and as many may close."""
    rng = random.Random(seed)
    prefixes = [f"project_{each}" for each in "abc"[: rng.choice((1, 1, 3))]]
    waiting = rng.choice((0, 3, 40, 400))
    workers = rng.choice((0, 1, 7, 60))
    busy = rng.randint(0, workers)
    seconds = [rng.lognormvariate(1, 1.5) for _ in range(rng.randint(0, 6))]

    def ask(scheduler: Scheduler) -> None:
        view = SchedulerView()
        for number in range(waiting + busy):
            prefix = rng.choice(prefixes)
            state = "queued" if number < waiting else "processing"
            real = scheduler.new_task(f"{prefix}-{number}", None, state)
            real.priority = (0, number)
            task = view.submit(prefix)
            assert real.prefix.name == task.prefix.name == prefix
            if number < waiting:
                scheduler.queued.add(real)
            else:
                place = number - waiting
                worker_of(scheduler, place).add_to_processing(real)
                view.meet(place)
                view.begin(task, place)
        for place in range(busy, workers):
            worker_of(scheduler, place)
            view.meet(place)
        for each in seconds:
            for prefix in scheduler.task_prefixes.keys() & view.task_prefixes.keys():
                for known in (scheduler.task_prefixes[prefix], view.task_prefixes[prefix]):
                    if each > 8:
                        known.add_exec_time(each)
                    else:
                        known.add_duration("compute", 0.0, each)
        for target in (5.0, 60.0, 900.0):
            wanted = scheduler.adaptive_target(target)
            assert view.adaptive_target(target) == wanted
            idle = scheduler.workers_to_close(target=wanted, attribute="name")
            assert set(view.workers_to_close(target=wanted, attribute="name")) == set(idle)

    with_a_scheduler(tmp_path, ask)


def cases(count: int) -> list[Case]:
    return [Case(id=f"t.py::{n}", group=f"t{n // 10}.py", index=n) for n in range(count)]


def test_it_plays_a_campaign_through_and_forgets_it() -> None:
    """Unknown tasks count half a second at first; in the end nothing is left, nor anybody."""
    many = cases(200)
    sizing = DaskAdaptive("cpu", target_seconds=20, maximum=40)
    done = simulate_fleet(
        [Arrival(at=0.5, cases=many)],
        CLASSES,
        sizing,
        seconds=lambda case: 10.0,
        durations=Durations(cases={each.id: CaseHistory(seconds=10.0) for each in many}),
        until=600,
        pass_seconds=1.0,
        witness=sizing,
    )
    assert len(done.waits) == 200
    first = [size for at, _, size in done.sizes if at <= 1.0][-1]
    assert first == 5
    assert max(size for _, _, size in done.sizes) == 40
    assert done.sizes[-1][2] == 0
    assert not sizing.view.queued
    assert sizing.view.total_occupancy == 0
    assert not sizing.view.workers
    assert sizing.view.task_prefixes["run_case"].duration_average == pytest.approx(10, rel=0.01)


def test_those_that_start_go_first_when_less_is_wanted() -> None:
    """Three looks in a row, then the surplus goes: nobody of them was ever there."""
    sizing = DaskAdaptive("cpu", target_seconds=10, maximum=40)
    sizing.view.submit("run_case")
    sizing.view.task_prefixes["run_case"].add_duration("compute", 0.0, 10.0)
    asked = {1, 2, 3, 4}
    assert [sizing.core.step(asked) for _ in range(3)] == [4, 4, 1]
