"""What every provider of workers must do; a test class per provider derives from this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import pytest
from waiting import wait_until

from proctor.infra.fleet.providers import Instance, Phase, Provider
from proctor.infra.worker_classes import WorkerClass

CPU = WorkerClass(name="cpu", slots=1)


class Place(Protocol):
    """A provider, and the hand that hurts what it launched."""

    provider: Provider

    def kill(self, name: str) -> None: ...


class ProviderConformance:
    """Derive, and say in `open_place` how to make one."""

    seconds = 30.0
    worker_class = CPU

    def open_place(self, tmp_path) -> AbstractContextManager[Place]:
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path) -> Iterator[Place]:
        with self.open_place(tmp_path) as place:
            yield place

    def see(self, place: Place, name: str) -> Instance | None:
        return next((each for each in place.provider.observe() if each.name == name), None)

    def wait_for(self, place: Place, name: str, phase: Phase) -> Instance:
        def is_so() -> bool:
            seen = self.see(place, name)
            return seen is not None and seen.phase is phase

        wait_until(is_so, timeout=self.seconds, what=f"{name} to be {phase}")
        seen = self.see(place, name)
        assert seen is not None
        return seen

    def launch(self, place: Place, number: int = 1) -> str:
        facts = self.worker_class.facts(number)
        place.provider.launch(facts, self.worker_class)
        return facts.name

    def test_a_launched_worker_is_seen_at_once_and_runs_in_time(self, place: Place) -> None:
        """Whoever counts workers must not launch a second one while the first boots."""
        name = self.launch(place)

        seen = self.see(place, name)
        assert seen is not None
        assert seen.phase.is_there
        assert seen.worker_class == self.worker_class.name
        self.wait_for(place, name, Phase.RUNNING)

    def test_launching_a_name_twice_makes_one_worker(self, place: Place) -> None:
        """A reconciler that died after its launch launches again."""
        name = self.launch(place)
        first = self.wait_for(place, name, Phase.RUNNING)
        self.launch(place)

        assert [each.place for each in place.provider.observe()] == [first.place]

    def test_a_drained_worker_ends_by_itself(self, place: Place) -> None:
        """Idle, it has nothing to wait for; drained twice, it is drained once."""
        name = self.launch(place)
        self.wait_for(place, name, Phase.RUNNING)

        place.provider.drain(name)
        place.provider.drain(name)

        self.wait_for(place, name, Phase.ENDED)

    def test_a_worker_that_dies_is_seen_with_a_reason(self, place: Place) -> None:
        """And its name can be used again, for another life."""
        name = self.launch(place)
        first = self.wait_for(place, name, Phase.RUNNING)

        place.kill(name)

        assert self.wait_for(place, name, Phase.ENDED).reason
        self.launch(place)
        again = self.wait_for(place, name, Phase.RUNNING)
        assert again.since > first.since

    def test_a_stopped_worker_is_gone_and_then_forgotten(self, place: Place) -> None:
        """Stop ends what lives and clears away what has ended."""
        name = self.launch(place)
        self.wait_for(place, name, Phase.RUNNING)

        place.provider.stop(name)
        self.wait_for(place, name, Phase.ENDED)
        place.provider.stop(name)

        assert self.see(place, name) is None

    def test_workers_are_told_apart(self, place: Place) -> None:
        """What is done to one is not done to its neighbour."""
        first, second = self.launch(place, 1), self.launch(place, 2)
        self.wait_for(place, first, Phase.RUNNING)
        left = self.wait_for(place, second, Phase.RUNNING)

        place.provider.drain(first)
        self.wait_for(place, first, Phase.ENDED)

        assert self.wait_for(place, second, Phase.RUNNING).place == left.place

    def test_a_worker_that_is_stopped_while_it_starts_never_joins(self, place: Place) -> None:
        """Nobody wants it any more; it must not turn up later."""
        name = self.launch(place)

        place.provider.stop(name)

        self.wait_for(place, name, Phase.ENDED)

    def test_names_nobody_bears_are_no_error(self, place: Place) -> None:
        """What was observed may have ended since."""
        place.provider.drain("cpu-99")
        place.provider.stop("cpu-99")

        assert list(place.provider.observe()) == []
