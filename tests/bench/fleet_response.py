"""From published demand to the first case on a worker that was not there: `proctor up --auto`.

    python tests/bench/fleet_response.py [--rounds 5] [--json]
    python tests/bench/fleet_response.py --provider process
    python tests/bench/fleet_response.py --provider docker

The fleet is empty each time; a campaign whose cases are known comes; what is measured is the time
from its first word of what it needs to the start of its first case. For work pools each round says
what that time was made of, by what the scaling journal, Prefect's states and the ledger noted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from auto_fleets import decisions
from pool_fleets import PROVIDERS, fleet_arguments
from real_prefect import History

from proctor.deployments.standing.services import down
from proctor.flows.campaigns.conduct import conduct, prepare
from proctor.flows.campaigns.request import RunRequest
from proctor.infra.fleet.files import FleetFiles, read_record
from proctor.infra.ledgers.record import CampaignRecord
from proctor.infra.scaling.demand import ASKED_FILE

# In seconds.
BARS = {"local": 5.0, "process": 15.0, "docker": 25.0}
SUITE = """\
import time, pytest
@pytest.mark.parametrize("n", range(20))
def test_it(n): time.sleep(0.2)
"""


def empty(files: FleetFiles, seconds: float = 120.0) -> None:
    """Wait until nobody is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        record = read_record(files.record)
        if record is not None and not record.instances:
            return
        time.sleep(0.1)
    raise SystemExit("the fleet did not become empty")


@dataclass(frozen=True)
class Response:
    """One round: when it was asked, and when each thing after that was noted."""

    asked: float
    noted: tuple[tuple[str, float], ...]

    @property
    def seconds(self) -> float:
        return self.noted[-1][1] - self.asked

    def __str__(self) -> str:
        steps = pairwise((("", self.asked), *self.noted))
        parts = ", ".join(f"{name} {later - earlier:.2f}" for (_, earlier), (name, later) in steps)
        return f"{self.seconds:.2f} s: {parts}"


def campaign(project: Path, state: Path) -> CampaignRecord:
    flags = {"state": str(state), "prefect": "off"}
    conducted = conduct(prepare(RunRequest(directory=str(project), flags=flags)))
    assert conducted.record is not None
    return conducted.record


def response(project: Path, state: Path) -> Response:
    record = campaign(project, state)
    asked = (FleetFiles(state=state).directory / ASKED_FILE).stat().st_mtime
    noted = [
        ("decided", min(each["t"] for each in decisions(state) if each["t"] >= asked)),
        *run_states(state, asked),
        ("joined", joined(record)),
        (
            "first case",
            min(each.started for row in record.attempts.values() for each in row),
        ),
    ]
    return Response(asked, tuple(noted))


def run_states(state: Path, asked: float) -> list[tuple[str, float]]:
    """When the first run that came of it was scheduled, taken and begun."""
    record = read_record(FleetFiles(state=state).record)
    if record is None or not record.prefect_url:
        return []
    history = History(f"{record.prefect_url}/api")
    after = datetime.fromtimestamp(asked).astimezone().isoformat()
    wanted = {"expected_start_time": {"after_": after}, "tags": {"all_": ["proctor"]}}
    runs = history.ask(
        "/flow_runs/filter", {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC"}
    )
    states = history.ask(f"/flow_run_states/?flow_run_id={runs[0]['id']}")
    found = [
        (each["name"], datetime.fromisoformat(each["timestamp"]).timestamp()) for each in states
    ]
    return sorted(
        ((name.lower(), at) for name, at in found if name in {"Scheduled", "Pending", "Running"}),
        key=lambda each: each[1],
    )


def joined(record: CampaignRecord) -> float:
    """When the campaign first heard of a worker."""
    return min(each.at for each in record.workers if each.event == "joined")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--provider", choices=PROVIDERS, default="local")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave all files there")
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="proctor-bench-") as folder:
        place = (told.keep or Path(folder)).absolute()
        project, state = place / "p", place / "state"
        project.mkdir(parents=True)
        (project / "pyproject.toml").write_text("[project]\nname = 'orchard'\n")
        (project / "test_it.py").write_text(SUITE)
        arguments = fleet_arguments(told.provider, place, most=2, idle="1s")
        try:
            subprocess.run(
                [sys.executable, "-m", "proctor", "up", *arguments, "--state", str(state)],
                check=True, stdout=subprocess.DEVNULL, cwd=place,
            )  # fmt: skip
            # The first one collects.
            campaign(project, state)
            found = []
            for _ in range(told.rounds):
                empty(FleetFiles(state=state))
                load = psutil.getloadavg()[0]
                one = response(project, state)
                found.append(one.seconds)
                print(f"{one} (load {load:.1f} before)", file=sys.stderr, flush=True)
        finally:
            down(state, now=True, deadline_seconds=20)
    middle = statistics.median(found)
    if told.json:
        told_of = {"provider": told.provider, "seconds": found, "median": middle}
        print(json.dumps({**told_of, "bar": BARS[told.provider]}))
    else:
        print(f"first case on a new {told.provider} worker after {middle:.2f} s (median of"
              f" {len(found)}: {', '.join(f'{each:.2f}' for each in sorted(found))});"
              f" bar {BARS[told.provider]:g} s")  # fmt: skip
    return 0 if middle <= BARS[told.provider] else 1


if __name__ == "__main__":
    sys.exit(main())
