"""Schedules come from a seed or a file, and mean the same each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.infra.faults.experiment import Experiment, Load, Trigger, parse_experiment
from proctor.infra.faults.schedule import (
    FaultSchedule,
    Stage,
    parse_schedule,
    read_schedule,
    seeded,
)
from proctor.infra.faults.targets import FaultRefused

# Of the faults of seeds 1 to 200, as they were when the README's figures were measured.
SEEDS_1_TO_200 = "1d3547c856b3b69fe46614cc5b4a048aa40ee487d7e066f5484f5a3cb9b7a5ce"
WHOLE: dict[str, Any] = {
    "title": "two faults",
    "seed": 7,
    "stage": {"workers": 2, "files": 3, "cases_in_file": 4, "case_seconds": 0.1},
    "method": [
        {"fault": "kill", "target": "worker:busy", "after": 5, "for": 1},
        {"fault": "clock", "target": "worker:#0", "at": "2s", "with": {"offset": "-90s"}},
    ],
}


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=12))
def test_a_schedule_of_any_seed_comes_back_from_its_file(seed: int, most: int) -> None:
    """Nothing is lost on the way through JSON, and a seed gives the same each time."""
    schedule = seeded(seed, most=most)
    assert schedule == seeded(seed, most=most)
    assert parse_schedule(json.loads(schedule.text()), source="again") == schedule
    assert 1 <= len(schedule.faults) <= most
    moments = [fault.trigger.after or 0 for fault in schedule.faults]
    assert moments == sorted(moments)


def test_the_seeds_mean_what_they_meant() -> None:
    """Bar 1 names its seeds: their schedules must not change under it."""
    told = [seeded(seed).document()["method"] for seed in range(1, 201)]
    assert hashlib.sha256(json.dumps(told).encode()).hexdigest() == SEEDS_1_TO_200


def test_everything_of_a_schedule_is_read() -> None:
    """Triggers of both kinds, lengths, options and the stage."""
    schedule = parse_schedule(WHOLE, source="s.json")
    kill, clock = schedule.faults
    assert (kill.kind, str(kill.selector), kill.seconds) == ("kill", "worker:busy", 1.0)
    assert (kill.trigger, clock.trigger) == (Trigger(after=5), Trigger(at=2.0))
    assert clock.parameters == {"offset": "-90s"}
    assert schedule.stage == Stage(workers=2, files=3, cases_in_file=4, case_seconds=0.1)
    assert schedule.stage.cases == 12


def test_a_schedule_is_an_experiment_on_a_live_fleet(tmp_path: Path) -> None:
    """With the same faults, a load, and the workers that must be there."""
    schedule = parse_schedule(WHOLE, source="s.json")
    experiment = schedule.experiment(tmp_path, arguments=["-q"])
    assert experiment.method == schedule.faults
    assert experiment.load is not None
    assert (experiment.load.arguments, experiment.load.directory) == (("-q",), str(tmp_path))
    assert experiment.steady_state[0].tolerance == {"type": "range", "range": [2, 1_000_000]}
    assert experiment.seed == 7


def test_a_load_of_its_own_stays_with_it(tmp_path: Path) -> None:
    """And all else an experiment says, so that what is left of it is that experiment still."""
    given: dict[str, Any] = {
        "title": "mine",
        "description": "why",
        "load": {"arguments": ["tests", "-k", "slow"], "directory": "p"},
        "steady_state": [{"probe": "workers", "at_least": 9}],
        "invariants": ["ended", "record"],
        "limits": {"dead": "2s"},
        "rollbacks": [{"pause": 0}],
        "method": [{"fault": "kill", "target": "worker", "at": 1, "for": 1, "name": "gone"}],
    }
    schedule = parse_schedule(given, source="s.json", directory=tmp_path)
    least = json.loads(schedule.text())
    assert parse_schedule(least, source="again", directory=Path("/elsewhere")) == schedule
    place = str(tmp_path / "p")
    told = {name: least[name] for name in given}
    assert told == {
        **given,
        "load": {**given["load"], "directory": place},
        "method": told["method"],
    }
    assert told["method"][0]["name"] == "gone"
    for experiment in (
        schedule.experiment(None),
        parse_experiment(least, source="least.json", directory=Path("/elsewhere")),
    ):
        assert experiment.load == Load(arguments=("tests", "-k", "slow"), directory=place)
        assert experiment.steady_state[0].tolerance == {"type": "range", "range": [9, 1_000_000]}
        assert experiment.invariants == ("ended", "record")
        assert experiment.deadline == schedule.deadline == Experiment(title="", method=()).deadline
    other = schedule.experiment(tmp_path / "q")
    assert other.load == Load(arguments=(), directory=str(tmp_path / "q"))


def test_what_shrinking_leaves_can_be_read_again() -> None:
    """Even if that is nothing."""
    nothing = parse_schedule(WHOLE, source="s.json").only(())
    assert parse_schedule(nothing.document(), source="again") == nothing


@pytest.mark.parametrize("name", ["s.json", "s.yaml"])
def test_files_are_read(tmp_path: Path, name: str) -> None:
    """By their ending; one that is missing is called a schedule."""
    (tmp_path / name).write_text(json.dumps(WHOLE))
    assert isinstance(read_schedule(tmp_path / name), FaultSchedule)
    with pytest.raises(FaultRefused, match="there is no schedule"):
        read_schedule(tmp_path / f"no-{name}")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ([], "holds no schedule"),
        ({"stage": {"wrkers": 2}}, "there is no field 'wrkers'; did you mean workers?"),
        ({"stage": {"workers": 0}}, "stage.workers: 0 is less than the minimum"),
        ({"stage": {"case_seconds": -1}}, "stage.case_seconds"),
        ({"stage": 3}, "s.json: stage: 3 is not of type 'object'"),
        ({"method": [{"pause": 1}]}, "method.0 is no fault.*proctor chaos run"),
        ({"method": [{"fault": "kil", "target": "host"}]}, "there is no fault 'kil'"),
        ({"method": [{"fault": "kill", "target": "host"}]}, "cannot be aimed at a host"),
        ({"method": 3}, "method"),
        ({"sed": 1}, "there is no field 'sed'; did you mean seed?"),
        ({"method": [], "title": 3}, "title"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(change: Any, words: str) -> None:
    """With its place."""
    document = {**WHOLE, **change} if isinstance(change, dict) else change
    with pytest.raises(FaultRefused, match=words.replace("?", r"\?")) as refused:
        parse_schedule(document, source="s.json")
    assert "\n" not in str(refused.value)
