"""One fleet for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor.infra.fleet.local_fleet import LocalFleet, WorkerClass


@pytest.fixture(scope="session")
def fleet_scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers of that fleet keep what nobody has heard of yet."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def fleet(fleet_scratch: Path) -> Iterator[str]:
    """The address of a fleet of a cpu worker and a gpu-tagged one: three slots."""
    classes = (
        WorkerClass(name="cpu", slots=2),
        WorkerClass(name="gpu", slots=1, gpu=1, simulated_gpu=True, memory_bytes=4 * 2**30),
    )
    workers = tuple(each.facts(number) for number, each in enumerate(classes, start=1))
    with LocalFleet(workers=workers, scratch=fleet_scratch) as local:
        yield local.address()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"
