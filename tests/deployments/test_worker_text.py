"""The fleet's screens: no line is broken in 80 columns, and nothing important is lost."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import begin, write_cases

from proctor.deployments.cli import main
from proctor.deployments.standing.fleet_standing import ServiceStanding, Standing, WorkerStanding
from proctor.deployments.texts.fleet_text import SCREEN_WORKERS, print_standing
from proctor.deployments.texts.worker_text import print_workers
from proctor.infra.fleet.providers import Instance, Phase
from proctor.infra.fleet.roster import Seen
from proctor.infra.ledgers.campaigns import CampaignSummary
from proctor.infra.worker_classes import WorkerClass
from proctor.monitoring.prediction.worker_scores import Score
from proctor.monitoring.reports.progress import Progress
from proctor.monitoring.reports.terminal import Terminal

CLASSES = {
    "cpu": WorkerClass(name="cpu", slots=4, cpu=4, memory_bytes=16 * 2**30),
    "highmem": WorkerClass(name="highmem", slots=2, cpu=2, memory_bytes=256 * 2**30),
    "gpu": WorkerClass(name="gpu", slots=1, cpu=2, gpu=1, simulated_gpu=True, memory_bytes=2**34),
}


def a_worker(worker_class: str, *, number: int = 1, reason: str = "") -> WorkerStanding:
    name = f"{worker_class}-{number}"
    facts = replace(CLASSES[worker_class].facts(number), incarnation="1234567-0a1b2c3d")
    return WorkerStanding(
        instance=Instance(
            name=name, worker_class=worker_class, phase=Phase.RUNNING, since=0.0, reason=reason
        ),
        seen=Seen(facts=facts, address="tcp://127.0.0.1:1", last_seen=0.0, busy=1),
    )


def lines_of(width: int, *workers: WorkerStanding, scores: Mapping[str, Score]) -> list[str]:
    text = io.StringIO()
    terminal = Terminal(text)
    terminal.width = width
    print_workers(terminal, workers, scores)
    return [line.rstrip() for line in text.getvalue().splitlines()]


SPEED = Score(speed=1.31, low=1.27, high=1.35, runs=9)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_worker_is_a_line_however_wide_the_screen(width: int) -> None:
    """What it is called, does, offers and how fast it is stands there in any case."""
    there = [a_worker(name) for name in CLASSES]
    scores = {each.instance.name: SPEED for each in there}

    heading, *rows = lines_of(width, *there, scores=scores)

    assert len(rows) == len(there)
    assert max(map(len, rows)) <= width
    for name in ("worker", "state", "slots", "offers", "speed"):
        assert name in heading
    assert ("incarnation" in heading) == (width > 80)
    assert rows[2].split()[0] == "gpu-1"
    assert "cpu=2 memory=16GiB gpu=1 simulated" in rows[2]
    assert "1.31 ±0.04" in rows[2]


def test_a_long_remark_has_lines_of_its_own() -> None:
    """Which worker it is about stands before it."""
    why = "cases fail on it that pass elsewhere: 12 of 14, and on the others 0 of 60 did"
    there = (a_worker("cpu"), a_worker("cpu", number=2, reason=why))

    found = lines_of(80, *there, scores={})

    assert [line.split()[0] for line in found[1:4]] == ["cpu-1", "cpu-2", "cpu-2:"]
    assert " ".join(found[3:]) == f"cpu-2: {why}"


def test_status_is_one_screen_of_80_columns(tmp_path: Path) -> None:
    """With how far the campaigns are that run; only their names are cut."""
    running = CampaignSummary(
        id="20260131-093000-0a1b2c",
        directory=tmp_path,
        state="running",
        started=1.0,
        name="the suite of a project with a name that is far too long for a line",
    )
    at = Progress(
        phase="run",
        done=12_345,
        total=50_000,
        counts={"failed": 3, "crashed": 1, "passed": 12_341},
        elapsed_seconds=600.0,
        left_seconds=1830.0,
    )
    standing = Standing(
        state=tmp_path,
        record=None,
        services=(),
        workers=tuple(a_worker(name) for name in CLASSES),
        campaigns=(running,),
    )
    text = io.StringIO()
    terminal = Terminal(text)
    terminal.width = 80

    print_standing(terminal, standing, {running.id: at})

    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[-2].split() == ["running", "done", "failures", "for", "left", "name"]
    (told,) = [line for line in lines if line.startswith(running.id)]
    assert re.split(" {2,}", told)[1:] == [
        *("12,345/50,000", "4", "10 min", "about 30 min", "the suit…")
    ]


@pytest.mark.parametrize("width", [1, 20, 30])
def test_a_screen_without_room_for_columns_has_lines(tmp_path: Path, width: int) -> None:
    """Which it breaks where it ends; in columns of few letters nobody finds a word."""
    services = (ServiceStanding(name="prefect", state="up", where="http://127.0.0.1:4200"),)
    campaign = CampaignSummary(
        id="20260131-093000-0a1b2c",
        directory=tmp_path,
        state="completed",
        started=1.0,
        name="suite",
    )
    text = io.StringIO()
    terminal = Terminal(text)
    terminal.width = width
    for count in (1, SCREEN_WORKERS + 1):
        workers = tuple(a_worker("cpu", number=number) for number in range(1, count + 1))
        standing = Standing(
            state=tmp_path, record=None, services=services, workers=workers, campaigns=(campaign,)
        )
        print_standing(terminal, standing)

    told = [line.split("  ") for line in text.getvalue().splitlines()]
    assert told[:2] == [["prefect", "up", "http://127.0.0.1:4200"], [""]]
    assert told[2] == ["worker", "state", "slots", "offers"]
    assert told[3][:3] == ["cpu-1", "busy", "1/4"]
    assert told[6][:2] == ["20260131-093000-0a1b2c", "completed"]
    assert ["cpu", "13", "13/52", "13 busy"] in told


def test_a_command_in_a_note_of_a_service_is_not_folded(tmp_path: Path) -> None:
    """It is copied from an 80-column screen; on a wide one it stands in its line."""
    note = f"`proctor up --state {tmp_path}/{'deep/' * 10}` starts one"
    fleet = ServiceStanding(name="fleet", state="down", note=note)
    services = (fleet, ServiceStanding(name="prefect", state="up", where="http://here"))
    standing = Standing(state=tmp_path, record=None, services=services, workers=(), campaigns=())
    told: dict[int, list[str]] = {}
    for width in (80, 300):
        text = io.StringIO()
        terminal = Terminal(text)
        terminal.width = width
        print_standing(terminal, standing)
        told[width] = [line.rstrip() for line in text.getvalue().splitlines()]

    assert [line.split()[:2] for line in told[80][:2]] == [["fleet", "down"], ["prefect", "up"]]
    assert told[80][2:] == [f"fleet: {note}"]
    assert len(told[300]) == 2
    assert told[300][0].endswith(note)


def test_a_campaign_that_has_not_said_how_far_it_is_is_told_as_running(tmp_path: Path) -> None:
    """Beside one that has: empty cells would look as if it had ended."""
    ids = {"c1": "running", "c2": "running", "c3": "completed"}
    campaigns = tuple(
        CampaignSummary(id=each, directory=tmp_path, state=state, started=1.0, name="suite")
        for each, state in ids.items()
    )
    standing = Standing(state=tmp_path, record=None, services=(), workers=(), campaigns=campaigns)
    at = Progress(phase="run", done=1, total=2, counts={}, elapsed_seconds=60.0, left_seconds=None)
    text = io.StringIO()

    print_standing(Terminal(text), standing, {"c1": at})

    told = [re.split(" {2,}", line.strip()) for line in text.getvalue().splitlines()]
    assert told[-3:-1] == [["c1", "1/2", "0", "60 s", "suite"], ["c2", "not told yet", "suite"]]
    assert told[-1] == ["c3", "suite"]


def test_the_document_tells_how_far_a_running_campaign_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says nothing of one that has ended."""
    ledger = begin(tmp_path, "c1", clock=lambda: 2e9)
    write_cases(ledger, ["a.py::one", "a.py::two"])
    ledger.commit()
    assert main(["status", "--state", str(tmp_path), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["campaigns"]
    assert (told["progress"]["done"], told["progress"]["total"]) == (0, 2)
    ledger.abandon()
    main(["status", "--state", str(tmp_path), "--json"])
    (told,) = json.loads(capsys.readouterr().out)["campaigns"]
    assert (told["state"], told["progress"]) == ("interrupted", None)
