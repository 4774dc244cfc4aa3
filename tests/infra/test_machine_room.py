"""What workers are promised of their machine's memory."""

from __future__ import annotations

import pytest

from proctor.infra.errors import BadSetting
from proctor.infra.fleet.machine_room import check_memory, is_here, memory_line
from proctor.infra.worker_classes import WorkerClass

GB = 10**9
THERE = 24 * GB


def workers(*sizes: int):
    return [
        WorkerClass(name="big", slots=1, memory_bytes=size or THERE).facts(number)
        for number, size in enumerate(sizes, start=1)
    ]


def test_more_memory_than_a_machine_has_is_refused_in_a_line() -> None:
    """Cases that ask for it would be sent where it is not."""
    (whole,) = workers(THERE)
    check_memory(whole, there=THERE)
    (big,) = workers(64 * GB)
    with pytest.raises(BadSetting, match=r"big-1 is to have memory=64GB, .* machine has 24GB"):
        check_memory(big, there=THERE)


def test_workers_that_are_promised_more_together_are_named() -> None:
    """Whose class says nothing takes what is left: that is no promise."""
    assert memory_line(workers(16 * GB, 8 * GB), there=THERE) == ""
    assert memory_line(workers(16 * GB, 0, 0), there=THERE) == ""
    told = memory_line(workers(16 * GB, 16 * GB, 0), there=THERE)
    assert told.startswith("workers are promised memory=32GB together, and this machine has 24GB")


@pytest.mark.parametrize(
    ("more", "here"),
    [({}, True), ({"provider": "work-pool"}, False), ({"command": ("ssh", "far")}, False)],
)
def test_only_processes_of_this_machine_are_here(more: dict[str, object], here: bool) -> None:
    """A pool's workers and those of a launcher may be on machines that have more."""
    assert is_here(WorkerClass(name="big", slots=1, **more)) is here  # type: ignore[arg-type]
