"""The process behind `proctor up`: keeps a scheduler, its workers and a Prefect server running.

`python -m proctor.deployments.standing.supervisor --state DIR`. It reads what is wanted from a
file, looks at what there is, and does the next step; it can be killed at any line. The scheduler
and the workers end with it, by the kernel's signal; what they started carries a mark and is
swept. The Prefect server is a process of its own and stays.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from ...infra.discreet_log import log_discreetly
from ...infra.errors import ProctorError, StateUnwritable
from ...infra.faults.lease import FaultFiles
from ...infra.faults.reaper import ReaperKeeper
from ...infra.fleet.certificates import PLACE
from ...infra.fleet.files import (
    FleetFiles,
    FleetRecord,
    Wanted,
    read_record,
    read_wanted,
    write_record,
)
from ...infra.fleet.local_provider import LocalProvider
from ...infra.fleet.mixed_provider import Closable, MixedProvider
from ...infra.fleet.providers import Instance, Provider
from ...infra.fleet.reach import Reach
from ...infra.fleet.roster import Roster, RosterFile
from ...infra.host_process import end_all, how_it_ended, launch_host
from ...infra.planning.plan import Drain, FleetPlan, Launch
from ...infra.process_ref import ProcessRef, sweep
from ...infra.resident_mark import MARK
from ...infra.runners.capabilities import measure
from ...infra.runners.stray_reaper import StrayKeeper
from ...infra.scaling.reconciler import alone
from .auto_scaling import AutoScaling
from .campaign_keeper import CampaignKeeper
from .free_ports import taken_line
from .history_keeper import HistoryKeeper
from .prefect_keeper import PrefectKeeper

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.1
# A scheduler that dies again and again is not started more often than this.
SCHEDULER_PAUSE_SECONDS = 1.0
LONGEST_SCHEDULER_PAUSE_SECONDS = 30.0
PROVEN_SECONDS = 60.0
END_SECONDS = 5.0


class SchedulerKeeper:
    """One scheduler on one port, started again when it dies."""

    def __init__(self, files: FleetFiles, reach: Reach, environment: dict[str, str]) -> None:
        self._files = files
        self._reach = reach
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._deaths = 0
        self._due = 0.0
        self.restarts = 0
        self.problem = ""

    @property
    def ref(self) -> ProcessRef | None:
        return None if self._process is None else ProcessRef.of(self._process.pid)

    @property
    def answering(self) -> bool:
        """Whether this life of it listens."""
        try:
            ready = json.loads(self._files.ready.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        return self._process is not None and ready["pid"] == self._process.pid

    def tend(self, port: int, now: float) -> bool:
        """Start it if need be; whether one has died since the last look."""
        died = False
        if self._process is not None and self._process.poll() is not None:
            died = True
            why = taken_line(self._reach.host, port) or how_it_ended(self._process.returncode)
            self.problem = f"the scheduler died: {why}"
            logger.warning("%s", self.problem)
            self._process = None
            self._deaths = 1 if now - self._started > PROVEN_SECONDS else self._deaths + 1
            if self._deaths > 1:
                pause = SCHEDULER_PAUSE_SECONDS * 2 ** min(self._deaths - 2, 10)
                self._due = now + min(pause, LONGEST_SCHEDULER_PAUSE_SECONDS)
            self.restarts += 1
        if self._process is None and now >= self._due:
            self._start(port, now)
        elif self.answering:
            self.problem = ""
        return died

    def close(self) -> None:
        if self._process is not None:
            end_all([self._process], grace=END_SECONDS)

    def _start(self, port: int, now: float) -> None:
        self._started = now
        try:
            self._files.ready.unlink(missing_ok=True)
            self._files.roster.unlink(missing_ok=True)
            self._process = launch_host(
                (
                    *(sys.executable, "-m", "proctor.infra.fleet.scheduler_host"),
                    *("--host", self._reach.host, "--port", str(port)),
                    *("--ready", str(self._files.ready), "--roster", str(self._files.roster)),
                    *(("--certs", self._reach.certs) if self._reach.certs else ()),
                ),
                log=self._files.logs / "scheduler.log",
                environment=self._environment,
            )
        except OSError as problem:
            self.problem = f"the scheduler cannot be started ({problem.strerror})"
            self._due = now + LONGEST_SCHEDULER_PAUSE_SECONDS


class Supervisor:
    """Brings what is there towards what is wanted, a step at a time."""

    def __init__(
        self,
        files: FleetFiles,
        *,
        provider: Provider,
        scheduler: SchedulerKeeper,
        prefect: PrefectKeeper,
        roster: Callable[[], Roster],
        wanted: Wanted,
        campaigns: CampaignKeeper,
    ) -> None:
        self._files = files
        self._campaigns = campaigns
        self._provider = provider
        self._scheduler = scheduler
        self._prefect = prefect
        self._roster = roster
        self._wanted = wanted
        self._plan = FleetPlan()
        self._scaling = AutoScaling(files)
        self._counts: dict[str, int] = dict(wanted.counts)
        self._problems: dict[str, str] = {}
        self._published: FleetRecord | None = None
        self._me = ProcessRef.of(os.getpid())
        self._started = time.time()
        self._stop_by: float | None = None

    def tick(self, now: float) -> bool:
        """Do what is due; whether to go on."""
        self._wanted = read_wanted(self._files.wanted) or self._wanted
        if self._wanted.stop:
            return self._wind_down(now)
        if self._scheduler.tend(self._wanted.port, now):
            # They would end by themselves, once their task is over and with its result lost.
            for each in self._provider.observe():
                if each.phase.is_there:
                    self._plan.excuse(each)
                    self._provider.stop(each.name)
        self._prefect.tend(self._wanted.prefect)
        self._counts = self._scaling.counts(
            self._wanted,
            self._provider.observe(),
            self._roster(),
            address=self._address,
            now=now,
        )
        self._step(self._counts)
        if self._scheduler.answering:
            # Without one a campaign would go on on a fleet of its own.
            self._campaigns.tend(now)
        self._publish()
        return True

    def _step(self, counts: dict[str, int]) -> Sequence[Instance]:
        observed = self._provider.observe()
        roster = self._roster()
        there = Counter(each.worker_class for each in observed if each.phase.is_there)
        # What hinders a worker that nobody wants any more is no problem.
        self._problems = {
            name: problem
            for name, problem in self._problems.items()
            if there[kind := name.rpartition("-")[0]] < counts.get(kind, 0)
        }
        steps = self._plan.steps(
            classes=self._wanted.classes,
            counts=counts,
            observed=observed,
            busy={name: seen.busy for name, seen in roster.workers.items()},
            now=time.time(),
        )
        for step in steps:
            match step:
                case Launch(facts=facts, worker_class=worker_class):
                    try:
                        self._provider.launch(facts, worker_class)
                        self._problems.pop(facts.name, None)
                    except ProctorError as problem:
                        self._problems[facts.name] = str(problem)
                        self._plan.failed(facts.name, time.time())
                case Drain(name=name):
                    self._provider.drain(name)
                case _:
                    self._provider.stop(step.name)
        return observed

    def _wind_down(self, now: float) -> bool:
        if self._wanted.stop == "now":
            return False
        if self._stop_by is None:
            self._stop_by = now + self._wanted.drain_seconds + END_SECONDS
        observed = self._step(dict.fromkeys((*self._wanted.counts, *self._counts), 0))
        self._publish()
        return now < self._stop_by and any(each.phase.is_there for each in observed)

    @property
    def _address(self) -> str:
        return self._wanted.reach.address(self._wanted.port)

    def _publish(self) -> None:
        assert self._me is not None, "a process sees itself"
        scheduler = self._scheduler
        problems = [
            *(scheduler.problem, *self._problems.values()),
            *(*self._scaling.problems, *self._campaigns.problems),
        ]
        instances = tuple(sorted(self._provider.observe(), key=lambda each: each.name))
        record = FleetRecord(
            supervisor=self._me,
            scheduler=scheduler.ref if scheduler.answering else None,
            address=self._address,
            certs=self._wanted.reach.certs,
            port=self._wanted.port,
            started=self._started,
            prefect=self._wanted.prefect,
            prefect_url=self._prefect.url,
            prefect_problem=self._prefect.problem if self._wanted.prefect == "resident" else "",
            scheduler_restarts=scheduler.restarts,
            stopping=bool(self._wanted.stop),
            counts=dict(self._counts),
            auto=self._wanted.auto,
            classes=dict(self._wanted.classes),
            instances=instances,
            restarts={each.name: self._plan.restarts(each.name) for each in instances},
            problems=tuple(filter(None, problems)),
            launch_problems=tuple(self._problems.values()),
        )
        if record != self._published:
            try:
                write_record(self._files.record, record)
                self._published = record
            except StateUnwritable as problem:
                # The fleet goes on while the disk is full; the next tick tries again.
                logger.warning("%s", problem)


def keep_on(turn: Callable[[float], bool], ending: threading.Event) -> None:
    """Turn after turn; all workers would end with what a disk or a limit says for a moment."""
    said = ""
    while not ending.is_set():
        try:
            if not turn(time.monotonic()):
                return
        except OSError as problem:
            if said != str(problem):
                said = str(problem)
                logger.exception("a turn could not be ended")
        ending.wait(TICK_SECONDS)


def supervise(state: Path) -> int:
    """Until somebody asks for an end."""
    files = FleetFiles(state=state)
    # A record comes late: two that start at the same moment would not see each other's.
    files.logs.mkdir(parents=True, exist_ok=True)
    with alone(files.logs) as mine:
        if mine:
            return _supervise(files)
    logger.error("the fleet of %s has a supervisor already", state)
    return 1


def _supervise(files: FleetFiles) -> int:
    state = files.state
    former = read_record(files.record)
    if former is not None and former.supervisor.alive:
        logger.error("the fleet of %s has a supervisor: pid %d", state, former.supervisor.pid)
        return 1
    wanted = read_wanted(files.wanted)
    if wanted is None:
        logger.error("nobody wants a fleet in %s", state)
        return 1
    mark = str(files.directory)
    # What a killed supervisor's workers had started and the kernel did not end.
    sweep(MARK, mark)
    environment = {**os.environ, MARK: mark}
    if wanted.reach.certs:
        environment[PLACE] = wanted.reach.certs
    address = wanted.reach.address(wanted.port)
    scheduler = SchedulerKeeper(files, wanted.reach, environment)
    roster = RosterFile(files.roster).read
    gpus = measure(os.environ).gpus
    prefect = PrefectKeeper(state)

    def local() -> LocalProvider:
        return LocalProvider(
            scheduler=lambda: address,
            directory=files.logs,
            scratch=files.scratch,
            roster=roster,
            gpus=gpus,
            drain_seconds=wanted.drain_seconds,
            environment=environment,
        )

    def pools() -> Closable:
        # Prefect takes a second to import, and most fleets have no pools.
        from .fleet_pools import pools_of

        return pools_of(
            files,
            wanted,
            api=lambda: prefect.api(wanted.prefect),
            roster=roster,
            gpus=gpus,
            environment=environment,
        )

    provider = MixedProvider({"local": local, "work-pool": pools})
    supervisor = Supervisor(
        files,
        provider=provider,
        scheduler=scheduler,
        prefect=prefect,
        roster=roster,
        wanted=wanted,
        campaigns=CampaignKeeper(state, environment=environment),
    )
    reaper = ReaperKeeper(FaultFiles(state=state))
    strays = StrayKeeper(files.scratch)
    history = HistoryKeeper(
        state, log=files.logs / "history.log", environment=environment, now=time.monotonic()
    )
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    def turn(now: float) -> bool:
        goes_on = supervisor.tick(now)
        if goes_on:
            reaper.tend(now)
            strays.tend(now)
            history.tend(prefect.api_url, now)
        return goes_on

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        keep_on(turn, ending)
    finally:
        prefect.close()
        history.close()
        provider.close(grace=END_SECONDS)
        scheduler.close()
        sweep(MARK, mark)
        for path in (files.record, files.ready, files.roster):
            path.unlink(missing_ok=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep the fleet of a state directory running.")
    parser.add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    log_discreetly("%(asctime)s %(message)s", level=logging.INFO)
    return supervise(arguments.state)


if __name__ == "__main__":
    raise SystemExit(main())
