"""What `proctor up` and `scale` say of the fleet that came of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.deployments.acts import fleet_acts
from proctor.deployments.cli import main
from proctor.deployments.standing.services import Downed, Upped
from proctor.infra.fleet.files import FleetRecord
from proctor.infra.fleet.providers import Instance, Phase
from proctor.infra.ledgers.ledger import Ledger
from proctor.infra.process_ref import ProcessRef
from proctor.infra.worker_classes import WorkerClass

CLASSES = {
    "cpu": WorkerClass(name="cpu", slots=2, provider="local"),
    "gpu": WorkerClass(name="gpu", slots=1, gpu=1, provider="local"),
}


def record(*there: Instance, **given: object) -> FleetRecord:
    me = ProcessRef.of(os.getpid())
    assert me is not None
    values = {"supervisor": me, "address": "tcp://127.0.0.1:8786", "classes": CLASSES, **given}
    return FleetRecord(instances=there, **values)  # type: ignore[arg-type]


def instance(name: str, phase: Phase) -> Instance:
    return Instance(name=name, worker_class=name[:3], phase=phase, since=0.0)


def typed(state: Path, monkeypatch: pytest.MonkeyPatch, came: FleetRecord, *words: str) -> int:
    """A verb of the fleet whose doing came to this."""
    upped = Upped(record=came, started=True)
    for act in ("up", "scale"):
        monkeypatch.setattr(fleet_acts, act, lambda *_, **__: upped)
    monkeypatch.setattr(fleet_acts, "core_count", lambda: 4)
    return main([*words, "--state", str(state)])


def test_a_worker_that_was_refused_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is a fleet without it what was asked for: exit code 6."""
    came = record(
        instance("cpu-1", Phase.STARTING),
        counts={"cpu": 1, "gpu": 1},
        launch_problems=("worker gpu-1 needs gpu=1, this machine has no GPU",),
        auto=True,
    )
    assert typed(tmp_path, monkeypatch, came, "up", "--auto") == 6
    assert "workers    cpu=1, gpu=0 of 1\n" in capsys.readouterr().out
    assert typed(tmp_path, monkeypatch, came, "up", "--auto", "--json") == 6
    document = json.loads(capsys.readouterr().out)
    assert document["workers"] == {"cpu": 1, "gpu": 0}
    assert document["problems"] == list(came.launch_problems)
    unfit = record(instance("gpu-1", Phase.REFUSED), counts={"gpu": 1}, auto=True)
    assert typed(tmp_path, monkeypatch, unfit, "up", "--auto") == 6
    assert "workers    gpu=0 of 1\n" in capsys.readouterr().out
    # What has nothing to do with its workers is no reason.
    busy = record(counts={"cpu": 1}, problems=("campaign c cannot be resumed",), auto=True)
    assert typed(tmp_path, monkeypatch, busy, "up", "--auto") == 0
    whole = record(
        instance("cpu-1", Phase.RUNNING), instance("gpu-1", Phase.RUNNING), counts=came.counts
    )
    assert typed(tmp_path, monkeypatch, whole, "up") == 0
    assert "workers    cpu=1, gpu=1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "simulated", "told"),
    [
        (("up", "--gpu", "1"), True, True),
        (("scale", "gpu=1"), True, True),
        (("scale", "gpu=1"), False, False),
        (("scale", "cpu=1"), True, False),
        (("scale", "gpu=0"), True, False),
    ],
)
def test_workers_that_only_pretend_to_have_gpus_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    simulated: bool,
    told: bool,
) -> None:
    """Whichever verb asked for them; a verb that asked for others says nothing of them."""
    classes = CLASSES | {"gpu": replace(CLASSES["gpu"], simulated_gpu=simulated)}
    came = record(classes=classes, counts={"cpu": 1, "gpu": 1})
    typed(tmp_path, monkeypatch, came, *words)
    note = "the GPUs of class gpu are simulated: names, no devices"
    assert (note in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("counts", "auto", "told"),
    [
        ({"cpu": 2}, False, False),
        ({"cpu": 2, "gpu": 1}, False, True),
        ({"cpu": 2, "gpu": 1}, True, False),
    ],
)
@pytest.mark.parametrize("words", [("up",), ("scale", "cpu=2")])
def test_more_slots_than_cores_are_noted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    counts: dict[str, int],
    *,
    auto: bool,
    told: bool,
) -> None:
    """Not refused: cases may wait for others than the machine."""
    assert typed(tmp_path, monkeypatch, record(counts=counts, auto=auto), *words) == 0
    said = "the fleet has 5 slots and this machine 4 cores: cases that compute take turns"
    assert (said in capsys.readouterr().err) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status"], "`proctor up{}` starts one; `proctor run{}` needs none"),
        (["workers"], "no fleet is up; `proctor up{}` starts one"),
        (["scale", "cpu=2"], "no fleet is up; start one with `proctor up{}`"),
        (["show", "nothing"], "`proctor list{}` shows those there are"),
    ],
)
def test_proposed_commands_find_the_state_that_was_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    """They are to be copied; where the state is found without, nothing is added."""
    main([*words, "--state", str(tmp_path)])
    captured = capsys.readouterr()
    flag = f" --state {tmp_path}"
    assert told.format(*[flag] * told.count("{}")) in captured.out + captured.err


def test_what_up_and_down_say_finds_the_state_that_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As who started the fleet would have to type it."""
    came = record(counts={})
    assert typed(tmp_path, monkeypatch, came, "up") == 0
    assert f"`proctor run --state {tmp_path}` uses it from now on" in capsys.readouterr().out
    with Ledger.open(tmp_path / "campaigns" / "c1", campaign="c1"):
        downed = Downed(was_up=True, prefect_stopped=False, killed=0)
        monkeypatch.setattr(fleet_acts, "down", lambda *_, **__: downed)
        assert main(["down", "--state", str(tmp_path)]) == 0
    assert f"`proctor resume c1 --state {tmp_path}` continues it" in capsys.readouterr().err
