"""Where services and workers stand, read from the files that they wrote."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from proctor.deployments.standing import fleet_standing, services
from proctor.deployments.standing.fleet_standing import look
from proctor.deployments.standing.services import UpRequest
from proctor.deployments.texts.fleet_text import print_standing, standing_document
from proctor.infra.codec import facts_to_json
from proctor.infra.errors import FleetUnavailable
from proctor.infra.fleet.files import FleetFiles, FleetRecord, read_record, write_record
from proctor.infra.fleet.providers import Instance, Phase
from proctor.infra.fleet.roster import write_roster
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.process_ref import ProcessRef
from proctor.infra.worker_classes import WorkerClass
from proctor.monitoring.reports.terminal import Terminal

GPU = WorkerClass(name="gpu", slots=2, gpu=1, simulated_gpu=True, memory_bytes=16 * 10**9)


NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the writing of a file and the look at it."""
    monkeypatch.setattr(fleet_standing, "time", SimpleNamespace(time=lambda: NOW))


def write_fleet(state: Path, workers: int, *, written: float = 0.0, heard: float = 0.0) -> None:
    """A fleet of which this very process is supervisor and scheduler."""
    me = ProcessRef.of(os.getpid())
    assert me is not None
    files = FleetFiles(state=state)
    files.directory.mkdir(parents=True)
    instances = tuple(
        Instance(name=f"gpu-{n}", worker_class="gpu", phase=Phase.RUNNING, since=NOW)
        for n in range(1, workers + 1)
    )
    write_record(
        files.record,
        FleetRecord(
            supervisor=me,
            scheduler=me,
            address="tcp://127.0.0.1:8786",
            port=8786,
            counts={"gpu": workers},
            classes={"gpu": GPU},
            instances=instances,
        ),
    )
    seen = [
        {
            "address": "tcp://127.0.0.1:1",
            "last_seen": NOW - heard,
            "standing": {
                "facts": facts_to_json(replace(GPU.facts(n), incarnation=f"{n}-abc")),
                "busy": n % 2,
                "draining": False,
                "campaigns": [],
            },
        }
        for n in range(1, workers + 1)
    ]
    write_roster(files.roster, at=NOW - written, workers=seen)


def shown(state: Path) -> str:
    text = io.StringIO()
    console = Terminal(text)
    console.width = 120
    print_standing(console, look(state))
    return text.getvalue()


def test_each_worker_says_what_it_is(tmp_path: Path) -> None:
    """State, slots, incarnation; and a simulated GPU is called so."""
    write_fleet(tmp_path, 2)

    text = shown(tmp_path)

    (first,) = [line for line in text.splitlines() if line.startswith("gpu-1")]
    for word in ("busy", "1/2", "1-abc", "gpu=1 simulated"):
        assert word in first
    document = standing_document(look(tmp_path))
    assert [each["simulated_gpu"] for each in document["workers"]] == [True, True]
    assert document["up"]


def test_a_large_fleet_fits_on_one_screen(tmp_path: Path) -> None:
    """By class, with where to find the rest."""
    write_fleet(tmp_path, 200)

    text = shown(tmp_path)

    assert "100 idle, 100 busy" in text or "100 busy, 100 idle" in text
    assert len(text.splitlines()) < 20


@pytest.mark.parametrize(
    ("written", "heard", "words"),
    [(60, 0, "not answering"), (0, 60, "silent for 60 s")],
)
def test_what_is_silent_is_not_called_up(
    tmp_path: Path, written: float, heard: float, words: str
) -> None:
    """A scheduler that writes nothing, a worker without heartbeats."""
    write_fleet(tmp_path, 1, written=written, heard=heard)

    assert words in shown(tmp_path)


def test_a_record_of_another_version_is_no_fleet(tmp_path: Path) -> None:
    """Rather than a traceback."""
    write_fleet(tmp_path, 1)
    record = FleetFiles(state=tmp_path).record
    record.write_text(json.dumps({**json.loads(record.read_text()), "colour": "red"}))

    assert not look(tmp_path).is_up
    assert "fleet    down" in shown(tmp_path)


def test_a_sick_worker_is_called_so_until_it_is_another(tmp_path: Path) -> None:
    """By the campaign that drained it; what was said of a former life means nothing."""
    write_fleet(tmp_path, 2)
    campaign = tmp_path / "campaigns" / "c1"
    Ledger.open(campaign, campaign="c1").close()
    patients = {"gpu-1": {"incarnation": "1-abc", "reason": "cases fail on it", "t": 0}}
    (campaign / "sick.json").write_text(
        json.dumps({**patients, "gpu-2": {**patients["gpu-1"], "incarnation": "2-old"}})
    )

    text = shown(tmp_path)

    (first,) = [line for line in text.splitlines() if line.startswith("gpu-1")]
    (second,) = [line for line in text.splitlines() if line.startswith("gpu-2")]
    assert " sick " in first
    assert "cases fail on it" in first
    assert "sick" not in second
    assert look(tmp_path).workers[0].plain()["sick"] == "cases fail on it (campaign c1)"


def test_a_damaged_wish_is_told_alike_by_all_who_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the file and what mends it; nobody is told to wait for what nobody does."""
    write_fleet(tmp_path, 1)
    files = FleetFiles(state=tmp_path)
    files.wanted.write_bytes(b'{"classes": {"cpu"\xff')
    monkeypatch.setattr(services, "living", lambda files: read_record(files.record))
    said = f"{files.wanted}, which says what the fleet that is up is to be, cannot be read; "
    said += "`proctor down` and then `proctor up` write it anew"
    request = UpRequest(
        state=tmp_path, classes={}, counts={}, cores=1, prefect=lambda: "off", deadline_seconds=1
    )
    with pytest.raises(FleetUnavailable) as upped:
        services.up(request, say=print)
    with pytest.raises(FleetUnavailable) as scaled:
        services.scale(tmp_path, {"gpu": 2}, deadline_seconds=1, say=print)
    supervisor = look(tmp_path).services[0]
    assert [str(upped.value), str(scaled.value), supervisor.note] == [said] * 3
    files.wanted.write_text("[]")
    assert look(tmp_path).services[0].note == said
