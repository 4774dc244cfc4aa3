"""The pool provider keeps the promises of a provider, with a real Prefect server and worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pool_places import Scheduler, pool_place, scheduler_in
from provider_conformance import ProviderConformance


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory) -> Iterator[Scheduler]:
    with scheduler_in(tmp_path_factory.mktemp("scheduler")) as scheduler:
        yield scheduler


class TestProcessPool(ProviderConformance):
    """The whole suite, in processes that a Prefect worker starts."""

    seconds = 120.0

    @pytest.fixture(autouse=True)
    def _scheduler(self, scheduler) -> None:
        self.scheduler = scheduler

    def open_place(self, tmp_path):
        return pool_place(self.scheduler, tmp_path, fleet=f"fleet-{tmp_path.name}"[:60])
