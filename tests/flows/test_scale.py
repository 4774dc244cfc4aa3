"""The flow that scales: a pass over a fleet's files, and what Prefect is told of it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from real_prefect import resident_server
from waiting import wait_until

from proctor.flows import scale
from proctor.flows.scale import ARTIFACT, look, remember_told, scale_fleet, table, untold
from proctor.infra.dispatching.state import Remaining
from proctor.infra.errors import FleetUnavailable
from proctor.infra.fleet.files import FleetFiles, FleetRecord, Wanted, write_record, write_wanted
from proctor.infra.ledgers.lease import Lease
from proctor.infra.process_ref import ProcessRef
from proctor.infra.records import Requirements
from proctor.infra.scaling.demand import ASKED_FILE, DEMAND_FILE, Demand, write_demand
from proctor.infra.scaling.policy import ScalingRules
from proctor.infra.scaling.reconciler import recorded
from proctor.infra.scaling.state import read_auto
from proctor.infra.worker_classes import WorkerClass

ADDRESS = "tcp://here"
CLASSES = {"cpu": WorkerClass(name="cpu", slots=1, maximum=8)}


@pytest.fixture
def server() -> str:
    """Its address; it may take longer to come up than what a campaign asks for stays fresh."""
    return resident_server().ensure().api_url


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A fleet that chooses its sizes, of which there are only the files; one campaign wants it."""
    files = FleetFiles(state=tmp_path)
    files.directory.mkdir()
    me = ProcessRef.of(os.getpid())
    assert me is not None
    write_wanted(files.wanted, Wanted(classes=CLASSES, auto=True, horizon_seconds=20.0))
    write_record(
        files.record,
        FleetRecord(supervisor=me, scheduler=me, address=ADDRESS, auto=True, classes=CLASSES),
    )
    campaign = tmp_path / "campaigns" / "c"
    campaign.mkdir(parents=True)
    # What nobody renews counts for some seconds: the machine may take longer over its passes.
    late = time.time() + 3600
    Lease.acquire(campaign, clock=lambda: late)
    left = Remaining(
        needs=Requirements(), work_seconds=60, waiting=60, running=0, longest_seconds=1
    )
    write_demand(
        campaign / DEMAND_FILE,
        Demand(campaign="c", epoch=1, at=late, fleet=ADDRESS, remaining=(left,)),
    )
    return tmp_path


def test_a_pass_sets_the_sizes_and_wakes_the_supervisor(state: Path) -> None:
    """A second one finds nothing to do."""
    assert look(state, ahead=True) == (True, {"cpu": 4})
    auto = read_auto(FleetFiles(state=state).auto)
    assert auto is not None
    assert auto.counts == {"cpu": 4}
    assert (state / "fleet" / ASKED_FILE).exists()
    assert look(state, ahead=False) == (True, {"cpu": 4})
    assert len(list(recorded(state))) == 1


@pytest.mark.parametrize(
    ("rules", "forecasts"),
    [(None, 0), (ScalingRules(headroom=0.2), 0), (ScalingRules(ahead=True), 1)],
    ids=["usual", "not ahead", "ahead"],
)
def test_a_forecast_is_made_for_a_policy_that_reads_it(
    state: Path, monkeypatch: pytest.MonkeyPatch, rules: ScalingRules | None, forecasts: int
) -> None:
    """All others would have each pass wait for it in vain."""
    made: list[Wanted] = []

    def hand_over(files: FleetFiles, wanted: Wanted, *, now: float) -> None:
        made.append(wanted)

    monkeypatch.setattr(scale, "hand_over_forecast", hand_over)
    wanted = Wanted(classes=CLASSES, auto=True, horizon_seconds=20.0, rules=rules)
    write_wanted(FleetFiles(state=state).wanted, wanted)
    look(state, ahead=True)
    assert len(made) == forecasts


def test_a_fleet_of_people_is_left_alone(state: Path) -> None:
    """Its sizes are theirs."""
    write_wanted(FleetFiles(state=state).wanted, Wanted(classes=CLASSES, counts={"cpu": 1}))
    assert look(state, ahead=False)[0] is False
    assert list(recorded(state)) == []


def test_without_a_fleet_it_says_what_to_do(tmp_path: Path) -> None:
    """There is nothing to scale."""
    with pytest.raises(FleetUnavailable, match="proctor up --auto"):
        look(tmp_path, ahead=False)


def test_prefect_is_told_of_each_decision_once(state: Path) -> None:
    """What was told is remembered; the table has the newest first, with its grade."""
    look(state, ahead=False)
    (decision,) = untold(state, list(recorded(state)))
    remember_told(state, decision["t"])
    assert untold(state, list(recorded(state))) == []

    later = {**decision, "id": "cpu-2", "t": decision["t"] + 1, "from": 4, "to": 0, "reason": "no"}
    grade = {
        "k": "grade",
        "t": 1.0,
        "decision": decision["id"],
        "grade": "good",
        "text": "worth it",
    }
    shown = table([decision, later, grade])
    assert [row["workers"] for row in shown] == ["4 -> 0", "0 -> 4"]
    assert shown[1]["grade"] == "good: worth it"
    assert untold(state, [decision, later]) == [later]


# Prefect keeps the sockets on which it sends events until the interpreter ends.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_flow_leaves_an_artifact_and_events(server: str, state: Path) -> None:
    """On a real server; the next run has nothing new to tell."""
    import httpx

    def events() -> list[dict[str, object]]:
        asked = {"filter": {"event": {"prefix": ["proctor.scaling."]}}, "limit": 50}
        found = httpx.post(f"{server}/events/filter", json=asked, timeout=30).json()["events"]
        return [each for each in found if each["resource"]["proctor.state"] == str(state)]

    with temporary_settings({PREFECT_API_URL: server}):
        ended = asyncio.run(scale_fleet(state=str(state), ahead=False, return_state=True))
        again = asyncio.run(scale_fleet(state=str(state), ahead=False, return_state=True))
    assert ended.message == "cpu=4; 1 new decision"
    assert again.message == "cpu=4; 0 new decisions"
    artifacts = httpx.post(
        f"{server}/artifacts/filter",
        json={"artifacts": {"key": {"any_": [ARTIFACT]}}, "sort": "CREATED_DESC"},
        timeout=30,
    ).json()
    assert "60 cases with 66 s of work" in artifacts[0]["data"]
    wait_until(lambda: len(events()) == 1, timeout=60, what="the decision's event")
    (event,) = events()
    assert event["payload"]["to"] == 4  # pyright: ignore
