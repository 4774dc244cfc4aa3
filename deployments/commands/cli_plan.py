"""`proctor plan`: which workers, and how many, meet a deadline or a budget."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...infra.errors import BadSetting, UsageProblem
from ..acts.class_flags import classes_written, declare_classes, settings_of
from .command_line import add_verb

if TYPE_CHECKING:
    from ...infra.planning.mixes import Market
    from ...infra.worker_classes import WorkerClass

_DESCRIPTION = """\
Says which worker classes and how many of each would run the suite by a deadline or within a
budget, and how far from the best possible that is. Durations come from history; nothing runs.
All workers are paid from their launch to the end. Exit code 9: no fleet does what was asked.
"""
_EXAMPLES = """\
proctor plan --deadline 20m --templates worker_templates.json
proctor plan tests/unit --max-cost 3 --fleet-class big:slots=4,boot=60s,cost=0.4,max=20
proctor plan --deadline 20m --max-cost 3 --fleet cpu=8,gpu=2
proctor plan --json
"""
# Workers of a class that does not say how many there may be.
_MOST = 64


def register(verbs: Any) -> None:
    """Add the verb to the command line."""
    summary = "which fleet meets a deadline or a budget"
    parser = add_verb(verbs, "plan", _plan, summary, _DESCRIPTION, _EXAMPLES)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, directories or node ids")
    parser.add_argument("-k", dest="keyword", default="", metavar="EXPR", help="as in pytest")
    parser.add_argument("-m", dest="marks", default="", metavar="EXPR", help="as in pytest")
    parser.add_argument("--tasks", metavar="FILE", help="a task list (JSON, TOML or YAML)")
    parser.add_argument("--directory", default=".", metavar="DIR", help="start there")
    parser.add_argument("--python", metavar="EXE", help="the interpreter that holds pytest")
    asked = parser.add_argument_group("what is asked")
    asked.add_argument("--deadline", metavar="S", help="from launch to the end: 90, 20m, 1h30m")
    asked.add_argument("--max-cost", metavar="N", help="in the unit of the classes' costs")
    where = parser.add_argument_group("what there is to choose from")
    declare_classes(
        where,
        fleet="these classes only, each with at most so many",
        classes="a worker class: NAME:slots=2,boot=60s,cost=0.4,max=20,...",
    )
    where.add_argument(
        "--most",
        type=int,
        default=_MOST,
        metavar="N",
        help=f"workers of a class that says no max ({_MOST})",
    )


def _plan(arguments: argparse.Namespace) -> int:
    from ...flows.campaigns.fleet_planning import plan_fleet
    from ...flows.campaigns.preparation import prepare
    from ...flows.campaigns.request import RunRequest
    from ...infra.planning.options import Wish
    from ...infra.quantities import parse_duration
    from ..texts.fleet_plan_text import print_planned

    deadline = (
        None
        if arguments.deadline is None
        else parse_duration(arguments.deadline, what="--deadline")
    )
    wish = Wish(deadline=deadline, max_cost=_cost(arguments.max_cost))
    market, priced = _market(arguments)
    if wish.max_cost is not None and not priced:
        raise UsageProblem(
            "no worker class says what an hour costs, so --max-cost cannot be judged",
            remedy="write cost=0.4 in --fleet-class or cost_per_hour in the templates",
        )
    given = {"python": arguments.python, "state": arguments.state, "prefect": "off"}
    request = RunRequest(
        paths=tuple(arguments.paths),
        keyword=arguments.keyword,
        marks=arguments.marks,
        tasks=arguments.tasks,
        directory=arguments.directory,
        flags={name: value for name, value in given.items() if value is not None},
    )
    planned = plan_fleet(prepare(request), market, wish)
    chosen = planned.planning.chosen if planned.planning is not None else None
    return print_planned(
        planned,
        market,
        wish,
        priced=priced,
        start="" if chosen is None else _start(arguments, chosen.counts),
        as_json=arguments.json,
    )


def _start(arguments: argparse.Namespace, counts: Mapping[str, int]) -> str:
    """The command that has this fleet, with the slots that were reckoned with."""
    classes = _classes(arguments)
    words = ["proctor", "up"]
    if arguments.templates:
        words += ["--templates", str(arguments.templates)]
    if arguments.state:
        words += ["--state", arguments.state]
    # Several that state no slots would share the machine's cores: the plan gave all to each.
    cores = settings_of(arguments).slots
    written = {name: f"{name}:slots={cores}" for name, each in classes.items() if not each.slots}
    written |= {text.partition(":")[0]: text for text in arguments.classes if ":" in text}
    for name, count in counts.items():
        # A class that is written out stands for one worker of it.
        left = count
        if count and name in written:
            words += ["--class", written[name]]
            left -= 1
        if left:
            words += ["--class", f"{name}={left}"]
    return shlex.join(words)


def _cost(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        cost = float(text)
    except ValueError:
        cost = math.nan
    if not 0 <= cost < math.inf:
        raise BadSetting(f"--max-cost {text!r} is no amount", remedy="write a number such as 3")
    return cost


def _market(arguments: argparse.Namespace) -> tuple[Market, bool]:
    """The classes to choose from, and whether they say what they cost."""
    from dataclasses import replace

    from ...infra.planning.mixes import Market

    if arguments.most < 1:
        raise BadSetting(f"--most {arguments.most} leaves no worker", remedy="write 1 or more")
    classes = _classes(arguments)
    limits = _limits(arguments.fleet, classes)
    if limits:
        classes = {
            name: replace(classes[name], minimum=min(classes[name].minimum, most), maximum=most)
            for name, most in limits.items()
        }
    # Each worker is alone on a machine such as this one, as the first of `up` is.
    cores = settings_of(arguments).slots
    sized = {name: replace(each, slots=each.slots or cores) for name, each in classes.items()}
    offered = [
        each
        if each.maximum is not None
        else replace(each, maximum=max(arguments.most, each.minimum))
        for each in sized.values()
        if each.maximum != 0
    ]
    if not offered:
        raise UsageProblem("a fleet without workers runs nothing", remedy="write --fleet cpu=4")
    priced = any(each.cost_per_hour for each in offered)
    prices = {each.name: each.cost_per_hour if priced else 1.0 for each in offered}
    open_ended = frozenset(each.name for each in sized.values() if each.maximum is None)
    return Market(classes=tuple(offered), prices=prices, open_ended=open_ended), priced


def _classes(arguments: argparse.Namespace) -> dict[str, WorkerClass]:
    """Those that were named, or else those that everybody has."""
    from ...infra.fleet.class_choice import known_classes

    return _named(arguments) or known_classes(settings_of(arguments))


def _named(arguments: argparse.Namespace) -> dict[str, WorkerClass]:
    """By the project, a template file, or on the command line: the later before the earlier."""
    from ...infra.fleet.class_choice import coming_from, known_classes, named_classes
    from ...infra.worker_classes import choose_class

    settings = settings_of(arguments)
    named = named_classes(settings, arguments.templates)
    named |= classes_written(arguments, cores=settings.slots)
    # A name alone is one of those, or of those that everybody has.
    alone = [text for text in arguments.classes if ":" not in text and text not in named]
    known = known_classes(settings) if alone else {}
    with coming_from("--class"):
        return named | {text: choose_class(known, text) for text in alone}


def _limits(text: str | None, classes: dict[str, WorkerClass]) -> dict[str, int]:
    from ...infra.fleet.class_choice import counts_asked
    from ...infra.worker_classes import check_count, choose_class

    limits = counts_asked(text)
    for name, most in limits.items():
        chosen = choose_class(classes, name)
        if chosen.maximum is not None:
            check_count(chosen, max(chosen.minimum, most))
    return limits
