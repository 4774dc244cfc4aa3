"""Kills a campaign's process, the scheduler and the Prefect server at once, under `proctor up`.

    python tests/bench/three_at_once.py [--cases 100] [--prefect-away 0]

Says after how many seconds each of them was back, and whether the campaign completed with each
case counted once and its run in Prefect's history is whole: ended as completed, with all its phases.
With `--prefect-away S` only the server goes, stopped on purpose, for so long; the rate of cases
meanwhile is compared with the rate before and after, and has to be within a tenth of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_campaigns import begin, executions, judgements, type_in, write_project
from waiting import wait_until

from proctor.deployments.standing.services import down
from proctor.flows.server.prefect_server import ResidentServer
from proctor.infra.fleet.files import FleetFiles, read_record
from proctor.infra.judge import check_invariants
from proctor.infra.ledgers.campaigns import list_campaigns
from proctor.infra.ledgers.record import CampaignRecord, read_campaign

PATIENCE = 240.0
CASE_SECONDS = 0.2
# Of the throughput while the server is away to that while it is there.
LEAST_RATIO = 0.9
SUITE = """\
import time
import pytest
from executions import ran

@pytest.mark.parametrize("n", range({cases}))
def test_case(n):
    time.sleep({seconds})
    ran(str(n))
"""


class Stopwatch:
    """Looks from a thread until something is so, and remembers when that was."""

    def __init__(self, is_so: Callable[[], object]) -> None:
        self.seconds: float | None = None
        self._began = time.monotonic()
        self._is_so = is_so
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def result(self) -> float | None:
        """In seconds; None if it never came to that."""
        self._thread.join(PATIENCE)
        return self.seconds

    def _watch(self) -> None:
        while time.monotonic() < self._began + PATIENCE:
            if self._is_so():
                self.seconds = round(time.monotonic() - self._began, 1)
                return
            time.sleep(0.05)


def kill_three(state: Path, campaign: int) -> dict[str, float | None]:
    """Kill them all, and say when each was back."""
    server = ResidentServer(state)
    record, prefect = read_record(FleetFiles(state=state).record), server.status().record
    assert record is not None
    assert record.scheduler is not None
    assert prefect is not None
    victims = (campaign, record.scheduler.pid, prefect.pid)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    before = record.scheduler

    def scheduler_is_back() -> bool:
        now = read_record(FleetFiles(state=state).record)
        return now is not None and now.scheduler not in {None, before} and now.alive

    def campaign_is_back() -> bool:
        return len(read_campaign(only(state)).headers) > 1

    def work_flows() -> bool:
        found = read_campaign(only(state))
        return any(each.epoch > 1 for several in found.attempts.values() for each in several)

    watches = {
        "scheduler": Stopwatch(scheduler_is_back),
        "campaign": Stopwatch(campaign_is_back),
        "work": Stopwatch(work_flows),
        "prefect": Stopwatch(lambda: server.status().answering),
    }
    return {name: watch.result() for name, watch in watches.items()}


def stop_prefect(state: Path, seconds: float) -> tuple[float, float]:
    """Take the server away for so long; from when to when it was."""
    server = ResidentServer(state)
    began = time.time()
    server.stop()
    threading.Event().wait(max(0.0, began + seconds - time.time()))
    ended = time.time()
    server.ensure()
    return began, ended


def rates(record: CampaignRecord, began: float, ended: float) -> dict[str, float]:
    """Cases that finished per second, while the server was away and else."""
    finished = sorted(each.finished for several in record.attempts.values() for each in several)
    away = [each for each in finished if began <= each < ended]
    else_seconds = (began - finished[0]) + (finished[-1] - ended)
    if else_seconds < 10 or finished[-1] < ended:
        raise SystemExit("the campaign was too short to compare anything: give more --cases")
    here, there = (len(finished) - len(away)) / else_seconds, len(away) / (ended - began)
    return {"here": round(here, 2), "away": round(there, 2), "ratio": round(there / here, 3)}


def history(api_url: str, what: str = "flow_runs") -> list[tuple[str, str]]:
    """The names and states of all flow runs or phases the server knows; a name may come twice."""
    answer = httpx.post(f"{api_url}/{what}/filter", json={}, timeout=20)
    answer.raise_for_status()
    return sorted((str(each["name"]), str(each["state_name"])) for each in answer.json())


def is_whole(api_url: str, record: CampaignRecord) -> bool:
    """Whether the one campaign stands in the history with all its phases, each completed."""
    runs, phases = history(api_url), history(api_url, "task_runs")
    missing = {name for name, _at in record.phases} - {name for name, _state in phases}
    ended = [state for _name, state in runs] == ["Completed"]
    return ended and not missing and {state for _name, state in phases} == {"Completed"}


def only(state: Path) -> Path:
    (found,) = list_campaigns(state)
    return found.directory


def is_over(state: Path) -> bool:
    return list_campaigns(state)[0].state not in {"running", "interrupted"}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--prefect-away", type=float, default=0.0, metavar="S")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="proctor-three-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        state = root / "state"
        suite = SUITE.format(cases=told.cases, seconds=CASE_SECONDS)
        project = write_project(root / "p", {"test_many.py": suite})
        os.environ["PREFECT_HOME"] = str(root / "home")
        try:
            upped = type_in(
                *("up", "--state", str(state), "--cpu", "2"), cwd=root, timeout=PATIENCE
            )
            assert upped.returncode == 0, upped.stderr
            arguments = ["run", "--state", str(state)]
            process = begin(arguments, cwd=project, log=root / "log")
            wait_until(
                lambda: executions(project).total() > told.cases // 10, timeout=PATIENCE, what="it"
            )
            found: dict[str, object] = {}
            window = (0.0, 0.0)
            if told.prefect_away:
                window = stop_prefect(state, told.prefect_away)
            else:
                found["back after seconds"] = kill_three(state, process.pid)
            wait_until(lambda: is_over(state), timeout=PATIENCE, what="the end")
            process.wait(PATIENCE)
            server = ResidentServer(state).ensure()
            record = read_campaign(only(state))
            history_told = Stopwatch(lambda: is_whole(server.api_url, record)).result()
            unchanged = True
            if told.prefect_away:
                found["cases per second"] = told_rates = rates(record, *window)
                unchanged = told_rates["ratio"] >= LEAST_RATIO
            verdicts = set(judgements(record).values())
            wrong = check_invariants(record)
            found.update(
                state=record.state,
                cases=len(record.cases),
                wasted=executions(project).total() - len(executions(project)),
                problems=wrong,
                history=history(server.api_url),
                phases=history(server.api_url, "task_runs"),
                history_told_after=history_told,
            )
            print(json.dumps(found, indent=2))
            good = record.state == "completed" and verdicts == {"passed"} and not wrong
            return 0 if good and unchanged and history_told is not None else 1
        finally:
            down(state, now=True, deadline_seconds=15)


if __name__ == "__main__":
    raise SystemExit(main())
