"""The pool provider keeps the promises of a provider, with real containers."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from docker_images import worker_image
from pool_places import Scheduler, pool_place, scheduler_in
from provider_conformance import ProviderConformance

from proctor.infra.worker_classes import WorkerClass

# The first test also builds the image.
pytestmark = pytest.mark.needs("docker")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory) -> Iterator[Scheduler]:
    with scheduler_in(tmp_path_factory.mktemp("scheduler")) as scheduler:
        yield scheduler


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> str:
    return worker_image(tmp_path_factory.mktemp("image"))


class TestDockerPool(ProviderConformance):
    """The whole suite, in containers that a Prefect worker starts."""

    seconds = 120.0

    @pytest.fixture(autouse=True)
    def _prepared(self, scheduler, image) -> None:
        self.scheduler = scheduler
        self.worker_class = WorkerClass(name="box", slots=1, image=image, provider="work-pool")

    def open_place(self, tmp_path):
        return pool_place(
            self.scheduler, tmp_path, fleet=f"fleet-{tmp_path.name}"[:60], kill=_kill_container
        )


def _kill_container(name: str) -> None:
    engine = docker.from_env()
    (container,) = engine.containers.list(filters={"label": f"io.prefect.flow-run-name={name}"})
    container.kill()
    engine.close()
