"""The local provider keeps the promises of a provider, with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from provider_conformance import ProviderConformance
from waiting import is_over, wait_until

from proctor.infra.errors import BadSetting
from proctor.infra.fleet.local_provider import LocalProvider
from proctor.infra.fleet.providers import Phase, ProviderProblem
from proctor.infra.fleet.roster import RosterFile
from proctor.infra.host_process import end_all, launch_host
from proctor.infra.runners.capabilities import Gpu
from proctor.infra.runners.memory_room import memory_there
from proctor.infra.worker_classes import WorkerClass


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """A scheduler's address, and the roster it writes."""
    directory = tmp_path_factory.mktemp("scheduler")
    ready, roster = directory / "ready.json", directory / "roster.json"
    process = launch_host(
        (
            *(sys.executable, "-m", "proctor.infra.fleet.scheduler_host"),
            *("--ready", str(ready), "--roster", str(roster)),
        ),
        log=directory / "scheduler.log",
        environment=os.environ,
    )
    wait_until(ready.exists, timeout=60, what="the scheduler to listen")
    yield json.loads(ready.read_text())["address"], roster
    end_all([process], grace=5)


@dataclass
class _LocalPlace:
    provider: LocalProvider

    def kill(self, name: str) -> None:
        (seen,) = [each for each in self.provider.observe() if each.name == name]
        psutil.Process(int(seen.place.removeprefix("pid "))).kill()


def lives(place: _LocalPlace) -> set[str]:
    """The incarnations that are registered."""
    return {each.facts.incarnation for each in place.provider._roster().workers.values()}


@contextlib.contextmanager
def local_place(scheduler, tmp_path, **more) -> Iterator[_LocalPlace]:
    address, roster = scheduler
    provider = LocalProvider(
        scheduler=lambda: address,
        directory=tmp_path / "logs",
        scratch=tmp_path / "scratch",
        roster=RosterFile(roster).read,
        drain_seconds=20,
        **more,
    )
    try:
        yield _LocalPlace(provider)
    finally:
        provider.close(grace=5)


class TestLocalProvider(ProviderConformance):
    """The whole suite."""

    seconds = 60.0

    @pytest.fixture(autouse=True)
    def _scheduler(self, scheduler) -> None:
        self.scheduler = scheduler

    def open_place(self, tmp_path):
        return local_place(self.scheduler, tmp_path)

    def test_a_worker_says_what_was_measured(self, place) -> None:
        """Cores and memory of the machine stand beside what its class says."""
        name = self.launch(place)
        self.wait_for(place, name, Phase.RUNNING)

        facts = place.provider._roster().workers[name].facts

        assert facts.machine_cores >= 1
        assert facts.machine_memory_bytes == memory_there()
        assert facts.incarnation

    def test_a_frozen_worker_can_be_stopped(self, place) -> None:
        """It hears no polite word."""
        name = self.launch(place)
        seen = self.wait_for(place, name, Phase.RUNNING)
        psutil.Process(int(seen.place.removeprefix("pid "))).suspend()

        place.provider.stop(name)

        self.wait_for(place, name, Phase.ENDED)

    def test_a_worker_whose_self_test_fails_keeps_out(self, tmp_path) -> None:
        """The reason is there to be read, and nobody registered."""
        (tmp_path / "scratch").write_text("a file where a directory should be")
        with local_place(self.scheduler, tmp_path) as place:
            # The scheduler is the whole class's: one that just ended may be listed for a moment.
            before = lives(place)
            name = self.launch(place)

            seen = self.wait_for(place, name, Phase.REFUSED)

            assert "scratch cannot be written" in seen.reason
            assert lives(place) <= before

    def test_a_command_that_is_not_there_is_one_line(self, place) -> None:
        """And nothing is half-started."""
        odd = WorkerClass(name="odd", slots=1, command=("/no/such/launcher",))

        with pytest.raises(ProviderProblem, match="worker odd-1 could not be started"):
            place.provider.launch(odd.facts(1), odd)

        assert list(place.provider.observe()) == []

    def test_devices_are_given_out_once(self, tmp_path) -> None:
        """Each worker gets a GPU of its own; the next one is told that none is free."""
        gpus = [Gpu(number=n, uuid=f"GPU-{n}", model="H", memory_bytes=1) for n in (0, 1)]
        sleeper = tmp_path / "sleeper.py"
        sleeper.write_text("import time; time.sleep(60)")
        gpu = WorkerClass(name="gpu", slots=1, gpu=1, command=(sys.executable, str(sleeper)))
        with local_place(self.scheduler, tmp_path, gpus=gpus) as place:
            place.provider.launch(gpu.facts(1), gpu)
            place.provider.launch(gpu.facts(2), gpu)
            with pytest.raises(BadSetting, match="2 GPUs, 0 of them free"):
                place.provider.launch(gpu.facts(3), gpu)

            place.provider.stop("gpu-1")
            self.wait_for(place, "gpu-1", Phase.ENDED)
            place.provider.launch(gpu.facts(4), gpu)

            devices = {name: life.facts.devices for name, life in place.provider._lives.items()}
            assert devices["gpu-2"] == ("1",)
            assert devices["gpu-4"] == ("0",)


def test_workers_end_with_the_process_that_launched_them(scheduler, tmp_path) -> None:
    """Also when that is killed: nobody is left to end them."""
    address, roster = scheduler
    script = tmp_path / "launcher.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from proctor.infra.fleet.local_provider import LocalProvider\n"
        "from proctor.infra.fleet.roster import RosterFile\n"
        "from proctor.infra.worker_classes import WorkerClass\n"
        "here = Path(sys.argv[3])\n"
        "cpu = WorkerClass(name='orphan', slots=1)\n"
        "provider = LocalProvider(scheduler=lambda: sys.argv[1], directory=here / 'logs',\n"
        "    scratch=here / 'scratch', roster=RosterFile(Path(sys.argv[2])).read)\n"
        "provider.launch(cpu.facts(1), cpu)\n"
        "print(provider.observe()[0].place.removeprefix('pid '), flush=True)\n"
        "time.sleep(60)\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, str(script), address, str(roster), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with launcher:
        assert launcher.stdout is not None
        worker = psutil.Process(int(launcher.stdout.readline()))
        read = RosterFile(roster)
        wait_until(lambda: "orphan-1" in read.read().workers, timeout=60, what="it to join")

        launcher.kill()

        wait_until(lambda: is_over(worker), what="the worker to end")
