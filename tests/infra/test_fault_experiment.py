"""Experiments are read, and refused in one line, before anything is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from proctor.infra.faults.catalogue import kinds
from proctor.infra.faults.experiment import (
    CommandStep,
    FaultStep,
    PauseStep,
    ProbeStep,
    parse_experiment,
    read_experiment,
    schema,
)
from proctor.infra.faults.probes import is_tolerated, probe, wanted
from proctor.infra.faults.targets import FaultRefused, Part, Targets, parse_selector

WHOLE: dict[str, Any] = {
    "title": "all there is",
    "seed": 7,
    "deadline": "2m",
    "load": {"arguments": ["tests"], "directory": "suite"},
    "steady_state": [{"probe": "workers", "at_least": 2}],
    "method": [
        {"fault": "kill", "target": "worker:busy", "after": 37},
        {"fault": "latency", "target": "worker:cpu-1", "at": "2s", "for": "3s",
         "with": {"delay": "300ms"}},
        {"pause": 1.5},
        {"command": ["true"]},
        {"probe": "http", "url": "http://127.0.0.1:1/", "tolerance": [200, 204]},
    ],
    "invariants": ["ended", "sound"],
    "rollbacks": [{"command": ["true"]}],
}  # fmt: skip
CHAOS_TOOLKIT: dict[str, Any] = {
    "version": "1.0.0",
    "title": "from elsewhere",
    "description": "the shared subset",
    "configuration": {"who": "worker:busy", "limit": {"type": "env", "key": "NONE", "default": 3}},
    "steady-state-hypothesis": {
        "title": "it works",
        "probes": [
            {"type": "probe", "name": "two", "tolerance": {"type": "range", "range": [2, 9]},
             "provider": {"type": "python", "module": "proctor.faults", "func": "workers"}},
            {"type": "probe", "name": "page", "tolerance": 200,
             "provider": {"type": "http", "url": "http://127.0.0.1:1/", "timeout": 2}},
        ],
    },
    "method": [
        {"type": "action", "name": "die", "pauses": {"before": 1, "after": 2},
         "provider": {"type": "python", "module": "proctor.faults", "func": "freeze",
                      "arguments": {"target": "${who}", "for": 3, "after": 37}}},
        {"type": "action", "name": "say",
         "provider": {"type": "process", "path": "echo", "arguments": "one 'two three'"}},
        {"type": "probe", "name": "look", "tolerance": 1,
         "provider": {"type": "process", "path": "false"}},
    ],
    "rollbacks": [],
}  # fmt: skip


def parse(document: object) -> Any:
    return parse_experiment(document, source="e.json", directory=Path("/place"))


def test_everything_of_an_experiment_is_read() -> None:
    """Each kind of step, with its trigger and parameters."""
    told = parse(WHOLE)
    kill, slow, pause, command, look = told.method
    assert (kill.kind, str(kill.selector), kill.trigger.after) == ("kill", "worker:busy", 37)
    assert (slow.seconds, slow.trigger.at, slow.parameters) == (3.0, 2.0, {"delay": "300ms"})
    assert (pause, command.command) == (PauseStep(seconds=1.5), ("true",))
    assert look.tolerance == [200, 204]
    assert (told.seed, told.deadline, told.load.directory) == (7, 120.0, "/place/suite")
    assert told.invariants == ("ended", "sound")


def test_the_schema_is_sound_and_takes_what_is_taken() -> None:
    """What is published is what is checked."""
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(WHOLE)


def test_chaos_toolkit_experiments_mean_the_same() -> None:
    """Hypothesis, pauses, configuration, the three providers."""
    told = parse(CHAOS_TOOLKIT)
    workers, page = told.steady_state
    assert (workers.what, workers.tolerance["range"]) == ("workers", [2, 9])
    assert (page.what, page.url, page.timeout) == ("http", "http://127.0.0.1:1/", 2.0)
    before, die, after, say, look = told.method
    assert (before, after) == (PauseStep(seconds=1), PauseStep(seconds=2))
    assert isinstance(die, FaultStep)
    assert (die.kind, str(die.selector), die.seconds) == ("freeze", "worker:busy", 3.0)
    assert die.trigger.after == 37
    assert say == CommandStep(name="say", command=("echo", "one", "two three"))
    assert isinstance(look, ProbeStep)
    assert (look.command, look.tolerance) == (("false",), 1)
    assert told.given == CHAOS_TOOLKIT


def changed(path: str, value: object, document: dict[str, Any] = WHOLE) -> dict[str, Any]:
    fresh = json.loads(json.dumps(document))
    at: Any = fresh
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[int(last) if isinstance(at, list) else last] = value
    return fresh


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "holds no experiment"),
        ({"title": "x"}, "e.json: the field 'method' is missing; write it"),
        ({"title": "x", "metod": []}, "there is no field 'metod'; did you mean method?"),
        (changed("load", {"directory": "."}), "e.json: load: the field 'arguments' is missing"),
        (changed("method", []), "method"),
        (changed("method", [{"target": "worker"}]), "method.0: .*one of fault, pause, probe, comm"),
        (changed("method", [{"fualt": "kill", "target": "worker"}]), "'fualt'; did you mean fault"),
        (changed("rollbacks", [{"comand": ["true"]}]), "rollbacks.0: .*did you mean command"),
        (changed("method", [{"pause": 1, "for": 2}]), "there is no field 'for'; known: pause"),
        (changed("sed", 1), "there is no field 'sed'; did you mean seed?"),
        (changed("method.0.fault", "kil"), "there is no fault 'kil'; .*did you mean kill?"),
        (changed("method.0.target", "wroker"), "there is no 'wroker'.*did you mean worker?"),
        (changed("method.0.target", "scheduler:2"), "there is one scheduler"),
        (changed("method.0.target", "host"), "kill cannot be aimed at a host"),
        (changed("method.0.for", "soon"), "'soon' is no duration"),
        (changed("method.0.for", -1), "method.0.for"),
        (changed("method.1.for", "2h"), "a fault for 7200 s is not between 0 and 3600 s"),
        (changed("method.1.for", 0), "a fault for 0 s is not between"),
        (changed("method.0.at", 3), "method.0"),
        (changed("method.0.with", {"hard": 1}), "takes no 'hard'; it takes none"),
        (changed("method.1.with", {"delay": "x"}), "latency: delay 'x' is no duration"),
        (changed("method.1.with", {"dely": 1}), "takes no 'dely'.*did you mean delay?"),
        (changed("invariants", ["sond"]), "'sond' is not one of"),
        (changed("seed", "7"), "seed"),
        (changed("controls", [], CHAOS_TOOLKIT), "'controls' of Chaos Toolkit is not understood"),
        (
            changed("method.0.provider.module", "chaosaws", CHAOS_TOOLKIT),
            "die is done by 'chaosaws', which is not understood here",
        ),
        (
            changed("method.0.provider.arguments.target", "${whom}", CHAOS_TOOLKIT),
            "no configuration called 'whom'",
        ),
        (changed("configuration.limit", {"type": "env", "key": "NONE"}, CHAOS_TOOLKIT), "'NONE'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(document: object, words: str) -> None:
    """With its place, and what was meant where that can be guessed."""
    with pytest.raises(FaultRefused, match=words.replace("?", r"\?")) as refused:
        parse(document)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["e.json", "e.yaml", "e.toml"])
def test_files_of_three_formats_are_read(tmp_path: Path, name: str) -> None:
    """By their ending; one that is missing or broken is called an experiment."""
    text = {
        "e.json": json.dumps({"title": "t", "method": [{"pause": 1}]}),
        "e.yaml": "title: t\nmethod: [{pause: 1}]\n",
        "e.toml": "title = 't'\n[[method]]\npause = 1\n",
    }[name]
    (tmp_path / name).write_text(text)
    assert read_experiment(tmp_path / name).method == (PauseStep(seconds=1.0),)
    (tmp_path / name).write_text("{")
    with pytest.raises(FaultRefused, match=f"{name} is not valid"):
        read_experiment(tmp_path / name)
    with pytest.raises(FaultRefused, match="there is no experiment"):
        read_experiment(tmp_path / f"no-{name}")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9),
                    lambda inner: st.lists(inner, max_size=4)
                    | st.dictionaries(st.sampled_from([*WHOLE, *WHOLE["method"][1]]), inner)))  # fmt: skip
def test_nonsense_is_refused_and_nothing_else_happens(document: object) -> None:
    """Whatever stands in a file: an experiment or one clear line."""
    try:
        parse(document)
    except FaultRefused:
        return


def test_kinds_say_what_they_take() -> None:
    """Every kind has a summary, something to aim at, and defaults it reads itself."""
    for kind in kinds().values():
        assert kind.summary
        assert kind.parts
        for name, each in kind.parameters.items():
            each.read(each.default, name)


@pytest.mark.parametrize(
    ("text", "part", "which"),
    [("worker", Part.WORKER, ""), ("worker:cpu-1", Part.WORKER, "cpu-1"), ("host", Part.HOST, "")],
)
def test_selectors_are_read(text: str, part: Part, which: str) -> None:
    """And written as they were."""
    selector = parse_selector(text)
    assert (selector.part, selector.which, str(selector)) == (part, which, text)


def test_production_is_protected(tmp_path: Path) -> None:
    """Where no fleet is up, or none that somebody gave to be broken, nothing is injected."""
    with pytest.raises(FaultRefused, match=r"no fleet is up.*--chaos-target"):
        Targets(tmp_path).check_marked()


def test_tolerances_are_chaos_toolkits() -> None:
    """A value, one of several, a range; anything else is refused."""
    assert is_tolerated(0, 0)
    assert not is_tolerated(1, 0)
    assert is_tolerated(204, [200, 204])
    assert is_tolerated(3, {"type": "range", "range": [2, 9]})
    assert not is_tolerated(1, {"type": "range", "range": [2, 9]})
    with pytest.raises(FaultRefused, match="not understood"):
        is_tolerated(1, {"type": "regex"})


@pytest.mark.parametrize(
    ("tolerance", "words"),
    [
        ({"type": "range", "range": [9, 1_000_000]}, "at least 9"),
        ({"type": "range", "range": [2, 9]}, "2 to 9"),
        ([200, 204], "one of 200, 204"),
        (True, "True"),
    ],
)
def test_what_is_wanted_is_told(tolerance: object, words: str) -> None:
    """Whoever reads what was seen learns what should have been."""
    assert wanted(tolerance) == words


def test_a_probe_says_what_it_waits_for(tmp_path: Path) -> None:
    """And goes on once it holds: here somebody mends it when told."""
    mended = tmp_path / "mended"
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        mended.touch()

    step = ProbeStep(name="mended", what="process", tolerance=0, command=("ls", str(mended)))
    step = replace(step, within=600.0)
    answer = probe(step, Targets(tmp_path), say=say, quiet=0.0)
    assert answer.met
    (line,) = said
    assert line.startswith("mended: 2, 0 wanted; waiting, ")
