"""What `proctor chaos replay` and `shrink` do."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ...infra.faults.schedule import FaultSchedule, read_schedule, seeded
from ...infra.faults.shrink import REMEDY, Oracle, Seen, Shrunk, shrink
from ...infra.faults.targets import FaultRefused
from ...infra.faults.verdict import Validity
from ...infra.ledgers.append_file import unwritable
from ...infra.settings import load_settings
from ...infra.simulation.schedules import FaultySimulation, simulate_schedule

CODES = {Validity.VALID: 0, Validity.INVALID: 8, Validity.UNKNOWN: 6}
OUT_OF_TRIES = 9
# A try on real processes takes half a minute, a simulated one some milliseconds.
LIVE_TRIES = 20
SIMULATED_TRIES = 200


def _replay(arguments: argparse.Namespace) -> int:
    schedule = _schedule(arguments)
    if arguments.print:
        print(schedule.text(), end="")
        return 0
    if arguments.simulated:
        return _replay_simulated(schedule, arguments)
    return _live(schedule, arguments)


def _replay_simulated(schedule: FaultSchedule, arguments: argparse.Namespace) -> int:
    told = simulate_schedule(schedule)
    if arguments.json:
        history = {"history": list(told.history)} if arguments.history else {}
        print(json.dumps({**told.document(), **history}))
    else:
        _tell_simulated(told, history=arguments.history)
    return CODES[told.validity]


def _tell_simulated(told: FaultySimulation, *, history: bool) -> None:
    print(f"{told.schedule.title}: {told.validity} (simulated)")
    for fault in told.injected:
        print(f"  {_fault(fault.name, fault.trigger.after, fault.trigger.at, fault.seconds)}")
    for problem in told.problems[:10]:
        print(f"    {problem}")
    for reason in told.unknown[:10]:
        print(f"  {reason}")
    print(
        f"  {len(told.injected)} of {len(told.schedule.faults)} faults injected, "
        f"{len(told.history)} events in {told.seconds:.1f} s, {told.wasted} executions wasted"
    )
    print(f"  digest {told.digest}")
    if told.validity is Validity.UNKNOWN:
        print("  without --simulated it is played on a live fleet")
    if told.schedule.has_load:
        stage = told.schedule.stage
        print(f"  for its load stood {stage.cases} cases of {stage.case_seconds:g} s")
    if history:
        print("\n".join(told.history))


def _fault(name: str, after: int | None, at: float | None, seconds: float) -> str:
    when = f" after {after} commits" if after is not None else ""
    when += f" at {at:g} s" if at is not None else ""
    return f"{name}{when} for {seconds:g} s"


def _live(schedule: FaultSchedule, arguments: argparse.Namespace) -> int:
    # Prefect's part of the engine takes its time to load, and the simulator needs none of it.
    from ...flows.schedule_play import play
    from .chaos_acts import tell_performed

    _tell_load(schedule, arguments)
    performed = play(schedule, state=_state(arguments), suite=_suite(arguments), say=_say)
    return tell_performed(performed, as_json=arguments.json)


def _tell_load(schedule: FaultSchedule, arguments: argparse.Namespace) -> None:
    """Say what runs meanwhile, where that is not what the schedule's file says."""
    if arguments.suite is not None and schedule.has_load:
        _say(f"the load is {arguments.suite}, instead of the schedule's own")
    elif arguments.suite is None and not schedule.has_load:
        _say("the load is made up, of cases that sleep: the schedule names none")


def _shrink(arguments: argparse.Namespace) -> int:
    schedule = _schedule(arguments)
    if arguments.live:
        _tell_load(schedule, arguments)
    oracle = _live_oracle(arguments) if arguments.live else _simulated
    tries = arguments.tries or (LIVE_TRIES if arguments.live else SIMULATED_TRIES)
    remedy = REMEDY if arguments.live else f"{REMEDY} with --simulated, or add --live"
    shrunk = shrink(schedule, oracle=oracle, most_tries=tries, remedy=remedy, say=_say)
    if arguments.output:
        try:
            arguments.output.write_text(shrunk.schedule.text(), encoding="utf-8")
        except OSError as problem:
            raise unwritable(arguments.output, problem) from problem
    if arguments.json:
        document = {
            "schedule": shrunk.schedule.document(),
            "problems": list(shrunk.problems),
            "tries": shrunk.tries,
            "minimal": shrunk.minimal,
        }
        print(json.dumps(document))
    else:
        _tell_shrunk(schedule, shrunk, arguments.output)
    return 0 if shrunk.minimal else OUT_OF_TRIES


def _tell_shrunk(schedule: FaultSchedule, shrunk: Shrunk, output: Path | None) -> None:
    left, whole = len(shrunk.schedule.faults), len(schedule.faults)
    how = "none can be left out" if shrunk.minimal else "perhaps fewer would do"
    print(f"{schedule.title}: {left} of {whole} faults are left in {shrunk.tries} tries; {how}")
    for fault in shrunk.schedule.faults:
        print(f"  {_fault(fault.name, fault.trigger.after, fault.trigger.at, fault.seconds)}")
    for problem in shrunk.problems[:10]:
        print(f"    {problem}")
    if output is None:
        print(shrunk.schedule.text(), end="")
    else:
        print(f"  written to {output}")


def _simulated(schedule: FaultSchedule) -> Seen:
    told = simulate_schedule(schedule)
    return Seen(problems=told.problems, unknown=told.unknown)


def _live_oracle(arguments: argparse.Namespace) -> Oracle:
    from ...flows.schedule_play import play, seen_in

    state, suite = _state(arguments), _suite(arguments)

    def look(schedule: FaultSchedule) -> Seen:
        # Without faults there is nothing to play: a suite that fails by itself is another matter.
        if not schedule.faults:
            return Seen()
        return seen_in(play(schedule, state=state, suite=suite, say=_say))

    return look


def _schedule(arguments: argparse.Namespace) -> FaultSchedule:
    given: str = arguments.schedule
    if given.isdecimal():
        return seeded(int(given), most=arguments.most)
    path = Path(given)
    if not path.suffix and not path.exists():
        raise FaultRefused(
            f"{given!r} is neither a seed nor a file", remedy="write a number from 0 on, or a path"
        )
    return read_schedule(path)


def _suite(arguments: argparse.Namespace) -> Path | None:
    if arguments.suite is None:
        return None
    if not arguments.suite.is_dir():
        raise FaultRefused(f"the suite {arguments.suite} is not there", remedy="mend its path")
    return arguments.suite.resolve()


def _state(arguments: argparse.Namespace) -> Path:
    given = {"state": arguments.state} if arguments.state else {}
    return load_settings(Path.cwd(), os.environ, given).state


def _say(text: str) -> None:
    """On standard error: standard output belongs to the answer."""
    print(text, file=sys.stderr, flush=True)


ACTS: Mapping[str, Callable[[argparse.Namespace], int]] = {"replay": _replay, "shrink": _shrink}
