"""The baseline like Kubernetes' autoscaler keeps the rules that are documented of it."""

from __future__ import annotations

from baseline_policies import CLASS, LikeHpa

from proctor.infra.dispatching.state import Remaining
from proctor.infra.records import Requirements
from proctor.infra.scaling.demand import Demand
from proctor.infra.scaling.reconciler import Sight
from proctor.infra.worker_classes import WorkerClass

CLASSES = {CLASS: WorkerClass(name=CLASS, slots=1, maximum=80)}


def sizes(policy: LikeHpa, queue: list[tuple[float, int]], *, until: float) -> dict[float, int]:
    """By second what it wants, where the queue has these lengths from these times on."""
    told: dict[float, int] = {}
    size = 0
    for second in range(int(until) + 1):
        length = [cases for at, cases in queue if at <= second][-1]
        left = Remaining(
            needs=Requirements(), work_seconds=1.0, waiting=length, running=0, longest_seconds=1.0
        )
        demand = Demand(campaign="", epoch=1, at=second, fleet="", remaining=(left,))
        sight = Sight(at=second, classes=CLASSES, counts={CLASS: size}, demands=(demand,))
        size = told[second] = policy.sizes(sight)[CLASS]
    return told


def test_it_starts_one_and_then_at_most_doubles_or_adds_four() -> None:
    """From nothing to eighty in steps fifteen seconds apart."""
    told = sizes(LikeHpa(per_worker=1), [(0, 0), (10, 500)], until=130)
    assert told[29] == 0
    assert sorted(set(told.values())) == [0, 5, 10, 20, 40, 80]
    assert min(at for at, size in told.items() if size == 80) == 90


def test_it_shrinks_to_the_most_of_the_last_five_minutes() -> None:
    """And, with KEDA, to nothing once there was nothing for as long."""
    told = sizes(LikeHpa(per_worker=1), [(0, 20), (60, 5), (120, 0)], until=900)
    assert told[330] == 20
    assert told[380] == 5
    assert told[420] == 0


def test_a_tenth_more_or_less_changes_nothing() -> None:
    """Ten workers for forty cases: forty-three are as good, forty-five are not."""
    told = sizes(LikeHpa(per_worker=4), [(0, 40), (100, 43), (200, 45)], until=300)
    assert told[199] == 10
    assert told[300] == 12
