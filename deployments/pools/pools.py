"""Work pools for workers: `proctor-<class>` for each class, with a deployment of `host-worker`.

What a pool needs of this machine is looked at before anything is started in it: a pool of another
type under its name, a Docker engine that does not answer and an image that is not there would
otherwise show as runs that fail one after the other.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ...infra.errors import BadSetting
from ...infra.fleet.certificates import PLACE
from ...infra.fleet.providers import ProviderProblem
from ...infra.worker_classes import WorkerClass

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import WorkPool

PROCESS = "process"
DOCKER = "docker"
ENTRYPOINT = "proctor.flows.server.host_worker:host_worker"


def pool_name(worker_class: WorkerClass) -> str:
    return f"proctor-{worker_class.name}"


def pool_type(worker_class: WorkerClass) -> str:
    """A class with an image means containers where it does not say more."""
    return worker_class.pool or (DOCKER if worker_class.image else PROCESS)


def needs_our_worker(worker_class: WorkerClass) -> bool:
    """Whether this machine runs the Prefect worker of its pool; others stand in their clusters."""
    return pool_type(worker_class) in {PROCESS, DOCKER}


def job_variables(worker_class: WorkerClass, *, api_url: str, certs: str = "") -> dict[str, Any]:
    """What the pool's template is filled with; the class's own words come last.

    `certs` is where this machine has the certificates that the scheduler wants to see.
    """
    given = dict(worker_class.job_variables)
    variables: dict[str, Any] = {}
    match pool_type(worker_class):
        case "process":
            variables["command"] = f"{shlex.quote(sys.executable)} -m prefect.engine"
        case "docker":
            variables |= {
                "command": "python -m prefect.engine",
                "image": worker_class.image,
                # It was seen to be there, or it is fetched once by the person's own pull.
                "image_pull_policy": "Never",
                # The scheduler and the server listen on this machine's loopback only.
                "network_mode": "host",
                "auto_remove": True,
                "stream_output": False,
                "env": {"PREFECT_API_URL": api_url},
            }
            if worker_class.memory_bytes:
                variables["mem_limit"] = f"{worker_class.memory_bytes}b"
        case _:
            variables["env"] = {"PREFECT_API_URL": api_url}
            if worker_class.image:
                variables["image"] = worker_class.image
    if certs and needs_our_worker(worker_class):
        # A container sees them under the same path; a cluster has them from its own secrets.
        variables.setdefault("env", {})[PLACE] = certs
        if pool_type(worker_class) == DOCKER:
            variables["volumes"] = [f"{certs}:{certs}:ro", *given.pop("volumes", ())]
    if isinstance(given.get("env"), Mapping):
        given["env"] = {**variables.get("env", {}), **given["env"]}
    return variables | given


def check_class_pool(worker_class: WorkerClass) -> None:
    """Refuse what no pool can be; quick, for it is asked at each launch."""
    if pool_type(worker_class) == DOCKER and not worker_class.image:
        raise BadSetting(
            f"workers of class {worker_class.name} are containers, and no image is named",
            remedy="give it an image, as in --class cpu:image=proctor-worker",
        )


async def set_up(
    client: PrefectClient, worker_class: WorkerClass, *, api_url: str, certs: str = ""
) -> UUID:
    """Have the class's pool and its deployment; the deployment's id."""
    await asyncio.to_thread(check_machine, worker_class)
    await _pool(client, worker_class)
    return await _deployment(worker_class, api_url, certs)


def check_machine(worker_class: WorkerClass) -> None:
    """Refuse a pool for which this machine lacks something."""
    if pool_type(worker_class) == DOCKER:
        check_docker(worker_class)


def check_docker(worker_class: WorkerClass) -> None:
    """Look for the engine and the image."""
    # Heavy, and only pools of containers need it.
    import docker
    from docker.errors import APIError, DockerException, ImageNotFound, NullResource

    name, image = worker_class.name, worker_class.image
    try:
        engine = docker.from_env(timeout=10)
        try:
            engine.images.get(image)
        finally:
            engine.close()
    except ImageNotFound as problem:
        raise ProviderProblem(
            f"the image {image!r} of class {name} is not on this machine",
            remedy="build it from deployments/Dockerfile, or `docker pull` it",
        ) from problem
    except (APIError, NullResource) as problem:
        raise ProviderProblem(
            f"the Docker engine takes {image!r} of class {name} for no image",
            remedy="write its name as `docker images` shows it, as in image=proctor-worker:1",
        ) from problem
    except (DockerException, OSError, ValueError) as problem:
        # ValueError: an address that is none, such as one whose port is a word.
        where = os.environ.get("DOCKER_HOST", "")
        place, act = (f" at {where}", "correct") if where else ("", "set")
        raise ProviderProblem(
            f"no Docker engine answers{place}, and class {name} needs one",
            remedy=f"start the engine, or {act} DOCKER_HOST",
        ) from problem


async def _pool(client: PrefectClient, worker_class: WorkerClass) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

    name, kind = pool_name(worker_class), pool_type(worker_class)
    try:
        pool = await client.read_work_pool(name)
    except ObjectNotFound:
        wanted = WorkPoolCreate(
            name=name,
            type=kind,
            description=f"Proctor's workers of class {worker_class.name}: one run each.",
            base_job_template=_template(kind, worker_class),
            concurrency_limit=0,
        )
        try:
            pool = await client.create_work_pool(wanted)
        except ObjectAlreadyExists:
            # Another fleet sets it up at the same time.
            pool = await client.read_work_pool(name)
    _check_type(pool, kind)


def _check_type(pool: WorkPool, kind: str) -> None:
    if pool.type != kind:
        raise ProviderProblem(
            f"the work pool {pool.name} is of type {pool.type}, not {kind}",
            remedy=f"give the class pool={pool.type}, or delete that pool",
        )


def _template(kind: str, worker_class: WorkerClass) -> dict[str, Any]:
    match kind:
        case "process":
            from prefect.workers.process import ProcessWorker

            return ProcessWorker.get_default_base_job_template()
        case "docker":
            from prefect_docker.worker import DockerWorker

            return DockerWorker.get_default_base_job_template()
        case _:
            raise ProviderProblem(
                f"there is no work pool {pool_name(worker_class)}, and Proctor makes none of type"
                f" {kind}",
                remedy=f"`prefect work-pool create {pool_name(worker_class)} --type {kind}` first",
            )


async def _deployment(worker_class: WorkerClass, api_url: str, certs: str) -> UUID:
    from prefect.types.entrypoint import EntrypointType

    from ...flows.server.host_worker import host_worker

    deployment = await host_worker.ato_deployment(
        name=worker_class.name,
        description=f"One worker of class {worker_class.name}, until it is drained.",
        tags=["proctor"],
        work_pool_name=pool_name(worker_class),
        job_variables=job_variables(worker_class, api_url=api_url, certs=certs),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return await deployment.aapply()
