"""What a pool needs is looked at first, and what is missing is one line."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from real_prefect import resident_server

from proctor.deployments.pools.pools import (
    check_class_pool,
    check_docker,
    job_variables,
    set_up,
)
from proctor.deployments.standing.services import UpRequest, up
from proctor.infra.errors import BadSetting, ProctorError, UsageProblem
from proctor.infra.fleet.providers import ProviderProblem
from proctor.infra.worker_classes import WorkerClass, parse_class

API = "http://127.0.0.1:4210/api"


def test_containers_reach_loopback_and_keep_the_classs_own_words() -> None:
    """What a person fills in comes last; environments are joined."""
    box = WorkerClass(
        name="box",
        slots=1,
        image="mine",
        memory_bytes=2**30,
        job_variables={"volumes": ["/data:/data"], "env": {"TZ": "UTC"}},
    )

    filled = job_variables(box, api_url=API)

    assert filled["network_mode"] == "host"
    assert filled["image"] == "mine"
    assert filled["mem_limit"] == f"{2**30}b"
    assert filled["volumes"] == ["/data:/data"]
    assert filled["env"] == {"PREFECT_API_URL": API, "TZ": "UTC"}


@pytest.mark.parametrize("pool", ["process", "docker", "kubernetes"])
def test_workers_on_this_machine_find_the_fleets_certificates(pool) -> None:
    """Containers on a volume beside the class's own; a cluster has them from its secrets."""
    box = WorkerClass(
        name="box", slots=1, image="mine", pool=pool, job_variables={"volumes": ["/data:/data"]}
    )
    filled = job_variables(box, api_url=API, certs="/state/certs")
    here = pool != "kubernetes"
    assert filled.get("env", {}).get("PROCTOR_CERTS") == ("/state/certs" if here else None)
    mounted = ["/state/certs:/state/certs:ro"] if pool == "docker" else []
    assert filled["volumes"] == [*mounted, "/data:/data"]


def test_a_container_without_an_image_is_refused() -> None:
    """Before anything is started."""
    with pytest.raises(BadSetting, match="no image is named"):
        check_class_pool(WorkerClass(name="box", slots=1, pool="docker"))


def test_no_docker_engine_is_one_line_and_nothing_is_started(monkeypatch, tmp_path) -> None:
    """It says what needs it; there is not even a file."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    request = UpRequest(
        state=tmp_path / "state",
        classes={"box": WorkerClass(name="box", slots=1, image="mine", provider="work-pool")},
        counts={"box": 1},
        cores=1,
        prefect=lambda: API,
    )

    told = "no Docker engine answers at unix:///nowhere/docker.sock, and class box needs one"
    with pytest.raises(ProviderProblem, match=told):
        up(request, say=print)

    assert not (tmp_path / "state" / "fleet" / "wanted.json").exists()
    # The library leaves the socket of its failed attempt open.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.needs("docker")
def test_an_image_that_is_not_there_is_one_line() -> None:
    """Runs would fail one after the other."""
    with pytest.raises(ProviderProblem, match="the image 'no-such-image' of class box"):
        check_docker(WorkerClass(name="box", slots=1, image="no-such-image"))


@pytest.mark.needs("docker")
@pytest.mark.parametrize("image", ["No Image", "a:b:c", "-x"])
def test_a_name_that_no_image_can_have_is_not_the_engines_fault(image: str) -> None:
    """The engine answers; it says that this is no name."""
    with pytest.raises(ProviderProblem, match="of class box for no image"):
        check_docker(WorkerClass(name="box", slots=1, image=image))


def test_an_address_that_is_none_is_one_line(monkeypatch) -> None:
    """The variable is named, with what stands in it."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:port")

    with pytest.raises(ProviderProblem, match=r"at tcp://127\.0\.0\.1:port.*correct DOCKER_HOST"):
        check_docker(WorkerClass(name="box", slots=1, image="mine"))


def test_a_word_that_is_no_provider_is_named() -> None:
    """With what may be written instead."""
    with pytest.raises(BadSetting, match="'cloud' provides no workers"):
        parse_class("box:slots=1,provider=cloud", cores=2)


def test_pools_need_prefect(tmp_path) -> None:
    """Nothing is half-started: there is not even a file."""
    request = UpRequest(
        state=tmp_path / "state",
        classes={"cpu": WorkerClass(name="cpu", slots=1)},
        counts={"cpu": 1},
        cores=1,
        prefect=lambda: "off",
        provider="work-pool",
    )

    with pytest.raises(UsageProblem, match="Prefect is switched off"):
        up(request, say=print)

    assert not (tmp_path / "state" / "fleet" / "wanted.json").exists()


def test_a_pool_of_another_type_is_left_alone() -> None:
    """It is somebody's; both ways out are named. And no pool is made where we know no template."""
    url = resident_server().ensure().api_url

    async def act(worker_class: WorkerClass) -> ProctorError:
        async with get_client() as client:
            name = "proctor-odd"
            await client.create_work_pool(WorkPoolCreate(name=name, type="docker"), overwrite=True)
            with pytest.raises(ProviderProblem) as raised:
                await set_up(client, worker_class, api_url=url)
            return raised.value

    with temporary_settings({PREFECT_API_URL: url}):
        problem = asyncio.run(act(WorkerClass(name="odd", slots=1)))
        assert "the work pool proctor-odd is of type docker, not process" in str(problem)
        problem = asyncio.run(act(WorkerClass(name="even", slots=1, pool="kubernetes")))
        assert "prefect work-pool create proctor-even --type kubernetes" in problem.remedy
