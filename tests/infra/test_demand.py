"""What campaigns publish of their needs, and how it is summed up for each class."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.infra.dispatching.batches import Rules
from proctor.infra.dispatching.dispatcher import Dispatcher
from proctor.infra.dispatching.durations import CaseHistory, Durations
from proctor.infra.dispatching.state import Remaining
from proctor.infra.ledgers.lease import TTL_SECONDS, Lease
from proctor.infra.records import Case, Requirements, WorkerFacts
from proctor.infra.scaling.demand import (
    DEMAND_FILE,
    Demand,
    Publisher,
    Reached,
    by_class,
    concurrency,
    live_demands,
    read_demand,
    write_demand,
)
from proctor.infra.worker_classes import WorkerClass

PLAIN = Requirements()
GPU = Requirements(gpu=1)
CLASSES = {
    "cpu": WorkerClass(name="cpu", slots=2, memory_bytes=8 * 2**30),
    "highmem": WorkerClass(name="highmem", slots=4, memory_bytes=64 * 2**30, cost_per_hour=1),
    "gpu": WorkerClass(name="gpu", slots=1, gpu=1, memory_bytes=8 * 2**30, cost_per_hour=3),
}
REACHED = Reached(phase="run", total=9, counts={"passed": 3, "flaky": 1}, slots=2)


def left(needs: Requirements = PLAIN, *, seconds: float = 10.0, waiting: int = 5) -> Remaining:
    return Remaining(
        needs=needs, work_seconds=seconds, waiting=waiting, running=0, longest_seconds=2.0
    )


def demand(*remaining: Remaining, campaign: str = "c", epoch: int = 1, at: float = 0.0) -> Demand:
    return Demand(campaign=campaign, epoch=epoch, at=at, fleet="tcp://here", remaining=remaining)


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    directory = tmp_path / "campaigns" / "c"
    directory.mkdir(parents=True)
    return directory


def test_what_is_written_is_read_again(campaign: Path) -> None:
    """With all that a case may need."""
    wide = Requirements(cpu=2, memory_bytes=5, gpu=0.5, tags=frozenset({"b", "a"}))
    told = demand(left(wide), left())
    for each in (told, replace(told, reached=REACHED)):
        write_demand(campaign / DEMAND_FILE, each)
        assert read_demand(campaign / DEMAND_FILE) == each


def test_a_version_that_does_not_say_how_far_it_is_is_read(campaign: Path) -> None:
    """Its demand counts as any other."""
    write_demand(campaign / DEMAND_FILE, told := demand(left()))
    written = json.loads((campaign / DEMAND_FILE).read_text())
    del written["reached"]
    (campaign / DEMAND_FILE).write_text(json.dumps(written))
    assert read_demand(campaign / DEMAND_FILE) == told


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"campaign": 1}', "{" * 9999])
def test_a_torn_or_foreign_file_asks_for_nothing(campaign: Path, text: str) -> None:
    """Another version may write what this one cannot read."""
    (campaign / DEMAND_FILE).write_text(text)
    assert read_demand(campaign / DEMAND_FILE) is None
    assert live_demands(campaign.parent.parent, now=time.time()) == []


def test_only_campaigns_that_are_being_run_count(campaign: Path) -> None:
    """Not one without a lease, with a stale file, of a former writer, or that has ended."""
    state, now = campaign.parent.parent, time.time()
    write_demand(campaign / DEMAND_FILE, demand(left(), at=now))
    assert live_demands(state, now=now) == []
    lease = Lease.acquire(campaign, clock=lambda: now)
    assert [each.campaign for each in live_demands(state, now=now)] == ["c"]
    assert live_demands(state, now=now + TTL_SECONDS + 1) == []
    write_demand(campaign / DEMAND_FILE, demand(left(), at=now, epoch=2))
    assert live_demands(state, now=now) == []
    write_demand(campaign / DEMAND_FILE, demand(left(), at=now))
    lease.release()
    assert live_demands(state, now=now) == []


def test_a_campaign_writes_at_most_once_a_second_and_asks_at_once(campaign: Path) -> None:
    """The first word wakes whoever scales; the last takes it all back."""
    state = campaign.parent.parent
    (state / "fleet").mkdir()
    asked: list[int] = []

    def remaining() -> list[Remaining]:
        asked.append(1)
        return [left()]

    publisher = Publisher(campaign, epoch=1, fleet="tcp://here", clock=lambda: 7.0)
    for now in (100.0, 100.5, 100.9, 101.0):
        publisher.refresh(now, remaining, lambda: REACHED)
    assert len(asked) == 2
    assert (state / "fleet" / "asked").exists()
    assert read_demand(campaign / DEMAND_FILE) == replace(demand(left(), at=7.0), reached=REACHED)
    publisher.withdraw()
    assert not (campaign / DEMAND_FILE).exists()


def test_a_full_disk_does_not_end_the_campaign(tmp_path: Path) -> None:
    """It cannot say what it needs, and goes on."""
    publisher = Publisher(tmp_path / "gone", epoch=1, fleet="", clock=lambda: 0.0)
    publisher.refresh(1.0, lambda: [left()], lambda: REACHED)


def test_work_goes_to_the_cheapest_class_that_can_do_it() -> None:
    """Two slots halve the worker's time; needs that nobody serves are named."""
    big = Requirements(memory_bytes=32 * 2**30)
    impossible = Requirements(gpu=2)
    sums, unfit = by_class(
        [demand(left(seconds=20)), demand(left(GPU), left(big), left(impossible))], CLASSES
    )
    assert sums["cpu"].worker_seconds == 10
    assert (sums["cpu"].useful, sums["cpu"].waiting) == (2.5, 5)
    assert sums["gpu"].worker_seconds == 10
    # Two of 32 GiB fit into 64.
    assert sums["highmem"].worker_seconds == 5
    assert unfit == [impossible]


def test_what_joined_counts_where_it_can_do_all_that_is_asked() -> None:
    """In workers of its class; what only it can do is no problem of the fleet's."""
    half = replace(CLASSES["cpu"].facts(1), name="cpu-1@box", slots=1)
    other = replace(CLASSES["gpu"].facts(1), name="odd-1@box", worker_class="odd", gpu=2)
    none = replace(half, memory_bytes=1)
    plain, large = left(), left(Requirements(memory_bytes=2**30))
    assert by_class([demand(plain)], CLASSES, [half, half, other])[0]["cpu"].joined == 1
    assert by_class([demand(plain, large)], CLASSES, [none])[0]["cpu"].joined == 0
    assert by_class([], CLASSES, [none])[0]["cpu"].joined == 0.5
    assert by_class([demand(left(Requirements(gpu=2)))], CLASSES, [other])[1] == []


def test_a_class_of_which_none_may_be_is_no_offer() -> None:
    """Its work goes to the next one that can do it."""
    none = {**CLASSES, "cpu": WorkerClass(name="cpu", slots=2, maximum=0)}
    sums, _ = by_class([demand(left())], none)
    assert sums["highmem"].worker_seconds > 0
    assert sums["cpu"].worker_seconds == 0


def test_a_worker_runs_as_many_at_a_time_as_its_scarcest_resource_allows() -> None:
    """Slots, cores, memory or GPUs."""
    facts = WorkerFacts(
        name="w", incarnation="", worker_class="w", slots=8, cpu=8, memory_bytes=8, gpu=1
    )
    assert concurrency(PLAIN, facts) == 8
    assert concurrency(Requirements(cpu=3), facts) == 2
    assert concurrency(Requirements(memory_bytes=2), facts) == 4
    assert concurrency(Requirements(gpu=0.5), facts) == 2
    assert concurrency(Requirements(cpu=0), facts) == 8


def test_the_dispatcher_says_what_waits_and_what_runs() -> None:
    """By need; what has run for a while has less left; after a stop only what runs counts."""
    cases = [Case(id=f"t.py::{n}", group="t.py", index=n) for n in range(4)]
    cases.append(Case(id="g.py::0", group="g.py", index=4, needs=GPU))
    durations = Durations(cases={case.id: CaseHistory(seconds=3.0) for case in cases})
    dispatcher = Dispatcher(rules=Rules(), durations=durations)
    dispatcher.add_cases(cases, 0.0)
    plain, gpu = dispatcher.remaining(0.0)
    assert (plain.work_seconds, plain.waiting, plain.running, plain.longest_seconds) == (
        12,
        4,
        0,
        3,
    )
    assert (gpu.needs, gpu.work_seconds) == (GPU, 3)

    dispatcher.worker_joined(
        WorkerFacts(name="w", incarnation="", worker_class="w", slots=1, cpu=1, memory_bytes=1)
    )
    (send,) = dispatcher.decide(0.0)
    dispatcher.started(send.batch.id, send.batch.cases[0], 0.0)
    plain, _ = dispatcher.remaining(2.0)
    assert plain.work_seconds == pytest.approx(10)
    assert plain.running == 1

    dispatcher.stop("enough")
    (plain,) = dispatcher.remaining(2.0)
    assert plain.waiting == 0
    assert plain.work_seconds <= 4
