"""Workers of several providers as one fleet: each class says where its workers come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ..records import WorkerFacts
from ..worker_classes import PROVIDERS, WorkerClass
from .providers import Instance, Provider

LOCAL = PROVIDERS[0]


class Closable(Provider, Protocol):
    """A provider whose workers end with it."""

    def close(self, *, grace: float) -> None: ...


class MixedProvider:
    """Opens a provider when the first worker of such a class is launched."""

    def __init__(self, makers: Mapping[str, Callable[[], Closable]]) -> None:
        """`makers` opens the provider of that name."""
        self._makers = makers
        self._open: dict[str, Closable] = {}

    def observe(self) -> Sequence[Instance]:
        return [each for provider in self._open.values() for each in provider.observe()]

    def launch(self, facts: WorkerFacts, worker_class: WorkerClass) -> None:
        name = worker_class.provider or LOCAL
        if name not in self._open:
            self._open[name] = self._makers[name]()
        self._open[name].launch(facts, worker_class)

    def drain(self, name: str) -> None:
        for provider in self._open.values():
            provider.drain(name)

    def stop(self, name: str) -> None:
        for provider in self._open.values():
            provider.stop(name)

    def close(self, *, grace: float) -> None:
        """End what all of them have launched."""
        for provider in self._open.values():
            provider.close(grace=grace)
