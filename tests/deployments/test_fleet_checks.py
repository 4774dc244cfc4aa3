"""What a fleet that is up says to a second `proctor up`, and to one that sizes itself in pools."""

from __future__ import annotations

import pytest

from proctor.deployments.standing.fleet_checks import check_same, crowded_lines, unbounded_line
from proctor.infra.errors import UsageProblem
from proctor.infra.fleet.files import Wanted
from proctor.infra.worker_classes import WorkerClass

CPU = WorkerClass(name="cpu", slots=2, provider="local")
WANTED = Wanted(classes={"cpu": CPU}, counts={"cpu": 1}, port=8000)
GIVEN = {"cpu": WorkerClass(name="cpu", slots=0)}


def check(*, provider="", counts=None, classes=GIVEN, port=0):
    check_same(WANTED, port=port, provider=provider, classes=classes, counts=counts or {})


@pytest.mark.parametrize("counts", [{}, {"cpu": 2}])
def test_another_provider_is_named_as_such(counts):
    """It used to be called other capacities, and without numbers it was passed over."""
    with pytest.raises(
        UsageProblem, match=r"cpu are processes of this machine \(local\), and work-pool was asked"
    ):
        check(provider="work-pool", counts=counts)


def test_a_class_that_says_its_provider_itself_is_named_too():
    """The same for a template."""
    classes = {"cpu": WorkerClass(name="cpu", slots=2, provider="work-pool")}
    with pytest.raises(UsageProblem, match="and work-pool was asked for"):
        check(counts={"cpu": 1}, classes=classes)


def test_the_same_fleet_may_be_asked_for_again():
    """Twice the same `up` is no mistake, with the provider said or not."""
    check()
    check(counts={"cpu": 3}, provider="local")
    check(provider="local")


def test_other_capacities_and_ports_are_still_refused():
    """A worker must not mean two things."""
    with pytest.raises(UsageProblem, match="other capacities"):
        check(counts={"cpu": 1}, classes={"cpu": WorkerClass(name="cpu", slots=2, gpu=1)})
    with pytest.raises(UsageProblem, match="up on port 8000, not 9000"):
        check(port=9000)


def test_a_pool_class_without_a_most_says_what_bounds_it():
    """A machine's cores say nothing of a pool: people must hear which number was taken."""
    classes = {
        "cpu": CPU,
        "box": WorkerClass(name="box", slots=2, provider="work-pool"),
        "dear": WorkerClass(name="dear", slots=2, provider="work-pool", maximum=4),
    }
    line = unbounded_line(classes, cores=8)
    assert line.startswith("class of a work pool without a max: box at most 4,")
    assert "dear" not in line
    assert unbounded_line({"cpu": CPU, "dear": classes["dear"]}, cores=8) == ""


def crowded(counts, classes, **more):
    return crowded_lines(classes, counts, cores=4, memory_bytes=24, **more)


def test_classes_that_offer_together_more_than_the_machine_has_are_told():
    """Each fits alone; pools and workers that are not asked for are on no account of it."""
    classes = {
        "cpu": CPU,
        "wide": WorkerClass(name="wide", slots=1, cpu=3, memory_bytes=16, provider="local"),
        "pool": WorkerClass(name="pool", slots=64, memory_bytes=64, provider="work-pool"),
    }
    assert crowded({"cpu": 1, "wide": 0, "pool": 1}, classes) == []
    (slots,) = crowded({"cpu": 3}, classes)
    assert slots.startswith("the fleet has 6 slots and this machine 4 cores")
    (cores,) = crowded({"cpu": 1, "wide": 1}, classes)
    assert cores.startswith("workers offer cpu=5 and this machine 4 cores")
    _, memory = crowded({"wide": 2}, classes)
    assert memory.startswith("workers are promised memory=32B together")


def test_a_fleet_that_sizes_itself_is_told_of_at_its_most():
    """Each class keeps to the machine by itself, and several together do not."""
    classes = {"cpu": CPU, "other": WorkerClass(name="other", slots=1, maximum=3)}
    assert crowded({"cpu": 1}, classes, auto=True) == []
    (line,) = crowded({"cpu": 1, "other": 0}, classes, auto=True)
    assert line.startswith("the fleet may come to have 7 slots and this machine 4 cores")
