"""`proctor simulate`: what a campaign would have come to on another fleet."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...infra.errors import UsageProblem
from ..acts.class_flags import classes_written, declare_classes, settings_of
from .command_line import add_verb

if TYPE_CHECKING:
    from ...infra.planning.what_if import WhatIf

_DESCRIPTION = """\
Plays a campaign again on a virtual clock, with the durations that were measured and the very
code that dispatches and scales. Nothing runs. Without --fleet it plays the fleet that the campaign
had, so that you see how close the simulation comes.
"""
_EXAMPLES = """\
proctor simulate --replay last
proctor simulate --replay last --fleet cpu=8,gpu=1
proctor simulate --replay last --fleet cpu=4,gpu=1 --speed cpu-1=0.25
proctor simulate --replay last --fleet big=20 --class big:slots=4,boot=60s,cost=0.4 --policy auto
"""


# To play a fleet of so many takes ten seconds.
_MOST = 5_000


def register(verbs: Any) -> None:
    """Add the verb to the command line."""
    summary = "play a campaign again on a fleet that nobody has to own"
    parser = add_verb(verbs, "simulate", _simulate, summary, _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "--replay", default="last", metavar="ID", help="a campaign: its id, its beginning, or last"
    )
    declare_classes(
        parser,
        fleet="how many workers; with --policy auto at most",
        classes="a worker class: NAME:slots=2,boot=60s,cost=0.4,...",
    )
    parser.add_argument(
        "--speed",
        default="",
        metavar="NAME=X,...",
        help="how fast the workers of a class, or one worker, are beside those that the campaign "
        "had: cpu=0.5,cpu-1=0.25",
    )
    parser.add_argument(
        "--policy",
        choices=("fixed", "auto"),
        default="fixed",
        help="all workers from the start, or as `proctor up --auto` has them",
    )
    parser.add_argument("--horizon", metavar="S", help="with --policy auto: as in `proctor up`")
    parser.add_argument("--idle", metavar="S", help="with --policy auto: as in `proctor up`")


def _simulate(arguments: argparse.Namespace) -> int:
    from ...infra.fleet.class_choice import counts_asked, known_classes
    from ...infra.fleet.worker_templates import read_templates
    from ...infra.ledgers.record import read_campaign
    from ...infra.planning.what_if import measured, own_fleet, replay, speeds_asked
    from ...infra.scaling.policy import ScalingRules
    from ...infra.worker_classes import choose_class, shared
    from ..acts.chosen_campaign import chosen

    settings = settings_of(arguments)
    record = read_campaign(chosen(settings.state, arguments.replay))
    own = own_fleet(record)
    classes = known_classes(settings) | {name: each for name, (each, _) in own.items()}
    classes |= read_templates(arguments.templates) if arguments.templates else {}
    classes |= classes_written(arguments, cores=settings.slots)
    counts = counts_asked(arguments.fleet) or {name: number for name, (_, number) in own.items()}
    for name in counts:
        choose_class(classes, name)
    if sum(counts.values()) > _MOST:
        raise UsageProblem(
            f"a fleet of {sum(counts.values()):,} workers is more than is simulated",
            remedy=f"ask for {_MOST:,} at most",
        )
    speeds = speeds_asked(arguments.speed, counts)
    rules = ScalingRules(
        horizon_seconds=_duration("--horizon", arguments.horizon),
        idle_seconds=_duration("--idle", arguments.idle),
    )
    played = replay(
        measured(record),
        # As `up` would have them on this machine.
        shared(classes, counts, cores=settings.slots),
        counts,
        policy=arguments.policy,
        rules=rules,
        speeds=speeds,
    )
    if arguments.json:
        asked = {"campaign": record.campaign, "fleet": counts, "speeds": speeds}
        print(json.dumps({**asked, **asdict(played)}))
    else:
        _print(played, counts, speeds)
    return 0


def _duration(flag: str, text: str | None) -> float | None:
    from ...infra.quantities import parse_duration

    return parse_duration(text, what=flag) if text else None


def _print(played: WhatIf, counts: dict[str, int], speeds: dict[str, float]) -> None:
    from ...monitoring.reports.terminal import Terminal
    from ...monitoring.reports.wording import cases, span

    terminal = Terminal()
    fleet = ", ".join(f"{name}={count}" for name, count in counts.items())
    terminal.print(f"{cases(played.cases)} on {fleet} ({played.policy})")
    if speeds:
        told = ", ".join(f"{name} {speed:g}" for name, speed in speeds.items())
        terminal.print(f"  times as fast   {told}")
    terminal.print(f"  makespan        {span(played.makespan)}")
    terminal.print(f"  as it was       {span(played.real_makespan)}")
    terminal.print(f"  no less than    {span(played.lower_bound)}")
    terminal.print(f"  cases wait      {span(played.wait_p50)}, one in twenty over"
                   f" {span(played.wait_p95)}")  # fmt: skip
    for name, seconds in played.worker_seconds.items():
        most = played.most.get(name, 0)
        terminal.print(f"  class {name:<9} {span(seconds)} of workers, {most} at most at a time")
    if played.cost:
        terminal.print(f"  cost            {played.cost:.2f}")
    terminal.print("Nothing was run.")
