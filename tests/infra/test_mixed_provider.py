"""Providers side by side keep the promises of one provider."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from provider_conformance import CPU, ProviderConformance

from proctor.infra.fleet.fake_provider import FakeProvider
from proctor.infra.fleet.mixed_provider import MixedProvider
from proctor.infra.fleet.providers import Phase
from proctor.infra.worker_classes import WorkerClass

FAR = WorkerClass(name="far", slots=1, provider="work-pool")


class _Closable(FakeProvider):
    closed = False

    def close(self, *, grace: float) -> None:
        self.closed = True


@dataclass
class _MixedPlace:
    near: _Closable
    far: _Closable
    provider: MixedProvider = field(init=False)

    def __post_init__(self) -> None:
        self.provider = MixedProvider({"local": lambda: self.near, "work-pool": lambda: self.far})

    def kill(self, name: str) -> None:
        self.near.preempt(name)


@contextlib.contextmanager
def mixed_place() -> Iterator[_MixedPlace]:
    ticks = itertools.count(1)
    near, far = (_Closable(clock=lambda: float(next(ticks))) for _ in range(2))
    yield _MixedPlace(near, far)


class TestMixedProvider(ProviderConformance):
    """The whole suite, and whose workers are whose."""

    def open_place(self, tmp_path):
        return mixed_place()

    def test_a_class_says_where_its_workers_come_from(self, place) -> None:
        """And both are drained, seen and closed as one."""
        place.provider.launch(CPU.facts(1), CPU)
        place.provider.launch(FAR.facts(1), FAR)

        assert place.near.launches == ["cpu-1"]
        assert place.far.launches == ["far-1"]

        place.provider.drain("far-1")
        self.wait_for(place, "far-1", Phase.ENDED)
        self.wait_for(place, "cpu-1", Phase.RUNNING)
        place.provider.close(grace=1)
        assert place.near.closed
        assert place.far.closed

    def test_a_provider_that_nobody_needs_is_not_opened(self, place) -> None:
        """Prefect takes a second to import, and a pool a server."""
        place.provider.launch(CPU.facts(1), CPU)
        place.provider.close(grace=1)

        assert not place.far.closed
