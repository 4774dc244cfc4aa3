"""The fake keeps the promises of a provider, and breaks them as it is told."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from provider_conformance import CPU, ProviderConformance

from proctor.infra.fleet.fake_provider import FakeProvider, Weather
from proctor.infra.fleet.providers import Phase, ProviderProblem


@dataclass
class _FakePlace:
    provider: FakeProvider

    def kill(self, name: str) -> None:
        self.provider.preempt(name)


class TestFakeProvider(ProviderConformance):
    """The whole suite, on a clock that ticks when it is read."""

    @contextlib.contextmanager
    def open_place(self, tmp_path) -> Iterator[_FakePlace]:
        ticks = itertools.count(1.0, 1.0)
        weather = Weather(boot_seconds=3.0, drain_seconds=2.0)
        yield _FakePlace(FakeProvider(clock=lambda: next(ticks), weather=weather))


def test_a_used_up_quota_is_one_clear_line() -> None:
    """Nothing is half-started: the worker is not there afterwards."""
    provider = FakeProvider(clock=lambda: 0.0, weather=Weather(quota=1))
    provider.launch(CPU.facts(1), CPU)

    with pytest.raises(ProviderProblem, match="quota of 1 workers is used up"):
        provider.launch(CPU.facts(2), CPU)

    assert [each.name for each in provider.observe()] == ["cpu-1"]


def test_a_refused_worker_stays_out_with_its_reason() -> None:
    """Its self-test failed."""
    provider = FakeProvider(
        clock=lambda: 0.0, weather=Weather(refusals={"cpu-1": "its clock is 90 s behind"})
    )
    provider.launch(CPU.facts(1), CPU)

    (seen,) = provider.observe()
    assert (seen.phase, seen.reason) == (Phase.REFUSED, "its clock is 90 s behind")
